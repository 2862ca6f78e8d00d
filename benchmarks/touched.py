"""What a clip has to read at least, counted from FFmpeg's view of the recording."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
from footage import BenchmarkRecording

from clipline.contract.interval import Interval


@dataclass(frozen=True)
class Packets:
    """Sizes of a recording's packets; sums are over all packets before."""

    keyframes_ms: Sequence[Fraction]
    group_bytes: Sequence[int]
    """Of the coded pictures from one keyframe to the next."""
    audio_ms: Sequence[Fraction]
    audio_sums: Sequence[int]
    index_bytes: int
    keyframe_offsets: Sequence[int]
    sample_ends: Sequence[tuple[Fraction, int]]
    """(when it is shown in milliseconds, the byte after it) of each coded picture."""


def read_packets(path: Path) -> Packets:
    keyframes: list[Fraction] = []
    groups: list[int] = []
    audio: list[tuple[Fraction, int]] = []
    offsets: list[int] = []
    ends: list[tuple[Fraction, int]] = []
    total = 0
    with av.open(str(path)) as container:
        for packet in container.demux():
            if not packet.size or packet.pts is None:
                continue
            time_ms = packet.pts * packet.time_base * 1000
            total += packet.size
            if packet.stream.type == "video":
                assert packet.pos is not None
                ends.append((time_ms, packet.pos + packet.size))
                if packet.is_keyframe:
                    offsets.append(packet.pos)
            if packet.stream.type == "audio":
                audio.append((time_ms, packet.size))
            elif packet.is_keyframe:
                keyframes.append(time_ms)
                groups.append(packet.size)
            else:
                groups[-1] += packet.size
    sums = list(accumulate((size for _, size in audio), initial=0))
    index_bytes = path.stat().st_size - total
    return Packets(keyframes, groups, [time for time, _ in audio], sums, index_bytes, offsets, ends)


def touched_bytes(made: Sequence[BenchmarkRecording], packets: Sequence[Packets], interval: Interval) -> int:
    """Coded pictures of every group that the interval touches, their audio, and the indexes."""
    touched = 0
    for one, found in zip(made, packets, strict=True):
        part = Interval(one.start_ms, one.end_ms) & interval
        if part is None:
            continue
        begin, end = part.start_ms - one.start_ms, part.end_ms - one.start_ms
        first = bisect_right(found.keyframes_ms, begin) - 1
        stop = bisect_left(found.keyframes_ms, end)
        touched += sum(found.group_bytes[first:stop]) + found.index_bytes
        sound_first = max(bisect_right(found.audio_ms, begin) - 1, 0)
        sound_stop = bisect_left(found.audio_ms, end)
        touched += found.audio_sums[sound_stop] - found.audio_sums[sound_first]
    return touched


def byte_span(packets: Packets, recording: BenchmarkRecording, interval: Interval) -> tuple[int, int]:
    """``[start, stop)`` in bytes: from the last keyframe before the interval to its last coded picture."""
    begin, end = interval.start_ms - recording.start_ms, interval.end_ms - recording.start_ms
    first = max(bisect_right(packets.keyframes_ms, begin) - 1, 0)
    _, stop = max(sample for sample in packets.sample_ends if sample[0] < end)
    return packets.keyframe_offsets[first], stop
