"""H.264 sequence and picture parameter sets, and the ``avcC`` record that carries them.

Fields are those of ITU-T H.264, sections 7.3.2.1.1, 7.3.2.2 and E.1.1; ``avcC`` is ISO/IEC 14496-15,
section 5.3.3.1. A spliced clip lists two pairs in one record: the source's, which the copied pictures
refer to, and the encoder's under ids that the source doesn't use.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.bits import BitReader, unescape

IDR, SEI, SPS, PPS = 5, 6, 7, 8
"""NAL unit types, table 7-1."""

_RECOVERY_POINT = 6
"""Type of the SEI message, section D.1.8."""

_WITH_CHROMA_FIELDS = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_SAR = (
    (0, 1), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33),
    (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
"""Table E-1: sample aspect ratios by aspect_ratio_idc."""


@dataclass(frozen=True)
class Colour:
    """How numbers become colours; 2 means untagged (tables E-3 to E-5)."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False


@dataclass(frozen=True)
class SequenceParameters:
    """What a sequence parameter set says, as far as a splice has to match it."""

    identifier: int
    profile: int
    constraints: int
    """The byte of constraint flags."""
    level: int
    """Times ten."""
    chroma: int
    """1 is 4:2:0."""
    bit_depth: int
    reference_frames: int
    width: int
    """Luma samples after cropping."""
    height: int
    crop: tuple[int, int, int, int]
    """Left, right, top, bottom, in crop units."""
    progressive: bool
    """frame_mbs_only_flag."""
    sample_aspect: Fraction | None
    """Width of a pixel over its height; None where it is not said."""
    colour: Colour
    chroma_location: int | None
    frame_num_bits: int = 4
    """Of frame_num in slice headers."""
    order_type: int = 0
    """pic_order_cnt_type; 2: pictures are decoded in the order they are shown in."""
    counts_frames: bool = False
    """Whether frame_num goes up by one at each reference picture: gaps in it are losses."""

    def fits(self, other: SequenceParameters) -> str | None:
        """Why pictures of both can't stand in one track (None: they can)."""
        for name in ("profile", "chroma", "bit_depth", "width", "height", "crop", "progressive", "colour"):
            mine, others = getattr(self, name), getattr(other, name)
            if mine != others:
                return f"{name} {mine} against {others}"
        if (self.sample_aspect or 1) != (other.sample_aspect or 1):
            return f"sample aspect ratio {self.sample_aspect} against {other.sample_aspect}"
        return None


def parse_sps(unit: bytes) -> SequenceParameters:
    """Read a sequence parameter set, NAL header included."""
    if len(unit) < 5 or unit[0] & 31 != SPS:
        raise UnreadableRecording("a sequence parameter set is none")
    profile, constraints, level = unit[1:4]
    bits = BitReader(unescape(unit[4:]))
    identifier = bits.ue()
    chroma, bit_depth = 1, 8
    if profile in _WITH_CHROMA_FIELDS:
        chroma = bits.ue()
        if chroma == 3:
            bits.u(1)
        bit_depth = 8 + max(bits.ue(), bits.ue())
        bits.u(1)
        if bits.flag():
            for number in range(8 if chroma != 3 else 12):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order_type = bits.ue()
    if order_type == 0:
        bits.ue()
    elif order_type == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    reference_frames = bits.ue()
    gaps_allowed = bits.flag()  # gaps_in_frame_num_value_allowed_flag
    columns, rows = bits.ue() + 1, bits.ue() + 1
    progressive = bits.flag()
    if not progressive:
        bits.u(1)
    bits.u(1)  # direct_8x8_inference_flag
    crop = (bits.ue(), bits.ue(), bits.ue(), bits.ue()) if bits.flag() else (0, 0, 0, 0)
    sample_aspect, colour, chroma_location = parse_vui(bits) if bits.flag() else (None, Colour(), None)
    crop_x = 2 if chroma in (1, 2) else 1
    crop_y = (2 if chroma == 1 else 1) * (1 if progressive else 2)
    width = columns * 16 - crop_x * (crop[0] + crop[1])
    height = rows * 16 * (1 if progressive else 2) - crop_y * (crop[2] + crop[3])
    if not (0 < width <= 16384 and 0 < height <= 16384):
        raise UnreadableRecording(f"a sequence parameter set claims pictures of {width}x{height}")
    return SequenceParameters(
        identifier, profile, constraints, level, chroma, bit_depth, reference_frames, width, height,
        crop, progressive, sample_aspect, colour, chroma_location, frame_num_bits, order_type,
        counts_frames=not gaps_allowed and chroma < 3,
    )  # fmt: skip


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    """Section 7.3.2.1.1.1."""
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def parse_vui(bits: BitReader) -> tuple[Fraction | None, Colour, int | None]:
    """The front of section E.1.1 (H.265: E.2.1): aspect ratio, colour and chroma location."""
    sample_aspect: Fraction | None = None
    if bits.flag():
        code = bits.u(8)
        across, down = (bits.u(16), bits.u(16)) if code == 255 else _SAR[code if code < len(_SAR) else 0]
        sample_aspect = Fraction(across, down) if across and down else None
    if bits.flag():
        bits.u(1)
    colour = Colour()
    if bits.flag():
        bits.u(3)
        full_range = bits.flag()
        primaries, transfer, matrix = (bits.u(8), bits.u(8), bits.u(8)) if bits.flag() else (2, 2, 2)
        colour = Colour(primaries, transfer, matrix, full_range)
    chroma_location: int | None = None
    if bits.flag():
        chroma_location = bits.ue()
        bits.ue()
    return sample_aspect, colour, chroma_location


