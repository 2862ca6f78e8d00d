"""Real workers and a real camera service, killed by the hundred at named points and at random.

    make soak KILLS=300 SEED=1
    make soak KILLS=50 STACK=aws

Requests of all kinds keep coming meanwhile. Afterwards everything is looked at: nothing may be lost, doubled
or left over. A seed draws the requests, the points and their order; when a process gets there is up to the
machine, so that two runs are alike and not the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from soak import deaths
from soak.household import Household
from soak.invariant import Findings, check
from soak.nursery import Nursery
from soak.stacks import NAMES, Stack, aws_servers, aws_shaped, one_machine
from soak.traffic import LEADS_TO, Traffic, make_footage, store_all

MOST_RECEIVES = 50
"""So many that kills alone never make a message die."""

_BACKLOG = 6
"""Messages that wait or are worked on, while more are sent."""

_STEP_S = 0.02
_LOOK_EVERY_S = 0.25
_NUDGE_AFTER_S = 3
_DRAINS_S = 300
_FULL_KILLS = 150
"""On one stack; from so many on every point must have been reached."""

_ROOT = Path(__file__).parents[2]

Say = Callable[[str], None]


@dataclass
class Report:
    """What happened on one stack."""

    stack: str
    kills: Counter[str]
    kinds: Counter[str]
    sent: int
    """Messages."""
    findings: Findings
    spent_s: float
    wrong: list[str] = field(default_factory=list)


@contextmanager
def nursery(patience_s: float = 30) -> Iterator[Nursery]:
    """A nursery, after which no process of it is left, nor any that those had started.

    They have ``patience_s`` to end: one that is just loading its modules notices late that its parent died.
    """
    mark = f"/soak-{uuid.uuid4().hex}"
    with Nursery(mark, [str(_ROOT / "src"), str(_ROOT / "tests")]) as opened:
        yield opened
    end = time.monotonic() + patience_s
    while left := list(_marked(mark.encode())):
        if time.monotonic() < end:
            time.sleep(_STEP_S)
            continue
        raise RuntimeError(f"processes are left: {left}")


def soak(household: Household, traffic: Traffic, kills: int, say: Say) -> Report:
    """Kill ``kills`` times or a few more, let it settle, and look at everything."""
    began, stack = time.monotonic(), household.stack
    household.wait_for_camera()
    looked_s = 0.0
    while household.kills.total() < kills:
        household.step()
        traffic.step()
        now = time.monotonic()
        if now - looked_s >= _LOOK_EVERY_S:
            looked_s = now
            for point in household.overdue(_NUDGE_AFTER_S):
                traffic.ask(LEADS_TO.get(point.partition(" ")[0]))
            if stack.depth() + traffic.waiting < _BACKLOG:
                traffic.ask()
            say(f"{stack.name}: {household.kills.total()} of {kills} kills, {len(traffic.asked)} requests")
        time.sleep(_STEP_S)
    household.calm_down()
    wrong = _settle(household, traffic, say)
    household.stop_workers()
    household.wait_for_camera()
    say(f"{stack.name}: looking at {len(traffic.asked)} requests")
    findings = check(stack, traffic.asked)
    wrong += household.wrong + findings.wrong
    if kills >= _FULL_KILLS:
        wrong += [f"nothing died at {point}" for point in household.missed]
    kinds = Counter(one.kind for one in traffic.asked)
    spent_s = time.monotonic() - began
    return Report(stack.name, household.kills, kinds, traffic.sent, findings, spent_s, wrong)


def _settle(household: Household, traffic: Traffic, say: Say) -> list[str]:
    """Wait until nothing is to be done any more; what is wrong if that never comes."""
    stack = household.stack
    end = time.monotonic() + _DRAINS_S
    while (depth := stack.depth()) or traffic.waiting:
        if time.monotonic() > end:
            return [f"{depth} messages are still there after {_DRAINS_S} s"]
        say(f"{stack.name}: {depth} messages to go")
        end_of_step = time.monotonic() + _LOOK_EVERY_S
        while time.monotonic() < end_of_step:
            household.step()
            traffic.step()
            time.sleep(_STEP_S)
    return []


def _marked(mark: bytes) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                yield int(path.parent.name)
        except OSError:  # it is another user's, or ended just now
            continue


def soak_all(
    names: Sequence[str], directory: Path, seed: str, kills: int, workers: int, say: Say
) -> Iterator[Report]:
    """Each stack gets its share of the kills."""
    say("making footage")
    recordings = make_footage(directory / "footage")
    with ExitStack() as opened:
        processes = opened.enter_context(nursery())
        servers = opened.enter_context(aws_servers(directory / "servers")) if "aws" in names else {}

        def build(name: str, part: str, most_receives: int) -> AbstractContextManager[Stack]:
            path = directory / f"{name}-{part}"
            if name == "aws":
                return aws_shaped(path, servers, most_receives=most_receives)
            return one_machine(path, most_receives=most_receives)

        for number, name in enumerate(names):
            share = kills * (number + 1) // len(names) - kills * number // len(names)
            dice = Random(f"{seed}:{name}")
            with build(name, "main", MOST_RECEIVES) as stack:
                store_all(stack, recordings)
                with Household(stack, processes, workers, dice) as household:
                    report = soak(household, Traffic(stack, recordings, f"{seed}:{name}"), share, say)
            say(f"{name}: messages that die without a word")
            with build(name, "deaths", deaths.MOST_RECEIVES) as stack:
                store_all(stack, recordings)
                report.wrong += deaths.die_and_return(stack, processes, recordings, report.kills)
            yield report


def _print(reports: Sequence[Report], seed: str) -> None:
    for title, counters in (
        ("kills", [one.kills for one in reports]),
        ("requests", [one.kinds for one in reports]),
        ("final statuses", [one.findings.statuses for one in reports]),
    ):
        print(f"\n{title:32}" + "".join(f"{one.stack:>14}" for one in reports))
        for name in sorted(set().union(*counters)):
            print(f"  {name:30}" + "".join(f"{counter[name]:14}" for counter in counters))
        print(f"  {'in all':30}" + "".join(f"{counter.total():14}" for counter in counters))
    print()
    for name, values in (
        ("messages sent", [one.sent for one in reports]),
        ("notifications", [one.findings.notifications for one in reports]),
        ("of them repeats", [one.findings.repeats for one in reports]),
        ("repeated dead letters", [one.findings.letter_repeats for one in reports]),
        ("frames read", [one.findings.frames for one in reports]),
        ("seconds", [round(one.spent_s) for one in reports]),
    ):
        print(f"{name:32}" + "".join(f"{value:14}" for value in values))
    wrong = [f"{one.stack}: {what}" for one in reports for what in one.wrong]
    print("".join(f"\n    ! {what}" for what in wrong))
    print(f"seed {seed}: {sum(one.kills.total() for one in reports)} kills, {len(wrong)} things are wrong")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300, help="of all processes on all stacks")
    parser.add_argument("--seed", default="20180916")
    parser.add_argument("--stack", choices=[*NAMES, "both"], default="both")
    parser.add_argument("--jobs", type=int, default=3, help="workers at a time")
    parser.add_argument("--keep", type=Path, help="make everything in this new directory, and leave it there")
    options = parser.parse_args()
    names = NAMES if options.stack == "both" else (options.stack,)
    told_s = 0.0

    def say(text: str) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= 1:
            told_s = time.monotonic()
            print(f"\r{text:79}", end="", file=sys.stderr, flush=True)

    with ExitStack() as opened:
        if options.keep:
            options.keep.mkdir()
            directory = options.keep
        else:
            directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        reports = list(soak_all(names, directory, options.seed, options.kills, options.jobs, say))
    _print(reports, options.seed)
    return 1 if any(one.wrong for one in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
