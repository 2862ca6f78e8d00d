"""Streams with holes, or whose clock jumps: intact frames at their times, or a reason, never a wrong one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from media.likeness import decode_all, departures, likeness_db
from media.test_intake import shift_timestamps
from media.truth import START_MS, Recorded, expected_numbers, make_clip, plan_cut, record, show

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import MediaError, NoFrames
from clipline.contract.interval import Interval
from clipline.media.footage import Footage

SMALL = Footage(width=320, height=180, duration_s=5, gop_s=1, container="mpegts")
B_FRAMES = replace(SMALL, b_frames=3, options=(("b_strategy", "0"),))
INTERVAL = Interval(START_MS + 1_300, START_MS + 3_900)
PACKET = 188
VIDEO_PID = 0x100
TOLERANCE_MS = 5
"""Less than a frame: whatever is missing must be told."""
ENCODED_DB = 40
"""Of the head, against the recording before the loss."""


@pytest.fixture(scope="module", params=[SMALL, B_FRAMES], ids=["plain", "b-frames"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("sound"), request.param)[0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("plain"), SMALL)[0]


def packets(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[at : at + PACKET] for at in range(0, len(data), PACKET)]


def pid(packet: bytes) -> int:
    return (packet[1] & 31) << 8 | packet[2]


def changed(recorded: Recorded, directory: Path, data: bytes) -> Recorded:
    path = directory / f"changed{recorded.path.suffix}"
    path.write_bytes(data)
    return replace(recorded, path=path)


def here_and_there(dice: random.Random, all_packets: Sequence[bytes]) -> set[int]:
    return {dice.randrange(len(all_packets)) for _ in range(dice.choice((1, 2, 6, 20)))}


def in_a_row(dice: random.Random, all_packets: Sequence[bytes]) -> set[int]:
    first = dice.randrange(len(all_packets))
    return set(range(first, first + dice.choice((3, 40, 200))))


def unseen(dice: random.Random, all_packets: Sequence[bytes]) -> set[int]:
    """As many of the video as leave its counter where it was."""
    video = [number for number, packet in enumerate(all_packets) if pid(packet) == VIDEO_PID]
    first = dice.randrange(len(video) - 16)
    return set(video[first : first + 16])


@pytest.mark.parametrize("lose", [here_and_there, in_a_row])
def test_lost_packets_leave_the_intact_frames(
    lose: Callable[[random.Random, Sequence[bytes]], set[int]], sound: Recorded, tmp_path: Path
) -> None:
    every = packets(sound.path)
    expected = expected_numbers([sound], INTERVAL)
    pictures = dict(zip(sound.numbers, (picture for _, picture in decode_all(sound.path)), strict=True))
    outcomes = []
    for seed in range(5):
        lost = lose(random.Random(seed), every)
        left = changed(sound, tmp_path, b"".join(one for n, one in enumerate(every) if n not in lost))
        clip = tmp_path / "clip.mp4"
        clip.unlink(missing_ok=True)
        try:
            planned = plan_cut([left], INTERVAL, tmp_path, GapPolicy.HOLD, TOLERANCE_MS)
            report = planned.render(clip)
        except MediaError:
            outcomes.append("error")
            continue
        frames = show(clip)
        numbers = [frame.number for frame in frames]
        assert set(numbers) <= set(expected)
        assert numbers == sorted(set(numbers))
        if len(numbers) < len(expected):
            assert planned.plan.gaps or report.details["notes"], seed
        outcomes.append("whole" if len(numbers) == len(expected) else "partial")
        held = planned.plan.parts[0].recording is None
        first_ms = INTERVAL.start_ms if held else sound.wall_ms(numbers[0])
        for (_, picture), frame in zip(decode_all(clip), frames, strict=True):
            assert likeness_db(picture, pictures[frame.number]) > ENCODED_DB, (seed, frame.number)
            if frame is not frames[0] or not held:
                late_s = frame.time_s - (sound.wall_ms(frame.number) - first_ms) / 1000
                assert abs(late_s) < Fraction(1, 500), (seed, frame.number)
    assert outcomes.count("partial") >= 1
    assert outcomes.count("error") <= 1, "where a recording has nothing intact in the interval"


def check_intact(sound: Recorded, left: Recorded, directory: Path) -> list[int]:
    """The frames that a clip of what is left shows: each as the sound recording has it, the rest told."""
    planned = plan_cut([left], INTERVAL, directory, tolerance_ms=TOLERANCE_MS)
    report = planned.render(directory / "clip.mp4")
    assert planned.plan.gaps
    assert any("are lost" in note for note in report.details["notes"])
    numbers = [frame.number for frame in show(report.clip)]
    pictures = dict(zip(sound.numbers, (picture for _, picture in decode_all(sound.path)), strict=True))
    for number, (_, picture) in zip(numbers, decode_all(report.clip), strict=True):
        assert likeness_db(picture, pictures[number]) > ENCODED_DB, number
    return numbers


def picture_starts(every: Sequence[bytes]) -> list[int]:
    return [number for number, one in enumerate(every) if pid(one) == VIDEO_PID and one[1] & 0x40]


def test_whole_pictures_are_missed_though_no_counter_tells(sound: Recorded, tmp_path: Path) -> None:
    """As many packets as leave the counter where it was, and from one picture's beginning to another's."""
    every = packets(sound.path)
    starts = picture_starts(every)
    runs = [
        lost
        for first in range(63, 75)
        for stop in range(first + 1, 85)
        if len(lost := [n for n in range(starts[first], starts[stop]) if pid(every[n]) == VIDEO_PID]) % 16
        == 0
    ]
    lost = set(runs[0])
    left = changed(sound, tmp_path, b"".join(one for n, one in enumerate(every) if n not in lost))
    numbers = check_intact(sound, left, tmp_path)
    expected = expected_numbers([sound], INTERVAL)
    assert set(expected[: 60 - expected[0]]) <= set(numbers) < set(expected)
    assert set(range(90, expected[-1] + 1)) <= set(numbers), "from the next keyframe on all are there"


def test_a_picture_whose_time_is_lost_is_lost(sound: Recorded, tmp_path: Path) -> None:
    every = packets(sound.path)
    at = picture_starts(every)[71]
    one = bytearray(every[at])
    header = 4 + (1 + one[4] if one[3] & 0x20 else 0)
    assert one[header : header + 3] == b"\0\0\1"
    size = one[header + 8]
    one[header + 7] &= 0x3F  # no times are in the header
    one[header + 9 : header + 9 + size] = b"\xff" * size
    left = changed(sound, tmp_path, b"".join([*every[:at], bytes(one), *every[at + 1 :]]))
    numbers = check_intact(sound, left, tmp_path)
    expected = expected_numbers([sound], INTERVAL)
    assert set(expected) - set(numbers) <= set(range(65, 90))
    assert len(numbers) < len(expected)


def test_damage_that_no_counter_tells_is_carried_over_at_most(sound: Recorded, tmp_path: Path) -> None:
    every = packets(sound.path)
    expected = expected_numbers([sound], INTERVAL)
    for seed in range(5):
        lost = unseen(random.Random(seed), every)
        left = changed(sound, tmp_path, b"".join(one for n, one in enumerate(every) if n not in lost))
        clip = tmp_path / "clip.mp4"
        clip.unlink(missing_ok=True)
        try:
            planned = plan_cut([left], INTERVAL, tmp_path, tolerance_ms=TOLERANCE_MS)
            report = planned.render(clip)
        except MediaError:
            continue
        assert departures(clip, [(left.path, START_MS)], report.details) == [], seed
        try:
            numbers = [frame.number for frame in show(clip)]
        except (MediaError, OSError, ValueError):
            continue  # damage as the recording has it
        assert numbers == sorted(set(numbers) & set(expected)), seed


def test_packets_of_192_bytes(plain: Recorded, tmp_path: Path) -> None:
    """M2TS: each packet behind its arrival time."""
    timed = b"".join(
        (number << 10).to_bytes(4, "big") + one for number, one in enumerate(packets(plain.path))
    )
    clips = []
    for one in (plain, changed(plain, tmp_path, timed)):
        (directory := tmp_path / one.path.stem).mkdir()
        clips.append(make_clip([one], INTERVAL, directory).clip.read_bytes())
    assert clips[0] == clips[1]
    assert [frame.number for frame in show(directory / "clip.mp4")] == expected_numbers([plain], INTERVAL)


def jumping(recorded: Recorded, directory: Path, by_s: Fraction, place: int) -> Recorded:
    """From its video's picture number ``place`` on, the stream's clock is ahead by ``by_s``."""
    every = packets(recorded.path)
    cut = picture_starts(every)[place]
    moved = shift_timestamps(b"".join(every[cut:]), round(by_s * 90_000))
    return changed(recorded, directory, b"".join(every[:cut]) + moved)


@pytest.mark.parametrize("by_s", [-3, Fraction(-31, 100), Fraction(-1, 20)], ids=str)
@pytest.mark.parametrize("place", [90, 100], ids=["keyframe", "within"])
def test_a_clock_that_is_set_back_is_named(
    by_s: Fraction, place: int, sound: Recorded, tmp_path: Path
) -> None:
    with pytest.raises(NoFrames, match=r"clock is set back|two pictures at one time"):
        make_clip([jumping(sound, tmp_path, by_s, place)], INTERVAL, tmp_path, gap_policy=GapPolicy.HOLD)


def test_a_clock_that_is_set_ahead_leaves_a_gap(sound: Recorded, tmp_path: Path) -> None:
    ahead = jumping(sound, tmp_path, Fraction(20), 90)
    planned = plan_cut([ahead], Interval(START_MS + 1_300, START_MS + 24_000), tmp_path, GapPolicy.SKIP)
    (gap,) = planned.plan.gaps
    assert abs(gap.span.end_ms - gap.span.start_ms - 20_000) < 700
    assert "holds no picture there" in str(gap.reason)
    frames = show(planned.render(tmp_path / "clip.mp4").clip)
    numbers = [frame.number for frame in frames]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] < 90 < numbers[-1]


@pytest.mark.parametrize("first_s", [2_000, 100_000])
def test_matroska_whose_time_begins_far_from_zero(first_s: int, tmp_path: Path) -> None:
    footage = replace(B_FRAMES, container="matroska")
    near = record(tmp_path / "near", footage)[0]
    far = record(tmp_path / "far", replace(footage, muxer_options=(("output_ts_offset", str(first_s)),)))[0]
    assert far.file_times_s[0] >= first_s
    clips = []
    for one in (near, far):
        report = make_clip([one], INTERVAL, one.path.parent)
        clips.append([frame.number for frame in show(report.clip)])
        assert report.details["framesCopied"] > 0
    late = round(near.file_times_s[0] * 30)
    assert [number - late for number in clips[1]] == clips[0] or clips[1] == clips[0]


def test_matroska_that_begins_late_stays_late(tmp_path: Path) -> None:
    footage = replace(SMALL, container="matroska", muxer_options=(("output_ts_offset", "2"),))
    late = record(tmp_path / "late", footage)[0]
    planned = plan_cut([late], INTERVAL, tmp_path, GapPolicy.SKIP, TOLERANCE_MS)
    (gap,) = planned.plan.gaps
    assert gap.span.start_ms == INTERVAL.start_ms
    frames = show(planned.render(tmp_path / "clip.mp4").clip)
    assert [frame.number for frame in frames] == expected_numbers([late], INTERVAL)
