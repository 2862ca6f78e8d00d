"""That the structural checks find what they are there for: each in a clip that was spoilt in that way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from media.boxes import Movie, TrackBoxes, read_movie
from media.conftest import MakeFootage
from media.structure import Sample, avcc, faults
from media.truth import make_clip, video_packets

from clipline.contract.interval import Interval

_PARAMETER_SET = (5).to_bytes(4, "big") + b"\x68abcd"
HEAD = 4


@dataclass(frozen=True)
class Clip:
    """A clip whose first four pictures are encoded, the others copied."""

    movie: Movie
    samples: list[Sample]

    @property
    def video(self) -> TrackBoxes:
        return self.movie.video

    def with_video(self, **changes: Any) -> Clip:
        others = [track for track in self.movie.tracks if track is not self.video]
        return replace(self, movie=replace(self.movie, tracks=[replace(self.video, **changes), *others]))

    def with_avcc(self, at: int, value: int) -> Clip:
        """Its ``avcC`` record with another byte."""
        record = avcc(self.video)
        ((kind, entry),) = self.video.entries
        changed = record[:at] + bytes([value]) + record[at + 1 :]
        return self.with_video(entries=[(kind, entry.replace(record, changed))])

    def with_sample(self, place: int, **changes: Any) -> Clip:
        samples = list(self.samples)
        samples[place] = replace(samples[place], **changes)
        return replace(self, samples=samples)

    @property
    def sync(self) -> list[int]:
        return list(self.video.sync or [])

    @property
    def edit(self) -> tuple[int, int]:
        ((duration, media_time),) = self.video.edits
        return duration, media_time


@pytest.fixture
def clip(footage: MakeFootage, tmp_path: Path) -> Clip:
    recordings = footage("plain")
    interval = Interval(recordings[0].start_ms + 1_850, recordings[0].start_ms + 4_000)
    report = make_clip(recordings, interval, tmp_path)
    assert report.details["framesEncoded"] == HEAD
    samples = [
        Sample(data, place >= HEAD, 0) for place, data in enumerate(video_packets(report.clip).values())
    ]
    return Clip(read_movie(report.clip), samples)


SPOILT: dict[str, tuple[Callable[[Clip], Clip], str]] = {
    "index last": (
        lambda clip: replace(clip, movie=replace(clip.movie, order=["ftyp", "mdat", "moov"])),
        "its boxes are",
    ),
    "the splice is no sync sample": (lambda clip: clip.with_video(sync=[0]), "are no sync samples"),
    "a false sync sample": (lambda clip: clip.with_video(sync=[*clip.sync, 1]), "listed as sync samples"),
    "a parameter set in a sample": (
        lambda clip: clip.with_sample(HEAD, data=clip.samples[HEAD].data + _PARAMETER_SET),
        "holds a parameter set",
    ),
    "encoded pictures under the source's sets": (
        lambda clip: clip.with_sample(-1, copied=False), "share the PPSs",
    ),
    "a copy that begins behind its IDR picture": (
        lambda clip: clip.with_sample(HEAD, data=clip.samples[HEAD + 1].data), "which is no IDR picture",
    ),
    "one decode time twice": (
        lambda clip: clip.with_video(decode_times=[0, 0, *clip.video.decode_times[2:]]), "do not increase",
    ),
    "a picture shown before it is decoded": (
        lambda clip: clip.with_video(offsets=[*clip.video.offsets[:-1], -1]), "before it is decoded",
    ),
    "an edit that hides a picture": (
        lambda clip: clip.with_video(edits=[(clip.edit[0], clip.video.decode_times[1])]),
        "the edit list begins at",
    ),
    "an edit that ends early": (lambda clip: clip.with_video(edits=[(100, clip.edit[1])]), "ends at"),
    "two edits": (lambda clip: clip.with_video(edits=[clip.edit, clip.edit]), "2 edits"),
    "another level": (lambda clip: clip.with_avcc(3, 255), "avcC says level 255"),
    "another profile": (lambda clip: clip.with_avcc(1, 77), "which not every SPS is"),
    "lengths of two bytes": (lambda clip: clip.with_avcc(4, 0xFD), "other lengths than four bytes"),
}  # fmt: skip
"""Name: (what is done to the clip, what is said of it)."""


def test_nothing_is_said_of_a_good_clip(clip: Clip) -> None:
    assert faults(clip.movie, clip.samples) == []


@pytest.mark.parametrize("case", SPOILT)
def test_what_players_need_is_missed(case: str, clip: Clip) -> None:
    spoil, said = SPOILT[case]
    spoilt = spoil(clip)
    found = faults(spoilt.movie, spoilt.samples)
    assert any(said in fault for fault in found), found
