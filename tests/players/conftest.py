"""Clips to play, made once for all players."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from media.truth import Recorded
from players.cases import CASES, RECORDINGS, Clip, make

ClipOf = Callable[[str], Clip]


def missing(what: str) -> NoReturn:
    """A player that is not on this machine: a reason to skip here, an error in CI."""
    reason = f"{what} is not installed: `make test` installs it on Debian, as root"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def clip_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clips are."""
    return tmp_path_factory.mktemp("players")


@pytest.fixture(scope="session")
def clip_of(clip_directory: Path) -> ClipOf:
    """The clip of one of ``CASES``."""
    recordings: dict[str, Sequence[Recorded]] = {}
    clips: dict[str, Clip] = {}

    def of(name: str) -> Clip:
        if name not in clips:
            case = CASES[name]
            if case.recordings not in recordings:
                made = RECORDINGS[case.recordings](clip_directory / case.recordings)
                recordings[case.recordings] = made
            clips[name] = make(case, recordings[case.recordings], clip_directory, name)
        return clips[name]

    return of
