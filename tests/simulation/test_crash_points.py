"""Every call of a service, killed before and after its effect, failed, and its answer lost: alone, and
kills in pairs. CLIPLINE_EVERY_PAIR=1 takes the pairs of every scenario."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from simulation.invariant import violations
from simulation.schedule import BEGIN_MS, NEVER_MS, RECORDING_MS, Request, Run, Schedule, run_schedule
from simulation.world import DIE, DIE_AFTER, VERDICTS

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval

NOW_MS = BEGIN_MS + 2 * RECORDING_MS
ACROSS = Interval(BEGIN_MS + 55_000, BEGIN_MS + 65_000)
FIRST = Request("clip", "normal", ACROSS, (NOW_MS,))
OTHER = Request("clip", "normal", Interval(BEGIN_MS + 5_000, BEGIN_MS + 9_000), (NOW_MS + 1,))
SCENARIOS = {
    "available": Schedule((FIRST,), (0, 0), (0, 0)),
    "pending, then available": Schedule((FIRST,), (0, NOW_MS + 90_000), (0, 0), notify_pending=True),
    "announced before it is stored": Schedule((FIRST,), (0, 0), (0, NOW_MS + 50_000)),
    "retry timeout": Schedule((FIRST,), (0, NEVER_MS), (0, NEVER_MS)),
    "partial": Schedule((FIRST,), (0, NEVER_MS), (0, NEVER_MS), gap_policy=GapPolicy.HOLD),
    "sent twice": Schedule(
        (Request("clip", "normal", ACROSS, (NOW_MS, NOW_MS)),), (0, 0), (0, 0), slots=2
    ),
    "a clipId used twice": Schedule((FIRST, OTHER), (0, 0), (0, 0), slots=2),
    "a batch": Schedule(
        (FIRST, Request("unreadable", "unreadable", ACROSS, (NOW_MS,)),
         Request("invalid", "invalid", ACROSS, (NOW_MS,))), (0, 0), (0, 0), batch=10
    ),
}  # fmt: skip

IN_CI = ("available", "retry timeout", "a clipId used twice")


def run(name: str, plan: dict[int, str], directory: Path) -> Run:
    return run_schedule(SCENARIOS[name], Random(name), directory, plan=plan)


def wrong(name: str, plan: dict[int, str], directory: Path) -> list[str]:
    """What the plan breaks, with the history."""
    done = run(name, plan, directory)
    found = violations(done)
    return [f"{plan}: {'; '.join(found)}", *done.world.log] if found else []


def calls(name: str, plan: dict[int, str], directory: Path) -> int:
    return run(name, plan, directory).world.faults.calls


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_point_alone(name: str, tmp_path: Path) -> None:
    points = calls(name, {}, tmp_path)
    assert points >= 5
    for point in range(points):
        for verdict in VERDICTS:
            assert not wrong(name, {point: verdict}, tmp_path)


def pairs(name: str, directory: Path) -> Iterator[dict[int, str]]:
    for first in range(calls(name, {}, directory)):
        for how in (DIE, DIE_AFTER):
            for second in range(first + 1, calls(name, {first: how}, directory)):
                for then in (DIE, DIE_AFTER):
                    yield {first: how, second: then}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS if os.environ.get("CLIPLINE_EVERY_PAIR") else IN_CI)
def test_every_pair_of_kills(name: str, tmp_path: Path) -> None:
    tried = 0
    for plan in pairs(name, tmp_path):
        assert not wrong(name, plan, tmp_path)
        tried += 1
    assert tried > 100
