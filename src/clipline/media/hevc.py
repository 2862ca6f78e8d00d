"""HEVC samples: which picture a sample is, and what a splice rewrites in it (ITU-T H.265).

A copy may begin at any picture with random access (IRAP). Where that is a CRA picture, pictures that
follow it in the sample table but are shown before it may need pictures that the clip doesn't have:
they are left out of the copy and encoded anew, and the CRA picture becomes a BLA picture, which says so.

    decode order   ... P  P | CRA  b  b  P  P ...      shown   ... P  b  b  CRA  P  P
    clip            [encoded anew ] BLA P  P ...               [encoded anew] BLA P  P

Encoded pictures come with parameter sets of their own under ids that the source doesn't use. Firefox
needs them in the sample as well wherever decoding may begin (players.md), ``hvcC`` or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clipline.contract.errors import UnreadableRecording
from clipline.media.bits import BitReader, escape, unescape
from clipline.media.hevc_sets import (
    PPS,
    PPS_IDS,
    SPS,
    VPS,
    HevcConfiguration,
    set_identifiers,
    unit_kind,
    unit_layer,
    with_identifiers,
    with_profile_tier_level,
)
from clipline.media.parameter_sets import split_units

RADL, RASL = frozenset({6, 7}), frozenset({8, 9})
BLA, IDR, CRA = frozenset({16, 17, 18}), frozenset({19, 20}), 21
BLA_N_LP = 18
AUD = 35
"""NAL unit types, table 7-1."""

_SLICES = range(32)
_SETS = frozenset({VPS, SPS, PPS})
_MESSAGES = frozenset({39, 40})
_WITH_PRIOR_PICTURES_FLAG = range(16, 24)
"""Slices whose header has no_output_of_prior_pics_flag (section 7.3.6.1)."""


def units_of(sample: bytes, length_bytes: int) -> Iterator[tuple[int, bytes]]:
    """(NAL unit type, NAL unit) of a sample."""
    for unit in split_units(sample, length_bytes):
        yield unit_kind(unit), unit


def join_units(units: Iterable[bytes], length_bytes: int) -> bytes:
    """Inverse of ``split_units``."""
    return b"".join(len(unit).to_bytes(length_bytes, "big") + unit for unit in units)


def picture_kind(sample: bytes, length_bytes: int) -> int | None:
    """NAL unit type of a sample's first slice; all slices of a picture have the same (section 7.4.2.2)."""
    for kind, unit in units_of(sample, length_bytes):
        if kind in _SLICES and unit_layer(unit) == 0:
            return kind
    return None


def is_idr(sample: bytes, length_bytes: int) -> bool:
    return picture_kind(sample, length_bytes) in IDR


def is_cra(sample: bytes, length_bytes: int) -> bool:
    return picture_kind(sample, length_bytes) == CRA


def is_entry(sample: bytes, length_bytes: int) -> bool:
    """Whether a decoder that begins here gets every picture right that is shown from this one on.

    True for IDR, CRA and BLA pictures. What is decoded after one and shown before it (leading pictures) is
    right after an IDR picture only, whose leading pictures are RADL.
    """
    kind = picture_kind(sample, length_bytes)
    return kind == CRA or kind in IDR or kind in BLA


def is_rasl(sample: bytes, length_bytes: int) -> bool:
    """Whether it is a leading picture that may need pictures from before its CRA or BLA picture."""
    return picture_kind(sample, length_bytes) in RASL


def is_radl(sample: bytes, length_bytes: int) -> bool:
    """Whether it is a leading picture that needs only its IRAP picture and other RADL pictures."""
    return picture_kind(sample, length_bytes) in RADL


def slice_pps(unit: bytes) -> int:
    """slice_pic_parameter_set_id of a slice, NAL header included (section 7.3.6.1)."""
    bits = BitReader(unescape(unit[2:10]))
    bits.u(2 if unit_kind(unit) in _WITH_PRIOR_PICTURES_FLAG else 1)
    return bits.ue()


def splice_sample(sample: bytes, configuration: HevcConfiguration) -> bytes:
    """What a sync sample becomes that a copy begins with: ``cra_to_bla`` and ``with_sets``."""
    return with_sets(cra_to_bla(sample, configuration.length_bytes), configuration)


