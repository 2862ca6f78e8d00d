"""Bytes of a recording by range: the source that stores satisfy, and one fetch of many ranges.

A cut knows which bytes it needs before it reads them. ``Fetch`` asks for all of them at once,
coalesced and concurrently, and lands them in a spool file, so that memory stays flat however long
the clip is; whoever needs a part waits for that part alone. A recording on the local disk needs no
spool: its file is read in place.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from clipline.contract.errors import MediaError, UnreadableRecording

COALESCE_BYTES = 32 * 1024
"""Ranges closer than this are read as one: a request costs more than the bytes between."""

PART_BYTES = 4 * 1024 * 1024
"""One request reads at most this much; several run at a time."""

REQUESTS_AT_A_TIME = 8

_COPY_BYTES = 1024 * 1024


class ByteSource(Protocol):
    """A recording's bytes."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def local_path(self) -> Path | None:
        """Where the bytes lie on this machine's disk, or None where they are elsewhere."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``, which lie within the source."""


@runtime_checkable
class SpooledSource(Protocol):
    """A source that somebody else reads into a file, where the bytes lie as in the source."""

    spool: Path

    def land(self, offset: int, length: int) -> None:
        """Returns when these bytes lie in the spool; otherwise as ``ByteSource.read``."""


class LocalSource:
    """A file on this machine."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.local_path = path
        self.name = name or path.name
        try:
            self.size_bytes = path.stat().st_size
        except OSError as error:
            raise UnreadableRecording(f"{path}: {error.strerror}") from error

    def read(self, offset: int, length: int) -> bytes:
        with self.local_path.open("rb", buffering=0) as file:
            return read_exactly(file.fileno(), offset, length, self.name)


@dataclass(frozen=True)
class ByteRange:
    """``[start, stop)`` in bytes from the source's beginning."""

    start: int
    stop: int


def coalesce(ranges: Iterable[ByteRange], within_bytes: int = COALESCE_BYTES) -> list[ByteRange]:
    """Ranges in order, those that overlap or lie closer than ``within_bytes`` made one."""
    merged: list[ByteRange] = []
    for part in sorted(ranges, key=lambda one: one.start):
        if merged and part.start <= merged[-1].stop + within_bytes:
            merged[-1] = ByteRange(merged[-1].start, max(merged[-1].stop, part.stop))
        else:
            merged.append(part)
    return merged


def missing(wanted: Iterable[ByteRange], held: Sequence[ByteRange]) -> list[ByteRange]:
    """What of ``wanted`` lies in none of ``held``; either is in order and without overlap."""
    left: list[ByteRange] = []
    for part in wanted:
        at = part.start
        for one in held:
            if one.stop <= at or one.start >= part.stop:
                continue
            if one.start > at:
                left.append(ByteRange(at, one.start))
            at = one.stop
        if at < part.stop:
            left.append(ByteRange(at, part.stop))
    return left


def _check(source: ByteSource, ranges: Iterable[ByteRange]) -> list[ByteRange]:
    """``ranges`` coalesced. Raises UnreadableRecording where they lie beyond the source."""
    wanted = coalesce(ranges)
    if wanted and wanted[-1].stop > source.size_bytes:
        raise UnreadableRecording(
            f"{source.name} is cut off: its index points to byte {wanted[-1].stop}, "
            f"it has {source.size_bytes}"
        )
    return wanted


