"""HEVC video, sequence and picture parameter sets, and the ``hvcC`` record that carries them.

Fields are those of ITU-T H.265, sections 7.3.2.1 to 7.3.4, 7.3.7 and E.2.1; ``hvcC`` is ISO/IEC
14496-15, section 8.3.3.1. A spliced clip lists the source's sets and the encoder's, whose ids were
rewritten to ones that the source doesn't use.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.bits import BitReader, BitWriter, escape, unescape
from clipline.media.parameter_sets import Colour, SequenceParameters, parse_vui

VPS, SPS, PPS, PREFIX_SEI = 32, 33, 34, 39
"""NAL unit types, table 7-1."""

MOST_IDS = {VPS: 16, SPS: 16, PPS: 64}
"""How many ids there are (sections 7.4.3.1 to 7.4.3.3)."""

PPS_IDS = range(15, 31)
"""Ids of 9 bits as Exp-Golomb numbers, where 0 has 1: a slice header that gets one grows by one byte."""

_PTL_BYTES = 12
"""The general part of profile_tier_level(): all but the sub-layers."""
_PTL_AT = {VPS: 6, SPS: 3}
"""Byte at which it stands in a unit without emulation prevention."""
_MOST_SUB_LAYERS = 7
_MOST_SHORT_TERM_SETS, _MOST_PICTURES, _MOST_LONG_TERM = 64, 16, 32
"""Sections 7.4.3.2 and 7.4.8; 16 is the largest decoded picture buffer of any level."""


def unit_kind(unit: bytes) -> int:
    """nal_unit_type, section 7.3.1.2. The header has two bytes, and none stands alone."""
    if len(unit) < 3:
        raise UnreadableRecording(f"a NAL unit of {len(unit)} bytes is none of HEVC")
    return unit[0] >> 1 & 63


def unit_layer(unit: bytes) -> int:
    """nuh_layer_id: 0 but for the second view of a stereo recording, and the like."""
    return (unit[0] & 1) << 5 | unit[1] >> 3


@dataclass(frozen=True)
class SequenceSet:
    """A sequence parameter set: what the splice must match, and what only ``hvcC`` repeats."""

    vps: int
    """Id of the video parameter set that it refers to."""
    sub_layers: int
    """Temporal ones, at least 1."""
    nested: bool
    """sps_temporal_id_nesting_flag"""
    profile_tier_level: bytes
    """The general part, as it stands there: space, tier and profile; compatibility; constraints; level."""
    bit_depths: tuple[int, int]
    """Luma, chroma."""
    tree_block: int
    """Luma samples to the side of a coding tree block: 16, 32 or 64."""
    parameters: SequenceParameters
    """``constraints`` is general_tier_flag, ``level`` general_level_idc: thirty times the level."""


def _open(unit: bytes, kind: int, name: str) -> BitReader:
    """The fields behind the header of a unit that must be of ``kind``."""
    if unit_kind(unit) != kind:
        raise UnreadableRecording(f"a {name} parameter set is none")
    return BitReader(unescape(unit[2:]))


def _bounded(number: int, most: int, what: str) -> int:
    if number > most:
        raise UnreadableRecording(f"a parameter set claims {number} {what}, {most} are the most")
    return number


@lru_cache(maxsize=64)
def parse_sps(unit: bytes) -> SequenceSet:
    """Read a sequence parameter set, NAL header included (section 7.3.2.2.1)."""
    bits = _open(unit, SPS, "sequence")
    vps, sub_layers, nested = bits.u(4), _bounded(bits.u(3) + 1, _MOST_SUB_LAYERS, "sub-layers"), bits.flag()
    general = _read_profile_tier_level(bits, sub_layers)
    identifier = _bounded(bits.ue(), MOST_IDS[SPS] - 1, "as its id")
    chroma = _bounded(bits.ue(), 3, "as chroma format")
    if chroma == 3:
        bits.u(1)  # separate_colour_plane_flag
    coded_width, coded_height = bits.ue(), bits.ue()
    crop = (bits.ue(), bits.ue(), bits.ue(), bits.ue()) if bits.flag() else (0, 0, 0, 0)
    depths = (8 + _bounded(bits.ue(), 8, "extra bits"), 8 + _bounded(bits.ue(), 8, "extra bits"))
    order_bits = 4 + _bounded(bits.ue(), 12, "extra bits of picture order")
    buffered = 0
    for _ in range(sub_layers if bits.flag() else 1):
        buffered, _, _ = bits.ue(), bits.ue(), bits.ue()
    least = 3 + _bounded(bits.ue(), 3, "as least size of a coding block")
    tree_block = 1 << least + _bounded(bits.ue(), 3, "sizes of coding blocks")
    for _ in range(4):  # sizes and depths of transform blocks
        bits.ue()
    if bits.flag() and bits.flag():
        _skip_scaling_lists(bits)
    bits.u(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag():  # pcm_enabled_flag
        bits.u(8)
        bits.ue()
        bits.ue()
        bits.u(1)
    _skip_short_term_sets(bits)
    if bits.flag():
        for _ in range(_bounded(bits.ue(), _MOST_LONG_TERM, "long-term pictures")):
            bits.u(order_bits + 1)
    bits.u(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    sample_aspect, colour, chroma_location, field_sequence = None, Colour(), None, False
    if bits.flag():
        # The default display window, which some encoders leave out, and timing stand behind what is read.
        sample_aspect, colour, chroma_location = parse_vui(bits)
        bits.u(1)  # neutral_chroma_indication_flag
        field_sequence = bits.flag()
    across, down = 2 if chroma in (1, 2) else 1, 2 if chroma == 1 else 1
    width = coded_width - across * (crop[0] + crop[1])
    height = coded_height - down * (crop[2] + crop[3])
    if not (0 < width <= coded_width <= 16384 and 0 < height <= coded_height <= 16384):
        raise UnreadableRecording(f"a sequence parameter set claims pictures of {width}x{height}")
    interlaced = general[5] >> 6 == 0b01  # general_progressive_source_flag, general_interlaced_source_flag
    return SequenceSet(
        vps, sub_layers, nested, general, depths, tree_block,
        SequenceParameters(
            identifier, general[0] & 31, general[0] >> 5 & 1, general[-1], chroma, max(depths), buffered,
            width, height, crop, not (field_sequence or interlaced), sample_aspect, colour, chroma_location,
        ),
    )  # fmt: skip


def _read_profile_tier_level(bits: BitReader, sub_layers: int) -> bytes:
    """The general part of section 7.3.3; those of the sub-layers are skipped."""
    general = bits.u(_PTL_BYTES * 8).to_bytes(_PTL_BYTES, "big")
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers - 1)]
    if present:
        bits.u(2 * (8 - len(present)))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)
    return general


def _skip_scaling_lists(bits: BitReader) -> None:
    """Section 7.3.4."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not bits.flag():
                bits.ue()
            else:
                for _ in range(min(64, 16 << 2 * size) + (size > 1)):
                    bits.se()


