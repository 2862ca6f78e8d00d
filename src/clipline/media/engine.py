"""How the pipeline asks for a cut: in this process, or wherever another engine makes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clipline.contract.coverage import Gap, GapPolicy
from clipline.contract.interval import Interval
from clipline.contract.modes import HevcMode
from clipline.media.cut import NO_RECORDING, Candidate, Cut, CutReport, ThumbnailOptions, prepare
from clipline.media.limits import MediaLimits
from clipline.media.stopwatch import Stopwatch


@dataclass(frozen=True)
class CutJob:
    """A clip that is wanted."""

    candidates: Sequence[Candidate]
    """Recordings that may hold part of it, in any order."""
    interval: Interval
    directory: Path
    """Takes the clip and temporary files; whoever wants the clip removes it."""
    gap_policy: GapPolicy = GapPolicy.FAIL
    tolerance_ms: int = 1000
    hevc_mode: HevcMode = HevcMode.H264
    missing: Sequence[tuple[Interval, str]] = ()
    """Spans known to be missing, and why."""


class PlannedCut(Protocol):
    """A clip whose recordings' indexes were read."""

    @property
    def gaps(self) -> Sequence[Gap]:
        """Those beyond the tolerance, as far as indexes tell."""

    def render(self, output: Path, thumbnails: ThumbnailOptions) -> CutReport:
        """Make the clip at ``output``, in the job's directory, and its thumbnails beside it.

        Raises what ``media.cut.Cut.render`` does.
        """


class Engine(Protocol):
    """Makes clips; safe to use from several threads."""

    def prepare(self, job: CutJob, stopwatch: Stopwatch) -> AbstractContextManager[PlannedCut]:
        """Read the indexes. Raises what ``media.cut.prepare`` does, and what the sources raise."""


class InProcess:
    """Cuts in this process. Of ``limits`` those of pixels and of the output hold."""

    def __init__(self, limits: MediaLimits | None = None) -> None:
        self._limits = limits or MediaLimits()

    @contextmanager
    def prepare(self, job: CutJob, stopwatch: Stopwatch) -> Iterator[PlannedCut]:
        """As in ``Engine``."""
        cut = prepare(
            job.candidates, job.interval, job.directory,
            gap_policy=job.gap_policy, tolerance_ms=job.tolerance_ms, hevc_mode=job.hevc_mode,
            missing=job.missing, limits=self._limits, stopwatch=stopwatch,
        )  # fmt: skip
        yield _Planned(cut)


def gaps_of(cut: Cut) -> tuple[Gap, ...]:
    """Those of its plan."""
    return tuple(Gap(part.span, part.reason or NO_RECORDING) for part in cut.plan.gaps)


class _Planned:
    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self.gaps = gaps_of(cut)

    def render(self, output: Path, thumbnails: ThumbnailOptions) -> CutReport:
        return self._cut.render(output, thumbnails)
