"""Nested parts of a file, MP4 boxes or EBML elements, and changes of bytes that keep the rest in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, eq=False)
class Node:
    """A part: bytes ``[start, stop)``, of which the first ``head`` tell its kind and size."""

    kind: str
    start: int
    head: int
    stop: int
    children: tuple[Node, ...] = ()
    path: str = ""

    @property
    def body(self) -> int:
        """Where its content begins."""
        return self.start + self.head

    def walk(self) -> Iterator[Node]:
        """All parts within, from front to back, each before those inside it."""
        for child in self.children:
            yield child
            yield from child.walk()

    def find(self, kind: str) -> list[Node]:
        return [node for node in self.walk() if node.kind == kind]

    def holds(self, edit: Edit) -> bool:
        """Whether it is longer or shorter after the edit."""
        owner = edit.owner
        if owner is not None:
            return self.start <= owner.start and owner.stop <= self.stop
        return self.body <= edit.at and edit.at + edit.length <= self.stop

    def parent(self, node: Node) -> Node:
        """Of a part somewhere within."""
        return next((one for one in self.walk() if node in one.children), self)


class Edit(NamedTuple):
    """``new`` in place of the ``length`` bytes at ``at``."""

    at: int
    length: int
    new: bytes
    owner: Node | None = None
    """The part that it lies in, where that can't be told: between two others."""

    @property
    def grows(self) -> int:
        return len(self.new) - self.length


class Format(Protocol):
    """A container of nested parts."""

    kinds: Sequence[str]

    def parse(self, data: bytes) -> Node:
        """The parts of ``data``, as far as they make sense; the root is no part itself."""

    def rewrite(self, data: bytes, edits: Sequence[Edit], *, sizes: bool, offsets: bool) -> bytes:
        """``data`` with ``edits``, which do not overlap.

        ``sizes``: those of the parts around are made right; ``offsets``: so is what points to bytes
        that move.
        """

    def wrap(self, kind: str, content: bytes) -> bytes:
        """A part of ``content``."""

    def with_size(self, data: bytes, node: Node, size: int) -> Edit:
        """Its header claims ``size``: of the whole part in MP4, of its content in EBML."""

    def claimed(self, node: Node) -> int:
        """What a right header of it claims."""

    def with_kind(self, data: bytes, node: Node, kind: str) -> Edit: ...


def apply(data: bytes, edits: Sequence[Edit]) -> bytes:
    """``data`` with ``edits``, which do not overlap."""
    for edit in sorted(edits, key=lambda one: one.at, reverse=True):
        data = data[: edit.at] + edit.new + data[edit.at + edit.length :]
    return data


def moved(edits: Sequence[Edit], offset: int) -> int:
    """Where the byte at ``offset`` lies after ``edits``."""
    return offset + sum(edit.grows for edit in edits if edit.at + edit.length <= offset)
