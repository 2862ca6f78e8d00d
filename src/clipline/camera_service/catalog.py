"""Cameras, their recordings and the records of clips, in one SQLite file.

Objective: what the camera API is asked is answered by one indexed query, from several threads and
processes, and a clip's record survives a power cut once it was acknowledged. Caveat: the file has to lie
on a local disk; WAL does not work over a network file system.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from clipline.contract.errors import Conflict, NotFound, Refused
from clipline.contract.interval import Interval
from clipline.contract.recording import ALIAS
from clipline.contract.result import Status
from clipline.contract.text import ID
from clipline.database import Database

_APPLICATION_ID = 0x434C5043  # "CLPC": what tells this file from another program's database

MIGRATIONS = (
    (
        """
        CREATE TABLE cameras (
            id    TEXT PRIMARY KEY,      -- the cameraId of requests
            alias TEXT NOT NULL UNIQUE,  -- names the camera in file names, folders and URLs
            name  TEXT NOT NULL          -- for people
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE recordings (
            camera     TEXT NOT NULL REFERENCES cameras (id) ON DELETE CASCADE,
            name       TEXT NOT NULL,     -- file name, the last part of recordingUrl
            path       TEXT NOT NULL,     -- of the file on this machine, absolute
            start_ms   INTEGER NOT NULL,  -- first instant shown, since the epoch, UTC
            end_ms     INTEGER NOT NULL,  -- first instant no longer shown
            size_bytes INTEGER NOT NULL,  -- of the file when it was read: another size is another file
            PRIMARY KEY (camera, name),
            CHECK (start_ms < end_ms)
        ) STRICT, WITHOUT ROWID
        """,
        # By the end, because most clips are asked for soon after: what ended before is never looked at.
        "CREATE INDEX recordings_by_time ON recordings (camera, end_ms, start_ms)",
        """
        CREATE TABLE clips (
            clip_id    TEXT PRIMARY KEY,
            metadata   TEXT NOT NULL,    -- the JSON document as it was PUT
            status     TEXT NOT NULL,    -- out of the document; CLIP_AVAILABLE never changes again
            updated_ms INTEGER NOT NULL  -- when it was PUT, since the epoch, UTC
        ) STRICT, WITHOUT ROWID
        """,
    ),
)
"""Entry *n* leads from ``PRAGMA user_version`` *n* to *n* + 1. Entries are only ever added."""


@dataclass(frozen=True)
class Camera:
    """``id`` is what requests name, ``alias`` what files are named after, ``name`` what people read."""

    id: str
    alias: str
    name: str


@dataclass(frozen=True)
class StoredRecording:
    """A recording file on this machine."""

    alias: str
    name: str
    path: str
    """Absolute."""
    span: Interval
    size_bytes: int


@dataclass(frozen=True)
class ClipRecord:
    """The record of a clip: the result metadata that was PUT last, unless it was available before."""

    clip_id: str
    metadata_json: str
    status: str
    updated_ms: int

    @property
    def metadata(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.metadata_json)
        return document


class Catalog:
    """The file at ``path``, made if it is not there. Safe to use from several threads.

    Every method raises Unavailable when the file is locked for too long or the disk fails; opening raises
    Refused when the file can't be one, is no catalog, or is one of a later version.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "the catalog", MIGRATIONS, _APPLICATION_ID)

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
                "SELECT (SELECT count(*) FROM cameras), (SELECT count(*) FROM recordings), "
                "(SELECT count(*) FROM clips)"
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

    def put_camera(self, camera: Camera) -> None:
        """Add a camera, or change the alias and name of the one with this id.

        Raises Conflict when another camera has the alias, and Refused when id or alias can't be one.
        """
        with self._database.write("store camera") as db:
            _put_camera(
                db, camera, "ON CONFLICT (id) DO UPDATE SET alias = excluded.alias, name = excluded.name"
            )

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
            else "start_ms < :end_ms AND end_ms > :start_ms"
        )
        bounds = {"start_ms": interval.start_ms, "end_ms": interval.end_ms, "most": most}
        with self._database.read("list recordings") as db:
            camera = db.execute("SELECT id FROM cameras WHERE alias = ?", (alias,)).fetchone()
            if camera is None:
                raise NotFound("list recordings of", alias, "the catalog has no such camera")
            rows = db.execute(
                "SELECT name, path, start_ms, end_ms, size_bytes FROM recordings "
                f"WHERE camera = :camera AND {condition} ORDER BY start_ms, name LIMIT :most",
                {**bounds, "camera": camera[0]},
            ).fetchall()
        return [_recording(alias, *row) for row in rows]

    def files(self) -> Mapping[str, StoredRecording]:
        """Every recording by its path: what a scan need not read again."""
        with self._database.read("list files") as db:
            rows = db.execute(
                "SELECT alias, recordings.name, path, start_ms, end_ms, size_bytes "
                "FROM recordings JOIN cameras ON camera = id"
            ).fetchall()
        return {row[2]: _recording(*row) for row in rows}

    def replace(self, cameras: Iterable[Camera], recordings: Iterable[StoredRecording]) -> None:
        """Make the recordings exactly these, at once for every reader.

        Cameras are added where their alias is new; what is known of the others (id and name may have been
        given by a person) stays. Raises Conflict when a new camera's id belongs to another alias.
        """
        with self._database.write("replace recordings") as db:
            known = {alias for (alias,) in db.execute("SELECT alias FROM cameras")}
            for camera in cameras:
                if camera.alias not in known:
                    _put_camera(db, camera)
            db.execute("DELETE FROM recordings")
            _insert_recordings(db, recordings)

    def add_recordings(self, recordings: Iterable[StoredRecording]) -> None:
        """Add recordings, or replace those of the same camera and name.

        Raises NotFound for an unknown alias.
        """
        with self._database.write("add recordings") as db:
            _insert_recordings(db, recordings)

    def put_clip(self, clip_id: str, metadata: Mapping[str, Any], updated_ms: int) -> ClipRecord:
        """Store a clip's record and return the one that stands then.

        CLIP_AVAILABLE is absorbing: another status that comes later changes nothing. ``metadata`` has a
        ``status``.
        """
        row = (clip_id, json.dumps(metadata, allow_nan=False), metadata["status"], updated_ms)
        with self._database.write("store clip") as db:
            db.execute(
                "INSERT INTO clips (clip_id, metadata, status, updated_ms) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (clip_id) DO UPDATE SET "
                "metadata = excluded.metadata, status = excluded.status, updated_ms = excluded.updated_ms "
                f"WHERE clips.status <> '{Status.AVAILABLE}' OR excluded.status = '{Status.AVAILABLE}'",
                row,
            )
            return _clip(db, clip_id)

    def clip(self, clip_id: str) -> ClipRecord:
        """Raises NotFound."""
        with self._database.read("find clip") as db:
            return _clip(db, clip_id)


