"""What a video track's pictures are: the configuration record of its sample entry, whichever codec it is."""

from __future__ import annotations

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.boxes import Box
from clipline.media.index import Track
from clipline.media.parameter_sets import AvcConfiguration, parse_avcc

ENTRY_FIELDS_BYTES = 78
"""Of a visual sample entry, before its boxes (ISO/IEC 14496-12, section 12.1.3)."""

VideoConfiguration = AvcConfiguration

_RECORDS = {"avc1": "avcC", "avc3": "avcC"}
"""The box of each sample entry that tells how to decode (ISO/IEC 14496-15, sections 5.4.2 and 8.4.1)."""


def configuration_record(entry: Box) -> bytes:
    """The content of the ``avcC`` box. Raises where there is none."""
    if entry.kind not in _RECORDS:
        raise UnsupportedMedia(f"its video is {entry.kind!r}; {', '.join(sorted(_RECORDS))} can be cut")
    wanted = _RECORDS[entry.kind]
    for box in entry.children(ENTRY_FIELDS_BYTES):
        if box.kind == wanted:
            return bytes(box.body)
    raise UnreadableRecording(f"its video track has no {wanted} record")


def configuration(track: Track) -> VideoConfiguration:
    """How the track's samples are to be decoded.

    Raises UnreadableRecording for a record that is none, UnsupportedMedia for one without parameter sets.
    """
    return parse_avcc(configuration_record(track.entry))


def rotation(track: Track) -> int:
    """By how many degrees, clockwise, players turn the pictures: 0, 90, 180 or 270.

    From the matrix of ``tkhd`` (ISO/IEC 14496-12, section 8.3.2); one that does more than turn counts as 0.
    """
    first, second, _, third, fourth = (
        int.from_bytes(track.header[at : at + 4], "big", signed=True) >> 16 for at in range(0, 20, 4)
    )
    return {(0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}.get((first, second, third, fourth), 0)
