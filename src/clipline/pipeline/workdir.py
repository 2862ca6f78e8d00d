"""One directory per job, always removed: by the job, or after its process died by the next start."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_PREFIX = "clipline-job-"
_LOCK = "lock"


@contextmanager
def job_directory(root: Path) -> Iterator[Path]:
    """A new directory under ``root``, gone when the block ends.

    From when its lock file appears until it is gone, the job holds the lock, so that ``sweep`` can
    tell it from one whose process was killed.
    """
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held, tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root) as name:
        directory = Path(name)
        # Under its final name the file is never seen without its lock, not even for an instant.
        unlocked = directory / f"{_LOCK}.new"
        descriptor = os.open(unlocked, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        held.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unlocked.rename(directory / _LOCK)
        yield directory


def sweep(root: Path) -> int:
    """Remove the directories of dead jobs under ``root``; returns how many. Nothing else is touched."""
    removed = 0
    for directory in root.glob(f"{_PREFIX}*"):
        if directory.is_symlink():
            continue
        try:
            descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # just being made, or being removed by its own job
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            if os.fstat(descriptor).st_nlink:  # else its own job has removed it meanwhile
                shutil.rmtree(directory, ignore_errors=True)
                removed += 1
        finally:
            os.close(descriptor)
    return removed
