"""MP4 boxes as a tree, leniently, and what points to where in a file of them (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from fuzz.tree import Edit, Node, apply, moved

_SKIPPED = {
    "moov": 0, "trak": 0, "mdia": 0, "minf": 0, "stbl": 0, "edts": 0, "dinf": 0, "mvex": 0, "moof": 0,
    "traf": 0,
    "mfra": 0, "udta": 0, "stsd": 8, "dref": 8, "avc1": 78, "hvc1": 78, "hev1": 78, "mp4a": 28,
}  # fmt: skip
"""Boxes that hold others: bytes of their own fields before those."""

MOST_NESTED = 40
"""What is nested deeper is not looked into."""


class Mp4:
    """``Format`` of MP4."""

    kinds = (
        *_SKIPPED, "ftyp", "styp", "free", "skip", "mdat", "mvhd", "tkhd", "mdhd", "hdlr", "vmhd",
        "smhd", "elst",
        "stts", "ctts", "stss", "stsc", "stsz", "stz2", "stco", "co64", "sdtp", "sgpd", "sbgp", "avcC",
        "hvcC",
        "esds", "pasp", "colr", "btrt", "trex", "mehd", "mfhd", "tfhd", "tfdt", "trun", "sidx", "tfra",
        "mfro",
        "url ", "urn ", "alis", "uuid", "cmov", "senc", "saiz", "avc3", "encv", "enca", "wave", "meta",
    )  # fmt: skip

    def parse(self, data: bytes) -> Node:
        return Node("", 0, 0, len(data), tuple(_parse(data, 0, len(data), "")))

    def rewrite(self, data: bytes, edits: Sequence[Edit], *, sizes: bool, offsets: bool) -> bytes:
        root = self.parse(data)
        made = bytearray(data)
        if sizes:
            for node in root.walk():
                grows = sum(edit.grows for edit in edits if node.holds(edit))
                if grows:
                    field = self.with_size(data, node, node.stop - node.start + grows)
                    made[field.at : field.at + field.length] = field.new
        if offsets:
            for field in _pointers(data, root, edits):
                made[field.at : field.at + field.length] = field.new
        return apply(bytes(made), edits)

    def wrap(self, kind: str, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content) & 0xFFFF_FFFF) + kind.encode("latin-1") + content

    def with_size(self, data: bytes, node: Node, size: int) -> Edit:
        if node.head == 16:
            return Edit(node.start + 8, 8, (size % (1 << 64)).to_bytes(8, "big"))
        return Edit(node.start, 4, (size % (1 << 32)).to_bytes(4, "big"))

    def claimed(self, node: Node) -> int:
        return node.stop - node.start

    def with_kind(self, data: bytes, node: Node, kind: str) -> Edit:
        return Edit(node.start + 4, 4, kind.encode("latin-1"))


def _parse(data: bytes, at: int, stop: int, path: str) -> Iterator[Node]:
    while at + 8 <= stop:
        size, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= stop:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        size = size or stop - at
        if size < head or at + size > stop:
            return
        kind = name.decode("latin-1")
        inner = f"{path}/{kind}" if path else kind
        children: tuple[Node, ...] = ()
        if kind in _SKIPPED and path.count("/") < MOST_NESTED:
            children = tuple(_parse(data, at + head + _SKIPPED[kind], at + size, inner))
        yield Node(kind, at, head, at + size, children, inner)
        at += size


def _full(data: bytes, node: Node) -> tuple[int, int]:
    """(version, flags)"""
    word = int.from_bytes(data[node.body : node.body + 4], "big")
    return word >> 24, word & 0xFFFFFF


def _number(data: bytes, at: int, length: int = 4) -> int:
    return int.from_bytes(data[at : at + length], "big")


def _pointers(data: bytes, root: Node, edits: Sequence[Edit]) -> Iterator[Edit]:
    """The fields that point to bytes which ``edits`` move, made right."""

    def put(at: int, length: int, value: int) -> Edit:
        return Edit(at, length, (value % (1 << 8 * length)).to_bytes(length, "big"))

    for node in root.walk():
        if node.kind in {"stco", "co64"}:
            width = 4 if node.kind == "stco" else 8
            for at in range(node.body + 8, node.stop - width + 1, width):
                yield put(at, width, moved(edits, _number(data, at, width)))
        elif node.kind == "sidx":
            version, _ = _full(data, node)
            at = node.body + (32 if version else 24)
            begin = node.stop
            while at + 12 <= node.stop:
                word = _number(data, at)
                end = begin + (word & 0x7FFF_FFFF)
                yield put(at, 4, word & 1 << 31 | moved(edits, end) - moved(edits, begin))
                begin, at = end, at + 12
        elif node.kind == "tfra":
            width = 8 if _full(data, node)[0] else 4
            lengths = _number(data, node.body + 8)
            step = 2 * width + sum((lengths >> shift & 3) + 1 for shift in (4, 2, 0))
            for at in range(node.body + 16, node.stop - step + 1, step):
                yield put(at + width, width, moved(edits, _number(data, at + width, width)))
        elif node.kind == "moof":
            yield from _run_pointers(data, node, edits, put)


def _run_pointers(data: bytes, moof: Node, edits: Sequence[Edit], put: object) -> Iterator[Edit]:
    for traf in moof.find("traf"):
        header = next(iter(traf.find("tfhd")), None)
        base = moof.start
        if header is not None and _full(data, header)[1] & 1:
            base = _number(data, header.body + 8, 8)
            yield put(header.body + 8, 8, moved(edits, base))  # type: ignore[operator]
        for run in traf.find("trun"):
            if _full(data, run)[1] & 1:
                offset = _number(data, run.body + 8)
                target = base + offset - (offset >> 31 << 32)
                yield put(run.body + 8, 4, moved(edits, target) - moved(edits, base))  # type: ignore[operator]


def sample_sizes(data: bytes, root: Node) -> list[int]:
    """Where the size of each sample of the first video track stands, four bytes each."""
    for trak in root.find("trak"):
        handlers = trak.find("hdlr")
        if not handlers or data[handlers[0].body + 8 : handlers[0].body + 12] != b"vide":
            continue
        header, (table,) = trak.find("tkhd")[0], trak.find("stsz")
        count = _number(data, table.body + 8)
        places = [table.body + 12 + 4 * number for number in range(count)]
        identifier = _number(data, header.body + (20 if _full(data, header)[0] else 12))
        for traf in root.find("traf"):
            if _number(data, traf.find("tfhd")[0].body + 4) == identifier:
                for run in traf.find("trun"):
                    places += _run_sizes(data, run)
        return places
    raise ValueError("there is no video track")


def _run_sizes(data: bytes, run: Node) -> list[int]:
    _, flags = _full(data, run)
    assert flags & 0x200, "sizes stand in the trun box"
    first = run.body + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
    step = 4 * sum(bool(flags & flag) for flag in (0x100, 0x200, 0x400, 0x800))
    count = _number(data, run.body + 4)
    return [first + step * number + 4 * bool(flags & 0x100) for number in range(count)]
