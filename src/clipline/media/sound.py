"""What a sample entry says of audio: which codec, how a decoder is told of it, whether MP4 may carry it.

Entries of MP4 (ISO/IEC 14496-12, section 12.2.3) and of QuickTime, whose versions 1 and 2 are longer
(QuickTime File Format, "Sound sample descriptions").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from clipline.contract.errors import UnreadableRecording
from clipline.media.bits import BitReader
from clipline.media.boxes import Box, box, full_box

_ES, _DECODER_CONFIG, _DECODER_SPECIFIC, _SL_CONFIG = 3, 4, 5, 6
"""Descriptor tags, ISO/IEC 14496-1, section 7.2.2.1."""

_OBJECT_TYPES = {0x40: "aac", 0x66: "aac", 0x67: "aac", 0x68: "aac", 0x69: "mp3float", 0x6B: "mp3float"}
"""MP4 Registration Authority, object types."""

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""Sampling frequency indexes, ISO/IEC 14496-3, table 1.18."""

AAC_FRAME = 1024
"""Samples."""

_AAC_LC, _SBR, _PS = 2, 5, 29
"""Audio object types, ISO/IEC 14496-3, table 1.17."""

_CODECS = {
    ".mp3": "mp3float", "ms\x00U": "mp3float", "Opus": "opus", "ac-3": "ac3", "ec-3": "eac3",
    "fLaC": "flac", "alac": "alac", "ulaw": "pcm_mulaw", "alaw": "pcm_alaw", "samr": "amrnb", "sawb": "amrwb",
}  # fmt: skip
COPYABLE = frozenset({"aac", "mp3float", "opus", "ac3", "eac3", "flac", "alac"})
"""Goes from one MP4 to another as it is."""

_MOST_CHANNELS = 8
_MOST_RATE = 1_000_000
"""Samples a second. QuickTime writes the rate as a floating-point number: any, not a number, infinite."""