def cra_to_bla(sample: bytes, length_bytes: int) -> bytes:
    """A CRA picture as BLA picture without leading pictures; any other sample as it is.

    Its picture order count loses its most significant bits (section 8.3.1), those of the pictures after
    it with it, so that their distances stay. Pictures before it are shown (C.5.2.2), which of a CRA
    picture is never taken from its no_output_of_prior_pics_flag: that is cleared.
    """
    units = list(split_units(sample, length_bytes))
    changed = False
    for place, unit in enumerate(units):
        if unit_kind(unit) == CRA:
            head = bytes([unit[0] & 0x81 | BLA_N_LP << 1, unit[1]])
            if unit[2] & 0x40:
                raw = unescape(unit[2:])
                units[place] = head + escape(bytes([raw[0] & ~0x40]) + raw[1:])
            else:
                units[place] = head + unit[2:]
            changed = True
    return join_units(units, length_bytes) if changed else sample


def with_sets(sample: bytes, configuration: HevcConfiguration) -> bytes:
    """A sync sample with the parameter sets that it and its followers refer to in front.

    Sets that it carries already stay, and are not repeated. Raises UnreadableRecording where a set is
    in neither place.
    """
    length_bytes = configuration.length_bytes
    own: set[tuple[int, int]] = set()
    pps, front = None, 0
    for place, (kind, unit) in enumerate(units_of(sample, length_bytes)):
        if kind in _SETS:
            own.add((kind, set_identifiers(unit)[0]))
        elif kind in _SLICES:
            pps = slice_pps(unit)
            break
        elif kind == AUD and not place:
            front = length_bytes + len(unit)  # the delimiter is the first unit of its sample
    if pps is None:
        raise UnreadableRecording("a sync sample holds no picture")
    if (PPS, pps) in own and (PPS, pps) not in configuration.by_identifier:
        return sample
    missing = [
        unit
        for unit in configuration.active_sets(pps)
        if (unit_kind(unit), set_identifiers(unit)[0]) not in own
    ]
    return sample[:front] + join_units(missing, length_bytes) + sample[front:]


def without_sets(sample: bytes, length_bytes: int) -> bytes:
    """A sample without the parameter sets in it."""
    units = list(split_units(sample, length_bytes))
    kept = [unit for unit in units if unit_kind(unit) not in _SETS]
    return join_units(kept, length_bytes) if len(kept) < len(units) else sample


def without_messages(sample: bytes, length_bytes: int) -> bytes:
    """A sample without its supplemental enhancement information."""
    units = list(split_units(sample, length_bytes))
    kept = [unit for unit in units if unit_kind(unit) not in _MESSAGES]
    return join_units(kept, length_bytes) if len(kept) < len(units) else sample


def renumber(
    made: HevcConfiguration, samples: Iterable[bytes], taken: HevcConfiguration
) -> tuple[HevcConfiguration, list[bytes]]:
    """An encoder's sets and samples under ids that ``taken`` does not use.

    They must be one set of each kind, the picture parameter set with id 0. Profile, tier and level
    become those of ``taken``: the caller makes sure that they hold.
    """
    vps_id, sps_id, pps_id = taken.free_identifiers()
    (vps,), (sps,), (pps,) = made.vps, made.sps, made.pps
    if set_identifiers(pps)[0] != 0:
        raise ValueError("only a picture parameter set with id 0 can get another one")
    general = taken.profile_tier_level
    configuration = HevcConfiguration(
        (with_profile_tier_level(with_identifiers(vps, vps_id, vps_id), general),),
        (with_profile_tier_level(with_identifiers(sps, sps_id, vps_id), general),),
        (with_identifiers(pps, pps_id, sps_id),),
        taken.length_bytes,
        made.sei,
    )
    renumbered = [
        join_units(
            (
                _with_slice_pps(unit, pps_id) if kind in _SLICES else unit
                for kind, unit in units_of(sample, made.length_bytes)
                if kind not in _SETS
            ),
            taken.length_bytes,
        )
        for sample in samples
    ]
    return configuration, renumbered


def _with_slice_pps(unit: bytes, pps: int) -> bytes:
    """A slice of picture parameter set 0 under another id, of ``PPS_IDS``.

    Its one bit becomes nine, so the rest stays aligned and its bytes as they are; only the zeros
    around the new byte may need emulation prevention.
    """
    assert pps in PPS_IDS
    raw = unescape(unit)
    before = 2 if unit_kind(unit) in _WITH_PRIOR_PICTURES_FLAG else 1
    after = 7 - before
    if not raw[2] >> after & 1:
        raise UnreadableRecording("a slice does not refer to picture parameter set 0")
    front = raw[2] >> 8 - before << 9 | pps + 1
    return escape(raw[:2] + (front << after | raw[2] & (1 << after) - 1).to_bytes(2, "big") + raw[3:])
