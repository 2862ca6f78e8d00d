"""Byte streams of NAL units (ITU-T H.264, Annex B) into samples with lengths, as MP4 has them.

In MP4 the parameter sets stand once in the sample entry, and each unit of a sample follows its length
(ISO/IEC 14496-15, sections 5.3.2 and 8.3.2). Access unit delimiters say nothing there and are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from clipline.contract.errors import UnreadableRecording
from clipline.media.boxes import Box, box
from clipline.media.frame_numbers import FrameNumbers
from clipline.media.hevc_sets import collect_sets, parse_hvcc, set_identifiers, unit_kind
from clipline.media.parameter_sets import (
    PPS,
    SPS,
    AvcConfiguration,
    SequenceParameters,
    is_entry,
    is_idr,
    parse_sps,
    pps_identifiers,
    split_units,
)
from clipline.media.sample_entries import visual_entry

_DELIMITER = 9
LENGTH_BYTES = 4
"""Of the length before each unit of a sample."""
_HEVC_SETS, _HEVC_DELIMITER = range(32, 35), 35
_HEVC_ENTRIES, _HEVC_IDR = range(16, 22), range(19, 21)
"""NAL unit types of ITU-T H.265, table 7-1."""
_START_CODE = b"\0\0\1"
_SLICES = range(1, 6)
"""NAL unit types of coded slices, table 7-1."""


def split_annexb(data: bytes) -> Iterator[bytes]:
    """The NAL units of a byte stream (section B.1.1). No unit ends in a zero byte (section 7.4.1)."""
    first, *units = data.split(_START_CODE)
    if first.strip(b"\0"):
        raise UnreadableRecording("a picture does not begin with a NAL unit")
    for unit in units:
        unit = unit.rstrip(b"\0")
        if unit:
            yield unit


def join_units(units: Iterable[bytes]) -> bytes:
    """A sample: each unit after its length, 4 bytes."""
    return b"".join(part for unit in units for part in (struct.pack(">I", len(unit)), unit))


class AvcSamples:
    """Makes samples of one H.264 stream, and collects its parameter sets."""

    def __init__(self) -> None:
        self._sets: dict[tuple[int, int], bytes] = {}
        """(unit type, identifier) and the set."""
        self.changed = False
        """Whether the last picture came with another set under an identifier in use."""
        self.follows = True
        """Whether the last picture follows the one before it, as far as their frame numbers tell."""
        self._sequences: dict[int, SequenceParameters | None] = {}
        """By picture parameter set."""
        self._numbers = FrameNumbers(self._sequence_of, fields=False)

    def begin_with(self, configuration: AvcConfiguration) -> None:
        """Take the sets that the container gives."""
        for unit in (*configuration.sps, *configuration.pps):
            self._learn(unit)

    def sample(self, units: Iterable[bytes]) -> tuple[bytes, bool]:
        """(a sample of a picture's units, whether they hold a picture).

        Raises UnsupportedMedia for a field that is a picture of its own: two samples would be shown as one.
        """
        self.changed = False
        self.follows = True
        kept = []
        has_picture = False
        for unit in units:
            kind = unit[0] & 31
            if kind in (SPS, PPS):
                self._learn(unit)
            elif kind != _DELIMITER:
                kept.append(unit)
                if kind in _SLICES and not has_picture:
                    has_picture = True
                    self.follows = self._numbers.follows(unit)
        return join_units(kept), has_picture

    def _learn(self, unit: bytes) -> None:
        kind = unit[0] & 31
        key = kind, parse_sps(unit).identifier if kind == SPS else pps_identifiers(unit)[0]
        known = self._sets.get(key)
        if known == unit:
            return
        if kind == SPS and self._sets and not self._goes_with_others(unit, known):
            self._sets.clear()
            self.changed = True
        elif known is not None:
            self.changed = True
        self._sets[key] = unit
        self._sequences.clear()

    def _goes_with_others(self, unit: bytes, known: bytes | None) -> bool:
        """Whether pictures of a new sequence parameter set can stand beside those of the others."""
        others = [other for (kind, _), other in self._sets.items() if kind == SPS]
        return known is None and all(parse_sps(unit).fits(parse_sps(other)) is None for other in others)

    def _sequence_of(self, picture_set: int) -> SequenceParameters | None:
        if picture_set not in self._sequences:
            self._sequences[picture_set] = self._find_sequence(picture_set)
        return self._sequences[picture_set]

    def _find_sequence(self, picture_set: int) -> SequenceParameters | None:
        referring = self._sets.get((PPS, picture_set))
        referred = self._sets.get((SPS, pps_identifiers(referring)[1])) if referring else None
        return parse_sps(referred) if referred else None

    @property
    def ready(self) -> bool:
        """Whether there are parameter sets of both kinds."""
        return {kind for kind, _ in self._sets} == {SPS, PPS}

    @property
    def configuration(self) -> AvcConfiguration:
        """All sets of the stream, in order of their identifiers."""
        of_kind = {
            wanted: tuple(unit for (kind, _), unit in sorted(self._sets.items()) if kind == wanted)
            for wanted in (SPS, PPS)
        }
        return AvcConfiguration(of_kind[SPS], of_kind[PPS])

    def entry(self) -> tuple[Box, bytes]:
        """The sample entry, and the matrix and size of the track's header."""
        configuration = self.configuration
        sequence = configuration.sequence
        record = box("avcC", configuration.pack())
        return visual_entry("avc1", sequence.width, sequence.height, record, sequence.sample_aspect)

    def begins_group(self, sample: bytes) -> tuple[bool, bool]:
        """(whether a decoder may begin at a sample, whether it is an IDR picture)."""
        return is_entry(sample, LENGTH_BYTES), is_idr(sample, LENGTH_BYTES)


class HevcSamples:
    """The same for HEVC, whose parameter sets the container has to give: an ``hvcC`` record."""

    changed = False
    follows = True

    def __init__(self, record: bytes) -> None:
        self._sets: list[bytes] = []
        self._record = b""
        self.length_bytes = LENGTH_BYTES
        if len(record) >= 23 and record[0] <= 1 and any(record[:2]):  # a byte stream begins with zeros
            self._record = record[:21] + bytes([record[21] & 0xFC | LENGTH_BYTES - 1]) + record[22:]
            self.length_bytes = (record[21] & 3) + 1

    @property
    def has_record(self) -> bool:
        """Whether the container gave an ``hvcC`` record; otherwise units stand in a byte stream."""
        return bool(self._record)

    @property
    def ready(self) -> bool:
        """Whether the sample entry can be made."""
        return self.has_record or {unit_kind(unit) for unit in self._sets} >= set(_HEVC_SETS)

    def sample(self, units: Iterable[bytes]) -> tuple[bytes, bool]:
        """(a sample of a picture's units, whether they hold a picture)."""
        kept = []
        has_picture = False
        for unit in units:
            kind = unit[0] >> 1 & 63
            if kind in _HEVC_SETS:
                self._learn(unit)
            elif kind != _HEVC_DELIMITER:
                kept.append(unit)
                has_picture = has_picture or kind < 32
        return join_units(kept), has_picture

    def _learn(self, unit: bytes) -> None:
        if self._record:
            self.changed = self.changed or struct.pack(">H", len(unit)) + unit not in self._record
        elif unit not in self._sets:
            same = (unit_kind(unit), set_identifiers(unit)[0])
            self.changed = any((unit_kind(known), set_identifiers(known)[0]) == same for known in self._sets)
            self._sets.append(unit)

    def entry(self) -> tuple[Box, bytes]:
        """The sample entry, and the matrix and size of the track's header."""
        record = self._record or collect_sets(self._sets, LENGTH_BYTES).pack()
        sequence = parse_hvcc(record).sequence
        return visual_entry(
            "hvc1", sequence.width, sequence.height, box("hvcC", record), sequence.sample_aspect
        )

    def begins_group(self, sample: bytes) -> tuple[bool, bool]:
        """(whether a decoder may begin at a sample, whether it is an IDR picture)."""
        for unit in split_units(sample, LENGTH_BYTES):
            kind = unit[0] >> 1 & 63
            if kind < 32:
                return kind in _HEVC_ENTRIES, kind in _HEVC_IDR
        return False, False
