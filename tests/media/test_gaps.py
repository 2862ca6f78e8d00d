"""Clips of intervals that recordings cover in part: what fills the gap, and what the coverage says."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from media.truth import START_MS, Recorded, audio_packets, make_clip, plan_cut, record, show, wall_of

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import NoFrames
from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, ThumbnailOptions, prepare
from clipline.media.footage import Footage
from clipline.media.ranges import LocalSource

GAP_MS = 2_500
FIXTURE = Path(__file__).parent.parent / "contract" / "fixtures" / "coverage.json"
BEFORE, AFTER = 4_000, 4_000 + GAP_MS
"""When the first recording ends and the second begins, after the first one's start."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Recorded]:
    """Four seconds, a gap of two and a half, four seconds."""
    directory = tmp_path_factory.mktemp("gap")
    footage = Footage(width=320, height=180, duration_s=4)
    (first,) = record(directory / "first", footage)
    later = replace(footage, first_number=120)
    (second,) = record(directory / "second", later, start_ms=START_MS + AFTER)
    return [first, second]


def at(start_ms: int, end_ms: int) -> Interval:
    return Interval(START_MS + start_ms, START_MS + end_ms)


def cut(recordings: Sequence[Recorded], interval: Interval, directory: Path, policy: GapPolicy):
    report = make_clip(
        recordings, interval, directory, gap_policy=policy, thumbnails=ThumbnailOptions((160,))
    )
    return report, [(frame.number, frame.time_s) for frame in show(report.clip)]


def numbers_from(*ranges: tuple[int, int]) -> list[int]:
    return [number for start, stop in ranges for number in range(start, stop)]


def frame_s(count: int) -> Fraction:
    return Fraction(count, 30)


def near(one: Fraction, other: Fraction) -> bool:
    return abs(one - other) < Fraction(1, 1000)


