"""Movie fragments: the samples that ``moof`` boxes list (ISO/IEC 14496-12, section 8.8)."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from clipline.contract.errors import MediaError, UnreadableRecording, UnsupportedMedia
from clipline.media.boxes import Box
from clipline.media.sample_table import MAX_SAMPLES, Samples, packed_times

MAX_FRAGMENT_SAMPLES = 1_000_000

_NO_SYNC = 0x0101_0000
"""Sample flags (section 8.8.3.1): it is no sync sample, or it depends on others."""


@dataclass(frozen=True)
class Defaults:
    """What holds for a track's samples where a fragment says nothing else: ``trex``, section 8.8.3."""

    description: int
    """Number of the sample description, from 1."""
    duration: int
    size: int
    flags: int


@dataclass(frozen=True, eq=False)
class Run:
    """The samples of one ``trun`` box: they lie one after the other."""

    offset: int
    """Byte offset of the first one in the file."""
    sizes: Sequence[int]
    durations: Sequence[int]
    composition: Sequence[int] | None
    """Presentation time less decode time, of each; None: they are the same."""
    sync: Sequence[int]
    """Sync samples, numbers from 0 within the run."""
    description: int
    decode_time: int | None
    """Of the first sample; None: it follows the run before it."""


@dataclass(frozen=True, eq=False)
class Fragment:
    """One ``moof``."""

    offset: int
    runs: Mapping[int, Sequence[Run]]
    """Of each track, by its identifier."""
    trouble: Mapping[int, MediaError]
    """Why what it says of a track can't be read."""

    @property
    def samples(self) -> int:
        return sum(len(run.sizes) for runs in self.runs.values() for run in runs)

    @property
    def timed(self) -> bool:
        """Whether it tells its own times, so that it can be read without the fragments before it."""
        return all(runs[0].decode_time is not None for runs in self.runs.values() if runs)


def read_defaults(moov: Box) -> dict[int, Defaults]:
    """Of each track identifier."""
    extends = moov.find("mvex")
    found: dict[int, Defaults] = {}
    for box in extends.children() if extends else ():
        if box.kind == "trex":
            track, description, duration, size, flags = box.unpack("IIIII", 4)
            found[track] = Defaults(description, duration, size, flags)
    return found


def parse_fragment(moof: Box, offset: int, defaults: Mapping[int, Defaults], size_bytes: int) -> Fragment:
    """``moof``, which stands at byte ``offset`` of the file; of the tracks in ``defaults``."""
    runs: dict[int, list[Run]] = {}
    trouble: dict[int, MediaError] = {}
    data_end = offset
    samples = 0
    for traf in moof.children():
        if traf.kind != "traf":
            continue
        header = traf.need("tfhd")
        (track,) = header.unpack("I", 4)
        if track not in defaults:
            # Its data may still be what the next track's follows.
            data_end = _skip(traf, offset, data_end)
            continue
        try:
            found, data_end = _parse_traf(traf, offset, data_end, defaults[track], size_bytes)
        except MediaError as error:
            trouble[track] = error
            continue
        if found:
            runs.setdefault(track, []).extend(found)
            samples += sum(len(run.sizes) for run in found)
        if samples > MAX_FRAGMENT_SAMPLES:
            raise UnreadableRecording(
                f"the fragment at byte {offset} claims more than {MAX_FRAGMENT_SAMPLES} samples"
            )
    return Fragment(offset, runs, trouble)


def _skip(traf: Box, moof_offset: int, data_end: int) -> int:
    try:
        return _parse_traf(traf, moof_offset, data_end, Defaults(1, 0, 0, 0), MAX_SAMPLES)[1]
    except MediaError:
        return data_end


def _parse_traf(
    traf: Box, moof_offset: int, data_end: int, defaults: Defaults, size_bytes: int
) -> tuple[list[Run], int]:
    """(runs, where the data of the last one ends). Sections 8.8.7, 8.8.8 and 8.8.12."""
    if any(child.kind in {"senc", "saiz"} for child in traf.children()):
        raise UnsupportedMedia("a fragment is encrypted; footage in the clear can be cut")
    base, defaults = _fragment_header(traf.need("tfhd"), moof_offset, data_end, defaults)
    clock: int | None = None
    time_box = traf.find("tfdt")
    if time_box is not None:
        version, _ = time_box.version_and_flags()
        (clock,) = time_box.unpack("Q" if version == 1 else "I", 4)
    at = base
    runs = []
    for box in traf.children():
        if box.kind != "trun":
            continue
        run, at = _parse_run(box, base, at, clock, defaults, size_bytes)
        if run.sizes:
            runs.append(run)
            clock = None
    return runs, at


def _fragment_header(
    header: Box, moof_offset: int, data_end: int, defaults: Defaults
) -> tuple[int, Defaults]:
    """``tfhd``, section 8.8.7: (what data offsets count from, the defaults that hold)."""
    _, flags = header.version_and_flags()
    at = 8

    def field(flag: int, layout: str, otherwise: int) -> int:
        nonlocal at
        if not flags & flag:
            return otherwise
        (value,) = header.unpack(layout, at)
        at += 8 if layout == "Q" else 4
        return value

    # Without either rule the first track counts from the moof, the others from the end of the one before.
    base = field(0x1, "Q", moof_offset if flags & 0x20000 else data_end)
    return base, Defaults(
        field(0x2, "I", defaults.description),
        field(0x8, "I", defaults.duration),
        field(0x10, "I", defaults.size),
        field(0x20, "I", defaults.flags),
    )


