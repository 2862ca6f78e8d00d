"""What looking through an archive came to, for people: what was found, what was skipped and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clipline.contract.text import shorten

NO_CAMERA = "neither its name nor a folder tells its camera"
NO_TEXT = "its name or a folder's holds control characters or is no text"
EMPTY = "it is empty"
UNREADABLE = "it can't be read"
NO_LENGTH = "it has no sensible length"
NO_MP4 = "it is no MP4 file"
FOLDER = "its folder can't be read"


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was left out, and why."""

    key: str
    reason: str
    detail: str = ""
    """What is particular to this file; files are counted by ``reason``."""


@dataclass(frozen=True)
class Found:
    """All of it."""

    recordings: int
    cameras: int
    skipped: tuple[Skipped, ...]
    growing: int = 0
    """Files that are being written."""

    def __str__(self) -> str:
        """``Found 412 recordings of 2 cameras; 3 skipped because ...``, one line."""
        found = f"Found {_count(self.recordings, 'recording')} of {_count(self.cameras, 'camera')}"
        if self.growing:
            found += f", {self.growing} more being written"
        by_reason: dict[str, list[Skipped]] = {}
        for one in self.skipped:
            by_reason.setdefault(one.reason, []).append(one)
        return "; ".join([found, *(_told(reason, several) for reason, several in by_reason.items())])


def _told(reason: str, several: Iterable[Skipped]) -> str:
    first, *others = several
    named = first.key + (f": {first.detail}" if first.detail else "")
    more = ", ..." if others else ""
    return f"{1 + len(others)} skipped because {reason} ({shorten(named, 160)}{more})"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
