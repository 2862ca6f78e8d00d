"""The port ``Notifier`` as a file that grows by one line of JSON for each message.

    {"publishedAt": "2018-08-15T04:01:02.345Z", "attributes": {"status": "...", ...}, "message": {...}}

``message`` is the result metadata; ``attributes`` has ``status`` and ``cameraId``, by which the subscribers
of a topic could filter. Lines stand in the order of publishing. A file that is moved away is begun anew.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipline.contract.errors import Refused, Unavailable
from clipline.contract.interval import iso
from clipline.contract.text import ID

_LOCK_S = 10
_POLL_S = 0.02
_FILTERS = ("status", "cameraId")
_FINAL = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EROFS, errno.ELOOP)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class JsonLinesNotifier:
    """Appends to ``path``, from several threads and processes at once, each line whole or not at all.

    Once ``publish`` returns, the line survives a power cut.
    """

    def __init__(self, path: Path, *, now_ms: Callable[[], int] = _wall_ms) -> None:
        self._path = path
        self._now_ms = now_ms

    def publish(self, metadata: Mapping[str, Any]) -> None:
        """As in the port. Refused names a path that can't be written to; a full disk is Unavailable."""
        attributes = {
            name: metadata[name]
            for name in _FILTERS
            if isinstance(metadata.get(name), str) and ID.fullmatch(metadata[name])
        }
        line = {"publishedAt": iso(self._now_ms()), "attributes": attributes, "message": metadata}
        data = json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._reported(), _opened(self._path) as file:
            self._lock(file)
            _append(file, data)

    def check(self) -> None:
        """As in the port; makes no file."""
        folder = self._path.parent
        with self._reported():
            if self._path.exists():
                os.close(os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC))
            elif not os.access(folder, os.W_OK | os.X_OK):
                number = errno.EACCES if folder.is_dir() else errno.ENOENT
                raise OSError(number, os.strerror(number))

    def _lock(self, file: int) -> None:
        """Exclude other writers until ``file`` is closed."""
        end = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    cause = f"another process has kept it locked for {_LOCK_S} s"
                    raise Unavailable("append to", str(self._path), cause) from error
                time.sleep(_POLL_S)
            else:
                return

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cause = error.strerror or str(error)
            if error.errno in _FINAL:
                hint = "name a file in a folder that can be written to"
                raise Refused("append to", str(self._path), cause, hint=hint) from error
            raise Unavailable("append to", str(self._path), cause) from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    is_new = not path.exists()
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if is_new:
            _sync_directory(path.parent)
        yield file
    finally:
        os.close(file)


def _append(file: int, data: bytes) -> None:
    """All of ``data`` at the end, on a line of its own, or nothing."""
    size_bytes = os.fstat(file).st_size
    if size_bytes and os.pread(file, 1, size_bytes - 1) != b"\n":
        data = b"\n" + data  # a writer died in the middle of its line
    try:
        written = os.write(file, data)
        if written < len(data):
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} after {written} of {len(data)} bytes")
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size_bytes)
        raise


def _sync_directory(directory: Path) -> None:
    """Without it a power cut could take the new file's name."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
