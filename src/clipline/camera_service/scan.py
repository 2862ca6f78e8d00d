"""What recordings lie in a folder.

Two layouts are known, told apart by whether any subfolder holds a recording:

    one folder per camera    recordings/pier/pier.20180916T160017000.mp4    the folder's name is the alias
    flat                     recordings/pier.stream.20180916T160017000.mp4  the part before the first dot is

A recording's start comes from its name, its length from the file itself. Nothing is changed on disk, and
nothing is passed over in silence: what looks like a recording and can't be used is listed with a reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clipline.camera_service.catalog import Camera, StoredRecording
from clipline.contract.errors import CliplineError, NotFound
from clipline.contract.interval import LATEST_MS, Interval
from clipline.contract.recording import ALIAS, SAFE_NAME, NameFormat
from clipline.contract.text import ID, shorten

SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was left out, and why."""

    path: Path
    reason: str
    detail: str = ""
    """What is particular to this file; files are counted by ``reason``."""


@dataclass(frozen=True)
class Scan:
    """What a folder holds."""

    cameras: tuple[Camera, ...]
    """In the order of their aliases."""
    recordings: tuple[StoredRecording, ...]
    skipped: tuple[Skipped, ...]
    folder_per_camera: bool
    """The layout: RECORDING_KEY is ``{alias}/{name}`` if true, ``{name}`` if not."""

    def __str__(self) -> str:
        """``Found 412 recordings of 2 cameras; 3 skipped because ...``, for people."""
        found = f"Found {_count(len(self.recordings), 'recording')} of {_count(len(self.cameras), 'camera')}"
        if not self.skipped:
            return found
        by_reason: dict[str, list[Skipped]] = {}
        for one in self.skipped:
            by_reason.setdefault(one.reason, []).append(one)
        parts = []
        for reason, several in by_reason.items():
            first = several[0].path.name + (f": {several[0].detail}" if several[0].detail else "")
            more = ", ..." if len(several) > 1 else ""
            parts.append(f"{len(several)} skipped because {reason} ({shorten(first, 160)}{more})")
        return "; ".join([found, *parts])


def scan(
    root: Path,
    names: NameFormat,
    duration_ms: Callable[[Path], int],
    *,
    known: Mapping[str, StoredRecording] | None = None,
) -> Scan:
    """Look through ``root``.

    ``duration_ms`` opens a file and tells how long it is; the CliplineError or OSError that it raises
    becomes the reason for skipping the file. ``known``, by key, saves it the files whose
    place, start and size are the same as before. Raises NotFound where ``root`` is no folder.
    """
    if not root.is_dir():
        raise NotFound("scan", str(root), "there is no such folder")
    root = root.resolve()
    subfolders = [entry for entry in _visible(root) if entry.is_dir()]
    folder_per_camera = any(
        _looks_like_a_recording(path) for folder in subfolders for path in _visible(folder)
    )
    recordings: list[StoredRecording] = []
    skipped: list[Skipped] = []
    for path, alias in _candidates(root, folder_per_camera):
        found = (
            Skipped(path, "it lies outside the folders of the cameras")
            if alias is None
            else _look(path, str(path.relative_to(root)), alias, names, duration_ms, known or {})
        )
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            recordings.append(found)
    aliases = sorted({recording.alias for recording in recordings})
    cameras = tuple(Camera(camera_id(alias), alias, alias) for alias in aliases)
    return Scan(cameras, tuple(recordings), tuple(skipped), folder_per_camera)


def camera_id(alias: str) -> str:
    """The id of the camera with this alias: the alias itself where it can be one, else derived from it."""
    if ID.fullmatch(alias):
        return alias
    digest = hashlib.sha256(alias.encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9_-]', '-', alias)[:55]}-{digest}"


def _candidates(root: Path, folder_per_camera: bool) -> Iterator[tuple[Path, str | None]]:
    """Each file that looks like a recording, with its alias; None where the layout has no place for it."""
    for entry in _visible(root):
        if not entry.is_dir():
            if _looks_like_a_recording(entry):
                yield entry, None if folder_per_camera else entry.name.partition(".")[0]
            continue
        for path in _visible(entry):
            if path.is_dir():
                # One level deeper and beyond: a layout by date, say, that no key could be made for.
                yield from ((deep, None) for deep in sorted(path.rglob("*")) if _looks_like_a_recording(deep))
            elif _looks_like_a_recording(path):
                yield path, entry.name


def _look(
    path: Path,
    key: str,
    alias: str,
    names: NameFormat,
    duration_ms: Callable[[Path], int],
    known: Mapping[str, StoredRecording],
) -> StoredRecording | Skipped:
    if not ALIAS.fullmatch(alias):
        return Skipped(path, "no camera alias can be read from its name or folder", repr(alias))
    if not all(SAFE_NAME.fullmatch(part) for part in path.parts[1:]):
        return Skipped(path, "its name or a folder's holds control characters or is no text")
    start = names.start_ms(path.name)
    if start is None or start[0] < 0:
        return Skipped(path, f"its name does not end in a time like {names.name(alias, 1_537_113_617_000)}")
    start_ms = start[0]
    try:
        state = path.stat()
        size_bytes, modified_ns = state.st_size, state.st_mtime_ns
        if size_bytes == 0:
            return Skipped(path, "it is empty")
        before = known.get(key)
        same = before and (before.alias, before.size_bytes, before.span.start_ms)
        if before and same == (alias, size_bytes, start_ms):
            return before
        end_ms = start_ms + duration_ms(path)
    except (CliplineError, OSError) as error:
        return Skipped(path, "it can't be read", str(error))
    if not start_ms < end_ms <= LATEST_MS:
        return Skipped(path, "it has no sensible length", f"{end_ms - start_ms} ms")
    return StoredRecording(alias, path.name, key, Interval(start_ms, end_ms), size_bytes, modified_ns)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _looks_like_a_recording(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
