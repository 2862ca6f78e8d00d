"""Where the fragments of a file lie, as far as it says so itself, so that not all need be read.

``sidx`` boxes (ISO/IEC 14496-12, section 8.16.3) tell size and duration of each subsegment, ``mfra``
(section 8.8.9), at the end of the file, the offset of fragments with sync samples. Either is taken as a
hint: whoever reads a span sees whether boxes fill it, and what times its fragments have.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from clipline.contract.errors import UnreadableRecording
from clipline.media.boxes import Box
from clipline.media.ranges import ByteSource
from clipline.media.skim import LEAST_READ_BYTES, MAX_BOX_BYTES, Place, Skimmer, load, walk

_MOST_INDEXES = 64
"""A ``sidx`` may point to others, which cost a request each."""

_MOST_LEFT_BYTES = 64 * 1024
"""What may stand behind the last subsegment that a ``sidx`` knows: ``mfra`` and the like."""


@dataclass(frozen=True)
class Span:
    """Bytes ``[start, stop)`` of a file: whole boxes, with any number of fragments among them."""

    start: int
    stop: int
    begin_s: Fraction
    """About when the first sample in it is shown, seconds of media time."""
    has_sync: bool
    """Whether it is said to begin with a sync sample."""


def find_spans(source: ByteSource, skimmer: Skimmer, start: int, tracks: Mapping[int, int]) -> list[Span]:
    """The spans that fill the file from byte ``start`` on; one, where the file says nothing.

    ``skimmer`` stands at its front. ``tracks``: the timescale of each track identifier, the one to
    look for first.
    """
    found = _from_segment_indexes(skimmer, start, tracks)
    if not found or skimmer.size_bytes - found[-1].stop > _MOST_LEFT_BYTES:
        found = _from_random_access(Skimmer(source), start, tracks) or found
    return _filling(found, start, skimmer.size_bytes)


def _filling(found: list[Span], start: int, size_bytes: int) -> list[Span]:
    """``found`` without holes: what no span covers belongs to the one before it."""
    if not found:
        return [Span(start, size_bytes, Fraction(0), True)]
    if found[0].start > start:
        found = [replace(found[0], start=start, stop=found[0].start), *found]
    stops = [following.start for _, following in pairwise(found)]
    if size_bytes - found[-1].stop > _MOST_LEFT_BYTES:
        found = [*found, replace(found[-1], start=found[-1].stop)]
        stops.append(found[-1].start)
    return [replace(span, stop=stop) for span, stop in zip(found, [*stops, size_bytes], strict=True)]


def _ascending(found: list[Span], start: int, size_bytes: int) -> bool:
    bounds = [start, *(at for span in found for at in (span.start, span.stop)), size_bytes]
    return all(a <= b for a, b in pairwise(bounds)) and all(span.start < span.stop for span in found)


def _from_segment_indexes(skimmer: Skimmer, start: int, tracks: Mapping[int, int]) -> list[Span]:
    indexes: dict[int, list[Span]] = {}
    budget = [_MOST_INDEXES]
    try:
        for place in walk(skimmer, start, skimmer.size_bytes):
            if place.kind in {"moof", "mdat"}:
                break
            if place.kind == "sidx":
                box = load(skimmer, place)
                (reference,) = box.unpack("I", 4)
                if reference not in indexes:
                    indexes[reference] = list(_subsegments(skimmer, box, place, budget))
    except UnreadableRecording:
        return []  # a hint that is wrong, as in a file that was cut off
    wanted = next((track for track in tracks if track in indexes), None)
    found = indexes.get(wanted, []) if wanted else next(iter(indexes.values()), [])
    return found if _ascending(found, start, skimmer.size_bytes) else []


def _subsegments(skimmer: Skimmer, box: Box, place: Place, budget: list[int]) -> Iterator[Span]:
    """Those of a ``sidx`` box, and of those that it points to."""
    version, _ = box.version_and_flags()
    (timescale,) = box.unpack("I", 8)
    earliest, first_offset = box.unpack("QQ" if version else "II", 12)
    at = 28 if version else 20
    (count,) = box.unpack("H", at + 2)
    offset = place.stop + first_offset
    time = earliest
    if not timescale:
        raise UnreadableRecording("a sidx box has a timescale of 0")
    numbers = box.table("I", at + 4, count * 3)
    for reference, duration, access in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        stop = offset + (reference & 0x7FFF_FFFF)
        if stop > skimmer.size_bytes or stop == offset:
            raise UnreadableRecording("a sidx box points beyond the file")
        if reference >> 31:
            budget[0] -= 1
            nested = next(walk(skimmer, offset, stop))
            if nested.kind != "sidx" or budget[0] < 0:
                raise UnreadableRecording("a sidx box points to none, or to too many")
            yield from _subsegments(skimmer, load(skimmer, nested), nested, budget)
        else:
            yield Span(offset, stop, Fraction(time, timescale), bool(access >> 31))
        offset = stop
        time += duration


def _from_random_access(skimmer: Skimmer, start: int, tracks: Mapping[int, int]) -> list[Span]:
    size_bytes = skimmer.size_bytes
    tail = min(LEAST_READ_BYTES, size_bytes - start)
    if tail < 16:
        return []
    end = skimmer.read(size_bytes - tail, tail)
    length, kind, _, whole = struct.unpack(">I4sII", end[-16:])  # mfro, section 8.8.11
    if (length, kind) != (16, b"mfro") or not 16 < whole <= min(size_bytes - start, MAX_BOX_BYTES):
        return []
    mfra_start = size_bytes - whole
    try:
        place = next(walk(skimmer, mfra_start, size_bytes))
        if place.kind != "mfra" or place.stop != size_bytes:
            return []
        tables = {box.unpack("I", 4)[0]: box for box in load(skimmer, place).children() if box.kind == "tfra"}
        wanted = next((track for track in tracks if track in tables), None)
        if wanted is None:
            return []
        times = _access_points(tables[wanted])
    except UnreadableRecording:
        return []
    offsets = [*times, mfra_start]
    found = [
        Span(offset, stop, Fraction(times[offset], tracks[wanted]), True)
        for offset, stop in pairwise(offsets)
    ]
    return found if _ascending(found, start, size_bytes) else []


def _access_points(box: Box) -> dict[int, int]:
    """``tfra``, section 8.8.10: the time, in the track's ticks, of the first entry in each fragment."""
    version, _ = box.version_and_flags()
    lengths, count = box.unpack("II", 8)
    numbers_bytes = sum((lengths >> shift & 3) + 1 for shift in (4, 2, 0))
    entry = struct.Struct(f">{'QQ' if version else 'II'}{numbers_bytes}x")
    if 16 + count * entry.size > len(box.body):
        raise UnreadableRecording(f"the tfra box promises {count} entries, it holds fewer")
    times: dict[int, int] = {}
    for time, offset in entry.iter_unpack(box.body[16 : 16 + count * entry.size]):
        times.setdefault(offset, time)
    return times
