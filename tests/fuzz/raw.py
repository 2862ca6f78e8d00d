"""Mutations of a file as mere bytes."""

from __future__ import annotations

import random

from fuzz import draw


def mutate_raw(dice: random.Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """Bytes changed, cut off, left out, put in, moved, or spliced with those of ``other``."""
    size = len(data)
    at = dice.randrange(size)
    length = min(draw.length(dice, size), size - at)
    match dice.randrange(8):
        case 0 | 1:
            made = bytearray(data)
            places = [dice.randrange(size) for _ in range(dice.choice((1, 2, 8, 64)))]
            for place in places:
                made[place] = dice.choice((0, 255, dice.randrange(256), made[place] ^ 1 << dice.randrange(8)))
            return bytes(made), f"bytes at {places[:4]} and so on"
        case 2:
            return data[:at], f"cut off at {at}"
        case 3:
            return data[:at] + data[at + length :], f"{length} bytes at {at} are left out"
        case 4:
            return data[:at] + draw.junk(dice, length) + data[at:], f"{length} bytes put in at {at}"
        case 5:
            return data[:at] + draw.junk(dice, length) + data[
                at + length :
            ], f"{length} bytes at {at} are others"
        case 6:
            to = dice.randrange(size - length + 1)
            block, rest = data[at : at + length], data[:at] + data[at + length :]
            return rest[:to] + block + rest[to:], f"{length} bytes at {at} go to {to}"
        case _:
            begin = dice.choice((at, dice.randrange(len(other))))
            return data[:at] + other[begin:], f"from {at} on another file's bytes from {begin} on"
