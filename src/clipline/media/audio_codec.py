"""Decoding audio and encoding it as AAC-LC, so that every sample stands where its time puts it.

Audio goes through frame by frame: of a run only a fraction of a second is in memory as samples, and the
packets made of it, 8 kB a second and channel.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av

from clipline.contract.errors import UnsupportedMedia
from clipline.media.audio_spans import EncodedSound, SilentSound, SoundPiece
from clipline.media.decoder import check_starved, make_packet
from clipline.media.index import Track
from clipline.media.plan_audio import LEAD_IN, LEAD_OUT, AudioPlan
from clipline.media.sound import AAC_FRAME, AudioFormat, aac_format, audio_format

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
"""By channel configuration, ISO/IEC 14496-3, table 1.19."""

_PRIMING_FRAMES = 1
"""FFmpeg's encoder puts 1024 samples of silence before the first one (``initial_padding``, measured)."""

_JITTER_S = Fraction(1, 100)
"""A frame that is stamped off by less goes on where the one before it ended: no click in between."""

_FLOAT_BYTES = 4

ReadSample = Callable[[int], bytes]


@dataclass(frozen=True, eq=False)
class EncodedAudio:
    """What was made for a plan."""

    packets: Mapping[int, Sequence[bytes]]
    """The frames of each span that is not copied, by its place in the plan."""
    why: Sequence[str]
    """What could not be decoded, and is silent."""


def encode_audio(
    plan: AudioPlan, tracks: Mapping[int, Track], readers: Mapping[int, ReadSample]
) -> EncodedAudio:
    """Make every span of ``plan`` that is not copied; ``tracks`` and ``readers`` by source.

    Audio that does not decode is silent, and ``why`` says so: it spoils no clip. Raises UnsupportedMedia
    where the encoder can't make what the plan promised.
    """
    packets: dict[int, Sequence[bytes]] = {}
    why: list[str] = []
    silence: bytes | None = None
    for place, span in enumerate(plan.spans):
        assert plan.format is not None
        if isinstance(span, SilentSound):
            if silence is None:
                silence = _silence(plan.format)
            packets[place] = [silence] * span.frames
        elif isinstance(span, EncodedSound):
            pieces = [(piece, tracks[piece.source], readers[piece.source]) for piece in span.pieces]
            packets[place] = _encode_run(plan.format, span, pieces, why)
    return EncodedAudio(packets, list(dict.fromkeys(why)))


def _silence(form: AudioFormat) -> bytes:
    if form.codec == "opus":
        # 20 ms of full-band CELT, no energy in any band (RFC 6716, sections 3.1 and 4.3).
        return bytes([0xFC if form.channels == 2 else 0xF8, 0xFF, 0xFE])
    encoder = _AacEncoder(form)
    block = bytes(AAC_FRAME * _FLOAT_BYTES * encoder.channels)
    return encoder.encode(iter([block] * 4))[-1]


def _encode_run(
    form: AudioFormat,
    span: EncodedSound,
    pieces: Sequence[tuple[SoundPiece, Track, ReadSample]],
    why: list[str],
) -> Sequence[bytes]:
    encoder = _AacEncoder(form)
    blocks = span.frames + LEAD_IN + LEAD_OUT
    zero = round(span.begin_s * form.rate) - LEAD_IN * AAC_FRAME
    sound = _sound(pieces, form.rate, encoder.channels, why)
    packets = encoder.encode(_blocks(sound, zero, blocks, encoder.channels * _FLOAT_BYTES))
    dropped = LEAD_IN + _PRIMING_FRAMES
    return packets[dropped : dropped + span.frames]


