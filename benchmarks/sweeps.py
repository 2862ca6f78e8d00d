"""What a clip's time and memory depend on: Clipline beside ffmpeg's keyframe-snapped copy.

    python benchmarks/sweeps.py [--quick] [--starts 5] [--only NAME]

Each sweep changes one thing and leaves the rest: 60 s of 1080p30, a keyframe every 2 s, recordings of
10 minutes, four PNG thumbnails. Draws docs/benchmarks/*.svg, with the numbers beside them as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

from cut import CLIP_S, SEED, interval_at
from footage import Kind, recordings
from measure import Cost, measure
from plots import Panel, Series, chart
from touched import read_packets
from ways import OURS, SNAPPED, make_job

DRAWINGS = Path(__file__).parents[1] / "docs" / "benchmarks"
WAYS = (OURS, SNAPPED)


@dataclass(frozen=True)
class Setting:
    """One place on a sweep's axis: the clip begins at a random time in ``[first_s, last_s)``."""

    label: str
    kind: Kind
    first_s: float
    last_s: float
    clip_s: int = CLIP_S
    recordings: int = 1


@dataclass(frozen=True)
class Sweep:
    name: str
    title: str
    axis: str
    settings: Sequence[Setting]


@dataclass(frozen=True)
class Point:
    """Medians over the starts."""

    label: str
    costs: dict[str, Cost]


def within(label: str, kind: Kind, clip_s: int = CLIP_S) -> Setting:
    """Anywhere in one recording."""
    return Setting(label, kind, 0, kind.duration_s - clip_s, clip_s)


def sweeps() -> list[Sweep]:
    usual = Kind()
    sizes = (
        ("720p", Kind(1280, 720, 2_000_000, duration_s=120)),
        ("1080p", Kind(duration_s=120)),
        ("1440p", Kind(2560, 1440, 8_000_000, duration_s=120, encoded_s=12)),
        ("4K", Kind(3840, 2160, 16_000_000, duration_s=120, encoded_s=6)),
    )
    groups = [
        (gop_s, replace(usual, gop_s=gop_s, encoded_s=max(30, gop_s))) for gop_s in (1, 2, 4, 10, 30, 60)
    ]
    # Recordings so short that a clip of 60 s that begins in the first half of one touches that many.
    spans = [Setting("1", usual, 0, 540)] + [
        Setting(str(count), Kind(duration_s=length_s), 0.1, length_s / 2, recordings=count)
        for count, length_s in ((2, 60), (4, 20), (8, 8))
    ]
    return [
        Sweep(
            "clip-length", "Cost by length of the clip", "length of the clip",
            [within(f"{length_s} s", usual, length_s) for length_s in (5, 15, 30, 60, 120, 300)],
        ),
        Sweep(
            "position", "Cost by place in the recording", "start of the clip, minutes into the recording",
            [Setting(str(minute), usual, minute * 60, minute * 60 + 10) for minute in (0, 2, 4, 6, 8)],
        ),
        Sweep(
            "recording-length", "Cost by length of the recording", "length of the recording",
            [
                within(f"{minutes} min", replace(usual, duration_s=minutes * 60))
                for minutes in (2, 5, 10, 30, 60)
            ],
        ),
        Sweep("recordings", "Cost by number of recordings", "recordings that the clip touches", spans),
        Sweep(
            "group-length", "Cost by distance of keyframes", "seconds from keyframe to keyframe",
            [within(str(gop_s), kind) for gop_s, kind in groups],
        ),
        Sweep("picture-size", "Cost by size of the picture", "size of the picture",
              [within(label, kind) for label, kind in sizes]),
    ]  # fmt: skip


def measure_setting(setting: Setting, starts: int, seed: int) -> Point:
    made = recordings(setting.kind, setting.recordings)
    packets = [read_packets(one.path) for one in made]  # which also puts them in the page cache
    dice = random.Random(seed)
    costs: dict[str, list[Cost]] = {way.name: [] for way in WAYS}
    for number in range(starts):
        start_s = dice.uniform(setting.first_s, setting.last_s)
        job = make_job(made, packets, interval_at(made, start_s, setting.clip_s))
        for way in WAYS if number % 2 else reversed(WAYS):
            costs[way.name].append(measure(way, job)[0])
    return Point(setting.label, {name: _medians(found) for name, found in costs.items()})


def _medians(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.wall_s for cost in costs),
        statistics.median(cost.cpu_s for cost in costs),
        statistics.median(cost.peak_mib for cost in costs),
        round(statistics.median(cost.bytes_read for cost in costs)),
    )


def draw(sweep: Sweep, points: Sequence[Point], starts: int) -> str:
    def panel(label: str, value: Callable[[Cost], float]) -> Panel:
        short = {OURS.name: "clipline cut (exact)", SNAPPED.name: "ffmpeg -c copy (keyframes)"}
        lines = [Series(short[way.name], [value(point.costs[way.name]) for point in points]) for way in WAYS]
        return Panel(label, lines)

    cores = os.cpu_count()
    subtitle = (
        f"Clip and four PNG thumbnails, whole processes, {cores} cores; medians of {starts} random starts"
    )
    panels = [panel("seconds, wall", lambda cost: cost.wall_s), panel("peak MiB", lambda cost: cost.peak_mib)]
    return chart(sweep.title, subtitle, sweep.axis, [point.label for point in points], panels)


def table(sweep: Sweep, points: Sequence[Point]) -> str:
    lines = [
        f"| {sweep.axis} | way | wall, s | CPU, s | peak, MiB | read, MB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {point.label} | {name} | {cost.wall_s:.3f} | {cost.cpu_s:.2f} | {cost.peak_mib:.0f} "
        f"| {cost.bytes_read / 1e6:.1f} |"
        for point in points
        for name, cost in point.costs.items()
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the ends of each sweep, nothing drawn")
    parser.add_argument("--starts", type=int, default=5, help="at each place of a sweep")
    parser.add_argument("--only", choices=[sweep.name for sweep in sweeps()], help="one sweep")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    starts = 2 if options.quick else options.starts
    for sweep in sweeps():
        if options.only not in (None, sweep.name):
            continue
        settings = [sweep.settings[0], sweep.settings[-1]] if options.quick else sweep.settings
        points = []
        for setting in settings:
            print(f"{sweep.name}: {setting.label}", file=sys.stderr)
            points.append(measure_setting(setting, starts, options.seed))
        print(f"\n{sweep.title}\n\n{table(sweep, points)}")
        if not options.quick:
            DRAWINGS.mkdir(parents=True, exist_ok=True)
            (DRAWINGS / f"{sweep.name}.svg").write_text(draw(sweep, points, starts))
            numbers = {"date": str(date.today()), "starts": starts, "points": [asdict(one) for one in points]}
            (DRAWINGS / f"{sweep.name}.json").write_text(json.dumps(numbers, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
