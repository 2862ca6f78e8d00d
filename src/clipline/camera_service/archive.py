"""The files of an archive, folder by folder, and which folders changed since they were looked at.

A folder's own modification time tells that a file was added, renamed or removed in it, so that an archive of
millions of files is watched by asking for its folders alone. A bucket has to be listed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Protocol

from clipline.contract.errors import NotFound
from clipline.pipeline.ports import ObjectStore

_COARSE_NS = 2 * 10**9
"""Two changes closer than this may leave the same modification time (FAT counts in two seconds)."""
_HOT_NS = 2 * 86_400 * 10**9
"""Folders changed since then are looked at each time."""
_COLD_AT_A_TIME = 20_000
"""Of the others so many; each costs a few microseconds."""
_LISTING_REST = 10
"""A bucket is listed again after so many times what listing it took."""


@dataclass(frozen=True)
class File:
    """A file, or an object."""

    key: str
    """Below the root, parts separated by slashes."""
    size_bytes: int
    modified_ns: int
    """Since the epoch."""
    changed_ns: int = 0
    """When anything about it changed, as who may read it; 0 in a bucket."""


@dataclass(frozen=True)
class Listing:
    """What lies directly in a folder."""

    folder: str
    """Below the root; '' is the root."""
    files: Mapping[str, File] = field(default_factory=dict)
    """By key; none where the folder is no more."""
    error: str = ""
    """Why it can't be read: what was in it and below is taken to be there still."""


class Archive(Protocol):
    """Where recordings lie."""

    settled: bool
    """Whether files are there as a whole or not at all."""

    def changes(self) -> Iterator[Listing]:
        """Folders that may have changed since the last call, at the first one all.

        Raises NotFound where the archive itself is not there, and what ``ObjectStore.list`` does.
        """

    def file(self, key: str) -> File | None:
        """As it is now; None where it is no more."""

    def is_empty(self) -> bool:
        """Whether nothing at all is there, as where a disk is not mounted."""

    def restart(self) -> None:
        """Let ``changes`` begin with all of it again."""


@dataclass
class _Known:
    modified_ns: int
    listed_ns: int
    identity: tuple[int, int]
    below: frozenset[str] = frozenset()


class FolderArchive:
    """A folder of this machine. What begins with a dot, and the folder ``without``, is left out.

    Folders are followed where links lead, each once.
    """

    settled = False

    def __init__(self, root: Path, without: Path | None = None) -> None:
        self._root = root
        self._without = _identity(without) if without and without.exists() else None
        self._known: dict[str, _Known] = {}
        self._cold: list[str] = []

    def changes(self) -> Iterator[Listing]:
        if not self._root.is_dir():
            raise NotFound("look through", str(self._root), "there is no such folder")
        waiting = [*reversed(self._due()), ""]
        while waiting:
            yield from self._visit(waiting.pop(), waiting)

    def is_empty(self) -> bool:
        return self._root.is_dir() and not any(self._root.iterdir())

    def restart(self) -> None:
        self._known, self._cold = {}, []

    def file(self, key: str) -> File | None:
        try:
            state = (self._root / key).stat()
        except OSError:
            return None
        return _file(key, state)

    def _due(self) -> list[str]:
        hot_ns = time.time_ns() - _HOT_NS
        if not self._cold:
            self._cold = [folder for folder, known in self._known.items() if known.modified_ns < hot_ns]
        now, self._cold = self._cold[:_COLD_AT_A_TIME], self._cold[_COLD_AT_A_TIME:]
        return [*(folder for folder, known in self._known.items() if known.modified_ns >= hot_ns), *now]

    def _visit(self, folder: str, waiting: list[str]) -> Iterator[Listing]:
        """The folder, if it changed; what has to be visited below it is put onto ``waiting``."""
        known, path = self._known.get(folder), self._root / folder
        try:
            state = path.stat()
            if known and known.modified_ns == state.st_mtime_ns and not _may_hide(known):
                waiting += [one for one in known.below if one not in self._known]  # could not be read
                return
            listed_ns = time.time_ns()
            files, below = self._list(folder)
        except FileNotFoundError:
            yield from self._gone(folder)
            return
        except OSError as error:
            yield Listing(folder, error=error.strerror or str(error))
            return
        before = known.below if known else frozenset()
        identity = (state.st_dev, state.st_ino)
        self._known[folder] = _Known(state.st_mtime_ns, listed_ns, identity, frozenset(below))
        yield Listing(folder, files)
        for one in sorted(before - below):
            yield from self._gone(one)
        waiting += sorted((one for one in below if one not in self._known), reverse=True)

    def _list(self, folder: str) -> tuple[Mapping[str, File], set[str]]:
        files, below = {}, set()
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                key = f"{folder}/{entry.name}" if folder else entry.name
                try:
                    if entry.is_dir():
                        if not self._is_left_out(Path(entry.path), key):
                            below.add(key)
                        continue
                    state = entry.stat()
                except OSError:  # gone meanwhile, or a link to nowhere
                    continue
                files[key] = _file(key, state)
        return files, below

    def _is_left_out(self, path: Path, key: str) -> bool:
        identity = _identity(path)
        if identity == self._without:
            return True
        if not path.is_symlink():
            return False
        parts = key.split("/")
        above = ["/".join(parts[:count]) for count in range(len(parts))]
        return any(identity == self._known[one].identity for one in above if one in self._known)

    def _gone(self, folder: str) -> Iterator[Listing]:
        known = self._known.pop(folder, None)
        yield Listing(folder)
        for one in sorted(known.below) if known else ():
            yield from self._gone(one)


class BucketArchive:
    """A bucket, or anything that can be listed; it is listed again after a while."""

    settled = True

    def __init__(self, store: ObjectStore, rest_s: float = 15) -> None:
        """``rest_s`` is the least time from one listing to the next."""
        self._store = store
        self._rest_s = rest_s
        self._known: dict[str, int] = {}
        self._due_s = 0.0

    def changes(self) -> Iterator[Listing]:
        began_s = time.monotonic()
        if began_s < self._due_s:
            return
        found = sorted(self._store.list(""), key=lambda info: _folder_of(info.key))
        spent_s = time.monotonic() - began_s
        self._due_s = time.monotonic() + max(self._rest_s, spent_s * _LISTING_REST)
        gone = set(self._known)
        for folder, infos in groupby(found, lambda info: _folder_of(info.key)):
            gone.discard(folder)
            inside = list(infos)
            fingerprint = hash(tuple((info.key, info.size_bytes, info.version) for info in inside))
            if self._known.get(folder) == fingerprint:
                continue
            self._known[folder] = fingerprint
            files = {one.key: File(one.key, one.size_bytes, (one.modified_ms or 0) * 10**6) for one in inside}
            yield Listing(folder, files)
        for folder in sorted(gone):
            del self._known[folder]
            yield Listing(folder)

    def is_empty(self) -> bool:
        return False  # what is not in a bucket was removed

    def restart(self) -> None:
        self._known, self._due_s = {}, 0.0

    def file(self, key: str) -> File | None:
        try:
            info = self._store.head(key)
        except NotFound:
            return None
        return File(key, info.size_bytes, (info.modified_ms or 0) * 10**6)


def _may_hide(known: _Known) -> bool:
    """Whether something may have changed after the listing without a new modification time."""
    return abs(known.listed_ns - known.modified_ns) < _COARSE_NS


def _file(key: str, state: os.stat_result) -> File:
    return File(key, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def _folder_of(key: str) -> str:
    return key.rpartition("/")[0]
