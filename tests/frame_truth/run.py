"""Cuts by the thousand, every picture of every clip compared with the one that is due.

    make frame-truth N=10000 SEED=1 JOBS=2
    make frame-truth SEED=1 ONLY=open-gop/3.17      # one cut again
    make frame-truth SEED=1 N=200 KIND=hevc         # a kind alone

Cut ``kind/set.place`` under a seed is the same whatever else is run.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from frame_truth.check import Verdict, check_cut
from frame_truth.cuts import draw_cut
from frame_truth.footage import make_set
from frame_truth.kinds import KINDS, draw_set

from clipline.contract.modes import CutMode

CUTS_PER_SET = 25
_HANGS_S = 300
"""A set that makes no progress for so long is given up, with the stack of every thread."""


@dataclass(frozen=True)
class Task:
    """Cuts of one set."""

    seed: str
    kind: str
    number: int
    places: Sequence[int]
    mode: CutMode | None = None
    """Instead of the one drawn."""


@dataclass(frozen=True)
class Outcome:
    """One cut, done."""

    kind: str
    cut: str
    about: str
    """What it was, should it have failed."""
    verdict: Verdict


def run_task(task: Task) -> list[Outcome]:
    """Make the set, cut it, and leave nothing behind."""
    name = f"{task.kind}/{task.number}"
    faulthandler.dump_traceback_later(_HANGS_S, exit=True)
    footage = draw_set(task.kind, task.seed, task.number)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="frame-truth-") as directory:
        try:
            recordings = make_set(footage, Path(directory))
        except Exception as error:
            verdict = Verdict([f"the footage can't be made: {type(error).__name__}: {error}"])
            return [Outcome(task.kind, f"{name}.{task.places[0]}", str(footage), verdict)]
        for place in task.places:
            faulthandler.dump_traceback_later(_HANGS_S, exit=True)
            cut = f"{name}.{place}"
            asked = draw_cut(task.seed, cut, footage, recordings)
            if task.mode is not None:
                asked = replace(asked, mode=task.mode)
            verdict = check_cut(recordings, asked, footage.tolerance_ms, Path(directory))
            start_ms = asked.interval.start_ms - footage.start_ms
            about = (
                f"{start_ms} to {start_ms + asked.interval.duration_ms} ms after the first recording's start "
                f"({asked.interval}), {asked.mode}, {asked.policy}, tolerance {footage.tolerance_ms} ms, "
                f"HEVC_MODE {asked.hevc_mode}\n{footage}"
            )
            outcomes.append(Outcome(task.kind, cut, about if verdict.faults else "", verdict))
    faulthandler.cancel_dump_traceback_later()
    return outcomes


def tasks(seed: str, cuts: int, kinds: Sequence[str], per_set: int, mode: CutMode | None) -> Iterator[Task]:
    """Every kind in turn, until there are ``cuts``."""
    number = 0
    while cuts > 0:
        for kind in kinds:
            take = min(per_set, cuts)
            if take > 0:
                yield Task(seed, kind, number, range(take), mode)
            cuts -= take
        number += 1


def run(work: Sequence[Task], jobs: int) -> Iterator[Outcome]:
    """Each cut as it is done, in whatever order. Raises RuntimeError where a process dies."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running: dict[Future[list[Outcome]], Task] = {}
        left = iter(work)
        while True:
            while len(running) < jobs + 1 and (task := next(left, None)):
                running[pool.submit(run_task, task)] = task
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    outcomes = future.result()
                except BrokenProcessPool:
                    names = ", ".join(f"{one.kind}/{one.number}" for one in running.values())
                    raise RuntimeError(f"a process died in one of the sets {names}") from None
                del running[future]
                yield from outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """What became of each kind."""
    by_kind: dict[str, list[Verdict]] = defaultdict(list)
    for one in outcomes:
        by_kind[one.kind].append(one.verdict)
        by_kind["all"].append(one.verdict)
    columns = ("cuts", "failed", "empty", "frames", "wrong", "missing", "doubled", "copied", "encoded")
    lines = [f"{'kind':17}" + "".join(f"{name:>9}" for name in columns) + f"{'worst dB':>10}"]
    for kind in [*(kind for kind in KINDS if kind in by_kind), "all"]:
        found = by_kind[kind]
        numbers = [len(found), sum(bool(one.faults) for one in found), sum(one.empty for one in found)]
        numbers += [sum(getattr(one, name) for one in found) for name in columns[3:]]
        worst = min((one.worst_psnr_db for one in found), default=0.0)
        lines.append(f"{kind:17}" + "".join(f"{number:9}" for number in numbers) + f"{worst:10.1f}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=300, help="how many cuts")
    parser.add_argument("--seed", default="20180916")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="these kinds alone")
    parser.add_argument("--only", help="kind/set.place: this cut alone")
    parser.add_argument("--mode", type=CutMode, choices=list(CutMode), help="instead of the ones drawn")
    parser.add_argument("--per-set", type=int, default=CUTS_PER_SET, help="cuts of each set of footage")
    options = parser.parse_args()
    if options.only:
        kind, _, rest = options.only.partition("/")
        number, _, place = rest.partition(".")
        work = [Task(options.seed, kind, int(number), [int(place)], options.mode)]
    else:
        kinds = options.kind or list(KINDS)
        work = list(tasks(options.seed, options.n, kinds, options.per_set, options.mode))
    total = sum(len(task.places) for task in work)
    outcomes: list[Outcome] = []
    began = told = time.monotonic()
    for outcome in run(work, options.jobs):
        outcomes.append(outcome)
        if outcome.verdict.faults:
            print(f"\nFAILED SEED={options.seed} ONLY={outcome.cut}\n{outcome.about}")
            print("".join(f"    ! {fault}\n" for fault in outcome.verdict.faults), flush=True)
        if time.monotonic() - told >= 1:
            told = time.monotonic()
            rate = len(outcomes) / (told - began)
            print(
                f"\r{len(outcomes)} of {total} cuts, {rate:.1f} a second ",
                end="",
                file=sys.stderr,
                flush=True,
            )
    failed = sum(bool(one.verdict.faults) for one in outcomes)
    spent_s = time.monotonic() - began
    print(f"\n{table(outcomes)}\n")
    rate = len(outcomes) / spent_s
    print(
        f"seed {options.seed}: {failed} of {len(outcomes)} cuts failed, {spent_s:.0f} s, {rate:.1f} a second"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