def test_fail_leaves_the_decision_to_the_caller(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    planned = plan_cut(recordings, at(3_000, 8_000), tmp_path)
    (gap,) = planned.plan.gaps
    assert gap.span == at(BEFORE, AFTER)
    assert gap.reason == "no recording"


def test_a_gap_is_held(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    report, shown = cut(recordings, at(3_000, 8_000), tmp_path, GapPolicy.HOLD)
    assert [number for number, _ in shown] == numbers_from((90, 120), (120, 165))
    times = dict(shown)
    assert near(times[119], frame_s(29))
    assert near(times[120], Fraction(AFTER - 3_000, 1000))
    assert report.details["durationInMs"] == 5_000
    assert report.details["partial"] is True
    assert report.details["coverage"] == [
        _shows(recordings[0], 3_000, BEFORE, 0),
        _gap(BEFORE, AFTER, "hold", 1_000),
        _shows(recordings[1], AFTER, 8_000, 3_500),
    ]


def test_a_gap_is_skipped(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    report, shown = cut(recordings, at(3_000, 8_000), tmp_path, GapPolicy.SKIP)
    assert [number for number, _ in shown] == numbers_from((90, 120), (120, 165))
    for place, (_, time_s) in enumerate(shown):
        assert near(time_s, frame_s(place))
    assert report.details["durationInMs"] == 2_500
    assert report.details["coverage"] == [
        _shows(recordings[0], 3_000, BEFORE, 0),
        _gap(BEFORE, AFTER, "skip", 1_000),
        _shows(recordings[1], AFTER, 8_000, 1_000),
    ]


def test_a_gap_is_black(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    report, shown = cut(recordings, at(3_000, 8_000), tmp_path, GapPolicy.BLACK)
    numbers = [number for number, _ in shown]
    assert numbers == [*range(90, 120), None, *range(120, 165)]
    times = dict(shown)
    assert near(times[None], Fraction(1))
    assert near(times[120], Fraction(3_500, 1000))
    assert report.details["durationInMs"] == 5_000
    assert report.details["coverage"][1] == _gap(BEFORE, AFTER, "black", 1_000)


@pytest.mark.parametrize("policy", [GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK])
def test_a_gap_at_the_head(policy: GapPolicy, recordings: Sequence[Recorded], tmp_path: Path) -> None:
    report, shown = cut(recordings[1:], at(BEFORE, 8_000), tmp_path, policy)
    numbers = [number for number, _ in shown]
    begins_s = Fraction(0) if policy is GapPolicy.SKIP else Fraction(GAP_MS, 1000)
    if policy is GapPolicy.BLACK:
        assert numbers == [None, *range(120, 165)]
        assert shown[0][1] == 0
    else:
        assert numbers == list(range(120, 165))
        assert shown[0][1] == 0
    for number, time_s in shown[1:]:
        if number is not None and number > 120:
            assert near(time_s, begins_s + frame_s(number - 120))
    assert report.details["durationInMs"] == begins_s * 1000 + 1_500
    assert report.details["coverage"] == [
        _gap(BEFORE, AFTER, str(policy), 0),
        _shows(recordings[1], AFTER, 8_000, round(begins_s * 1000)),
    ]
    assert report.details["firstFrameTimestampInMs"] == START_MS + AFTER


@pytest.mark.parametrize("policy", [GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK])
def test_a_gap_at_the_tail(policy: GapPolicy, recordings: Sequence[Recorded], tmp_path: Path) -> None:
    report, shown = cut(recordings[:1], at(2_500, 6_000), tmp_path, policy)
    numbers = [number for number, _ in shown]
    assert numbers == [*range(75, 120), *([None] if policy is GapPolicy.BLACK else [])]
    if policy is GapPolicy.BLACK:
        assert near(shown[-1][1], Fraction(3, 2))
    assert report.details["durationInMs"] == (1_500 if policy is GapPolicy.SKIP else 3_500)
    assert report.details["coverage"] == [
        _shows(recordings[0], 2_500, BEFORE, 0),
        _gap(BEFORE, 6_000, str(policy), 1_500),
    ]


@pytest.mark.parametrize("policy", [GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK])
def test_sound_stays_in_step_over_a_gap(
    policy: GapPolicy, recordings: Sequence[Recorded], tmp_path: Path
) -> None:
    report, shown = cut(recordings, at(3_000, 8_000), tmp_path, policy)
    times = dict(shown)
    first_ms = wall_of(recordings, 90)
    sounds = {}
    for one, shown_at in zip(recordings, (Fraction(0), times[120]), strict=True):
        begins_ms = max(one.start_ms, first_ms)
        for time_s, data in audio_packets(one.path).items():
            sounds[data] = shown_at + (one.start_ms - begins_ms) / 1000 + time_s
    in_clip = audio_packets(report.clip)
    assert sum(data in sounds for data in in_clip.values()) > 100
    for time_s, data in in_clip.items():
        if data not in sounds:
            assert Fraction(9, 10) < time_s < times[120], "only the gap is filled with silence"
            continue
        assert abs(time_s - sounds[data]) <= Fraction(1, 500)


def test_a_hole_within_tolerance_is_no_gap(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    near_by = replace(recordings[1], start_ms=START_MS + BEFORE + 700)
    both = [recordings[0], near_by]
    planned = plan_cut(both, at(3_000, 6_000), tmp_path)
    assert planned.plan.gaps == []
    report = planned.render(tmp_path / "clip.mp4")
    times = {frame.number: frame.time_s for frame in show(report.clip)}
    assert list(times) == numbers_from((90, 120), (120, 159))
    assert near(times[120], Fraction(1_700, 1000)), "the picture before the hole is shown longer"
    assert report.details["partial"] is False
    assert [entry["recording"] for entry in report.details["coverage"]] == [one.path.name for one in both]


def test_the_tolerance_is_what_the_caller_says(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    assert plan_cut(recordings, at(3_000, 8_000), tmp_path, tolerance_ms=GAP_MS).plan.gaps == []
    assert plan_cut(recordings, at(3_000, 8_000), tmp_path, tolerance_ms=GAP_MS - 1).plan.gaps != []


def test_an_unreadable_recording_is_a_gap_with_its_reason(
    recordings: Sequence[Recorded], tmp_path: Path
) -> None:
    broken = tmp_path / "pier.20180916T160021033.mp4"
    broken.write_text("<html>503 Service Unavailable</html>")
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one in recordings]
    candidates.insert(1, Candidate(LocalSource(broken), START_MS + BEFORE))
    planned = prepare(candidates, at(3_000, 8_000), tmp_path)
    (gap,) = planned.plan.gaps
    assert gap.reason is not None
    assert broken.name in gap.reason
    assert "no MP4" in gap.reason


def test_what_the_caller_knows_to_be_missing_is_told(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one in recordings]
    reason = "recordings/pier.20180916T160021033.mp4 is not there yet"
    missing = [(at(BEFORE, AFTER), reason), (at(20_000, 30_000), "elsewhere")]
    planned = prepare(candidates, at(3_000, 8_000), tmp_path, missing=missing)
    assert [gap.reason for gap in planned.plan.gaps] == [reason]


def test_nothing_at_all_is_no_frames(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    with pytest.raises(NoFrames) as caught:
        plan_cut(recordings, at(BEFORE + 100, AFTER - 100), tmp_path)
    assert not caught.value.covered
    with pytest.raises(NoFrames) as caught:
        plan_cut([], at(0, 1_000), tmp_path)
    assert not caught.value.covered
    with pytest.raises(NoFrames) as caught:
        plan_cut(recordings, at(1_001, 1_030), tmp_path)
    assert caught.value.covered


def test_an_overlap_belongs_to_the_earlier_recording(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    overlapping = replace(recordings[1], start_ms=START_MS + 3_010)
    report = make_clip([recordings[0], overlapping], at(2_000, 6_000), tmp_path)
    shown = [(frame.number, frame.time_s) for frame in show(report.clip)]
    first_of_second = 120 + math.ceil(Fraction(BEFORE - 3_010) * 30 / 1000)
    last = 120 + math.ceil(Fraction(6_000 - 3_010) * 30 / 1000)
    assert [number for number, _ in shown] == numbers_from((60, 120), (first_of_second, last))
    assert near(
        dict(shown)[first_of_second], (overlapping.wall_ms(first_of_second) - START_MS - 2_000) / 1000
    )
    spans = [(entry["startTimestampInMs"], entry["endTimestampInMs"]) for entry in report.details["coverage"]]
    assert spans == [(START_MS + 2_000, START_MS + BEFORE), (START_MS + BEFORE, START_MS + 6_000)]


def test_a_recording_twice_shows_once(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    report = make_clip([recordings[0], recordings[0]], at(1_000, 3_000), tmp_path)
    assert [frame.number for frame in show(report.clip)] == list(range(30, 90))
    assert len(report.details["coverage"]) == 1


def test_the_coverage_has_the_keys_of_the_contract(recordings: Sequence[Recorded], tmp_path: Path) -> None:
    document = json.loads(FIXTURE.read_text())
    report, _ = cut(recordings, at(3_000, 8_000), tmp_path, GapPolicy.HOLD)
    assert set(document) <= set(report.details)
    assert [set(entry) for entry in document["coverage"]] == [
        set(entry) for entry in report.details["coverage"]
    ]
    for name, value in document.items():
        assert type(report.details[name]) is type(value), name
    assert json.loads(json.dumps(report.details)) == report.details


def _shows(recorded: Recorded, start_ms: int, end_ms: int, offset_ms: int) -> dict[str, object]:
    return {
        "startTimestampInMs": START_MS + start_ms,
        "endTimestampInMs": START_MS + end_ms,
        "recording": recorded.path.name,
        "clipOffsetInMs": offset_ms,
    }


def _gap(start_ms: int, end_ms: int, filled_with: str, offset_ms: int) -> dict[str, object]:
    return {
        "startTimestampInMs": START_MS + start_ms,
        "endTimestampInMs": START_MS + end_ms,
        "gap": "no recording",
        "filledWith": filled_with,
        "clipOffsetInMs": offset_ms,
    }
