"""Recordings become known: what lies in an archive is read once and goes into the catalog, as it changes.

A file is offered when nobody writes to it any more: its size and time rest for ``SETTLE_S``, and its index
can be read. What was written lately and can't be read yet counts as being written. Nothing is changed in the
archive, and nothing is passed over in silence: what looks like a recording and can't be used is listed with
a reason.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from clipline.camera_service.archive import Archive, File, Listing
from clipline.camera_service.camera_ids import camera_id, derived_id
from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.camera_service.found import (
    EMPTY,
    FOLDER,
    NO_CAMERA,
    NO_LENGTH,
    NO_MP4,
    NO_TEXT,
    UNREADABLE,
    Found,
    Skipped,
)
from clipline.camera_service.layouts import Layouts, Place
from clipline.contract.errors import CliplineError, Unavailable
from clipline.contract.interval import LATEST_MS, Interval
from clipline.contract.recording import SAFE_NAME
from clipline.media.index import RecordingIndex, read_index
from clipline.pipeline.ports import ObjectStore
from clipline.pipeline.source import StoreSource

SUFFIXES = frozenset({".mp4", ".m4v", ".mov"})
_OTHER_VIDEO = frozenset({".ts", ".mkv", ".avi", ".dav", ".flv", ".mpg", ".264", ".265", ".h264", ".h265"})

SETTLE_S = 2.0
_FRESH_S = 15 * 60
"""What can't be read is taken to be in the making for so long after it was written to last."""
_WATCHED_S = 15 * 60
"""A recording is watched for so long after it was written to last: the writer may have paused."""
_WATCHED_EVERY_S = 10
_AGAIN_S = 60
"""Until what could not be read for want of an answer is tried again, and looked at whether it changed."""
_COUNTED_EACH = 200
"""Files after which progress is told."""
_AT_A_TIME = 200
"""Recordings that become known in one transaction."""
_LONGEST_NAME = 200

OnProgress = Callable[[int, int], None]
"""Called with (recordings read, files looked at) by this look."""


@dataclass
class _Watched:
    """A file that may change."""

    file: File
    place: Place
    known: StoredRecording | None
    """What the catalog has of it."""
    since_s: float
    """When it was seen first as it is, monotonic."""
    again_s: float = 0
    """When it may be read again, monotonic."""
    due_s: float = 0
    """When it is looked at again, monotonic."""
    growing: bool = True
    """Whether it is to become a recording yet."""


