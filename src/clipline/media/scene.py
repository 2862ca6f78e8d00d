"""A moving seaside for sample footage, drawn row by row into YUV 4:2:0 without an imaging library.

    sky      clouds that drift: a panorama, each row a slice of it
    sea      swell that rolls in: each row translated by a table that moves with time
    shore    the waterline: one ramp from water to sand that slides up and down
    sprites  boat, surfer, gulls, lighthouse, parasols: short runs of one colour

Fast because every moving row is one ``bytes.translate`` or one slice; what is painted pixel by pixel
is painted small, once, and enlarged by FFmpeg's scaler.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av

from clipline.contract.interval import iso
from clipline.media.canvas import Canvas, Painting, colour, mix
from clipline.media.overlay import strip_height, strip_row, text_rows

_SEED = 20180916
_CLOUDS_END, _HORIZON, _SHORE, _SAND = 0.24, 0.42, 0.71, 0.86
"""Down the picture, as parts of its height: where the clouds end, the sea begins, the waterline is
highest, and where the sand is always dry."""
_CAPE, _SUN = 0.27, 0.68
"""Across the picture: where the headland ends, and the sun."""
_PHASES = 64
"""Steps of one wave of the swell."""
_SWAY = 32
"""How far a row of sea may move sideways, pixels."""
_RAMP, _RAMP_STEPS = 1024, 128
_DAY_MS = 86_400_000

_AIR_TOP, _AIR_LOW, _GLOW = (86, 142, 200), (250, 222, 180), (255, 240, 198)
_FOAM, _SWASH, _SHALLOW = (244, 248, 246), (134, 190, 176), (96, 178, 172)
_DEEP, _FAR = (32, 92, 124), (128, 158, 172)
_WET_SAND, _DRY_SAND = (158, 134, 102), (222, 200, 158)
_SHADOW, _WHITE, _RED = colour(26, 34, 44), colour(250, 248, 240), colour(206, 64, 52)
_BLUE, _YELLOW, _HULL = colour(38, 120, 168), colour(238, 178, 52), colour(120, 44, 40)

_SURFER = (
    (-5, -3, 1), (4, 6, 1), (-5, -3, 2), (4, 6, 2), (-5, -2, 3), (3, 6, 3), (-4, -1, 4), (2, 5, 4),
    (-3, 4, 5), (-3, 4, 6), (-2, 3, 7), (-2, 3, 8), (-2, 3, 9), (-9, -7, 9), (-8, 4, 10), (-6, 6, 11),
    (-3, 9, 12), (7, 10, 13), (0, 2, 13), (-1, 3, 14), (-1, 3, 15), (-1, 3, 16), (0, 2, 17),
)  # fmt: skip
"""(left, right, how far up) in units of 1/300 of the height, from the middle of the board."""


@dataclass(frozen=True)
class _SeaRow:
    pixels: bytes
    """``foam << 7 | sparkle << 6 | bend``; the bend is how far crests lie off a straight line."""
    half_pixels: bytes
    """The same at half the width, for chroma."""
    profiles: Sequence[bytes]
    """For each plane, for each of the four kinds of pixel, the shades of one wave, twice."""
    swell_at: float
    """Where in the swell the row lies, waves."""


class Scene:
    """Pictures of one camera. Width and height are even, at least 160 x 90 pixels."""

    def __init__(self, width: int, height: int, camera: str) -> None:
        if width < 160 or height < 90 or width % 2 or height % 2:
            raise ValueError(f"a picture of {width}x{height} pixels: expected even numbers, at least 160x90")
        self.width, self.height = width, height
        self._dice = random.Random(_SEED)
        self._text_scale = max(height // 180, 1)
        self._name = text_rows(camera, self._text_scale)
        self._clouds_end, self._horizon, self._shore, self._sand = (
            int(part * height) & ~1 for part in (_CLOUDS_END, _HORIZON, _SHORE, _SAND)
        )
        self._sky = self._paint_sky()
        self._still = self._paint_still()
        self._sea = [self._paint_sea(row) for row in range(self._horizon, self._shore + height // 60)]
        self._ramp = _shore_ramp()
        self._lace = self._paint_waterline()

    def draw(self, number: int, wall_ms: Fraction | int) -> av.VideoFrame:
        """The picture of frame ``number`` at a wall time in milliseconds since the epoch."""
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        for plane, still in zip(frame.planes, self._still, strict=True):
            plane.update(still)
        picture = Canvas(frame)
        seconds = float(wall_ms % _DAY_MS) / 1000
        self._draw_clouds(picture, seconds)
        self._draw_sea(picture, seconds)
        self._draw_shore(picture, seconds)
        self._draw_boat(picture, seconds)
        self._draw_surfer(picture, seconds)
        self._draw_gulls(picture, seconds)
        self._draw_texts(picture, number, math.floor(wall_ms))
        return frame

    def _paint_sky(self) -> Painting:
        """A panorama twice as wide as the picture, which joins itself at its ends."""
        size = (2 * self.width // 8, self._horizon // 4)
        dice = self._dice
        waves = [
            (dice.randint(1, 9), dice.uniform(4, 30), dice.uniform(0, 7), dice.random()) for _ in range(14)
        ]
        rgb = bytearray()
        for row in range(size[1]):
            down = row / size[1]
            air = mix(_AIR_TOP, _AIR_LOW, down**1.5)
            veil = max(0.0, 1 - abs(down - 0.26) / 0.31)
            for x in range(size[0]):
                angle = x * math.tau / size[0]
                cloud = sum(
                    math.sin(angle * across + down * steep + start) * (0.4 + weight) / across**0.6
                    for across, steep, start, weight in waves
                )
                shade = mix(air, (252, 244, 236), (cloud - 0.35) * 0.8 * veil)
                rgb += bytes(map(int, shade))
        return Painting(bytes(rgb), size, (2 * self.width, self._horizon))

    def _paint_still(self) -> list[bytes]:
        """The planes of what does not move."""
        width, height, dice = self.width, self.height, self._dice
        frame = av.VideoFrame(width, height, "yuv420p")
        picture = Canvas(frame)
        for row in range(self._horizon):
            picture.row(row, self._sky.row(row, 0, width))
        self._paint_sun(picture)
        picture.rectangle(0, self._horizon, width, self._shore, colour(*_FAR))
        for row in range(self._shore, height):
            near = (row - self._sand) / (height - self._sand)
            ink = colour(*mix(_DRY_SAND, (198, 170, 126), near))
            picture.run(0, width, row, ink)
            for _ in range(width // 60 if row >= self._sand and row % 2 else 0):
                x = dice.randrange(width)
                picture.run(x, x + height // 240 + 1, row, (ink[0] - dice.randint(6, 18), *ink[1:]))
        self._paint_headland(picture)
        for across, down, size, ink in (
            (0.115, 0.9, 0.058, _RED), (0.215, 0.915, 0.06, _BLUE), (0.845, 0.905, 0.062, _YELLOW)
        ):  # fmt: skip
            self._paint_parasol(picture, width * across, height * down, height * size, ink)
        return [bytes(plane) for plane in frame.planes]

    def _paint_sun(self, picture: Canvas) -> None:
        """Its disc, and its glow over the lower sky."""
        width, height, top = self.width, self.height, self._clouds_end
        sun_x, sun_y, radius = width * _SUN, self._horizon - height * 0.062, height * 0.036
        size = (width // 8, (self._horizon - top) // 2)
        rgb = bytearray()
        for y in range(top, top + 2 * size[1], 2):
            air = mix(_AIR_TOP, _AIR_LOW, (y / self._horizon) ** 1.5)
            for x in range(0, 8 * size[0], 8):
                away = math.hypot(x - sun_x, (y - sun_y) * 1.15) / height
                glow = math.exp(-((away / 0.16) ** 1.3)) * min((y - top) / (height * 0.05), 1)
                rgb += bytes(map(int, mix(air, _GLOW, glow)))
        painting = Painting(bytes(rgb), size, (width, self._horizon - top))
        for row in range(top, self._horizon):
            picture.row(row, painting.row(row - top, 0, width))
        for row in range(int(sun_y - radius), int(sun_y + radius) + 1):
            half = math.sqrt(max(radius**2 - (row - sun_y) ** 2, 0))
            picture.run(sun_x - half, sun_x + half, row, colour(255, 251, 226))

    def _paint_headland(self, picture: Canvas) -> None:
        """A cape at the left with a lighthouse on it."""
        width, height = self.width, self.height
        foot, tall = self._horizon + height // 60, height * 0.105
        for row in range(int(foot - tall), foot):
            level = (foot - row) / tall
            end = width * _CAPE * (1 - level**1.6) + math.sin(row * 0.9) * width * 0.003
            picture.run(0, end, row, colour(*mix((62, 84, 66), (112, 128, 96), level)))
        x, thick = int(width * 0.085), height * 0.0125
        top, bottom = int(self._horizon - height * 0.15), int(self._horizon - height * 0.068)
        for row in range(top, bottom):
            part = (row - top) / (bottom - top)
            half = thick * (0.62 + 0.38 * part)
            ink = _RED if int(part * 5) % 2 else _WHITE
            picture.run(x - half, x + half, row, ink)
            picture.run(x + half * 0.45, x + half, row, (ink[0] - 34, *ink[1:]))
        for row in range(int(top - thick * 2.2), top):
            part = (top - row) / (thick * 2.2)
            half = thick * 0.9 if part < 0.16 else thick * 0.45 if part < 0.66 else thick * 1.9 * (1.1 - part)
            picture.run(x - half, x + half + 1, row, _SHADOW)

    def _paint_parasol(
        self, picture: Canvas, x: float, y: float, radius: float, ink: tuple[int, int, int]
    ) -> None:
        for row in range(int(y + radius * 0.84), int(y + radius * 0.98)):
            picture.run(x - radius * 0.1, x + radius * 1.3, row, colour(168, 142, 106))
        picture.rectangle(x - radius * 0.04, y, x + radius * 0.04 + 1, y + radius * 0.9, _SHADOW)
        for row in range(int(y - radius * 0.62), int(y) + 1):
            level = (y - row) / (radius * 0.62)
            half = radius * math.sqrt(max(1 - level**2, 0))
            for stripe in range(6):
                left = x - half + half * stripe / 3
                picture.run(left, left + half / 3 + 1, row, _WHITE if stripe % 2 else ink)

    def _paint_sea(self, row: int) -> _SeaRow:
        width, dice = self.width, self._dice
        deep = (row - self._horizon) / (self._shore - self._horizon)
        pixels = bytearray()
        while len(pixels) < width + 2 * _SWAY:
            along = (len(pixels) - _SWAY) / width
            bend = (
                9 * math.sin(along * 6.3 + 1) + 5 * math.sin(along * 17 + deep * 9) + dice.uniform(-2.2, 2.2)
            )
            away = (along - _SUN) / (0.03 + 0.05 * deep)
            sparkle = dice.random() < 0.62 * math.exp(-(away**2))
            patch = (
                math.sin(along * 11 + deep * 31) + math.sin(along * 23 - deep * 47) + dice.uniform(-1.6, 1.6)
            )
            foam = patch > 1.7 - 1.9 * deep**3
            length = 1 + int(self.height * (0.004 + 0.008 * deep) * dice.uniform(0.5, 1.5))
            pixels += bytes([foam << 7 | sparkle << 6 | int(bend) % _PHASES]) * length
        profiles = [bytearray(), bytearray(), bytearray()]
        for kind in range(4):
            shades = [_sea_shade(deep, phase, kind & 2 > 0, kind & 1 > 0) for phase in range(_PHASES)]
            for profile, values in zip(profiles, zip(*shades, strict=True), strict=True):
                profile += bytes(values) * 2
        return _SeaRow(
            bytes(pixels), bytes(pixels[::2]), [bytes(one) for one in profiles], 1.5 / (deep + 0.13)
        )

    def _paint_waterline(self) -> tuple[bytes, bytes]:
        """How far the waterline bends at each pixel (0 to 255), twice the width and joining itself; and
        at half that width."""
        wide = 2 * self.width
        bends = bytearray()
        for x in range(wide):
            angle = x * math.tau / wide
            bend = math.sin(3 * angle) * 0.45 + math.sin(8 * angle + 2) * 0.3 + math.sin(21 * angle) * 0.12
            bends.append(int(128 + 100 * bend + self._dice.uniform(-6, 6)))
        return bytes(bends), bytes(bends[::2])

    def _draw_clouds(self, picture: Canvas, seconds: float) -> None:
        shift = int(seconds * self.width / 400) * 2 % self.width
        for row in range(self._clouds_end):
            picture.row(row, self._sky.row(row, shift, self.width))

    def _draw_sea(self, picture: Canvas, seconds: float) -> None:
        width = self.width
        for row, sea in enumerate(self._sea, self._horizon):
            at = int((sea.swell_at + seconds * 0.22) * _PHASES) % _PHASES
            sway = int(_SWAY * 0.5 * (1 + math.sin(seconds * 0.5 + sea.swell_at * 3))) & ~1
            left = int(width * _CAPE) & ~1 if row < self._horizon + self.height // 60 else 0
            tables = [
                profile[at : at + 64] + profile[at + 128 : at + 192]
                + profile[at + 256 : at + 320] + profile[at + 384 : at + 448]
                for profile in sea.profiles
            ]  # fmt: skip
            parts = [sea.pixels[sway + left : sway + width].translate(tables[0])]
            if row % 2 == 0:
                half = sea.half_pixels[(sway + left) // 2 : (sway + width) // 2]
                parts += [half.translate(table) for table in tables[1:]]
            picture.row(row, parts, left)

    def _draw_shore(self, picture: Canvas, seconds: float) -> None:
        width, height = self.width, self.height
        line = (self._shore + self._sand) / 2 - height * 0.012
        line += height * (0.03 * math.sin(seconds * 0.9) + 0.008 * math.sin(seconds * 2.3))
        drift = int(seconds * width / 60) * 2 % width
        full, half = self._lace[0][drift : drift + width], self._lace[1][drift // 2 : (drift + width) // 2]
        for row in range(self._shore + height // 60, self._sand):
            at = int((_RAMP - _RAMP_STEPS * 2) / 2 + (row - line) / height * 4000)
            at = min(max(at, 0), _RAMP - 256)
            parts = [full.translate(self._ramp[0][at : at + 256])]
            if row % 2 == 0:
                parts += [half.translate(ramp[at : at + 256]) for ramp in self._ramp[1:]]
            picture.row(row, parts)

    def _draw_boat(self, picture: Canvas, seconds: float) -> None:
        x = self.width * (0.98 - seconds * 0.006 % 0.66)
        y = self._horizon + self.height * (0.03 + 0.0025 * math.sin(seconds * 1.1))
        tall = self.height * 0.11
        for step in range(int(tall)):
            part = step / tall
            picture.run(x, x + 0.42 * tall * part, y - tall + step, _WHITE)
            picture.run(x - 0.3 * tall * part, x - 1, y - tall + step, colour(226, 218, 204))
        for step in range(int(tall * 0.12)):
            half = tall * 0.44 - step * 1.4
            picture.run(x - half, x + half, y + 2 + step, _HULL)

    def _draw_surfer(self, picture: Canvas, seconds: float) -> None:
        unit = self.height / 300
        x = self.width * (seconds * 0.045 % 1.2 - 0.1)
        y = self.height * (0.61 + 0.009 * math.sin(seconds * 1.7))
        lean = 0.1 * math.sin(seconds * 0.8)
        for step in range(int(6 * unit)):
            length = (34 - 5 * step / unit) * unit
            picture.run(x - 9 * unit - length, x - 8 * unit, y + step - unit, colour(*_FOAM))
        for left, right, up in _SURFER:
            middle, foot = x + lean * up * unit, y - up * unit
            picture.rectangle(middle + left * unit, foot - unit, middle + right * unit, foot, _SHADOW)
        picture.rectangle(x - 12 * unit, y - unit, x + 12 * unit, y, _YELLOW)
        picture.rectangle(x - 10 * unit, y, x + 14 * unit, y + unit, _YELLOW)

    def _draw_gulls(self, picture: Canvas, seconds: float) -> None:
        width, height = self.width, self.height
        thick = max(height // 240, 1)
        for number in range(5):
            x = width * ((0.21 * number + 0.1 + seconds * (0.018 + 0.004 * number)) % 1.1 - 0.05)
            y = height * (0.13 + 0.045 * (number * 2 % 5) + 0.012 * math.sin(seconds * 0.7 + number))
            span = height * (0.016 + 0.003 * (number % 3))
            flap = math.sin(seconds * (5 + number * 0.4) + number)
            for step in range(0, int(span), 2):
                part = step / span
                wing_y = y - (math.sin(part * 3.1) * 0.5 + flap * part * 0.55) * span
                for wing_x in (x - step, x + step):
                    picture.rectangle(wing_x, wing_y, wing_x + 2, wing_y + thick, _SHADOW)

    def _draw_texts(self, picture: Canvas, number: int, wall_ms: int) -> None:
        margin = 4 * self._text_scale
        picture.grey_rows(margin, margin, self._name)
        time = text_rows(iso(wall_ms).replace("T", " "), self._text_scale)
        picture.grey_rows((self.width - margin - len(time[0])) & ~1, margin, time)
        rows = strip_height(self.height)
        picture.grey_rows(0, self.height - rows, [strip_row(number, self.width)] * rows)


def _sea_shade(deep: float, phase: int, foam: bool, sparkle: bool) -> tuple[int, int, int]:
    """``deep``: 0 at the horizon, 1 at the shore; ``phase`` of the wave, 0 at its crest."""
    swell = math.cos(phase * math.tau / _PHASES)
    strength = min(deep * 5, 1) * 0.9 + 0.1
    water = mix(mix(_FAR, _DEEP, deep * 2.4), _SHALLOW, (deep - 0.45) * 1.6)
    shade = mix(water, mix(water, (14, 62, 88), 0.62), -swell * 0.8 * strength)
    shade = mix(shade, (176, 216, 214), max(swell, 0) ** 3 * 0.42 * strength)
    if foam and swell > 0.93 - 0.75 * max(deep - 0.25, 0):
        shade = mix(shade, _FOAM, 0.35 + 0.6 * deep)
    if sparkle:
        shade = mix(shade, (255, 242, 206), 0.3 + 0.5 * max(swell, 0))
    return colour(*mix(shade, _SWASH, (deep - 0.8) * 4))


def _shore_ramp() -> Sequence[bytes]:
    """For each plane the shades from the swash over foam and wet sand to dry sand."""
    colours = []
    for place in range(_RAMP):
        off = (place - _RAMP / 2) / _RAMP_STEPS
        if off < -0.9:
            shade = mix(_SWASH, (160, 200, 180), off + 2)
        elif off < -0.12:
            shade = mix((160, 200, 180), (190, 206, 182), (off + 0.9) / 0.78)
        elif off < 0.1:
            shade = mix(_FOAM, (226, 228, 214), abs(off) * 4)
        else:
            shade = mix(_WET_SAND, _DRY_SAND, (off - 0.1) / 1.7)
        colours.append(colour(*shade))
    return [bytes(values) for values in zip(*colours, strict=True)]
