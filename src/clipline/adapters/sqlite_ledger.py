"""The port ``ClipLedger`` in one SQLite file, for one machine.

Caveat: the file has to lie on a local disk; WAL does not work over a network file system.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from clipline.contract.errors import Conflict, Refused, Unavailable
from clipline.pipeline.ports import LedgerEntry

_BUSY_S = 10
_FINAL = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS ledger (
        clip_id        TEXT PRIMARY KEY,
        fingerprint    TEXT NOT NULL,     -- of the request that came first under this clipId, hex
        first_asked_ms INTEGER NOT NULL,  -- which chain of retries: when its first message was sent, UTC
        attempts       INTEGER NOT NULL,  -- messages of that chain that were handled
        metadata       TEXT NOT NULL,     -- the last result that was decided, a JSON object
        version        INTEGER NOT NULL   -- one more with each write: what compare-and-set compares
    ) STRICT, WITHOUT ROWID
"""


class SqliteLedger:
    """The ledger in the file at ``path``, made if it is not there; for several threads and processes.

    Beyond what the port says, every method raises Unavailable when the file stays locked for 10 s or the
    disk is full, and Refused when the file is damaged, can't be written to, or is no database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._reported("open"):
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with self._reported("open"):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute(_SCHEMA)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No method works afterwards."""
        with self._lock:
            self._db.close()

    def read(self, clip_id: str) -> tuple[LedgerEntry, str] | None:
        """As in the port."""
        with self._lock, self._reported("read"):
            row = self._db.execute(
                "SELECT fingerprint, first_asked_ms, attempts, metadata, version "
                "FROM ledger WHERE clip_id = ?",
                (clip_id,),
            ).fetchone()
        if row is None:
            return None
        fingerprint, first_asked_ms, attempts, metadata, version = row
        return LedgerEntry(clip_id, fingerprint, first_asked_ms, attempts, json.loads(metadata)), str(version)

    def write(self, entry: LedgerEntry, *, replaces: str | None) -> str:
        """As in the port."""
        values = (
            entry.fingerprint,
            entry.first_asked_ms,
            entry.attempts,
            json.dumps(entry.metadata, allow_nan=False),
        )
        version = 1 if replaces is None else int(replaces) + 1
        with self._lock, self._reported("write"):
            if replaces is None:
                written = self._db.execute(
                    "INSERT INTO ledger (fingerprint, first_asked_ms, attempts, metadata, clip_id, version) "
                    "VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT (clip_id) DO NOTHING",
                    (*values, entry.clip_id),
                )
            else:
                written = self._db.execute(
                    "UPDATE ledger SET fingerprint = ?, first_asked_ms = ?, attempts = ?, metadata = ?, "
                    "version = version + 1 WHERE clip_id = ? AND version = ?",
                    (*values, entry.clip_id, int(replaces)),
                )
        if written.rowcount != 1:
            raise Conflict("write the ledger entry of", entry.clip_id, "another version is there")
        return str(version)

    @contextmanager
    def _reported(self, operation: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            target = f"the ledger {self._path}"
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what extends it
            if code in _FINAL:
                hint = "name a file in a folder that can be written to"
                raise Refused(operation, target, str(error), hint=hint) from error
            raise Unavailable(operation, target, str(error)) from error
