"""Bit fields of a NAL unit's payload (ITU-T H.264, sections 7.2, 7.3.1 and 9.1)."""

from __future__ import annotations

from clipline.contract.errors import UnreadableRecording


def unescape(unit: bytes) -> bytes:
    """The raw payload: without the emulation prevention bytes (section 7.4.1.1)."""
    if b"\x00\x00\x03" not in unit:
        return unit
    payload = bytearray()
    zeros = 0
    for byte in unit:
        if zeros >= 2 and byte == 3:
            zeros = 0
            continue
        zeros = zeros + 1 if byte == 0 else 0
        payload.append(byte)
    return bytes(payload)


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
