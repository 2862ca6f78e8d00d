"""A few hundred hostile recordings of every kind, and those that were cut wrong once; see `make fuzz`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.regressions import CASES

TESTS = Path(__file__).parents[1]
RANDOM_CASES = 200


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz.run", "--jobs", "1", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_random_cases_of_every_level_and_kind() -> None:
    seed = os.environ.get("CLIPLINE_TEST_SEED", "20180916")
    done = run("-n", str(RANDOM_CASES), "--seed", seed)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]
    assert f"0 of {RANDOM_CASES} cases failed" in done.stdout


@pytest.mark.timeout(300)
def test_what_was_wrong_once() -> None:
    done = run(*(argument for case in CASES for argument in ("--only", ":".join(case))))
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]
    assert f"0 of {len(CASES)} cases failed" in done.stdout
