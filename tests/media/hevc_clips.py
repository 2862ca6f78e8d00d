"""HEVC footage, clips spliced from it by hand, and two decoders that show what is in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import pytest
from media.boxes import read_movie, walk
from media.truth import Recorded, record

from clipline.media.boxes import box
from clipline.media.footage import Footage
from clipline.media.hevc import is_entry, splice_sample, with_sets
from clipline.media.hevc_encoder import HevcEncoder
from clipline.media.hevc_sets import HevcConfiguration, parse_hvcc
from clipline.media.mux import Chunk, OutputTrack, file_head
from clipline.media.parameter_sets import split_units

_PLAIN = Footage(
    width=320, height=180, duration_s=4, gop_s=1, audio=False, encoder="libx265", preset="ultrafast",
    options=(("x265-params", "log-level=none:open-gop=0:scenecut=0"),),
)  # fmt: skip


def _kind(params: str, **changes: object) -> Footage:
    options = (("x265-params", f"log-level=none:scenecut=0:{params}"),)
    return replace(_PLAIN, options=options, **changes)  # type: ignore[arg-type]


KINDS = {
    "plain": _PLAIN,
    "b-frames": _kind("open-gop=0:b-adapt=0:b-pyramid=1:bframes=4:ref=4", b_frames=4),
    "open-gop": _kind("open-gop=1:b-adapt=0:b-pyramid=1:bframes=4:ref=3:keyint=30:min-keyint=30", b_frames=4),
    "radl": _kind("open-gop=0:b-adapt=0:bframes=3:radl=2:keyint=30:min-keyint=30", b_frames=3),
    "main-10": _kind(
        "open-gop=1:b-adapt=0:bframes=3:keyint=30:min-keyint=30", b_frames=3, pixel_format="yuv420p10le"
    ),
    "slices": _kind("open-gop=1:slices=3:bframes=2:b-adapt=0:ctu=16:min-cu-size=8:scaling-list=default"
                    ":keyint=30:min-keyint=30:aud=1:hrd=1:vbv-maxrate=2000:vbv-bufsize=2000", b_frames=2),
    "cropped": _kind("open-gop=1:bframes=2:b-adapt=0:ctu=32:min-cu-size=16:keyint=30:min-keyint=30"
                     ":repeat-headers=1", b_frames=2, width=360, height=202, colour_tagged=False),
    "ntsc": _kind("open-gop=0:bframes=3", b_frames=3, frame_rate=Fraction(30000, 1001), width=480),
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A recording with its samples in decode order."""

    recorded: Recorded
    configuration: HevcConfiguration
    samples: list[bytes]
    pts: list[int]
    sync: list[int]
    pictures: list[av.VideoFrame]
    """In the order in which they are shown."""

    @cached_property
    def rank(self) -> list[int]:
        """For each sample its place in the order in which pictures are shown."""
        order = sorted(self.pts)
        return [order.index(time) for time in self.pts]


def make_source(directory: Path, kind: str) -> Source:
    (recorded,) = record(directory, KINDS[kind])
    return read_source(recorded)


