"""Which frames a recording gives, and until when, from its sample table alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from clipline.contract.interval import Interval
from clipline.media.boxes import Box
from clipline.media.index import RecordingIndex, Track
from clipline.media.plan import PlanOptions, make_plan
from clipline.media.timeline import Source, find_stretches

ASKED = Interval(2_000, 4_000)


def source(pts: Sequence[int], end_pts: int) -> Source:
    """A recording that begins at wall time 0, in milliseconds."""
    count = len(pts)
    track = Track(
        Box("avc1", memoryview(b"")), 1000, [1] * count, pts, pts, end_pts, None, range(count + 1),
        range(count), bytes(44),
    )  # fmt: skip
    return Source("one", 0, RecordingIndex(track, None, 0))


def test_a_last_frame_that_lasts_for_a_day_ends_with_the_interval() -> None:
    plan = make_plan([source(range(0, 3_000, 100), 86_400_000)], ASKED, PlanOptions(tolerance_ms=1_000))
    assert Fraction(plan.end_pts, plan.timescale) == 2
    assert not plan.gaps


def test_a_hole_is_seen_however_long_the_recording_goes_on() -> None:
    """A fragmented recording is read in part, and ends an hour later."""
    pts = [*range(0, 2_500, 100), *range(3_400, 6_000, 100)]
    assert len(find_stretches([source(pts, 3_600_000)], ASKED, tolerance_ms=500)) == 2


def test_a_few_frames_hours_apart_are_no_clip_of_hours() -> None:
    pts = [*range(0, 2_300, 100), 20_000_000, 40_000_000]
    plan = make_plan([source(pts, 60_000_000)], ASKED, PlanOptions(tolerance_ms=5))
    assert Fraction(plan.end_pts, plan.timescale) < 120, "a minute is the most that is usual"
