"""Random intervals: every frame of every clip is the one that wall time says, and no other.

What is expected comes from wall times alone. ``CLIPLINE_TEST_SEED`` gives other intervals.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from media.conftest import KINDS, MakeFootage
from media.truth import Recorded, expected_numbers, make_clip, show, video_packets, wall_of

from clipline.contract.errors import NoFrames
from clipline.contract.interval import Interval

SEED = os.environ.get("CLIPLINE_TEST_SEED", "20180916")
INTERVALS_OF_A_KIND = 36


def _random_interval(recordings: Sequence[Recorded], dice: random.Random) -> Interval:
    """Within the recordings: any stretch, one frame, around a border, from or to the very end, or starting
    and ending with frames."""
    first_ms, last_ms = recordings[0].start_ms, math.floor(recordings[-1].end_ms)
    borders = [one.start_ms for one in recordings[1:]]
    frames = [number for one in recordings for number in one.numbers]

    def instant() -> int:
        return dice.randrange(first_ms, last_ms)

    match dice.randrange(9):
        case 0:  # one frame, or none
            start = instant()
            end = start + dice.randint(1, 40)
        case 1:  # one frame, surely
            wall = wall_of(recordings, dice.choice(frames))
            start = max(math.ceil(wall) - dice.randint(0, 5), first_ms)
            start, end = min(start, math.floor(wall)), math.floor(wall) + 1
        case 2:  # around a border
            border = dice.choice(borders)
            start, end = border - dice.randint(0, 3000), border + dice.randint(0, 3000)
        case 3:  # begins or ends at a border, to the millisecond
            border = dice.choice(borders)
            start, end = dice.choice(
                [(border, border + 1500), (border - 1500, border), (border - 1, border + 1)]
            )
        case 4:  # the first frames
            start, end = first_ms, first_ms + dice.randint(1, 4000)
        case 5:  # the last frames
            start, end = last_ms - dice.randint(1, 4000), last_ms
        case 6:  # from a frame to a frame, as near as milliseconds come
            one, other = sorted(dice.sample(frames[: len(frames) // 3], 2))
            start, end = math.ceil(wall_of(recordings, one)), math.ceil(wall_of(recordings, other))
        case 7:  # over whole recordings
            start, end = sorted((instant(), instant()))
        case _:
            start = instant()
            end = start + dice.randint(100, 5000)
    start = min(max(start, first_ms), last_ms - 1)
    return Interval(start, max(min(end, last_ms), start + 1))


@pytest.mark.parametrize("number", range(INTERVALS_OF_A_KIND))
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_the_right_one(kind: str, number: int, footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage(kind)
    interval = _random_interval(recordings, random.Random(f"{SEED}-{kind}-{number}"))
    print(f"CLIPLINE_TEST_SEED={SEED}: {kind} {number}, {interval}")
    expected = expected_numbers(recordings, interval)
    if not expected:
        with pytest.raises(NoFrames) as caught:
            make_clip(recordings, interval, tmp_path)
        assert caught.value.covered
        return

    report = make_clip(recordings, interval, tmp_path)

    shown = show(report.clip)
    assert [frame.number for frame in shown] == expected
    _check_times(recordings, expected, [frame.time_s for frame in shown])
    _check_details(recordings, expected, report.details)
    _check_copies(kind, recordings, expected, report.clip, report.details)


def _check_times(recordings: Sequence[Recorded], expected: list[int], times_s: list[Fraction]) -> None:
    """Each frame is shown at its wall-clock distance from the first one."""
    first_ms = wall_of(recordings, expected[0])
    for number, time_s in zip(expected, times_s, strict=True):
        off_s = time_s - (wall_of(recordings, number) - first_ms) / 1000
        assert abs(off_s) <= Fraction(1, 10_000), f"frame {number} is shown {float(off_s)} s late"
    assert times_s[0] == 0


def _check_details(recordings: Sequence[Recorded], expected: list[int], details: dict) -> None:
    first_ms, last_ms = wall_of(recordings, expected[0]), wall_of(recordings, expected[-1])
    assert details["firstFrameTimestampInMs"] == round(first_ms)
    assert details["lastFrameTimestampInMs"] == round(last_ms)
    last_of_all = recordings[-1].numbers[-1]
    next_ms = recordings[-1].end_ms if expected[-1] == last_of_all else wall_of(recordings, expected[-1] + 1)
    assert abs(details["durationInMs"] - (next_ms - first_ms)) <= 2
    assert details["framesCopied"] + details["framesEncoded"] == len(expected)
    assert details["partial"] is False


def _check_copies(
    kind: str, recordings: Sequence[Recorded], expected: list[int], clip: Path, details: dict
) -> None:
    """Copied pictures are the camera's own bytes, and as many as can be are copied."""
    packets = {number: data for one in recordings for number, data in one.packets.items()}
    in_clip = dict(zip(expected, video_packets(clip).values(), strict=True))
    copied = [number for number in expected if in_clip[number] == packets[number]]
    assert len(copied) == details["framesCopied"]
    if kind == "open-gop":
        return
    may_encode = 0
    for one in recordings:
        mine = [number for number in expected if number in one.numbers]
        keyframes = [number for number in one.keyframes if number in mine]
        if keyframes:
            may_encode += keyframes[0] - mine[0]
            if mine[-1] + 1 not in one.keyframes and mine[-1] + 1 in one.numbers:
                may_encode += one.footage.b_frames
        else:
            may_encode += len(mine)
    assert details["framesEncoded"] <= may_encode
