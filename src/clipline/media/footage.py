"""Sample footage: recordings of a seaside camera, H.264 and AAC in MP4 or another container, from nothing.

    made = make_sample(directory, start_ms=1537113617033)
    # seaside.20180916T160017033.mp4, seaside.20180916T160117033.mp4

Every picture carries its wall time, the camera's name and its number (``overlay.frame_number``), so
that a clip of it can be checked frame by frame.
"""

from __future__ import annotations

import math
import os
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags

from clipline.contract.errors import MediaError
from clipline.contract.recording import NameFormat
from clipline.media.scene import Scene

SAMPLE_START_MS = 1_537_113_617_033
"""2018-09-16T16:00:17.033Z."""

_AUDIO_RATE, _AUDIO_BIT_RATE = 48_000, 64_000
_TELEPHONE_CODECS = frozenset({"pcm_alaw", "pcm_mulaw"})
_NOISE_RATE = 8_000
"""Surf has little above 4 kHz."""
_NOISE_BLOCK = 80
_SWELL_S = 7.0
_ITU709, _LIMITED_RANGE = 1, 1

_FRAMES_AHEAD = 8

OnProgress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


@dataclass(frozen=True)
class Footage:
    """What kind of recording to make."""

    width: int = 1280
    """Pixels, as all of ``Scene``'s: even."""
    height: int = 720
    frame_rate: Fraction = Fraction(30)
    duration_s: Fraction | int = 60
    gop_s: Fraction | int = 2
    """Seconds from one keyframe to the next. Groups of pictures are closed."""
    b_frames: int = 0
    """Most in a row; each run is as long as the encoder likes."""
    profile: str = "high"
    """``baseline``, ``main`` or ``high``."""
    audio: bool = True
    audio_codec: str = "aac"
    """The name of FFmpeg's audio encoder."""
    container: str = "mp4"
    """FFmpeg's name of the muxer: ``mp4``, ``mpegts`` or ``matroska``."""
    moov_first: bool = False
    """Whether the index stands before the footage, as in files made for the web."""
    crf: int | None = 23
    """Constant quality; None where ``bit_rate`` says what to spend."""
    bit_rate: int | None = None
    """Bits a second."""
    preset: str = "superfast"
    """Of x264."""
    colour_tagged: bool = True
    """Whether the recording says that its colours are BT.709."""
    first_number: int = 0
    """Of the first frame."""
    encoder: str = "libx264"
    """The name of FFmpeg's video encoder."""
    pixel_format: str = "yuv420p"
    """Of the encoder; pictures are drawn with 8 bits in 4:2:0."""
    options: tuple[tuple[str, str], ...] = ()
    """More options of the encoder."""
    muxer_options: tuple[tuple[str, str], ...] = ()
    """More options of the muxer."""

    @property
    def frames(self) -> int:
        """How many frames a recording has."""
        return math.floor(self.duration_s * self.frame_rate)


