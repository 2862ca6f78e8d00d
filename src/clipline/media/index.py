"""The sample table of a recording: which frame lies where, and when it is shown.

Read from the ``moov`` box alone (ISO/IEC 14496-12, section 8), wherever it stands: two requests for
a file of any length. Times are integers in the track's own ``timescale`` (ticks a second), on the
movie timeline: zero is its zero after the edit list (section 8.6.6), so that the wall time of a frame
is the recording's start plus its presentation time.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, chain, repeat

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.audio_groups import constant_size, group
from clipline.media.boxes import Box, parse_boxes, parse_header
from clipline.media.ranges import ByteSource

MAX_MOOV_BYTES = 64 * 1024 * 1024
"""A day of 60 frames a second has an index of about 60 MB; a larger claim is a broken file."""

MAX_SAMPLES = 10_000_000

_FIRST_READ_BYTES = 8 * 1024
_MOST_HEADERS = 32
"""How many boxes may stand behind the first read and before the index: each costs a request."""


@dataclass(frozen=True, eq=False)
class Track:
    """One track's samples, in decode order. A sample is one coded picture, or one audio frame."""

    entry: Box
    """The sample entry of ``stsd``: codec and parameters."""
    timescale: int
    """Ticks a second."""
    sizes: Sequence[int]
    """Bytes of each sample."""
    decode_times: Sequence[int]
    """Ticks on the movie timeline."""
    pts: Sequence[int]
    """Presentation time of each sample, ticks on the movie timeline."""
    end_pts: int
    """When the last sample shown stops being shown, ticks."""
    sync: Sequence[int] | None
    """Sample numbers (from 0) of the sync samples; None: every sample is one."""
    chunk_first: Sequence[int]
    """Number of the first sample of each chunk, and the number of samples at the end."""
    chunk_offsets: Sequence[int]
    """Byte offset of each chunk."""
    header: bytes
    """The ``tkhd`` box's matrix, width and height: 44 bytes that a copy keeps."""

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def shown(self) -> Sequence[int]:
        """Sample numbers in presentation order, without those before or after the edit list's part."""
        pts = self.pts
        if self._in_order:
            return range(bisect_left(pts, 0), bisect_left(pts, self.end_pts))
        order = sorted(range(len(pts)), key=pts.__getitem__)
        return [number for number in order if 0 <= pts[number] < self.end_pts]

    @cached_property
    def _in_order(self) -> bool:
        return all(map(operator.lt, self.pts, self.pts[1:]))

    def locate(self, first: int, stop: int) -> list[tuple[int, int]]:
        """(byte offset, size) of each sample in ``[first, stop)``."""
        places: list[tuple[int, int]] = []
        chunk = bisect_right(self.chunk_first, first) - 1
        chunk_stop = self.chunk_first[chunk + 1] if first < stop else stop
        offset = self.chunk_offsets[chunk] + sum(self.sizes[self.chunk_first[chunk] : first])
        for number, size in enumerate(self.sizes[first:stop], first):
            if number == chunk_stop:
                chunk += 1
                offset, chunk_stop = self.chunk_offsets[chunk], self.chunk_first[chunk + 1]
            places.append((offset, size))
            offset += size
        return places

    @property
    def end_s(self) -> Fraction:
        """When the track's last sample stops being shown, seconds on the movie timeline."""
        return Fraction(self.end_pts, self.timescale)


@dataclass(frozen=True, eq=False)
class RecordingIndex:
    """What a recording holds."""

    video: Track
    audio: Track | None
    bytes_read: int
    """What reading the index cost."""
    audio_why: str | None = None
    """Why ``audio`` is None though there is an audio track."""


def read_index(source: ByteSource) -> RecordingIndex:
    """Read a recording's index.

    Raises UnreadableRecording for bytes that are no sound MP4, and UnsupportedMedia for one that
    can't be cut yet (fragments, several sample descriptions, other codecs).
    """
    try:
        moov, bytes_read = _read_moov(source)
        return _parse_moov(moov, source.size_bytes, bytes_read)
    except (UnreadableRecording, UnsupportedMedia) as error:
        raise type(error)(f"{source.name}: {error}") from None


