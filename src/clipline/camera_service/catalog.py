"""Cameras and their recordings, in one SQLite file; ``clip_records`` keeps the clips in the same file.

Objective: what the camera API is asked is answered by one indexed query, from several threads and
processes, for millions of recordings, and a clip's record survives a power cut once it was acknowledged.
Caveat: the file has to lie on a local disk; WAL does not work over a network file system.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from clipline.camera_service.clip_records import ClipRecords
from clipline.camera_service.schema import APPLICATION_ID, MIGRATIONS
from clipline.contract.errors import Conflict, NotFound, Refused
from clipline.contract.interval import LATEST_MS, Interval
from clipline.contract.recording import ALIAS
from clipline.contract.text import ID
from clipline.database import Database

_COLUMNS = (
    "alias, recordings.name, path, coalesce(file, recordings.name), start_ms, end_ms, size_bytes, "
    "modified_ns, told_by"
)
_JOINED = "recordings JOIN cameras ON camera = cameras.number JOIN folders ON folder = folders.number"
_TYPICAL_OF = 9
"""Recordings that tell how long the next one will be."""


@dataclass(frozen=True)
class Camera:
    """``id`` is what requests name, ``alias`` what files are named after, ``name`` what people read."""

    id: str
    alias: str
    name: str


@dataclass(frozen=True)
class StoredRecording:
    """A recording that was found."""

    alias: str
    name: str
    """The last part of recordingUrl; no other recording of the camera has it."""
    key: str
    """Where it lies below the root of recordings, parts separated by slashes."""
    span: Interval
    size_bytes: int
    modified_ns: int
    """When it was written last, nanoseconds since the epoch."""
    told_by: str = "name"
    """Where its start comes from: ``name``, ``creation_time`` or ``modified``."""

    @property
    def folder(self) -> str:
        """The part of ``key`` before its last slash; empty for the root."""
        return self.key.rpartition("/")[0]


@dataclass(frozen=True)
class Extent:
    """From when to when a camera has recordings."""

    first_ms: int
    last_ms: int
    """When the last one ends."""
    typical_ms: int
    """How long its recordings of late are: their median."""


class Catalog:
    """The file at ``path``, made if it is not there. Safe to use from several threads.

    Every method raises Unavailable when the file is locked for too long or the disk fails; opening raises
    Refused when the file can't be one, is no catalog, or is one of a later version.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "the catalog", MIGRATIONS, APPLICATION_ID)
        self.clips = ClipRecords(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def check(self) -> None:
        """Raise Unavailable if the catalog can't be read."""
        with self._database.read("check") as db:
            db.execute("SELECT count(*) FROM cameras").fetchone()

    def counts(self) -> Mapping[str, int]:
        """How many cameras, recordings and clips there are, by those words."""
        with self._database.read("count") as db:
            row = db.execute(
                "SELECT count(*), coalesce(sum(recordings), 0), "
                "(SELECT count(*) FROM clips WHERE deleted = 0) FROM cameras"
            ).fetchone()
        return dict(zip(("cameras", "recordings", "clips"), row, strict=True))

    def cameras(self) -> Sequence[Camera]:
        """All cameras, in the order of their names."""
        with self._database.read("list cameras") as db:
            rows = db.execute("SELECT id, alias, name FROM cameras ORDER BY name, id").fetchall()
        return [Camera(*row) for row in rows]

    def camera(self, camera_id: str) -> Camera:
        """Raises NotFound."""
        with self._database.read("find camera") as db:
            row = db.execute("SELECT id, alias, name FROM cameras WHERE id = ?", (camera_id,)).fetchone()
        if row is None:
            raise NotFound("find camera", camera_id, "the catalog has no such camera")
        return Camera(*row)

    def put_camera(self, camera: Camera, *, new: bool = False) -> None:
        """Add a camera, or change the alias and name of the one with this id, unless it has to be ``new``.

        Raises Conflict when another camera has the alias, and Refused when id or alias can't be one.
        """
        changing = "ON CONFLICT (id) DO UPDATE SET alias = excluded.alias, name = excluded.name"
        with self._database.write("store camera") as db:
            _put_camera(db, camera, "" if new else changing)

    def recordings(
        self, alias: str, interval: Interval, *, whole: bool = False, most: int = -1
    ) -> Sequence[StoredRecording]:
        """The recordings of camera ``alias`` that overlap ``interval``, in the order of time.

        With ``whole`` only those that lie wholly within it; ``most`` of them, -1 for all. Raises NotFound
        for an unknown alias.
        """
        condition = (
            "start_ms >= :start_ms AND end_ms <= :end_ms AND end_ms > :start_ms"
            if whole
            # What begins before the end, ends before the end and the longest recording.
            else "start_ms < :end_ms AND end_ms > :start_ms AND end_ms < :end_ms + :longest_ms"
        )
        bounds = {"start_ms": interval.start_ms, "end_ms": interval.end_ms, "most": most}
        with self._database.read("list recordings") as db:
            number, longest_ms = _number(db, alias)
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM {_JOINED} "
                f"WHERE camera = :camera AND {condition} ORDER BY start_ms, recordings.name LIMIT :most",
                {**bounds, "camera": number, "longest_ms": longest_ms},
            ).fetchall()
        return [_recording(*row) for row in rows]

    def spans(self, alias: str, interval: Interval) -> Sequence[tuple[int, int]]:
        """``[start, end)`` of what ``recordings`` would give, in milliseconds, by index alone."""
        with self._database.read("list spans") as db:
            number, longest_ms = _number(db, alias)
            return db.execute(
                "SELECT start_ms, end_ms FROM recordings WHERE camera = ? AND start_ms < ? AND end_ms > ? "
                "AND end_ms < ? ORDER BY start_ms",
                (number, interval.end_ms, interval.start_ms, interval.end_ms + longest_ms),
            ).fetchall()

    def extents(self) -> Mapping[str, Extent]:
        """Of every camera that has recordings, by its id."""
        with self._database.read("list extents") as db:
            rows = db.execute("SELECT number, id FROM cameras WHERE recordings > 0").fetchall()
            return {identifier: _extent(db, number) for number, identifier in rows}

    def extent(self, alias: str) -> Extent | None:
        """None where the camera has no recordings. Raises NotFound for an unknown alias."""
        with self._database.read("find extent") as db:
            number, longest_ms = _number(db, alias)
            there = db.execute("SELECT recordings > 0 FROM cameras WHERE number = ?", (number,)).fetchone()
            return _extent(db, number) if longest_ms and there[0] else None

    def folder(self, folder: str) -> Mapping[str, StoredRecording]:
        """The recordings that lie directly in ``folder`` ('' is the root), by their keys."""
        with self._database.read("list folder") as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM {_JOINED} WHERE folders.path = ?", (folder,)
            ).fetchall()
        found = [_recording(*row) for row in rows]
        return {one.key: one for one in found}

    def folders(self) -> Sequence[str]:
        """Every folder that holds a recording."""
        with self._database.read("list folders") as db:
            rows = db.execute(
                "SELECT path FROM folders WHERE EXISTS "
                "(SELECT * FROM recordings WHERE folder = folders.number) ORDER BY path"
            ).fetchall()
        return [path for (path,) in rows]

    def changed_elsewhere(self) -> bool:
        """Whether another process has changed it since this was asked last."""
        return self._database.changed_elsewhere()

    def oldest(self, before_ms: int = LATEST_MS, most: int = -1) -> Sequence[StoredRecording]:
        """Recordings of all cameras that end by ``before_ms``, those that end first first; -1: all."""
        with self._database.read("list the oldest recordings") as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM {_JOINED} WHERE end_ms <= ? ORDER BY end_ms LIMIT ?",
                (before_ms, most),
            ).fetchall()
        return [_recording(*row) for row in rows]

    def recorded_bytes(self) -> int:
        """How large all recordings are together."""
        with self._database.read("sum up recordings") as db:
            (total,) = db.execute("SELECT coalesce(sum(size_bytes), 0) FROM recordings").fetchone()
        return int(total)

    def change(
        self,
        cameras: Iterable[Camera] = (),
        put: Iterable[StoredRecording] = (),
        gone: Iterable[tuple[str, str]] = (),
    ) -> None:
        """What was found, at once for every reader: ``put`` is there, ``gone`` (alias and name) is not.

        Cameras are added where their alias is new; what is known of the others (id and name may have been
        given by a person) stays. Raises Conflict when a new camera's id belongs to another alias, and
        NotFound for a recording of an unknown alias.
        """
        with self._database.write("change recordings") as db:
            numbers = dict(db.execute("SELECT alias, number FROM cameras").fetchall())
            for camera in cameras:
                if camera.alias not in numbers:
                    numbers[camera.alias] = _put_camera(db, camera)
            db.executemany(
                "DELETE FROM recordings WHERE camera = ? AND name = ?",
                [(numbers.get(alias), name) for alias, name in gone],
            )
            _put_recordings(db, numbers, list(put))


