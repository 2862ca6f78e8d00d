"""What every picture of sample footage carries: the wall time, the camera's name and its number.

The number stands in a strip of black and white cells along the bottom edge, ``CELLS`` to the width of
the picture whatever its size, so that it can be read from a scaled or coarsely encoded picture:

    2 dark | white black | 24 bits, highest first | CRC-8 of them | black white | 2 dark
"""

from __future__ import annotations

from functools import cache

import av

from clipline.contract.errors import MediaError

NUMBER_BITS = 24
CELLS = 40
_FIRST_CELL = 2
_START, _END = "10", "01"
_USED_CELLS = len(_START) + NUMBER_BITS + 8 + len(_END)
_BLACK, _WHITE = 16, 235
_LEAST_CONTRAST = 60
"""Between the guards' white and black; a picture without a strip rarely has it in all four cells."""

_FONT = {
    letter: bytes.fromhex(rows)
    for letter, rows in {
        " ": "00000000000000", "-": "0000000E000000", "_": "0000000000001F", ".": "00000000000C0C",
        ":": "000C0C000C0C00", "?": "0E110102040004",
        "0": "0E11131519110E", "1": "040C040404040E", "2": "0E11010204081F", "3": "1F02040201110E",
        "4": "02060A121F0202", "5": "1F101E0101110E", "6": "0608101E11110E", "7": "1F010204080808",
        "8": "0E11110E11110E", "9": "0E11110F01020C",
        "A": "0E11111F111111", "B": "1E11111E11111E", "C": "0E11101010110E", "D": "1C12111111121C",
        "E": "1F10101E10101F", "F": "1F10101E101010", "G": "0E11101711110F", "H": "1111111F111111",
        "I": "0E04040404040E", "J": "0702020202120C", "K": "11121418141211", "L": "1010101010101F",
        "M": "111B1515111111", "N": "11111915131111", "O": "0E11111111110E", "P": "1E11111E101010",
        "Q": "0E11111115120D", "R": "1E11111E141211", "S": "0F10100E01011E", "T": "1F040404040404",
        "U": "1111111111110E", "V": "11111111110A04", "W": "1111111515150A", "X": "11110A040A1111",
        "Y": "1111110A040404", "Z": "1F01020408101F",
    }.items()
}  # fmt: skip
"""Seven rows of five pixels, the lowest bit at the right."""


@cache
def _glyph_row(letter: str, row: int, scale: int) -> bytes:
    bits = _FONT.get(letter, _FONT["?"])[row]
    pixels = [_WHITE if bits >> place & 1 else _BLACK for place in (4, 3, 2, 1, 0)] + [_BLACK]
    return b"".join(bytes([pixel]) * scale for pixel in pixels)


def text_rows(text: str, scale: int) -> list[bytes]:
    """Luma rows of ``text``, white on black: 9 rows of ``6 * len(text) + 1`` pixels, times ``scale``."""
    letters = text.upper()
    edge = bytes([_BLACK]) * scale
    blank = edge * (6 * len(letters) + 1)
    rows = [blank] * scale
    for row in range(7):
        rows += [edge + b"".join(_glyph_row(letter, row, scale) for letter in letters)] * scale
    return rows + [blank] * scale


def strip_height(height: int) -> int:
    """Rows of the strip in a picture of ``height`` rows."""
    return max(height // 36, 2) & ~1


def strip_row(number: int, width: int) -> bytes:
    """One luma row of the strip. Raises ValueError for a number that 24 bits can't hold."""
    if not 0 <= number < 1 << NUMBER_BITS:
        raise ValueError(f"frame number {number} is not within 0 to {(1 << NUMBER_BITS) - 1}")
    cells = _START + f"{number:0{NUMBER_BITS}b}{_crc8(number):08b}" + _END
    cells = cells.rjust(len(cells) + _FIRST_CELL, "0").ljust(CELLS, "0")
    edges = [place * width // CELLS for place in range(CELLS + 1)]
    return b"".join(
        bytes([_WHITE if cell == "1" else _BLACK]) * (edges[place + 1] - edges[place])
        for place, cell in enumerate(cells)
    )


def frame_number(frame: av.VideoFrame) -> int:
    """The number in the strip of ``frame``, which may have been scaled and encoded since.

    Raises MediaError where there is no strip, or its check does not match.
    """
    if frame.format.name not in {"yuv420p", "yuvj420p", "gray"}:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    luma = memoryview(plane)
    rows = max(frame.height // 36, 2)
    middle = [frame.height - rows + rows * part // 4 for part in (1, 2, 3)]
    levels = []
    for cell in range(_FIRST_CELL, _FIRST_CELL + _USED_CELLS):
        left = (4 * cell + 1) * frame.width // (4 * CELLS)
        right = max((4 * cell + 3) * frame.width // (4 * CELLS), left + 1)
        pixels = [luma[row * plane.line_size + x] for row in middle for x in range(left, right)]
        levels.append(sum(pixels) / len(pixels))
    guards = [*zip(_START, levels[: len(_START)], strict=True), *zip(_END, levels[-len(_END) :], strict=True)]
    white = min(level for bit, level in guards if bit == "1")
    black = max(level for bit, level in guards if bit == "0")
    if white - black < _LEAST_CONTRAST:
        raise MediaError(f"the picture at {frame.pts} carries no strip with a frame number")
    bits = "".join("1" if level > (white + black) / 2 else "0" for level in levels)
    number, check = int(bits[2 : 2 + NUMBER_BITS], 2), int(bits[2 + NUMBER_BITS : 10 + NUMBER_BITS], 2)
    if check != _crc8(number):
        raise MediaError(
            f"the strip of the picture at {frame.pts} reads {number}, "
            f"its check is {check:#04x} and should be {_crc8(number):#04x}"
        )
    return number


@cache
def _crc8(number: int) -> int:
    """CRC-8 (polynomial 0x07) of the number's 24 bits, inverted so that an all-black strip fails."""
    register = 0xFF
    for byte in number.to_bytes(3, "big"):
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ 0x07) & 0xFF if register & 0x80 else register << 1
    return register ^ 0xFF
