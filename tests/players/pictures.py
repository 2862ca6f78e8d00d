"""What a browser's picture shows, compared with what FFmpeg decodes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
from av.video.reformatter import VideoReformatter
from players.cases import Clip

from clipline.media.overlay import frame_number

ACROSS, DOWN = 32, 18
"""As in page/player.js."""
_BT709, _BT601 = 1, 5
_BLACK_BELOW = 40
"""Room for noise above black; a strip has white cells."""


def number_in(row: bytes) -> int | None:
    """The frame number in a luma row through the strip; None where it is black, as a whole picture is
    that stands for a gap. Raises MediaError where it is unreadable."""
    if max(row) < _BLACK_BELOW:
        return None
    frame = av.VideoFrame(len(row), 36, "gray")
    plane = frame.planes[0]
    plane.update(row.ljust(plane.line_size, b"\0") * 36)
    return frame_number(frame)


def number(seen: dict[str, Any]) -> int | None:
    """The frame number that a browser's picture carries."""
    return number_in(base64.b64decode(seen["strip"]))


def place_at(clip: Clip, time_s: float) -> int:
    """Place of the frame that is to be shown at a media time; browsers round it to microseconds."""
    time = Fraction(time_s).limit_denominator(1_000_000) + Fraction(1, 1_000)
    return max(place for place, begin in enumerate(clip.times_s) if begin <= time)


def deviations(clip: Clip, seen: Sequence[tuple[int, dict[str, Any]]]) -> list[list[int]]:
    """For each (place, picture), by how many of 255 levels each block's red, green and blue is off.

    Of the matrices that a browser may take for an untagged clip, the one that fits all pictures best.
    """
    shown = [base64.b64decode(picture["blocks"]) for _, picture in seen]
    matrices = [_BT709] if clip.recordings[0].footage.colour_tagged else [_BT709, _BT601]
    found = []
    for matrix in matrices:
        right = [_blocks(clip.shown[place].picture, matrix) for place, _ in seen]
        found.append([[a - b for a, b in zip(*both, strict=True)] for both in zip(shown, right, strict=True)])
    return min(found, key=lambda all_of: sum(abs(level) for one in all_of for level in one))


def _blocks(frame: av.VideoFrame, matrix: int) -> bytes:
    """Mean red, green and blue of each block, row by row."""
    # Averaged before the conversion: only whole planes does swscale average without overlap.
    # By a scaler of its own: a frame keeps the one that it makes, with its threads, and a clip its frames.
    scaler = VideoReformatter()
    small = scaler.reformat(frame, ACROSS, DOWN, "yuv444p", interpolation="AREA")
    plane = scaler.reformat(small, format="rgb24", src_colorspace=matrix).planes[0]
    data = bytes(plane)
    return b"".join(data[row * plane.line_size : row * plane.line_size + ACROSS * 3] for row in range(DOWN))
