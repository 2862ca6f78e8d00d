"""Cameras over HTTP, for people: add and name them, a day's timeline, a picture; and how clipline is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from clipline.camera_service.api import CameraDocument, camera_document
from clipline.camera_service.camera_ids import RESERVED, camera_id
from clipline.camera_service.catalog import Camera, Catalog
from clipline.camera_service.clip_desk import message_body
from clipline.camera_service.clip_documents import ClipDocuments
from clipline.camera_service.fields import (
    Instant,
    body_of,
    capped_body,
    check_camera_id,
    check_clip_id,
    interval_of,
    read_body,
)
from clipline.camera_service.frames import Frames
from clipline.camera_service.threads import Threads
from clipline.contract.errors import Unavailable
from clipline.contract.interval import Interval
from clipline.contract.recording import ALIAS
from clipline.contract.text import ID

LONGEST_TIMELINE_MS = 400 * 86_400_000
_FRAMES_AT_A_TIME = 4
_MOST_FRAMES_WAITING = 100
_FRAME_KEPT = {"Cache-Control": "private, max-age=300"}
"""Recordings do not change often, and a page scrubs over the same places again and again."""


class CameraBody(BaseModel):
    """A camera to add."""

    alias: str = Field(pattern=f"^{ALIAS.pattern}$", description="Names it in file names, folders and URLs")
    title: str = Field("", max_length=200, description="For people; the alias if none is given")
    id: str = Field("", alias="_id", pattern=f"^({ID.pattern})?$", description="The alias, if it can be one")


class TitleBody(BaseModel):
    """What people call a camera."""

    title: str = Field(min_length=1, max_length=200)


class Commands(Protocol):
    """Tells how to make the same clip without this service."""

    def __call__(self, alias: str, interval: Interval) -> str | None:
        """The command line, or None where the recordings are not on this machine."""


def camera_routes(
    catalog: Catalog,
    documents: ClipDocuments,
    growing: Callable[[], Mapping[str, int]],
    command: Commands,
    on_change: Callable[[], None],
    *,
    tolerance_ms: int,
) -> APIRouter:
    """``growing`` tells, by alias, when the recording began that is written now; ``on_change`` is called
    after cameras changed. Holes up to ``tolerance_ms`` are no gaps in a clip, and none on a timeline."""
    routes = APIRouter(tags=["cameras"])

    @routes.post("/cameras", status_code=201, openapi_extra=body_of(CameraBody))
    def add(body: Annotated[bytes, Depends(capped_body)]) -> CameraDocument:
        """Add a camera before it has recordings; those that have some are added by themselves."""
        wanted = read_body(CameraBody, body)
        if wanted.id in RESERVED:
            raise HTTPException(422, f"_id is {wanted.id}, which is a word of this interface: choose another")
        identifier = wanted.id or camera_id(wanted.alias)
        camera = Camera(identifier, wanted.alias, wanted.title or wanted.alias)
        catalog.put_camera(camera, new=True)
        on_change()
        return camera_document(camera, None)

    @routes.patch("/cameras/{cameraId}", openapi_extra=body_of(TitleBody))
    def rename(cameraId: str, body: Annotated[bytes, Depends(capped_body)]) -> CameraDocument:
        """Change what people call it."""
        check_camera_id(cameraId)
        known = catalog.camera(cameraId)
        camera = Camera(known.id, known.alias, read_body(TitleBody, body).title)
        catalog.put_camera(camera)
        on_change()
        return camera_document(camera, catalog.extent(camera.alias))

    @routes.get("/cameras/{cameraId}/timeline")
    def timeline(cameraId: str, startDate: Instant, endDate: Instant) -> dict[str, Any]:
        """When it recorded between two instants: `spans` of [start, end), and what is written right now."""
        check_camera_id(cameraId)
        interval = interval_of(startDate, endDate)
        if interval.duration_ms > LONGEST_TIMELINE_MS:
            raise HTTPException(422, "that is more than 400 days: ask for less")
        camera = catalog.camera(cameraId)
        extent = catalog.extent(camera.alias)
        begun_ms = growing().get(camera.alias)
        being_written = None
        if begun_ms is not None:
            being_written = {
                "startTimestampInMs": begun_ms,
                "readyTimestampInMs": documents.ready_ms(camera.alias, begun_ms + 1),
            }
        return {
            "cameraId": camera.id,
            "startTimestampInMs": interval.start_ms,
            "endTimestampInMs": interval.end_ms,
            "spans": _joined(catalog.spans(camera.alias, interval), interval, tolerance_ms),
            "firstTimestampInMs": extent.first_ms if extent else None,
            "lastTimestampInMs": extent.last_ms if extent else None,
            "typicalLengthInMs": extent.typical_ms if extent else None,
            "growing": being_written,
        }

    @routes.get("/cameras/{cameraId}/equivalents")
    def equivalents(cameraId: str, startDate: Instant, endDate: Instant, clipId: str = "") -> dict[str, Any]:
        """The same clip as a message for a queue, and as a command."""
        check_camera_id(cameraId)
        if clipId:
            check_clip_id(clipId)
        interval = interval_of(startDate, endDate)
        camera = catalog.camera(cameraId)
        message = message_body(clipId or "a-new-id", camera.id, interval)
        return {"message": message, "command": command(camera.alias, interval)}

    return routes


def frame_routes(frames: Frames) -> APIRouter:
    """Pictures out of recordings."""
    routes = APIRouter(tags=["cameras"])
    turns, threads = _Turns(), Threads(_FRAMES_AT_A_TIME)

    @routes.get(
        "/cameras/{cameraId}/frame",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}, "description": "The picture"}},
    )
    async def frame(
        cameraId: str,
        at: Instant,
        width: Annotated[int, Query(ge=16, le=1920)] = 640,
        exact: bool = False,
    ) -> Response:
        """The picture at an instant: the nearest keyframe's, or with `exact` the one on show then.

        `X-Frame-Timestamp-In-Ms` tells from when on it is shown.
        """
        check_camera_id(cameraId)
        with turns.taken():
            picture = await threads.run(lambda: frames.at(cameraId, at, width=width, exact=exact))
        told = {"X-Frame-Timestamp-In-Ms": str(picture.shown_ms), "X-Recording": _header(picture.recording)}
        return Response(picture.jpeg, headers=_FRAME_KEPT | told, media_type="image/jpeg")

    return routes


def status_routes(status: Callable[[], Mapping[str, Any]]) -> APIRouter:
    """What clipline is at."""
    routes = APIRouter(tags=["status"])

    @routes.get("/status")
    def state() -> Mapping[str, Any]:
        """Recordings found and skipped, work in progress, room on the disk, limits."""
        return status()

    return routes


class _Turns:
    """So many pictures are waited for at a time: who comes then is told to come back."""

    def __init__(self) -> None:
        self._waiting = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """In the event loop alone."""
        if self._waiting >= _MOST_FRAMES_WAITING:
            raise Unavailable("show", "a picture", f"{self._waiting} others are asked for already")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def _joined(spans: Sequence[tuple[int, int]], interval: Interval, tolerance_ms: int) -> list[list[int]]:
    """Spans that overlap, or nearly touch, made one; cut to ``interval``."""
    joined: list[list[int]] = []
    for start_ms, end_ms in spans:
        start_ms, end_ms = max(start_ms, interval.start_ms), min(end_ms, interval.end_ms)
        if joined and start_ms <= joined[-1][1] + tolerance_ms:
            joined[-1][1] = max(joined[-1][1], end_ms)
        else:
            joined.append([start_ms, end_ms])
    return joined


def _header(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")