def _skip_short_term_sets(bits: BitReader) -> None:
    """Section 7.3.7. Each set may be told by its difference from the one before it, whose pictures count."""
    deltas: list[int] = []  # picture order count, those before the picture first, nearest first
    for number in range(_bounded(bits.ue(), _MOST_SHORT_TERM_SETS, "short-term reference picture sets")):
        if number and bits.flag():
            backward = bits.flag()
            distance = bits.ue() + 1
            shift = -distance if backward else distance
            moved = []
            for delta in [*deltas, 0]:
                if bits.flag() or bits.flag():  # used_by_curr_pic_flag, or use_delta_flag
                    moved.append(delta + shift)
            before = sorted((delta for delta in moved if delta < 0), reverse=True)
            after = sorted(delta for delta in moved if delta > 0)
        else:
            negative = _bounded(bits.ue(), _MOST_PICTURES, "reference pictures")
            positive = _bounded(bits.ue(), _MOST_PICTURES, "reference pictures")
            before, after = _read_deltas(bits, negative, -1), _read_deltas(bits, positive, 1)
        deltas = before + after
        _bounded(len(deltas), 2 * _MOST_PICTURES, "reference pictures")


def _read_deltas(bits: BitReader, count: int, direction: int) -> list[int]:
    deltas = []
    delta = 0
    for _ in range(count):
        delta += direction * (bits.ue() + 1)
        bits.u(1)  # used_by_curr_pic_s0_flag or _s1_flag
        deltas.append(delta)
    return deltas


def set_identifiers(unit: bytes) -> tuple[int, int]:
    """(a parameter set's id, the id of the set that it refers to; a video parameter set's is its own)."""
    kind = unit_kind(unit)
    if kind == VPS:
        identifier = _open(unit, VPS, "video").u(4)
        return identifier, identifier
    if kind == SPS:
        sequence = parse_sps(unit)
        return sequence.parameters.identifier, sequence.vps
    bits = _open(unit, PPS, "picture")
    identifier = _bounded(bits.ue(), MOST_IDS[PPS] - 1, "as its id")
    return identifier, _bounded(bits.ue(), MOST_IDS[SPS] - 1, "as its sequence parameter set")