@dataclass(frozen=True)
class AudioFormat:
    """What a decoder is told; equal where frames of both can follow each other in one track.

    Left out is what differs from recording to recording of one camera: bit rates, and how MP4 and
    QuickTime write the same thing.
    """

    codec: str
    """The name of FFmpeg's decoder; empty where there is none that is let near footage."""
    rate: int
    """Samples a second, for HE-AAC those of its AAC-LC part."""
    channels: int
    details: tuple[object, ...] = ()
    """What else must be equal, by codec; of AAC (object type, frequency index, channel configuration,
    the three flags of its GASpecificConfig)."""
    kind: str = field(default="", compare=False)
    """The sample entry's four characters, for people."""
    extradata: bytes = field(default=b"", compare=False)
    """As FFmpeg's decoder takes it."""
    frame_bytes: int = field(default=0, compare=False)
    """PCM and G.711: bytes of one sample of all channels; otherwise 0."""

    @property
    def copyable(self) -> bool:
        return self.codec in COPYABLE

    @property
    def encodable(self) -> bool:
        """Whether our encoder's frames can stand in its track: AAC-LC, and HE-AAC, where a frame
        without the high band is a frame with a silent one (ISO/IEC 14496-3, section 4.6.18.2)."""
        if self.codec != "aac":
            return False
        object_type, index, layout, *flags = self.details
        known = index in range(13) and layout in range(1, 7)
        return known and object_type in {_AAC_LC, _SBR, _PS} and not any(flags)

    @property
    def frame_samples(self) -> int | None:
        """Samples a frame, where the codec has one number for all of them."""
        if self.codec == "aac":
            return 960 if self.details[3:] and self.details[3] else AAC_FRAME
        if self.codec == "mp3float":
            return 1152 if self.rate >= 32000 else 576
        return 1536 if self.codec == "ac3" else None

    def lasts_s(self, size_bytes: int) -> Fraction | None:
        """How long a frame of ``size_bytes`` sounds, seconds; None where only decoding it would tell."""
        if self.frame_bytes:
            return Fraction(size_bytes // self.frame_bytes, self.rate)
        return Fraction(self.frame_samples, self.rate) if self.frame_samples else None


def audio_format(entry: Box) -> AudioFormat:
    """Of a sample entry. What is broken or unknown has no codec; it is never an error."""
    try:
        found = _parse(entry)
        if 0 < found.rate <= _MOST_RATE and 0 < found.channels <= _MOST_CHANNELS:
            return found
    except (UnreadableRecording, IndexError, ValueError, OverflowError):
        pass  # what the entry does not tell, no decoder can be told: the audio is left out, with its kind
    return AudioFormat("", 0, 0, (entry.kind,), entry.kind)


def _parse(entry: Box) -> AudioFormat:
    kind = entry.kind
    (version,) = entry.unpack("H", 8)
    channels, bits, _, _, rate = entry.unpack("HHhHI", 16)
    rate >>= 16
    if version == 2 and _is_quicktime(entry):
        rate_s, channels, _, bits, flags = entry.unpack("dIIII", 32)
        rate = round(rate_s)
    else:
        flags = None
    found = {child.kind: child for child in children(entry)}
    if kind == "mp4a" and "esds" in found:
        return _parse_esds(found["esds"], rate, channels)
    codec = _CODECS.get(kind, "")
    extradata = b""
    details: tuple[object, ...] = ()
    if codec == "opus":
        record = bytes(found["dOps"].body)
        channels, rate = record[1], 48000
        gain = struct.pack("<h", *struct.unpack_from(">h", record, 8))
        # No pre-skip: the edit list says where the clip begins, here as in the recording.
        extradata = b"OpusHead\1" + bytes([channels, 0, 0]) + struct.pack("<I", 48000) + gain + record[10:]
        details = (gain, record[10:])
    elif codec == "flac":
        extradata = bytes(found["dfLa"].body[8:42])
        rate, details = int.from_bytes(extradata[10:13], "big") >> 4, (extradata[:4], extradata[10:14])
    elif codec == "alac":
        extradata = full_box("alac", 0, 0, bytes(found["alac"].body[4:]))
        (rate,) = struct.unpack_from(">I", extradata, 32)
        channels, details = extradata[21], (extradata[12:22],)
    elif codec in {"ac3", "eac3"}:
        details = (bytes(found["dac3" if codec == "ac3" else "dec3"].body),)
    elif codec in {"amrnb", "amrwb"}:
        rate, channels = 8000 if codec == "amrnb" else 16000, 1
    elif not codec:
        codec, bits = _pcm(kind, bits, flags, found)
    one = 8 if codec in {"pcm_mulaw", "pcm_alaw"} else bits if codec.startswith("pcm") else 0
    return AudioFormat(codec, rate, channels, details, kind, extradata, channels * one // 8)


def _pcm(kind: str, bits: int, flags: int | None, found: dict[str, Box]) -> tuple[str, int]:
    """(decoder, bits a sample); an empty name for what is no PCM of ours."""
    little = "enda" in found and found["enda"].unpack("H") == (1,)
    form = "s"
    if kind in {"ipcm", "fpcm"}:  # ISO/IEC 23003-5
        form = "f" if kind == "fpcm" else "s"
        pcm_flags, bits = found["pcmC"].unpack("BB", 4)
        little = bool(pcm_flags & 1)
    elif kind == "lpcm" and flags is not None:
        form = "f" if flags & 1 else "s" if flags & 4 or bits > 8 else "u"
        little = not flags & 2
    elif kind in {"in24", "in32", "fl32", "fl64"}:
        form, bits = "f" if kind.startswith("fl") else "s", int(kind[2:])
    elif kind in {"raw ", "NONE", "twos", "sowt", "lpcm"}:
        form = "u" if kind == "raw " and bits == 8 else "s"
        little = kind == "sowt"
    else:
        return "", 0
    if bits == 8 and form != "f":
        return f"pcm_{form}8", 8
    if (form, bits) in {("s", 16), ("s", 24), ("s", 32), ("f", 32), ("f", 64)}:
        return f"pcm_{form}{bits}{'le' if little else 'be'}", bits
    return "", 0


def _is_quicktime(entry: Box) -> bool:
    """Whether version 1 or 2 means QuickTime's longer entry; in MP4, version 1 has the fields of 0."""
    kind = bytes(entry.body[32:36])
    return not (len(kind) == 4 and all(byte == 0x20 or (chr(byte).isalnum() and byte < 128) for byte in kind))


def children(entry: Box) -> Iterator[Box]:
    """The boxes inside an entry; those that QuickTime keeps in a ``wave`` box as well."""
    (version,) = entry.unpack("H", 8)
    skip = {1: 44, 2: 64}.get(version, 28) if version and _is_quicktime(entry) else 28
    for child in entry.children(skip):
        if child.kind == "wave":
            yield from child.children()
        yield child


def _parse_esds(esds: Box, rate: int, channels: int) -> AudioFormat:
    object_type, specific = _decoder_config(esds)
    codec = _OBJECT_TYPES.get(object_type, "")
    if codec != "aac":
        return AudioFormat(codec, rate, channels, (object_type,), "mp4a")
    return aac_format(specific, channels)


def aac_format(specific: bytes, channels: int = 0) -> AudioFormat:
    """Of an AudioSpecificConfig, ISO/IEC 14496-3, section 1.6.2.1; ``channels`` where it has none."""
    bits = BitReader(specific)

    def object_type() -> int:
        number = bits.u(5)
        return number if number < 31 else 32 + bits.u(6)

    def frequency() -> tuple[int, int]:
        index = bits.u(4)
        return index, bits.u(24) if index == 15 else AAC_RATES[index]

    kind = object_type()
    index, rate = frequency()
    layout = bits.u(4)
    if kind in {_SBR, _PS}:
        frequency()
        object_type()
    flags = [bits.u(1) for _ in range(3)]
    count = 8 if layout == 7 else layout or channels
    return AudioFormat("aac", rate, count, (kind, index, layout, *flags), "mp4a", specific)


def _decoder_config(esds: Box) -> tuple[int, bytes]:
    """(object type, decoder specific info) of an ``esds`` box, ISO/IEC 14496-14, section 6.7.2."""
    object_type, specific = 0, b""
    data = bytes(esds.body[4:])
    at = 0
    while at + 1 < len(data):
        tag, at = data[at], at + 1
        size = 0
        for _ in range(4):
            byte = data[at] if at < len(data) else 0
            size, at = size << 7 | byte & 0x7F, at + 1
            if not byte & 0x80:
                break
        if tag == _ES:
            at += 3
        elif tag == _DECODER_CONFIG:
            object_type = data[at] if at < len(data) else 0
            at += 13
        else:
            specific = data[at : at + size] if tag == _DECODER_SPECIFIC else specific
            at += size
    return object_type, specific


def clip_entry(entry: Box) -> bytes:
    """The sample entry of a clip whose frames are copied from a track with this ``entry``, a whole box."""
    (version,) = entry.unpack("H", 8)
    found = audio_format(entry)
    if found.codec == "aac" and version:
        return aac_entry(found)
    kept = [child for child in children(entry) if child.kind not in {"btrt", "wave"}]
    fields = bytearray(entry.body[:28])
    fields[8:16] = bytes(8)  # QuickTime's version, revision and vendor
    if version:
        fields[16:28] = struct.pack(">HHHHI", found.channels, 16, 0, 0, min(found.rate, 0xFFFF) << 16)
        kept = [child for child in kept if child.kind in {"esds", "dOps", "dac3", "dec3", "alac", "dfLa"}]
    bodies = {child.kind: bytes(child.body) for child in kept}
    if "dOps" in bodies:
        # Pre-skip is counted from the stream's beginning, which a clip lacks; its edit list says it all.
        bodies["dOps"] = bodies["dOps"][:2] + bytes(2) + bodies["dOps"][4:]
    kind = ".mp3" if found.codec == "mp3float" and "esds" not in bodies else entry.kind
    return box(kind, bytes(fields), *(box(name, body) for name, body in bodies.items()))


def aac_entry(form: AudioFormat) -> bytes:
    """An ``mp4a`` entry for AAC (ISO/IEC 14496-14, section 6.7), a whole box."""
    specific = form.extradata

    def descriptor(tag: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return bytes([tag, len(body)]) + body

    decoder = descriptor(
        _DECODER_CONFIG, bytes([0x40, 0x15]), bytes(11), descriptor(_DECODER_SPECIFIC, specific)
    )
    stream = descriptor(_ES, bytes(3), decoder, descriptor(_SL_CONFIG, b"\2"))
    fields = struct.pack(">6xH8xHHHHI", 1, form.channels, 16, 0, 0, min(form.rate, 0xFFFF) << 16)
    return box("mp4a", fields, full_box("esds", 0, 0, stream))


def aac_target(form: AudioFormat) -> AudioFormat:
    """The AAC-LC that takes the place of ``form``: its rate and channels, where AAC has them."""
    rate = min((rate for rate in AAC_RATES if rate >= form.rate), default=AAC_RATES[0])
    channels = form.channels if form.channels <= 6 else 2
    config = _AAC_LC << 11 | AAC_RATES.index(rate) << 7 | channels << 3
    # The extension says that there is no SBR, which players look for at low rates (section 1.6.5).
    return aac_format(config.to_bytes(2, "big") + b"\x56\xe5\x00")
