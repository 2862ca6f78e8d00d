"""An SQLite file as everything here uses one: WAL, each commit on the disk, typed errors, migrations.

Caveat: the file has to lie on a local disk; WAL does not work over a network file system.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clipline.contract.errors import Refused, Unavailable

Migrations = Sequence[Sequence[str]]
"""Entry *n* holds the statements that lead from ``PRAGMA user_version`` *n* to *n* + 1."""

_BUSY_S = 10
_POLL_S = 0.05
_FINAL = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


class Database:
    """The file at ``path``, made if it is not there. Safe to use from several threads and processes.

    ``what`` names it in errors, ``application_id`` tells it from other programs' files. Opening and every
    use raise Unavailable when the file stays locked for 10 s or the disk is full, and Refused when the file
    is damaged, can't be written to, is another program's, or one of a later version.
    """

    def __init__(self, path: Path, what: str, migrations: Migrations, application_id: int) -> None:
        self.target = f"{what} {path}"
        # One connection under a lock: a query takes less than a millisecond, a commit the disk's fsync.
        self._lock = threading.Lock()
        self._version: int | None = None
        with self._reported("open"):
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with self._reported("open"):
                _use_wal(self._db)
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute("PRAGMA foreign_keys = ON")
            self._migrate(migrations, application_id)
        except BaseException:
            self._db.close()
            raise

    def changed_elsewhere(self) -> bool:
        """Whether another process has changed the file since this was asked last."""
        with self.read("look at") as db:
            (version,) = db.execute("PRAGMA data_version").fetchone()
        before, self._version = self._version, int(version)
        return before not in (None, self._version)

    def close(self) -> None:
        """Nothing works afterwards."""
        with self._lock:
            self._db.close()

    @contextmanager
    def read(self, operation: str) -> Iterator[sqlite3.Connection]:
        """The connection, to be asked; ``operation`` says in errors what for."""
        with self._lock, self._reported(operation):
            yield self._db

    @contextmanager
    def write(self, operation: str) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction of its own, rolled back when an exception ends it."""
        with self._lock, self._reported(operation):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _migrate(self, migrations: Migrations, application_id: int) -> None:
        with self.write("open") as db:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if application != application_id and (application or tables):
                raise Refused(
                    "open", self.target, "it is another program's database", hint="name another file"
                )
            if version > len(migrations):
                raise Refused(
                    "open", self.target,
                    f"it has schema {version}, this version of Clipline knows {len(migrations)}",
                    hint="use the newer version, or another file",
                )  # fmt: skip
            for statements in migrations[version:]:
                for statement in statements:
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {application_id}")
            db.execute(f"PRAGMA user_version = {len(migrations)}")

    @contextmanager
    def _reported(self, operation: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary one of an extended code
            if code in _FINAL:
                hint = "name a sound file of this kind, or none, in a folder that can be written to"
                raise Refused(operation, self.target, str(error), hint=hint) from error
            raise Unavailable(operation, self.target, str(error)) from error


def _use_wal(db: sqlite3.Connection) -> None:
    """Where several processes open a new file at once, SQLite refuses all but one without waiting."""
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
            time.sleep(_POLL_S)
        else:
            return
