"""Recordings for the benchmarks; made once, then reused.

    python benchmarks/footage.py

Half a minute is encoded for each kind, and its coded pictures repeated with later times: to a cutter that
is as good as ten minutes of encoding, and takes seconds. Numbers in the pictures repeat along with them,
so they tell the picture but for whole turns; each recording begins three groups of pictures further on.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count as counting
from pathlib import Path
from typing import Any

import av

from clipline.contract.interval import Interval
from clipline.contract.recording import NameFormat
from clipline.media.footage import SAMPLE_START_MS, Footage, make_recording

DATA = Path(__file__).parent / "data"
RATE = 30
"""Frames a second."""
_AAC_FRAME = 1024
_GROUPS_APART = 3
"""How much later in the turn each recording begins."""


@dataclass(frozen=True)
class Kind:
    """What recordings to make. All durations are multiples of ``gop_s``, or at least whole seconds."""

    width: int = 1920
    """Pixels."""
    height: int = 1080
    bit_rate: int = 4_000_000
    """Bits a second, of the video."""
    gop_s: int = 2
    """Seconds from one keyframe to the next."""
    duration_s: int = 600
    """Of each recording."""
    encoded_s: int = 30
    """One turn: what is really encoded."""

    @property
    def segment(self) -> str:
        """The name of what is encoded."""
        return f"{self.height}p-{self.gop_s}s"

    @property
    def name(self) -> str:
        return f"{self.segment}-{self.duration_s}s"


@dataclass(frozen=True)
class BenchmarkRecording:
    """A recording, its wall time, and the numbers in its pictures."""

    path: Path
    start_ms: int
    duration_s: int
    first_number: int
    """Of its first picture."""
    numbers: int
    """How many there are before they begin anew at 0."""

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.duration_s * 1000

    def numbers_in(self, interval: Interval) -> list[int]:
        """The numbers of the pictures whose wall time lies in ``interval``."""
        part = Interval(self.start_ms, self.end_ms) & interval
        if part is None:
            return []
        begin, end = (
            math.ceil(Fraction((at - self.start_ms) * RATE, 1000)) for at in (part.start_ms, part.end_ms)
        )
        return [(self.first_number + frame) % self.numbers for frame in range(begin, end)]


def recordings(kind: Kind, count: int = 2, directory: Path = DATA) -> list[BenchmarkRecording]:
    """Consecutive recordings in ``directory``; those that are there already are taken as they are."""
    folder = directory / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    numbers = kind.encoded_s * RATE
    found = []
    for place in range(count):
        start_ms = SAMPLE_START_MS + place * kind.duration_s * 1000
        path = folder / NameFormat().name("bench", start_ms)
        first = place * _GROUPS_APART * kind.gop_s * RATE % numbers
        if not path.exists():
            _repeat(_segment(kind, directory), path, first, kind.duration_s)
        found.append(BenchmarkRecording(path, start_ms, kind.duration_s, first, numbers))
    return found


def _segment(kind: Kind, directory: Path) -> Path:
    path = directory / f"{kind.segment}.mp4"
    if not path.exists():
        print(f"making {path.name}, once", file=sys.stderr)
        footage = Footage(
            width=kind.width, height=kind.height, frame_rate=Fraction(RATE), duration_s=kind.encoded_s,
            gop_s=kind.gop_s, crf=None, bit_rate=kind.bit_rate,
        )  # fmt: skip
        make_recording(path, SAMPLE_START_MS, footage, camera="bench")
    return path


@dataclass(frozen=True)
class _Coded:
    data: bytes
    is_keyframe: bool


def _repeat(segment: Path, path: Path, first: int, duration_s: int) -> None:
    """Write the coded pictures of ``segment`` from the ``first`` on to ``path``, round and round."""
    temporary = path.with_suffix(".part")
    with av.open(str(segment)) as source, av.open(str(temporary), "w", format="mp4") as target:
        video, audio = source.streams.video[0], source.streams.audio[0]
        coded: dict[int, list[_Coded]] = {video.index: [], audio.index: []}
        for packet in source.demux():
            if packet.size:
                coded[packet.stream_index].append(_Coded(bytes(packet), packet.is_keyframe))
        assert video.time_base is not None
        tick = round(1 / (RATE * video.time_base))
        pictures, sound = (target.add_stream_from_template(stream) for stream in (video, audio))
        tracks = [
            _packets(coded[video.index], first, tick, video.time_base, pictures),
            _packets(coded[audio.index], 0, _AAC_FRAME, Fraction(1, 48_000), sound),
        ]
        upcoming = [next(track) for track in tracks]
        while True:
            place = min(range(len(tracks)), key=lambda track: upcoming[track][0])
            time_s, packet = upcoming[place]
            if time_s >= duration_s:
                break
            upcoming[place] = next(tracks[place])
            target.mux(packet)
    temporary.replace(path)


def _packets(
    coded: Sequence[_Coded], first: int, step: int, time_base: Fraction, stream: Any
) -> Iterator[tuple[Fraction, Any]]:
    """(time in seconds, packet), without end."""
    for place in counting():
        one = coded[(first + place) % len(coded)]
        packet: Any = av.Packet(one.data)
        packet.time_base, packet.duration = time_base, step
        packet.pts = packet.dts = place * step
        packet.is_keyframe, packet.stream = one.is_keyframe, stream
        yield place * step * time_base, packet


def main() -> int:
    began = time.monotonic()
    for made in recordings(Kind()):
        print(f"{made.path}  {made.path.stat().st_size / 1e6:.0f} MB")
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
