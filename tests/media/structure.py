"""What players were found to need of a clip's file (players.md, structural checks 1 to 5, 7 and 8).

``faults`` names everything that a file lacks of it; whether its pictures are the right ones is for others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise

from media.boxes import Movie, TrackBoxes, read_avcc, walk

from clipline.media import hevc, hevc_sets
from clipline.media.bits import BitReader, unescape
from clipline.media.parameter_sets import parse_sps, pps_identifiers, split_units

_MOST_REORDERED = 16
"""Pictures that a decoder can hold back (H.264, section A.3.1: max_dec_frame_buffering)."""
_LEAST_APART = 40
"""Pictures between two keyframes of an encoded run, at the least: ten seconds at the lowest rates."""
_HEVC_SETS = {hevc_sets.VPS, hevc_sets.SPS, hevc_sets.PPS}


@dataclass(frozen=True)
class Sample:
    """A coded picture of a clip, and where it comes from."""

    data: bytes
    copied: bool
    recording: int | None
    """None: none, it is black."""


def avcc(video: TrackBoxes) -> bytes:
    """The ``avcC`` record of the one ``avc1`` entry."""
    ((kind, entry),) = video.entries
    assert kind == "avc1"
    return dict(walk(entry[78:]))["avcC"]


def faults(movie: Movie, samples: Sequence[Sample], *, hides: bool = False) -> list[str]:
    """What is wrong with a file whose video has ``samples``, in decode order.

    ``hides``: an edit list may hide pictures at the beginning (``--mode editlist``).
    """
    video = movie.video
    found = [] if movie.order == ["ftyp", "moov", "mdat"] else [f"its boxes are {movie.order}"]
    if len(video.entries) != 1:
        return [*found, f"{len(video.entries)} sample entries"]
    if len(samples) != len(video.sizes):
        return [*found, f"{len(samples)} samples are played, {len(video.sizes)} are in the table"]
    kind, entry = video.entries[0]
    boxes = dict(walk(entry[78:]))
    if kind == "avc1":
        found += _avc_faults(boxes["avcC"], entry, samples)
    elif kind == "hvc1":
        found += _hevc_faults(boxes["hvcC"], samples)
    else:
        return [*found, f"its sample entry is {kind}"]
    found += _sync_faults(video, samples, kind)
    found += _time_faults(movie, hides=hides)
    return found


def _avc_faults(record: bytes, entry: bytes, samples: Sequence[Sample]) -> Iterator[str]:
    head, sps, pps, rest = read_avcc(record)
    parsed = [parse_sps(unit) for unit in sps]
    pairs = [pps_identifiers(unit) for unit in pps]
    if len({one.identifier for one in parsed}) != len(parsed) or len(dict(pairs)) != len(pps):
        yield "parameter sets share an id"
    if {refers_to for _, refers_to in pairs} != {one.identifier for one in parsed}:
        yield f"PPSs refer to {[refers_to for _, refers_to in pairs]}, the SPSs are others"
    for one in parsed[1:]:
        if (why := one.fits(parsed[0])) is not None:
            yield f"SPS {one.identifier} differs from SPS {parsed[0].identifier}: {why}"
        if (one.profile, one.sample_aspect, one.chroma_location) != (
            parsed[0].profile, parsed[0].sample_aspect, parsed[0].chroma_location
        ):  # fmt: skip
            yield f"SPS {one.identifier} differs from SPS {parsed[0].identifier} in profile or aspect"
    common = 255
    for one in parsed:
        common &= one.constraints
    if head[0] != 1 or head[1] != parsed[0].profile or head[2] & ~common:
        yield f"avcC says {head[:4].hex()}, which not every SPS is"
    if head[3] != max(one.level for one in parsed):
        yield f"avcC says level {head[3]}, the SPSs {[one.level for one in parsed]}"
    if head[4] & 3 != 3 or len(rest) != (4 if parsed[0].profile in {100, 110, 122, 244} else 0):
        yield "avcC has other lengths than four bytes, or lacks the extension of the High profiles"
    if struct.unpack_from(">HH", entry, 24) != (parsed[0].width, parsed[0].height):
        yield "the sample entry is of another size than the SPS"
    used: dict[bool, set[int]] = {True: set(), False: set()}
    for place, sample in enumerate(samples):
        kinds = set()
        for unit in split_units(sample.data, 4):
            kinds.add(unit[0] & 31)
            if unit[0] & 31 in {1, 5}:
                used[sample.copied].add(slice_pps(unit))
        if kinds & ({7, 8} if sample.copied else {7, 8, 9}):
            yield f"sample {place} holds a parameter set or delimiter"
    yield from _pps_faults(used, set(dict(pairs)))


def _pps_faults(used: dict[bool, set[int]], known: set[int]) -> Iterator[str]:
    if unknown := (used[True] | used[False]) - known:
        yield f"slices refer to the PPSs {unknown}, which are not there"
    if both := used[True] & used[False]:
        yield f"copied and encoded pictures share the PPSs {both}"


def slice_pps(unit: bytes) -> int:
    """``pic_parameter_set_id`` of an H.264 slice (section 7.3.3)."""
    bits = BitReader(unescape(unit[1:40]))
    bits.ue()
    bits.ue()
    return bits.ue()


def _hevc_faults(record: bytes, samples: Sequence[Sample]) -> Iterator[str]:
    sets = hevc_sets.parse_hvcc(record)
    units = [*sets.vps, *sets.sps, *sets.pps]
    if len({(hevc_sets.unit_kind(unit), hevc_sets.set_identifiers(unit)[0]) for unit in units}) != len(units):
        yield "parameter sets share an id"
    if {hevc_sets.set_identifiers(unit)[1] for unit in sets.pps} != {
        hevc_sets.set_identifiers(unit)[0] for unit in sets.sps
    }:
        yield "PPSs refer to other SPSs than those there"
    parsed = [hevc_sets.parse_sps(unit).parameters for unit in sets.sps]
    for one in parsed[1:]:
        if (why := one.fits(parsed[0])) is not None:
            yield f"SPS {one.identifier} differs from SPS {parsed[0].identifier}: {why}"
    used: dict[bool, set[int]] = {True: set(), False: set()}
    before: Sample | None = None
    is_spliced = len(sets.pps) > 1
    for place, sample in enumerate(samples):
        kinds = [hevc_sets.unit_kind(unit) for unit in split_units(sample.data, 4)]
        for unit, kind in zip(split_units(sample.data, 4), kinds, strict=True):
            if kind < 32:
                used[sample.copied].add(hevc.slice_pps(unit))
        if is_spliced and begins_run(before, sample) and not set(kinds) >= _HEVC_SETS:
            yield f"sample {place} begins a run without parameter sets, which Firefox needs there"
        before = sample
    yield from _pps_faults(used, {hevc_sets.set_identifiers(unit)[0] for unit in sets.pps})


def begins_run(before: Sample | None, sample: Sample) -> bool:
    """Whether nothing that comes before ``sample`` may be needed to decode it."""
    if before is None or before.copied != sample.copied:
        return True
    return sample.copied and before.recording != sample.recording


def _can_begin(sample: bytes, kind: str) -> bool:
    """An IDR picture; in HEVC a BLA picture as well."""
    if kind == "avc1":
        return any(unit[0] & 31 == 5 for unit in split_units(sample, 4))
    return any(hevc_sets.unit_kind(unit) in range(16, 21) for unit in split_units(sample, 4))


def _sync_faults(video: TrackBoxes, samples: Sequence[Sample], kind: str) -> Iterator[str]:
    begins = [_can_begin(sample.data, kind) for sample in samples]
    listed = set(range(len(samples)) if video.sync is None else video.sync)
    if unlisted := [place for place, is_one in enumerate(begins) if is_one and place not in listed]:
        yield f"the IDR pictures {unlisted[:4]} are no sync samples"
    if false := [place for place in listed if not begins[place] and not samples[place].copied]:
        yield f"the encoded samples {false[:4]} are listed as sync samples, but no IDR pictures"
    before: Sample | None = None
    for place, sample in enumerate(samples):
        # The very first picture of an HEVC clip may be a CRA picture: nothing comes before it.
        if begins_run(before, sample) and not begins[place] and (place or kind == "avc1"):
            yield f"a run begins at sample {place}, which is no IDR picture"
        before = sample
    if any(sample.copied for sample in samples):
        places = iter(range(len(samples)))
        for copied, run in groupby(samples, lambda sample: sample.copied):
            recordings = [sample.recording for sample in run]
            idrs = sum(begins[next(places)] for _ in recordings)
            pieces = 1 + sum(1 for one, other in pairwise(recordings) if one != other)
            if not copied and idrs > pieces + len(recordings) // _LEAST_APART:
                yield f"{idrs} IDR pictures among {len(recordings)} encoded ones between copies"


def _time_faults(movie: Movie, *, hides: bool) -> Iterator[str]:
    video = movie.video
    times = video.decode_times
    if any(later <= earlier for earlier, later in pairwise(times)) or video.last_delta <= 0:
        yield "decode times do not increase"
    if min(video.offsets) < 0:
        yield "a picture is shown before it is decoded"
    if len(video.edits) != 1:
        yield f"{len(video.edits)} edits of the video"
        return
    ((edit_duration, media_time),) = video.edits
    order = [time + offset for time, offset in zip(times, video.offsets, strict=True)]
    shown = sorted(order)
    if media_time != shown[0] and not (hides and media_time in order):
        yield f"the edit list begins at {media_time}, the first picture is shown at {shown[0]}"
    rank = {time: place for place, time in enumerate(shown)}
    depth = max(place - rank[time] for place, time in enumerate(order))
    delay = sum(1 for time in times if time < shown[0])
    if delay != depth or depth > _MOST_REORDERED:
        yield f"{delay} pictures are decoded before the first is shown, reordering takes {depth}"
    end = media_time + Fraction(edit_duration * video.timescale, movie.timescale)
    if shown[-1] >= end:
        yield f"a picture is shown at {shown[-1]}, the edit list ends at {end}"
    if not movie.duration == video.movie_duration == edit_duration:
        yield f"durations: movie {movie.duration}, track {video.movie_duration}, edit {edit_duration}"
