"""Where the coded pictures of sound recordings lie, and recordings with others in their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import av
from fuzz.ebml import BLOCK, CODEC_PRIVATE, SIMPLE_BLOCK, Ebml
from fuzz.mp4 import Mp4, sample_sizes
from fuzz.packets import PACKET_BYTES, payload, pes_starts, pid, split_packets
from fuzz.tree import Edit, Node


@dataclass(frozen=True)
class Fit:
    """What is made to fit pictures of other lengths."""

    sizes: bool
    """Of the boxes or elements around them; in a transport stream the packets' counters."""
    table: bool
    """Sizes of samples; in a transport stream the lengths of PES packets."""
    offsets: bool
    """What points to bytes that move."""


class Carrier(Protocol):
    """A recording whose pictures can be exchanged."""

    pictures: Sequence[bytes]
    """Coded, in decode order, as they stand there."""
    length_bytes: int
    """Of the length before each unit; 0: they stand in a byte stream."""
    record: bytes
    """``avcC`` or ``hvcC``; empty where parameter sets stand in the pictures."""

    def rebuild(self, changes: Mapping[int, bytes], record: bytes, fit: Fit) -> bytes:
        """The recording with other bytes for some of the pictures, by their numbers, and with ``record``."""


def _demuxed(path: str) -> list[tuple[int, bytes]]:
    """(place in the file, bytes) of each coded picture."""
    with av.open(path, options={"ignore_editlist": "1"}) as container:
        return [(packet.pos, bytes(packet)) for packet in container.demux(video=0) if packet.size]


class Mp4Carrier:
    """Samples of an MP4 file, fragmented or not."""

    def __init__(self, path: str, data: bytes) -> None:
        self._data, self._form = data, Mp4()
        found = _demuxed(path)
        self.pictures = [picture for _, picture in found]
        self._places = [place for place, _ in found]
        root = self._form.parse(data)
        self._sizes = sample_sizes(data, root)
        assert len(self._sizes) == len(found)
        for (place, picture), size in zip(found, self._sizes, strict=True):
            assert data[place : place + len(picture)] == picture
            assert int.from_bytes(data[size : size + 4], "big") == len(picture)
        self._record: Node = next(node for node in root.walk() if node.kind in {"avcC", "hvcC"})
        self.record = data[self._record.body : self._record.stop]
        self.length_bytes = (self.record[4 if self._record.kind == "avcC" else 21] & 3) + 1

    def rebuild(self, changes: Mapping[int, bytes], record: bytes, fit: Fit) -> bytes:
        edits = [Edit(self._places[n], len(self.pictures[n]), new) for n, new in changes.items()]
        edits += _record_edit(self._record, self.record, record)
        if fit.table:
            edits += [Edit(self._sizes[n], 4, len(new).to_bytes(4, "big")) for n, new in changes.items()]
        return self._form.rewrite(self._data, edits, sizes=fit.sizes, offsets=fit.offsets)


def _record_edit(node: Node, before: bytes, after: bytes) -> list[Edit]:
    return [] if after == before else [Edit(node.body, len(before), after)]


class MatroskaCarrier:
    """Blocks of a Matroska file."""

    def __init__(self, path: str, data: bytes) -> None:
        self._data, self._form = data, Ebml()
        found = _demuxed(path)
        self.pictures = [picture for _, picture in found]
        root = self._form.parse(data)
        blocks = [
            node for node in root.walk() if node.kind in {SIMPLE_BLOCK, BLOCK} and data[node.body] == 0x81
        ]
        assert [data[node.body + 4 : node.stop] for node in blocks] == self.pictures
        self._places = [node.body + 4 for node in blocks]
        self._record: Node = root.find(CODEC_PRIVATE)[0]
        self.record = data[self._record.body : self._record.stop]
        self.length_bytes = 4

    def rebuild(self, changes: Mapping[int, bytes], record: bytes, fit: Fit) -> bytes:
        edits = [Edit(self._places[n], len(self.pictures[n]), new) for n, new in changes.items()]
        edits += _record_edit(self._record, self.record, record)
        return self._form.rewrite(self._data, edits, sizes=fit.sizes and fit.table, offsets=fit.offsets)


