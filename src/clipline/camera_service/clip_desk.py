"""What people do with clips: ask for one, cancel, retry, delete. The pipeline does the rest.

Each of these is noted in the catalog first and done then, so that one which was interrupted is done at the
next start (``settle``).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_records import ClipRecord
from clipline.contract.errors import Conflict, InvalidRequest, NotFound, Refused
from clipline.contract.interval import Interval, iso
from clipline.contract.request import ClipRequest, parse_request
from clipline.contract.result import ObjectNames, Result, Status
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
        now_ms: Callable[[], int],
        on_change: Callable[[ClipRecord], None] = lambda _: None,
    ) -> None:
        """``longest_ms`` is how long a clip may last; ``on_change`` is told of each record that changes."""
        self._catalog = catalog
        self._services = services
        self._names = names
        self._longest_ms = longest_ms
        self._now_ms = now_ms
        self._on_change = on_change

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
            before = self._catalog.clips.get(clip_id)
            asked = before.metadata
            same = (asked.get("cameraId"), asked.get("startTimestampInMs"), asked.get("endTimestampInMs"))
            if same != (camera_id, interval.start_ms, interval.end_ms):
                raise Conflict("ask for", f"clip {clip_id}", "the id is in use for another clip")
            if before.status in (Status.AVAILABLE, Status.PENDING):
                return before
        return self._send(message_body(clip_id, camera_id, interval))

    def retry(self, clip_id: str) -> ClipRecord:
        """Ask again for a clip that was given up. Raises Conflict where there is nothing to retry."""
        record = self._catalog.clips.get(clip_id)
        if record.status in (Status.AVAILABLE, Status.PENDING):
            raise Conflict("retry", f"clip {clip_id}", f"it is {record.status}")
        return self._send(self._body(record))

    def cancel(self, clip_id: str) -> ClipRecord:
        """Give up a clip that is not there yet. Raises Conflict where it is too late for that."""
        record = self._catalog.clips.get(clip_id)
        if record.status != Status.PENDING:
            raise Conflict("cancel", f"clip {clip_id}", f"it is {record.status} already")
        cancel(self._services, self._body(record), self._now_ms())
        return self._changed(clip_id)

    def delete(self, clip_id: str) -> None:
        """Remove the clip's objects and its record; one that is not there yet is cancelled first."""
        record = self._catalog.clips.get(clip_id)
        if record.status == Status.PENDING:
            record = self.cancel(clip_id)
        self._delete(self._catalog.clips.delete(clip_id))

    def measure(self, record: ClipRecord) -> ClipRecord:
        """Note how large a new clip is, with its thumbnails; one that is none stays as it is."""
        if record.status != Status.AVAILABLE or record.size_bytes is not None or record.deleted:
            return record
        size_bytes = 0
        for key in object_keys(record.metadata, self._names):
            with suppress(NotFound):
                size_bytes += self._services.destination.head(key).size_bytes
        return self._catalog.clips.measured(record.clip_id, size_bytes)

    def settle(self) -> None:
        """Do what was noted and not done: requests that are not on the queue, half deleted clips."""
        for clip_id, body in self._catalog.clips.unsent():
            self._put_on_queue(clip_id, body)
        for record in self._catalog.clips.half_deleted():
            self._delete(record)

    def _send(self, body: str) -> ClipRecord:
        request = parse_request(body)
        waiting = Result(
            request.clip_id, request.camera_id, request.interval.start_ms, request.interval.end_ms,
            Status.PENDING, request.fingerprint, reason=WAITING,
        )  # fmt: skip
        record = self._catalog.clips.ask(request.clip_id, waiting.metadata(), body, self._now_ms())
        self._put_on_queue(request.clip_id, body)
        self._on_change(record)
        return record

    def _put_on_queue(self, clip_id: str, body: str) -> None:
        self._services.queue.send(body)
        self._catalog.clips.sent(clip_id, body)

    def _delete(self, record: ClipRecord) -> None:
        forget(self._services, self._body(record), self._now_ms())
        for key in object_keys(record.metadata, self._names):
            self._services.destination.delete(key)
        self._catalog.clips.deleted(record.clip_id)

    def _changed(self, clip_id: str) -> ClipRecord:
        record = self._catalog.clips.get(clip_id)
        self._on_change(record)
        return record

    def _body(self, record: ClipRecord) -> str:
        """The message that asks for what its metadata says. Raises Refused where that is no request."""
        told = record.metadata
        keys = ("clipId", "cameraId", "startTimestampInMs", "endTimestampInMs")
        body = json.dumps({key: told.get(key) for key in keys} | {"retryTimestamps": []})
        try:
            request: ClipRequest = parse_request(body)
        except InvalidRequest as error:
            raise Refused("ask for", f"clip {record.clip_id}", str(error)) from None
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


def object_keys(metadata: Mapping[str, Any], names: ObjectNames) -> Sequence[str]:
    """Of an available clip and its thumbnails; none of any other."""
    camera_id, clip_id = metadata.get("cameraId"), metadata["clipId"]
    if metadata.get("status") != Status.AVAILABLE or not isinstance(camera_id, str):
        return []
    sizes = metadata.get("thumbnail", {}).get("sizes", [])
    return [names.clip(camera_id, clip_id), *(names.thumbnail(camera_id, clip_id, size) for size in sizes)]
