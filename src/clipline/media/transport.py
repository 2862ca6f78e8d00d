"""The packets of an MPEG transport stream (ISO/IEC 13818-1, section 2.4.3), checked for losses.

FFmpeg marks the picture *before* a loss as corrupt and hands out the damaged one as sound (measured with
8.1). So the counters are looked at here, before it sees the packets, and each loss is remembered with
its place. A loss of a multiple of 16 packets of one stream leaves the counter as it was and can't be
seen here: what shows it are pictures without a time, and frame numbers (``taking``, ``annexb``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from clipline.contract.errors import UnreadableRecording
from clipline.media.ranges import ByteSource

PACKET_BYTES = 188
_SYNC = 0x47
_UNKNOWN = -1
"""A counter that no packet follows on."""
_NULL_PID = 0x1FFF
_STRIDES = {188: 0, 192: 4, 204: 0}
"""Bytes from packet to packet, and of what stands before each: plain; with the arrival time of M2TS; with
the error correction of broadcast."""
_SURE_PACKETS = 5
"""That many in a row begin with the sync byte by chance once in 10^12."""
_BLOCK_BYTES = 1024 * 1024
_MOST_JUNK_BYTES = 64 * 1024 * 1024
"""Bytes without a packet in them, after which a file is given up."""


@dataclass(frozen=True)
class PacketGrid:
    """Where packets lie."""

    first: int
    """Byte offset of the first one's sync byte."""
    stride: int
    """Bytes from one to the next."""


def find_grid(head: bytes) -> PacketGrid | None:
    """How packets lie in a file that begins with ``head``; None where it has none.

    Up to one packet's bytes of something else may stand before the first one. A file of fewer than five
    packets is judged by those it has.
    """
    for stride, before in _STRIDES.items():
        for first in range(before, before + stride):
            syncs = head[first::stride][:_SURE_PACKETS]
            few = len(head) < _SURE_PACKETS * stride + first
            if len(syncs) >= (2 if few else _SURE_PACKETS) and syncs == bytes([_SYNC]) * len(syncs):
                return PacketGrid(first, stride)
    return None


class Loss(NamedTuple):
    """Packets of a stream are missing between these two, byte offsets in what ``PacketReader`` gives."""

    before: int
    """Of the last packet before the loss."""
    after: int
    """Of the first one after it."""


class PacketReader:
    """A file object that reads a transport stream as 188-byte packets, from the front to the end.

    What lies between packets is left out, so are packets that came twice (section 2.4.3.3) and those that
    the receiver marked as broken.
    """

    def __init__(self, source: ByteSource, grid: PacketGrid) -> None:
        self._source = source
        self._at = grid.first
        self._stride = grid.stride
        self._raw = b""
        self._ready = b""
        self._given = 0
        """Bytes of packets made ready so far."""
        self._counters: dict[int, int] = {}
        self._places: dict[int, int] = {}
        self._latest: dict[int, bytes] = {}
        """The last packet of each stream, by PID."""
        self._lost_grid = False
        self._junk_bytes = 0
        self.bytes_read = 0
        self.losses: dict[int, list[Loss]] = {}
        """By PID, in order; complete for what has been read."""
        self.failure: Exception | None = None
        """What the source raised."""

    def read(self, length: int = -1) -> bytes:
        """Up to ``length`` bytes; none at the end."""
        while not self._ready:
            try:
                if not self._prepare():
                    return b""
            except Exception as error:
                self.failure = error
                raise
        given, self._ready = self._ready[:length], self._ready[length:]
        return given

    def is_whole(self, pid: int) -> bool:
        """Whether the last packet of a stream is filled up, as only the last one of a picture is."""
        packet = self._latest.get(pid)
        if packet is None or not packet[3] & 0x20:
            return False
        field = packet[5 : 5 + packet[4]]
        if not field:
            return True  # a length of 0: one byte of filling
        used = 1 + sum(size for flag, size in ((0x10, 6), (0x08, 6), (0x04, 1)) if field[0] & flag)
        return len(field) > used and not field[0] & 0x03

    def _prepare(self) -> bool:
        """Make the next packets ready. False at the end of the file."""
        wanted = min(_BLOCK_BYTES, self._source.size_bytes - self._at)
        if wanted > 0:
            self._raw += self._source.read(self._at, wanted)
            self._at += wanted
            self.bytes_read += wanted
        count = len(self._raw) // self._stride
        if wanted <= 0 and len(self._raw) % self._stride >= PACKET_BYTES:
            count += 1
        if not count:
            if wanted > 0:
                return self._prepare()
            return False
        syncs = self._raw[:: self._stride][:count]
        good = len(syncs) - len(syncs.lstrip(bytes([_SYNC])))
        if good:
            packets = self._raw[: good * self._stride]
            self._raw = self._raw[good * self._stride :]
            self._junk_bytes = 0
            if self._stride != PACKET_BYTES:
                packets = b"".join(
                    packets[at : at + PACKET_BYTES] for at in range(0, len(packets), self._stride)
                )
            self._ready = self._check(packets)
        else:
            self._find_packets()
        return True

    def _find_packets(self) -> None:
        """Drop bytes up to where packets follow each other again."""
        stride = self._stride
        at = self._raw.find(_SYNC, 1)
        while at >= 0 and any(byte != _SYNC for byte in self._raw[at : at + 3 * stride : stride]):
            at = self._raw.find(_SYNC, at + 1)
        dropped = at if at >= 0 else len(self._raw)
        self._raw = self._raw[dropped:]
        self._lost_grid = True
        self._junk_bytes += dropped
        if self._junk_bytes > _MOST_JUNK_BYTES:
            raise UnreadableRecording(f"{self._junk_bytes} bytes before byte {self._at} hold no packets")

    def _check(self, packets: bytes) -> bytes:
        """Those packets that are to be read."""
        if self._lost_grid:  # whatever the counters say, something is missing
            self._counters = dict.fromkeys(self._counters, _UNKNOWN)
            self._lost_grid = False
        counters, places = self._counters, self._places
        latest: dict[int, int] = {}
        dropped: list[int] = []
        place = self._given
        headers = zip(
            packets[1::PACKET_BYTES], packets[2::PACKET_BYTES], packets[3::PACKET_BYTES], strict=True
        )
        for number, (high, low, control) in enumerate(headers):
            pid = (high & 0x1F) << 8 | low
            if high & 0x80:
                dropped.append(number)
                continue
            if control & 0x10 and pid != _NULL_PID:
                known = counters.get(pid)
                counter = control & 15
                if known is not None and (known == _UNKNOWN or counter != (known + 1) & 15):
                    packet = _packet(packets, number)
                    before = _packet(packets, latest[pid]) if pid in latest else self._latest.get(pid)
                    if packet == before:
                        dropped.append(number)
                        continue
                    discontinuity = control & 0x20 and packet[4] and packet[5] & 0x80
                    if known == _UNKNOWN or not discontinuity:
                        self.losses.setdefault(pid, []).append(Loss(places[pid], place))
                counters[pid], places[pid], latest[pid] = counter, place, number
            place += PACKET_BYTES
        self._latest |= {pid: _packet(packets, number) for pid, number in latest.items()}
        if dropped:
            left_out = set(dropped)
            count = len(packets) // PACKET_BYTES
            packets = b"".join(_packet(packets, number) for number in range(count) if number not in left_out)
        self._given += len(packets)
        return packets


def _packet(packets: bytes, number: int) -> bytes:
    return packets[number * PACKET_BYTES : (number + 1) * PACKET_BYTES]
