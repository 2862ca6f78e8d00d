"""Clips of every method and kind, and what a player has to show of each.

A new method or kind is a line in ``CASES``, a new recording one in ``RECORDINGS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from media.conftest import KINDS
from media.truth import (
    START_MS,
    Recorded,
    Shown,
    audio_packets,
    expected_numbers,
    record,
    show,
    video_packets,
    wall_of,
)

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.contract.modes import CutMode
from clipline.media.cut import Candidate, prepare
from clipline.media.footage import Footage
from clipline.media.ranges import LocalSource

SECONDS_EACH = 4
_PLAIN = replace(KINDS["plain"], duration_s=SECONDS_EACH)

MakeRecordings = Callable[[Path], Sequence[Recorded]]


def _of_kind(kind: str) -> MakeRecordings:
    return lambda directory: record(directory, replace(KINDS[kind], duration_s=SECONDS_EACH), recordings=2)


def _one(footage: Footage) -> MakeRecordings:
    return lambda directory: record(directory, footage)


def _two(after_ms: int = 0, **changes: Any) -> MakeRecordings:
    """The first plain recording, and ``after_ms`` after its end one that differs by ``changes``."""

    def make(directory: Path) -> Sequence[Recorded]:
        later = replace(_PLAIN, first_number=_PLAIN.frames, **changes)
        start_ms = START_MS + SECONDS_EACH * 1000 + after_ms
        return [
            *record(directory.parent / "plain", _PLAIN),  # made once
            *record(directory, later, start_ms=start_ms),
        ]

    return make


RECORDINGS: Mapping[str, MakeRecordings] = {
    **{kind: _of_kind(kind) for kind in KINDS},
    "id-1": _one(replace(_PLAIN, options=(("x264-params", "sps-id=1"),))),
    "untagged": _one(replace(_PLAIN, colour_tagged=False)),
    "smaller": _two(width=320, height=180),
    "another-profile": _two(profile="main"),
    "gap": _two(after_ms=1_500),
    "fragmented": lambda directory: record(
        directory,
        # Without sound: with it FFmpeg shows the first picture 21 ms longer, all others come late by that.
        replace(
            _PLAIN, audio=False, muxer_options=(("movflags", "frag_keyframe+empty_moov+default_base_moof"),)
        ),
        recordings=2,
    ),
    "transport-stream": _one(replace(_PLAIN, container="mpegts")),
}


@dataclass(frozen=True)
class Case:
    """A clip to make."""

    recordings: str
    """Of ``RECORDINGS``."""
    start_ms: int
    """After the first recording's start."""
    end_ms: int
    method: str
    """What the report must say."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of ``prepare``."""


