"""Mutations of a transport stream: packet headers, tables, PES headers, and the order of packets."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from fuzz import draw

PACKET_BYTES = 188
PAT = 0
Packets = list[bytes]


def split_packets(data: bytes) -> Packets:
    return [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]


def pid(packet: bytes) -> int:
    return (packet[1] & 31) << 8 | packet[2] if len(packet) > 2 else -1


def begins_unit(packet: bytes) -> bool:
    """payload_unit_start_indicator"""
    return len(packet) > 1 and bool(packet[1] & 0x40)


def payload(packet: bytes) -> int:
    """Where it begins."""
    if not packet[3] & 0x10:
        return PACKET_BYTES
    return min(5 + packet[4], PACKET_BYTES) if packet[3] & 0x20 else 4


def mpeg_crc(section: bytes) -> int:
    """CRC_32 of ISO/IEC 13818-1, annex A."""
    value = 0xFFFF_FFFF
    for byte in section:
        value ^= byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x04C1_1DB7 if value >> 31 else 0)
            value &= 0xFFFF_FFFF
    return value


def _header(dice: random.Random, packets: Packets) -> str:
    """A field of a packet's four bytes, or of its adaptation field."""
    at = dice.randrange(len(packets))
    packet = bytearray(packets[at])
    match dice.randrange(8):
        case 0:
            packet[0], what = draw.number(dice, packet[0], 1), "sync byte"
        case 1:
            packet[1], what = packet[1] ^ 0x80, "transport_error_indicator"
        case 2:
            packet[1], what = packet[1] ^ 0x40, "payload_unit_start_indicator"
        case 3:
            other = pid(dice.choice(packets)) if dice.random() < 0.6 else dice.randrange(1 << 13)
            packet[1], packet[2], what = packet[1] & 0xE0 | other >> 8 & 31, other & 255, f"PID {other}"
        case 4:
            packet[3], what = packet[3] ^ dice.choice((0x40, 0x80, 0xC0)), "scrambling"
        case 5:
            packet[3], what = packet[3] ^ dice.choice((0x10, 0x20, 0x30)), "adaptation_field_control"
        case 6:
            packet[3], what = packet[3] & 0xF0 | dice.randrange(16), "continuity_counter"
        case _:
            if not packet[3] & 0x20:
                fields = [n for n, one in enumerate(packets) if len(one) > 12 and one[3] & 0x20]
                if not fields:
                    return ""
                at = dice.choice(fields)
                packet = bytearray(packets[at])
            place = dice.choice((4, 4, 5, 5, *range(6, 12)))
            packet[place], what = draw.number(dice, packet[place], 1), f"adaptation field, byte {place - 4}"
    packets[at] = bytes(packet)
    return f"packet {at}: {what}"


def _table(dice: random.Random, packets: Packets) -> str:
    """A byte of a PAT or a PMT, with its checksum made right or not; of one, or of every repetition."""
    tables = [n for n, one in enumerate(packets) if begins_unit(one) and _is_section(one)]
    if not tables:
        return ""
    first = dice.choice(tables[:4])
    alike = [n for n in tables if pid(packets[n]) == pid(packets[first])]
    changed = alike if dice.random() < 0.7 else [first]
    begin = payload(packets[first])
    begin += 1 + packets[first][begin]
    size = 3 + (int.from_bytes(packets[first][begin + 1 : begin + 3], "big") & 0xFFF)
    size = min(size, PACKET_BYTES - begin)
    if size < 8:
        return ""
    place = dice.randrange(size - 4 if dice.random() < 0.9 else size)
    value, right = draw.number(dice, packets[first][begin + place], 1), dice.random() < 0.8
    for number in changed:
        packet = bytearray(packets[number])
        packet[begin + place] = value
        if right:
            checksum = mpeg_crc(packet[begin : begin + size - 4])
            packet[begin + size - 4 : begin + size] = checksum.to_bytes(4, "big")
        packets[number] = bytes(packet)
    told = "right" if right else "wrong"
    return f"table of PID {pid(packets[first])}: byte {place} is {value}, checksum {told}"


def _is_section(packet: bytes) -> bool:
    begin = payload(packet)
    return begin < PACKET_BYTES - 12 and packet[begin : begin + 3] != b"\0\0\1" and packet[begin] < 150


def pes_starts(packets: Sequence[bytes]) -> list[int]:
    """Numbers of the packets in which a PES packet begins."""
    return [
        number
        for number, one in enumerate(packets)
        if len(one) == PACKET_BYTES and begins_unit(one) and one[payload(one) : payload(one) + 3] == b"\0\0\1"
    ]


