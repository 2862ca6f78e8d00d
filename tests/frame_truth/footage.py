"""Makes the recordings of a set, and reads them back with FFmpeg from their very beginnings.

What a clip is compared with comes from here, never from the engine: times as they were drawn, pictures as
FFmpeg decodes them when it plays the whole recording.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from zlib import crc32

import av
import numpy as np
from frame_truth.pictures import Painter, Plane
from frame_truth.sounds import STEP_MS, Loudness, loudness
from frame_truth.specs import FootageSet, Sound, Spec
from media.boxes import read_movie

NUMBERS_APART = 100_000
"""Frame numbers of one set's recordings: this far from one recording's first to the next one's."""

_EXTENSIONS = {"mp4": "mp4", "mov": "mov", "mpegts": "ts", "matroska": "mkv"}
_MATRICES = {
    90: (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000),
    180: (-0x10000, 0, 0, 0, -0x10000, 0, 0, 0, 0x40000000),
    270: (0, -0x10000, 0, 0x10000, 0, 0, 0, 0, 0x40000000),
}
"""Of the ``tkhd`` box, by degrees (ISO/IEC 14496-12, section 8.3.2); without the translation."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recording, and all that a clip of it may show."""

    path: Path
    name: str
    start_ms: int
    spec: Spec
    first_number: int
    walls_ms: Sequence[Fraction]
    """Wall time of each picture, in the order in which they are shown."""
    end_ms: Fraction
    """When the last picture stops being shown."""
    luma: Plane
    """(picture, row, column)"""
    chroma: Plane
    """Every other row and column: (picture, plane, row, column)"""
    checksums: Sequence[int]
    """Of all planes of each picture."""
    packets: Sequence[bytes]
    """Coded, in the order in which they are shown."""
    keys: Sequence[int]
    """Places of the pictures that the container marks as keyframes."""
    extradata: bytes
    sounds: Sequence[tuple[Fraction, Fraction, bytes]]
    """(begin, end, coded) of each audio frame; wall time, milliseconds."""
    loudness: Loudness | None


def make_set(footage: FootageSet, directory: Path) -> list[Recorded]:
    """The recordings of ``footage``, in order of time; a duplicate stands last."""
    made: list[Recorded] = []
    start_ms = footage.start_ms
    for place, (spec, offset_ms) in enumerate(zip(footage.recordings, footage.offsets_ms, strict=True)):
        start_ms += offset_ms
        path = directory / f"{place}.{_EXTENSIONS[spec.container]}"
        first_number = place * NUMBERS_APART
        write(path, spec, first_number)
        made.append(read(path, spec, start_ms, first_number))
        start_ms = math.floor(start_ms + spec.end_ms)
    if footage.duplicate is not None:
        one = made[footage.duplicate]
        path = directory / f"{footage.duplicate}.again.{one.path.suffix[1:]}"
        path.hardlink_to(one.path)
        made.append(read(path, one.spec, one.start_ms, one.first_number))
    return made