def _parse_run(
    box: Box, base: int, at: int, clock: int | None, defaults: Defaults, size_bytes: int
) -> tuple[Run, int]:
    """``trun``, section 8.8.8: (the run, where its data ends). ``at``: where it begins if it does not say."""
    _, flags = box.version_and_flags()
    (count,) = box.unpack("I", 4)
    where = 8
    if flags & 0x1:
        (data_offset,) = box.unpack("i", where)
        at = base + data_offset
        where += 4
    first_flags: int | None = None
    if flags & 0x4:
        (first_flags,) = box.unpack("I", where)
        where += 4
    columns = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
    sized = 0 if flags & 0x200 else count * defaults.size
    if (
        count > min(MAX_FRAGMENT_SAMPLES, size_bytes)
        or sized > size_bytes
        or (count and not columns and not sized)
    ):
        raise UnreadableRecording(
            f"a trun box claims {count} samples of {defaults.size} bytes in a file of {size_bytes} bytes"
        )
    table = box.table("I", where, count * len(columns))
    values = {flag: table[place :: len(columns)] for place, flag in enumerate(columns)}
    sizes = values.get(0x200) or [defaults.size] * count
    sample_flags = values.get(0x400)
    if sample_flags is not None:
        sync = [number for number, value in enumerate(sample_flags) if not value & _NO_SYNC]
    else:
        sync = [] if defaults.flags & _NO_SYNC else list(range(count))
    if first_flags is not None and count:
        rest = sync[1:] if sync[:1] == [0] else sync
        sync = rest if first_flags & _NO_SYNC else [0, *rest]
    # Signed in either version, as players read it; version 0 says unsigned.
    composition = array("i", values[0x800].tobytes()) if 0x800 in values else None
    if at < 0:
        raise UnreadableRecording(f"a trun box points to byte {at}")
    durations = values.get(0x100) or [defaults.duration] * count
    run = Run(at, sizes, durations, composition, sync, defaults.description, clock)
    return run, at + sum(sizes)


def join(before: Samples | None, fragments: Iterable[Fragment], track: int, size_bytes: int) -> Samples:
    """The samples of ``track`` in ``before`` (``moov``'s own) and ``fragments``, one after the other.

    Samples beyond the end of the file, where a recorder was stopped in the middle of writing, are left
    out, and what follows them. Raises what was found wrong with the track.
    """
    sizes = array("I", before.sizes if before else ())
    durations = list(before.durations) if before else []
    decode_times = list(before.decode_times) if before else []
    pts = list(before.pts) if before else []
    sync = list(range(len(sizes))) if before is None or before.sync is None else list(before.sync)
    chunk_first = list(before.chunk_first) if before else [0]
    chunk_offsets = array("Q", before.chunk_offsets if before else ())
    descriptions = set(before.descriptions if before else ())
    missing_from: int | None = None
    clock = decode_times[-1] + durations[-1] if decode_times else 0
    for fragment in fragments:
        if track in fragment.trouble:
            raise type(fragment.trouble[track])(
                f"{fragment.trouble[track]} (in the fragment at byte {fragment.offset})"
            )
        for run in fragment.runs.get(track, ()):
            begin = clock if run.decode_time is None else run.decode_time
            times = list(accumulate(run.durations, initial=begin))
            clock = times.pop()
            shown = times if run.composition is None else list(map(operator.add, times, run.composition))
            there = _samples_there(run, size_bytes) if missing_from is None else 0
            if there < len(times):
                missing_from = min(shown[there:] if missing_from is None else [missing_from, *shown])
            if not there:
                continue
            if decode_times and begin <= decode_times[-1]:
                raise UnreadableRecording(
                    f"the fragment at byte {fragment.offset} begins at tick {begin}, "
                    f"the sample before it is decoded at {decode_times[-1]}"
                )
            first = len(sizes)
            sizes.extend(run.sizes[:there])
            durations += run.durations[:there]
            decode_times += times[:there]
            pts += shown[:there]
            sync += [first + number for number in run.sync if number < there]
            chunk_first.append(len(sizes))
            chunk_offsets.append(run.offset)
            descriptions.add(run.description)
            if len(sizes) > min(MAX_SAMPLES, size_bytes):
                raise UnreadableRecording(f"its fragments claim more than {len(sizes) - there} samples")
    return Samples(
        sizes, packed_times(durations), packed_times(decode_times), packed_times(pts),
        None if len(sync) == len(sizes) else array("I", sync),
        array("I", chunk_first), chunk_offsets, frozenset(descriptions), missing_from,
    )  # fmt: skip


def _samples_there(run: Run, size_bytes: int) -> int:
    """How many samples of ``run`` lie whole in a file of ``size_bytes``."""
    if run.offset + sum(run.sizes) <= size_bytes:
        return len(run.sizes)
    ends = accumulate(run.sizes, initial=run.offset)
    next(ends)
    return sum(end <= size_bytes for end in ends)