class Discovery:
    """Of one archive, whose objects ``store`` gives. For one thread, but for ``growing`` and ``found``."""

    def __init__(
        self,
        catalog: Catalog,
        archive: Archive,
        store: ObjectStore,
        layouts: Layouts,
        *,
        settle_s: float = SETTLE_S,
        on_change: Callable[[set[str]], None] = lambda _: None,
    ) -> None:
        """``on_change`` is told the aliases of cameras whose recordings changed."""
        self._catalog = catalog
        self._archive = archive
        self._store = store
        self._layouts = layouts
        self._settle_s = 0 if archive.settled else settle_s
        self._on_change = on_change
        self._first = True
        self._watched: dict[str, _Watched] = {}
        self._skipped: dict[str, tuple[File, Skipped]] = {}
        self._unread: dict[str, Skipped] = {}
        self._put: dict[str, tuple[Camera, StoredRecording]] = {}
        self._gone: list[StoredRecording] = []
        self._read = self._looked_at = 0
        self._unreadable_due_s = 0.0
        self._on_progress: OnProgress = lambda _read, _looked_at: None

    def growing(self) -> Mapping[str, int]:
        """By camera alias, when the recording starts that is being written."""
        starts: dict[str, int] = {}
        for one in list(self._watched.values()):
            if one.growing and one.known is None and one.place.starts_ms:
                alias = one.place.alias
                starts[alias] = max(starts.get(alias, 0), one.place.starts_ms[0])
        return starts

    @property
    def unsettled(self) -> bool:
        """Whether a file may become a recording in a moment."""
        return any(
            one.growing and time.time() - one.file.modified_ns / 1e9 < 2 * self._settle_s
            for one in list(self._watched.values())
        )

    def found(self) -> Found:
        """All that is known by now."""
        skipped = [*list(self._unread.values()), *(one for _, one in list(self._skipped.values()))]
        growing = sum(one.growing for one in list(self._watched.values()))
        return Found(
            self._catalog.counts()["recordings"], len(self._catalog.extents()), tuple(skipped), growing
        )

    def look(self, on_progress: OnProgress = lambda _read, _looked_at: None) -> None:
        """Bring the catalog up to date, at the first call with all of the archive.

        Raises what ``Archive.changes`` and the catalog do; the next look begins with all of it then.
        """
        self._read = self._looked_at = 0
        self._on_progress = on_progress
        try:
            self._look()
        except BaseException:
            self._archive.restart()
            self._first = True
            raise

    def _look(self) -> None:
        self._check_not_emptied()
        seen: set[str] = set()
        for listing in self._archive.changes():
            seen.add(listing.folder)
            self._take(listing)
            self._tell_progress()
        for watched in list(self._watched.values()):
            self._look_again(watched)
        self._look_at_unreadable()
        if self._first:
            self._forget_all_but(seen)
            self._first = False
        self._store_changes()
        self._tell_progress()

    def _tell_progress(self) -> None:
        self._on_progress(self._read, self._looked_at)

    def _take(self, listing: Listing) -> None:
        folder = listing.folder
        if listing.error:
            self._unread[folder] = Skipped(_shown(folder) or ".", FOLDER, listing.error)
            return
        self._unread.pop(folder, None)
        known = self._catalog.folder(folder) if _is_text(folder) else {}
        for key, file in listing.files.items():
            suffix = PurePosixPath(key).suffix.lower()
            if suffix in _OTHER_VIDEO:
                self._skip(file, NO_MP4)
            elif suffix in SUFFIXES:
                self._looked_at += 1
                if self._looked_at % _COUNTED_EACH == 0:
                    self._tell_progress()
                self._take_file(file, known.get(key))
        self._gone += [recording for key, recording in known.items() if key not in listing.files]
        for key in [*self._skipped, *self._watched]:
            if key.rpartition("/")[0] == folder and key not in listing.files:
                self._skipped.pop(key, None)
                self._watched.pop(key, None)

    def _take_file(self, file: File, known: StoredRecording | None) -> None:
        key = file.key
        before = self._watched.get(key) or self._skipped.get(key, (None,))[0]
        if (before.file if isinstance(before, _Watched) else before) == file:
            return
        if not _is_text(key):
            self._skip(file, NO_TEXT)
            return
        place = self._layouts.read(key)
        if place is None:
            self._skip(file, NO_CAMERA, known=known)
        elif known is None or not _same(known, file, place):
            if known and (known.alias, known.name) != (place.alias, _name(key, place)):
                self._gone.append(known)
                known = None
            self._watched[key] = _Watched(file, place, known, time.monotonic())
            self._look_again(self._watched[key])

    def _look_again(self, watched: _Watched) -> None:
        """At a file that may change: as it is now, and whether it rests."""
        now_s = time.monotonic()
        if now_s < watched.due_s:
            return
        if not self._archive.settled:
            current = self._archive.file(watched.file.key)
            if current is None:
                return  # its folder tells
            if current != watched.file:
                watched.file, watched.since_s, watched.again_s, watched.growing = current, now_s, 0, True
        age_s = time.time() - watched.file.modified_ns / 1e9
        # Later on, what the file's own time says is not enough: a share's clock may be behind.
        rests = now_s - watched.since_s >= self._settle_s or (self._first and age_s >= self._settle_s)
        if watched.growing and rests and now_s >= watched.again_s:
            self._read_file(watched, fresh=self._settle_s > 0 and age_s < _FRESH_S)
        if not watched.growing:
            watched.due_s = now_s + _WATCHED_EVERY_S
            if self._settle_s == 0 or age_s > _WATCHED_S:
                self._watched.pop(watched.file.key, None)

    def _look_at_unreadable(self) -> None:
        """Whether they were written on, or may be read now: neither shows in the time of their folder."""
        now_s = time.monotonic()
        if self._archive.settled or now_s < self._unreadable_due_s:
            return
        self._unreadable_due_s = now_s + _AGAIN_S
        for key, (_, skipped) in list(self._skipped.items()):
            current = self._archive.file(key) if skipped.reason in (UNREADABLE, EMPTY) else None
            if current is not None:
                self._take_file(current, None)

    def _read_file(self, watched: _Watched, *, fresh: bool) -> None:
        file, known = watched.file, watched.known
        try:
            index = read_index(StoreSource(self._store, file.key, PurePosixPath(file.key).name))
        except CliplineError as error:
            if fresh or error.retryable:
                watched.again_s = time.monotonic() + (_AGAIN_S if error.retryable else _FRESH_S)
                return
            detail = str(error).removeprefix(f"{PurePosixPath(file.key).name}: ")
            self._skip(file, UNREADABLE if file.size_bytes else EMPTY, detail, known=known)
        else:
            self._read += 1
            recording = _recording(file, watched.place, index)
            if recording is None:
                self._skip(file, NO_LENGTH, f"{index.length_ms} ms", known=known)
            else:
                self._keep(watched.place, recording)
                watched.known = recording
        watched.growing = False

    def _keep(self, place: Place, recording: StoredRecording) -> None:
        self._skipped.pop(recording.key, None)
        self._put[recording.key] = Camera(camera_id(place.alias), place.alias, place.camera), recording
        if len(self._put) >= _AT_A_TIME:
            self._store_changes()

    def _skip(
        self, file: File, reason: str, detail: str = "", *, known: StoredRecording | None = None
    ) -> None:
        self._skipped[file.key] = file, Skipped(_shown(file.key), reason, detail)
        if known is not None:
            self._gone.append(known)

    def _check_not_emptied(self) -> None:
        """Rather than that all was deleted, its disk is not there."""
        recordings = self._catalog.counts()["recordings"] if self._archive.is_empty() else 0
        if recordings:
            raise Unavailable(
                "look through", "the recordings", f"nothing is there, where {recordings:,} were found before",
                hint="is the disk mounted?",
            )  # fmt: skip

    def _forget_all_but(self, seen: set[str]) -> None:
        """Recordings in folders that are no more. Below what can't be read they are taken to be there."""
        for folder in self._catalog.folders():
            parts = folder.split("/")
            above = {"/".join(parts[:count]) for count in range(len(parts) + 1)}
            if folder not in seen and not above & self._unread.keys():
                self._gone += self._catalog.folder(folder).values()

    def _store_changes(self) -> None:
        if not self._put and not self._gone:
            return
        put = [recording for _, recording in self._put.values()]
        there = {(one.alias, one.name) for one in put}
        gone = {(one.alias, one.name) for one in self._gone} - there
        cameras = list(self._new_cameras(camera for camera, _ in self._put.values()))
        self._catalog.change(cameras, put, gone)
        self._put, self._gone = {}, []
        self._on_change({alias for alias, _ in there | gone})

    def _new_cameras(self, cameras: Iterable[Camera]) -> Iterable[Camera]:
        """Those whose alias is new, under an id that no other camera has."""
        known = self._catalog.cameras()
        aliases, ids = {one.alias for one in known}, {one.id for one in known}
        for camera in cameras:
            if camera.alias not in aliases:
                identifier = camera.id if camera.id not in ids else derived_id(camera.alias)
                aliases.add(camera.alias)
                ids.add(identifier)
                yield Camera(identifier, camera.alias, camera.name)