class Fetch:
    """The bytes of ``ranges`` of one source. A context manager: closing it drops the spool."""

    def __init__(self, source: ByteSource, ranges: Iterable[ByteRange], directory: Path) -> None:
        self._source = source
        wanted = _check(source, ranges)
        self._parts: list[ByteRange] = []
        self._arrivals: dict[ByteRange, Future[None]] = {}
        self._pool: ThreadPoolExecutor | None = None
        if source.local_path is not None:
            self._file_descriptor = os.open(source.local_path, os.O_RDONLY | os.O_CLOEXEC)
        elif isinstance(source, SpooledSource):
            self._file_descriptor = os.open(source.spool, os.O_RDONLY | os.O_CLOEXEC)
        else:
            with tempfile.TemporaryFile(dir=directory, prefix="spool-") as spool:
                self._file_descriptor = os.dup(spool.fileno())
        if source.local_path is None:
            self._pool = ThreadPoolExecutor(REQUESTS_AT_A_TIME, thread_name_prefix="fetch")
        self._ask_for(wanted)

    @property
    def bytes_read(self) -> int:
        """What has been asked for so far."""
        return sum(part.stop - part.start for part in self._parts)

    def want(self, ranges: Iterable[ByteRange]) -> None:
        """Ask for more; what was asked for before is not read again."""
        self._ask_for(missing(_check(self._source, ranges), self._parts))

    def _ask_for(self, wanted: Iterable[ByteRange]) -> None:
        parts = [
            ByteRange(start, min(start + PART_BYTES, whole.stop))
            for whole in wanted
            for start in range(whole.start, whole.stop, PART_BYTES)
        ]
        if self._pool is not None:
            self._arrivals |= {part: self._pool.submit(self._land, part) for part in parts}
        self._parts = sorted([*self._parts, *parts], key=lambda part: part.start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        os.close(self._file_descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes; waits until they have arrived."""
        self._wait(offset, length)
        return read_exactly(self._file_descriptor, offset, length, self._source.name)

    def copy_to(self, descriptor: int, offset: int, length: int) -> None:
        """Append ``length`` bytes from ``offset`` to an open file, inside the kernel where it can."""
        self._wait(offset, length)
        copy_bytes(self._file_descriptor, descriptor, offset, length, self._source.name)

    def _land(self, part: ByteRange) -> None:
        length = part.stop - part.start
        if isinstance(self._source, SpooledSource):
            self._source.land(part.start, length)
        else:  # the spool is sparse: bytes lie where they lie in the source
            write_at(self._file_descriptor, self._source.read(part.start, length), part.start)

    def holds(self, offset: int, length: int) -> bool:
        """Whether these bytes were asked for."""
        return self._pool is None or self._covering(offset, length) is not None

    def _covering(self, offset: int, length: int) -> Sequence[ByteRange] | None:
        """The parts that these bytes lie in; None where some lie in none."""
        parts = self._parts
        first = max(bisect_right(parts, offset, key=lambda part: part.start) - 1, 0)
        at = offset
        for number in range(first, len(parts)):
            if not parts[number].start <= at < parts[number].stop:
                return None
            at = parts[number].stop
            if at >= offset + length:
                return parts[first : number + 1]
        return None

    def _wait(self, offset: int, length: int) -> None:
        if self._pool is None:
            return
        covering = self._covering(offset, length)
        if covering is None:
            raise MediaError(f"bytes {offset} to {offset + length} of {self._source.name} were not fetched")
        for part in covering:
            self._arrivals[part].result()


def copy_bytes(source: int, target: int, offset: int, length: int, name: str = "the spool") -> None:
    """Append ``length`` bytes from ``offset`` of one open file to another; inside the kernel where it can."""
    while length:
        try:
            copied = os.copy_file_range(source, target, length, offset)
        except OSError:  # another file system, or one without the call
            copied = os.write(target, os.pread(source, min(length, _COPY_BYTES), offset))
        if not copied:
            raise UnreadableRecording(f"{name} was cut off while it was read")
        offset += copied
        length -= copied


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """All of ``data``, from ``offset`` of an open file on."""
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        offset += written
        left = left[written:]


def read_exactly(descriptor: int, offset: int, length: int, name: str) -> bytes:
    """Exactly ``length`` bytes from ``offset`` of an open file, which errors call ``name``."""
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            raise UnreadableRecording(f"{name} ends at byte {offset + len(data)}, more was promised")
        data += more
    return data


def runs(pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Adjacent ``(offset, length)`` pieces, in the order given, made one: each is one copy."""
    joined: list[tuple[int, int]] = []
    for offset, length in pieces:
        if joined and joined[-1][0] + joined[-1][1] == offset:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((offset, length))
    return joined
