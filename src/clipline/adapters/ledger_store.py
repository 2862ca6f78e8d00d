"""The port ``ClipLedger`` as small objects beside the clips: ``_clipline/{clipId}.json``.

Compare-and-set is the store's own (``If-Match``, ``If-None-Match``); expiry is a rule of the bucket.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from clipline.contract.errors import NotFound, Refused
from clipline.contract.text import shorten
from clipline.pipeline.ports import LedgerEntry, ObjectStore

PREFIX = "_clipline/"

_MOST_BYTES = 8 * 1024 * 1024
"""An entry holds one result's metadata; coverage of a day in pieces of a second stays below."""


class StoreLedger:
    """Entries in ``store``, which must be able to compare and set."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read(self, clip_id: str) -> tuple[LedgerEntry, str] | None:
        """As in the port. Raises Refused for an object that is no entry."""
        key = self._key(clip_id)
        try:
            data, version = self._store.get(key, most_bytes=_MOST_BYTES)
        except NotFound:
            return None
        try:
            entry = LedgerEntry(**json.loads(data))
        except (ValueError, TypeError, RecursionError) as error:
            raise Refused(
                "read the ledger", key, f"the object is no entry: {shorten(str(error), 200)}",
                hint="it was not written by Clipline: move it away",
            ) from error  # fmt: skip
        return entry, version

    def write(self, entry: LedgerEntry, *, replaces: str | None) -> str:
        """As in the port."""
        data = json.dumps(asdict(entry), allow_nan=False, separators=(",", ":")).encode()
        return self._store.put(self._key(entry.clip_id), data, "application/json", replaces=replaces)

    def _key(self, clip_id: str) -> str:
        return f"{PREFIX}{clip_id}.json"
