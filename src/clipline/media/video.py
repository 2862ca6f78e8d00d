"""What a video track's pictures are: the configuration record of its sample entry, whichever codec it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.boxes import Box, box
from clipline.media.hevc_sets import HevcConfiguration, collect_sets, parse_hvcc
from clipline.media.hevc_video import HevcVideo, hevc_video
from clipline.media.index import Track
from clipline.media.parameter_sets import AvcConfiguration, collect_avc_sets, parse_avcc, split_units

ENTRY_FIELDS_BYTES = 78
"""Of a visual sample entry, before its boxes (ISO/IEC 14496-12, section 12.1.3)."""

VideoSets = AvcConfiguration | HevcConfiguration
VideoConfiguration = AvcConfiguration | HevcVideo

_RECORDS = {"avc1": "avcC", "avc3": "avcC", "hvc1": "hvcC", "hev1": "hvcC"}
"""The box of each sample entry that tells how to decode (ISO/IEC 14496-15, sections 5.4.2 and 8.4.1)."""


def configuration_record(entry: Box) -> bytes:
    """The content of the ``avcC`` or ``hvcC`` box. Raises where there is none."""
    if entry.kind not in _RECORDS:
        raise UnsupportedMedia(f"its video is {entry.kind!r}; {', '.join(sorted(_RECORDS))} can be cut")
    wanted = _RECORDS[entry.kind]
    for child in entry.children(ENTRY_FIELDS_BYTES):
        if child.kind == wanted:
            return bytes(child.body)
    raise UnreadableRecording(f"its video track has no {wanted} record")


def configuration(track: Track) -> VideoConfiguration:
    """How the track's samples are to be decoded.

    Raises UnreadableRecording for a record that is none, UnsupportedMedia for one without parameter sets.
    """
    return _parse(_RECORDS.get(track.entry.kind, ""), configuration_record(track.entry))


@lru_cache(maxsize=64)
def _parse(kind: str, record: bytes) -> VideoConfiguration:
    return parse_avcc(record) if kind == "avcC" else hevc_video(parse_hvcc(record))


def with_described_sets(track: Track, read: Callable[[int], bytes]) -> Track:
    """The track, its sample entry completed by the parameter sets of its first keyframe where it has none.

    Entries ``avc3`` and ``hev1`` may leave them to the samples (ISO/IEC 14496-15, sections 5.4.2, 8.4.1).
    """
    try:
        configuration(track)
    except UnsupportedMedia:
        if track.entry.kind not in ("avc3", "hev1"):
            raise
    else:
        return track
    record = configuration_record(track.entry)
    first = 0 if track.sync is None or not track.sync else track.sync[0]
    length_bytes = (record[4 if track.entry.kind == "avc3" else 21] & 3) + 1
    units = list(split_units(read(first), length_bytes))
    sets: VideoSets
    if track.entry.kind == "avc3":
        sets = collect_avc_sets(units, length_bytes)
    else:
        sets = collect_sets(units, length_bytes)
    kept = bytes(track.entry.body[:ENTRY_FIELDS_BYTES])
    entry = Box(track.entry.kind, memoryview(kept + box(sets.record_kind, sets.pack())))
    return replace(track, entry=entry)


def within_pixels(track: Track, most: int) -> Track:
    """The track, to be decoded up to ``most`` pixels a picture.

    Raises UnsupportedMedia where any of its parameter sets announces more: before a decoder sees them.
    """
    sets = configuration(track)
    for unit in sets.sps:
        sequence = replace(sets, sps=(unit,)).sequence
        if sequence.width * sequence.height > most:
            raise UnsupportedMedia(
                f"its pictures of {sequence.width}x{sequence.height} have more than {most} pixels",
                hint="MEDIA_PIXEL_LIMIT",
            )
    return replace(track, most_pixels=most)


def rotation(track: Track) -> int:
    """By how many degrees, clockwise, players turn the pictures: 0, 90, 180 or 270.

    From the matrix of ``tkhd`` (ISO/IEC 14496-12, section 8.3.2); one that does more than turn counts as 0.
    """
    first, second, _, third, fourth = (
        int.from_bytes(track.header[at : at + 4], "big", signed=True) >> 16 for at in range(0, 20, 4)
    )
    return {(0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}.get((first, second, third, fourth), 0)
