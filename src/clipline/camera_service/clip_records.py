"""The records of clips in the catalog: what was asked for, how far it is, and what became of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clipline.contract.errors import NotFound
from clipline.contract.interval import LATEST_MS
from clipline.contract.result import Status
from clipline.database import Database

_COLUMNS = "clip_id, metadata, status, updated_ms, requested_ms, stages, delivery, size_bytes, deleted"
_KEPT_WHILE_QUEUED = 1000
"""How many requests are looked for at a time that have to be put on the queue."""


@dataclass(frozen=True)
class ClipRecord:
    """The record of a clip: the result metadata that was PUT last, unless it was available before."""

    clip_id: str
    metadata_json: str
    status: str
    updated_ms: int
    requested_ms: int
    stages: str
    """Stages of the delivery in progress, separated by spaces; the last one is not done."""
    delivery: int
    """How often its message was received by then."""
    size_bytes: int | None
    """Of its objects; None where that is not known."""
    deleted: int
    """1: it is being deleted; 2: it was."""

    @property
    def metadata(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.metadata_json)
        return document


@dataclass(frozen=True)
class Wanted:
    """Which clips to list. An empty value filters nothing."""

    camera_ids: Sequence[str] = ()
    statuses: Sequence[str] = ()
    text: str = ""
    """Part of the clip's id, its reason, or its camera's id, alias or name."""
    start_ms: int = 0
    end_ms: int = LATEST_MS
    """Clips that overlap ``[start_ms, end_ms)``."""
    before: tuple[int, str] | None = None
    """Only those that come after the one with this ``requested_ms`` and ``clip_id``."""
    most: int = 50


class ClipRecords:
    """Of one catalog. Raises what ``Catalog`` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, clip_id: str, metadata: Mapping[str, Any], updated_ms: int) -> ClipRecord:
        """Store a clip's result metadata and return the record that stands then.

        CLIP_AVAILABLE is absorbing: another status that comes later changes nothing. Nor does anything
        change a clip that was deleted, until it is asked for again. ``metadata`` has a ``status``.
        """
        with self._database.write("store clip") as db:
            db.execute(
                "INSERT INTO clips (clip_id, metadata, status, updated_ms, requested_ms, camera_id, "
                "start_ms, end_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (clip_id) DO UPDATE SET "
                "metadata = excluded.metadata, status = excluded.status, updated_ms = excluded.updated_ms, "
                "camera_id = excluded.camera_id, start_ms = excluded.start_ms, end_ms = excluded.end_ms "
                f"WHERE clips.deleted = 0 AND "
                f"(clips.status <> '{Status.AVAILABLE}' OR excluded.status = '{Status.AVAILABLE}')",
                _row(clip_id, metadata, updated_ms),
            )
            return _find(db, clip_id)

    def measured(self, clip_id: str, size_bytes: int) -> ClipRecord:
        """Note how large its objects are together. Raises NotFound."""
        with self._database.write("note size") as db:
            db.execute("UPDATE clips SET size_bytes = ? WHERE clip_id = ?", (size_bytes, clip_id))
            return _find(db, clip_id)

    def get(self, clip_id: str) -> ClipRecord:
        """Raises NotFound, for one that was deleted as well."""
        record = self.even_deleted(clip_id)
        if record.deleted:
            raise NotFound("find clip", clip_id, "it was deleted")
        return record

    def even_deleted(self, clip_id: str) -> ClipRecord:
        """Raises NotFound."""
        with self._database.read("find clip") as db:
            return _find(db, clip_id)

    def ask(self, clip_id: str, metadata: Mapping[str, Any], body: str, now_ms: int) -> ClipRecord:
        """Note that a clip is asked for (again), by a message ``body`` that has to be put on the queue.

        What stands of an available clip stays; it is not asked for again.
        """
        with self._database.write("ask for clip") as db:
            db.execute(
                "INSERT INTO clips (clip_id, metadata, status, updated_ms, requested_ms, camera_id, "
                "start_ms, end_ms, unsent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (clip_id) DO UPDATE SET metadata = excluded.metadata, "
                "status = excluded.status, updated_ms = excluded.updated_ms, "
                "requested_ms = excluded.requested_ms, camera_id = excluded.camera_id, "
                "start_ms = excluded.start_ms, end_ms = excluded.end_ms, unsent = excluded.unsent, "
                "stages = '', delivery = 0, size_bytes = NULL, deleted = 0 "
                f"WHERE clips.deleted = 2 OR clips.deleted = 0 AND clips.status <> '{Status.AVAILABLE}'",
                (*_row(clip_id, metadata, now_ms), body),
            )
            return _find(db, clip_id)

    def unsent(self) -> Sequence[tuple[str, str]]:
        """(clipId, body) of messages that have to be put on the queue."""
        with self._database.read("list requests") as db:
            return db.execute(
                "SELECT clip_id, unsent FROM clips WHERE unsent IS NOT NULL LIMIT ?", (_KEPT_WHILE_QUEUED,)
            ).fetchall()

    def is_unsent(self, clip_id: str, body: str) -> bool:
        """Whether the message still has to be put on the queue."""
        with self._database.read("find request") as db:
            query = "SELECT * FROM clips WHERE clip_id = ? AND unsent = ?"
            return db.execute(query, (clip_id, body)).fetchone() is not None

    def sent(self, clip_id: str, body: str) -> None:
        """The message is on the queue."""
        with self._database.write("note request") as db:
            db.execute("UPDATE clips SET unsent = NULL WHERE clip_id = ? AND unsent = ?", (clip_id, body))

    def withdrawn(self, clip_id: str) -> None:
        """Whatever message is not on the queue yet is not to be put there any more."""
        with self._database.write("note request") as db:
            db.execute("UPDATE clips SET unsent = NULL WHERE clip_id = ?", (clip_id,))

    def progress(self, clip_id: str, stages: str, delivery: int) -> ClipRecord | None:
        """Note how far it is; None where nothing is known of the clip."""
        with self._database.write("note progress") as db:
            changed = db.execute(
                "UPDATE clips SET stages = ?, delivery = ? WHERE clip_id = ? AND deleted = 0",
                (stages, delivery, clip_id),
            )
            return _find(db, clip_id) if changed.rowcount else None

    def none_in_progress(self) -> None:
        """Whoever was at work is no more."""
        with self._database.write("note progress") as db:
            db.execute("UPDATE clips SET stages = '' WHERE stages <> ''")

    def list(self, wanted: Wanted) -> Sequence[ClipRecord]:
        """The clips asked for last come first."""
        conditions, values = (
            ["deleted = 0", "start_ms < ?", "end_ms > ?"],
            [wanted.end_ms, wanted.start_ms - 1],
        )
        parameters: list[Any] = list(values)
        for column, those in (("camera_id", wanted.camera_ids), ("status", wanted.statuses)):
            if those:
                conditions.append(f"{column} IN ({', '.join('?' * len(those))})")
                parameters.extend(those)
        if wanted.text:
            pattern = "%" + wanted.text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
            of_camera = "SELECT id FROM cameras WHERE name LIKE ? ESCAPE '\\' OR alias LIKE ? ESCAPE '\\'"
            conditions.append(
                "(clip_id LIKE ? ESCAPE '\\' OR camera_id LIKE ? ESCAPE '\\' "
                f"OR coalesce(json_extract(metadata, '$.reason'), '') LIKE ? ESCAPE '\\' "
                f"OR camera_id IN ({of_camera}))"
            )
            parameters.extend([pattern] * 5)
        if wanted.before is not None:
            conditions.append("(requested_ms, clip_id) < (?, ?)")
            parameters.extend(wanted.before)
        with self._database.read("list clips") as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM clips WHERE {' AND '.join(conditions)} "
                "ORDER BY requested_ms DESC, clip_id DESC LIMIT ?",
                (*parameters, wanted.most),
            ).fetchall()
        return [ClipRecord(*row) for row in rows]

    def stored(self, most: int = -1) -> Sequence[ClipRecord]:
        """The available ones, those asked for first first."""
        with self._database.read("list clips") as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM clips WHERE deleted = 0 AND status = '{Status.AVAILABLE}' "
                "ORDER BY requested_ms, clip_id LIMIT ?",
                (most,),
            ).fetchall()
        return [ClipRecord(*row) for row in rows]

    def finished_before(self, before_ms: int) -> Sequence[ClipRecord]:
        """Those with a final status that changed last before ``before_ms``."""
        with self._database.read("list clips") as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM clips WHERE deleted = 0 AND status <> '{Status.PENDING}' "
                "AND updated_ms < ? ORDER BY updated_ms",
                (before_ms,),
            ).fetchall()
        return [ClipRecord(*row) for row in rows]

    def delete(self, clip_id: str) -> ClipRecord:
        """From now on it is hidden; ``deleted`` says that nothing is left of it. Raises NotFound."""
        with self._database.write("delete clip") as db:
            db.execute(
                "UPDATE clips SET deleted = 1, stages = '', unsent = NULL WHERE clip_id = ? AND deleted = 0",
                (clip_id,),
            )
            return _find(db, clip_id)

    def deleted(self, clip_id: str) -> None:
        """Its objects are gone."""
        with self._database.write("delete clip") as db:
            db.execute("UPDATE clips SET deleted = 2 WHERE clip_id = ? AND deleted = 1", (clip_id,))

    def half_deleted(self) -> Sequence[ClipRecord]:
        """Those whose deletion was begun and not ended."""
        with self._database.read("list clips") as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM clips WHERE deleted = 1").fetchall()
        return [ClipRecord(*row) for row in rows]


def _row(clip_id: str, metadata: Mapping[str, Any], now_ms: int) -> tuple[Any, ...]:
    camera_id = metadata.get("cameraId")
    times = (metadata.get("startTimestampInMs"), metadata.get("endTimestampInMs"))
    return (
        clip_id,
        json.dumps(metadata, allow_nan=False),
        metadata["status"],
        now_ms,
        now_ms,
        camera_id if isinstance(camera_id, str) else "",
        *(time if isinstance(time, int) and 0 <= time <= LATEST_MS else 0 for time in times),
    )


def _find(db: sqlite3.Connection, clip_id: str) -> ClipRecord:
    row = db.execute(f"SELECT {_COLUMNS} FROM clips WHERE clip_id = ?", (clip_id,)).fetchone()
    if row is None:
        raise NotFound("find clip", clip_id, "the catalog has no record of it")
    return ClipRecord(*row)
