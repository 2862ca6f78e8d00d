"""What to copy and what to encode: pure, from the sample tables of the recordings and the interval asked.

    asked              [---------------------------)
    samples    I P P P P P I P P P P P I P P P P P I P P
    plan               encode |   copy              |encode (only with B-frames)

A copy begins at an IDR picture, where a decoder can begin. What is asked before the first such picture
is decoded from the IDR picture before it and encoded anew. At the end a copy stops where no picture is
needed that is not asked; the few B-frames behind that, whose reference lies beyond the end, are
encoded anew as well.

Output time is the distance from the clip's first frame, in ticks of one timescale.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import NoFrames, UnsupportedMedia
from clipline.contract.interval import Interval
from clipline.media.index import Track
from clipline.media.plan_audio import AudioPlan, plan_audio
from clipline.media.timeline import CoveredPart, Source, Stretch, find_stretches, lay_out

MAX_TIMESCALE = 10_000_000
"""Ticks a second; a 32-bit duration of one frame still holds seven minutes."""


@dataclass(frozen=True, eq=False)
class CopySpan:
    """Samples ``[first, stop)`` in decode order, byte for byte."""

    source: int
    first: int
    stop: int


@dataclass(frozen=True, eq=False)
class EncodeSpan:
    """Frames decoded from ``[first, stop)`` and encoded anew, beginning with an IDR picture."""

    source: int
    first: int
    """A sample that a decoder can begin at."""
    stop: int
    frames: Sequence[int]
    """Sample numbers of the frames to encode, in presentation order."""
    why: str


@dataclass(frozen=True, eq=False)
class BlackSpan:
    """One black picture that stands for a gap."""


Span = CopySpan | EncodeSpan | BlackSpan


@dataclass(frozen=True, eq=False)
class Plan:
    """A clip, frame by frame, before a byte of footage is read."""

    sources: Sequence[Source]
    spans: Sequence[Span]
    """In the order of the output."""
    span_pts: Sequence[Sequence[int]]
    """For each span the output time of each of its frames, in the span's own order (copies: decode
    order; encoded frames: presentation order), in ``timescale`` ticks; the clip's first frame has 0."""
    timescale: int
    end_pts: int
    """When the last frame stops being shown, ticks."""
    first_frame_ms: Fraction
    """Wall time of the first frame, milliseconds since the epoch."""
    last_frame_ms: Fraction
    parts: Sequence[CoveredPart]
    audio: AudioPlan

    @property
    def frames_copied(self) -> int:
        return sum(span.stop - span.first for span in self.spans if isinstance(span, CopySpan))

    @property
    def frames_encoded(self) -> int:
        return sum(len(span.frames) for span in self.spans if isinstance(span, EncodeSpan))

    @property
    def decoded(self) -> Sequence[tuple[int, int, int]]:
        """(source, first, stop) of the samples that each span needs."""
        return [(one.source, one.first, one.stop) for one in self.spans if not isinstance(one, BlackSpan)]

    @property
    def gaps(self) -> Sequence[CoveredPart]:
        return [part for part in self.parts if part.recording is None]


def make_plan(
    sources: Sequence[Source],
    interval: Interval,
    *,
    gap_policy: GapPolicy = GapPolicy.HOLD,
    tolerance_ms: int = 1000,
    gap_reason: Callable[[Interval], str] = lambda _: "no recording",
    encode_all: str | None = None,
) -> Plan:
    """Plan the clip of ``interval`` from ``sources``, which are in order of ``start_ms``.

    Gaps longer than ``tolerance_ms`` are listed in ``parts`` and filled as ``gap_policy`` says (FAIL
    plans as HOLD does: the caller decides from ``gaps``). ``encode_all``: why nothing may be copied.
    Raises NoFrames where no frame lies in the interval.
    """
    stretches = find_stretches(sources, interval)
    if not stretches:
        covered = any(
            source.wall_ms(source.index.video.pts[source.index.video.shown[0]]) <= interval.start_ms
            and interval.end_ms <= source.wall_ms(source.index.video.end_pts)
            for source in sources
        )
        raise NoFrames(f"no frame of any recording lies in {interval}", covered=covered)
    timescale = _timescale([sources[one.source].index.video.timescale for one in stretches])
    timeline = lay_out(stretches, interval, gap_policy, tolerance_ms, gap_reason)
    spans: list[Span] = []
    span_pts: list[Sequence[int]] = []

    def add_black(output_ms: Fraction | None) -> None:
        if output_ms is not None:
            spans.append(BlackSpan())
            span_pts.append([round(output_ms * timescale / 1000)])

    for stretch, zero_ms, black_ms in zip(stretches, timeline.zeros_ms, timeline.black_ms, strict=True):
        add_black(black_ms)
        for span in _spans(sources[stretch.source], stretch, encode_all):
            numbers = range(span.first, span.stop) if isinstance(span, CopySpan) else span.frames
            spans.append(span)
            span_pts.append(_output_times(sources[stretch.source], numbers, zero_ms, timescale))
    if timeline.hold_first:
        first_span = span_pts[0] = list(span_pts[0])
        first_span[first_span.index(min(first_span))] = 0
    add_black(timeline.tail_black_ms)
    end_ms = timeline.tail_end_ms
    if end_ms is None:
        end_ms = stretches[-1].following_ms - timeline.zeros_ms[-1]
    return Plan(
        sources, spans, span_pts, timescale, round(end_ms * timescale / 1000),
        stretches[0].first_ms, stretches[-1].last_ms, timeline.parts,
        plan_audio(sources, stretches, timeline.zeros_ms, end_ms / 1000),
    )  # fmt: skip


