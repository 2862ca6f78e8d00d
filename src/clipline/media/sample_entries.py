"""Sample entries of MP4 for streams that come from another container.

Layouts: ISO/IEC 14496-12, section 12 (the fields all entries share); 14496-15, section 5.3.4 (``avc1``);
14496-14, section 6.7 (``mp4a`` with ``esds``); "Encapsulation of Opus in ISO Base Media File Format",
section 4.3 (``dOps``); ETSI TS 102 366, annex F (``dac3``); QuickTime (``alaw``, ``ulaw``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.bits import BitReader
from clipline.media.boxes import Box, box, full_box

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
AUDIO_HEADER = _MATRIX + bytes(8)
"""The matrix and size of an audio track's ``tkhd`` box."""
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""ISO/IEC 14496-3, table 1.18."""
_AAC_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8)
"""ISO/IEC 14496-3, table 1.19."""
_MPEG_RATES = (44100, 48000, 32000)
"""ISO/IEC 11172-3, section 2.4.2.3; half in 13818-3, a quarter in MPEG-2.5."""
_AC3_RATES = (48000, 44100, 32000)
_OBJECT_AAC, _OBJECT_MPEG1_AUDIO, _OBJECT_MPEG2_AUDIO = 0x40, 0x6B, 0x69
"""Object types, the registration authority's list for ISO/IEC 14496-1."""


def visual_entry(
    kind: str, width: int, height: int, configuration: bytes, sample_aspect: Fraction | None
) -> tuple[Box, bytes]:
    """(the sample entry of a video track, the matrix and size of its ``tkhd`` box).

    ``configuration`` is the whole ``avcC`` or ``hvcC`` box.
    """
    fields = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", width, height)
    fields += struct.pack(">IIIH", 0x480000, 0x480000, 0, 1) + bytes(32) + struct.pack(">Hh", 24, -1)
    shown_width = width
    shape = b""
    if sample_aspect not in (None, 1):
        assert sample_aspect is not None
        shown_width = round(width * sample_aspect)
        shape = box("pasp", struct.pack(">II", sample_aspect.numerator, sample_aspect.denominator))
    header = _MATRIX + struct.pack(">II", min(shown_width, 0xFFFF) << 16, height << 16)
    return Box(kind, memoryview(fields + configuration + shape)), header


@dataclass(frozen=True, eq=False)
class AudioForm:
    """What audio frames of one stream are."""

    entry: Box
    rate: int
    """Samples a second; the track's ticks."""
    frame_samples: int | None
    """In each frame; None: the frame itself has to tell."""
    strip: Callable[[bytes], bytes] = bytes
    """Makes a sample of a frame as the container has it."""
    samples_of: Callable[[bytes], int] | None = None
    """How many audio samples a frame holds, where they differ."""


def audio_form(codec: str, private: bytes, frame: bytes, rate: int, channels: int) -> AudioForm:
    """What is to be said of an audio stream, from what its container and its first frame say.

    ``private`` is the container's codec data; ``rate`` and ``channels`` what it says of them, 0 where it
    says nothing. Raises UnsupportedMedia for a codec without an entry here.
    """
    try:
        if codec == "aac":
            return _aac(private, frame)
        if codec in ("mp3", "mp2"):
            return _mpeg_audio(codec, frame)
        if codec == "opus":
            return _opus(private)
        if codec == "ac3":
            return _ac3(frame)
        if codec in ("pcm_alaw", "pcm_mulaw"):
            return _telephone(codec, rate, channels)
    except (IndexError, struct.error):
        raise UnreadableRecording(f"the first frame of its {codec} audio is cut off") from None
    raise UnsupportedMedia(f"its audio is {codec}, which can't be cut yet")


def _entry(kind: str, channels: int, rate: int, *details: bytes) -> Box:
    fields = bytes(6) + struct.pack(">H", 1) + bytes(8)
    fields += struct.pack(">HHHHI", channels, 16, 0, 0, (rate if rate < 0x10000 else 0) << 16)
    return Box(kind, memoryview(fields + b"".join(details)))


def _elementary_stream(object_type: int, specific: bytes) -> bytes:
    """``esds``: descriptors of ISO/IEC 14496-1, section 7.2.6; bit rates are left at 0, unknown."""

    def descriptor(tag: int, body: bytes) -> bytes:
        return bytes([tag, 0x80, 0x80, 0x80, len(body)]) + body

    config = struct.pack(">BBBHII", object_type, 0x15, 0, 0, 0, 0)
    if specific:
        config += descriptor(5, specific)
    body = struct.pack(">HB", 1, 0) + descriptor(4, config) + descriptor(6, b"\2")
    return full_box("esds", 0, 0, descriptor(3, body))


