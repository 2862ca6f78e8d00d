"""Two ten-minute recordings in 1080p30 at 4 Mb/s, for the benchmarks; made once, then reused.

    python benchmarks/footage.py

Thirty seconds of each are encoded, and their coded pictures repeated with later times: to a cutter that
is as good as ten minutes of encoding, and it takes half a minute. Frame numbers and the clock in the picture
repeat along with them.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from clipline.contract.recording import NameFormat
from clipline.media.footage import SAMPLE_START_MS, Footage, make_recording

DATA = Path(__file__).parent / "data"
DURATION_S = 600
ENCODED_S = 30
_AAC_FRAME = 1024

SEGMENT = Footage(
    width=1920,
    height=1080,
    frame_rate=Fraction(30),
    duration_s=ENCODED_S,
    gop_s=2,
    crf=None,
    bit_rate=4_000_000,
)


@dataclass(frozen=True)
class BenchmarkRecording:
    """A recording and its wall time."""

    path: Path
    start_ms: int
    duration_s: int = DURATION_S

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.duration_s * 1000


def recordings(directory: Path = DATA, count: int = 2) -> list[BenchmarkRecording]:
    """Consecutive recordings in ``directory``; those that are there already are taken as they are."""
    directory.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        start_ms = SAMPLE_START_MS + number * DURATION_S * 1000
        path = directory / NameFormat().name("bench", start_ms)
        if not path.exists():
            segment = directory / f"segment-{number}.mp4"
            make_recording(segment, start_ms, SEGMENT, camera="bench")
            _repeat(segment, path, DURATION_S // ENCODED_S)
            segment.unlink()
        found.append(BenchmarkRecording(path, start_ms))
    return found


def _repeat(segment: Path, path: Path, times: int) -> None:
    """Write the packets of ``segment`` to ``path`` again and again, each time later."""
    temporary = path.with_suffix(".part")
    with av.open(str(segment)) as source, av.open(str(temporary), "w", format="mp4") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        video, audio = source.streams.video[0], source.streams.audio[0]
        assert video.time_base is not None
        assert audio.time_base is not None
        packets = [packet for packet in source.demux() if packet.size]
        sounds = sum(packet.stream_index == audio.index for packet in packets)
        lengths = {video.index: round(ENCODED_S / video.time_base), audio.index: sounds * _AAC_FRAME}
        time_bases = {video.index: video.time_base, audio.index: audio.time_base}
        kept = [(p.stream_index, bytes(p), p.pts, p.dts, p.is_keyframe, p.duration) for p in packets]
        for round_number in range(times):
            for index, data, pts, dts, is_keyframe, duration in kept:
                later = round_number * lengths[index]
                packet = av.Packet(data)
                packet.time_base, packet.duration = time_bases[index], duration
                packet.pts, packet.dts = (pts or 0) + later, (dts or 0) + later
                packet.is_keyframe = is_keyframe
                packet.stream = streams[index]
                target.mux(packet)
    temporary.replace(path)


def main() -> int:
    began = time.monotonic()
    for made in recordings():
        print(f"{made.path}  {made.path.stat().st_size / 1e6:.0f} MB")
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
