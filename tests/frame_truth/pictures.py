"""Pictures for footage by the thousand: a window that pans over a texture, with a little noise.

Drawing one takes a tenth of a millisecond. The window moves two pixels a frame, so that encoders predict
it cheaply, and a neighbouring frame shown in a picture's place differs by about 20 dB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

from clipline.media.overlay import strip_height, strip_row

Plane = NDArray[np.uint8] | NDArray[np.uint16]

_REACH = (240, 120)
"""How far the window moves across and down, pixels."""
_NOISES = 8
_CHROMA_SHIFTS = {"yuv420p": (1, 1), "yuvj420p": (1, 1), "yuv420p10le": (1, 1), "yuv422p": (1, 0)}
"""Of each pixel format: how much smaller the chroma planes are, powers of two across and down."""


@cache
def _texture(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    dice = np.random.default_rng(seed)
    shades = np.full((height, width), 128, np.float32)
    for grain, weight in ((64, 40), (16, 25), (4, 20), (2, 8)):
        coarse = dice.normal(0, weight, (height // grain + 1, width // grain + 1)).astype(np.float32)
        shades += coarse.repeat(grain, 0).repeat(grain, 1)[:height, :width]
    return np.clip(shades, 20, 230).astype(np.uint8)


@cache
def _noise(width: int, height: int) -> Sequence[NDArray[np.uint8]]:
    dice = np.random.default_rng(1)
    return [dice.integers(0, 3, (height, width), dtype=np.uint8) for _ in range(_NOISES)]


class Painter:
    """Draws the pictures of one recording."""

    def __init__(self, width: int, height: int, pixel_format: str, *, phase: int, interlaced: bool) -> None:
        """``phase``: where the window's path begins. ``interlaced``: fields half a frame apart."""
        self._width, self._height, self._pixel_format = width, height, pixel_format
        self._phase, self._interlaced = phase, interlaced
        across, down = _REACH
        self._shifts = _CHROMA_SHIFTS[pixel_format]
        wide, high = self._shifts
        self._textures = [
            _texture(width + across, height + down, 1),
            *(_texture((width + across) >> wide, (height + down) >> high, seed) for seed in (2, 3)),
        ]

    def draw(self, number: int, place: int) -> av.VideoFrame:
        """The picture that carries ``number``, the ``place``-th of its recording."""
        frame = av.VideoFrame(self._width, self._height, self._pixel_format)
        for which, plane in enumerate(frame.planes):
            pixels = self._window(which, 2 * (place + self._phase))
            if self._interlaced:
                pixels = pixels.copy()
                pixels[1::2] = self._window(which, 2 * (place + self._phase) + 1)[1::2]
            if which == 0:
                pixels = pixels + _noise(self._width, self._height)[place % _NOISES]
                rows = strip_height(self._height)
                pixels[-rows:] = np.frombuffer(strip_row(number, self._width), np.uint8)
            wide: Plane = pixels
            if "10" in self._pixel_format:
                wide = pixels.astype(np.uint16) << 2
            padded = np.zeros((pixels.shape[0], plane.line_size // wide.itemsize), wide.dtype)
            padded[:, : pixels.shape[1]] = wide
            plane.update(padded)
        return frame

    def _window(self, plane: int, step: int) -> NDArray[np.uint8]:
        """Of a plane; every step moves it by a pixel of luma across and down."""
        left, top = (_there_and_back(step, reach) for reach in _REACH)
        wide, high = self._shifts if plane else (0, 0)
        left, top = left >> wide, top >> high
        return self._textures[plane][top : top + (self._height >> high), left : left + (self._width >> wide)]


def _there_and_back(step: int, reach: int) -> int:
    return abs((step + reach) % (2 * reach) - reach)
