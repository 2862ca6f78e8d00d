"""Coverage against a model that asks, for each millisecond, which recording shows it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from clipline.contract.coverage import Gap, Piece, cover, holes
from clipline.contract.interval import Interval
from clipline.contract.recording import Recording

spans = st.builds(
    lambda start, length: Interval(start, start + length), st.integers(0, 60), st.integers(1, 25)
)


@st.composite
def recordings(draw: st.DrawFn) -> list[Recording]:
    found = draw(st.lists(spans, max_size=6))
    some = [Recording(f"{number}.mp4", span, "cam") for number, span in enumerate(found)]
    return some + draw(st.lists(st.sampled_from(some), max_size=2) if some else st.just([]))


def owners(interval: Interval, found: list[Recording]) -> list[str | None]:
    """Of each millisecond: of those that show it the one that began first, then that ends first."""
    answer = []
    for at in range(interval.start_ms, interval.end_ms):
        there = [one for one in found if one.span.start_ms <= at < one.span.end_ms]
        first = min(there, key=lambda one: (one.span.start_ms, one.span.end_ms, one.name), default=None)
        answer.append(first.name if first else None)
    return answer


@given(spans, recordings(), st.randoms(use_true_random=False))
def test_every_millisecond_has_its_owner(
    interval: Interval, found: list[Recording], dice: random.Random
) -> None:
    coverage = cover(interval, found)
    shown: list[str | None] = []
    at_ms = interval.start_ms
    for part in coverage:
        assert part.span.start_ms == at_ms
        at_ms = part.span.end_ms
        shown += [part.recording.name if isinstance(part, Piece) else None] * part.span.duration_ms
    assert at_ms == interval.end_ms
    assert shown == owners(interval, found)
    # A gap is one gap, and a recording shows one piece.
    assert len([part for part in coverage if isinstance(part, Gap)]) == len(
        interval.minus(one.span for one in found)
    )
    names = [part.recording.name for part in coverage if isinstance(part, Piece)]
    assert len(names) == len(set(names))

    shuffled = list(found)
    dice.shuffle(shuffled)
    assert cover(interval, shuffled) == coverage


@given(spans, recordings(), st.integers(0, 30))
def test_holes_are_the_gaps_beyond_the_tolerance(
    interval: Interval, found: list[Recording], tolerance_ms: int
) -> None:
    counted = holes(cover(interval, found), tolerance_ms)
    expected = [one for one in interval.minus(one.span for one in found) if one.duration_ms > tolerance_ms]
    assert [gap.span for gap in counted] == expected
    assert all(gap.reason == "no recording" for gap in counted)


def test_a_hole_of_just_the_tolerance_counts_as_covered() -> None:
    coverage = cover(Interval(0, 3000), [Recording("a.mp4", Interval(0, 2000), "cam")])
    assert holes(coverage, 1000) == ()
    assert holes(coverage, 999) == (Gap(Interval(2000, 3000)),)
