"""Clips in GStreamer: every picture, its time and every pixel, with a decoder that is not FFmpeg's too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from players import gstreamer
from players.cases import CASES, Clip
from players.conftest import ClipOf, missing

from clipline.media.footage import video_stream

OVERWRITTEN = {"b-frames-head-and-tail", "b-frames-over-a-border", "open-group-over-a-border"}
"""Clips of which OpenH264 2.3.1 loses a picture, as it does of the same pictures in one stream of x264.

At an IDR picture it takes those that wait for their turn for free: docs/design/players.md.
"""


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
    expected = clip.numbers
    if decoder == "openh264dec" and name in OVERWRITTEN:
        begin = clip.joints[-2]
        stream = unspliced(clip, begin, tmp_path / "unspliced.264")
        alone = [gstreamer.number(picture, *size) for picture in gstreamer.decode(stream, decoder, *size)]
        expected = [*clip.numbers[:begin], *alone]
        assert len(set(clip.numbers) - set(expected)) == 1, "the allowance is not needed, or too small"
    assert numbers == expected
    right = {frame.number: gstreamer.i420(frame.picture) for frame in clip.shown}
    assert all(picture.i420 == right[at] for at, picture in zip(numbers, decoded, strict=True))
    times = [picture.time_s - decoded[0].time_s for picture in decoded]
    assert all(abs(one - other) < Fraction(1, 1000) for one, other in zip(times, clip.times_s, strict=True))


def unspliced(clip: Clip, begin: int, to: Path) -> Path:
    """A clip's pictures from ``begin`` on, as one stream of the encoder that made the recordings.

    Each picture has the type that it has in the clip: I (here IDR), P or B.
    """
    pictures = _pictures(clip.path)[begin:]
    footage = clip.recordings[0].footage
    with av.open(str(to), "w", format="h264") as container:
        options = (*footage.options, ("forced-idr", "1"))
        stream = video_stream(container, replace(footage, options=options))
        for number, picture in enumerate(pictures):
            picture.pts, picture.time_base = number, 1 / footage.frame_rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert [one.pict_type for one in _pictures(to)] == [one.pict_type for one in pictures]
    return to


def _pictures(path: Path) -> Sequence[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))
