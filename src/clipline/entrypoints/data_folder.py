"""The folder that `clipline serve` keeps everything in, which one server has at a time.

catalog.sqlite        cameras, recordings, clips
queue.sqlite          requests, and dead letters
clips/                clips and thumbnails, and the ledger beside them
notifications.jsonl   what subscribers would have been told
work/                 clips in progress
token, share.key      secrets, readable by their owner alone
serve.lock            who has the folder
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Self

from clipline.contract.errors import ConfigurationError

LOCK = "serve.lock"
_SECRET_BYTES = 24


class DataFolder:
    """The folder at ``path``, made if it is not there. A context manager, which has it until its end.

    Raises ConfigurationError where another server has it, naming that one, or it can't be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigurationError(
                f"{self.path}: {error.strerror}", hint="name a folder that can be written to with --data"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            who = _announced(self._lock)
            os.close(self._lock)
            self._lock = None
            raise ConfigurationError(
                f"{self.path} is in use by {who}", hint="open that one, or name another folder with --data"
            ) from error
        self.announce(f"process {os.getpid()}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def announce(self, who: str) -> None:
        """What the next one is told that wants the folder."""
        assert self._lock is not None, "only who has the folder says so"
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{who}\n".encode(), 0)

    def token(self) -> str:
        """What callers have to show; made at the first call, the same ever after."""
        return self._secret("token")

    def share_key(self) -> bytes:
        """What links are signed with; made at the first call. Whoever removes the file ends all links."""
        return self._secret("share.key").encode()

    def _secret(self, name: str) -> str:
        path = self.path / name
        try:
            known = path.read_text().strip()
        except FileNotFoundError:
            known = ""
        if known:
            return known
        made = secrets.token_urlsafe(_SECRET_BYTES)
        staged = path.with_name(f".{name}.new")
        staged.unlink(missing_ok=True)
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{made}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        staged.replace(path)
        return made


def holder(path: Path) -> str | None:
    """Who has the data folder at ``path``, as it announced itself; None: nobody has."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _announced(descriptor)
    finally:
        os.close(descriptor)
    return None


def _announced(descriptor: int) -> str:
    return os.pread(descriptor, 500, 0).decode("utf-8", "replace").strip() or "another process"