def _number(db: sqlite3.Connection, alias: str) -> tuple[int, int]:
    """(the camera's number, how long its longest recording is)"""
    row = db.execute("SELECT number, longest_ms FROM cameras WHERE alias = ?", (alias,)).fetchone()
    if row is None:
        raise NotFound("list recordings of", alias, "the catalog has no such camera")
    return row[0], row[1]


def _extent(db: sqlite3.Connection, number: int) -> Extent:
    first = db.execute(
        "SELECT start_ms FROM recordings WHERE camera = ? ORDER BY end_ms LIMIT 1", (number,)
    ).fetchone()
    last = db.execute(
        "SELECT start_ms, end_ms FROM recordings WHERE camera = ? ORDER BY end_ms DESC LIMIT ?",
        (number, _TYPICAL_OF),
    ).fetchall()
    lengths = sorted(end_ms - start_ms for start_ms, end_ms in last)
    return Extent(first[0], last[0][1], lengths[len(lengths) // 2])


def _put_camera(db: sqlite3.Connection, camera: Camera, on_conflict: str = "") -> int:
    if not ID.fullmatch(camera.id) or not ALIAS.fullmatch(camera.alias):
        raise Refused(
            "store camera", f"{camera.id!r} with alias {camera.alias!r}", "one of them is malformed",
            hint="letters, digits, '_' and '-', within an alias also '.'",
        )  # fmt: skip
    try:
        (number,) = db.execute(
            f"INSERT INTO cameras (id, alias, name) VALUES (?, ?, ?) {on_conflict} RETURNING number",
            (camera.id, camera.alias, camera.name),
        ).fetchone()
    except sqlite3.IntegrityError as error:
        raise Conflict(
            "store camera", camera.id, f"its id or its alias {camera.alias} belongs to another camera"
        ) from error
    return int(number)


def _put_recordings(
    db: sqlite3.Connection, numbers: Mapping[str, int], recordings: Sequence[StoredRecording]
) -> None:
    for alias in Counter(one.alias for one in recordings):
        if alias not in numbers:
            raise NotFound("add recordings of", alias, "the catalog has no such camera")
    folders = {
        path: db.execute(
            "INSERT INTO folders (path) VALUES (?) ON CONFLICT (path) DO UPDATE SET path = path "
            "RETURNING number",
            (path,),
        ).fetchone()[0]
        for path in {one.folder for one in recordings}
    }
    db.executemany(
        "INSERT INTO recordings "
        "(camera, name, folder, file, start_ms, end_ms, size_bytes, modified_ns, told_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (camera, name) DO UPDATE SET "
        "folder = excluded.folder, file = excluded.file, start_ms = excluded.start_ms, "
        "end_ms = excluded.end_ms, size_bytes = excluded.size_bytes, modified_ns = excluded.modified_ns, "
        "told_by = excluded.told_by",
        [
            (
                numbers[one.alias], one.name, folders[one.folder], _file(one),
                one.span.start_ms, one.span.end_ms, one.size_bytes, one.modified_ns, one.told_by,
            )
            for one in recordings
        ],
    )  # fmt: skip


def _file(recording: StoredRecording) -> str | None:
    last = recording.key.rpartition("/")[2]
    return None if last == recording.name else last


def _recording(
    alias: str,
    name: str,
    folder: str,
    file: str,
    start_ms: int,
    end_ms: int,
    size_bytes: int,
    modified_ns: int,
    told_by: str,
) -> StoredRecording:
    key = f"{folder}/{file}" if folder else file
    return StoredRecording(alias, name, key, Interval(start_ms, end_ms), size_bytes, modified_ns, told_by)
