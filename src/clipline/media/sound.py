"""Whether audio of two recordings can stand in one track: sample entries compared for what matters."""

from __future__ import annotations

from clipline.media.boxes import Box
from clipline.media.index import Track

_ES, _DECODER_CONFIG, _DECODER_SPECIFIC = 3, 4, 5
"""Descriptor tags, ISO/IEC 14496-1, section 7.2.2.1."""


def audio_form(track: Track) -> tuple[object, ...]:
    """What a decoder is told of the audio; equal where frames of both can follow each other in one track.

    Left out is what differs from recording to recording of one camera: bit rates.
    """
    entry = track.entry
    fixed = bytes(entry.body[16:28])  # channels, sample size, sample rate (ISO/IEC 14496-12, section 12.2.3)
    details = tuple(
        _decoder_specific(child) if child.kind == "esds" else (child.kind, bytes(child.body))
        for child in entry.children(28)
        if child.kind != "btrt"
    )
    return (entry.kind, track.timescale, fixed, *details)


def _decoder_specific(esds: Box) -> tuple[object, ...]:
    """(object type, decoder specific info) of an ``esds`` box, ISO/IEC 14496-14, section 6.7.2."""
    found: tuple[object, ...] = ()
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
            found += (data[at : at + 1],)
            at += 13
        else:
            found += (data[at : at + size],) if tag == _DECODER_SPECIFIC else ()
            at += size
    return found
