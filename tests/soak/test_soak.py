"""A short soak of each stack, and a check that can fail; `make soak` kills more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from soak.check import processes, violations
from soak.orders import Order
from soak.run import STACKS
from soak.stacks import OneMachine

from clipline.camera_service.catalog import Catalog
from clipline.pipeline.ports import LedgerEntry

TESTS = Path(__file__).parents[1]
KILLS = 8


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", STACKS)
def test_nothing_is_lost_doubled_or_left_over(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "soak.run", "--kills", str(KILLS), "--stack", name, "--jobs", "2"],
        env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    assert " 0 violations" in done.stdout


def test_the_check_can_fail(tmp_path: Path) -> None:
    stack = OneMachine(tmp_path / "stack", most_receives=3)
    work = tmp_path / "work"
    (work / "clipline-job-x").mkdir(parents=True)
    orders = [
        Order("lost", "plain", ('{"startTimestampInMs": 1}',), ((1, 2),)),
        Order("pending", "plain", ('{"startTimestampInMs": 1}',), ((1, 2),)),
        Order("gone", "plain", ('{"startTimestampInMs": 1}',), ((1, 2),)),
        Order("", "unreadable", ("junk",)),
    ]
    key = {"clip": {"key": "/pier/gone.mp4"}, "thumbnail": {"key": "/pier/gone_{size}.png"}}
    for clip_id, status in (("pending", "CLIP_PENDING"), ("gone", "CLIP_AVAILABLE")):
        metadata = {"clipId": clip_id, "status": status, "eventId": "e", "startTimestampInMs": 1, **key}
        stack.ledger.write(LedgerEntry(clip_id, "f", 1, 1, metadata), replaces=None)
    stack.clips.put("pier/other.mp4", b"x", "video/mp4")
    stack.queue.send("{}")
    marker = f"soak-test-{os.getpid()}"
    left = subprocess.Popen(["sleep", "60"], env={"MARKER": marker})
    try:
        with Catalog(tmp_path / "catalog.sqlite") as catalog:
            found = "\n".join(violations(stack, catalog, orders, work, marker))
    finally:
        left.kill()
        left.wait()
    for what in (
        "1 messages are left", "dead letters: 0, of unreadable messages: 1", "the work directory holds",
        "objects that nobody asked for: ['pier/other.mp4']", "processes are left: ['sleep 60 ']",
        "lost (plain): nothing was ever decided: it is lost", "pending (plain): it ends as CLIP_PENDING",
        "gone (plain): the camera API says None", "gone (plain): nobody was told",
        "gone (plain): pier/gone.mp4 is not there",
    ):  # fmt: skip
        assert what in found, found
    assert processes(marker) == []
    stack.queue.close()
    stack.ledger.close()
