"""Clips in GStreamer: every picture, its time and every pixel, with a decoder that is not FFmpeg's too."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from players import gstreamer
from players.cases import CASES, Clip
from players.conftest import ClipOf, missing

from clipline.media.parameter_sets import is_idr

REORDERED = 2
"""Most pictures that wait for their turn in the footage of ``CASES``."""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("decoder", gstreamer.DECODERS)
def test_every_picture_is_the_one_that_ffmpeg_decodes(
    name: str, decoder: str, clip_of: ClipOf, tmp_path: Path
) -> None:
    if not gstreamer.find(decoder):
        missing(f"{decoder} of GStreamer")
    clip = clip_of(name)
    size = clip.shown[0].picture.width, clip.shown[0].picture.height
    decoded = gstreamer.decode(clip.path, decoder, *size)
    numbers = [gstreamer.number(picture, *size) for picture in decoded]
    right = {frame.number: gstreamer.i420(frame.picture) for frame in clip.shown}
    at_risk = waiting_before_a_tail(clip) if decoder == "openh264dec" else set()
    lost = [at for at in clip.numbers if at not in numbers]
    assert set(lost) <= at_risk
    assert numbers == [at for at in clip.numbers if at not in lost]
    assert all(picture.i420 == right[at] for at, picture in zip(numbers, decoded, strict=True))
    if not at_risk:
        times = [picture.time_s - decoded[0].time_s for picture in decoded]
        assert all(
            abs(one - other) < Fraction(1, 1000) for one, other in zip(times, clip.times_s, strict=True)
        )
        return
    for copied, stream in _apart(clip, tmp_path).items():
        alone = [picture.i420 for picture in gstreamer.decode(stream, decoder, *size)]
        mine = [at for at, one in zip(clip.numbers, clip.copied, strict=True) if one == copied]
        assert alone == [right[at] for at in mine]


def waiting_before_a_tail(clip: Clip) -> set[int | None]:
    """Frames that OpenH264 2.3.1 may lose: copied ones that wait for their turn when a tail begins.

    It gives up pictures that wait when an SPS with fewer reference frames comes to be used. Two streams of
    x264, the first with B-frames, the second without, lose as many: docs/design/players.md.
    """
    found: set[int | None] = set()
    for at in clip.joints:
        if clip.copied[at - 1] and not clip.copied[at] and clip.recordings[0].footage.b_frames:
            found |= set(clip.numbers[at - REORDERED : at])
    return found


def _apart(clip: Clip, directory: Path) -> dict[bool, Path]:
    """What was copied (True) and what was encoded (False), each a stream of its own."""
    with av.open(str(clip.path)) as container:
        samples = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    # Runs are closed: each takes the same places in decode order as on the screen.
    assert all(is_idr(samples[place], 4) for place in clip.joints)
    streams = {copied: directory / f"{'copied' if copied else 'encoded'}.264" for copied in (True, False)}
    for copied, stream in streams.items():
        mine = [sample for sample, one in zip(samples, clip.copied, strict=True) if one == copied]
        gstreamer.write_stream(clip.path, mine, stream)
    return streams