def _pes(dice: random.Random, packets: Packets) -> str:
    """A field of a PES header: start code, length, flags, times."""
    starts = pes_starts(packets)
    if not starts:
        return ""
    at = dice.choice(starts)
    packet = bytearray(packets[at])
    begin = payload(packet)
    if begin > PACKET_BYTES - 20:
        return ""
    match dice.randrange(6):
        case 0:
            place = begin + dice.randrange(9)
            packet[place], what = draw.number(dice, packet[place], 1), f"byte {place - begin}"
        case 1:
            length = draw.number(dice, int.from_bytes(packet[begin + 4 : begin + 6], "big"), 2)
            packet[begin + 4 : begin + 6], what = length.to_bytes(2, "big"), f"PES_packet_length {length}"
        case 2:
            packet[begin + 7] ^= dice.choice((0x40, 0x80, 0xC0, 1 << dice.randrange(8)))
            what = "flags of times"
        case 3:
            packet[begin + 8], what = draw.number(dice, packet[begin + 8], 1), "PES_header_data_length"
        case _:
            count = 2 if packet[begin + 7] & 0x40 else 1
            place = begin + 9 + 5 * dice.randrange(count)
            old = _time(packet[place : place + 5])
            new = (old + dice.choice((-1, 1)) * dice.choice((1, 90, 7_500, 90_000, 1 << 32))) % (1 << 33)
            if dice.random() < 0.3:
                new = dice.choice((0, 1, (1 << 33) - 1, 1 << 32, dice.randrange(1 << 33)))
            packet[place : place + 5] = _timed(packet[place] >> 4, new)
            what = f"a time of {old} becomes {new}"
    packets[at] = bytes(packet)
    return f"PES packet in packet {at} of PID {pid(packets[at])}: {what}"


def _time(field: bytes) -> int:
    """Of 33 bits, section 2.4.3.6."""
    word = int.from_bytes(field, "big")
    return (word >> 33 & 7) << 30 | (word >> 17 & 0x7FFF) << 15 | word >> 1 & 0x7FFF


def _timed(head: int, time: int) -> bytes:
    word = (
        head << 36
        | (time >> 30) << 33
        | 1 << 32
        | (time >> 15 & 0x7FFF) << 17
        | 1 << 16
        | (time & 0x7FFF) << 1
        | 1
    )
    return word.to_bytes(5, "big")


def _range(dice: random.Random, packets: Packets) -> tuple[int, int]:
    """Of packets: often those of one PES packet."""
    starts = pes_starts(packets)
    if starts and dice.random() < 0.4:
        first = dice.choice(starts)
        return first, min((n for n in starts if n > first), default=len(packets))
    first = dice.randrange(len(packets))
    return first, min(first + dice.choice((1, 1, 1, 2, 3, 15, 16, 17, 100)), len(packets))


def _drop(dice: random.Random, packets: Packets) -> str:
    first, stop = _range(dice, packets)
    if stop - first == len(packets):
        return ""
    del packets[first:stop]
    return f"packets {first} to {stop} are dropped"


def _repeat(dice: random.Random, packets: Packets) -> str:
    first, stop = _range(dice, packets)
    at = stop if dice.random() < 0.6 else dice.randrange(len(packets))
    packets[at:at] = packets[first:stop]
    return f"packets {first} to {stop} come again before packet {at}"


def _move(dice: random.Random, packets: Packets) -> str:
    first, stop = _range(dice, packets)
    taken = packets[first:stop]
    del packets[first:stop]
    at = dice.randrange(len(packets) + 1)
    packets[at:at] = taken
    return f"packets {first} to {stop} go to {at}"


def _swap(dice: random.Random, packets: Packets) -> str:
    one, other = dice.randrange(len(packets)), dice.randrange(len(packets))
    packets[one], packets[other] = packets[other], packets[one]
    return f"packets {one} and {other} change places"


def _rename(dice: random.Random, packets: Packets) -> str:
    """All packets of one stream from some place on."""
    streams = sorted({pid(one) for one in packets})
    old, new = dice.choice(streams), dice.choice([*streams, 0x1FFF, dice.randrange(1 << 13)])
    begin = dice.choice((0, dice.randrange(len(packets))))
    for number in range(begin, len(packets)):
        if pid(packets[number]) == old:
            packet = bytearray(packets[number])
            packet[1], packet[2] = packet[1] & 0xE0 | new >> 8 & 31, new & 255
            packets[number] = bytes(packet)
    return f"PID {old} becomes {new} from packet {begin} on"


def _between(dice: random.Random, packets: Packets) -> str:
    """Bytes between two packets, or a packet that lacks some."""
    at = dice.randrange(len(packets))
    if dice.random() < 0.5:
        more = dice.choice((1, 4, 16, 187, 188, 189, 1000, 70_000))
        packets[at] += draw.junk(dice, more)
        return f"{more} bytes behind packet {at}"
    less = dice.randrange(1, PACKET_BYTES)
    packets[at] = packets[at][:-less]
    return f"packet {at} lacks {less} bytes"


_CHANGES: dict[Callable[[random.Random, Packets], str], int] = {
    _header: 5, _table: 4, _pes: 6, _drop: 2, _repeat: 2, _move: 2, _swap: 1, _rename: 1, _between: 1,
}  # fmt: skip


def mutate_packets(dice: random.Random, data: bytes) -> tuple[bytes, str] | None:
    packets = split_packets(data)
    told = dice.choices(list(_CHANGES), list(_CHANGES.values()))[0](dice, packets)
    return (b"".join(packets), told) if told else None
