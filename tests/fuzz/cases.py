"""Cases by name: ``level/kind/number`` under a seed is the same mutation and cut whatever else is run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.boxes import mutate_boxes, mutate_elements
from fuzz.packets import mutate_packets
from fuzz.raw import mutate_raw
from fuzz.sources import KINDS, Source
from fuzz.units import mutate_units
from media.judge import Asked

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.contract.modes import CutMode, HevcMode

LEVELS: Mapping[str, int] = {"boxes": 9, "units": 9, "raw": 2}
"""How many of twenty cases."""
_MODES = {CutMode.EXACT: 16, CutMode.ENCODE: 2, CutMode.KEYFRAME: 1, CutMode.EDITLIST: 1}
_LENGTHS_MS = (1, 90, 400, 650, 650, 900)
_STRUCTURES = {"mp4": mutate_boxes, "matroska": mutate_elements, "mpegts": mutate_packets}


@dataclass(frozen=True)
class Case:
    """One mutated set of recordings, and what is cut out of it."""

    name: str
    recordings: Sequence[tuple[str, int, bytes]]
    """(file name, wall time of its beginning in milliseconds, content)"""
    asked: Asked
    about: str
    """What was changed."""


def names(cases: int) -> Iterator[str]:
    """The names of the first ``cases``: levels in their shares, kinds in turn."""
    pattern = [level for level, share in LEVELS.items() for _ in range(share)]
    kinds = list(KINDS)
    for number in range(cases):
        # 7 and 20 have no factor in common: levels are spread, and every kind meets every level.
        level = pattern[number * 7 % len(pattern)]
        yield f"{level}/{kinds[number // len(pattern) % len(kinds)]}/{number}"


def make_case(seed: str, name: str, sources: Mapping[str, Source]) -> Case:
    """The case ``name`` under ``seed``."""
    level, kind, _ = name.split("/")
    dice = random.Random(f"{seed}/{name}")
    source = sources[kind]
    place = dice.randrange(len(source.recordings))
    changed, about = _mutate(dice, level, source, place, sources)
    recordings = [
        (path.name, start_ms, changed if number == place else data)
        for number, ((path, start_ms), data) in enumerate(zip(source.recordings, source.data, strict=True))
    ]
    asked = _draw_cut(dice, source)
    told = f"{source.recordings[place][0].name}: {about}\n    {asked}"
    return Case(name, recordings, asked, told)


def _mutate(
    dice: random.Random, level: str, source: Source, place: int, sources: Mapping[str, Source]
) -> tuple[bytes, str]:
    """(other bytes than the recording's, what was changed); by a mutation of ``level`` at least once."""
    sound = source.data[place]
    while True:
        if level == "units":
            changed, about = mutate_units(dice, source.carriers[place], source.codec)
        elif level == "raw":
            other = dice.choice(sources[dice.choice(sorted(sources))].data)
            changed, about = mutate_raw(dice, sound, other)
        else:
            changed, told = sound, []
            for _ in range(dice.choice((1, 1, 1, 2, 3))):
                made = _STRUCTURES[source.container](dice, changed)
                if made is not None:
                    changed = made[0]
                    told.append(made[1])
            about = "; ".join(told)
        if changed != sound:
            return changed, about


def _draw_cut(dice: random.Random, source: Source) -> Asked:
    begin_ms, end_ms = source.recordings[0][1], source.end_ms
    length_ms = dice.choice(_LENGTHS_MS)
    if len(source.recordings) > 1 and dice.random() < 0.8:  # over the border
        border_ms = source.recordings[1][1]
        start_ms = border_ms - dice.randint(1, max(length_ms, 2) - 1)
    else:
        start_ms = dice.randint(begin_ms, end_ms - length_ms)
    mode = dice.choices(list(_MODES), list(_MODES.values()))[0]
    policy = dice.choice((GapPolicy.HOLD, GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK, GapPolicy.FAIL))
    hevc_mode = dice.choice((HevcMode.H264, HevcMode.SPLICE, HevcMode.SPLICE, HevcMode.HEVC))
    return Asked(Interval(start_ms, start_ms + length_ms), policy, mode, hevc_mode)


def write(case: Case, directory: Path) -> list[tuple[Path, int]]:
    """Its recordings in ``directory``: (file, wall time of its beginning)."""
    written = []
    for name, start_ms, data in case.recordings:
        (directory / name).write_bytes(data)
        written.append((directory / name, start_ms))
    return written