class _AacEncoder:
    """AAC-LC whose frames can stand in a track of ``form``."""

    def __init__(self, form: AudioFormat) -> None:
        layout = form.details[2]
        assert isinstance(layout, int)
        self.channels = layout
        self._layout, self._rate = _LAYOUTS[layout], form.rate
        context = av.CodecContext.create("aac", "w")
        context.sample_rate, context.layout, context.format = form.rate, self._layout, "fltp"
        # 64 kb/s a channel at 48 kHz, 21 at 8 kHz, where there is less to tell.
        context.bit_rate = layout * (12_000 + form.rate * 13 // 12)
        context.open()
        made = aac_format(context.extradata or b"")
        # All but the object type: a frame of AAC-LC is one of HE-AAC whose high band is silent.
        if made.details[1:] != form.details[1:] or context.frame_size != AAC_FRAME:
            raise UnsupportedMedia(f"audio is encoded as {made.details}, the clip's is {form.details}")
        self._context = context

    def encode(self, blocks: Iterator[bytes]) -> list[bytes]:
        """Packets for blocks of ``AAC_FRAME`` interleaved samples; the first one is priming."""
        packets: list[bytes] = []
        for number, block in enumerate(blocks):
            samples = array("f", block)
            frame = av.AudioFrame("fltp", self._layout, AAC_FRAME)
            frame.sample_rate, frame.pts = self._rate, number * AAC_FRAME
            frame.time_base = Fraction(1, self._rate)
            for channel, plane in enumerate(frame.planes):
                plane.update(samples[channel :: self.channels].tobytes().ljust(plane.buffer_size, b"\0"))
            packets += (bytes(packet) for packet in self._context.encode(frame))
        packets += (bytes(packet) for packet in self._context.encode(None))
        return packets


def _blocks(sound: Iterator[tuple[int, bytes]], zero: int, blocks: int, sample_bytes: int) -> Iterator[bytes]:
    """Blocks of ``AAC_FRAME`` samples from ``zero`` on, of ``sound``: (place of the first sample, samples).

    Silence where there is none; what comes before the end of what was there already is dropped.
    """
    block_bytes = AAC_FRAME * sample_bytes
    pending = bytearray()
    made = 0
    for at, data in sound:
        ahead = at - zero - made * AAC_FRAME - len(pending) // sample_bytes
        if ahead < 0:
            data = data[-ahead * sample_bytes :]
        while ahead > 0 and made < blocks:
            silent = min(ahead, AAC_FRAME - len(pending) // sample_bytes)
            pending += bytes(silent * sample_bytes)
            ahead -= silent
            if len(pending) == block_bytes:
                yield bytes(pending)
                pending.clear()
                made += 1
        pending += data
        while len(pending) >= block_bytes and made < blocks:
            yield bytes(pending[:block_bytes])
            del pending[:block_bytes]
            made += 1
        if made == blocks:
            return
    for _ in range(blocks - made):
        yield bytes(pending[:block_bytes]).ljust(block_bytes, b"\0")
        del pending[:block_bytes]


def _sound(
    pieces: Sequence[tuple[SoundPiece, Track, ReadSample]], rate: int, channels: int, why: list[str]
) -> Iterator[tuple[int, bytes]]:
    """(place on the clip's timeline in samples at ``rate``, interleaved samples), in order."""
    for piece, track, read in pieces:
        begin, end = round(piece.from_s * rate), round(piece.until_s * rate)
        for at, data in _decode(piece, track, read, rate, channels, why):
            one = channels * _FLOAT_BYTES
            first = max(begin - at, 0)
            stop = min(end - at, len(data) // one)
            if first < stop:
                yield at + first, data[first * one : stop * one]


def _decode(
    piece: SoundPiece, track: Track, read: ReadSample, rate: int, channels: int, why: list[str]
) -> Iterator[tuple[int, bytes]]:
    """What a player hears of a piece, resampled. Damaged frames are left out."""
    resampler: av.AudioResampler | None = None
    form: tuple[object, ...] = ()
    at = 0  # of what comes next: samples of the clip
    goes_on_s = Fraction(0)

    def samples(frames: Sequence[av.AudioFrame]) -> Iterator[tuple[int, bytes]]:
        nonlocal at
        for frame in frames:
            yield at, bytes(memoryview(frame.planes[0])[: frame.samples * channels * _FLOAT_BYTES])
            at += frame.samples

    for time_s, frame in _frames(piece, track, read, why):
        time_s += piece.zero_s
        its_form = (frame.sample_rate, frame.layout.name, frame.format.name)
        if resampler is None or its_form != form or abs(time_s - goes_on_s) > _JITTER_S:
            if resampler is not None:
                yield from samples(resampler.resample(None))
            resampler, form = av.AudioResampler("flt", _LAYOUTS[channels], rate), its_form
            at, goes_on_s = round(time_s * rate), time_s
        frame.pts = None  # the places are counted here
        goes_on_s += Fraction(frame.samples, frame.sample_rate)
        yield from samples(resampler.resample(frame))
    if resampler is not None:
        yield from samples(resampler.resample(None))


def _frames(
    piece: SoundPiece, track: Track, read: ReadSample, why: list[str]
) -> Iterator[tuple[Fraction, av.AudioFrame]]:
    """(presentation time in seconds, frame) of each frame that decodes."""
    form = audio_format(track.entry)
    decoder = _decoder(form)
    lost = 0
    for number in range(piece.first, piece.stop):
        time_s = Fraction(track.pts[number], track.timescale)
        try:
            frames = decoder.decode(make_packet(read(number)))
        except (av.FFmpegError, ValueError, IndexError, UnicodeDecodeError) as error:
            check_starved(error)
            # Before what is wanted, MP3 frames lean on some that were not read.
            lost += time_s + piece.zero_s >= piece.from_s
            decoder = _decoder(form)
            continue
        for frame in frames:
            yield time_s, frame
            time_s += Fraction(frame.samples, frame.sample_rate)
    if lost:
        why.append(f"{lost} frames of audio {form.kind!r} do not decode and are silent")


def _decoder(form: AudioFormat) -> av.AudioCodecContext:
    """Of a codec that ``sound`` names: no other is ever let near footage."""
    decoder = av.CodecContext.create(form.codec, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.thread_count = 1  # more would hold frames back
    decoder.sample_rate = form.rate
    if form.extradata:
        decoder.extradata = form.extradata
    if form.codec.startswith(("pcm", "amr")):
        decoder.layout = _LAYOUTS.get(form.channels, f"{form.channels}c")
    return decoder