def make_recording(
    path: Path,
    start_ms: int,
    footage: Footage,
    *,
    camera: str = "seaside",
    on_progress: OnProgress = lambda _done, _total: None,
) -> None:
    """Write a recording whose frame *k* shows wall time ``start_ms + k / frame_rate``.

    Frame *k* carries the number ``first_number + k``. ``path`` is there when all of it is there. Raises
    ValueError for footage that can't be, MediaError where FFmpeg fails.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _write(temporary, start_ms, footage, camera, on_progress)
        temporary.replace(path)
    except av.FFmpegError as error:
        raise MediaError(f"{path.name}: the recording can't be made: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def make_sample(
    directory: Path,
    *,
    camera: str = "seaside",
    start_ms: int = SAMPLE_START_MS,
    recordings: int = 2,
    footage: Footage | None = None,
    on_progress: OnProgress = lambda _done, _total: None,
) -> list[Path]:
    """Write consecutive recordings of one camera into ``directory``; frame numbers go on from file to file.

    Each begins where the one before it ends, at a whole millisecond (rounded down). Returns the files, in
    order, named in the new format: ``{camera}.{start}.mp4``. A file that is there already stays.
    """
    footage = footage or Footage()
    directory.mkdir(parents=True, exist_ok=True)
    names = NameFormat()
    total = footage.frames * recordings
    made: list[Path] = []
    for number in range(recordings):
        before = footage.frames * number
        begins_ms = start_ms + math.floor(before * 1000 / footage.frame_rate)
        path = directory / names.name(camera, begins_ms)
        one = replace(footage, first_number=footage.first_number + before)

        def report(done: int, _total: int, before: int = before) -> None:
            on_progress(before + done, total)

        if not path.exists():
            make_recording(path, begins_ms, one, camera=camera, on_progress=report)
        made.append(path)
    return made


def _write(path: Path, start_ms: int, footage: Footage, camera: str, on_progress: OnProgress) -> None:
    scene = Scene(footage.width, footage.height, camera)
    options = dict(footage.muxer_options)
    if footage.moov_first:
        options["movflags"] = "+".join(filter(None, (options.get("movflags"), "faststart")))
    with av.open(str(path), "w", format=footage.container, options=options) as container:
        video = video_stream(container, footage)
        sound = _Sound(container, start_ms, footage.audio_codec) if footage.audio else None

        def write(frame: av.VideoFrame, time_s: Fraction) -> None:
            container.mux(video.encode(frame))
            if sound is not None:
                sound.write_until(time_s)

        # One thread draws while another encodes, which lets go of the interpreter.
        with ThreadPoolExecutor(1, thread_name_prefix="footage") as encoder:
            pending: deque[Future[None]] = deque()
            try:
                for number in range(footage.frames):
                    time_s = number / footage.frame_rate
                    frame = scene.draw(footage.first_number + number, start_ms + time_s * 1000)
                    frame.pts, frame.time_base = number, 1 / footage.frame_rate
                    if footage.colour_tagged:
                        frame.colorspace, frame.color_range = _ITU709, _LIMITED_RANGE
                    if footage.pixel_format != frame.format.name:
                        frame = frame.reformat(format=footage.pixel_format)
                    pending.append(encoder.submit(write, frame, time_s))
                    if len(pending) > _FRAMES_AHEAD:
                        pending.popleft().result()
                    on_progress(number + 1, footage.frames)
                for written in pending:
                    written.result()
            finally:
                encoder.shutdown(cancel_futures=True)
        container.mux(video.encode(None))
        if sound is not None:
            sound.finish(footage.frames / footage.frame_rate)


def video_stream(container: av.container.OutputContainer, footage: Footage) -> av.VideoStream:
    """A stream of ``container`` that encodes as ``footage`` says."""
    rate = footage.frame_rate
    group = max(round(footage.gop_s * rate), 1)
    stream = container.add_stream(footage.encoder, rate=rate)
    assert isinstance(stream, av.VideoStream)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = footage.width, footage.height, footage.pixel_format
    context.time_base = 1 / rate
    context.flags |= Flags.closed_gop
    context.thread_count = 3  # one more than needed, so that drawing holds none up
    if footage.colour_tagged:
        context.colorspace = context.color_primaries = context.color_trc = _ITU709
        context.color_range = _LIMITED_RANGE
    options = {"preset": footage.preset, "g": str(group), "bf": str(footage.b_frames)}
    if footage.encoder == "libx264":
        options |= {"profile": footage.profile, "keyint_min": str(group), "sc_threshold": "0"}
    if footage.bit_rate is not None:
        context.bit_rate = footage.bit_rate
    else:
        options["crf"] = str(footage.crf)
    context.options = options | dict(footage.options)
    return stream


class _Sound:
    """The sound of surf: noise that swells, the same for the same wall time of the recording's start."""

    def __init__(self, container: av.container.OutputContainer, start_ms: int, codec: str) -> None:
        self._container = container
        rate = _NOISE_RATE if codec in _TELEPHONE_CODECS else _AUDIO_RATE
        formats = [one.name for one in av.Codec(codec, "w").audio_formats or ()]
        stream = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        self._stream.codec_context.bit_rate = _AUDIO_BIT_RATE
        self._stream.codec_context.options = {"aac_coder": "fast"} if codec == "aac" else {}
        self._resampler = av.AudioResampler("fltp" if "fltp" in formats else formats[0], "mono", rate)
        self._dice = random.Random(start_ms)
        self._start_s = start_ms / 1000
        self._samples = 0

    def write_until(self, time_s: Fraction) -> None:
        """Write about as much as lies before ``time_s`` of the recording."""
        while Fraction(self._samples, _NOISE_RATE) < time_s:
            self._write_noise(_NOISE_RATE // 10)

    def finish(self, end_s: Fraction) -> None:
        """Write what is missing up to ``end_s``, no more."""
        left = math.floor(end_s * _NOISE_RATE) - self._samples
        if left > 0:
            self._write_noise(left)
        for frame in self._resampler.resample(None):
            self._container.mux(self._stream.encode(frame))
        self._container.mux(self._stream.encode(None))

    def _write_noise(self, samples: int) -> None:
        frame = av.AudioFrame("u8", "mono", samples)
        frame.sample_rate, frame.pts, frame.time_base = _NOISE_RATE, self._samples, Fraction(1, _NOISE_RATE)
        noise = b"".join(
            self._noise_at(at, min(_NOISE_BLOCK, samples - at)) for at in range(0, samples, _NOISE_BLOCK)
        )
        plane = frame.planes[0]
        plane.update(noise.ljust(plane.buffer_size, b"\x80"))
        self._samples += samples
        for resampled in self._resampler.resample(frame):
            self._container.mux(self._stream.encode(resampled))

    def _noise_at(self, at: int, samples: int) -> bytes:
        time_s = self._start_s + (self._samples + at) / _NOISE_RATE
        swell = (0.5 + 0.5 * math.sin(time_s * math.tau / _SWELL_S)) ** 2
        loudness = 6 + round(30 * swell)
        table = bytes(128 + (value - 128) * loudness // 128 for value in range(256))
        return self._dice.randbytes(samples).translate(table)
