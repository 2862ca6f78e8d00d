"""Bit fields of a NAL unit's payload (ITU-T H.264, sections 7.2, 7.3.1 and 9.1; H.265 has the same)."""

from __future__ import annotations

import re

from clipline.contract.errors import UnreadableRecording

_LOOKS_LIKE_A_START = re.compile(b"\0\0(?=[\0-\3])")


def unescape(unit: bytes) -> bytes:
    """The raw payload: without the emulation prevention bytes (section 7.4.1.1)."""
    # What follows a removed byte counts its zeros anew, as bytes.replace does.
    return unit.replace(b"\0\0\3", b"\0\0")


def escape(payload: bytes) -> bytes:
    """Inverse of ``unescape``: a byte of 3 goes before what would look like a start code otherwise.

    Another one goes behind a payload that ends with zeros, those that entropy coding may append in pairs.
    """
    unit = _LOOKS_LIKE_A_START.sub(b"\0\0\3", payload)
    return unit + b"\3" if unit.endswith(b"\0") else unit


class BitReader:
    """Reads ``u(n)``, ``ue(v)`` and ``se(v)`` fields from the front."""

    def __init__(self, payload: bytes) -> None:
        self._value = int.from_bytes(payload, "big")
        self._left = len(payload) * 8

    def u(self, bits: int) -> int:
        """An unsigned number of ``bits`` bits."""
        if bits > self._left:
            raise UnreadableRecording("a parameter set is cut off")
        self._left -= bits
        return self._value >> self._left & ((1 << bits) - 1)

    def flag(self) -> bool:
        return self.u(1) == 1

    def ue(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > 32:
                raise UnreadableRecording("a parameter set holds a number of over 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)

    def rest(self) -> tuple[int, int]:
        """(value, number of bits) of what was not read yet, up to the stop bit (section 7.3.2.11)."""
        value = self._value & ((1 << self._left) - 1)
        if not value:
            raise UnreadableRecording("a parameter set has no stop bit")
        zeros = (value & -value).bit_length()  # the stop bit among them
        return value >> zeros, self._left - zeros


class BitWriter:
    """Writes what ``BitReader`` reads."""

    def __init__(self) -> None:
        self._value = 0
        self._bits = 0

    def u(self, value: int, bits: int) -> None:
        """``value`` in ``bits`` bits. Raises ValueError where it does not fit."""
        if value < 0 or value >> bits:
            raise ValueError(f"{value} does not fit into {bits} bits")
        self._value = self._value << bits | value
        self._bits += bits

    def ue(self, value: int) -> None:
        """An unsigned Exp-Golomb number."""
        self.u(value + 1, 2 * (value + 1).bit_length() - 1)

    def payload(self) -> bytes:
        """All of it with the stop bit, filled up to a whole byte (section 7.3.2.11)."""
        filling = -(self._bits + 1) % 8
        return ((self._value << 1 | 1) << filling).to_bytes((self._bits + 1 + filling) // 8, "big")
