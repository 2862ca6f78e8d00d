"""Where a recording's time begins: one rule for every container."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

FAR_FROM_ZERO_S = 10
"""A track may start late; none waits so long. Beyond it the clock is another's, as of a live stream."""


def time_zero(starts_s: Iterable[Fraction]) -> Fraction:
    """The container's time that a recording's own time counts from, in seconds.

    ``starts_s``: when each track's first sample is shown, on the container's timeline (MP4: the movie
    timeline, after edit lists). Zero is the timeline's own zero, so that a track that starts late stays
    late; but where all of them start far from it, as in MPEG-TS, Matroska and live fragmented MP4, zero
    is the earliest start. All tracks are shifted by the same time (cutting.md, point 10).
    """
    earliest = min(starts_s, default=Fraction(0))
    return earliest if earliest > FAR_FROM_ZERO_S else Fraction(0)
