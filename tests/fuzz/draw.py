"""Values that break readers, and other draws."""

from __future__ import annotations

import random

from fuzz.tree import Edit

_EDGES = sorted(
    {0, 1, 2, 3}
    | {
        value
        for bits in (7, 8, 15, 16, 24, 31, 32, 33, 63, 64)
        for value in ((1 << bits) - 1, 1 << bits, (1 << bits) + 1)
    }
)


def number(dice: random.Random, old: int, length: int) -> int:
    """Another value for an unsigned field of ``length`` bytes."""
    span = 1 << 8 * length
    match dice.randrange(6):
        case 0:
            value = old + dice.choice((-1, 1))
        case 1:
            value = old ^ 1 << dice.randrange(8 * length)
        case 2:
            value = old + dice.choice((-1, 1)) * dice.choice((2, 4, 8, 188, 256, 1000, 65536))
        case 3:
            value = dice.choice((old * 2, old // 2, -old))
        case 4:
            value = dice.randrange(span)
        case _:
            value = dice.choice(_EDGES)
    return value % span


def field(dice: random.Random, data: bytes, begin: int, stop: int) -> Edit | None:
    """Another value for a number in ``[begin, stop)``, more often one near the front."""
    length = dice.choice((1, 2, 4, 4, 4, 4, 8))
    length = min(length, stop - begin)
    if length < 1:
        return None
    reach = stop - begin - length
    if dice.random() < 0.5:
        reach = min(reach, 48)
    step = min(length, 4)
    at = begin + dice.randrange(reach // step + 1) * step
    return Edit(
        at,
        length,
        number(dice, int.from_bytes(data[at : at + length], "big"), length).to_bytes(length, "big"),
    )


def junk(dice: random.Random, length: int) -> bytes:
    match dice.randrange(3):
        case 0:
            return bytes(length)
        case 1:
            return b"\xff" * length
        case _:
            return dice.randbytes(length)


def length(dice: random.Random, most: int) -> int:
    """From 1 to ``most``, more often a small one."""
    return min(max(round(2 ** dice.uniform(0, 16)), 1), max(most, 1))
