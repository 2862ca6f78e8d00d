"""Delete each safeguard in turn and see a test fail: the table of docs/guarantees.md.

make safeguards
make safeguards ARGS="--only fencing"       # those whose name contains it
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safeguards.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
_SECONDS = 900


def mutated(mutant: Mutant, source: str) -> str:
    """Raises ValueError where the source does not hold what the mutant changes, once."""
    if source.count(mutant.before) != 1:
        raise ValueError(
            f"{mutant.file} holds {source.count(mutant.before)} times what '{mutant.safeguard}' changes"
        )
    return source.replace(mutant.before, mutant.after)


def notices(mutant: Mutant) -> str | None:
    """The first test that fails without the safeguard; None: nothing does."""
    with tempfile.TemporaryDirectory(prefix="safeguards-") as name:
        root = Path(name)
        for folder in ("src", "tests", "scripts"):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        (root / ".tools").symlink_to(ROOT / ".tools")
        path = root / "src" / "clipline" / mutant.file
        path.write_text(mutated(mutant, path.read_text()))
        environment = {**os.environ, "PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        for tests in mutant.tests:
            command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--tb=no", tests]
            run = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, check=False,
                timeout=_SECONDS,
            )  # fmt: skip
            failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
            if run.returncode == 1 and failed:
                return failed[0].partition(" ")[2].partition(" - ")[0]
            if run.returncode:
                raise RuntimeError(f"{mutant.safeguard}: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="safeguards whose name contains this")
    chosen = [one for one in MUTANTS if parser.parse_args().only in one.safeguard]
    survived = 0
    print("| without this safeguard | this test fails |\n|---|---|")
    for done, mutant in enumerate(chosen):
        began = time.monotonic()
        test = notices(mutant)
        survived += test is None
        print(f"| {mutant.safeguard} | {f'`{test}`' if test else '**nothing**'} |", flush=True)
        spent_s = time.monotonic() - began
        print(f"{done + 1} of {len(chosen)}, {spent_s:.0f} s", file=sys.stderr, flush=True)
    print(f"\n{len(chosen)} safeguards deleted one by one, {survived} deletions noticed by nothing")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
