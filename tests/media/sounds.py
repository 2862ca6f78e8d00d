"""Recordings whose sound tells its time: a click at every half second of wall time, in any codec."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from media.truth import START_MS, Recorded, record

from clipline.media.footage import Footage

CLICK_MS = 500
PICTURES = Footage(width=320, height=180, duration_s=4, audio=False)


@dataclass(frozen=True)
class Sound:
    """What audio a recording has."""

    codec: str = "aac"
    rate: int = 48_000
    layout: str = "mono"
    begin_s: Fraction = Fraction(0)
    end_s: Fraction | None = None
    """None: with the pictures."""
    container: str = "mp4"


def add_sound(one: Recorded, sound: Sound) -> Recorded:
    """The recording with ``sound`` beside its pictures."""
    path = one.path.with_suffix(f".sound.{sound.container}")
    end_s = sound.end_s or one.footage.frames / one.footage.frame_rate
    with av.open(str(one.path)) as source, av.open(str(path), "w", format=sound.container) as target:
        video = target.add_stream_from_template(source.streams.video[0])
        stream = target.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
        assert isinstance(stream, av.AudioStream)
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets:
            packet.stream = video
            target.mux(packet)
        context = stream.codec_context
        block = 1024
        form = av.AudioResampler(context.format.name if context.format else "s16", sound.layout, sound.rate)
        if not context.is_open:
            context.open()
        fifo = av.AudioFifo()
        for frame in _clicks(one.start_ms, sound, end_s, block):
            for made in form.resample(frame):
                fifo.write(made)
        at = round(sound.begin_s * sound.rate)
        size = context.frame_size or 320
        while (frame := fifo.read(size)) or (frame := fifo.read(partial=True)):
            frame.pts, frame.time_base = at, Fraction(1, sound.rate)
            at += frame.samples
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return replace(one, path=path)


def _clicks(start_ms: int, sound: Sound, end_s: Fraction, block: int) -> Sequence[av.AudioFrame]:
    first, stop = round(sound.begin_s * sound.rate), round(end_s * sound.rate)
    channels = av.AudioLayout(sound.layout).nb_channels
    values = array("h", bytes((stop - first) * 2 * channels))
    width = max(sound.rate // 1000, 4)
    click_ms = -(-start_ms // CLICK_MS) * CLICK_MS
    while (at := round(Fraction(click_ms - start_ms, 1000) * sound.rate)) < stop:
        for place in range(max(at, first), min(at + width, stop)):
            for channel in range(channels):
                values[(place - first) * channels + channel] = 20_000 if (place - at) % 2 == 0 else -20_000
        click_ms += CLICK_MS
    frames = []
    for begin in range(0, stop - first, block):
        samples = min(block, stop - first - begin)
        frame = av.AudioFrame("s16", sound.layout, samples)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, begin, Fraction(1, sound.rate)
        data = values[begin * channels : (begin + samples) * channels].tobytes()
        frame.planes[0].update(data.ljust(frame.planes[0].buffer_size, b"\0"))
        frames.append(frame)
    return frames


def recorded(
    directory: Path, sounds: Sequence[Sound | None], footage: Footage = PICTURES, start_ms: int = START_MS
) -> list[Recorded]:
    """Consecutive recordings, each with its own sound; None: silent pictures."""
    made = record(directory, footage, recordings=len(sounds), start_ms=start_ms)
    return [add_sound(one, sound) if sound else one for one, sound in zip(made, sounds, strict=True)]


def clicks_s(path: Path) -> list[Fraction]:
    """When clicks begin to sound, seconds, by FFmpeg's decoder and the times it gives."""
    found: list[Fraction] = []
    with av.open(str(path)) as container:
        form = av.AudioResampler("flt", "mono", container.streams.audio[0].rate)
        for frame in container.decode(audio=0):
            begin, rate = Fraction(frame.pts) * frame.time_base, frame.sample_rate
            frame.pts = None
            for made in form.resample(frame):
                samples = array("f", bytes(memoryview(made.planes[0])[: made.samples * 4]))
                for place, value in enumerate(samples):
                    at = begin + Fraction(place, rate)
                    if abs(value) > 0.15 and (not found or at - found[-1] > Fraction(1, 5)):
                        found.append(at)
    return found
