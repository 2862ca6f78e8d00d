"""Which recording shows which wall time of a clip, and where gaps are: pure, from the sample tables.

Wall time is the recording's start plus presentation time. Where recordings overlap, the earlier one owns
the overlap up to the end of its last frame.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.media.index import RecordingIndex

ROUNDING_MS = 1
"""Recordings' starts are told in whole milliseconds: an overlap shorter than that is none."""

AskSample = Callable[[int], bool]
"""A question about a sync sample, by its number."""


@dataclass(frozen=True, eq=False)
class Source:
    """One recording, opened."""

    name: str
    start_ms: int
    """Wall time of its movie timeline's zero."""
    index: RecordingIndex
    is_idr: AskSample = lambda _: True
    """Whether it is an IDR picture, where a copy may begin."""
    is_entry: AskSample = lambda _: True
    """Whether a decoder may begin there, for what is shown from there on."""
    copyable: bool = True
    """Whether its pictures fit the clip's parameter sets; otherwise they are encoded to match."""

    def wall_ms(self, pts: int) -> Fraction:
        """Wall time of a presentation time, milliseconds since the epoch."""
        return self.start_ms + Fraction(pts * 1000, self.index.video.timescale)

    def ticks(self, wall_ms: Fraction | int) -> int:
        """The first presentation time that is not before ``wall_ms``."""
        return math.ceil((Fraction(wall_ms) - self.start_ms) * self.index.video.timescale / 1000)


@dataclass(frozen=True)
class CoveredPart:
    """Which wall time a stretch of the clip shows, and where in the clip."""

    span: Interval
    clip_offset_ms: int
    recording: str | None
    """None for a gap."""
    reason: str | None = None
    """Of a gap."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """The frames that one source gives: ``shown[first:stop]``. Times are wall time."""

    source: int
    name: str
    first: int
    stop: int
    begin_ms: Fraction
    """From when on this source shows the interval, be it by a frame before it."""
    end_ms: Fraction
    first_ms: Fraction
    """Of the first frame in the clip."""
    last_ms: Fraction
    following_ms: Fraction
    """When the source's next frame comes, or its footage ends."""


def find_stretches(sources: Sequence[Source], interval: Interval) -> list[Stretch]:
    """Which source gives which frames, in order of wall time."""
    stretches = []
    owned_until = take_from = Fraction(interval.start_ms)
    for number, source in enumerate(sources):
        video = source.index.video
        times = [video.pts[sample] for sample in video.shown]
        footage_end = source.wall_ms(video.end_pts)
        first = bisect_left(times, source.ticks(take_from))
        stop = bisect_left(times, source.ticks(interval.end_ms))
        if first < stop:
            stretches.append(
                Stretch(
                    number, source.name, first, stop,
                    max(owned_until, source.wall_ms(times[0])),
                    min(footage_end, Fraction(interval.end_ms)),
                    source.wall_ms(times[first]),
                    source.wall_ms(times[stop - 1]),
                    source.wall_ms(times[stop]) if stop < len(times) else footage_end,
                )
            )  # fmt: skip
            if footage_end > owned_until:
                owned_until = footage_end
                last_lasts = footage_end - source.wall_ms(times[-1])
                take_from = footage_end - min(Fraction(ROUNDING_MS), last_lasts / 2)
    return stretches


@dataclass(frozen=True, eq=False)
class Timeline:
    """Where the stretches stand in the clip. Times are in milliseconds."""

    zeros_ms: Sequence[Fraction]
    """For each stretch the wall time that output time 0 stands for; a skipped gap moves it on."""
    black_ms: Sequence[Fraction | None]
    """For each stretch the output time of a black picture before it."""
    hold_first: bool
    """The first frame is shown from 0 on, before its time, to fill a gap at the head."""
    tail_black_ms: Fraction | None
    tail_end_ms: Fraction | None
    """Output time of the clip's end where a gap at the tail is filled."""
    parts: Sequence[CoveredPart]


def lay_out(
    stretches: Sequence[Stretch],
    interval: Interval,
    policy: GapPolicy,
    tolerance_ms: int,
    gap_reason: Callable[[Interval], str],
) -> Timeline:
    parts: list[CoveredPart] = []
    zeros: list[Fraction] = []
    blacks: list[Fraction | None] = []
    covered_until = Fraction(interval.start_ms)
    zero = stretches[0].first_ms
    hold_first = False

    def gap_before(wall_ms: Fraction | int) -> bool:
        """Note the gap from ``covered_until`` to ``wall_ms``, if it is one that counts."""
        if wall_ms - covered_until <= max(tolerance_ms, 1):
            return False
        gap = Interval(round(covered_until), round(wall_ms))
        parts.append(CoveredPart(gap, max(round(covered_until - zero), 0), None, gap_reason(gap)))
        return True

    for stretch in stretches:
        black = None
        at_head = not zeros
        if at_head and policy is not GapPolicy.SKIP and stretch.begin_ms - covered_until > tolerance_ms:
            zero = covered_until
        if gap_before(stretch.begin_ms):
            if policy is GapPolicy.BLACK:
                black = covered_until - zero
            elif policy is not GapPolicy.SKIP:
                hold_first = hold_first or at_head
            elif not at_head:
                zero += stretch.begin_ms - covered_until
        begin, end = round(stretch.begin_ms), round(stretch.end_ms)
        offset = 0 if not parts else round(stretch.first_ms - zero)
        parts.append(CoveredPart(Interval(begin, max(end, begin + 1)), offset, stretch.name))
        zeros.append(zero)
        blacks.append(black)
        covered_until = stretch.end_ms
    tail_black = tail_end = None
    if gap_before(interval.end_ms) and policy is not GapPolicy.SKIP:
        tail_end = interval.end_ms - zero
        tail_black = covered_until - zero if policy is GapPolicy.BLACK else None
    return Timeline(zeros, blacks, hold_first, tail_black, tail_end, parts)
