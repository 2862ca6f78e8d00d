"""Cuts of hostile recordings by the ten thousand: a typed error or the right clip, in time, and no crash.

    make fuzz N=50000 SEED=1 JOBS=2
    make fuzz SEED=1 ONLY=boxes/mp4/17      # one case again

Boxes (in other containers elements, packets and tables) make 45 of a hundred cases, NAL units as many, mere
bytes the rest. Case ``level/kind/number`` under a seed is the same whatever else is run.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from fuzz.cases import names
from fuzz.child import Verdict, run_case
from fuzz.sources import KINDS, Source, make_sources
from media.judge import CARRIED_OVER, ERROR, RIGHT, UNSEEN

_BATCH = 20
_COLUMNS = {ERROR: "error", RIGHT: "right", CARRIED_OVER: "carried over", UNSEEN: "unseen"}

_sources: dict[str, Source] = {}


def _prepare(directory: Path, kinds: Sequence[str], number: Synchronized[int]) -> None:
    """Make a process ready to fork children, on one processor of its own.

    Threads of FFmpeg's hide damage in other pictures each time; with one processor there are none.
    """
    with number.get_lock():
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[number.value % len(processors)]})
        number.value += 1
    _sources.update(make_sources(directory, kinds))
    for source in _sources.values():
        _ = source.frames, source.carriers
    gc.collect()
    gc.freeze()  # a collection in a child would copy all that is shared with it


def _run(keep: Path | None, batch: Sequence[tuple[str, str]]) -> list[Verdict]:
    return [run_case(seed, name, _sources, keep) for seed, name in batch]


def run(cases: Sequence[tuple[str, str]], jobs: int, keep: Path | None = None) -> Iterator[Verdict]:
    """Each case, (seed, name), as it is done, in whatever order."""
    spawn = get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        make_sources(Path(directory))
        batches = iter([cases[at : at + _BATCH] for at in range(0, len(cases), _BATCH)])
        with ProcessPoolExecutor(
            jobs, spawn, _prepare, (Path(directory), list(KINDS), spawn.Value("i"))
        ) as pool:
            running: set[Future[list[Verdict]]] = set()
            while True:
                while len(running) < jobs + 1 and (batch := next(batches, None)):
                    running.add(pool.submit(_run, keep, batch))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()


def table(verdicts: Sequence[Verdict]) -> str:
    """What became of each level and each kind."""
    lines = [f"{'':22}" + "".join(f"{name:>14}" for name in ("cases", *_COLUMNS.values(), "failed"))]
    rows: dict[str, list[Verdict]] = {}
    for one in verdicts:
        level, kind, _ = one.name.split("/")
        for row in (level, f"  {level} {kind}", "all"):
            rows.setdefault(row, []).append(one)
    for row in [*sorted(rows.keys() - {"all"}, key=str.strip), "all"]:
        counts = Counter(one.outcome for one in rows[row])
        numbers = [len(rows[row]), *(counts[name] for name in _COLUMNS), sum(one.failed for one in rows[row])]
        lines.append(f"{row:22}" + "".join(f"{number:14}" for number in numbers))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=1000, help="how many cases")
    parser.add_argument("--seed", default="20180916")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", action="append", help="level/kind/number: this case alone; also seed:...")
    parser.add_argument("--keep", type=Path, help="a folder for the files of cases that fail")
    options = parser.parse_args()
    cases = [(options.seed, name) for name in names(options.n)]
    if options.only:
        split = [name.rpartition(":") for name in options.only]
        cases = [(seed or options.seed, name) for seed, _, name in split]
    verdicts: list[Verdict] = []
    began = told = time.monotonic()
    every_s, before, after = (1, "\r", " ") if sys.stderr.isatty() else (60, "", "\n")
    for verdict in run(cases, options.jobs, options.keep):
        verdicts.append(verdict)
        if verdict.failed:
            print(f"\nFAILED SEED={verdict.seed} ONLY={verdict.name}\n    {verdict.about}")
            print(f"    ! {verdict.outcome}", flush=True)
        elif options.only:
            print(f"{verdict.name}: {verdict.outcome}")
        if time.monotonic() - told >= every_s:
            told = time.monotonic()
            print(
                f"{before}{_progress(verdicts, len(cases), told - began)}",
                end=after,
                file=sys.stderr,
                flush=True,
            )
    spent_s = time.monotonic() - began
    failed = sum(one.failed for one in verdicts)
    print(f"\n{table(verdicts)}\n")
    slowest, largest = (
        max(verdicts, key=lambda one: one.spent_s),
        max(verdicts, key=lambda one: one.peak_bytes),
    )
    usual = sorted(one.spent_s for one in verdicts)[len(verdicts) // 2]
    print(
        f"a case takes {usual * 1000:.0f} ms in the median, {slowest.spent_s:.2f} s at most ({slowest.name})"
    )
    print(f"a child has {largest.peak_bytes / 2**20:.0f} MiB at most ({largest.name})")
    rate = len(verdicts) / spent_s
    print(
        f"seed {options.seed}: {failed} of {len(verdicts)} cases failed, {spent_s:.0f} s, {rate:.1f} a second"
    )
    return 1 if failed else 0


def _progress(verdicts: Sequence[Verdict], total: int, spent_s: float) -> str:
    rate = len(verdicts) / spent_s
    counts = Counter(_COLUMNS.get(one.outcome, "failed") for one in verdicts)
    told = ", ".join(f"{counts[name]} {name}" for name in (*_COLUMNS.values(), "failed"))
    left_s = round((total - len(verdicts)) / rate)
    return f"{len(verdicts)} of {total} cases ({told}), {rate:.1f} a second, {left_s} s left"


if __name__ == "__main__":
    sys.exit(main())
