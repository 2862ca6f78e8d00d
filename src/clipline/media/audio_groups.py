"""PCM and G.711 whose every sample value is a sample of the track: read as frames of many.

A sample table has one entry per sample of sound there (a second holds 8,000 to 192,000), all of one size.
Frames of up to ``GROUP`` of them, within one chunk each, say the same in a thousandth of the memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from clipline.contract.errors import UnreadableRecording
from clipline.media.boxes import Box
from clipline.media.sound import audio_format

GROUP = 1024
"""Samples: 21 ms at 48 kHz, 128 ms at 8 kHz."""


class GroupedTable(NamedTuple):
    """As ``Track`` has them."""

    sizes: list[int]
    durations: list[int]
    decode_times: list[int]
    chunk_first: list[int]
    chunk_offsets: Sequence[int]


def constant_size(table: Box, entry: Box) -> int:
    """Bytes of each sample where all are single samples of sound; 0 for every other track."""
    box = table.find("stsz")
    uniform = box.unpack("I", 4)[0] if box else 0
    frame_bytes = audio_format(entry).frame_bytes
    # Old QuickTime files give 1 for "one sample", whatever its bytes.
    return frame_bytes if frame_bytes and uniform in {1, frame_bytes} else 0


def group(
    table: Box, frame_bytes: int, chunk_first: Sequence[int], chunk_offsets: Sequence[int], size_bytes: int
) -> GroupedTable:
    """The table of frames of up to ``GROUP`` samples, from that of single samples.

    ``chunk_first`` counts single samples, ``size_bytes`` is the file's. Raises UnreadableRecording where
    the file can't hold what is claimed.
    """
    count = chunk_first[-1]
    if count * frame_bytes > size_bytes:
        raise UnreadableRecording(
            f"it is cut off: its index tells of {count * frame_bytes} bytes of audio, "
            f"the file has {size_bytes}"
        )
    if not count:
        return GroupedTable([], [], [], [0], chunk_offsets)
    time_of = _times(table, count)
    firsts = [number for begin, end in pairwise(chunk_first) for number in range(begin, end, GROUP)]
    numbers = [*firsts, count]
    times = [time_of(number) for number in numbers]
    per_chunk = [-(-(end - begin) // GROUP) for begin, end in pairwise(chunk_first)]
    return GroupedTable(
        [(after - before) * frame_bytes for before, after in pairwise(numbers)],
        [after - before for before, after in pairwise(times)],
        times[:-1],
        list(accumulate(per_chunk, initial=0)),
        chunk_offsets,
    )


def _times(table: Box, count: int) -> Callable[[int], int]:
    """Decode time of a single sample by its number, from the runs of ``stts`` (section 8.6.1.2)."""
    box = table.need("stts")
    (entries,) = box.unpack("I", 4)
    numbers = box.table("I", 8, entries * 2)
    begins = list(accumulate(numbers[::2], initial=0))
    deltas = numbers[1::2]
    times = list(
        accumulate((run * delta for run, delta in zip(numbers[::2], deltas, strict=True)), initial=0)
    )
    if begins[-1] < count:
        raise UnreadableRecording(f"the stts box times {begins[-1]} samples of {count}")

    def time_of(number: int) -> int:
        run = min(bisect_right(begins, number) - 1, len(deltas) - 1)
        return times[run] + (number - begins[run]) * deltas[run]

    return time_of
