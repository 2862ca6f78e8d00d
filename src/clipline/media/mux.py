"""Writing a progressive MP4: the index first, then the samples (ISO/IEC 14496-12, section 8).

All sizes are known before the first byte is written, so players can start at once and no second pass
over the file is needed. The footage itself goes from file to file in long runs; nothing here touches
it packet by packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from clipline.media.boxes import Box, box, full_box, pack_table
from clipline.media.parameter_sets import SequenceParameters
from clipline.media.video import ENTRY_FIELDS_BYTES, VideoSets

_IDENTITY = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
AUDIO_HEADER = struct.pack(">9I", *_IDENTITY) + bytes(8)
"""``OutputTrack.header`` of audio that no source has a header for."""
_SECONDS_1904_TO_1970 = 2_082_844_800


@dataclass(frozen=True, eq=False)
class OutputTrack:
    """One track, its samples in decode order. Times are in ``timescale`` ticks of the clip."""

    handler: str
    """``vide`` or ``soun``."""
    entry: bytes
    """The sample entry, a whole box."""
    timescale: int
    header: bytes
    """Matrix, width and height, the last 44 bytes of ``tkhd``."""
    sizes: Sequence[int]
    """Bytes."""
    pts: Sequence[int]
    """When each sample is shown; 0 is the clip's beginning, audio may begin before it."""
    end: int
    """When the last sample stops being shown."""
    sync: Sequence[int] | None = None
    """Numbers (from 0) of the sync samples; None: all are."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples of one track as they lie in the file."""

    track: int
    samples: int
    size_bytes: int


def decode_times(pts: Sequence[int], end: int) -> tuple[list[int], int]:
    """(decode times, the step after the last one) for presentation times in decode order.

    Sample *i* is decoded when the *(i - depth)*-th picture is shown, where ``depth`` is the least that
    puts no decode time after its presentation time: strictly increasing, whatever the frame rate does.
    Without reordering decode times are the presentation times.
    """
    order = sorted(pts)
    step = max(min(b - a for a, b in pairwise(order)) if len(order) > 1 else 1, 1)
    last = max(end - order[-1], 1)
    if order == list(pts):
        return order, last
    rank = {time: place for place, time in enumerate(order)}
    depth = max(place - rank[time] for place, time in enumerate(pts))
    lead = [order[0] - (depth - place) * step for place in range(depth)]
    times = lead + order[: len(order) - depth]
    # A sample lasts until the next one is decoded: a last picture that is held for longer, and decoded
    # before others, needs one of those to reach to the end.
    reach = max(shown + after - before for shown, (before, after) in zip(pts, pairwise(times), strict=False))
    return times, last if reach >= end else max(end - pts[-1], 1)


