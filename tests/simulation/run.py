"""Seeded histories of the pipeline with failing services by the thousand, each checked for the invariant.

make simulate N=100000 SEED=1 JOBS=2
make simulate SEED=1 ONLY=4711              # one schedule again, with all that happened
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random

from simulation.invariant import violations
from simulation.schedule import Run, draw, run_schedule

_AT_A_TIME = 250


@dataclass
class Tally:
    """What became of some schedules."""

    schedules: int = 0
    failed: list[tuple[int, list[str]]] = field(default_factory=list)
    """The number of each, and what was wrong."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Final ones, of clips."""
    calls: int = 0
    """Of services, each a point where something could fail."""
    faults: int = 0
    deliveries: int = 0

    def add(self, other: Tally) -> None:
        self.schedules += other.schedules
        self.failed += other.failed
        self.statuses += other.statuses
        self.calls += other.calls
        self.faults += other.faults
        self.deliveries += other.deliveries


def run_one(seed: str, number: int, directory: Path) -> Run:
    """Schedule ``number`` under ``seed``: the same history each time."""
    dice = Random(f"{seed}:{number}")
    return run_schedule(draw(dice), dice, directory)


def run_some(seed: str, numbers: range) -> Tally:
    """In a directory of memory where there is one: thousands of small files are made."""
    tally = Tally()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        for number in numbers:
            tally.schedules += 1
            try:
                run = run_one(seed, number, Path(name))
                found = violations(run)
            except Exception:
                tally.failed.append((number, [traceback.format_exc()]))
                continue
            if found:
                tally.failed.append((number, found))
            tally.statuses.update(
                {entry.clip_id: str(entry.metadata["status"]) for _, entry in run.history}.values()
            )
            tally.calls += run.world.faults.calls
            tally.faults += run.world.faults.happened
            tally.deliveries += len(run.queue.seen)
    return tally


def run_all(seed: str, schedules: int, jobs: int) -> Iterator[Tally]:
    """In portions, as they are done."""
    portions = [range(at, min(at + _AT_A_TIME, schedules)) for at in range(0, schedules, _AT_A_TIME)]
    if jobs == 1:
        yield from map(partial(run_some, seed), portions)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(run_some, seed), portions)


def show(seed: str, number: int) -> int:
    """Run one schedule and print its history."""
    with tempfile.TemporaryDirectory() as name:
        run = run_one(seed, number, Path(name))
        found = violations(run)
        print(run.schedule, *run.world.log, "", sep="\n")
        print("\n".join(f"VIOLATED {what}" for what in found) or "nothing is wrong")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=2000, help="how many schedules")
    parser.add_argument("--seed", default="20180916")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, help="this schedule alone, and print its history")
    options = parser.parse_args()
    if options.only is not None:
        return show(options.seed, options.only)
    total, began, told = Tally(), time.monotonic(), 0.0
    for tally in run_all(options.seed, options.n, options.jobs):
        total.add(tally)
        for number, found in tally.failed:
            print(f"FAILED SEED={options.seed} ONLY={number}", *found, sep="\n    ! ", flush=True)
        if time.monotonic() - told >= 1:
            told = time.monotonic()
            rate = total.schedules / (told - began)
            print(
                f"\r{total.schedules} of {options.n} schedules, {rate:.0f} a second ",
                end="", file=sys.stderr, flush=True,
            )  # fmt: skip
    spent_s = time.monotonic() - began
    print(f"\n{total.deliveries} deliveries, {total.calls} calls of services, {total.faults} of them failed")
    print("final statuses: " + ", ".join(f"{name} {count}" for name, count in total.statuses.most_common()))
    print(
        f"seed {options.seed}: {len(total.failed)} of {total.schedules} schedules failed, {spent_s:.0f} s, "
        f"{total.schedules / spent_s:.0f} a second"
    )
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