def with_identifiers(unit: bytes, identifier: int, refers_to: int) -> bytes:
    """A parameter set under another id, which refers to another one; see ``set_identifiers``."""
    kind = unit_kind(unit)
    bits, made = BitReader(unescape(unit[2:])), BitWriter()
    if kind == VPS:
        bits.u(4)
        made.u(identifier, 4)
    elif kind == SPS:
        bits.u(4)
        made.u(refers_to, 4)
        sub_layers = bits.u(3) + 1
        if sub_layers != 1:
            raise UnsupportedMedia(f"a sequence parameter set has {sub_layers} sub-layers")
        made.u(sub_layers - 1, 3)
        made.u(bits.u(1 + _PTL_BYTES * 8), 1 + _PTL_BYTES * 8)
        bits.ue()
        made.ue(identifier)
    else:
        bits.ue()
        bits.ue()
        made.ue(identifier)
        made.ue(refers_to)
    made.u(*bits.rest())
    return unit[:2] + escape(made.payload())


def with_profile_tier_level(unit: bytes, general: bytes) -> bytes:
    """A video or sequence parameter set that claims another profile, tier and level (12 bytes)."""
    at = _PTL_AT[unit_kind(unit)]
    raw = unescape(unit)
    return escape(raw[:at] + general + raw[at + _PTL_BYTES :])


@dataclass(frozen=True)
class HevcConfiguration:
    """The ``hvcC`` record: how samples of a track are to be decoded."""

    vps: tuple[bytes, ...]
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    length_bytes: int = 4
    """Bytes of the length before each NAL unit of a sample."""
    codec: ClassVar[str] = "hevc"
    """FFmpeg's name."""
    entry_kind: ClassVar[str] = "hvc1"
    record_kind: ClassVar[str] = "hvcC"

    sei: tuple[bytes, ...] = ()
    """Messages that hold for the whole track, such as the mastering display's colours."""

    @property
    def sequence(self) -> SequenceParameters:
        """Of the first sequence parameter set."""
        return parse_sps(self.sps[0]).parameters

    @property
    def profile_tier_level(self) -> bytes:
        """The general part, 12 bytes, of the first sequence parameter set."""
        return parse_sps(self.sps[0]).profile_tier_level

    @cached_property
    def by_identifier(self) -> dict[tuple[int, int], bytes]:
        """Each set by (NAL unit type, id)."""
        return {(unit_kind(unit), set_identifiers(unit)[0]): unit for unit in self.vps + self.sps + self.pps}

    def free_identifiers(self) -> tuple[int, int, int]:
        """Ids of a video, a sequence and a picture parameter set that none of the sets has."""
        used = self.by_identifier
        free = []
        for kind, numbers in ((VPS, range(MOST_IDS[VPS])), (SPS, range(MOST_IDS[SPS])), (PPS, PPS_IDS)):
            number = next((number for number in numbers if (kind, number) not in used), None)
            if number is None:
                raise UnsupportedMedia("its parameter sets use every id there is")
            free.append(number)
        return free[0], free[1], free[2]

    def active_sets(self, pps: int) -> tuple[bytes, ...]:
        """The sets that a picture with picture parameter set ``pps`` and those after it may refer to.

        All picture parameter sets of its sequence are among them: the next picture may use another one.
        """
        sets = self.by_identifier
        unit = sets.get((PPS, pps))
        sps = sets.get((SPS, set_identifiers(unit)[1])) if unit else None
        vps = sets.get((VPS, set_identifiers(sps)[1])) if sps else None
        if sps is None or vps is None:
            raise UnreadableRecording(f"a picture refers to parameter set {pps}, which is not there")
        sequence = set_identifiers(sps)[0]
        return vps, sps, *(one for one in self.pps if set_identifiers(one)[1] == sequence)

    def __add__(self, other: HevcConfiguration) -> HevcConfiguration:
        """Both records' sets, this one's first, none twice."""
        if clashes := [
            key for key, unit in other.by_identifier.items() if self.by_identifier.get(key, unit) != unit
        ]:
            raise UnsupportedMedia(f"two parameter sets have one id (NAL unit type, id): {clashes}")
        merged = [
            tuple(dict.fromkeys(mine + others))
            for mine, others in (
                (self.vps, other.vps), (self.sps, other.sps), (self.pps, other.pps), (self.sei, other.sei),
            )
        ]  # fmt: skip
        return HevcConfiguration(merged[0], merged[1], merged[2], self.length_bytes, merged[3])

    def pack(self) -> bytes:
        """The record, for a sample entry ``hvc1``.

        One profile, the highest tier and level, the compatibility and the constraints that all keep.
        """
        parsed = [parse_sps(unit) for unit in self.sps]
        first = parsed[0]
        flags = (1 << 80) - 1
        for one in parsed:
            flags &= int.from_bytes(one.profile_tier_level[1:11], "big")
        tier = max(one.parameters.constraints for one in parsed)
        record = bytes([1, first.profile_tier_level[0] & 0xDF | tier << 5]) + flags.to_bytes(10, "big")
        record += bytes([max(one.parameters.level for one in parsed)])
        record += struct.pack(">HB", 0xF000, 0xFC)  # neither spatial segments nor parallelism are promised
        record += bytes([0xFC | first.parameters.chroma, *(0xF8 | depth - 8 for depth in first.bit_depths)])
        layers, nested = max(one.sub_layers for one in parsed), all(one.nested for one in parsed)
        record += struct.pack(">HB", 0, layers << 3 | nested << 2 | self.length_bytes - 1)
        # hvc1 demands array_completeness of 1 for parameter sets, and 0 for all else (section 8.4.1).
        arrays = [(0x80 | VPS, self.vps), (0x80 | SPS, self.sps), (0x80 | PPS, self.pps)]
        arrays += [(PREFIX_SEI, self.sei)] if self.sei else []
        record += bytes([len(arrays)])
        for head, units in arrays:
            record += struct.pack(">BH", head, len(units))
            record += b"".join(struct.pack(">H", len(unit)) + unit for unit in units)
        return record


