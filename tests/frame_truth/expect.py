"""Which pictures a clip must show, and when: worked out from wall times alone, by the rules as written.

These are those of `cutting.md` 10 and of the gap policies: an interval is half-open; where recordings
overlap, the earlier one owns the overlap up to the end of its last frame (an overlap below a millisecond
is none: recordings' starts are told in whole milliseconds); the clip's first picture has time 0, every other
one its wall-clock distance from it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from frame_truth.footage import Recorded

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval


@dataclass(frozen=True)
class Due:
    """A picture that must be shown."""

    recording: int | None
    """None: black, for a gap."""
    place: int
    """Which of the recording's pictures."""
    time_ms: Fraction
    """In the clip."""


@dataclass(frozen=True)
class Stretch:
    """What one recording gives."""

    recording: int
    zero_ms: Fraction
    """The wall time that the clip's time 0 stands for, while this recording is shown."""
    first_ms: Fraction
    """Wall time of its first picture in the clip."""
    until_ms: Fraction
    """Wall time until which it is shown."""


@dataclass(frozen=True)
class Expectation:
    pictures: Sequence[Due]
    stretches: Sequence[Stretch]
    end_ms: Fraction
    """When the last picture stops being shown."""
    gaps: int
    first_wall_ms: Fraction | None
    last_wall_ms: Fraction | None


def expect(
    recordings: Sequence[Recorded], interval: Interval, policy: GapPolicy, tolerance_ms: int
) -> Expectation:
    """What the clip of ``interval`` must hold; no pictures where none lies in it."""
    pictures: list[Due] = []
    stretches: list[Stretch] = []
    gaps = 0
    walls: list[Fraction] = []
    zero = following = Fraction(interval.start_ms)
    owned_until = take_from = covered_until = Fraction(interval.start_ms)

    def is_gap(until: Fraction | int) -> bool:
        return until - covered_until > max(tolerance_ms, 1)

    for number in sorted(range(len(recordings)), key=lambda n: (recordings[n].start_ms, recordings[n].name)):
        one = recordings[number]
        first = bisect_left(one.walls_ms, take_from)
        stop = bisect_left(one.walls_ms, interval.end_ms)
        begin = max(owned_until, one.walls_ms[0])
        if one.end_ms > owned_until:
            owned_until = one.end_ms
            take_from = one.end_ms - min(Fraction(1), (one.end_ms - one.walls_ms[-1]) / 2)
        if first >= stop:
            continue
        gap = is_gap(begin)
        gaps += gap
        at_head = not walls
        if at_head:
            zero = covered_until if gap and policy is not GapPolicy.SKIP else one.walls_ms[first]
        if gap and policy is GapPolicy.BLACK:
            pictures.append(Due(None, 0, covered_until - zero))
        elif gap and policy is GapPolicy.SKIP and not at_head:
            zero += begin - covered_until
        times = [one.walls_ms[place] - zero for place in range(first, stop)]
        if at_head and gap and policy in {GapPolicy.HOLD, GapPolicy.FAIL}:
            times[0] = Fraction(0)
        pictures += [Due(number, place, time) for place, time in zip(range(first, stop), times, strict=True)]
        following = one.walls_ms[stop] if stop < len(one.walls_ms) else one.end_ms
        stretches.append(Stretch(number, zero, one.walls_ms[first], following))
        walls += one.walls_ms[first:stop]
        covered_until = min(one.end_ms, Fraction(interval.end_ms))
    end = following - zero
    if walls and is_gap(interval.end_ms):
        gaps += 1
        if policy is not GapPolicy.SKIP:
            end = interval.end_ms - zero
        if policy is GapPolicy.BLACK:
            pictures.append(Due(None, 0, covered_until - zero))
    first_wall, last_wall = (walls[0], walls[-1]) if walls else (None, None)
    return Expectation(pictures, stretches, end, gaps, first_wall, last_wall)


def begin_at_keyframe(due: Expectation, recordings: Sequence[Recorded], begin_ms: int) -> Expectation:
    """``due``, but begun with the keyframe at wall time ``begin_ms`` (to the millisecond).

    Unchanged where there is none; the caller compares the beginning with what was told.
    """
    first = due.pictures[0]
    if first.recording is None:
        return due
    one = recordings[first.recording]
    begin = next((key for key in one.keys if round(one.walls_ms[key]) == begin_ms), first.place)
    if begin >= first.place:
        return due
    walls = one.walls_ms[begin : first.place + 1]
    shift = walls[-1] - walls[0]
    before = [Due(first.recording, begin + place, wall - walls[0]) for place, wall in enumerate(walls[:-1])]
    stretches = [replace(stretch, zero_ms=stretch.zero_ms - shift) for stretch in due.stretches]
    stretches[0] = replace(stretches[0], first_ms=walls[0])
    return replace(
        due, pictures=[*before, *(replace(one, time_ms=one.time_ms + shift) for one in due.pictures)],
        stretches=stretches, end_ms=due.end_ms + shift, first_wall_ms=walls[0],
    )  # fmt: skip
