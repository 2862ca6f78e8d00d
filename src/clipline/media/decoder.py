"""Decoding stretches of a recording: the very pictures asked for, or an error."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import av

from clipline.contract.errors import UnreadableRecording
from clipline.media.frame_numbers import FrameNumbers
from clipline.media.index import Track
from clipline.media.parameter_sets import IDR, AvcConfiguration, split_units
from clipline.media.video import configuration, configuration_record

ReadSample = Callable[[int], bytes]
"""Gives the coded bytes of a sample, by its number."""

_FILLING_PIXELS = 64 * (16384 + 16384)
"""FFmpeg counts up to 63 columns and lines beyond those shown, which fill up blocks."""


def decode(
    track: Track,
    first: int,
    stop: int,
    frames: Sequence[int],
    read: ReadSample,
) -> Iterator[av.VideoFrame]:
    """The pictures of ``frames`` (sample numbers in presentation order), decoding ``[first, stop)``.

    ``first`` must be a sample that a decoder can begin at. Raises UnreadableRecording where a picture
    is missing or damaged, be it one that they lean on: what the decoder would patch over is no picture of the
    camera.
    """
    context = make_decoder(track)
    reordered = any(a > b for a, b in zip(track.pts[first:stop], track.pts[first + 1 : stop], strict=False))
    if reordered and context.name == "h264":
        # Without it the decoder learns the reorder depth as it goes and drops what comes too late.
        context.options = {**context.options, "strict": "1"}
    context.thread_type = "AUTO"
    wanted = {track.pts[number]: place for place, number in enumerate(frames)}
    early: dict[int, av.VideoFrame] = {}
    due = 0
    time_base = Fraction(1, track.timescale)
    try:
        for frame in _decode_all(context, track, first, stop, frames, read):
            if frame.pts is None:
                continue
            # What is shown before the first sample leans on what is not decoded here, and is not asked.
            if frame.is_corrupt and frame.pts >= track.pts[first]:
                raise UnreadableRecording(f"the picture at {frame.pts * time_base} s is damaged")
            if (place := wanted.get(frame.pts)) is None:
                continue
            early[place] = frame
            while due in early:
                yield early.pop(due)
                due += 1
    except (av.FFmpegError, ValueError, IndexError, UnicodeDecodeError) as error:
        check_starved(error)
        raise UnreadableRecording(f"samples {first} to {stop} do not decode: {error}") from error
    if due == len(frames):  # only now: what they lean on may be shown after them
        return
    raise UnreadableRecording(
        f"of {len(frames)} pictures from {track.pts[frames[0]] * time_base} s on, "
        f"{len(frames) - due} do not decode"
    )


def check_starved(error: Exception) -> None:
    """Raises MemoryError where a decoder lacks memory, or threads: that says nothing of the recording."""
    if isinstance(error, av.FFmpegError) and error.errno in (errno.ENOMEM, errno.EAGAIN):
        raise MemoryError(str(error)) from error


def make_decoder(track: Track, *, max_pixels: int | None = None) -> av.VideoCodecContext:
    """A decoder of the track's samples, not yet opened; ``max_pixels`` None: as the track says."""
    if max_pixels is None:
        max_pixels = track.most_pixels + _FILLING_PIXELS
    context = av.CodecContext.create(configuration(track).codec, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.extradata = configuration_record(track.entry)
    context.options = {"max_pixels": str(max_pixels)}
    if context.name == "hevc":
        # Of what is damaged that decoder says nothing otherwise, and shows what happened to be in memory.
        context.options["err_detect"] = "explode"
    return context


def _decode_all(
    context: av.VideoCodecContext,
    track: Track,
    first: int,
    stop: int,
    frames: Sequence[int],
    read: ReadSample,
) -> Iterator[av.VideoFrame]:
    time_base = Fraction(1, track.timescale)
    sets = configuration(track)
    numbers = None
    if isinstance(sets, AvcConfiguration):
        numbers = FrameNumbers(cache(sets.sequence_of), fields=True)
    asked = set(frames)
    for number in range(first, stop):
        data = read(number)
        if number not in asked and number > first and sets.is_disposable(data):
            continue  # nothing is decoded from it, and nobody wants to see it
        if numbers is not None and not numbers.follows(*_slices(data, sets.length_bytes)):
            raise UnreadableRecording(
                f"before the picture at {track.pts[number] * time_base} s one is missing"
            )
        packet = make_packet(data)
        packet.pts, packet.dts, packet.time_base = track.pts[number], track.decode_times[number], time_base
        yield from context.decode(packet)
    yield from context.decode(None)


def _slices(sample: bytes, length_bytes: int) -> list[bytes]:
    """Of an H.264 picture."""
    slices = [unit for unit in split_units(sample, length_bytes) if 1 <= unit[0] & 31 <= IDR]
    if not slices:
        raise UnreadableRecording("a sample holds no picture")
    return slices


def make_packet(data: bytes) -> av.Packet[Any]:
    """A packet that holds a copy of ``data``.

    ``av.Packet(data)`` would hold ``data`` itself, and a decoder's thread has to wait for the interpreter
    to let go of it: with a decoder that is given up halfway, the interpreter waits for the thread as well.
    """
    packet: av.Packet[Any] = av.Packet(len(data))
    packet.update(data)
    return packet