def pps_identifiers(unit: bytes) -> tuple[int, int]:
    """(picture parameter set id, the sequence parameter set id that it refers to)."""
    bits = BitReader(unescape(unit[1:]))
    return bits.ue(), bits.ue()


@dataclass(frozen=True)
class AvcConfiguration:
    """The ``avcC`` record: how samples of a track are to be decoded."""

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    length_bytes: int = 4
    """Bytes of the length before each NAL unit of a sample."""

    codec: ClassVar[str] = "h264"
    """FFmpeg's name."""
    entry_kind: ClassVar[str] = "avc1"
    record_kind: ClassVar[str] = "avcC"

    @property
    def sequence(self) -> SequenceParameters:
        """Of the first sequence parameter set."""
        return parse_sps(self.sps[0])

    def sequence_of(self, picture_set: int) -> SequenceParameters | None:
        """What a picture parameter set refers to, by its id; None where it is not there."""
        referred = dict(map(pps_identifiers, self.pps)).get(picture_set)
        return next((one for one in map(parse_sps, self.sps) if one.identifier == referred), None)

    def free_identifier(self) -> int:
        """An id that neither a sequence nor a picture parameter set uses (section 7.4.2: up to 31)."""
        used = {parse_sps(unit).identifier for unit in self.sps}
        used |= {pps_identifiers(unit)[0] for unit in self.pps}
        free = next((number for number in range(32) if number not in used), None)
        if free is None:
            raise UnsupportedMedia("its parameter sets use every id there is")
        return free

    def __add__(self, other: AvcConfiguration) -> AvcConfiguration:
        """Both records' sets, this one's first."""
        return AvcConfiguration(self.sps + other.sps, self.pps + other.pps, self.length_bytes)

    def can_begin_copy(self, sample: bytes) -> bool:
        """Whether players can begin at ``sample`` after pictures that have nothing to do with it."""
        return is_idr(sample, self.length_bytes)

    def can_begin_decoding(self, sample: bytes) -> bool:
        """Whether a decoder that begins here gets every picture right that is shown from this one on."""
        return is_entry(sample, self.length_bytes)

    def leans_on_before(self, _sample: bytes) -> bool:
        """Whether a picture that is decoded after a keyframe and shown before it needs what came before."""
        return False  # nothing is shown before the IDR picture that it is decoded after

    def is_disposable(self, sample: bytes) -> bool:
        """Whether no other picture is decoded from this one: nal_ref_idc is 0 (section 7.4.1)."""
        slices = [unit for unit in split_units(sample, self.length_bytes) if 1 <= unit[0] & 31 <= IDR]
        return bool(slices) and all(unit[0] & 0x60 == 0 for unit in slices)

    def sync_front(self, sample: bytes, *, begins: bool) -> tuple[bytes, int]:
        """(what stands in place of a sync sample's front, bytes of that front); ``begins``: a copy, with it.

        Parameter sets are left out: recorders that keep a live stream as it came repeat them before each
        keyframe, and in an ``avc1`` track they have no place (ISO/IEC 14496-15, section 5.3.2). Raises
        UnsupportedMedia where they are others than this record's.
        """
        del begins  # a copy begins with an IDR picture, which may stand anywhere
        front, kept, found = 0, [], False
        known = {unit.rstrip(b"\0") for unit in self.sps + self.pps}
        for unit in split_units(sample, self.length_bytes):
            kind = unit[0] & 31
            if 1 <= kind <= IDR:
                break
            front += self.length_bytes + len(unit)
            if kind not in (SPS, PPS):
                kept.append(len(unit).to_bytes(self.length_bytes, "big") + unit)
                continue
            found = True
            if unit.rstrip(b"\0") not in known:
                raise UnsupportedMedia("its parameter sets change within the recording")
        return (b"".join(kept), front) if found else (b"", 0)

    def pack(self) -> bytes:
        """The record. One profile valid for all, the highest level, the constraints that all keep."""
        parsed = [parse_sps(unit) for unit in self.sps]
        constraints = 0xFF
        for one in parsed:
            constraints &= one.constraints
        record = bytes([1, parsed[0].profile, constraints, max(one.level for one in parsed)])
        record += bytes([0xFC | self.length_bytes - 1, 0xE0 | len(self.sps)])
        record += b"".join(struct.pack(">H", len(unit)) + unit for unit in self.sps)
        record += bytes([len(self.pps)])
        record += b"".join(struct.pack(">H", len(unit)) + unit for unit in self.pps)
        if parsed[0].profile in {100, 110, 122, 144}:
            depth = parsed[0].bit_depth - 8
            record += bytes([0xFC | parsed[0].chroma, 0xF8 | depth, 0xF8 | depth, 0])
        return record