class TransportCarrier:
    """PES packets of the video of a transport stream."""

    length_bytes = 0
    record = b""

    def __init__(self, path: str, data: bytes) -> None:
        with av.open(path) as container:
            self._pid = container.streams.video[0].id
        self._packets = split_packets(data)
        mine = [number for number, one in enumerate(self._packets) if pid(one) == self._pid]
        starts = [number for number in pes_starts(self._packets) if number in set(mine)]
        stops = [*starts[1:], len(self._packets)]
        self._runs = [
            [n for n in mine if begin <= n < stop] for begin, stop in zip(starts, stops, strict=True)
        ]

    @cached_property
    def pictures(self) -> Sequence[bytes]:
        return [self._whole(run)[1] for run in self._runs]

    def _whole(self, run: Sequence[int]) -> tuple[bytes, bytes]:
        """(PES header, what it carries)"""
        whole = b"".join(self._packets[n][payload(self._packets[n]) :] for n in run)
        head = 9 + whole[8]
        return whole[:head], whole[head:]

    def rebuild(self, changes: Mapping[int, bytes], record: bytes, fit: Fit) -> bytes:
        made: dict[int, list[bytes]] = {}
        for number, new in changes.items():
            run = self._runs[number]
            head, _ = self._whole(run)
            if fit.table and head[4:6] != b"\0\0":
                length = len(head) + len(new) - 6
                head = head[:4] + (length if length < 1 << 16 else 0).to_bytes(2, "big") + head[6:]
            packed = _packed(self._packets[run[0]], head + new)
            made |= {n: [] for n in run}
            for place, packet in enumerate(packed):
                made[run[min(place, len(run) - 1)]].append(packet)
        packets = [packet for n, one in enumerate(self._packets) for packet in made.get(n, [one])]
        return b"".join(self._counted(packets) if fit.sizes else packets)

    def _counted(self, packets: Sequence[bytes]) -> list[bytes]:
        counter, counted = -1, []
        for packet in packets:
            if pid(packet) == self._pid and packet[3] & 0x10:
                counter = (counter + 1) % 16 if counter >= 0 else packet[3] & 15
                packet = packet[:3] + bytes([packet[3] & 0xF0 | counter]) + packet[4:]
            counted.append(packet)
        return counted


def _packed(first: bytes, whole: bytes) -> list[bytes]:
    """``whole`` in packets like ``first``, whose adaptation field is kept, the last one filled up."""
    kept = first[4 : payload(first)] if first[3] & 0x20 else b""
    if kept:  # without what filled it up
        used = 1 + sum(size for flag, size in ((0x10, 6), (0x08, 6)) if kept[1:] and kept[1] & flag)
        kept = bytes([used]) + kept[1 : 1 + used]
    packets = []
    while whole or not packets:
        head = bytes([first[0], first[1] & 0xBF | (0 if packets else 0x40), first[2]])
        field, room = (kept, PACKET_BYTES - 4 - len(kept)) if not packets else (b"", PACKET_BYTES - 4)
        body, whole = whole[:room], whole[room:]
        filling = room - len(body)
        if filling and not field:
            field = bytes([filling - 1]) + (b"\0" + b"\xff" * (filling - 2) if filling > 1 else b"")
        elif filling:
            field = bytes([field[0] + filling]) + field[1:] + b"\xff" * filling
        control = (0x30 if field else 0x10) | len(packets) % 16
        packets.append(head + bytes([control]) + field + body)
    return packets


def carrier(path: str, data: bytes, container: str) -> Carrier:
    kinds = {"mp4": Mp4Carrier, "matroska": MatroskaCarrier, "mpegts": TransportCarrier}
    return kinds[container](path, data)
