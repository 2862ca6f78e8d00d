"""Footage of several kinds, made once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from media.truth import Recorded, record

from clipline.media.footage import Footage

_SMALL = Footage(width=640, height=360, duration_s=12)
_NTSC = Fraction(30000, 1001)
_ALWAYS_B = ("b_strategy", "0")

KINDS = {
    "plain": _SMALL,
    "b-frames": replace(_SMALL, b_frames=3, moov_first=True, options=(_ALWAYS_B,)),
    "main-25": replace(_SMALL, frame_rate=Fraction(25), profile="main", b_frames=2),
    "baseline-ntsc": replace(_SMALL, frame_rate=_NTSC, profile="baseline", audio=False, moov_first=True),
    "b-frames-ntsc": replace(_SMALL, frame_rate=_NTSC, b_frames=2, colour_tagged=False, options=(_ALWAYS_B,)),
    "open-gop": replace(_SMALL, b_frames=3, options=(_ALWAYS_B, ("x264-params", "open-gop=1"))),
}
"""Three recordings of each."""

MakeFootage = Callable[[str], Sequence[Recorded]]


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> MakeFootage:
    """The recordings of one of ``KINDS``."""
    made: dict[str, Sequence[Recorded]] = {}

    def of_kind(kind: str) -> Sequence[Recorded]:
        if kind not in made:
            made[kind] = record(tmp_path_factory.mktemp(kind), KINDS[kind], recordings=3)
        return made[kind]

    return of_kind
