"""What people do with clips: ask for one, cancel, retry, delete. The pipeline does the rest.

Each of these is noted in the catalog first and done then, so that one which was interrupted is done later on
(``settle``).
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_records import ClipRecord
from clipline.contract.errors import (
    CliplineError,
    Conflict,
    InvalidRequest,
    NotFound,
    Refused,
    UnreadableRequest,
)
from clipline.contract.interval import Interval, iso
from clipline.contract.request import parse_request
from clipline.contract.result import ObjectNames, Result, Status
from clipline.contract.text import ID
from clipline.pipeline.ports import Services
from clipline.pipeline.withdraw import cancel, forget

WAITING = "it waits for its turn"
FURTHEST_AHEAD_MS = 60 * 60 * 1000
"""How far in the future a clip may end: it is asked for again and again until then."""


class ClipDesk:
    """Safe to use from several threads. Raises what ports and catalog raise, beside what is said."""

    def __init__(
        self,
        catalog: Catalog,
        services: Services,
        names: ObjectNames,
        *,
        longest_ms: int,
        thumbnail_sizes: Sequence[int],
        now_ms: Callable[[], int],
        on_change: Callable[[ClipRecord], None] = lambda _: None,
    ) -> None:
        """``longest_ms`` is how long a clip may last; ``on_change`` is told of each record that changes."""
        self._catalog = catalog
        self._services = services
        self._names = names
        self._longest_ms = longest_ms
        self._thumbnail_sizes = thumbnail_sizes
        self._now_ms = now_ms
        self._on_change = on_change
        self._one_at_a_time = threading.RLock()
        """Of what changes a clip and the queue or the store: what was noted must not be done too late."""

    def ask(self, camera_id: str, interval: Interval, clip_id: str | None = None) -> ClipRecord:
        """Ask for a clip, under a new id if none is given; asked for again, it is the same clip.

        Raises NotFound for an unknown camera, Refused for an interval that can be no clip, and Conflict
        where the id is in use for something else.
        """
        camera = self._catalog.camera(camera_id)
        if interval.duration_ms > self._longest_ms:
            raise Refused(
                "ask for", f"{interval.duration_ms / 1000:g} s of {camera.name}",
                f"a clip may last {self._longest_ms / 1000:g} s", hint="choose less, or raise VIDEO_MAX_LEN",
            )  # fmt: skip
        if interval.end_ms > self._now_ms() + FURTHEST_AHEAD_MS:
            raise Refused(
                "ask for", f"a clip that ends at {iso(interval.end_ms)}", "that is more than an hour ahead"
            )
        if clip_id is None:
            start = datetime.fromtimestamp(interval.start_ms // 1000, UTC)
            clip_id = f"{start:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        with suppress(NotFound):
            # A deleted one as well: its message may still come, and an id stands for one request for ever.
            before = self._catalog.clips.even_deleted(clip_id)
            asked = before.metadata
            same = (asked.get("cameraId"), asked.get("startTimestampInMs"), asked.get("endTimestampInMs"))
            if same != (camera_id, interval.start_ms, interval.end_ms):
                raise Conflict("ask for", f"clip {clip_id}", "the id is in use for another clip")
            if before.status in (Status.AVAILABLE, Status.PENDING) and not before.deleted:
                return before
        return self._send(message_body(clip_id, camera_id, interval))

    def retry(self, clip_id: str) -> ClipRecord:
        """Ask again for a clip that was given up. Raises Conflict where there is nothing to retry."""
        record = self._catalog.clips.get(clip_id)
        if record.status in (Status.AVAILABLE, Status.PENDING):
            raise Conflict("retry", f"clip {clip_id}", f"it is {record.status}")
        return self._send(self._asked(record))

    def cancel(self, clip_id: str) -> ClipRecord:
        """Give up a clip that is not there yet. Raises Conflict where it is too late for that."""
        record = self._catalog.clips.get(clip_id)
        if record.status != Status.PENDING:
            raise Conflict("cancel", f"clip {clip_id}", f"it is {record.status} already")
        body = self._asked(record)
        with self._one_at_a_time:
            cancel(self._services, body, self._now_ms())
            self._catalog.clips.withdrawn(clip_id)
        return self._changed(clip_id)

    def delete(self, clip_id: str) -> None:
        """Remove the clip's objects and its record; one that is not there yet is cancelled first."""
        record = self._catalog.clips.get(clip_id)
        if record.status == Status.PENDING and _body(record) is not None:
            self.cancel(clip_id)
        with self._one_at_a_time:
            self._delete(self._catalog.clips.delete(clip_id))

    def expire(self, record: ClipRecord) -> None:
        """Delete a clip if it still is as ``record`` says. Raises Conflict where it was asked for again."""
        with self._one_at_a_time:
            if self._catalog.clips.get(record.clip_id).updated_ms != record.updated_ms:
                raise Conflict("delete", f"clip {record.clip_id}", "it has changed meanwhile")
            self._delete(self._catalog.clips.delete(record.clip_id))

    def measure(self, record: ClipRecord) -> ClipRecord:
        """Note how large a new clip is, with its thumbnails; one that is none stays as it is."""
        if record.status != Status.AVAILABLE or record.size_bytes is not None or record.deleted:
            return record
        size_bytes = 0
        for key in object_keys(record.metadata):
            with suppress(NotFound, Refused):
                size_bytes += self._services.destination.head(key).size_bytes
        return self._catalog.clips.measured(record.clip_id, size_bytes)

    def settle(self, on_problem: Callable[[str], None]) -> None:
        """Do what was noted and not done: requests that are not on the queue, half deleted clips.

        ``on_problem`` is told what still can't be done; it stays noted.
        """
        for clip_id, body in self._catalog.clips.unsent():
            try:
                with self._one_at_a_time:
                    if self._catalog.clips.is_unsent(clip_id, body):  # it may be withdrawn by now
                        self._put_on_queue(clip_id, body)
            except CliplineError as error:
                on_problem(f"clip {clip_id} could not be put on the queue: {error}")
        for record in self._catalog.clips.half_deleted():
            try:
                with self._one_at_a_time:
                    current = self._catalog.clips.even_deleted(record.clip_id)
                    if current.deleted == 1:  # it may be asked for again by now
                        self._delete(current)
            except CliplineError as error:
                on_problem(f"clip {record.clip_id} could not be deleted: {error}")

    def _send(self, body: str) -> ClipRecord:
        request = parse_request(body)
        waiting = Result(
            request.clip_id, request.camera_id, request.interval.start_ms, request.interval.end_ms,
            Status.PENDING, request.fingerprint, reason=WAITING,
        )  # fmt: skip
        with self._one_at_a_time:
            record = self._catalog.clips.ask(request.clip_id, waiting.metadata(), body, self._now_ms())
            self._put_on_queue(request.clip_id, body)
        self._on_change(record)
        return record

    def _put_on_queue(self, clip_id: str, body: str) -> None:
        self._services.queue.send(body)
        self._catalog.clips.sent(clip_id, body)

    def _delete(self, record: ClipRecord) -> None:
        body = _body(record)
        if body is not None:  # else there is no message that could bring it back
            forget(self._services, body, self._now_ms())
        for key in {*object_keys(record.metadata), *self._keys_of_today(record)}:
            self._services.destination.delete(key)
        self._catalog.clips.deleted(record.clip_id)

    def _changed(self, clip_id: str) -> ClipRecord:
        record = self._catalog.clips.get(clip_id)
        self._on_change(record)
        return record

    def _asked(self, record: ClipRecord) -> str:
        """The message that asks for what its metadata says. Raises Refused where that is no request."""
        body = _body(record)
        if body is None:
            raise Refused("ask for", f"clip {record.clip_id}", "its record names no camera and interval")
        return body

    def _keys_of_today(self, record: ClipRecord) -> Sequence[str]:
        """Where a clip is stored by the settings: one that was cancelled may have been stored before."""
        camera_id = record.metadata.get("cameraId")
        if not isinstance(camera_id, str) or not ID.fullmatch(camera_id):
            return []
        names, clip_id = self._names, record.clip_id
        thumbnails = [names.thumbnail(camera_id, clip_id, size) for size in self._thumbnail_sizes]
        return [names.clip(camera_id, clip_id), *thumbnails]


