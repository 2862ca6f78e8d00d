"""Pictures made to fit a clip of other settings."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from clipline.media.fit import Canvas, Fitter

WHITE = {
    ("yuv420p", False): 235,
    ("yuvj420p", True): 255,
    ("yuv420p10le", False): 940,
    ("yuv420p10le", True): 1023,
}
"""Luma of white by (pixel format, whether the range is full)."""


def canvas(form: tuple[str, bool], width: int = 320, height: int = 180) -> Canvas:
    pixel_format, full_range = form
    return Canvas(width, height, pixel_format, Fraction(1), 0, 2, full_range)


def white(form: tuple[str, bool]) -> av.VideoFrame:
    pixel_format, full_range = form
    frame = av.VideoFrame(320, 180, pixel_format)
    wide = 2 if "10" in pixel_format else 1
    for plane, value in zip(
        frame.planes, (WHITE[form], 128 << 2 * (wide - 1), 128 << 2 * (wide - 1)), strict=True
    ):
        plane.update(value.to_bytes(wide, "little") * (plane.buffer_size // wide))
    frame.color_range = 2 if full_range else 1
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


@pytest.mark.parametrize("height", [180, 240], ids=["as it is", "framed"])
@pytest.mark.parametrize("target", WHITE, ids=str)
@pytest.mark.parametrize("source", WHITE, ids=str)
def test_white_stays_white(source: tuple[str, bool], target: tuple[str, bool], height: int) -> None:
    """Whatever ranges and depths: without conversion black would be cut off, or grey."""
    fitted = Fitter(canvas(source), canvas(target, height=height)).fit(white(source))
    assert (fitted.width, fitted.height, fitted.format.name) == (320, height, target[0])
    wide = 2 if "10" in target[0] else 1
    plane = fitted.planes[0]
    at = height // 2 * plane.line_size + 160 * wide
    luma = int.from_bytes(bytes(plane)[at : at + wide], "little")
    assert abs(luma - WHITE[target]) <= 1 << 2 * (wide - 1)
