"""Which recording shows which wall time of a clip, and where gaps are: pure, from the sample tables.

Wall time is the recording's start plus presentation time. Where recordings overlap, the earlier one owns
the overlap up to the end of its last frame.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.media.index import RecordingIndex

ROUNDING_MS = 1
"""Recordings' starts are told in whole milliseconds: an overlap shorter than that is none."""

AskSample = Callable[[int], bool]
"""A question about a sample, by its number."""

MOST_USUAL_S = 60
"""From one picture to the next: what comes later yet is a hole, be there few pictures and many holes."""

MISSED_FRAMES = 2
"""A picture that comes later by more than so many usual steps may stand behind a hole."""


@dataclass(frozen=True, eq=False)
class Source:
    """One recording, opened."""

    name: str
    start_ms: int
    """Wall time of its movie timeline's zero."""
    index: RecordingIndex
    can_begin_copy: AskSample = lambda _: True
    """Whether players can begin there after pictures of another origin: an IDR picture."""
    can_begin_decoding: AskSample = lambda _: True
    """Whether a decoder may begin there, for what is shown from there on."""
    leans_on_before: AskSample = lambda _: False
    """Whether a picture decoded after a keyframe and shown before it needs what came before."""
    encode_why: str | None = None
    """Why its pictures can't be copied into the clip and are encoded to match; None: they can."""
    left_out: str | None = None
    """Why nothing of it may be shown, though its index could be read; None: it may."""

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


def find_stretches(sources: Sequence[Source], interval: Interval, tolerance_ms: int) -> list[Stretch]:
    """Which source gives which frames, in order of wall time.

    A source whose pictures pause for longer than ``tolerance_ms`` gives several stretches.
    """
    stretches: list[Stretch] = []
    owned_until = take_from = shown_until = Fraction(interval.start_ms)
    for number, source in enumerate(sources):
        if source.left_out:
            continue
        footage = _Footage(source, tolerance_ms)
        footage_end = source.wall_ms(source.index.video.end_pts)
        first = footage.place(take_from)
        stop = footage.place(interval.end_ms)
        if first >= stop:
            if not stretches and footage.wall_ms(0) <= interval.start_ms and footage_end > shown_until:
                # Its last picture, from before the interval, is on show: what overlaps it comes after.
                shown_until, take_from = footage_end, footage.owns_until(footage_end)
            continue
        holes = footage.holes(first, stop + 1)
        edges = [first, *(place for place in holes if first < place < stop), stop]
        for begin, end in pairwise(edges):
            shown_from = footage.wall_ms(begin if begin in holes else 0)
            shown_to = footage.wall_ms(end - 1) + footage.step_ms if end in holes else footage_end
            if not stretches and shown_from <= shown_until:
                shown_from = owned_until
            following = footage.wall_ms(end) if end < len(footage) and end not in holes else shown_to
            # However long its last frame is said to last, a clip ends about where it was asked to.
            latest = max(footage.wall_ms(end - 1) + footage.longest_ms, Fraction(interval.end_ms))
            stretches.append(
                Stretch(
                    number, source.name, begin, end,
                    max(owned_until, shown_from),
                    min(shown_to, Fraction(interval.end_ms)),
                    footage.wall_ms(begin),
                    footage.wall_ms(end - 1),
                    min(following, latest),
                )
            )  # fmt: skip
        if footage_end > owned_until:
            owned_until, take_from = footage_end, footage.owns_until(footage_end)
    return stretches


def shows_all(source: Source, interval: Interval, tolerance_ms: int) -> bool:
    """Whether a picture of ``source`` is on show all through the interval."""
    footage = _Footage(source, tolerance_ms)
    following = footage.place(interval.start_ms + 1)
    return (
        footage.wall_ms(0) <= interval.start_ms
        and interval.end_ms <= source.wall_ms(source.index.video.end_pts)
        and not footage.holes(following, following + 1)
    )


class _Footage:
    """The frames that a source shows, by their place in presentation order."""

    def __init__(self, source: Source, tolerance_ms: int) -> None:
        self._source = source
        self._video = video = source.index.video
        self._shown = video.shown
        first_pts, last_pts = video.pts[self._shown[0]], video.pts[self._shown[-1]]
        # Not up to the end: other frames may lie before it, and the last one be said to last for a day.
        usual = Fraction(last_pts - first_pts, len(self._shown) - 1) if len(self._shown) > 1 else Fraction(0)
        usual = min(usual, Fraction(MOST_USUAL_S * video.timescale))
        self.step_ms = usual * 1000 / video.timescale
        """From one frame to the next, on average."""
        longest = usual + max(Fraction(tolerance_ms * video.timescale, 1000), MISSED_FRAMES * usual)
        self._longest = math.floor(longest)  # steps are whole ticks
        self.longest_ms = longest * 1000 / video.timescale
        """That a frame may be shown for without a hole behind it."""

    def __len__(self) -> int:
        return len(self._shown)

    def wall_ms(self, place: int) -> Fraction:
        return self._source.wall_ms(self._video.pts[self._shown[place]])

    def place(self, wall_ms: Fraction | int) -> int:
        """Of the first frame that is not before ``wall_ms``."""
        return bisect_left(self._shown, self._source.ticks(wall_ms), key=self._video.pts.__getitem__)

    def owns_until(self, footage_end_ms: Fraction) -> Fraction:
        """From when on other recordings give the frames, where this one ends at ``footage_end_ms``."""
        last_lasts = footage_end_ms - self.wall_ms(len(self) - 1)
        return footage_end_ms - min(Fraction(ROUNDING_MS), last_lasts / 2)

    def holes(self, first: int, stop: int) -> Sequence[int]:
        """Those of the places ``[first, stop)`` before which no frame was shown for too long."""
        first, stop = max(first, 1), min(stop, len(self))
        times = [self._video.pts[sample] for sample in self._shown[first - 1 : stop]]
        steps = map(operator.sub, times[1:], times)
        return [place for place, step in enumerate(steps, first) if step > self._longest]


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
    within: str | None = None

    def gap_before(wall_ms: Fraction | int) -> bool:
        """Note the gap from ``covered_until`` to ``wall_ms``, if it is one that counts."""
        if wall_ms - covered_until <= max(tolerance_ms, 1):
            return False
        gap = Interval(round(covered_until), round(wall_ms))
        reason = gap_reason(gap) if within is None else f"{within} holds no picture there"
        parts.append(CoveredPart(gap, max(round(covered_until - zero), 0), None, reason))
        return True

    for place, stretch in enumerate(stretches):
        within = stretch.name if place and stretches[place - 1].source == stretch.source else None
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
    within = None
    tail_black = tail_end = None
    if gap_before(interval.end_ms) and policy is not GapPolicy.SKIP:
        tail_end = interval.end_ms - zero
        tail_black = covered_until - zero if policy is GapPolicy.BLACK else None
    return Timeline(zeros, blacks, hold_first, tail_black, tail_end, parts)
