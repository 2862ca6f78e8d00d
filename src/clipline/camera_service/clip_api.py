"""Clips over HTTP, for people: ask, list, watch, cancel, retry, delete, download, share."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from clipline.camera_service.clip_desk import ClipDesk, object_keys
from clipline.camera_service.clip_documents import ClipDocuments
from clipline.camera_service.clip_records import ClipRecord, ClipRecords, Wanted
from clipline.camera_service.fields import (
    Instant,
    body_of,
    capped_body,
    check_clip_id,
    interval_of,
    read_body,
)
from clipline.camera_service.live import Changes
from clipline.camera_service.sharing import LONGEST_HOURS, Shared, Sharing
from clipline.camera_service.threads import Threads
from clipline.contract.errors import NotFound
from clipline.contract.interval import LATEST_MS, iso
from clipline.contract.result import Status
from clipline.contract.text import ID, shorten
from clipline.media.index import read_index
from clipline.media.ranges import LocalSource
from clipline.pipeline.ports import ObjectStore

_OBJECT = re.compile(r"[A-Za-z0-9_-]{1,128}(?:\.mp4|_\d{1,5}\.(?:png|jpg|webp))", re.ASCII)
_TYPES = {"mp4": "video/mp4", "png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
_KEPT = {"Cache-Control": "private, max-age=60"}
"""Of objects: a clip that was deleted and made again under the same id is another one."""
_MOST_LISTED = 200
_ORDERS_AT_A_TIME = 4
_LONGEST_TEXT = 100


class ClipRequestBody(BaseModel):
    """A clip that is wanted: [start, end) in milliseconds since the epoch, UTC."""

    cameraId: str = Field(pattern=ID.pattern, max_length=64)
    startTimestampInMs: int = Field(ge=0, le=LATEST_MS)
    endTimestampInMs: int = Field(ge=0, le=LATEST_MS)
    clipId: str | None = Field(None, pattern=f"^{ID.pattern}$", description="A new one if none is given")


class ShareBody(BaseModel):
    """How long the link is good for."""

    hours: int = Field(168, ge=1, le=LONGEST_HOURS)


class Objects:
    """The files of clips in a store on this machine."""

    def __init__(self, clips: ClipRecords, store: ObjectStore) -> None:
        self._clips = clips
        self._store = store

    def path(self, key: str) -> Path:
        """Raises NotFound."""
        path = self._store.local_path(key)
        if path is None:
            raise NotFound("read", shorten(key), "it is not there")
        return path

    def clip(self, clip_id: str) -> tuple[ClipRecord, Path]:
        """An available clip and its file. Raises NotFound."""
        record = self._clips.get(clip_id)
        keys = object_keys(record.metadata)
        if not keys:
            raise NotFound("read", f"clip {clip_id}", f"it is {record.status}")
        return record, self.path(keys[0])


def clip_routes(
    clips: ClipRecords,
    desk: ClipDesk,
    documents: ClipDocuments,
    objects: Objects,
    sharing: Sharing,
    changes: Changes,
    now_ms: Callable[[], int],
) -> APIRouter:
    """All but the pipeline's own."""
    routes = APIRouter(tags=["clips"])
    # One is carried out at a time, and a clip that is withdrawn is PUT to this very service: those that wait
    # must not have all the threads.
    orders = Threads(_ORDERS_AT_A_TIME)

    def answer(record: ClipRecord, status: int = 200) -> Response:
        return JSONResponse(documents.document(record), status)

    @routes.get("/cameras/clips")
    def listed(
        cameraId: str = "",
        status: str = "",
        q: Annotated[str, Query(max_length=_LONGEST_TEXT)] = "",
        startDate: Instant = 0,
        endDate: Instant = LATEST_MS,
        limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 50,
        before: str = "",
    ) -> dict[str, Any]:
        """Clips, those asked for last first; `next` goes into `before` for more.

        `cameraId` and `status` may name several, separated by commas. `q` is looked for in the clip's id and
        reason, and in its camera's id, alias and title.
        """
        wanted = Wanted(
            _words(cameraId),
            _statuses(status),
            q.strip(),
            startDate,
            endDate,
            _cursor(before),
            limit + 1,
        )
        found = clips.list(wanted)
        last = found[limit - 1] if len(found) > limit else None
        return {
            "clips": [documents.document(record) for record in found[:limit]],
            "next": f"{last.requested_ms}.{last.clip_id}" if last else None,
        }

    @routes.post("/cameras/clips", status_code=202, openapi_extra=body_of(ClipRequestBody))
    async def ask(body: Annotated[bytes, Depends(capped_body)]) -> Response:
        """Ask for a clip. It is CLIP_PENDING until it is made; `/events` tells how far it is."""
        wanted = read_body(ClipRequestBody, body)
        interval = interval_of(
            wanted.startTimestampInMs, wanted.endTimestampInMs, ("startTimestampInMs", "endTimestampInMs")
        )
        return await orders.run(lambda: answer(desk.ask(wanted.cameraId, interval, wanted.clipId), 202))

    @routes.get("/cameras/clips/{clipId}/state")
    def state(clipId: str) -> Response:
        """The result metadata with what is known beside it: progress, size, when it should be ready."""
        check_clip_id(clipId)
        return answer(clips.get(clipId))

    @routes.post("/cameras/clips/{clipId}/cancel")
    async def cancel(clipId: str) -> Response:
        """Give up a clip that is pending."""
        check_clip_id(clipId)
        return await orders.run(lambda: answer(desk.cancel(clipId)))

    @routes.post("/cameras/clips/{clipId}/retry", status_code=202)
    async def retry(clipId: str) -> Response:
        """Ask again for a clip that was given up."""
        check_clip_id(clipId)
        return await orders.run(lambda: answer(desk.retry(clipId), 202))

    @routes.delete("/cameras/clips/{clipId}", status_code=204)
    async def delete(clipId: str) -> None:
        """Remove a clip and its thumbnails."""
        check_clip_id(clipId)
        await orders.run(lambda: desk.delete(clipId))
        changes.publish("gone", clipId, {"clipId": clipId})

    @routes.post("/cameras/clips/{clipId}/share", openapi_extra=body_of(ShareBody))
    def share(request: Request, clipId: str, body: Annotated[bytes, Depends(capped_body)]) -> dict[str, Any]:
        """A link that anybody may open until it expires; deleting the clip ends it sooner."""
        check_clip_id(clipId)
        objects.clip(clipId)
        expires_ms = now_ms() + read_body(ShareBody, body or b"{}").hours * 3_600_000
        token = sharing.token(Shared(clipId, expires_ms))
        return {"url": f"{request.base_url}share/{token}", "expiresTimestampInMs": expires_ms}

    @routes.get("/cameras/clips/{clipId}/frames")
    def frames(clipId: str) -> dict[str, Any]:
        """When each picture of the clip is shown, in ticks from its beginning; `timescale` ticks a second."""
        check_clip_id(clipId)
        _, path = objects.clip(clipId)
        video = read_index(LocalSource(path)).video
        pts = [video.pts[number] for number in video.shown]
        return {"timescale": video.timescale, "pts": pts, "endPts": video.end_pts}

    @routes.get("/cameras/clips/{clipId}/download", response_class=FileResponse)
    def download(clipId: str) -> Response:
        """The clip, under a name that says what it shows."""
        check_clip_id(clipId)
        record, path = objects.clip(clipId)
        document = documents.document(record)
        start = iso(math.floor(document["startTimestampInMs"])).replace(":", "-")
        title = re.sub(r"[^\w.-]+", "-", str(document["cameraTitle"])).strip("-.") or "clip"
        return FileResponse(path, media_type="video/mp4", filename=f"{title}_{start}.mp4", headers=_KEPT)

    @routes.get("/clips/{cameraId}/{name}", response_class=FileResponse)
    def stored(cameraId: str, name: str) -> Response:
        """A clip or a thumbnail, where `clip.url` and `thumbnail.url` lead."""
        if not ID.fullmatch(cameraId) or not _OBJECT.fullmatch(name):
            raise HTTPException(404, "no clip and no thumbnail has that name")
        media_type = _TYPES[name.rpartition(".")[2]]
        return FileResponse(objects.path(f"{cameraId}/{name}"), media_type=media_type, headers=_KEPT)

    return routes


def event_routes(changes: Changes) -> APIRouter:
    """What changes, while it changes."""
    routes = APIRouter(tags=["status"])

    def room() -> None:
        changes.check()  # before the answer begins, which can't be an error any more

    @routes.get("/events", response_class=EventSourceResponse, dependencies=[Depends(room)])
    async def events() -> AsyncIterator[ServerSentEvent]:
        """Server-sent events: `clip`, `gone`, `recordings`, `cameras` and `status`, each with JSON."""
        async for event, document in changes.subscribe():
            yield ServerSentEvent(event=event, data=document)

    return routes


def _words(text: str) -> Sequence[str]:
    return [word for word in text.split(",") if word]


def _statuses(text: str) -> Sequence[str]:
    for word in _words(text):
        if word not in list(Status):
            raise HTTPException(422, f"status is {shorten(word)}, expected one of {', '.join(Status)}")
    return _words(text)


def _cursor(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    requested_ms, _, clip_id = text.partition(".")
    if not re.fullmatch(r"\d{1,15}", requested_ms, re.ASCII) or not ID.fullmatch(clip_id):
        raise HTTPException(422, f"before is {shorten(text)}, expected what `next` said")
    return int(requested_ms), clip_id
