"""Boxes of real recordings, written anew: what recorders write and FFmpeg's muxer does not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from media.boxes import walk
from media.truth import Recorded

_CONTAINERS = frozenset({"moov", "trak", "mdia", "minf", "stbl", "edts", "dinf", "mvex", "moof", "traf"})

Change = Callable[[str, bytes], bytes | None]
"""Given the path of a box (``moov/trak0/mdia``, traks numbered) and its content: whole boxes in its place;
None: the box stays."""


def box(kind: str, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind.encode("latin-1")) + content


def full_box(kind: str, version: int, *parts: bytes) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *parts)


def rewrite(data: bytes, change: Change, before: str = "") -> bytes:
    """The boxes of ``data`` with those replaced that ``change`` replaces."""
    made = []
    traks = 0
    for kind, content in walk(data):
        name = kind
        if kind == "trak":
            name, traks = f"trak{traks}", traks + 1
        path = f"{before}/{name}" if before else name
        changed = change(path, content)
        if changed is None:
            changed = box(kind, rewrite(content, change, path) if kind in _CONTAINERS else content)
        made.append(changed)
    return b"".join(made)


def patch(recorded: Recorded, change: Change) -> Recorded:
    """The recording, whose index stands behind its footage, so that no sample moves."""
    data = recorded.path.read_bytes()
    made = rewrite(data, change)
    assert made.index(b"mdat") == data.index(b"mdat")
    assert made != data
    return replace(recorded, path=_write(recorded.path, made))


def _write(path: Path, data: bytes) -> Path:
    patched = path.with_suffix(f".patched{path.suffix}")
    patched.write_bytes(data)
    return patched


def replaced(wanted: str, *boxes: bytes) -> Change:
    """``boxes`` in place of the one at the path ``wanted``."""

    def change(path: str, _content: bytes) -> bytes | None:
        return b"".join(boxes) if path == wanted else None

    return change


def edit_list(*edits: tuple[int, int] | tuple[int, int, float], version: int = 0) -> bytes:
    """``edts`` of (duration in the movie's ticks, media time, speed if it is not 1)."""
    layout = ">QqI" if version else ">IiI"
    entries = [struct.pack(layout, edit[0], edit[1], int((*edit, 1)[2] * 0x10000)) for edit in edits]
    return box("edts", full_box("elst", version, struct.pack(">I", len(edits)), *entries))


def packed(code: str, numbers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(numbers)}{code}", *numbers)
