"""The camera service over HTTP: what the pipeline asks of a camera API.

There are no CORS headers: pages of other origins get nothing. Who may call is not decided here but by whoever
puts this application on a socket.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from clipline import __version__
from clipline.camera_service.catalog import Camera, Catalog, Extent, StoredRecording
from clipline.camera_service.clip_records import ClipRecord
from clipline.camera_service.fields import Instant, capped_body, check_camera_id, check_clip_id, interval_of
from clipline.camera_service.observed import Observed, ServiceMetrics
from clipline.camera_service.problems import RESPONSES, answer_with_problems
from clipline.contract.interval import iso
from clipline.contract.recording import ALIAS
from clipline.contract.result import Status
from clipline.contract.text import shorten

MOST_RECORDINGS = 10_000
"""Ten weeks of ten-minute recordings, about 4 MB of JSON."""

_EXAMPLE_CLIP = {
    "clipId": "1111111111111",
    "cameraId": "2222222222222",
    "status": "CLIP_AVAILABLE",
    "clip": {"key": "/2222222222222/1111111111111.mp4"},
    "thumbnail": {"key": "/2222222222222/1111111111111_{size}.png", "sizes": [300, 640]},
}


class CameraDocument(BaseModel):
    """A camera."""

    id: str = Field(serialization_alias="_id")
    alias: str
    title: str
    firstTimestampInMs: int | None = Field(None, description="From when on it was recorded")
    lastTimestampInMs: int | None = Field(None, description="When its last recording ends")


class RecordingDocument(BaseModel):
    """A recording. Its URLs name it; they don't promise that anything is served there."""

    startDate: str
    endDate: str
    thumbLargeUrl: str
    recordingUrl: str
    thumbSmallUrl: str
    alias: str
    key: str = Field(description="Where it lies below the root of recordings: RECORDING_KEY={key} uses it")


class Health(BaseModel):
    """The catalog could be read."""

    status: str = "ok"


def system_now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def create_app(catalog: Catalog, *, now_ms: Callable[[], int] = system_now_ms) -> FastAPI:
    """The application with what the pipeline asks for. The catalog stays the caller's to close."""
    app = bare_app(catalog)
    app.include_router(contract_routes(catalog, now_ms=now_ms))
    return app


def bare_app(catalog: Catalog, also_measured: Iterable[CollectorRegistry] = ()) -> FastAPI:
    """An application with health and metrics, whose errors are problems."""
    metrics = ServiceMetrics(also_measured)
    # The interactive pages would load their scripts from somewhere else.
    app = FastAPI(
        title="Clipline camera service",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses=RESPONSES,
    )
    app.add_middleware(Observed, metrics=metrics)
    answer_with_problems(app)

    @app.get("/health")
    def health() -> Health:
        """Whether the service can answer."""
        catalog.check()
        return Health()

    @app.get("/metrics", include_in_schema=False)
    def scrape(request: Request) -> Response:
        """How often and how long it was asked, and how much it knows."""
        return metrics.answer(request.headers.get("Accept", ""), catalog.counts())

    return app