def _aac(private: bytes, frame: bytes) -> AudioForm:
    if private:
        bits = BitReader(private)
        kind = bits.u(5)
        index = bits.u(4)
        rate = bits.u(24) if index == 15 else _AAC_RATES[index]
        layout = bits.u(4)
        if kind not in (2, 5, 29):
            raise UnsupportedMedia(f"its audio is AAC of object type {kind}, which can't be cut yet")
        if len(private) > 100:
            raise UnreadableRecording(f"its audio's codec data has {len(private)} bytes")
        short = kind == 2 and bits.flag()  # frameLengthFlag
        channels = _AAC_CHANNELS[layout] if layout < 8 else 2
        entry = _entry("mp4a", channels, rate, _elementary_stream(_OBJECT_AAC, private))
        return AudioForm(entry, rate, 960 if short else 1024)
    profile, index, layout = _adts(frame)
    rate = _AAC_RATES[index]
    specific = struct.pack(">H", (profile + 1) << 11 | index << 7 | layout << 3)
    entry = _entry("mp4a", _AAC_CHANNELS[layout], rate, _elementary_stream(_OBJECT_AAC, specific))

    def strip(data: bytes) -> bytes:
        if _adts(data) != (profile, index, layout):
            raise UnsupportedMedia("its AAC audio changes its form midway")
        return data[7 if data[1] & 1 else 9 :]

    return AudioForm(entry, rate, 1024, strip)


def _adts(frame: bytes) -> tuple[int, int, int]:
    """(profile, sampling frequency index, channel configuration), ISO/IEC 14496-3, section 1.A.2.2."""
    if len(frame) < 9 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
        raise UnreadableRecording("an AAC frame has no ADTS header")
    layout = (frame[2] & 1) << 2 | frame[3] >> 6
    index = frame[2] >> 2 & 15
    if frame[6] & 3 or not layout or index >= len(_AAC_RATES):
        raise UnsupportedMedia("its AAC audio has several blocks in a frame, or an unnamed layout or rate")
    return frame[2] >> 6, index, layout


def _mpeg_audio(codec: str, frame: bytes) -> AudioForm:
    if frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        raise UnreadableRecording(f"an {codec} frame has no header")
    version, layer, rate_index = frame[1] >> 3 & 3, frame[1] >> 1 & 3, frame[2] >> 2 & 3
    if version == 1 or layer not in (1, 2) or rate_index == 3:
        raise UnreadableRecording(f"the header of an {codec} frame makes no sense")
    rate = _MPEG_RATES[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    samples = 576 if layer == 1 and version != 3 else 1152
    kind = _OBJECT_MPEG1_AUDIO if version == 3 else _OBJECT_MPEG2_AUDIO
    channels = 1 if frame[3] >> 6 == 3 else 2
    return AudioForm(_entry("mp4a", channels, rate, _elementary_stream(kind, b"")), rate, samples)


def _opus(private: bytes) -> AudioForm:
    """``private`` is an ``OpusHead`` (RFC 7845, section 5.1), whose numbers are little-endian."""
    if private[:8] != b"OpusHead":
        raise UnreadableRecording("its Opus audio has no OpusHead")
    channels, pre_skip, rate, gain, family = struct.unpack_from("<BHIhB", private, 9)
    details = struct.pack(">BBHIhB", 0, channels, pre_skip, rate, gain, family)
    if family:
        details += private[19 : 21 + channels]
    return AudioForm(
        _entry("Opus", channels, 48_000, box("dOps", details)), 48_000, None, samples_of=opus_samples
    )


def opus_samples(packet: bytes) -> int:
    """Audio samples of a packet at 48 kHz (RFC 6716, section 3.1 and 3.2)."""
    if not packet:
        raise UnreadableRecording("an Opus packet is empty")
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        each = (480, 960, 1920, 2880)[configuration & 3]
    elif configuration < 16:
        each = (480, 960)[configuration & 1]
    else:
        each = (120, 240, 480, 960)[configuration & 3]
    frames = (1, 2, 2)[code] if code < 3 else (packet[1] & 63 if len(packet) > 1 else 0)
    if not 0 < each * frames <= 5760:
        raise UnreadableRecording(f"an Opus packet claims {each * frames} samples")
    return each * frames


def _ac3(frame: bytes) -> AudioForm:
    if frame[:2] != b"\x0b\x77":
        raise UnreadableRecording("an AC-3 frame has no sync word")
    bits = BitReader(frame[4:8])
    rate_code, size_code, stream, mode, layout = bits.u(2), bits.u(6), bits.u(5), bits.u(3), bits.u(3)
    if layout & 1 and layout != 1:
        bits.u(2)
    if layout & 4:
        bits.u(2)
    if layout == 2:
        bits.u(2)
    low = bits.u(1)
    if rate_code == 3 or stream > 10:
        raise UnsupportedMedia("its audio is E-AC-3, which can't be cut yet")
    rate = _AC3_RATES[rate_code]
    word = rate_code << 22 | stream << 17 | mode << 14 | layout << 11 | low << 10 | (size_code >> 1) << 5
    details = box("dac3", word.to_bytes(3, "big"))
    channels = (2, 1, 2, 3, 3, 4, 4, 5)[layout] + low
    return AudioForm(_entry("ac-3", channels, rate, details), rate, 1536)


def _telephone(codec: str, rate: int, channels: int) -> AudioForm:
    if not rate or not channels:
        raise UnreadableRecording(f"its {codec} audio has no sample rate")
    kind = {"pcm_alaw": "alaw", "pcm_mulaw": "ulaw"}[codec]
    return AudioForm(
        _entry(kind, channels, rate), rate, None, samples_of=lambda frame: len(frame) // channels
    )
