"""PNG files, compressed by ISA-L.

FFmpeg scales and filters; its zlib is the slow part. Of 162 ms of CPU time for four thumbnails of a 1080p
picture 21 are the filter; ISA-L compresses its rows in 33, to a smaller size (docs/design/speed.md). It does
so piece by piece: a picture 3000 pixels wide has 15 MB of them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from isal import isal_zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEVEL = 1
_PIECE_BYTES = 256 * 1024


def recompress(stored: memoryview) -> bytes:
    """A PNG file with its picture data compressed anew (W3C PNG, sections 5 and 10)."""
    written = [SIGNATURE]
    rows = _Rows()
    for kind, data in _chunks(stored):
        if kind == b"IDAT":
            rows.add(data)
            continue
        if kind == b"IEND":
            written.append(_chunk(b"IDAT", rows.finish()))
        written.append(_chunk(kind, data))
    return b"".join(written)


class _Rows:
    """Picture data, compressed anew as it comes."""

    def __init__(self) -> None:
        self._inflate = isal_zlib.decompressobj()
        self._deflate = isal_zlib.compressobj(_LEVEL)
        self._waiting: list[memoryview] = []
        self._waiting_bytes = 0
        self._made: list[bytes] = []

    def add(self, data: memoryview) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _PIECE_BYTES:
            self._compress()

    def finish(self) -> bytes:
        self._compress()
        return b"".join([*self._made, self._deflate.flush()])

    def _compress(self) -> None:
        self._made.append(self._deflate.compress(self._inflate.decompress(b"".join(self._waiting))))
        self._waiting.clear()
        self._waiting_bytes = 0


def _chunks(file: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """(type, data) of each chunk."""
    at = len(SIGNATURE)
    while at < len(file):
        size, kind = struct.unpack_from(">I4s", file, at)
        yield kind, file[at + 8 : at + 8 + size]
        at += 12 + size


def _chunk(kind: bytes, data: bytes | memoryview) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind))
    return b"".join([struct.pack(">I4s", len(data), kind), data, struct.pack(">I", check)])