def file_head(tracks: Sequence[OutputTrack], chunks: Sequence[Chunk], start_ms: int) -> bytes:
    """Everything before the samples: ``ftyp``, ``moov`` and the header of ``mdat``.

    ``chunks`` in the order in which their bytes follow. ``start_ms`` is the wall time of the clip's
    beginning, kept as the creation time.
    """
    file_type = box("ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    payload = sum(chunk.size_bytes for chunk in chunks)
    wide = payload > 0xF000_0000
    data_header = struct.pack(">I4sQ", 1, b"mdat", payload + 16) if wide else struct.pack(
        ">I4s", payload + 8, b"mdat"
    )  # fmt: skip
    numbers = range(len(tracks))
    tables = [_Table(tracks[number], [one for one in chunks if one.track == number]) for number in numbers]
    index_bytes = len(_moov(tables, chunks, 0, wide, start_ms))
    first = len(file_type) + index_bytes + len(data_header)
    return file_type + _moov(tables, chunks, first, wide, start_ms) + data_header


class _Table:
    """What a track's index says but for where its chunks lie."""

    def __init__(self, track: OutputTrack, chunks: Sequence[Chunk]) -> None:
        times, last = decode_times(track.pts, track.end)
        deltas = [b - a for a, b in pairwise(times)] + [last]
        self.track = track
        self.first_decoded = times[0]
        self.duration = sum(deltas)
        self.boxes = [
            full_box("stsd", 0, 0, struct.pack(">I", 1), track.entry),
            full_box("stts", 0, 0, _runs(deltas)),
        ]
        offsets_of_display = [shown - decoded for shown, decoded in zip(track.pts, times, strict=True)]
        if any(offsets_of_display):
            self.boxes.append(full_box("ctts", 0, 0, _runs(offsets_of_display)))
        if track.sync is not None:
            numbers = pack_table("I", [sample + 1 for sample in track.sync])
            self.boxes.append(full_box("stss", 0, 0, struct.pack(">I", len(track.sync)), numbers))
        sizes = pack_table("I", list(track.sizes))
        self.boxes += [
            full_box("stsc", 0, 0, _chunk_runs([chunk.samples for chunk in chunks])),
            full_box("stsz", 0, 0, struct.pack(">II", 0, len(track.sizes)), sizes),
        ]


def _moov(tables: Sequence[_Table], chunks: Sequence[Chunk], first: int, wide: bool, start_ms: int) -> bytes:
    offsets: list[list[int]] = [[] for _ in tables]
    at = first
    for chunk in chunks:
        offsets[chunk.track].append(at)
        at += chunk.size_bytes
    movie_timescale, duration = tables[0].track.timescale, tables[0].track.end
    created = start_ms // 1000 + _SECONDS_1904_TO_1970
    header = full_box(
        "mvhd", 1, 0,
        struct.pack(">QQIQ", created, created, movie_timescale, duration),
        struct.pack(">IHHQ", 0x10000, 0x100, 0, 0),
        struct.pack(">9I", *_IDENTITY), bytes(24), struct.pack(">I", len(tables) + 1),
    )  # fmt: skip
    traks = [
        _trak(number, table, duration, movie_timescale, created, offsets[number], wide)
        for number, table in enumerate(tables)
    ]
    return box("moov", header, *traks)


def _trak(
    number: int,
    table: _Table,
    movie_duration: int,
    movie_timescale: int,
    created: int,
    offsets: Sequence[int],
    wide: bool,
) -> bytes:
    track, zero = table.track, table.first_decoded
    video = track.handler == "vide"
    head = full_box(
        "tkhd", 1, 7,
        struct.pack(">QQIIQ", created, created, number + 1, 0, movie_duration),
        struct.pack(">QHHHH", 0, 0, 0 if video else 1, 0 if video else 0x100, 0),
        track.header,
    )  # fmt: skip
    # Media time starts with the first decode time; the edit says where the clip's beginning lies in it.
    edits = []
    if min(track.pts) > 0 and not video:
        silent = min(track.pts) * movie_timescale // track.timescale
        edits.append((silent, -1))
        edits.append((max(movie_duration - silent, 1), min(track.pts) - zero))
    else:
        edits.append((movie_duration, -zero))
    edit_list = full_box(
        "elst", 1, 0, struct.pack(">I", len(edits)),
        *(struct.pack(">QqI", span, media_time, 0x10000) for span, media_time in edits),
    )  # fmt: skip
    media_header = full_box(
        "mdhd", 1, 0, struct.pack(">QQIQHH", created, created, track.timescale, table.duration, 0x55C4, 0)
    )
    name = b"VideoHandler\0" if video else b"SoundHandler\0"
    handler = full_box("hdlr", 0, 0, bytes(4), track.handler.encode(), bytes(12), name)
    kind_header = full_box("vmhd", 0, 1, bytes(8)) if video else full_box("smhd", 0, 0, bytes(4))
    references = box("dinf", full_box("dref", 0, 0, struct.pack(">I", 1), full_box("url ", 0, 1)))
    places = full_box(
        "co64" if wide else "stco", 0, 0, struct.pack(">I", len(offsets)),
        pack_table("Q" if wide else "I", list(offsets)),
    )  # fmt: skip
    samples = box("stbl", *table.boxes, places)
    media = box("mdia", media_header, handler, box("minf", kind_header, references, samples))
    return box("trak", head, box("edts", edit_list), media)


def _runs(values: Iterable[int]) -> bytes:
    """Entry count and (count, value) pairs, as ``stts`` and ``ctts`` hold them."""
    flat: list[int] = []
    for value, group in groupby(values):
        flat += (sum(1 for _ in group), value)
    return struct.pack(">I", len(flat) // 2) + pack_table("I", flat)


def _chunk_runs(counts: Sequence[int]) -> bytes:
    """``stsc``: (first chunk, samples in each, sample description 1)."""
    flat: list[int] = []
    for place, count in enumerate(counts):
        if not flat or flat[-2] != count:
            flat += (place + 1, count, 1)
    return struct.pack(">I", len(flat) // 3) + pack_table("I", flat)


def visual_entry(source: Box, sequence: SequenceParameters, sets: VideoSets) -> bytes:
    """The source's sample entry with other ``sets``; bit rates in it are no longer true and left out."""
    fields = bytearray(source.body[:ENTRY_FIELDS_BYTES])
    struct.pack_into(">HH", fields, 24, sequence.width, sequence.height)
    kept = [
        box(child.kind, bytes(child.body))
        for child in source.children(ENTRY_FIELDS_BYTES)
        if child.kind in {"pasp", "colr"}
    ]
    return box(sets.entry_kind, bytes(fields), box(sets.record_kind, sets.pack()), *kept)
