"""What a cut asks for, drawn at random: from one frame to a minute, half of them below 3 s."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from frame_truth.footage import Recorded
from frame_truth.specs import FootageSet

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.contract.modes import CutMode, HevcMode

_MODES = {CutMode.EXACT: 16, CutMode.ENCODE: 2, CutMode.KEYFRAME: 1, CutMode.EDITLIST: 1}
"""How often each is drawn, of twenty."""


@dataclass(frozen=True)
class Asked:
    """One cut."""

    interval: Interval
    policy: GapPolicy
    mode: CutMode = CutMode.EXACT
    hevc_mode: HevcMode = HevcMode.H264


def draw_cut(seed: str, number: str, footage: FootageSet, recordings: Sequence[Recorded]) -> Asked:
    """The cut ``number`` (``kind/set.place``) under ``seed``: the same whatever else is run."""
    dice = random.Random(f"{seed}/{number}")
    first_ms = math.ceil(recordings[0].walls_ms[0])
    last_ms = math.floor(max(one.end_ms for one in recordings))
    length_ms = max(1, min(60_000, round(3_000 * math.exp(dice.gauss(0, 1.2)))))
    one = dice.choice(recordings)
    match dice.randrange(20):
        case 0 | 1:  # one frame, surely
            wall = dice.choice(one.walls_ms)
            start, length_ms = math.floor(wall) - dice.choice((0, 0, 3)), 1 + dice.choice((0, 3, 4))
        case 2 | 3 | 4 | 5:  # over a border
            border = dice.choice(recordings[1:]).start_ms
            start = border - dice.randint(1, length_ms)
        case 6:  # at a border, to the millisecond
            border = dice.choice(recordings[1:]).start_ms
            start = dice.choice((border, border - length_ms, border - 1, border + 1))
        case 7 | 8:  # from a keyframe, or a frame beside it
            place = dice.choice(one.keys) + dice.choice((0, 0, -1, 1))
            start = math.ceil(one.walls_ms[min(max(place, 0), len(one.walls_ms) - 1)])
        case 9:  # up to a keyframe, or a frame beside it
            place = dice.choice(one.keys) + dice.choice((0, 0, -1, 1))
            start = math.ceil(one.walls_ms[min(max(place, 0), len(one.walls_ms) - 1)]) - length_ms
        case 10:  # from the very beginning
            start = first_ms
        case 11:  # up to the very end
            start = last_ms - length_ms
        case 12 | 13:  # from a frame, to the millisecond
            start = math.ceil(dice.choice(one.walls_ms))
        case _:
            start = dice.randrange(first_ms, last_ms)
    start = min(max(start, first_ms), last_ms - 1)
    end = max(min(start + length_ms, last_ms), start + 1)
    policy = dice.choice(footage.policies)
    mode = dice.choices(list(_MODES), list(_MODES.values()))[0]
    return Asked(Interval(start, end), policy, mode, dice.choice(list(HevcMode)))
