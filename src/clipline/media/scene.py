"""A moving seaside for sample footage, drawn row by row into YUV 4:2:0 without an imaging library.

    sky      clouds that drift: a panorama, each row a slice of it
    sea      swell that rolls in: each row translated by a table that moves with time
    shore    the waterline, by one long ramp from water to sand that slides up and down
    sprites  boat, surfer, gulls, lighthouse, parasols: short runs of one colour

Fast because every row is one ``bytes.translate`` or one slice, and smooth because what is expensive
is drawn small, once, and enlarged by FFmpeg's scaler.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction

import av

from clipline.contract.interval import iso
from clipline.media.overlay import strip_height, strip_row, text_rows

_Colour = tuple[int, int, int]
"""Y, Cb, Cr in the limited range of BT.709."""

_ITU709 = 1
_SEED = 20180916
_HORIZON, _SHORE, _SAND = 0.42, 0.76, 0.90
"""Rows where the sea begins, where the waterline is highest and lowest, as parts of the height."""
_PHASES = 64
_SWAY = 32
"""How far a row of sea may move sideways, pixels."""


def _colour(red: float, green: float, blue: float) -> _Colour:
    """From RGB, 0 to 255 (ITU-R BT.709, limited range)."""
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (
        round(16 + luma * 219 / 255),
        round(128 + (blue - luma) / 1.8556 * 224 / 255),
        round(128 + (red - luma) / 1.5748 * 224 / 255),
    )


def _mix(one: Sequence[float], other: Sequence[float], part: float) -> tuple[float, float, float]:
    """``part`` of ``other`` in ``one``; part 0 to 1."""
    part = min(max(part, 0.0), 1.0)
    red, green, blue = (a + (b - a) * part for a, b in zip(one, other, strict=True))
    return red, green, blue


_FOAM = (244, 248, 246)
_SHALLOW = (96, 178, 172)
_DEEP = (32, 92, 124)
_FAR = (128, 158, 172)
_WET_SAND = (158, 134, 102)
_DRY_SAND = (222, 200, 158)
_SHADOW = _colour(26, 34, 44)
_WHITE = _colour(250, 248, 240)
_RED = _colour(206, 64, 52)


class Scene:
    """Pictures of one camera. Width and height are even, at least 160 x 90 pixels."""

    def __init__(self, width: int, height: int, camera: str) -> None:
        if width < 160 or height < 90 or width % 2 or height % 2:
            raise ValueError(f"{width}x{height} pixels: expected even numbers, at least 160x90")
        self.width, self.height = width, height
        self._dice = random.Random(_SEED)
        self._text_scale = max(height // 180, 1)
        self._name = text_rows(camera, self._text_scale)
        self._horizon, self._shore, self._sand = (
            int(part * height) & ~1 for part in (_HORIZON, _SHORE, _SAND)
        )
        self._clouds_stop = int(0.27 * height) & ~1
        self._sky = self._paint_sky()
        self._base = self._still_picture()
        self._sea = [self._sea_row(row) for row in range(self._horizon, self._shore + height // 40)]
        self._ramp = self._shore_ramp()
        self._lace = self._waterline()

    def draw(self, number: int, wall_ms: Fraction | int) -> av.VideoFrame:
        """The picture of frame ``number`` at a wall time in milliseconds since the epoch."""
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        for plane, still in zip(frame.planes, self._base, strict=True):
            plane.update(still)
        picture = _Canvas(frame)
        seconds = float(Fraction(wall_ms) % 86_400_000) / 1000
        self._draw_clouds(picture, seconds)
        self._draw_sea(picture, seconds)
        self._draw_boat(picture, seconds)
        self._draw_shore(picture, seconds)
        self._draw_surfer(picture, seconds)
        self._draw_gulls(picture, seconds)
        if seconds % 4 < 0.5:
            lamp_x, lamp_y, size = self._lamp
            picture.rectangle(lamp_x - size, lamp_y - size, lamp_x + size, lamp_y + size, _colour(255, 244, 190))
        self._draw_texts(picture, number, math.floor(wall_ms))
        return frame

    # What is painted once

    def _paint_sky(self) -> Sequence[bytes]:
        """Luma and chroma planes of the sky, twice as wide as the picture, its clouds repeating."""
        wide, high = 2 * self.width // 8, self._horizon // 4
        waves = [
            (self._dice.randint(1, 9), self._dice.uniform(4, 30), self._dice.uniform(0, 7), self._dice.random())
            for _ in range(14)
        ]
        rgb = bytearray()
        for row in range(high):
            up = row / high
            air = _mix((86, 142, 200), (250, 222, 180), up**1.5)
            veil = max(0.0, 1 - abs(up - 0.28) / 0.34)
            for x in range(wide):
                angle = x * math.tau / wide
                cloud = sum(
                    math.sin(angle * across + up * down + start) * (0.4 + size) / across**0.6
                    for across, down, start, size in waves
                )
                red, green, blue = _mix(air, (252, 244, 236), (cloud - 0.35) * 0.8 * veil)
                rgb += bytes((int(red), int(green), int(blue)))
        return _enlarge(bytes(rgb), wide, high, 2 * self.width, self._horizon)

    def _still_picture(self) -> list[bytes]:
        """The planes of everything that does not move."""
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        picture = _Canvas(frame)
        width, height = self.width, self.height
        for row in range(self._horizon):
            picture.slice_row(row, [plane[:] for plane in self._sky_row(row, 0)])
        self._paint_sun(picture)
        for row in range(self._horizon, height):
            near = (row - self._sand) / (height - self._sand)
            colour = _colour(*_mix(_DRY_SAND, (198, 170, 126), near))
            picture.run(0, width, row, colour)
            if row >= self._sand and row % 2:
                for _ in range(width // 60):
                    x = self._dice.randrange(width)
                    picture.run(x, x + height // 240 + 1, row, (colour[0] - self._dice.randint(6, 18), *colour[1:]))
        self._paint_headland(picture)
        self._paint_parasols(picture)
        return [bytes(plane) for plane in frame.planes]

    def _paint_sun(self, picture: _Canvas) -> None:
        """Its glow over the lower sky, which stands still, and its disc."""
        width, height = self.width, self.height
        self._sun_x = int(width * 0.68) & ~1
        centre, radius = self._horizon - height * 0.062, height * 0.036
        top = self._clouds_stop
        wide, high = width // 8, (self._horizon - top) // 2
        rgb = bytearray()
        for row in range(high):
            y = top + row * 2
            air = _mix((86, 142, 200), (250, 222, 180), (y / self._horizon) ** 1.5)
            for column in range(wide):
                distance = math.hypot(column * 8 - self._sun_x, (y - centre) * 1.15) / height
                glow = math.exp(-((distance / 0.16) ** 1.3)) * min((y - top) / (height * 0.05), 1)
                rgb += bytes(int(part) for part in _mix(air, (255, 240, 198), glow))
        planes = _enlarge(bytes(rgb), wide, high, width, self._horizon - top)
        for row in range(top, self._horizon):
            picture.slice_row(row, _rows_of(planes, width, row - top, 0, width))
        for row in range(int(centre - radius), int(centre + radius) + 1):
            half = math.sqrt(max(radius**2 - (row - centre) ** 2, 0))
            picture.run(int(self._sun_x - half), int(self._sun_x + half), row, _colour(255, 251, 226))

    def _paint_headland(self, picture: _Canvas) -> None:
        """A cape at the left with a lighthouse on it."""
        width, height = self.width, self.height
        foot = self._horizon + height // 60
        reach = width * 0.27
        for row in range(int(self._horizon - height * 0.1), foot):
            level = (foot - row) / (height * 0.1 + height // 60)
            rough = math.sin(row * 0.9) * width * 0.003
            stop = reach * (1 - level**1.6) + rough
            picture.run(0, int(stop), row, _colour(*_mix((62, 84, 66), (112, 128, 96), level)))
        x, top, bottom = int(width * 0.085), int(self._horizon - height * 0.235), self._horizon - height * 0.075
        thick = height * 0.016
        for row in range(top, int(bottom)):
            part = (row - top) / (bottom - top)
            half = thick * (0.62 + 0.38 * part)
            stripe = _RED if int(part * 5) % 2 else _WHITE
            picture.run(int(x - half), int(x + half), row, stripe)
            picture.run(int(x + half * 0.45), int(x + half), row, (stripe[0] - 34, *stripe[1:]))
        for row in range(int(top - thick * 2.4), top):
            part = (top - row) / (thick * 2.4)
            half = thick * 0.8 if part < 0.16 else thick * 0.5 if part < 0.66 else thick * 1.6 * (1 - part)
            picture.run(int(x - half), int(x + half) + 1, row, _SHADOW)
        self._lamp = (x, int(top - thick), max(int(thick * 0.42), 1))

    def _paint_parasols(self, picture: _Canvas) -> None:
        for across, down, size, colour in (
            (0.115, 0.885, 0.062, _RED), (0.215, 0.915, 0.07, _colour(38, 120, 168)),
            (0.845, 0.895, 0.066, _colour(238, 178, 52)),
        ):  # fmt: skip
            x, y = self.width * across, self.height * down
            radius = self.height * size
            for row in range(int(y), int(y + radius * 0.9)):
                picture.run(int(x - radius * 0.04), int(x + radius * 0.04) + 1, row, _SHADOW)
            for row in range(int(y + radius * 0.86), int(y + radius * 0.98)):
                picture.run(int(x - radius * 0.1), int(x + radius * 1.3), row, _colour(150, 122, 88))
            for row in range(int(y - radius * 0.62), int(y) + 1):
                level = (y - row) / (radius * 0.62)
                half = radius * math.sqrt(max(1 - level**2, 0))
                for stripe in range(6):
                    left, right = x - half + half * stripe / 3, x - half + half * (stripe + 1) / 3
                    picture.run(int(left), int(right), row, _WHITE if stripe % 2 else colour)

    def _sea_row(self, row: int) -> tuple[bytes, bytes, Sequence[bytes], float]:
        """One row of sea: (pixels at full and at half width, profiles, where in the swell it lies).

        A pixel is ``foam << 7 | sparkle << 6 | bend``: bend is how far the crests lie off a straight line.
        """
        width, rows = self.width, self.height
        deep = (row - self._horizon) / (self._shore - self._horizon)
        dice, wide = self._dice, width + 2 * _SWAY
        pixels = bytearray()
        x = 0
        while x < wide:
            along = x / width
            bend = 9 * math.sin(along * 6.3 + 1) + 5 * math.sin(along * 17 + deep * 9) + dice.uniform(-2.2, 2.2)
            away = abs(x - _SWAY - self._sun_x) / (width * (0.035 + 0.06 * deep))
            sparkle = dice.random() < 0.62 * math.exp(-(away**2))
            patch = math.sin(along * 11 + deep * 31) + math.sin(along * 23 - deep * 47)
            foam = patch + dice.uniform(-1.6, 1.6) > 1.7 - 1.9 * deep**3
            step = 1 + int(rows * (0.004 + 0.008 * deep) * dice.uniform(0.5, 1.5))
            pixels += bytes([foam << 7 | sparkle << 6 | int(bend) % _PHASES]) * step
            x += step
        pixels = pixels[:wide]
        water = _mix(_mix(_FAR, _DEEP, deep * 2.4), _SHALLOW, (deep - 0.45) * 1.6)
        profiles = [bytearray(), bytearray(), bytearray()]
        strength = min(deep * 5, 1) * 0.9 + 0.1
        for foam, sparkle in ((0, 0), (0, 1), (1, 0), (1, 1)):
            shades = []
            for phase in range(_PHASES):
                swell = math.cos(phase * math.tau / _PHASES)
                crest = max(swell, 0) ** 3
                shade = _mix(water, _mix(water, (14, 62, 88), 0.62), -swell * 0.8 * strength)
                shade = _mix(shade, (176, 216, 214), crest * 0.42 * strength)
                if foam and swell > 0.93 - 0.75 * max(deep - 0.25, 0):
                    shade = _mix(shade, _FOAM, 0.35 + 0.6 * deep)
                if sparkle:
                    shade = _mix(shade, (255, 242, 206), 0.3 + 0.5 * max(swell, 0))
                shades.append(_colour(*shade))
            for profile, values in zip(profiles, zip(*shades, strict=True), strict=True):
                profile += bytes(values) * 2
        swell_at = 1.5 / (deep + 0.13)
        return bytes(pixels), bytes(pixels[::2]), [bytes(profile) for profile in profiles], swell_at

    def _shore_ramp(self) -> Sequence[bytes]:
        """Three ramps over the distance from the waterline: swash, foam, wet sand, dry sand."""
        colours = []
        for place in range(1024):
            from_line = (place - 512) / 128
            if from_line < -0.9:
                colour = _mix(_SHALLOW, (150, 196, 178), from_line + 2)
            elif from_line < -0.12:
                colour = _mix((150, 196, 178), (190, 206, 182), (from_line + 0.9) / 0.78)
            elif from_line < 0.1:
                colour = _mix(_FOAM, (226, 228, 214), abs(from_line) * 4)
            else:
                colour = _mix(_WET_SAND, _DRY_SAND, (from_line - 0.1) / 2.6)
            colours.append(_colour(*colour))
        return [bytes(values) for values in zip(*colours, strict=True)]

    def _waterline(self) -> tuple[bytes, bytes]:
        """How far the waterline bends at each pixel (0 to 255), twice the picture wide, at full and half width."""
        wide = 2 * self.width
        bends = bytearray()
        for x in range(wide):
            angle = x * math.tau / wide
            bend = math.sin(3 * angle) * 0.45 + math.sin(8 * angle + 2) * 0.3 + math.sin(21 * angle) * 0.12
            bends.append(int(128 + 100 * bend + self._dice.uniform(-6, 6)) & 255)
        return bytes(bends), bytes(bends[::2])

    # What moves

    def _sky_row(self, row: int, shift: int) -> list[bytes]:
        return _rows_of(self._sky, 2 * self.width, row, shift, self.width)

    def _draw_clouds(self, picture: _Canvas, seconds: float) -> None:
        shift = int(seconds * self.width / 400) * 2 % self.width
        for row in range(self._clouds_stop):
            picture.slice_row(row, self._sky_row(row, shift), skip=self._lighthouse_columns(row))

    def _draw_sea(self, picture: _Canvas, seconds: float) -> None:
        width = self.width
        first = self._horizon + self.height // 60
        for row in range(self._horizon, self._horizon + len(self._sea)):
            pixels, half_pixels, profiles, swell_at = self._sea[row - self._horizon]
            at = int((swell_at + seconds * 0.22) * _PHASES) % _PHASES
            sway = int(_SWAY * 0.5 * (1 + math.sin(seconds * 0.5 + swell_at * 3))) & ~1
            left = int(width * 0.27) & ~1 if row < first else 0
            tables = [
                profile[at : at + 64] + profile[at + 128 : at + 192] + profile[at + 256 : at + 320]
                + profile[at + 384 : at + 448]
                for profile in (profiles if row % 2 == 0 else profiles[:1])
            ]  # fmt: skip
            rows = [pixels[sway + left : sway + width].translate(tables[0])]
            for table in tables[1:]:
                rows.append(half_pixels[(sway + left) // 2 : (sway + width) // 2].translate(table))
            picture.slice_row(row, rows, left)

    def _draw_shore(self, picture: _Canvas, seconds: float) -> None:
        width, height = self.width, self.height
        line = (self._shore + self._sand) / 2 - height * 0.012
        line += height * 0.03 * math.sin(seconds * 0.9) + height * 0.008 * math.sin(seconds * 2.3)
        drift = int(seconds * width / 60) * 2 % width
        full, half = self._lace
        for row in range(self._shore + height // 60, self._sand):
            at = int(512 - 128 + (row - line) / height * 3000)
            at = min(max(at, 0), 1024 - 256)
            planes = [full[drift : drift + width].translate(self._ramp[0][at : at + 256])]
            if row % 2 == 0:
                bends = half[drift // 2 : (drift + width) // 2]
                planes += [bends.translate(ramp[at : at + 256]) for ramp in self._ramp[1:]]
            picture.slice_row(row, planes)
        return

    def _draw_boat(self, picture: _Canvas, seconds: float) -> None:
        width, height = self.width, self.height
        x = width * 0.98 - (seconds * width * 0.006) % (width * 0.66)
        y = self._horizon + height * 0.03 + math.sin(seconds * 1.1) * height * 0.0025
        tall = height * 0.11
        for step in range(int(tall)):
            part = step / tall
            row = int(y - tall + step)
            picture.run(int(x), int(x + 0.42 * tall * part), row, _WHITE)
            picture.run(int(x - 0.3 * tall * part), int(x) - 1, row, _colour(232, 226, 214))
        for step in range(int(tall * 0.12)):
            half = tall * 0.44 - step * 1.4
            picture.run(int(x - half), int(x + half), int(y + 2 + step), _colour(120, 44, 40))

    def _draw_surfer(self, picture: _Canvas, seconds: float) -> None:
        width, height = self.width, self.height
        unit = height / 240
        x = (seconds * width * 0.045) % (width * 1.2) - width * 0.1
        y = height * 0.665 + math.sin(seconds * 1.7) * height * 0.009
        lean = math.sin(seconds * 0.8) * 1.5
        for step in range(int(7 * unit)):  # the wake
            length = (30 - 3.4 * step / unit) * unit
            picture.run(int(x - 10 * unit - length), int(x - 8 * unit), int(y + step - unit), _colour(*_FOAM))
        board = _colour(246, 200, 72)
        for left, right, down, colour in (*_SURFER, (-11, 11, 0, board), (-9, 12, 1, board)):
            top, bottom = y + (down - 1) * unit, y + down * unit
            slant = lean * -down / 14
            picture.rectangle(
                int(x + (left + slant) * unit), int(top), int(x + (right + slant) * unit), int(bottom), colour
            )

    def _draw_gulls(self, picture: _Canvas, seconds: float) -> None:
        width, height = self.width, self.height
        thick = max(height // 240, 1)
        for number in range(5):
            speed = 0.018 + 0.004 * number
            x = (width * (0.21 * number + 0.1) + seconds * speed * width) % (width * 1.1) - width * 0.05
            y = height * (0.13 + 0.045 * (number * 2 % 5)) + math.sin(seconds * 0.7 + number) * height * 0.012
            span = height * (0.016 + 0.003 * (number % 3))
            flap = math.sin(seconds * (5 + number * 0.4) + number)
            for step in range(int(span)):
                part = step / span
                rise = (math.sin(part * 3.1) * 0.5 + flap * part * 0.55) * span
                for side in (-1, 1):
                    at = int(x + side * step)
                    picture.rectangle(at, int(y - rise), at + 1, int(y - rise) + thick, _SHADOW)

    def _draw_texts(self, picture: _Canvas, number: int, wall_ms: int) -> None:
        margin = 4 * self._text_scale
        picture.text(margin, margin, self._name)
        time = text_rows(iso(wall_ms).replace("T", " "), self._text_scale)
        picture.text(self.width - margin - len(time[0]), margin, time)
        row = strip_row(number, self.width)
        grey = bytes([128]) * (self.width // 2)
        for y in range(self.height - strip_height(self.height), self.height):
            picture.slice_row(y, [row, grey, grey])
