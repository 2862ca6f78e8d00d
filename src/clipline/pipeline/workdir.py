"""One directory per job, always removed: by the job, or after its process died by the next start."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "clipline-job-"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def job_directory(root: Path) -> Iterator[Path]:
    """A new directory under ``root``, gone when the block ends.

    The job holds a lock on the directory itself, so that ``sweep`` can tell it from one whose process was
    killed: at whatever moment, since nothing but the directory has to be there for that.
    """
    root.mkdir(parents=True, exist_ok=True)
    directory, descriptor = _new_locked(root)
    try:
        yield directory
    finally:
        try:
            with suppress(FileNotFoundError):  # the job may have removed it
                shutil.rmtree(directory)
        finally:
            os.close(descriptor)


def sweep(root: Path) -> int:
    """Remove the directories of dead jobs under ``root``; returns how many. Nothing else is touched."""
    removed = 0
    for directory in root.glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(directory, _OPEN)
        except OSError:  # removed by its own job just now, or no directory
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if directory.exists():  # else its own job has removed it meanwhile
                shutil.rmtree(directory, ignore_errors=True)
                removed += 1
        except OSError:  # its job lives, or nobody can lock a directory there
            continue
        finally:
            os.close(descriptor)
    return removed


def _new_locked(root: Path) -> tuple[Path, int]:
    """A new directory and the descriptor that holds its lock."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        try:
            descriptor = os.open(directory, _OPEN)
        except FileNotFoundError:  # a sweep came between the two calls
            continue
        # NFS can't lock directories: jobs work there, but what a kill leaves stays.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if directory.exists():
            return directory, descriptor
        os.close(descriptor)
