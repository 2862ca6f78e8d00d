"""Two random cuts of every kind, and those that were wrong once; `make frame-truth` runs more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from frame_truth.kinds import KINDS
from frame_truth.regressions import CUTS

TESTS = Path(__file__).parents[1]
CUTS_OF_A_SET = 2


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "frame_truth.run", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.timeout(900)
def test_random_cuts_of_every_kind() -> None:
    seed = os.environ.get("CLIPLINE_TEST_SEED", "20180916")
    done = run(
        "-n", str(CUTS_OF_A_SET * len(KINDS)), "--per-set", str(CUTS_OF_A_SET), "--seed", seed, "--jobs", "2"
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]
    assert f"0 of {CUTS_OF_A_SET * len(KINDS)} cuts failed" in done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "only", "mode"), CUTS, ids=["-".join(cut[:2]) for cut in CUTS])
def test_what_was_wrong_once(seed: str, only: str, mode: str) -> None:
    done = run("--seed", seed, "--only", only, "--mode", mode)
    assert done.returncode == 0, done.stdout[-6_000:]
