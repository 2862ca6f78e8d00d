"""The list of safeguards fits the source; `make safeguards` deletes them one by one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from safeguards.mutants import MUTANTS, Mutant
from safeguards.run import ROOT, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.safeguard)
def test_a_mutant_is_the_source_without_one_safeguard(mutant: Mutant) -> None:
    source = (ROOT / "src" / "clipline" / mutant.file).read_text()
    ast.parse(mutated(mutant, source))
    for tests in mutant.tests:
        assert Path(ROOT / tests.partition("::")[0]).exists()
