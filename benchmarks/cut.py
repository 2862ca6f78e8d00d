"""A clip and four thumbnails, whole processes, every way beside the others.

    python benchmarks/cut.py [--starts 20] [--near-border 5] [--slow-starts 2] [--json FILE]

Every start is cut by all, in alternating order. Ours begins at the frame asked; a keyframe-snapped copy holds
pictures from the keyframe before it on. The ways that encode everything take a minute or two, so they are
measured at the first starts only.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

from footage import DATA, BenchmarkRecording, Kind, recordings
from measure import Cost, Wrong, measure
from touched import Packets, read_packets, touched_bytes
from ways import ENCODED, FLOOR, MISSION, OURS, SMART, SNAPPED, STEPS, WAYS, WIDTHS, Job, Way, make_job, ours

from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, ThumbnailOptions, prepare
from clipline.media.ranges import LocalSource

CLIP_S = 60
SEED = 20180916


@dataclass(frozen=True)
class Warm:
    """Our work in a process that has everything loaded."""

    wall_s: float
    bytes_read: int
    """Of the recordings, as the cut itself reports it."""
    frames_encoded: int


@dataclass(frozen=True)
class Start:
    """All that was measured at one start."""

    start_s: float
    """Into the first recording."""
    border: bool
    """Whether the clip crosses from one recording into the next."""
    costs: dict[str, Cost]
    """By name of the way."""
    wrong: dict[str, Wrong]
    """The same, for those that were checked."""
    warm: Warm
    bytes_touched: int


def warm(job: Job, into: Path) -> Warm:
    """The same work in this process."""
    began = time.monotonic()
    candidates = [Candidate(LocalSource(part.recording.path), part.recording.start_ms) for part in job.parts]
    report = prepare(candidates, job.interval, into).render(into / "clip.mp4", ThumbnailOptions(WIDTHS))
    wall_s = time.monotonic() - began
    return Warm(wall_s, report.details["bytesRead"], report.details["framesEncoded"])


def interval_at(made: Sequence[BenchmarkRecording], start_s: float, clip_s: float = CLIP_S) -> Interval:
    start_ms = made[0].start_ms + round(start_s * 1000)
    return Interval(start_ms, start_ms + round(clip_s * 1000))


def measure_all(
    ways: Sequence[Way],
    made: Sequence[BenchmarkRecording],
    packets: Sequence[Packets],
    start_s: float,
    *,
    clip_s: float = CLIP_S,
    first: int = 0,
    checked: Collection[str] = (),
) -> Start:
    """Every one of ``ways`` cuts the clip that begins at ``start_s``; ``first`` decides who begins.

    The clips of the ways named in ``checked`` are compared with what was asked.
    """
    interval = interval_at(made, start_s, clip_s)
    job = make_job(made, packets, interval)
    costs: dict[str, Cost] = {}
    wrong: dict[str, Wrong] = {}
    first %= len(ways)
    for way in [*ways[first:], *ways[:first]]:
        costs[way.name], found = measure(way, job, check=way.name in checked)
        if found is not None:
            wrong[way.name] = found
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        in_process = warm(job, Path(folder))
    touched = touched_bytes(made, packets, interval)
    return Start(start_s, len(job.parts) > 1, costs, wrong, in_process, touched)


def costs_table(ways: Sequence[Way], starts: Sequence[Start]) -> list[str]:
    """A line for each way: medians over the starts at which it was measured."""
    lines = [
        "| way | starts | wall, s | worst | CPU, s | peak, MiB | read, MB | frames wrong | as stored |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way in ways:
        costs = [start.costs[way.name] for start in starts if way.name in start.costs]
        if not costs:
            continue
        wrong = [start.wrong[way.name] for start in starts if way.name in start.wrong]
        walls = [cost.wall_s for cost in costs]
        cells = [
            way.name,
            str(len(costs)),
            f"{statistics.median(walls):.3f}",
            f"{max(walls):.3f}",
            f"{statistics.median(cost.cpu_s for cost in costs):.2f}",
            f"{statistics.median(cost.peak_mib for cost in costs):.0f}",
            f"{statistics.median(cost.bytes_read for cost in costs) / 1e6:.0f}",
            _range([one.shown for one in wrong]),
            _range([one.stored for one in wrong]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _range(counts: Sequence[int]) -> str:
    """Least to most of a few clips, and how many clips that were."""
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return f"{low} ({len(counts)})" if low == high else f"{low} to {high} ({len(counts)})"


def ratios_table(starts: Sequence[Start]) -> list[str]:
    """How ours compares, start by start."""
    lines = ["| ratio | starts | median | worst |", "|---|---|---|---|"]

    def line(name: str, values: Sequence[float], digits: int, worst: Callable[..., float] = max) -> None:
        if values:
            middle = statistics.median(values)
            lines.append(f"| {name} | {len(values)} | {middle:.{digits}f} | {worst(values):.{digits}f} |")

    def ratio(mine: Way, other: Way) -> list[float]:
        return [
            start.costs[mine.name].wall_s / start.costs[other.name].wall_s
            for start in starts
            if {mine.name, other.name} <= start.costs.keys()
        ]

    for way in (SNAPPED, STEPS):
        line(f"clipline cut / {way.name}", ratio(OURS, way), 2)
        warm_ratios = [start.warm.wall_s / start.costs[way.name].wall_s for start in starts]
        line(f"clipline in a warm process / {way.name}", warm_ratios, 2)
    line("clipline cut / smartcut", ratio(OURS, SMART), 2)
    line("best-practice re-encode / clipline cut", ratio(ENCODED, OURS), 0, min)
    line("the mission's steps / clipline cut", ratio(MISSION, OURS), 0, min)
    line("clipline cut / floor", ratio(OURS, FLOOR), 1)
    line("bytes read / bytes touched", [start.warm.bytes_read / start.bytes_touched for start in starts], 3)
    line("clipline in a warm process, s", [start.warm.wall_s for start in starts], 3)
    line("frames encoded anew", [start.warm.frames_encoded for start in starts], 0)
    return lines


def draw_starts(made: Sequence[BenchmarkRecording], seed: int, anywhere: int, near: int) -> list[float]:
    """``anywhere`` uniformly random starts, then ``near`` whose clip crosses the first border."""
    dice = random.Random(seed)
    last = sum(one.duration_s for one in made) - CLIP_S
    border = made[0].duration_s
    return [dice.uniform(0, last) for _ in range(anywhere)] + [
        dice.uniform(border - CLIP_S + 1, border - 1) for _ in range(near)
    ]


def report(ways: Sequence[Way], starts: Sequence[Start]) -> str:
    over = [start for start in starts if start.border]
    lines = [f"{len(starts)} starts, {len(over)} of them over the border; {date.today()}", ""]
    lines += [*costs_table(ways, starts), "", *ratios_table(starts)]
    if over and len(over) < len(starts):
        lines += ["", "Over the border alone:", "", *costs_table(ways, over), "", *ratios_table(over)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=20, help="uniformly random ones")
    parser.add_argument("--near-border", type=int, default=5, help="more that cross it")
    parser.add_argument("--slow-starts", type=int, default=2, help="how many of them everything encodes too")
    parser.add_argument("--checked", type=int, default=3, help="how many clips of each way; all of ours")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--command", help="what to measure instead of `python -m clipline cut`")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    ways: Sequence[Way] = WAYS
    if options.command:
        base = shlex.split(options.command)
        ways = tuple(replace(way, commands=partial(ours, base=base)) if way is OURS else way for way in WAYS)
    made = recordings(Kind())
    packets = [read_packets(one.path) for one in made]  # which also puts them in the page cache
    drawn = draw_starts(made, options.seed, options.starts, options.near_border)
    # One over the border among the few at which all is done.
    few = [*range(options.slow_starts - 1), len(drawn) - 1] if options.slow_starts else []
    fast = [way for way in ways if not way.encodes_all]
    warm_up = [way for way in fast if way.makes_clip]
    measure_all(warm_up, made, packets, drawn[0])  # not counted: bytecode is written, libraries loaded
    starts = []
    for number, start_s in enumerate(drawn):
        thorough = number < options.checked - 1 or number == len(drawn) - 1
        checked = {way.name for way in ways if thorough or way.encodes_all} | {OURS.name}
        chosen = ways if number in few else fast
        start = measure_all(chosen, made, packets, start_s, first=number, checked=checked)
        starts.append(start)
        walls = [f"{name.rpartition(', ')[2]} {cost.wall_s:.3f}" for name, cost in start.costs.items()]
        print(
            f"{number:3} {start_s:8.3f} s", *walls, f"warm {start.warm.wall_s:.3f}", sep="  ", file=sys.stderr
        )
    print(report(ways, starts))
    if options.json:
        options.json.write_text(json.dumps([asdict(start) for start in starts], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
