"""The port ``ClipLedger`` in one SQLite file, for one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from clipline.contract.errors import Conflict, Refused
from clipline.contract.text import shorten
from clipline.database import Database
from clipline.pipeline.ports import LedgerEntry

_APPLICATION_ID = 0x434C504C  # "CLPL"

MIGRATIONS = (
    (
        """
        CREATE TABLE ledger (
            clip_id        TEXT PRIMARY KEY,
            fingerprint    TEXT NOT NULL,     -- of the request that came first under this clipId, hex
            first_asked_ms INTEGER NOT NULL,  -- which chain of retries: when its first message was sent, UTC
            attempts       INTEGER NOT NULL,  -- messages of that chain that were handled
            metadata       TEXT NOT NULL,     -- the last result that was decided, a JSON object
            version        INTEGER NOT NULL   -- one more with each write: what compare-and-set compares
        ) STRICT, WITHOUT ROWID
        """,
    ),
    # Token of who last began to store objects under the clipId; empty: nobody did.
    ("ALTER TABLE ledger ADD COLUMN owner TEXT NOT NULL DEFAULT ''",),
)


class SqliteLedger:
    """The ledger in the file at ``path``, made if it is not there; for several threads and processes.

    Beyond what the port says, every method raises what ``Database`` does.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "the ledger", MIGRATIONS, _APPLICATION_ID)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No method works afterwards."""
        self._database.close()

    def read(self, clip_id: str) -> tuple[LedgerEntry, str] | None:
        """As in the port."""
        with self._database.read("read") as db:
            row = db.execute(
                "SELECT fingerprint, first_asked_ms, attempts, metadata, owner, version "
                "FROM ledger WHERE clip_id = ?",
                (clip_id,),
            ).fetchone()
        if row is None:
            return None
        fingerprint, first_asked_ms, attempts, metadata, owner, version = row
        try:
            decided = json.loads(metadata)
        except (ValueError, RecursionError) as error:
            raise Refused(
                "read the ledger entry of", clip_id, f"its metadata is no JSON: {shorten(str(error), 200)}",
                hint="it was not written by Clipline: remove the entry",
            ) from error  # fmt: skip
        return LedgerEntry(clip_id, fingerprint, first_asked_ms, attempts, decided, owner), str(version)

    def write(self, entry: LedgerEntry, *, replaces: str | None) -> str:
        """As in the port."""
        values = (
            entry.fingerprint,
            entry.first_asked_ms,
            entry.attempts,
            json.dumps(entry.metadata, allow_nan=False),
            entry.owner,
        )
        version = 1 if replaces is None else int(replaces) + 1
        with self._database.write("write") as db:
            if replaces is None:
                written = db.execute(
                    "INSERT INTO ledger "
                    "(fingerprint, first_asked_ms, attempts, metadata, owner, clip_id, version) "
                    "VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT (clip_id) DO NOTHING",
                    (*values, entry.clip_id),
                )
            else:
                written = db.execute(
                    "UPDATE ledger SET fingerprint = ?, first_asked_ms = ?, attempts = ?, metadata = ?, "
                    "owner = ?, version = version + 1 WHERE clip_id = ? AND version = ?",
                    (*values, entry.clip_id, int(replaces)),
                )
        if written.rowcount != 1:
            raise Conflict("write the ledger entry of", entry.clip_id, "another version is there")
        return str(version)