def read_source(recorded: Recorded) -> Source:
    ((_, entry),) = read_movie(recorded.path).video.entries
    configuration = parse_hvcc(dict(walk(entry[78:]))["hvcC"])
    with av.open(str(recorded.path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    pts = [packet.pts for packet in packets]
    assert None not in pts
    sync = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    return Source(
        recorded, configuration, [bytes(packet) for packet in packets], pts, sync,  # type: ignore[arg-type]
        decode(recorded.path),
    )  # fmt: skip


def decode(path: Path) -> list[av.VideoFrame]:
    """Every picture, by FFmpeg; any damage is an error."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        frames = list(container.decode(stream))
    assert not any(frame.is_corrupt for frame in frames)
    return frames


@dataclass(frozen=True)
class Spliced:
    """A clip: its first pictures encoded anew, the rest copied."""

    path: Path
    numbers: range
    """Places in the source of the pictures that it shows."""
    encoded: int
    """How many of them are encoded anew."""
    head: list[bytes]
    tail: list[bytes]
    configuration: HevcConfiguration
    ids: HevcConfiguration
    """The encoder's."""


def splice(source: Source, first: int, at: int, path: Path) -> Spliced:
    """The pictures of ``source`` from place ``first`` on, copied from sync sample ``at`` on."""
    configuration = source.configuration
    assert is_entry(source.samples[at], 4)
    dropped = set(leading(source.pts, at, len(source.samples)))
    copied = [number for number in range(at, len(source.samples)) if number not in dropped]
    begin = source.rank[at]
    encoder = HevcEncoder(configuration.sequence, source.recorded.footage.frame_rate, configuration)
    head = [data for data, _ in encoder.encode(source.pictures[first:begin])]
    both = configuration + encoder.configuration
    tail = []
    for number in copied:
        sample = source.samples[number]
        if number == at:
            sample = splice_sample(sample, both)
        elif number in source.sync:
            sample = with_sets(sample, both)
        tail.append(sample)
    order = sorted(source.pts)
    ticks = [order[place] for place in range(first, begin)] + [source.pts[number] for number in copied]
    ticks = [time - order[first] for time in ticks]
    sync = [0] + [len(head) + place for place, number in enumerate(copied) if number in source.sync]
    step = order[1] - order[0]
    write(path, source, both, head + tail, ticks, order[-1] - order[first] + step, sync)
    return Spliced(path, range(first, len(order)), begin - first, head, tail, both, encoder.configuration)


def write(
    path: Path,
    source: Source,
    configuration: HevcConfiguration,
    samples: Sequence[bytes],
    pts: Sequence[int],
    end: int,
    sync: Sequence[int],
) -> None:
    """One track ``hvc1``."""
    movie = read_movie(source.recorded.path)
    ((_, entry),) = movie.video.entries
    video = OutputTrack(
        "vide", box("hvc1", entry[:78], box("hvcC", configuration.pack())), movie.video.timescale,
        _HEADER, [len(sample) for sample in samples], pts, end, sync,
    )  # fmt: skip
    size_bytes = sum(map(len, samples))
    head = file_head([video], [Chunk(0, len(samples), size_bytes)], source.recorded.start_ms)
    path.write_bytes(head + b"".join(samples))


_HEADER = bytes.fromhex("00010000" + "00" * 12 + "00010000" + "00" * 12 + "40000000") + bytes(8)


def annex_b(configuration: HevcConfiguration, samples: Sequence[bytes]) -> bytes:
    """A byte stream: the sets of the record, then the samples."""
    units = [*configuration.vps, *configuration.sps, *configuration.pps]
    for sample in samples:
        units += split_units(sample, configuration.length_bytes)
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def libde265(stream: bytes, directory: Path) -> bytes:
    """All pictures of a byte stream as libde265 shows them: planes without padding, one after another."""
    executable = shutil.which("libde265-dec265") or shutil.which("dec265")
    if executable is None:
        missing = "dec265 is not installed: Debian's package libde265-examples has it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    raw, pictures = directory / "stream.hevc", directory / "pictures.yuv"
    raw.write_bytes(stream)
    pictures.unlink(missing_ok=True)
    subprocess.run(
        [executable, "-q", "-o", str(pictures), str(raw)], check=True, capture_output=True, timeout=120
    )
    return pictures.read_bytes()


def planes(frame: av.VideoFrame) -> bytes:
    """The picture's planes without padding."""
    wide = 2 if "10le" in frame.format.name else 1
    parts = []
    for plane in frame.planes:
        data, row = bytes(plane), plane.width * wide
        parts += [data[at : at + row] for at in range(0, plane.height * plane.line_size, plane.line_size)]
    return b"".join(parts)


def leading(pts: Sequence[int], begin: int, stop: int) -> list[int]:
    """Samples in ``(begin, stop)`` that are shown before sample ``begin``, an IRAP picture.

    A copy that begins there leaves them out, RADL among them: none of those that follow refers to one
    (section 8.3.2), and what was encoded anew is shown before whatever the copy begins with.
    They follow the IRAP picture at once, before all others (section 7.4.2.2).
    """
    return [number for number in range(begin + 1, stop) if pts[number] < pts[begin]]