def _read_moov(source: ByteSource) -> tuple[Box, int]:
    size_bytes = source.size_bytes
    if size_bytes == 0:
        raise UnreadableRecording("the file is empty")
    head = source.read(0, min(_FIRST_READ_BYTES, size_bytes))
    bytes_read = len(head)
    if len(head) < 12 or head[4:8] not in {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"}:
        raise UnreadableRecording(f"it is no MP4 file: it begins with {head[:12]!r}")
    at = 0
    headers_left = _MOST_HEADERS
    while at < size_bytes:
        if at + 16 > len(head):
            if at >= _FIRST_READ_BYTES and size_bytes - at <= MAX_MOOV_BYTES and at > size_bytes // 2:
                # Behind the footage there is only the index: one read takes it whole.
                tail = source.read(at, size_bytes - at)
                bytes_read += len(tail)
                for found in parse_boxes(memoryview(tail)):
                    if found.kind == "moov":
                        return found, bytes_read
                break
            if not headers_left:
                raise UnreadableRecording(f"its index stands behind more than {_MOST_HEADERS} other boxes")
            headers_left -= 1
            header = source.read(at, min(16, size_bytes - at))
            bytes_read += len(header)
        else:
            header = head[at : at + 16]
        kind, header_bytes, box_bytes = parse_header(header)
        box_bytes = box_bytes or size_bytes - at
        if box_bytes < header_bytes or at + box_bytes > size_bytes:
            raise UnreadableRecording(
                f"the file is cut off: its {kind!r} box claims {box_bytes} bytes at byte {at}, "
                f"the file has {size_bytes}"
            )
        if kind == "moof":
            raise UnsupportedMedia("it is a fragmented MP4, which can't be cut yet")
        if kind == "moov":
            if box_bytes > MAX_MOOV_BYTES:
                raise UnreadableRecording(f"its index claims {box_bytes} bytes")
            data = head[at : at + box_bytes]
            if len(data) < box_bytes:
                rest = source.read(at + len(data), box_bytes - len(data))
                bytes_read += len(rest)
                data += rest
            return Box("moov", memoryview(data)[header_bytes:]), bytes_read
        at += box_bytes
    raise UnreadableRecording("it has no moov box: the recorder did not finish it")


def _parse_moov(moov: Box, size_bytes: int, bytes_read: int) -> RecordingIndex:
    if moov.find("mvex"):
        raise UnsupportedMedia("it is a fragmented MP4, which can't be cut yet")
    movie_timescale = _timescale(moov.need("mvhd"))
    video: Track | None = None
    audio: Track | None = None
    audio_why: str | None = None
    for trak in moov.children():
        if trak.kind != "trak":
            continue
        handler = bytes(trak.need("mdia", "hdlr").body[8:12])
        if handler == b"vide" and video is None:
            video = _parse_track(trak, movie_timescale, size_bytes)
        elif handler == b"soun" and audio is None:
            try:
                audio = _parse_track(trak, movie_timescale, size_bytes)
            except UnsupportedMedia as error:  # the pictures are as good as ever
                audio_why = str(error)
    if video is None or not video.shown:
        raise UnreadableRecording("it has no video track with a picture in it")
    if video.entry.kind != "avc1":
        raise UnsupportedMedia(f"its video is {video.entry.kind!r}; H.264 ('avc1') can be cut")
    if audio is not None and not len(audio):
        audio = None
    return RecordingIndex(video, audio, bytes_read, audio_why)


def _timescale(header: Box) -> int:
    """Of ``mvhd`` (section 8.2.2) or ``mdhd`` (8.4.2)."""
    version, _ = header.version_and_flags()
    (timescale,) = header.unpack("I", 20 if version == 1 else 12)
    if not timescale:
        raise UnreadableRecording(f"the {header.kind} box has a timescale of 0")
    return timescale


def _parse_track(trak: Box, movie_timescale: int, size_bytes: int) -> Track:
    timescale = _timescale(trak.need("mdia", "mdhd"))
    table = trak.need("mdia", "minf", "stbl")
    entries = list(table.need("stsd").children(8))
    if len(entries) != 1:
        raise UnsupportedMedia(f"a track has {len(entries)} sample descriptions, one can be cut")
    sizes: Sequence[int]
    chunk_first: Sequence[int]
    if frame_bytes := constant_size(table, entries[0]):
        chunk_first, chunk_offsets = _chunks(table, table.need("stsz").unpack("I", 8)[0])
        sizes, durations, decode_times, chunk_first, chunk_offsets = group(
            table, frame_bytes, chunk_first, chunk_offsets, size_bytes
        )
        count = len(sizes)
    else:
        sizes = _sizes(table)
        count = len(sizes)
        durations, decode_times = _decode_times(table, count)
        chunk_first, chunk_offsets = _chunks(table, count)
    pts = _presentation_times(table, decode_times)
    shift, stop = _edit(trak, movie_timescale, timescale)
    if shift:
        decode_times = [time + shift for time in decode_times]
        pts = [time + shift for time in pts]
    end_pts = max(map(operator.add, pts, durations), default=0)
    if stop is not None:
        end_pts = min(end_pts, stop)
    sync_box = table.find("stss")
    sync = None
    if sync_box is not None:
        (sync_count,) = sync_box.unpack("I", 4)
        sync = [number - 1 for number in sync_box.table("I", 8, sync_count)]
        if any(map(operator.ge, sync, sync[1:])) or (sync and not 0 <= sync[0] <= sync[-1] < count):
            raise UnreadableRecording("the stss box lists samples that are not there")
    if chunk_offsets:
        last = chunk_offsets.index(max(chunk_offsets))
        end = chunk_offsets[last] + sum(sizes[chunk_first[last] : chunk_first[last + 1]])
        if end > size_bytes:
            raise UnreadableRecording(
                f"it is cut off: its index points to byte {end}, the file has {size_bytes}"
            )
    header = trak.need("tkhd").body
    return Track(
        entries[0], timescale, sizes, decode_times, pts, end_pts, sync, chunk_first, chunk_offsets,
        bytes(header[-44:]),
    )  # fmt: skip


def _sizes(table: Box) -> Sequence[int]:
    """``stsz``, section 8.7.3.2."""
    box = table.need("stsz")
    uniform, count = box.unpack("II", 4)
    if count > MAX_SAMPLES:
        raise UnreadableRecording(f"the stsz box claims {count} samples")
    return [uniform] * count if uniform else box.table("I", 12, count)


def _decode_times(table: Box, count: int) -> tuple[list[int], list[int]]:
    """``stts``, section 8.6.1.2: (duration, decode time) of each sample."""
    box = table.need("stts")
    (entries,) = box.unpack("I", 4)
    numbers = box.table("I", 8, entries * 2)
    durations: list[int] = []
    for run, delta in zip(numbers[::2], numbers[1::2], strict=True):
        durations.extend(repeat(delta, min(run, count - len(durations))))
    if len(durations) != count:
        raise UnreadableRecording(f"the stts box times {len(durations)} samples of {count}")
    return durations, list(accumulate(durations, initial=0))[:count]


def _presentation_times(table: Box, decode_times: list[int]) -> list[int]:
    """``ctts``, section 8.6.1.3; offsets are read as signed in either version, as players do."""
    box = table.find("ctts")
    if box is None:
        return decode_times
    (entries,) = box.unpack("I", 4)
    numbers = box.table("i", 8, entries * 2)
    offsets: list[int] = []
    for run, offset in zip(numbers[::2], numbers[1::2], strict=True):
        offsets.extend(repeat(offset, min(max(run, 0), len(decode_times) - len(offsets))))
    offsets.extend(repeat(0, len(decode_times) - len(offsets)))
    return list(map(operator.add, decode_times, offsets))


def _edit(trak: Box, movie_timescale: int, timescale: int) -> tuple[int, int | None]:
    """``elst``, section 8.6.6: (what to add to media times, where the part shown ends), in ticks."""
    box = trak.find("edts", "elst")
    if box is None:
        return 0, None
    version, _ = box.version_and_flags()
    (count,) = box.unpack("I", 4)
    if count > 1000:
        raise UnreadableRecording(f"the elst box claims {count} edits")
    layout, step = ("Qqi", 20) if version == 1 else ("Iii", 12)
    empty = 0
    shown: list[tuple[int, int]] = []
    for number in range(count):
        duration, media_time, rate = box.unpack(layout, 8 + number * step)
        if media_time == -1 and not shown:
            empty += duration
        elif media_time < 0 or rate != 0x10000:
            raise UnsupportedMedia("its edit list has a pause or another speed, which can't be cut yet")
        else:
            shown.append((duration, media_time))
    if len(shown) > 1:
        raise UnsupportedMedia(f"its edit list has {len(shown)} parts, one can be cut")
    lead = round(Fraction(empty * timescale, movie_timescale))
    if not shown:
        return lead, None
    duration, media_time = shown[0]
    # A duration of 0 means "to the end"; one more movie tick forgives how writers round it.
    stop = -(-(duration + 1) * timescale // movie_timescale) + lead if duration else None
    return lead - media_time, stop


def _chunks(table: Box, count: int) -> tuple[list[int], Sequence[int]]:
    """``stsc`` and ``stco`` or ``co64``, sections 8.7.4 and 8.7.5: (first sample, offset) of each chunk."""
    box = table.find("stco")
    code = "I"
    if box is None:
        box, code = table.need("co64"), "Q"
    (chunks,) = box.unpack("I", 4)
    offsets = box.table(code, 8, chunks)
    runs_box = table.need("stsc")
    (entries,) = runs_box.unpack("I", 4)
    numbers = runs_box.table("I", 8, entries * 3)
    firsts, counts = numbers[::3], numbers[1::3]
    firsts.append(chunks + 1)
    lengths = list(map(operator.sub, firsts[1:], firsts))
    if firsts[0] != 1 or min(lengths, default=1) < 1 or min(counts, default=1) < 1:
        raise UnreadableRecording("the stsc box does not fit the chunks")
    per_chunk = list(chain.from_iterable(map(repeat, counts, lengths)))
    chunk_first = list(accumulate(per_chunk, initial=0))
    if chunk_first[-1] != count:
        raise UnreadableRecording(f"the chunks hold {chunk_first[-1]} samples of {count}")
    return chunk_first, offsets