def _timescale(timescales: Sequence[int]) -> int:
    """Ticks that hold every frame's time exactly: the source's own, or with several the least common
    multiple with a millisecond (recordings start at whole milliseconds)."""
    if len(timescales) == 1:
        return timescales[0]
    common = math.lcm(1000, *timescales)
    return common if common <= MAX_TIMESCALE else max(timescales)


def _output_times(source: Source, numbers: Sequence[int], zero_ms: Fraction, timescale: int) -> list[int]:
    """Output times of samples of ``source``, rounded to the nearest tick."""
    # One product and one sum a frame, all in integers: (pts * up + plus) / down.
    scale = Fraction(timescale, source.index.video.timescale)
    shift = (source.start_ms - zero_ms) * timescale / 1000
    down = math.lcm(scale.denominator, shift.denominator)
    up = scale.numerator * (down // scale.denominator)
    plus = shift.numerator * (down // shift.denominator) + down // 2
    pts = source.index.video.pts
    return [(pts[number] * up + plus) // down for number in numbers]


def _spans(source: Source, stretch: Stretch, encode_all: str | None) -> list[CopySpan | EncodeSpan]:
    """Copy and encode for the frames of one stretch."""
    video = source.index.video
    frames = video.shown[stretch.first : stretch.stop]
    wanted = set(frames)
    stop = max(wanted) + 1
    why = encode_all or (None if source.copyable else "its parameters differ from the other recordings'")
    begin = None if why else _first_idr(source, stop, wanted)
    if begin is None:
        why = why or "no IDR picture among the frames asked"
        return [EncodeSpan(stretch.source, _decoder_entry(source, frames[0]), stop, frames, why)]
    head = [number for number in frames if video.pts[number] < video.pts[begin]]
    copy_stop = _closed_end(video, begin, stop, wanted)
    tail = [number for number in frames if number >= copy_stop]
    spans: list[CopySpan | EncodeSpan] = []
    if head:
        entry = _decoder_entry(source, head[0])
        spans.append(
            EncodeSpan(stretch.source, entry, max(head) + 1, head, "frames before the first IDR picture")
        )
    spans.append(CopySpan(stretch.source, begin, copy_stop))
    if tail:
        entry = _decoder_entry(source, tail[0])
        spans.append(
            EncodeSpan(stretch.source, entry, stop, tail, "B-frames that need a picture beyond the end")
        )
    return spans


def _sync_samples(video: Track) -> Sequence[int]:
    return range(len(video)) if video.sync is None else video.sync


def _first_idr(source: Source, stop: int, wanted: set[int]) -> int | None:
    """The first IDR picture among the frames wanted; what is decoded after it is shown after it."""
    syncs = _sync_samples(source.index.video)
    for number in syncs[bisect_left(syncs, min(wanted)) : bisect_left(syncs, stop)]:
        if number in wanted and source.is_idr(number):
            return number
    return None


def _decoder_entry(source: Source, frame: int) -> int:
    """The last sample to begin decoding at that is neither decoded nor shown after ``frame``."""
    video = source.index.video
    syncs = _sync_samples(video)
    for at in range(bisect_left(syncs, frame + 1) - 1, -1, -1):
        if video.pts[syncs[at]] <= video.pts[frame] and source.is_entry(syncs[at]):
            return syncs[at]
    raise UnsupportedMedia(f"{source.name} has no picture to begin decoding at before the frames asked")


def _closed_end(video: Track, begin: int, stop: int, wanted: set[int]) -> int:
    """How far a copy from ``begin`` goes: all of it is asked, and all of it is shown before the rest."""
    copy_stop = begin
    while copy_stop < stop and copy_stop in wanted:
        copy_stop += 1
    if copy_stop == stop:
        return stop
    rest = min((video.pts[number] for number in range(copy_stop, stop) if number in wanted), default=None)
    while rest is not None and copy_stop > begin + 1:
        latest = max(video.pts[begin:copy_stop])
        if latest < rest:
            break
        copy_stop -= 1
        rest = min(rest, video.pts[copy_stop])
    return copy_stop
