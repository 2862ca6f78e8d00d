"""``clipline cut``: files in, a clip out, no services at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import ConfigurationError, NoFrames
from clipline.contract.interval import Interval, iso, parse_instant
from clipline.contract.modes import CutMode, HevcMode
from clipline.contract.recording import NameFormat
from clipline.contract.result import Status
from clipline.media.cut import Candidate, Cut, CutReport, ThumbnailOptions, prepare
from clipline.media.ranges import LocalSource
from clipline.media.stopwatch import OnStage, Stopwatch, unobserved


@dataclass(frozen=True)
class CutOptions:
    """What ``clipline cut`` was asked for."""

    interval: Interval
    output: Path
    recordings: Sequence[str]
    """``FILE`` or ``FILE@TIME``."""
    thumbnails: Path | None = None
    """The folder for thumbnails; None: none are made."""
    widths: tuple[int, ...] = ()
    """Of thumbnails, pixels."""
    picture_format: str = "png"
    gap_policy: GapPolicy = GapPolicy.FAIL
    tolerance_ms: int = 1000
    mode: CutMode = CutMode.EXACT
    hevc_mode: HevcMode = HevcMode.H264
    names: NameFormat = field(default_factory=NameFormat)
    overwrite: bool = False


def parse_times(start: str, end: str) -> Interval:
    """Raises ConfigurationError that says which of the two is wrong."""
    try:
        start_ms = parse_instant(start)
    except ValueError as error:
        raise ConfigurationError(f"--start: {error}") from None
    try:
        end_ms = parse_instant(end)
    except ValueError as error:
        raise ConfigurationError(f"--end: {error}") from None
    if end_ms <= start_ms:
        raise ConfigurationError(f"--end {iso(end_ms)} does not come after --start {iso(start_ms)}")
    return Interval(start_ms, end_ms)


def cut(options: CutOptions, on_stage: OnStage = unobserved) -> dict[str, Any]:
    """Make the clip; returns the result metadata with ``timingsInMs``.

    Its status is CLIP_AVAILABLE, or CLIP_NOT_AVAILABLE with a ``reason`` where the recordings leave a gap
    and the policy is to fail. The output appears when it is whole. Raises ConfigurationError for
    arguments that can't work, and MediaError for footage that can't be cut.
    """
    candidates = [_candidate(text, options.names) for text in options.recordings]
    output = options.output
    if output.exists() and not options.overwrite:
        raise ConfigurationError(f"{output} exists", hint="name another --output, or add --overwrite")
    if not output.parent.is_dir():
        raise ConfigurationError(f"the folder of --output {output} does not exist")
    stopwatch = Stopwatch(on_stage)
    with tempfile.TemporaryDirectory(prefix=".clipline-", dir=output.parent) as name:
        directory = Path(name)
        made = _make(options, candidates, directory, stopwatch)
        if isinstance(made, str):
            return _document(options, Status.NOT_AVAILABLE) | {"thumbnail": {"sizes": []}, "reason": made}
        document = _document(options, Status.AVAILABLE) | _publish(options, made)
    return document | dict(made.details) | {"timingsInMs": stopwatch.timings_ms}


def _make(
    options: CutOptions, candidates: Sequence[Candidate], directory: Path, stopwatch: Stopwatch
) -> CutReport | str:
    """The clip in ``directory``, or why there is none."""
    try:
        planned: Cut = prepare(
            candidates, options.interval, directory,
            gap_policy=options.gap_policy, tolerance_ms=options.tolerance_ms,
            mode=options.mode, hevc_mode=options.hevc_mode, stopwatch=stopwatch,
        )  # fmt: skip
    except NoFrames as error:
        return str(error)
    if planned.plan.gaps and options.gap_policy is GapPolicy.FAIL:
        first = planned.plan.gaps[0]
        return f"the recordings leave a gap from {first.span}: {first.reason}"
    thumbnails = None
    if options.thumbnails is not None:
        thumbnails = ThumbnailOptions(options.widths, options.picture_format)
    return planned.render(directory / f"{options.output.stem}.mp4", thumbnails)


def _publish(options: CutOptions, report: CutReport) -> dict[str, Any]:
    """Move the files to where they were asked for; the clip last."""
    thumbnail: dict[str, Any] = {"sizes": []}
    if options.thumbnails is not None:
        options.thumbnails.mkdir(parents=True, exist_ok=True)
        for width, path in report.thumbnails.items():
            _move(path, options.thumbnails / f"{options.output.stem}_{width}.{options.picture_format}")
        pattern = options.thumbnails / (options.output.stem + "_{size}." + options.picture_format)
        thumbnail = {"key": str(pattern), "sizes": list(options.widths)}
    _move(report.clip, options.output)
    clip = {"url": options.output.absolute().as_uri(), "key": str(options.output)}
    return {"clip": clip, "thumbnail": thumbnail}


def _move(path: Path, target: Path) -> None:
    """Within a file system at once; to another one through a copy beside the target."""
    if path.stat().st_dev != target.parent.stat().st_dev:
        import shutil

        staged = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(path, staged)
        path = staged
    path.replace(target)


def _document(options: CutOptions, status: Status) -> dict[str, Any]:
    return {
        "startTimestampInMs": options.interval.start_ms,
        "endTimestampInMs": options.interval.end_ms,
        "status": str(status),
    }


def _candidate(text: str, names: NameFormat) -> Candidate:
    """A recording and its start, out of ``FILE`` or ``FILE@TIME``."""
    file, at, time = text.rpartition("@")
    if at and not Path(text).exists():
        try:
            start_ms = parse_instant(time)
        except ValueError as error:
            raise ConfigurationError(f"recording {text}: {error}") from None
        path = Path(file)
    else:
        path = Path(text)
        named = names.start_ms(path.name)
        if named is None:
            raise ConfigurationError(
                f"the name of {path} does not tell when it starts",
                hint=f"write {path}@2018-09-16T16:00:17.000Z with its start in UTC",
            )
        start_ms = named[0]
    if not path.is_file():
        raise ConfigurationError(f"there is no recording {path}")
    return Candidate(LocalSource(path), start_ms)
