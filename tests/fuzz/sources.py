"""Sound recordings to be mutated: two seconds of every kind that Clipline reads, cut in a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
from fuzz.carriers import Carrier, carrier
from media.likeness import zero_s
from media.patched import edit_list, patch, replaced
from media.truth import Recorded, record

from clipline.media.footage import Footage
from clipline.media.overlay import frame_number

SMALL = Footage(width=640, height=360, frame_rate=Fraction(12), duration_s=2, gop_s=Fraction(3, 4), crf=30)
REORDERED = replace(SMALL, b_frames=2, options=(("b_strategy", "0"),))
HEVC = replace(SMALL, encoder="libx265", preset="ultrafast", options=(("x265-params", "log-level=none"),))
_FRAGMENTS = "frag_keyframe+empty_moov+default_base_moof"
_PARTS = edit_list((583, 2_048), (833, 11_264))
"""Frames 2 to 8 and 11 on, as FFmpeg's timescale of 12,288 ticks a second counts."""


@dataclass(frozen=True)
class Kind:
    """What recordings of one kind are."""

    footage: Footage
    recordings: int = 1
    change: Callable[[Recorded], Recorded] | None = None


def _with_parts(recorded: Recorded) -> Recorded:
    return patch(recorded, replaced("moov/trak0/edts", _PARTS))


def _fragmented(footage: Footage, *flags: str) -> Footage:
    return replace(footage, muxer_options=(("movflags", "+".join((_FRAGMENTS, *flags))),))


KINDS: Mapping[str, Kind] = {
    "mp4": Kind(SMALL),
    "b-frames": Kind(replace(REORDERED, moov_first=True)),
    "fragmented": Kind(_fragmented(SMALL, "global_sidx")),
    "fragmented-b": Kind(_fragmented(REORDERED)),
    "edit-list": Kind(SMALL, change=_with_parts),
    "two": Kind(SMALL, recordings=2),
    "hevc": Kind(HEVC),
    "mpegts": Kind(replace(SMALL, container="mpegts")),
    "mpegts-b": Kind(replace(REORDERED, container="mpegts")),
    "mpegts-hevc": Kind(replace(HEVC, container="mpegts")),
    "matroska": Kind(replace(SMALL, container="matroska")),
    "matroska-hevc": Kind(replace(HEVC, container="matroska")),
}


@dataclass(frozen=True)
class Source:
    """Recordings of one kind, as they were made."""

    name: str
    recordings: Sequence[tuple[Path, int]]
    """(file, wall time of its beginning in milliseconds), in order."""
    container: str
    codec: str
    """``h264`` or ``hevc``."""

    @cached_property
    def data(self) -> Sequence[bytes]:
        return [path.read_bytes() for path, _ in self.recordings]

    @cached_property
    def carriers(self) -> Sequence[Carrier]:
        return [
            carrier(str(path), data, self.container)
            for (path, _), data in zip(self.recordings, self.data, strict=True)
        ]

    @cached_property
    def frames(self) -> Sequence[tuple[Fraction, int]]:
        """(wall time in milliseconds, number) of every frame, in order, as FFmpeg shows them."""
        found = []
        for path, start_ms in self.recordings:
            zero = zero_s(path)
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    wall_ms = start_ms + (frame.pts * Fraction(frame.time_base) - zero) * 1000
                    found.append((wall_ms, frame_number(frame)))
        return sorted(found)

    @property
    def end_ms(self) -> int:
        """When the last recording ends, at about a frame."""
        return int(self.frames[-1][0]) + 80


def make_sources(directory: Path, names: Sequence[str] = tuple(KINDS)) -> dict[str, Source]:
    """The recordings of the kinds ``names``, each in a folder of ``directory``; what is there stays."""
    made = {}
    for name in names:
        kind = KINDS[name]
        recorded = record(directory / name, kind.footage, kind.recordings)
        if kind.change is not None:
            recorded = [kind.change(one) for one in recorded]
        codec = "hevc" if kind.footage.encoder == "libx265" else "h264"
        paths = [(one.path, one.start_ms) for one in recorded]
        made[name] = Source(name, paths, kind.footage.container, codec)
    return made
