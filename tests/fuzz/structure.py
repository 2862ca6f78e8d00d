"""Changes of a file's structure, box by box or element by element, whatever the container."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

from fuzz import draw
from fuzz.tree import Edit, Format, Node

Change = tuple[list[Edit], str]
"""(edits, what they do)"""
Change_of = Callable[[random.Random, Format, bytes, Node], Change | None]


def pick(dice: random.Random, root: Node) -> Node | None:
    """Some part, each kind as likely as any other."""
    by_kind: dict[str, list[Node]] = defaultdict(list)
    for node in root.walk():
        by_kind[node.kind].append(node)
    return dice.choice(by_kind[dice.choice(sorted(by_kind))]) if by_kind else None


def _size(dice: random.Random, form: Format, data: bytes, node: Node) -> Change:
    """What its header claims: boundary values, off by a little, or up to another part's end."""
    claimed = form.claimed(node)
    size = dice.choice(
        (0, 1, 7, 8, node.head, claimed - 1, claimed + 1, claimed * 2, claimed // 2, len(data),
         len(data) - node.start, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 56) - 2, 1 << 63)
    )  # fmt: skip
    return [form.with_size(data, node, size)], f"{node.path} claims {size} bytes"


def _kind(dice: random.Random, form: Format, data: bytes, node: Node) -> Change:
    kind = dice.choice(form.kinds)
    return [form.with_kind(data, node, kind)], f"{node.path} becomes {kind!r}"


def _remove(_dice: random.Random, _form: Format, data: bytes, node: Node) -> Change:
    return [Edit(node.start, node.stop - node.start, b"")], f"{node.path} is removed"


def _repeat(dice: random.Random, form: Format, data: bytes, node: Node) -> Change:
    times = dice.choice((1, 1, 1, 2, 40)) if node.stop - node.start < 10_000 else 1
    whole = data[node.start : node.stop]
    root = form.parse(data)
    behind, where = node, "behind itself"
    if dice.random() < 0.4 and (other := pick(dice, root)) is not None:
        behind, where = other, f"behind {other.path}"
    owner = root.parent(behind) if behind is not node else root.parent(_same(root, node))
    return [Edit(behind.stop, 0, whole * times, owner)], f"{node.path} comes {times + 1} times, {where}"


def _same(root: Node, node: Node) -> Node:
    """The part of ``root`` that ``node`` is, parsed once more."""
    return next(one for one in root.walk() if (one.start, one.stop) == (node.start, node.stop))


def _swap(dice: random.Random, form: Format, data: bytes, node: Node) -> Change | None:
    """Two parts; often two tables of one kind, such as those of video and audio."""
    others = [
        other for other in form.parse(data).walk() if other.stop <= node.start or other.start >= node.stop
    ]
    same = [other for other in others if other.kind == node.kind]
    if not others:
        return None
    other = dice.choice(same if same and dice.random() < 0.6 else others)
    edits = [
        Edit(node.start, node.stop - node.start, data[other.start : other.stop]),
        Edit(other.start, other.stop - other.start, data[node.start : node.stop]),
    ]
    return edits, f"{node.path} and {other.path} change places"


def _nest(dice: random.Random, form: Format, data: bytes, node: Node) -> Change:
    """Into boxes of another kind, or of its own, many times over."""
    kind = node.kind if dice.random() < 0.5 else dice.choice(form.kinds)
    whole, depth = data[node.start : node.stop], dice.choice((1, 1, 2, 30, 3000))
    if len(whole) > 10_000:
        depth = 1
    for _ in range(depth):
        whole = form.wrap(kind, whole)
    return [Edit(node.start, node.stop - node.start, whole)], f"{node.path} within {kind!r}, {depth} times"


def _move(dice: random.Random, form: Format, data: bytes, node: Node) -> Change | None:
    others = [
        other for other in form.parse(data).walk() if other.stop <= node.start or other.start >= node.stop
    ]
    if not others:
        return None
    other = dice.choice(others)
    at = dice.choice((other.start, other.body))
    edits = [
        Edit(node.start, node.stop - node.start, b""),
        Edit(at, 0, data[node.start : node.stop], other if at == other.body else None),
    ]
    return edits, f"{node.path} goes to {other.path}"


def _shorten(dice: random.Random, form: Format, data: bytes, node: Node) -> Change | None:
    if node.stop == node.body:
        return None
    gone = draw.length(dice, node.stop - node.body)
    at = node.stop - gone if dice.random() < 0.7 else node.body
    return [
        Edit(at, gone, b"")
    ], f"{node.path} loses {gone} bytes at {'its end' if at > node.body else 'its front'}"


def _lengthen(dice: random.Random, form: Format, data: bytes, node: Node) -> Change:
    more = draw.length(dice, 70_000)
    at = node.stop if dice.random() < 0.7 else node.body
    return [Edit(at, 0, draw.junk(dice, more), node)], f"{node.path} grows by {more} bytes"


def _field(dice: random.Random, _form: Format, data: bytes, node: Node) -> Change | None:
    stop = min(node.stop, node.body + 4096)
    edits, told = [], []
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        edit = draw.field(dice, data, node.body, stop)
        if edit is None:
            return None
        if not any(edit.at < other.at + other.length and other.at < edit.at + edit.length for other in edits):
            edits.append(edit)
            told.append(f"{edit.length} bytes at {edit.at - node.body} are 0x{edit.new.hex()}")
    return edits, f"{node.path}: {', '.join(told)}"


CHANGES: dict[str, tuple[Change_of, int]] = {
    "field": (_field, 8), "size": (_size, 3), "kind": (_kind, 2), "remove": (_remove, 2),
    "repeat": (_repeat, 2),
    "swap": (_swap, 2), "nest": (_nest, 1), "move": (_move, 2), "shorten": (_shorten, 2),
    "lengthen": (_lengthen, 2),
}  # fmt: skip
"""Of any part of a container, and how often each is drawn."""


def change_structure(
    dice: random.Random, form: Format, data: bytes, more: dict[str, tuple[Change_of, int]]
) -> tuple[bytes, str] | None:
    """One change of ``CHANGES`` or ``more``, with what is around it made to fit or not."""
    changes = CHANGES | more
    name = dice.choices(list(changes), [weight for _, weight in changes.values()])[0]
    node = pick(dice, form.parse(data))
    made = changes[name][0](dice, form, data, node) if node is not None else None
    if made is None:
        return None
    edits, told = made
    sizes, offsets = dice.random() < 0.7, dice.random() < 0.6
    changed = form.rewrite(data, edits, sizes=sizes, offsets=offsets)
    fitted = [name for name, fits in (("sizes", sizes), ("offsets", offsets)) if fits]
    if sum(edit.grows for edit in edits):
        told += f" ({' and '.join(fitted) or 'nothing'} made to fit)"
    return changed, told
