"""Boxes of the ISO base media file format (ISO/IEC 14496-12, section 4.2): reading and writing.

Whatever is read came from outside: every size is checked against the bytes that are there.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator

from clipline.contract.errors import UnreadableRecording


class Box:
    """One box of a buffer that holds it whole: its four-character type and its content."""

    __slots__ = ("body", "header_bytes", "kind")

    def __init__(self, kind: str, body: memoryview, header_bytes: int = 8) -> None:
        self.kind = kind
        self.body = body
        self.header_bytes = header_bytes

    @property
    def size_bytes(self) -> int:
        """Of the whole box."""
        return self.header_bytes + len(self.body)

    def copy(self) -> Box:
        """The same box, which does not hold on to the buffer around it."""
        return Box(self.kind, memoryview(bytes(self.body)), self.header_bytes)

    def children(self, skip_bytes: int = 0) -> Iterator[Box]:
        """The boxes inside, after ``skip_bytes`` of the box's own fields."""
        return parse_boxes(self.body[skip_bytes:])

    def find(self, *path: str) -> Box | None:
        """The first box down ``path``, or None."""
        box = self
        for kind in path:
            found = next((child for child in box.children() if child.kind == kind), None)
            if found is None:
                return None
            box = found
        return box

    def need(self, *path: str) -> Box:
        """The first box down ``path``. Raises UnreadableRecording where there is none."""
        box = self.find(*path)
        if box is None:
            raise UnreadableRecording(f"the {self.kind} box has no {'/'.join(path)}")
        return box

    def unpack(self, layout: str, offset: int = 0) -> tuple[int, ...]:
        """Big-endian fields (struct notation) at ``offset`` of the content."""
        try:
            return struct.unpack_from(">" + layout, self.body, offset)
        except struct.error:
            raise UnreadableRecording(
                f"the {self.kind} box has {len(self.body)} bytes, too few for its fields"
            ) from None

    def version_and_flags(self) -> tuple[int, int]:
        """Of a full box (section 4.2.2)."""
        (word,) = self.unpack("I")
        return word >> 24, word & 0xFFFFFF

    def table(self, code: str, offset: int, count: int) -> array[int]:
        """``count`` big-endian numbers of ``array`` type ``code`` at ``offset``."""
        numbers: array[int] = array(code)
        stop = offset + count * numbers.itemsize
        if stop > len(self.body):
            raise UnreadableRecording(
                f"the {self.kind} box promises {count} entries, its {len(self.body)} bytes hold fewer"
            )
        numbers.frombytes(self.body[offset:stop])
        if sys.byteorder == "little":
            numbers.byteswap()
        return numbers


def parse_boxes(data: memoryview) -> Iterator[Box]:
    """The boxes that fill ``data``. Up to 7 bytes after the last one are let pass as padding."""
    at = 0
    while at + 8 <= len(data):
        kind, header_bytes, size = parse_header(data[at : at + 16])
        size = size or len(data) - at
        if size < header_bytes or at + size > len(data):
            raise UnreadableRecording(
                f"a box of type {kind!r} claims {size} bytes where {len(data) - at} are left"
            )
        yield Box(kind, data[at + header_bytes : at + size], header_bytes)
        at += size


def parse_header(data: bytes | memoryview) -> tuple[str, int, int]:
    """(type, bytes of the header, bytes of the whole box; 0 means up to the end of the file)."""
    if len(data) < 8:
        raise UnreadableRecording(f"a box header needs 8 bytes, {len(data)} are left")
    size, kind = struct.unpack_from(">I4s", data)
    header_bytes = 8
    if size == 1:
        if len(data) < 16:
            raise UnreadableRecording("a box header with a 64-bit size is cut off")
        (size,) = struct.unpack_from(">Q", data, 8)
        header_bytes = 16
    return kind.decode("latin-1"), header_bytes, size


def box(kind: str, *parts: bytes) -> bytes:
    """A box of ``parts``."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode("latin-1")) + body


def full_box(kind: str, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that begins with a version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def pack_table(code: str, numbers: array[int] | list[int]) -> bytes:
    """Numbers, big-endian, as ``Box.table`` reads them."""
    table = array(code, numbers)
    if sys.byteorder == "little":
        table.byteswap()
    return table.tobytes()