def parse_avcc(record: bytes | memoryview) -> AvcConfiguration:
    """Read an ``avcC`` box's content."""
    record = bytes(record)
    try:
        if record[0] != 1:
            raise UnreadableRecording(f"its avcC record has version {record[0]}, not 1")
        at = 5
        sets: list[tuple[bytes, ...]] = []
        for mask in (31, 255):
            units = []
            count, at = record[at] & mask, at + 1
            for _ in range(count):
                (size,) = struct.unpack_from(">H", record, at)
                units.append(record[at + 2 : at + 2 + size])
                if not size or len(units[-1]) != size:
                    raise UnreadableRecording("its avcC record is cut off")
                at += 2 + size
            sets.append(tuple(units))
    except (IndexError, struct.error):
        raise UnreadableRecording("its avcC record is cut off") from None
    if not sets[0] or not sets[1]:
        raise UnsupportedMedia("its avcC record has no parameter sets: they stand in the samples")
    length_bytes = (record[4] & 3) + 1
    return AvcConfiguration(sets[0], sets[1], length_bytes)


def collect_avc_sets(units: Iterable[bytes], length_bytes: int = 4) -> AvcConfiguration:
    """The configuration that parameter sets among ``units`` make. Raises UnsupportedMedia without them."""
    units = list(units)
    sps = tuple(dict.fromkeys(unit for unit in units if unit[0] & 31 == SPS))
    pps = tuple(dict.fromkeys(unit for unit in units if unit[0] & 31 == PPS))
    if not sps or not pps:
        raise UnsupportedMedia("it has no parameter sets, neither in its avcC record nor before its pictures")
    return AvcConfiguration(sps, pps, length_bytes)


def split_units(sample: bytes, length_bytes: int) -> Iterator[bytes]:
    """The NAL units of a sample with lengths before them."""
    at = 0
    while at < len(sample):
        size = int.from_bytes(sample[at : at + length_bytes], "big")
        at += length_bytes
        if not size or at + size > len(sample):
            raise UnreadableRecording("a sample's NAL units do not fill it")
        yield sample[at : at + size]
        at += size


def is_idr(sample: bytes, length_bytes: int) -> bool:
    """Whether a sample is an IDR picture: only there may a decoder begin and a splice lie."""
    for unit in split_units(sample, length_bytes):
        kind = unit[0] & 31
        if 1 <= kind <= IDR:
            return kind == IDR
    return False


def is_entry(sample: bytes, length_bytes: int) -> bool:
    """Whether a decoder that begins here gets every picture right that is shown from this one on.

    True for an IDR picture, and for the first picture of an open group, which says so by a recovery point
    that lies no frame ahead (section D.2.8). What is shown before it may need pictures from before it.
    """
    for unit in split_units(sample, length_bytes):
        kind = unit[0] & 31
        if kind == SEI and _recovers_at_once(unescape(unit[1:])):
            return True
        if 1 <= kind <= IDR:
            return kind == IDR
    return False


def _recovers_at_once(payload: bytes) -> bool:
    """Whether one of the messages (section 7.3.2.3.1) is a recovery point with a frame count of 0."""
    at = 0
    while at + 2 < len(payload):
        fields = []
        for _ in range(2):  # type and size: as many 255 as fit, then the rest
            value = 0
            while at < len(payload) and payload[at] == 255:
                value, at = value + 255, at + 1
            value, at = value + (payload[at] if at < len(payload) else 0), at + 1
            fields.append(value)
        kind, size = fields
        if kind == _RECOVERY_POINT:
            return BitReader(payload[at : at + size]).ue() == 0
        at += size
    return False