def _put_camera(db: sqlite3.Connection, camera: Camera, on_conflict: str = "") -> None:
    if not ID.fullmatch(camera.id) or not ALIAS.fullmatch(camera.alias):
        raise Refused(
            "store camera", f"{camera.id!r} with alias {camera.alias!r}", "one of them is malformed",
            hint="letters, digits, '_' and '-', within an alias also '.'",
        )  # fmt: skip
    try:
        db.execute(
            f"INSERT INTO cameras (id, alias, name) VALUES (?, ?, ?) {on_conflict}",
            (camera.id, camera.alias, camera.name),
        )
    except sqlite3.IntegrityError as error:
        raise Conflict(
            "store camera", camera.id, f"its id or its alias {camera.alias} belongs to another camera"
        ) from error


def _insert_recordings(db: sqlite3.Connection, recordings: Iterable[StoredRecording]) -> None:
    ids = dict(db.execute("SELECT alias, id FROM cameras").fetchall())
    for one in recordings:
        if one.alias not in ids:
            raise NotFound("add recordings of", one.alias, "the catalog has no such camera")
        db.execute(
            "INSERT OR REPLACE INTO recordings (camera, name, path, start_ms, end_ms, size_bytes) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (ids[one.alias], one.name, one.path, one.span.start_ms, one.span.end_ms, one.size_bytes),
        )


def _recording(
    alias: str, name: str, path: str, start_ms: int, end_ms: int, size_bytes: int
) -> StoredRecording:
    return StoredRecording(alias, name, path, Interval(start_ms, end_ms), size_bytes)


def _clip(db: sqlite3.Connection, clip_id: str) -> ClipRecord:
    row = db.execute(
        "SELECT clip_id, metadata, status, updated_ms FROM clips WHERE clip_id = ?", (clip_id,)
    ).fetchone()
    if row is None:
        raise NotFound("find clip", clip_id, "the catalog has no record of it")
    return ClipRecord(*row)