CASES = {
    "copy": Case("plain", 2_000, 3_900, "copy"),
    "head-and-copy": Case("plain", 1_300, 3_800, "copy+encode"),
    "one-frame-head": Case("plain", 1_966, 3_800, "copy+encode"),
    "inside-one-group": Case("plain", 2_500, 3_700, "encode"),
    "over-a-border": Case("plain", 3_300, 6_450, "copy+encode"),
    "id-1-in-use": Case("id-1", 1_300, 3_800, "copy+encode"),
    "untagged-colour": Case("untagged", 1_300, 3_800, "copy+encode"),
    "b-frames-head-and-tail": Case("b-frames", 1_300, 3_450, "copy+encode"),
    "b-frames-over-a-border": Case("b-frames", 3_300, 6_450, "copy+encode"),
    "b-frames-ntsc-untagged": Case("b-frames-ntsc", 1_300, 3_450, "copy+encode"),
    "open-group": Case("open-gop", 1_300, 3_800, "encode"),
    "open-group-over-a-border": Case("open-gop", 2_900, 5_600, "copy+encode"),
    "main-25-over-a-border": Case("main-25", 2_300, 6_450, "copy+encode"),
    "baseline-ntsc": Case("baseline-ntsc", 1_300, 3_800, "copy+encode"),
    "smaller-encoded-to-match": Case("smaller", 1_500, 4_800, "copy+encode"),
    "profile-encoded-to-match": Case("another-profile", 1_500, 4_800, "copy+encode"),
    "gap-held": Case("gap", 3_300, 6_600, "copy+encode", {"gap_policy": GapPolicy.HOLD}),
    "gap-black": Case("gap", 3_300, 6_600, "copy+encode", {"gap_policy": GapPolicy.BLACK}),
    "gap-skipped": Case("gap", 3_300, 6_600, "copy+encode", {"gap_policy": GapPolicy.SKIP}),
    "mode-encode": Case("b-frames", 1_300, 3_450, "encode", {"mode": CutMode.ENCODE}),
    "fragmented-over-a-border": Case("fragmented", 3_300, 6_450, "copy+encode"),
    "transport-stream": Case("transport-stream", 1_300, 3_800, "copy+encode"),
}


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip that was made, and what is right for it."""

    path: Path
    recordings: Sequence[Recorded]
    shown: Sequence[Shown]
    """As FFmpeg shows it, checked against wall times."""
    duration_s: Fraction

    @property
    def numbers(self) -> list[int | None]:
        return [frame.number for frame in self.shown]

    @property
    def times_s(self) -> list[Fraction]:
        return [frame.time_s for frame in self.shown]

    @property
    def middles_s(self) -> list[Fraction]:
        """Halfway through each frame."""
        ends = [*self.times_s[1:], self.duration_s]
        return [(begin + end) / 2 for begin, end in zip(self.times_s, ends, strict=True)]

    @cached_property
    def copied(self) -> list[bool]:
        """Of each frame whether it is the camera's, byte for byte."""
        theirs = {data for one in self.recordings for data in one.packets.values()}
        return [data in theirs for data in video_packets(self.path).values()]

    @cached_property
    def joints(self) -> list[int]:
        """Places in ``shown`` where a copied run begins or ends, or another recording."""
        kinds = [
            (copied, number is not None and number in self.recordings[0].numbers)
            for copied, number in zip(self.copied, self.numbers, strict=True)
        ]
        return [place for place, (one, other) in enumerate(pairwise(kinds), 1) if one != other]

    @cached_property
    def has_audio(self) -> bool:
        return bool(audio_packets(self.path))


def make(case: Case, recordings: Sequence[Recorded], directory: Path, name: str) -> Clip:
    """Make the clip and see that what FFmpeg shows of it is what wall times ask for."""
    interval = Interval(START_MS + case.start_ms, START_MS + case.end_ms)
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one in recordings]
    report = prepare(candidates, interval, directory, **case.options).render(directory / f"{name}.mp4")
    assert report.details["method"] == case.method
    duration_s = Fraction(report.details["durationInMs"], 1000)
    clip = Clip(report.clip, recordings, show(report.clip), duration_s)
    _check(clip, interval, case.options.get("gap_policy"))
    return clip


def _check(clip: Clip, interval: Interval, policy: GapPolicy | None) -> None:
    expected = expected_numbers(clip.recordings, interval)
    assert [number for number in clip.numbers if number is not None] == expected
    assert clip.numbers.count(None) == (1 if policy is GapPolicy.BLACK else 0)
    missing_ms = Fraction(0)
    if policy is GapPolicy.SKIP:
        missing_ms = clip.recordings[1].start_ms - clip.recordings[0].end_ms
    first_ms = wall_of(clip.recordings, expected[0])
    for frame in clip.shown:
        if frame.number is None:
            assert frame.time_s * 1000 == clip.recordings[0].end_ms - first_ms
            continue
        after_ms = wall_of(clip.recordings, frame.number) - first_ms
        if frame.number not in clip.recordings[0].numbers:
            after_ms -= missing_ms
        assert abs(frame.time_s * 1000 - after_ms) < Fraction(1, 2)
