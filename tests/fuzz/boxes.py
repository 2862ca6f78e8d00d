"""Mutations of MP4 boxes and of EBML elements: what their fields say, beyond what ``structure`` does."""

from __future__ import annotations

import random

from fuzz import draw
from fuzz.ebml import BLOCK, SIMPLE_BLOCK, TIMESTAMP, Ebml
from fuzz.mp4 import Mp4
from fuzz.structure import Change, change_structure
from fuzz.tree import Edit, Format, Node

_COUNTS = {
    "stts": 4, "ctts": 4, "stss": 4, "stsc": 4, "stco": 4, "co64": 4, "elst": 4, "stsd": 4, "dref": 4,
    "trun": 4,
    "stsz": 8, "stz2": 8, "tfra": 12, "sidx": 22,
}  # fmt: skip
"""Where the number of entries stands in a box's content."""
_ENTRIES = {
    "stts": (8, 8), "ctts": (8, 8), "stss": (8, 4), "stsc": (8, 12), "stco": (8, 4), "co64": (8, 8),
    "elst": (8, 12),
    "stsz": (12, 4), "sidx": (24, 12), "tfra": (16, 11), "trun": (12, 4),
}  # fmt: skip
"""Where entries begin, and their bytes; of some a guess that mutations are glad of."""


def mutate_boxes(dice: random.Random, data: bytes) -> tuple[bytes, str] | None:
    return change_structure(
        dice, Mp4(), data, {"count": (_count, 2), "entry": (_entry, 6), "version": (_version, 2)}
    )


def mutate_elements(dice: random.Random, data: bytes) -> tuple[bytes, str] | None:
    return change_structure(dice, Ebml(), data, {"block": (_block, 4), "time": (_time, 3)})


def _find(dice: random.Random, form: Format, data: bytes, kinds: list[str]) -> Node | None:
    nodes = [node for node in form.parse(data).walk() if node.kind in kinds]
    if not nodes:
        return None
    kind = dice.choice(sorted({node.kind for node in nodes}))
    return dice.choice([node for node in nodes if node.kind == kind])


def _count(dice: random.Random, form: Format, data: bytes, _node: Node) -> Change | None:
    node = _find(dice, form, data, list(_COUNTS))
    if node is None:
        return None
    at, length = node.body + _COUNTS[node.kind], 2 if node.kind == "sidx" else 4
    old = int.from_bytes(data[at : at + length], "big")
    new = dice.choice(
        (0, 1, old - 1, old + 1, 1 << 16, 10_000_000, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
    )
    new %= 1 << 8 * length
    edits = [Edit(at, length, new.to_bytes(length, "big"))]
    if node.kind == "stsz" and dice.random() < 0.5:  # one size for all: no table has to back the count
        edits = [Edit(at - 4, 8, dice.choice((1, 4, 1024)).to_bytes(4, "big") + new.to_bytes(4, "big"))]
    return edits, f"{node.path} claims {new} entries instead of {old}"


def _entry(dice: random.Random, form: Format, data: bytes, _node: Node) -> Change | None:
    """An entry of a table: changed, removed, repeated, or two swapped; the count is right or not."""
    node = _find(dice, form, data, list(_ENTRIES))
    if node is None:
        return None
    first, step = _ENTRIES[node.kind]
    entries = (node.stop - node.body - first) // step
    if entries < 1:
        return None
    number = dice.randrange(entries)
    at = node.body + first + number * step
    what = dice.choice(("changed", "changed", "changed", "removed", "repeated", "swapped"))
    if what == "changed":
        width = 8 if node.kind == "co64" else dice.choice((4, 4, 2)) if step >= 4 else step
        place = at + dice.randrange(step // width) * width
        old = int.from_bytes(data[place : place + width], "big")
        new = draw.number(dice, old, width)
        edit = Edit(place, width, new.to_bytes(width, "big"))
        return [edit], f"{node.path} entry {number}: {old} becomes {new}"
    if what == "swapped":
        other = node.body + first + dice.randrange(entries) * step
        if other == at:
            return None
        edits = [Edit(at, step, data[other : other + step]), Edit(other, step, data[at : at + step])]
        return edits, f"{node.path} entries {number} and {(other - node.body - first) // step} are swapped"
    edits = [Edit(at, step, b"") if what == "removed" else Edit(at, 0, data[at : at + step])]
    if dice.random() < 0.7:
        place, length = node.body + _COUNTS[node.kind], 2 if node.kind == "sidx" else 4
        count = int.from_bytes(data[place : place + length], "big") + (-1 if what == "removed" else 1)
        edits.append(Edit(place, length, (count % (1 << 8 * length)).to_bytes(length, "big")))
    return edits, f"{node.path} entry {number} is {what}{', counted' if len(edits) > 1 else ''}"


def _version(dice: random.Random, _form: Format, data: bytes, node: Node) -> Change | None:
    """Version or flags of a full box."""
    if node.stop - node.body < 4:
        return None
    word = int.from_bytes(data[node.body : node.body + 4], "big")
    new = dice.choice((word ^ 1 << 24, word ^ 1 << dice.randrange(24), draw.number(dice, word, 4)))
    return [Edit(node.body, 4, new.to_bytes(4, "big"))], f"{node.path}: version and flags become 0x{new:08x}"


def _block(dice: random.Random, form: Format, data: bytes, _node: Node) -> Change | None:
    """Track number, time, or flags (lacing among them) of a block."""
    node = _find(dice, form, data, [SIMPLE_BLOCK, BLOCK])
    if node is None or node.stop - node.body < 4:
        return None
    edit = draw.field(dice, data, node.body, node.body + 4)
    return (edit and ([edit], f"{node.path} at {node.start}: its head has 0x{edit.new.hex()}")) or None


def _time(dice: random.Random, form: Format, data: bytes, _node: Node) -> Change | None:
    """A time, a duration, or a scale of times."""
    node = _find(dice, form, data, [TIMESTAMP, "2AD7B1", "4489", "23E383", "B3", "9B"])
    if node is None or node.stop == node.body:
        return None
    length = node.stop - node.body
    old = int.from_bytes(data[node.body : node.stop], "big")
    new = draw.number(dice, old, length)
    return [Edit(node.body, length, new.to_bytes(length, "big"))], f"{node.path}: {old} becomes {new}"
