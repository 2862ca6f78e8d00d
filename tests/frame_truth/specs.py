"""What footage to make: recordings of one camera, described so that a failure can be read and repeated."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import Literal

from clipline.contract.coverage import GapPolicy

Timing = Literal["constant", "jitter", "drops"]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sound:
    """Noise of its own in every audio frame."""

    codec: str = "aac"
    rate: int = 48_000
    layout: str = "mono"
    late_ms: int = 0
    """After the video's time zero."""
    early_ms: int = 0
    """How much sooner than the video it ends."""


@dataclass(frozen=True)
class Spec:
    """One recording."""

    frames: int
    rate: Fraction
    timescale: int
    """Ticks a second in the file."""
    encoder: str = "libx264"
    options: Pairs = ()
    """Of FFmpeg's encoder."""
    parameters: Pairs = ()
    """Of x264 or x265 itself."""
    width: int = 640
    height: int = 360
    pixel_format: str = "yuv420p"
    interlaced: bool = False
    timing: Timing = "constant"
    lead_ticks: int = 0
    """How late the first picture comes after the file's time zero."""
    key_frames: tuple[int, ...] = ()
    """Forced ones, places from 0."""
    container: str = "mp4"
    """FFmpeg's name of it."""
    muxer_options: Pairs = ()
    rotation: int = 0
    """Degrees, clockwise."""
    sound: Sound | None = None
    seed: int = 0
    """Of the times, where they are not constant, and of the path of the pictures."""

    @cached_property
    def pts(self) -> Sequence[int]:
        """When each picture is shown, ticks; and at the end when the last one stops being shown."""
        dice = random.Random(self.seed)
        step = self.timescale / self.rate
        places: list[Fraction] = [Fraction(place) for place in range(self.frames + 1)]
        if self.timing == "jitter":
            places = [place + Fraction(dice.randrange(-40, 41), 100) for place in places]
            places[0] = Fraction(0)
        elif self.timing == "drops":
            at = 0
            for place in range(1, self.frames + 1):
                # Below a second: a longer pause is a gap (GAP_TOLERANCE_MS), see test_odd_footage.py.
                at += 1 if dice.random() < 0.9 else dice.randint(2, max(min(20, int(self.rate * 9 / 10)), 2))
                places[place] = Fraction(at)
        times = [self.lead_ticks + (place * step + Fraction(1, 2)).__floor__() for place in places]
        for place in range(1, len(times)):  # coarse ticks: no two pictures at one time
            times[place] = max(times[place], times[place - 1] + 1)
        return times

    @property
    def end_ms(self) -> Fraction:
        """Of the last picture, from the file's time zero."""
        return Fraction(self.pts[-1] * 1000, self.timescale)

    def __str__(self) -> str:
        """What is not the default."""
        told = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                if field.name in {"options", "parameters", "muxer_options"}:
                    value = ":".join(f"{name}={setting}" for name, setting in value)
                told.append(f"{field.name}={value}")
        return ", ".join(told)


@dataclass(frozen=True)
class FootageSet:
    """Recordings of one camera that follow each other."""

    kind: str
    recordings: tuple[Spec, ...]
    offsets_ms: tuple[int, ...]
    """For each recording how much later it starts than the one before it ends (0 for the first)."""
    start_ms: int
    """Wall time of the first one."""
    duplicate: int | None = None
    """This recording is there twice, under two names."""
    policies: tuple[GapPolicy, ...] = (GapPolicy.FAIL,)
    """Each cut draws one."""
    tolerance_ms: int = 1000

    def __str__(self) -> str:
        told = [
            f"  {place}: {offset:+d} ms, {spec}"
            for place, (spec, offset) in enumerate(zip(self.recordings, self.offsets_ms, strict=True))
        ]
        if self.duplicate is not None:
            told.append(f"  recording {self.duplicate} is there twice")
        return "\n".join(told)
