"""Reading the boxes of a file without its footage, in few requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

from clipline.contract.errors import UnreadableRecording
from clipline.media.boxes import Box, parse_header
from clipline.media.ranges import COALESCE_BYTES, ByteSource

LEAST_READ_BYTES = 4 * 1024
"""Most fragments' ``moof`` is smaller; so is what stands between two of them."""

MOST_READ_BYTES = 256 * 1024

MAX_BOX_BYTES = 16 * 1024 * 1024

_MOST_BOXES = 500_000


class CountedSource:
    """A source that counts what is read of it, by however many threads."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self.name, self.size_bytes, self.local_path = source.name, source.size_bytes, source.local_path
        self.bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        data = self._source.read(offset, length)
        with self._lock:
            self.bytes_read += len(data)
        return data


class Skimmer:
    """Reads here and there in a source, from front to back; keeps what was read last.

    Where one read lies close behind another, more is read at a time: a request costs more than the
    bytes between.
    """

    def __init__(self, source: ByteSource, held: bytes = b"", *, at: int = 0) -> None:
        """``held``: what has been read already, from byte ``at`` on."""
        self._source = source
        self._held, self._at = held, at
        self._expected = self._ahead = LEAST_READ_BYTES
        self.size_bytes = source.size_bytes

    def expect(self, length: int) -> None:
        """A box was that long: the next one of its kind may be too."""
        self._expected = max(LEAST_READ_BYTES, min(length + length // 4 + 512, MOST_READ_BYTES))

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes."""
        start = offset - self._at
        if not 0 <= start <= start + length <= len(self._held):
            close = self._held and 0 <= start <= len(self._held) + COALESCE_BYTES
            self._ahead = min(self._ahead * 2, MOST_READ_BYTES) if close else self._expected
            self.fetch(offset, max(length, self._ahead))
            start = 0
        if start + length > len(self._held):
            raise UnreadableRecording(
                f"its boxes point to byte {offset + length}, the file has {self.size_bytes}"
            )
        return self._held[start : start + length]

    def fetch(self, offset: int, length: int) -> None:
        """Read up to ``length`` bytes at once, for the reads that follow."""
        length = min(length, self.size_bytes - offset)
        self._held, self._at = self._source.read(offset, length) if length > 0 else b"", offset


class Place(NamedTuple):
    """A box in a file; its end may lie beyond the file's."""

    kind: str
    offset: int
    header_bytes: int
    stop: int


def walk(skimmer: Skimmer, start: int, stop: int) -> Iterator[Place]:
    """The boxes from byte ``start`` on, up to the one that reaches ``stop``.

    Raises UnreadableRecording where what stands there is no box.
    """
    at = start
    for _ in range(_MOST_BOXES):
        if at >= stop:
            return
        left = skimmer.size_bytes - at
        kind, header_bytes, box_bytes = parse_header(skimmer.read(at, min(16, left)))
        box_bytes = box_bytes or left
        if box_bytes < header_bytes or not kind.isprintable():
            raise UnreadableRecording(f"what stands at byte {at} is no box")
        yield Place(kind, at, header_bytes, at + box_bytes)
        at += box_bytes
    raise UnreadableRecording(f"it has more than {_MOST_BOXES} boxes")


def load(skimmer: Skimmer, place: Place) -> Box:
    """The whole box. Raises UnreadableRecording where it is too large, or reaches beyond the file."""
    length = place.stop - place.offset
    if length > MAX_BOX_BYTES:
        raise UnreadableRecording(f"its {place.kind!r} box at byte {place.offset} claims {length} bytes")
    data = memoryview(skimmer.read(place.offset, length))
    return Box(place.kind, data[place.header_bytes :])
