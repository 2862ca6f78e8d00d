"""Rows, runs and rectangles of colour in a picture of YUV 4:2:0."""

from __future__ import annotations

import math
from collections.abc import Sequence

import av

Colour = tuple[int, int, int]
"""Y, Cb, Cr in the limited range of BT.709."""

_ITU709 = 1


def colour(red: float, green: float, blue: float) -> Colour:
    """From RGB, 0 to 255 (ITU-R BT.709, limited range)."""
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (
        round(16 + luma * 219 / 255),
        round(128 + (blue - luma) / 1.8556 * 224 / 255),
        round(128 + (red - luma) / 1.5748 * 224 / 255),
    )


def mix(one: Sequence[float], other: Sequence[float], part: float) -> tuple[float, float, float]:
    """``part`` (0 to 1) of ``other`` in ``one``; all RGB."""
    part = min(max(part, 0.0), 1.0)
    return (
        one[0] + (other[0] - one[0]) * part,
        one[1] + (other[1] - one[1]) * part,
        one[2] + (other[2] - one[2]) * part,
    )


class Canvas:
    """Draws into a ``yuv420p`` frame. What lies outside of it is left out."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self.width, self.height = frame.width, frame.height
        self._planes = [memoryview(plane) for plane in frame.planes]
        self._strides = [plane.line_size for plane in frame.planes]

    def row(self, y: int, parts: Sequence[bytes], left: int = 0) -> None:
        """Put ``parts`` (luma, and on even rows both chromas) at column ``left``, which is even."""
        start = y * self._strides[0] + left
        self._planes[0][start : start + len(parts[0])] = parts[0]
        if y % 2 == 0:
            for plane in (1, 2) if len(parts) > 1 else ():
                start = y // 2 * self._strides[plane] + left // 2
                self._planes[plane][start : start + len(parts[plane])] = parts[plane]

    def run(self, left: float, right: float, y: float, ink: Colour) -> None:
        """One row of one colour, from column ``left`` up to ``right``."""
        start, stop, row = max(int(left), 0), min(int(right), self.width), int(y)
        if start >= stop or not 0 <= row < self.height:
            return
        at = row * self._strides[0]
        self._planes[0][at + start : at + stop] = bytes([ink[0]]) * (stop - start)
        if row % 2 == 0:
            start, stop = start // 2, (stop + 1) // 2
            for plane in (1, 2):
                at = row // 2 * self._strides[plane]
                self._planes[plane][at + start : at + stop] = bytes([ink[plane]]) * (stop - start)

    def rectangle(self, left: float, top: float, right: float, bottom: float, ink: Colour) -> None:
        for y in range(math.floor(top), math.floor(bottom)):
            self.run(left, right, y, ink)

    def grey_rows(self, left: int, top: int, rows: Sequence[bytes]) -> None:
        """Luma ``rows`` without colour, cut off at the right edge; ``left`` and ``top`` are even."""
        room = self.width - left
        for y, luma in enumerate(rows, top):
            grey = bytes([128]) * ((min(len(luma), room) + 1) // 2)
            self.row(y, [luma[:room], grey, grey], left)


class Painting:
    """Planes painted small in RGB and enlarged smoothly; rows of it are put on a canvas."""

    def __init__(self, rgb: bytes, size: tuple[int, int], enlarged: tuple[int, int]) -> None:
        """``size`` and ``enlarged`` are (width, height) in pixels, ``enlarged`` even."""
        frame = av.VideoFrame(*size, "rgb24")
        stride = frame.planes[0].line_size
        row_bytes = size[0] * 3
        rows = [rgb[at : at + row_bytes].ljust(stride, b"\0") for at in range(0, len(rgb), row_bytes)]
        frame.planes[0].update(b"".join(rows))
        smooth = frame.reformat(*enlarged, "yuv420p", dst_colorspace=_ITU709, interpolation="BICUBIC")
        self._planes = [bytes(plane) for plane in smooth.planes]
        self._strides = [plane.line_size for plane in smooth.planes]

    def row(self, y: int, left: int, width: int) -> list[bytes]:
        """Luma and chroma of ``width`` pixels from column ``left`` (both even) of row ``y``."""
        parts = []
        for plane, stride, shift in zip(self._planes, self._strides, (0, 1, 1), strict=True):
            start = (y >> shift) * stride + (left >> shift)
            parts.append(plane[start : start + (width >> shift)])
        return parts