def contract_routes(
    catalog: Catalog,
    *,
    now_ms: Callable[[], int] = system_now_ms,
    on_clip: Callable[[ClipRecord], None] = lambda _: None,
) -> APIRouter:
    """What the pipeline asks for; ``on_clip`` is told of each clip that was PUT."""
    routes = APIRouter()

    @routes.get("/cameras", tags=["pipeline"])
    def cameras() -> list[CameraDocument]:
        """All cameras, in the order of their titles."""
        extents = catalog.extents()
        return [camera_document(camera, extents.get(camera.id)) for camera in catalog.cameras()]

    @routes.get("/cameras/recording/{alias}", tags=["pipeline"])
    def recordings(
        request: Request, alias: str, startDate: Instant, endDate: Instant, allowPartialMatch: bool = False
    ) -> list[RecordingDocument]:
        """The recordings of a camera between two instants, in the order of time.

        With `allowPartialMatch` all that overlap [startDate, endDate), and without it only those that lie
        wholly within. 404 for an unknown alias, an empty list where nothing was recorded.
        """
        interval = interval_of(startDate, endDate)
        if not ALIAS.fullmatch(alias):
            raise HTTPException(404, f"no camera has the alias {shorten(alias)}")
        found = catalog.recordings(alias, interval, whole=not allowPartialMatch, most=MOST_RECORDINGS + 1)
        if len(found) > MOST_RECORDINGS:
            raise HTTPException(422, f"more than {MOST_RECORDINGS} recordings: ask for a shorter interval")
        base = f"{request.base_url}recordings"
        return [_recording(base, recording) for recording in found]

    @routes.put(
        "/cameras/clips/{clipId}", openapi_extra=_CLIP_BODY, response_class=JsonText, tags=["pipeline"]
    )
    def put_clip(clipId: str, body: Annotated[bytes, Depends(capped_body)]) -> Response:
        """Store a clip's result metadata; answers with the record that stands then.

        Repeating it changes nothing. CLIP_AVAILABLE is absorbing: a later other status of the same clip is
        answered with the record that was there, which stays as it is.
        """
        check_clip_id(clipId)
        record = catalog.clips.put(clipId, _metadata(clipId, body), now_ms())
        on_clip(record)
        return JsonText(record.metadata_json)

    @routes.get("/cameras/clips/{clipId}", response_class=JsonText, tags=["pipeline"])
    def clip(clipId: str) -> Response:
        """A clip's result metadata, as it was PUT."""
        check_clip_id(clipId)
        return JsonText(catalog.clips.get(clipId).metadata_json)

    @routes.get("/cameras/{cameraId}", tags=["pipeline"])
    def camera(cameraId: str) -> CameraDocument:
        """One camera."""
        check_camera_id(cameraId)
        found = catalog.camera(cameraId)
        return camera_document(found, catalog.extent(found.alias))

    return routes


class JsonText(Response):
    """JSON that is text already."""

    media_type = "application/json"


_CLIP_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE_CLIP}},
    }
}


def camera_document(camera: Camera, extent: Extent | None) -> CameraDocument:
    """As it travels; ``extent`` is None where it has no recordings."""
    return CameraDocument(
        id=camera.id,
        alias=camera.alias,
        title=camera.name,
        firstTimestampInMs=extent.first_ms if extent else None,
        lastTimestampInMs=extent.last_ms if extent else None,
    )


def _recording(base: str, recording: StoredRecording) -> RecordingDocument:
    url = f"{base}/{quote(recording.alias)}/{quote(recording.name)}"
    stem = url.removesuffix(PurePosixPath(url).suffix)
    return RecordingDocument(
        startDate=iso(recording.span.start_ms),
        endDate=iso(recording.span.end_ms),
        thumbLargeUrl=f"{stem}_full.jpg",
        recordingUrl=url,
        thumbSmallUrl=f"{stem}_small.jpg",
        alias=recording.alias,
        key=recording.key,
    )


def _metadata(clip_id: str, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body, parse_constant=_no_constant)
        # 1e400 is read as infinity, which JSON can't write, and half a surrogate pair is no character.
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(document, dict):
        raise HTTPException(422, "the body is not an object")
    if document.get("clipId", clip_id) != clip_id:
        raise HTTPException(422, f"clipId in the body is not {clip_id}, which the address names")
    status = document.get("status")
    if not isinstance(status, str) or status not in list(Status):
        expected = ", ".join(Status)
        raise HTTPException(422, f"status is {shorten(repr(status))}, expected one of {expected}")
    if status == Status.AVAILABLE:
        _check_objects(clip_id, document)
    return document | {"clipId": clip_id}


def _check_objects(clip_id: str, document: dict[str, Any]) -> None:
    """Raises 422 where an available clip does not say where it lies: that is looked up, and deleted."""
    clip, thumbnail = document.get("clip"), document.get("thumbnail")
    if not isinstance(clip, dict) or not _is_key_of(clip_id, clip.get("key")):
        raise HTTPException(422, f"clip.key is no text that holds {clip_id}")
    sizes = thumbnail.get("sizes") if isinstance(thumbnail, dict) else None
    if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
        raise HTTPException(422, "thumbnail.sizes is no list of whole numbers")
    if sizes and not _is_key_of(clip_id, document["thumbnail"].get("key")):
        raise HTTPException(422, f"thumbnail.key is no text that holds {clip_id}")


def _is_key_of(clip_id: str, key: Any) -> bool:
    return isinstance(key, str) and clip_id in key


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
