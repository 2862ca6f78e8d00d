"""Two thousand histories at random; `make simulate` runs more."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest
from simulation.run import Tally, run_all, run_one
from simulation.schedule import draw, run_schedule

from clipline.contract.result import Status

SCHEDULES_IN_CI = 2000


@pytest.mark.timeout(600)
def test_the_invariant_holds_after_every_schedule() -> None:
    seed = os.environ.get("CLIPLINE_TEST_SEED", "20180916")
    total = Tally()
    for tally in run_all(seed, SCHEDULES_IN_CI, jobs=1):
        total.add(tally)
    told = [f"SEED={seed} ONLY={number}: {'; '.join(found)}" for number, found in total.failed]
    assert not told, "\n".join(told)
    assert total.schedules == SCHEDULES_IN_CI
    # The dice reach every end that there is.
    assert set(total.statuses) == {str(status) for status in Status if status.final}
    assert total.faults > SCHEDULES_IN_CI


def test_a_seed_is_the_same_history_each_time(tmp_path: Path) -> None:
    for number in range(20):
        first, second = (run_one("again", number, tmp_path) for _ in range(2))
        assert first.world.log == second.world.log
        assert [at_ms for at_ms, _ in first.history] == [at_ms for at_ms, _ in second.history]


def test_no_worker_asks_its_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is five minutes off decides nothing early: what has to wait is judged by the queue's clock."""

    asked = []

    def clock() -> int:
        asked.append(1)
        return 1_540_954_320_000 + 300_000 * len(asked)

    monkeypatch.setattr(time, "time_ns", clock)
    monkeypatch.setattr(time, "time", lambda: clock() / 1000)
    for number in range(100):
        dice = Random(f"clock:{number}")
        run_schedule(draw(dice), dice, tmp_path)
    assert not asked
