"""EBML elements as a tree, leniently, and what points to where in a Matroska file (RFC 8794, RFC 9559)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fuzz.mp4 import MOST_NESTED
from fuzz.tree import Edit, Node, apply, moved

SEGMENT, CLUSTER, BLOCK_GROUP = "18538067", "1F43B675", "A0"
SIMPLE_BLOCK, BLOCK, CODEC_PRIVATE = "A3", "A1", "63A2"
CLUSTER_POSITION, SEEK_POSITION, TIMESTAMP = "F1", "53AC", "E7"
TRACK_ENTRY = "AE"
_MASTERS = frozenset({
    "1A45DFA3", SEGMENT, "114D9B74", "4DBB", "1549A966", "1654AE6B", TRACK_ENTRY, "E0", "E1", CLUSTER,
    BLOCK_GROUP,
    "1C53BB6B", "BB", "B7", "1254C367", "7373", "63C0", "67C8", "55B0",
})  # fmt: skip


class Ebml:
    """``Format`` of Matroska."""

    kinds = (
        *sorted(_MASTERS), SIMPLE_BLOCK, BLOCK, CODEC_PRIVATE, CLUSTER_POSITION, SEEK_POSITION,
        TIMESTAMP, "4282",
        "2AD7B1", "4489", "D7", "73C5", "83", "86", "B0", "BA", "B5", "9F", "23E383", "B3", "F7", "9B",
        "FB", "EC",
        "BF", "6D80", "5035", "5034", "4254", "4255", "88", "B9", "9C", "53AB", "75A1", "A6", "EE", "A4",
    )  # fmt: skip

    def parse(self, data: bytes) -> Node:
        return Node("", 0, 0, len(data), tuple(_parse(data, 0, len(data), "")))

    def rewrite(self, data: bytes, edits: Sequence[Edit], *, sizes: bool, offsets: bool) -> bytes:
        root = self.parse(data)
        every = list(edits)
        if sizes:  # from the inside out: a size that takes more bytes makes what is around it longer
            for node in sorted(root.walk(), key=lambda one: one.stop - one.start):
                grows = sum(edit.grows for edit in every if node.holds(edit))
                if grows:
                    every.append(self.with_size(data, node, max(node.stop - node.body + grows, 0)))
        made = bytearray(data)
        if offsets:
            segment = next(iter(root.find(SEGMENT)), root)
            for node in root.walk():
                if node.kind in {CLUSTER_POSITION, SEEK_POSITION}:
                    length = node.stop - node.body
                    position = int.from_bytes(data[node.body : node.stop], "big")
                    now = moved(every, segment.body + position) - moved(every, segment.body)
                    made[node.body : node.stop] = (now % (1 << 8 * length)).to_bytes(length, "big")
        return apply(bytes(made), every)

    def wrap(self, kind: str, content: bytes) -> bytes:
        return bytes.fromhex(kind) + vint(len(content), 4) + content

    def with_size(self, data: bytes, node: Node, size: int) -> Edit:
        at = node.start + len(node.kind) // 2
        width = node.body - at
        while size >= (1 << 7 * width) - 1 and width < 8:
            width += 1
        return Edit(at, node.body - at, vint(size, width))

    def claimed(self, node: Node) -> int:
        return node.stop - node.body

    def with_kind(self, data: bytes, node: Node, kind: str) -> Edit:
        return Edit(node.start, len(node.kind) // 2, bytes.fromhex(kind))


def vint(value: int, width: int) -> bytes:
    """An element's size in ``width`` bytes; all ones, unknown, where it takes more."""
    most = (1 << 7 * width) - 1
    return (1 << 7 * width | min(value, most) & most).to_bytes(width, "big")


def _vint_bytes(first: int) -> int:
    return 9 - first.bit_length()


def _parse(data: bytes, at: int, stop: int, path: str) -> Iterator[Node]:
    while at + 2 <= stop:
        name = _vint_bytes(data[at])
        if name > 4 or at + name >= stop or data[at + name] == 0:
            return
        width = _vint_bytes(data[at + name])
        field = data[at + name : at + name + width]
        size = int.from_bytes(field, "big") & (1 << 7 * width) - 1
        kind = data[at : at + name].hex().upper()
        head = name + width
        if size == (1 << 7 * width) - 1 and kind in _MASTERS:
            size = stop - at - head  # unknown: to the end
        if at + head + size > stop:
            return
        inner = f"{path}/{kind}" if path else kind
        children: tuple[Node, ...] = ()
        if kind in _MASTERS and path.count("/") < MOST_NESTED:
            children = tuple(_parse(data, at + head, at + head + size, inner))
        yield Node(kind, at, head, at + head + size, children, inner)
        at += head + size
