"""A clip, frame by frame: pure, from the sample tables of the recordings and the interval asked.

    asked              [---------------------------)
    samples    I P P P P P I P P P P P I P P P P P I P P
    plan               encode |   copy              |encode (only with B-frames)

Output time is the distance from the clip's first frame, in ticks of one timescale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import NoFrames
from clipline.contract.interval import Interval
from clipline.contract.modes import CutMode
from clipline.media.plan_audio import AudioPlan, plan_audio
from clipline.media.spans import (
    BlackSpan,
    CopySpan,
    EncodeSpan,
    Span,
    choose_spans,
    snap_to_keyframe,
)
from clipline.media.timeline import CoveredPart, Source, Stretch, find_stretches, lay_out, shows_all

MAX_TIMESCALE = 10_000_000
"""Ticks a second; a 32-bit duration of one frame still holds seven minutes."""


@dataclass(frozen=True)
class PlanOptions:
    """What the caller wants of a plan."""

    gap_policy: GapPolicy = GapPolicy.HOLD
    """FAIL plans as HOLD does: the caller decides from the plan's gaps."""
    tolerance_ms: int = 1000
    """Holes up to this long are none."""
    mode: CutMode = CutMode.EXACT
    gap_reason: Callable[[Interval], str] = lambda _: "no recording"


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
    mode: CutMode = CutMode.EXACT

    @property
    def frames_copied(self) -> int:
        return sum(len(span.samples) for span in self.spans if isinstance(span, CopySpan))

    @property
    def copies(self) -> int:
        """How many spans are copied."""
        return sum(isinstance(span, CopySpan) for span in self.spans)

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
    options: PlanOptions | None = None,
    *,
    encode_all: str | None = None,
) -> Plan:
    """Plan the clip of ``interval`` from ``sources``, which are in order of ``start_ms``.

    Gaps longer than the tolerance are listed in ``parts`` and filled as the policy says. ``encode_all``:
    why nothing may be copied. Raises NoFrames where no frame lies in the interval.
    """
    options = options or PlanOptions()
    if options.mode is CutMode.ENCODE:
        encode_all = encode_all or "asked for"
    stretches = find_stretches(sources, interval, options.tolerance_ms)
    if not stretches:
        there = [source for source in sources if not source.left_out]
        covered = any(shows_all(source, interval, options.tolerance_ms) for source in there)
        raise NoFrames(f"no frame of any recording lies in {interval}", covered=covered)
    if options.mode is CutMode.KEYFRAME and not encode_all:
        stretches[0] = _begin_at_keyframe(sources[stretches[0].source], stretches[0])
    timescale = _timescale([sources[one.source].index.video.timescale for one in stretches])
    timeline = lay_out(stretches, interval, options.gap_policy, options.tolerance_ms, options.gap_reason)
    spans: list[Span] = []
    span_pts: list[Sequence[int]] = []

    def add_black(output_ms: Fraction | None) -> None:
        if output_ms is not None:
            spans.append(BlackSpan())
            span_pts.append([round(output_ms * timescale / 1000)])

    for first, stop in _runs(stretches, timeline.black_ms):
        add_black(timeline.black_ms[first])
        number = stretches[first].source
        source = sources[number]
        output_times: dict[int, int] = {}
        for stretch, zero_ms in zip(stretches[first:stop], timeline.zeros_ms[first:stop], strict=True):
            frames = source.index.video.shown[stretch.first : stretch.stop]
            output_times.update(zip(frames, _output_times(source, frames, zero_ms, timescale), strict=True))
        frames = list(output_times)
        if options.mode is not CutMode.EXACT and not spans and not encode_all:
            frames = list(snap_to_keyframe(source, frames))
            hidden = [frame for frame in frames if frame not in output_times]
            zero_ms = timeline.zeros_ms[first]
            output_times.update(zip(hidden, _output_times(source, hidden, zero_ms, timescale), strict=True))
        for span in choose_spans(number, source, frames, encode_all):
            spans.append(span)
            samples = span.samples if isinstance(span, CopySpan) else span.frames
            span_pts.append([output_times[sample] for sample in samples])
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
        plan_audio(sources, stretches, timeline.zeros_ms, end_ms / 1000), options.mode,
    )  # fmt: skip


def _begin_at_keyframe(source: Source, stretch: Stretch) -> Stretch:
    """The stretch from the keyframe on that a copy of it begins with."""
    video = source.index.video
    frames = snap_to_keyframe(source, video.shown[stretch.first : stretch.stop])
    before = sum(1 for frame in frames if 0 <= video.pts[frame] < video.pts[video.shown[stretch.first]])
    if not before:
        return stretch
    first = stretch.first - before
    begin_ms = source.wall_ms(video.pts[video.shown[first]])
    return replace(stretch, first=first, begin_ms=begin_ms, first_ms=begin_ms)


def _runs(stretches: Sequence[Stretch], black_ms: Sequence[Fraction | None]) -> Iterator[tuple[int, int]]:
    """``[first, stop)`` of stretches whose frames follow each other in one source: one copy may span them."""
    first = 0
    for place in range(1, len(stretches) + 1):
        if place < len(stretches) and black_ms[place] is None:
            before, after = stretches[place - 1], stretches[place]
            if (after.source, after.first) == (before.source, before.stop):
                continue
        yield first, place
        first = place


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
