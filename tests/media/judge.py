"""What becomes of hostile recordings: a typed error, the right clip, one damaged as they are, a wrong one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from media.likeness import NEAR_MS, UNSEEN, departures, walls_ms
from media.truth import Shown, show

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import MediaError
from clipline.contract.interval import Interval
from clipline.contract.modes import CutMode, HevcMode
from clipline.media.cut import Candidate, ThumbnailOptions, prepare
from clipline.media.ranges import LocalSource

ERROR = "error"
RIGHT = "right"
"""The frames that the sound recordings have, at their times; some may be missing where the clip says so."""
CARRIED_OVER = "carried over"
"""Other pictures, or the same at other times, just as FFmpeg shows the recordings."""
KNOWN = frozenset({ERROR, RIGHT, CARRIED_OVER, UNSEEN})
"""Every other outcome says what is wrong."""

_LOSS = re.compile("are lost|cut off|footage ends")
"""In a note of the clip's: pictures are missing, with or without a gap."""

TOLERANCE_MS = 5
"""Less than a frame: a recording that ends early must say so."""

Frames = Sequence[tuple[Fraction, int]]
"""(wall time in milliseconds, number) of each frame of sound recordings, in order."""


@dataclass(frozen=True)
class Asked:
    """One cut."""

    interval: Interval
    policy: GapPolicy = GapPolicy.FAIL
    mode: CutMode = CutMode.EXACT
    hevc_mode: HevcMode = HevcMode.H264


def outcome(recordings: Sequence[tuple[Path, int]], asked: Asked, frames: Frames, directory: Path) -> str:
    """One of ``KNOWN``, or what is wrong with the clip of ``recordings``: (file, wall time of its beginning).

    ``frames``: what they show, were they sound. Where gaps are not allowed, one that the plan tells is an
    error: no clip is made. Raises what is no MediaError.
    """
    clip = directory / "clip.mp4"
    clip.unlink(missing_ok=True)
    try:
        cut = prepare(
            [Candidate(LocalSource(path), start_ms) for path, start_ms in recordings],
            asked.interval, directory, gap_policy=asked.policy, tolerance_ms=TOLERANCE_MS,
            mode=asked.mode, hevc_mode=asked.hevc_mode,
        )  # fmt: skip
        if cut.plan.gaps and asked.policy is GapPolicy.FAIL:
            return ERROR
        report = cut.render(clip, ThumbnailOptions((64,)))
    except MediaError:
        return ERROR
    if not report.thumbnails[64].stat().st_size:
        return "the thumbnail is empty"
    return judge(clip, report.details, recordings, asked, frames)


def judge(
    clip: Path,
    details: Mapping[str, Any],
    recordings: Sequence[tuple[Path, int]],
    asked: Asked,
    frames: Frames,
) -> str:
    """What ``clip`` is: ``RIGHT``, ``CARRIED_OVER``, ``UNSEEN`` or what is wrong with it."""
    try:
        shown = show(clip)
    except (AssertionError, OSError, ValueError, MediaError):
        shown = []
    loses = any(_LOSS.search(note) and "audio" not in note for note in details["notes"])
    if shown and _is_right(shown, details, asked, frames, loses=loses):
        return RIGHT
    found = departures(clip, recordings, details, whole=not loses)
    return found[0] if found else CARRIED_OVER


def _is_right(
    shown: Sequence[Shown], details: Mapping[str, Any], asked: Asked, frames: Frames, *, loses: bool
) -> bool:
    begin_ms = asked.interval.start_ms
    if asked.mode is CutMode.KEYFRAME:
        begin_ms = min(begin_ms, details["firstFrameTimestampInMs"] - 1)
    due = {number: wall for wall, number in frames if begin_ms <= wall < asked.interval.end_ms}
    gaps = [part for part in details["coverage"] if "gap" in part]
    numbers = []
    for frame, wall in zip(shown, walls_ms([frame.time_s for frame in shown], details), strict=True):
        if frame.number is None:
            if not (gaps and asked.policy is GapPolicy.BLACK):
                return False
            continue
        if frame.number not in due or abs(due[frame.number] - wall) > NEAR_MS:
            return False
        numbers.append(frame.number)
    if numbers != sorted(set(numbers), key=due.__getitem__):
        return False
    missing = [due[number] for number in due.keys() - set(numbers)]
    told = all(
        any(gap["startTimestampInMs"] - NEAR_MS <= wall <= gap["endTimestampInMs"] + NEAR_MS for gap in gaps)
        for wall in missing
    )
    return bool(numbers) and (told or loses)
