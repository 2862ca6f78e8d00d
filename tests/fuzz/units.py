"""Mutations of NAL units: of the pictures, and of the parameter sets wherever they stand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from fuzz import draw
from fuzz.carriers import Carrier, Fit

Units = list[bytes]
_SETS = {"h264": {7, 8}, "hevc": {32, 33, 34}}


def split(picture: bytes, length_bytes: int) -> Units:
    """The NAL units of a sound picture."""
    if not length_bytes:
        return [unit.rstrip(b"\0") for unit in picture.split(b"\0\0\1")[1:]]
    units, at = [], 0
    while at < len(picture):
        size = int.from_bytes(picture[at : at + length_bytes], "big")
        units.append(picture[at + length_bytes : at + length_bytes + size])
        at += length_bytes + size
    return units


def join(units: Sequence[bytes], length_bytes: int) -> bytes:
    """Inverse of ``split``."""
    if not length_bytes:
        return b"".join(b"\0\0\0\1" + unit for unit in units)
    return b"".join(
        (len(unit) % (1 << 8 * length_bytes)).to_bytes(length_bytes, "big") + unit for unit in units
    )


def kind(unit: bytes, codec: str) -> int:
    """nal_unit_type"""
    if not unit:
        return -1
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def _flipped(dice: random.Random, unit: bytes, begin: int, stop: int, bits: int) -> bytes:
    made = bytearray(unit)
    for _ in range(bits):
        made[dice.randrange(begin, max(min(stop, len(unit)), begin + 1))] ^= 1 << dice.randrange(8)
    return bytes(made)


def _head(dice: random.Random, unit: bytes, codec: str) -> tuple[bytes, str]:
    return _flipped(dice, unit, 0, 1 if codec == "h264" else 2, 1), "a bit of its header"


def _retype(dice: random.Random, unit: bytes, codec: str) -> tuple[bytes, str]:
    if codec == "h264":
        wanted = dice.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 19, 20, 24, 31))
        return bytes([unit[0] & 0xE0 | wanted]) + unit[1:], f"type {wanted}"
    wanted = dice.choice(
        (0, 1, 5, 6, 7, 8, 9, 16, 17, 18, 19, 20, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 39, 40, 63)
    )
    return bytes([unit[0] & 0x81 | wanted << 1]) + unit[1:], f"type {wanted}"


def _slice_header(dice: random.Random, unit: bytes, codec: str) -> tuple[bytes, str]:
    begin = 1 if codec == "h264" else 2
    return _flipped(dice, unit, begin, begin + 6, dice.choice((1, 1, 2))), "bits behind its header"


def _payload(dice: random.Random, unit: bytes, codec: str) -> tuple[bytes, str]:
    return _flipped(
        dice, unit, min(8, len(unit) - 1), len(unit), dice.choice((1, 2, 16))
    ), "bits of its payload"


def _zeroed(dice: random.Random, unit: bytes, codec: str) -> tuple[bytes, str]:
    begin = dice.randrange(1, max(len(unit), 2))
    length = draw.length(dice, len(unit) - begin)
    return unit[:begin] + draw.junk(dice, length) + unit[begin + length :], f"{length} bytes from {begin} on"


def _shorter(dice: random.Random, unit: bytes, codec: str) -> tuple[bytes, str]:
    gone = draw.length(dice, len(unit))
    return unit[:-gone], f"without its last {gone} bytes"


def _longer(dice: random.Random, unit: bytes, codec: str) -> tuple[bytes, str]:
    more = draw.length(dice, 70_000)
    return unit + draw.junk(dice, more), f"{more} bytes longer"


def _codes(dice: random.Random, unit: bytes, codec: str) -> tuple[bytes, str]:
    """Start codes, or bytes that look like emulation prevention, in the middle."""
    at = dice.randrange(len(unit))
    more = dice.choice((b"\0\0\1", b"\0\0\0\1", b"\0\0\3", b"\0\0\3\0\0\3", b"\0\0\0", b"\0\0\1" + unit[:2]))
    return unit[:at] + more + unit[at:], f"{more.hex()} at {at}"


_ONE: dict[Callable[[random.Random, bytes, str], tuple[bytes, str]], int] = {
    _head: 2, _retype: 3, _slice_header: 5, _payload: 4, _zeroed: 2, _shorter: 2, _longer: 1, _codes: 1,
}  # fmt: skip
"""Changes of a single unit, and how often each is drawn."""


def _change_one(dice: random.Random, units: Units, codec: str) -> str:
    places = [place for place, unit in enumerate(units) if unit]
    sets = [place for place in places if kind(units[place], codec) in _SETS[codec]]
    if not places:
        return ""
    place = dice.choice(sets if sets and dice.random() < 0.4 else places)
    change = dice.choices(list(_ONE), list(_ONE.values()))[0]
    name = f"unit {place} of type {kind(units[place], codec)}"
    units[place], told = change(dice, units[place], codec)
    return f"{name}: {told}"


def _order(dice: random.Random, units: Units, others: Sequence[bytes], codec: str) -> str:
    """A unit dropped, repeated, moved, put in from elsewhere, or exchanged."""
    place = dice.randrange(len(units)) if units else 0
    match dice.randrange(6 if units else 1):
        case 0:
            other = dice.choice(others)
            units.insert(place, other)
            return f"a unit of type {kind(other, codec)} from elsewhere before unit {place}"
        case 1:
            del units[place]
            return f"unit {place} is dropped"
        case 2:
            times = dice.choice((1, 1, 3, 200))
            units[place:place] = [units[place]] * (times if len(units[place]) < 2000 else 1)
            return f"unit {place} is repeated"
        case 3:
            dice.shuffle(units)
            return "units are shuffled"
        case 4:
            more = dice.choice(
                (
                    b"\x09\xf0",
                    b"\x0a",
                    b"\x0c\xff\x80",
                    b"\x46\x01\x50",
                    b"\x4a\x01\x80",
                    b"\x00",
                    b"\x06",
                    b"",
                )
            )
            units.insert(dice.choice((0, place, len(units))), more)
            return f"a unit {more.hex()!r} is put in"
        case _:
            other = dice.choice(others)
            units[place] = other
            return f"unit {place} becomes one of type {kind(other, codec)} from elsewhere"


def _lengths(dice: random.Random, picture: bytes, length_bytes: int) -> tuple[bytes, str]:
    """Wrong lengths before units, or other start codes."""
    units = split(picture, length_bytes)
    if not length_bytes:
        codes = [b"\0\0\0\1", b"\0\0\1", b"\0\0\0\0\0\1", b"", b"\0\0", b"\0\0\2"]
        return b"".join(dice.choice(codes) + unit for unit in units), "other start codes"
    place = dice.randrange(len(units))
    at = sum(length_bytes + len(unit) for unit in units[:place])
    old = len(units[place])
    new = dice.choice(
        (0, 1, old - 1, old + 1, old + length_bytes, old // 2, 1 << 16, (1 << 31) - 1, (1 << 32) - 1)
    )
    new %= 1 << 8 * length_bytes
    made = picture[:at] + new.to_bytes(length_bytes, "big") + picture[at + length_bytes :]
    return made, f"unit {place} claims {new} bytes instead of {old}"


def _record(dice: random.Random, record: bytes) -> tuple[bytes, str]:
    """Of ``avcC`` or ``hvcC``."""
    made = bytearray(record)
    match dice.randrange(6):
        case 0:
            at = dice.randrange(min(len(record), 28))
            made[at] = draw.number(dice, made[at], 1)
            return bytes(made), f"record: byte {at} is {made[at]}"
        case 1:
            length = draw.length(dice, len(record))
            return bytes(made[:-length]), f"record: {length} bytes shorter"
        case 2:
            length = draw.length(dice, 300)
            return bytes(made) + draw.junk(dice, length), f"record: {length} bytes longer"
        case 3:
            at = dice.randrange(len(record))
            length = draw.length(dice, len(record) - at)
            made[at : at + length] = draw.junk(dice, length)
            return bytes(made), f"record: {length} bytes at {at} are others"
        case _:
            bits = dice.choice((1, 1, 1, 2, 4))
            return _flipped(dice, record, 0, len(record), bits), f"record: {bits} bits"


def mutate_units(dice: random.Random, source: Carrier, codec: str) -> tuple[bytes, str]:
    """One to three changes of pictures, or of the record, with what is around them made to fit or not."""
    changes: dict[int, bytes] = {}
    record, told = source.record, []
    others = [unit for picture in source.pictures for unit in split(picture, source.length_bytes) if unit]
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        if record and dice.random() < 0.2:
            record, what = _record(dice, record)
            told.append(what)
            continue
        number = dice.choice((0, dice.randrange(len(source.pictures)), dice.randrange(len(source.pictures))))
        if number in changes:
            continue
        picture = source.pictures[number]
        units = split(picture, source.length_bytes)
        match dice.randrange(12):
            case 0 | 1:
                what = _order(dice, units, others, codec)
                picture = join(units, source.length_bytes)
            case 2:
                picture, what = _lengths(dice, picture, source.length_bytes)
            case 3:
                other = dice.randrange(len(source.pictures))
                changes[other], picture = picture, source.pictures[other]
                what = f"changes places with {other}"
            case _:
                what = _change_one(dice, units, codec)
                picture = join(units, source.length_bytes)
        changes[number] = picture
        told.append(f"picture {number}: {what}")
    fit = Fit(dice.random() < 0.8, dice.random() < 0.8, dice.random() < 0.8)
    if any(len(new) != len(source.pictures[n]) for n, new in changes.items()) or len(record) != len(
        source.record
    ):
        told.append(str(fit))
    return source.rebuild(changes, record, fit), "; ".join(told)