def write(path: Path, spec: Spec, first_number: int) -> None:
    """Make the recording ``spec`` at ``path``; its picture *k* carries ``first_number + k``."""
    options = dict(spec.muxer_options)
    if spec.container in {"mp4", "mov"}:
        options["video_track_timescale"] = str(spec.timescale)
    time_base = Fraction(1, spec.timescale)
    painter = Painter(
        spec.width, spec.height, spec.pixel_format, phase=spec.seed % 720, interlaced=spec.interlaced
    )
    keys = set(spec.key_frames)
    with av.open(str(path), "w", format=spec.container, options=options) as container:
        stream = container.add_stream(spec.encoder, rate=spec.rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, spec.pixel_format
        context = stream.codec_context
        context.thread_count = 1
        context.time_base = stream.time_base = time_base
        parameters = ":".join(f"{name}={value}" for name, value in spec.parameters)
        context.options = dict(spec.options) | {f"{spec.encoder[3:]}-params": parameters}
        if spec.pixel_format.startswith("yuvj"):
            context.color_range = 2
        track = _SoundTrack(container, spec.sound, spec) if spec.sound else None
        for place in range(spec.frames):
            frame = painter.draw(first_number + place, place)
            frame.pts, frame.time_base = spec.pts[place], time_base
            frame.duration = spec.pts[place + 1] - spec.pts[place]
            if place in keys:
                frame.pict_type = 1
            container.mux(stream.encode(frame))
            if track is not None:
                track.write_until(spec.pts[place] * time_base)
        container.mux(stream.encode(None))
        if track is not None:
            track.finish()
    if spec.rotation:
        _rotate(path, spec.rotation)


class _SoundTrack:
    """Noise, another in each audio frame, of a loudness that changes every few milliseconds."""

    def __init__(self, container: av.container.OutputContainer, sound: Sound, spec: Spec) -> None:
        stream = container.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
        assert isinstance(stream, av.AudioStream)
        self._container, self._stream, self._sound = container, stream, sound
        self._dice = np.random.default_rng(spec.seed)
        steps = math.ceil(spec.end_ms / STEP_MS) + 400
        self._loudness = 10 ** np.random.default_rng([spec.seed, 1]).uniform(-1.2, 0, steps)
        self._at = sound.late_ms * sound.rate // 1000
        self._end = math.floor((spec.end_ms - sound.early_ms) * sound.rate / 1000)
        stream.codec_context.time_base = Fraction(1, sound.rate)
        if sound.codec == "aac":
            stream.codec_context.options = {"aac_coder": "fast"}
        stream.codec_context.open()
        self._form = stream.codec_context.format.name
        self._size = stream.codec_context.frame_size or 1024

    def write_until(self, time_s: Fraction) -> None:
        while self._at < min(time_s * self._sound.rate, self._end):
            self._write(min(self._size, self._end - self._at))

    def finish(self) -> None:
        while self._at < self._end:
            self._write(min(self._size, self._end - self._at))
        self._container.mux(self._stream.encode(None))

    def _write(self, samples: int) -> None:
        channels = self._stream.codec_context.channels
        shape = (channels, samples) if self._form.endswith("p") else (1, channels * samples)
        per_channel = (self._at + np.arange(samples)) * 1000 // (self._sound.rate * STEP_MS)
        gain = (
            self._loudness[per_channel]
            if channels == shape[0]
            else self._loudness[np.repeat(per_channel, channels)]
        )
        noise = (self._dice.integers(-9000, 9000, shape, dtype=np.int16) * gain).astype(np.int16)
        data = (
            noise.astype(np.float32) / 32768
            if "flt" in self._form
            else noise.astype(np.int32) << 16
            if "s32" in self._form
            else noise
        )
        frame = av.AudioFrame.from_ndarray(data, self._form, self._sound.layout)
        frame.sample_rate, frame.pts, frame.time_base = (
            self._sound.rate,
            self._at,
            Fraction(1, self._sound.rate),
        )
        self._at += samples
        self._container.mux(self._stream.encode(frame))


def _rotate(path: Path, degrees: int) -> None:
    """Put a matrix into the video's ``tkhd`` box, which is the first one."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 52 if data[at] == 1 else 40
    data[at : at + 36] = struct.pack(">9i", *_MATRICES[degrees])
    path.write_bytes(data)


def read(path: Path, spec: Spec, start_ms: int, first_number: int) -> Recorded:
    """What FFmpeg makes of a recording. Raises AssertionError where that is not what was drawn."""
    packets: dict[int, bytes] = {}
    keys: set[int] = set()
    sounds: list[tuple[Fraction, Fraction, bytes]] = []
    ends: list[int] = []
    deep = "10" in spec.pixel_format
    luma: Plane = np.empty((spec.frames, spec.height, spec.width), np.uint16 if deep else np.uint8)
    chroma: Plane | None = None
    checksums: list[int] = []
    pts: list[int] = []
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        extradata = bytes(video.codec_context.extradata or b"")
        time_base = Fraction(video.time_base)
        for packet in container.demux():
            if packet.stream is video:
                if packet.size:
                    packets[packet.pts] = bytes(packet)
                    ends.append(packet.pts + (packet.duration or 0))
                    if packet.is_keyframe:
                        keys.add(packet.pts)
                for frame in packet.decode():
                    planes = list(planes_of(frame))
                    place = len(checksums)
                    assert place < spec.frames, f"{path.name} has more than {spec.frames} pictures"
                    luma[place] = planes[0]
                    small = np.stack([plane[::2, ::2] for plane in planes[1:]])
                    if chroma is None:
                        chroma = np.empty((spec.frames, *small.shape), small.dtype)
                    chroma[place] = small
                    checksums.append(checksum(planes))
                    pts.append(frame.pts)
                    assert read_number(planes[0]) == first_number + place, f"{path.name}, picture {place}"
            elif packet.size and packet.stream.type == "audio":
                begin = packet.pts * Fraction(packet.time_base)
                end = begin + (packet.duration or 0) * Fraction(packet.time_base)
                sounds.append((begin, end, bytes(packet)))
    assert len(pts) == spec.frames == len(packets), f"{path.name} has {len(pts)} pictures of {spec.frames}"
    assert pts == sorted(packets)
    zero = Fraction(0)
    if spec.container == "matroska":
        pass  # zero is zero, unless the recording begins far from it
    elif spec.container == "mpegts":
        # There zero is the container's earliest start, that of its audio included.
        zero = min(pts[0] * time_base, min((begin for begin, _, _ in sounds), default=pts[0] * time_base))
    else:
        drawn = [time * Fraction(1, spec.timescale) for time in spec.pts[:-1]]
        off = [time * time_base - planned for time, planned in zip(pts, drawn, strict=True)]
        worst = max(abs(one) for one in off)
        # Fragmented files without an edit list begin as late as their pictures are reordered, or their sound.
        is_exact = worst <= Fraction(1, 1000)
        assert is_exact or is_fragmented(spec), f"{path.name}: FFmpeg sees a picture {worst} s off"
    last_s = max(max(ends), pts[-1] + 1) * time_base
    if max(ends) <= pts[-1]:
        last_s = pts[-1] * time_base + 1 / spec.rate
    if spec.container in {"mp4", "mov"} and not is_fragmented(spec):
        movie = read_movie(path)  # what the edit list leaves out is not shown
        last_s = min(last_s, Fraction(sum(length for length, _ in movie.video.edits), movie.timescale))
    assert chroma is not None
    order = sorted(packets)
    return Recorded(
        path, path.name, start_ms, spec, first_number,
        [start_ms + (time * time_base - zero) * 1000 for time in pts],
        start_ms + (last_s - zero) * 1000, luma, chroma, checksums,
        [packets[time] for time in order],
        [place for place, time in enumerate(order) if time in keys], extradata,
        [(start_ms + (b - zero) * 1000, start_ms + (e - zero) * 1000, data) for b, e, data in sounds],
        loudness(path, start_ms - zero * 1000),
    )  # fmt: skip


def planes_of(frame: av.VideoFrame) -> Iterator[Plane]:
    """The planes of a decoded picture as arrays (views into it)."""
    deep = "10" in frame.format.name
    for plane in frame.planes:
        pixels: Plane = np.frombuffer(plane, np.uint16 if deep else np.uint8)
        yield pixels.reshape(plane.height, -1)[:, : plane.width]


def checksum(planes: Sequence[Plane]) -> int:
    value = 0
    for plane in planes:
        value = crc32(np.ascontiguousarray(plane), value)
    return value


def read_number(luma: Plane) -> int | None:
    """The number in a picture's strip (``overlay.frame_number`` without its check, fifty times as fast)."""
    height, width = luma.shape
    rows = max(height // 36, 2)
    middle = [height - rows + rows * part // 4 for part in (1, 2, 3)]
    sums = np.concatenate(([0], luma[middle].sum(0, dtype=np.int64).cumsum()))
    cells = np.arange(2, 38)
    left = (4 * cells + 1) * width // 160
    right = np.maximum((4 * cells + 3) * width // 160, left + 1)
    levels = (sums[right] - sums[left]) / (right - left)
    white, black = min(levels[0], levels[35]), max(levels[1], levels[34])
    if white - black < 3 * 60:
        return None
    number = 0
    for level in levels[2:26]:
        number = number << 1 | int(level > (white + black) / 2)
    return number


def is_fragmented(spec: Spec) -> bool:
    """Whether FFmpeg is told to write an MP4 file in fragments."""
    return any(word in str(spec.muxer_options) for word in ("frag", "dash", "cmaf"))
