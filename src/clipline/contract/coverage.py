"""How recordings cover an interval: pieces and gaps.

    asked         [-------------------------)
    recordings  |---A---|  |----B----|
                      |-C-|
    coverage      [--A--)[C)[----B----)[gap)

Where recordings overlap, the earlier one owns the overlap up to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from clipline.contract.interval import Interval
from clipline.contract.recording import Recording


class GapPolicy(StrEnum):
    """What becomes of a clip when part of its interval is missing for good."""

    FAIL = "fail"
    """No clip; the status says why."""
    SKIP = "skip"
    """Leave the gap out: what follows moves up."""
    HOLD = "hold"
    """Stretch the last picture before the gap; at the clip's head the first picture after it."""
    BLACK = "black"
    """Show black."""


@dataclass(frozen=True)
class Piece:
    """``span`` is shown by ``recording``."""

    span: Interval
    recording: Recording


@dataclass(frozen=True)
class Gap:
    """``span`` is shown by no recording."""

    span: Interval
    reason: str = "no recording"


Coverage = Sequence[Piece | Gap]
"""In order, without overlap, from the interval's start to its end."""


def cover(interval: Interval, recordings: Iterable[Recording]) -> Coverage:
    """Who shows what of ``interval``, by the spans that the recordings claim, given in any order.

    A duplicate or a recording that lies wholly within earlier ones shows nothing.
    """
    coverage: list[Piece | Gap] = []
    at_ms = interval.start_ms
    for recording in sorted(recordings, key=lambda one: (one.span, one.name)):
        if recording.span.end_ms <= at_ms:
            continue
        if recording.span.start_ms >= interval.end_ms:
            break
        if recording.span.start_ms > at_ms:
            coverage.append(Gap(Interval(at_ms, recording.span.start_ms)))
            at_ms = recording.span.start_ms
        end_ms = min(recording.span.end_ms, interval.end_ms)
        coverage.append(Piece(Interval(at_ms, end_ms), recording))
        at_ms = end_ms
        if at_ms == interval.end_ms:
            break
    if at_ms < interval.end_ms:
        coverage.append(Gap(Interval(at_ms, interval.end_ms)))
    return coverage


def holes(coverage: Coverage, tolerance_ms: int) -> tuple[Gap, ...]:
    """The gaps that count: longer than ``tolerance_ms``."""
    return tuple(part for part in coverage if isinstance(part, Gap) and part.span.duration_ms > tolerance_ms)