def _is_text(key: str) -> bool:
    """Whether an object key may be called so; '' is the root."""
    return all(SAFE_NAME.fullmatch(part) for part in key.split("/")) if key else True


def _shown(key: str) -> str:
    return key.encode("utf-8", "replace").decode()


def _same(known: StoredRecording, file: File, place: Place) -> bool:
    """Whether what is known of the file still holds, under the layouts of today."""
    return (
        (known.size_bytes, known.modified_ns, known.alias) == (file.size_bytes, file.modified_ns, place.alias)
        and bool(place.starts_ms) == (known.told_by == "name")
        and (not place.starts_ms or known.span.start_ms in place.starts_ms)
    )


def _recording(file: File, place: Place, index: RecordingIndex) -> StoredRecording | None:
    """None where it shows no instant that can be asked for."""
    written_ms = file.modified_ns // 10**6
    told_by = "name"
    if place.starts_ms:
        # Where clocks were set back: the one that ended when the file was written last.
        start_ms = min(place.starts_ms, key=lambda one: abs(one + index.length_ms - written_ms))
    elif index.created_ms is not None:
        start_ms, told_by = index.created_ms, "creation_time"
    else:
        start_ms, told_by = written_ms - index.length_ms, "modified"
    end_ms = start_ms + index.length_ms
    if not 0 <= start_ms < end_ms <= LATEST_MS:
        return None
    name = _name(file.key, place)
    span = Interval(start_ms, end_ms)
    return StoredRecording(place.alias, name, file.key, span, file.size_bytes, file.modified_ns, told_by)


def _name(key: str, place: Place) -> str:
    """Of the recording among its camera's: the file's where all lie in one folder, else made of its key."""
    folder, _, name = key.rpartition("/")
    if folder in ("", place.camera):
        return name
    joined = key.replace("/", "~")
    if len(joined) <= _LONGEST_NAME:
        return joined
    return f"{hashlib.sha256(key.encode()).hexdigest()[:16]}~{name[-_LONGEST_NAME:]}"