def _body(record: ClipRecord) -> str | None:
    told = record.metadata
    keys = ("cameraId", "startTimestampInMs", "endTimestampInMs")
    body = {key: told.get(key) for key in keys} | {"clipId": record.clip_id, "retryTimestamps": []}
    try:
        request = parse_request(json.dumps(body))
    except (InvalidRequest, UnreadableRequest):
        return None
    return message_body(request.clip_id, request.camera_id, request.interval)


def message_body(clip_id: str, camera_id: str, interval: Interval) -> str:
    """The message that asks for a clip, as strict JSON."""
    return json.dumps(
        {
            "clipId": clip_id,
            "retryTimestamps": [],
            "cameraId": camera_id,
            "startTimestampInMs": interval.start_ms,
            "endTimestampInMs": interval.end_ms,
        }
    )


def object_keys(metadata: Mapping[str, Any]) -> Sequence[str]:
    """Of an available clip, the first, and its thumbnails, as its record says; none of any other."""
    clip, thumbnail = metadata.get("clip"), metadata.get("thumbnail")
    if metadata.get("status") != Status.AVAILABLE or not isinstance(clip, dict) or not clip.get("key"):
        return []  # earlier versions kept whatever was PUT
    keys: list[str] = [clip["key"]]
    if isinstance(thumbnail, dict) and thumbnail.get("key"):
        keys += [thumbnail["key"].replace("{size}", str(size)) for size in thumbnail.get("sizes", [])]
    return [key.lstrip("/") for key in keys]