def collect_sets(units: Iterable[bytes], length_bytes: int = 4) -> HevcConfiguration:
    """The configuration that parameter sets among ``units`` make: for footage without a record.

    Of two sets with one id, the later one counts. Raises UnsupportedMedia where a kind is missing.
    """
    found: dict[int, dict[int, bytes]] = {VPS: {}, SPS: {}, PPS: {}}
    for unit in units:
        kind = unit_kind(unit)
        if kind in found and unit_layer(unit) == 0:
            found[kind][set_identifiers(unit)[0]] = unit
    return _complete(lambda kind: found[kind].values(), length_bytes, ())


def parse_hvcc(record: bytes | memoryview) -> HevcConfiguration:
    """Read an ``hvcC`` box's content."""
    record = bytes(record)
    units: dict[int, list[bytes]] = {}
    try:
        if record[0] > 1:  # files from before the standard was finished have 0
            raise UnreadableRecording(f"its hvcC record has version {record[0]}, not 1")
        length_bytes, arrays, at = (record[21] & 3) + 1, record[22], 23
        for _ in range(arrays):
            kind, count = record[at] & 63, struct.unpack_from(">H", record, at + 1)[0]
            at += 3
            for _ in range(count):
                (size,) = struct.unpack_from(">H", record, at)
                unit = record[at + 2 : at + 2 + size]
                if not size or len(unit) != size:
                    raise UnreadableRecording("its hvcC record is cut off")
                at += 2 + size
                if kind != unit_kind(unit):
                    raise UnreadableRecording("its hvcC record lists a NAL unit of another type than it says")
                if unit_layer(unit) == 0:
                    units.setdefault(kind, []).append(unit)
    except (IndexError, struct.error):
        raise UnreadableRecording("its hvcC record is cut off") from None
    return _complete(lambda kind: units.get(kind, ()), length_bytes, units.get(PREFIX_SEI, ()))


def _complete(
    of_kind: Callable[[int], Iterable[bytes]], length_bytes: int, sei: Iterable[bytes]
) -> HevcConfiguration:
    vps, sps, pps = (tuple(dict.fromkeys(of_kind(kind))) for kind in (VPS, SPS, PPS))
    if not (vps and sps and pps):
        missing = [name for name, units in (("video", vps), ("sequence", sps), ("picture", pps)) if not units]
        raise UnsupportedMedia(
            f"it has no {' and no '.join(missing)} parameter set where they were looked for; "
            "some recorders put them into the samples"
        )
    return HevcConfiguration(vps, sps, pps, length_bytes, tuple(sei))
