"""FFmpeg's demuxers on bytes that came from outside: one named demuxer, no file or host within reach."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import av
from av.container import InputContainer

from clipline.contract.errors import UnreadableRecording
from clipline.media.ranges import ByteSource

MAX_STREAMS = 8
_OPTIONS = {
    "protocol_whitelist": "none",
    "format_whitelist": "mpegts,matroska,webm",
    "codec_whitelist": "none",  # nothing is decoded; otherwise FFmpeg decodes pictures to find out more
    "max_streams": str(MAX_STREAMS),
    "fflags": "nofillin",  # times as the file has them, none made up
    "correct_ts_overflow": "0",  # timestamps of 33 bits as they are
    "probesize": str(1024 * 1024),
}
_PYAV_ERRORS = (av.FFmpegError, ValueError, LookupError, ArithmeticError, AssertionError)
"""What PyAV raises where bytes are not what they claim; UnicodeDecodeError is a ValueError."""
_BLOCK_BYTES = 256 * 1024
_BLOCKS_HELD = 8


class Readable(Protocol):
    """A file object for FFmpeg; with ``seek`` and ``tell`` if it can be read out of order."""

    failure: Exception | None

    def read(self, length: int = -1) -> bytes: ...


@contextmanager
def open_untrusted(file: Readable, demuxer: str) -> Iterator[InputContainer]:
    """A container read by ``demuxer``. Within, all that PyAV raises becomes UnreadableRecording.

    Options that FFmpeg doesn't know it ignores; the tests try each by its effect.
    """
    with media_errors(file), av.open(file, "r", format=demuxer, container_options=_OPTIONS) as container:
        yield container


@contextmanager
def media_errors(file: Readable) -> Iterator[None]:
    """What ``file`` raised goes on as it is, what PyAV raises as UnreadableRecording."""
    try:
        yield
    except _PYAV_ERRORS as error:
        if file.failure is not None:
            raise file.failure from None
        raise UnreadableRecording(f"FFmpeg can't read it: {type(error).__name__}: {error}") from error


class BlockReader:
    """A seekable file object over a source; FFmpeg's small reads are served from blocks of 256 KiB."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.bytes_read = 0
        self.failure: Exception | None = None
        """What the source raised."""

    def read(self, length: int = -1) -> bytes:
        """Up to ``length`` bytes; none at the end."""
        number, skipped = divmod(self._at, _BLOCK_BYTES)
        block = self._block(number)
        data = block[skipped:] if length < 0 else block[skipped : skipped + length]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(offset + (0, self._at, self._source.size_bytes)[whence], 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        start = number * _BLOCK_BYTES
        length = min(_BLOCK_BYTES, self._source.size_bytes - start)
        if length <= 0:
            return b""
        try:
            block = self._source.read(start, length)
        except Exception as error:
            self.failure = error
            raise
        self.bytes_read += length
        self._blocks[number] = block
        if len(self._blocks) > _BLOCKS_HELD:
            self._blocks.popitem(last=False)
        return block
