"""What a clip must hold, worked out from wall times alone, and what it does hold, as FFmpeg reads it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, Cut, CutReport, ThumbnailOptions, prepare
from clipline.media.footage import Footage
from clipline.media.overlay import frame_number
from clipline.media.ranges import ByteSource, LocalSource

START_MS = 1_537_113_617_033


@dataclass(frozen=True)
class Recorded:
    """A recording that was made for a test."""

    path: Path
    start_ms: int
    footage: Footage

    def wall_ms(self, number: int) -> Fraction:
        """Wall time of the frame that carries ``number``."""
        place = number - self.footage.first_number
        if self.footage.container == "mp4" or place >= len(self.file_times_s):
            return self.start_ms + self._zero_ms + place * 1000 / self.footage.frame_rate
        return self.start_ms + self.file_times_s[place] * 1000

    @property
    def _zero_ms(self) -> Fraction:
        """How late the first frame is; MP4 footage has an edit list that makes it come at zero."""
        return Fraction(0) if self.footage.container == "mp4" else self.file_times_s[0] * 1000

    @cached_property
    def file_times_s(self) -> list[Fraction]:
        """When each frame is shown, as FFmpeg sees it; in MPEG-TS from the container's earliest start."""
        with av.open(str(self.path)) as container:
            base = container.streams.video[0].time_base
            assert base is not None
            zero_s = Fraction(0)
            if self.footage.container == "mpegts":
                zero_s = min(one.start_time * one.time_base for one in container.streams)
            times = sorted(packet.pts for packet in container.demux(video=0) if packet.size)
            return [pts * base - zero_s for pts in times]

    @property
    def numbers(self) -> range:
        return range(self.footage.first_number, self.footage.first_number + self.footage.frames)

    @property
    def end_ms(self) -> Fraction:
        return self.wall_ms(self.numbers.stop)

    @cached_property
    def packets(self) -> dict[int, bytes]:
        """The coded picture of each frame number."""
        by_time = video_packets(self.path)
        return dict(zip(self.numbers, by_time.values(), strict=True))

    @cached_property
    def keyframes(self) -> list[int]:
        """Frame numbers of the pictures that the container marks as keyframes."""
        with av.open(str(self.path)) as container:
            times = {p.pts: p.is_keyframe for p in container.demux(video=0) if p.size}
        return [number for number, pts in zip(self.numbers, sorted(times), strict=True) if times[pts]]


def record(
    directory: Path, footage: Footage, recordings: int = 1, start_ms: int = START_MS
) -> list[Recorded]:
    """Consecutive recordings, as a camera makes them: each starts at a whole millisecond, rounded down."""
    from clipline.media.footage import make_sample

    directory.mkdir(exist_ok=True)
    paths = make_sample(directory, camera="pier", start_ms=start_ms, recordings=recordings, footage=footage)
    made = []
    for place, path in enumerate(paths):
        before = place * footage.frames
        begins_ms = start_ms + math.floor(before * 1000 / footage.frame_rate)
        made.append(Recorded(path, begins_ms, replace(footage, first_number=footage.first_number + before)))
    return made


def expected_numbers(recordings: Sequence[Recorded], interval: Interval) -> list[int]:
    """Every frame whose wall time lies in the interval; recordings must not overlap by a whole frame."""
    return [
        number
        for recording in recordings
        for number in recording.numbers
        if interval.start_ms <= recording.wall_ms(number) < interval.end_ms
    ]


def wall_of(recordings: Sequence[Recorded], number: int) -> Fraction:
    """Wall time of the frame that carries ``number``, in whichever recording."""
    place = bisect_right([one.footage.first_number for one in recordings], number) - 1
    return recordings[place].wall_ms(number)


def plan_cut(
    recordings: Sequence[Recorded],
    interval: Interval,
    directory: Path,
    gap_policy: GapPolicy = GapPolicy.FAIL,
    tolerance_ms: int = 1000,
) -> Cut:
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one in recordings]
    return prepare(candidates, interval, directory, gap_policy=gap_policy, tolerance_ms=tolerance_ms)


def make_clip(
    recordings: Sequence[Recorded],
    interval: Interval,
    directory: Path,
    *,
    gap_policy: GapPolicy = GapPolicy.FAIL,
    thumbnails: ThumbnailOptions | None = None,
) -> CutReport:
    return plan_cut(recordings, interval, directory, gap_policy).render(directory / "clip.mp4", thumbnails)


@dataclass(frozen=True)
class Shown:
    """A frame of a clip, as it is shown."""

    number: int | None
    """None where the picture carries none: black."""
    time_s: Fraction
    picture: av.VideoFrame = field(repr=False)


def show(path: Path, *, strict: bool = True) -> list[Shown]:
    """Every frame that a player shows, in order; with ``strict``, any damage is an error."""
    shown = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "AUTO"
        if strict:
            stream.codec_context.options = {"err_detect": "explode"}
        for frame in container.decode(stream):
            assert not frame.is_corrupt
            assert frame.pts is not None
            assert frame.time_base is not None
            black = max(memoryview(frame.planes[0])[: frame.width]) < 30
            number = None if black and _is_dark(frame) else frame_number(frame)
            shown.append(Shown(number, frame.pts * Fraction(frame.time_base), frame))
    return shown


def _is_dark(frame: av.VideoFrame) -> bool:
    return max(bytes(frame.planes[0])) < 30


def video_packets(path: Path) -> dict[int, bytes]:
    """Coded pictures by presentation time (ticks), in the order in which they are shown."""
    with av.open(str(path)) as container:
        packets = {packet.pts: bytes(packet) for packet in container.demux(video=0) if packet.size}
    return {pts: packets[pts] for pts in sorted(packets)}


def audio_packets(path: Path) -> dict[Fraction, bytes]:
    """Coded audio frames by presentation time (seconds); none where there is no audio."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return {}
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return {packet.pts * Fraction(packet.time_base): bytes(packet) for packet in packets}


class CountingSource:
    """A recording that lies elsewhere: every read is counted."""

    local_path = None

    def __init__(self, path: Path) -> None:
        self._source: ByteSource = LocalSource(path)
        self.name = path.name
        self.size_bytes = path.stat().st_size
        self.reads: list[tuple[int, int]] = []
        """(offset, length)"""

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size_bytes
        self.reads.append((offset, length))
        return self._source.read(offset, length)

    @property
    def bytes_read(self) -> int:
        return sum(length for _, length in self.reads)
