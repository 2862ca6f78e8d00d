"""The port ``ObjectStore`` for a folder of this machine.

What is written is staged in ``_clipline/incoming`` and renamed, so that readers never see half of it;
``sweep`` removes what writers that were killed left there. Writers take turns at the renaming, by a lock on
one file in there: so a version can be compared and set.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.store import LocalStore

from clipline.adapters.store_base import Store
from clipline.contract.errors import Conflict, NotFound, Refused
from clipline.contract.text import shorten
from clipline.pipeline.ports import ObjectInfo

STAGING = "_clipline/incoming"
LOCK = ".lock"
"""In ``STAGING``; not removed, since a writer may be waiting for it."""

_LONGEST_NAME_BYTES = 255  # of a file, on every file system in use


class Folder(Store):
    """A folder of this machine; written to by renaming, since obstore's own staging files would stay beside
    the objects when a writer is killed."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        super().__init__(f"file://{self._root}", str(root), self._open)

    def _open(self) -> LocalStore:
        with self._reported("open", ""):
            return LocalStore(self._root, mkdir=True)

    def _path(self, key: str) -> str:
        # obstore calls its own staging files name#1, name#2 and so on, and refuses to see others' as objects.
        last = key.rpartition("/")[2]
        if re.search(r"#\d+$", last):
            hint = "expected a name that does not end in # and digits"
            raise Refused("use the key", shorten(repr(key)), "a folder can't hold it", hint=hint)
        path = super()._path(key)
        if any(len(part.encode()) > _LONGEST_NAME_BYTES for part in path.split("/")):
            hint = f"expected names of at most {_LONGEST_NAME_BYTES} bytes"
            raise Refused("use the key", shorten(repr(key)), "a folder can't hold it", hint=hint)
        return path

    def local_path(self, key: str) -> Path | None:
        path = self._root / self._path(key)
        return path if path.is_file() else None

    def put(self, key: str, data: bytes, content_type: str, *, replaces: bool | str | None = False) -> str:
        del content_type  # a folder has no place for it
        return self._write(key, lambda staged: staged.write_bytes(data), replaces)

    def put_file(
        self, key: str, path: Path, content_type: str, *, replaces: bool | str | None = False
    ) -> str:
        del content_type
        return self._write(key, lambda staged: shutil.copyfile(path, staged), replaces)

    def delete(self, key: str) -> None:
        with self._reported("delete", key), self._turn():
            super().delete(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (info for info in super().list(prefix) if not info.key.startswith(f"{STAGING}/"))

    def sweep(self) -> None:
        """Remove what writers left that were killed."""
        folder = self._root / STAGING
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name == LOCK:
                continue
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:  # its writer was faster
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            except BlockingIOError:  # its writer lives
                continue
            finally:
                os.close(descriptor)

    @contextmanager
    def _staged(self) -> Iterator[Path]:
        """A new file, locked for as long as its writer lives, gone at the end unless it was renamed."""
        folder = self._root / STAGING
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / uuid.uuid4().hex
        descriptor = _new_locked(path)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def _write(self, key: str, fill: Callable[[Path], object], replaces: bool | str | None) -> str:
        target = self._root / self._path(key)
        with self._reported("write", key), self._staged() as staged:
            fill(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(staged)
            with self._turn() as turn:
                if isinstance(replaces, str) and not self._is_version(key, replaces):
                    raise Conflict("write", self._named(key), "another version is there")
                _stamp(staged, turn)
                if replaces is None:
                    try:
                        target.hardlink_to(staged)
                    except FileExistsError as error:
                        raise Conflict("write", self._named(key), "another version is there") from error
                else:
                    staged.replace(target)
                version = self.head(key).version
            _sync(target.parent)
        return version

    def _is_version(self, key: str, version: str) -> bool:
        try:
            return self.head(key).version == version
        except NotFound:
            return False

    @contextmanager
    def _turn(self) -> Iterator[int]:
        """While no other writer of this machine changes what is there; the descriptor of the lock's file."""
        folder = self._root / STAGING
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _stamp(staged: Path, turn: int) -> None:
    """Give ``staged`` a time that no write before it had.

    A version is made of inode, time in microseconds and size; but inodes are used again, and the clock that
    files are stamped by stands still for milliseconds.
    """
    stamp_ns = max(time.time_ns(), os.fstat(turn).st_mtime_ns + 1000)
    os.utime(staged, ns=(stamp_ns, stamp_ns))
    os.utime(turn, ns=(stamp_ns, stamp_ns))


def _new_locked(path: Path) -> int:
    """The descriptor of a new file under an exclusive lock."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # a sweep came between the two calls


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
