"""The camera service over HTTP: what the pipeline asks of a camera API, and a little for people.

Errors are ``application/problem+json`` (RFC 9457). There are no CORS headers: pages of other origins get
nothing. Who may call is not decided here but by whoever puts this application on a socket.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, Field
from starlette.exceptions import HTTPException

from clipline import __version__
from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.camera_service.observed import HEADERS, Observed, ServiceMetrics
from clipline.contract.errors import CliplineError, Conflict, NotFound, Refused, Unavailable
from clipline.contract.interval import Interval, iso, parse_instant
from clipline.contract.recording import ALIAS
from clipline.contract.result import Status
from clipline.contract.text import ID, shorten

MOST_BODY_BYTES = 256 * 1024
"""What SNS carries; result metadata that goes there too can't be larger."""

MOST_RECORDINGS = 10_000
"""Ten weeks of ten-minute recordings, about 4 MB of JSON."""

_STATUS_CODES: dict[type[CliplineError], int] = {NotFound: 404, Conflict: 409, Refused: 422, Unavailable: 503}
_EXAMPLE_CLIP = {"clipId": "1111111111111", "cameraId": "1111111111111", "status": "CLIP_AVAILABLE"}


class CameraDocument(BaseModel):
    """A camera."""

    id: str = Field(serialization_alias="_id")
    alias: str
    title: str


class RecordingDocument(BaseModel):
    """A recording. Its URLs name it; they don't promise that anything is served there."""

    startDate: str
    endDate: str
    thumbLargeUrl: str
    recordingUrl: str
    thumbSmallUrl: str
    alias: str


class Health(BaseModel):
    """The catalog could be read."""

    status: str = "ok"


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


Instant = Annotated[
    int,
    BeforeValidator(parse_instant, json_schema_input_type=str),
    Field(description="Milliseconds since the epoch, or ISO 8601 in UTC", examples=["1537113617000"]),
]


async def _capped_body(request: Request) -> bytes:
    """The body, read no further than MOST_BODY_BYTES."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BODY_BYTES:
            raise HTTPException(413, f"the body has more than {MOST_BODY_BYTES} bytes")
    return bytes(data)


def _system_now_ms() -> int:
    return time.time_ns() // 1_000_000


def create_app(catalog: Catalog, *, now_ms: Callable[[], int] = _system_now_ms) -> FastAPI:
    """The application. The catalog stays the caller's to close."""
    metrics = ServiceMetrics()
    # The interactive pages would load their scripts from somewhere else.
    app = FastAPI(
        title="Clipline camera service",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses={
            "default": {
                "description": "A problem",
                "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
            }
        },
    )
    app.add_exception_handler(Exception, _on_error)
    app.add_middleware(Observed, metrics=metrics)
    for handled in (HTTPException, RequestValidationError, CliplineError):
        app.add_exception_handler(handled, _on_error)

    @app.get("/health")
    def health() -> Health:
        """Whether the service can answer."""
        catalog.check()
        return Health()

    @app.get("/metrics", include_in_schema=False)
    def scrape(request: Request) -> Response:
        """How often and how long it was asked, and how much it knows."""
        return metrics.answer(request.headers.get("Accept", ""), catalog.counts())

    @app.get("/cameras")
    def cameras() -> list[CameraDocument]:
        """All cameras, in the order of their titles."""
        return [_camera(camera) for camera in catalog.cameras()]

    @app.get("/cameras/recording/{alias}")
    def recordings(
        request: Request, alias: str, startDate: Instant, endDate: Instant, allowPartialMatch: bool = False
    ) -> list[RecordingDocument]:
        """The recordings of a camera between two instants, in the order of time.

        With `allowPartialMatch` all that overlap [startDate, endDate), and without it only those that lie
        wholly within. 404 for an unknown alias, an empty list where nothing was recorded.
        """
        try:
            interval = Interval(startDate, endDate)
        except ValueError:
            raise HTTPException(422, f"endDate {endDate} does not come after startDate {startDate}") from None
        if not ALIAS.fullmatch(alias):
            raise HTTPException(404, f"no camera has the alias {shorten(alias)}")
        found = catalog.recordings(alias, interval, whole=not allowPartialMatch, most=MOST_RECORDINGS + 1)
        if len(found) > MOST_RECORDINGS:
            raise HTTPException(422, f"more than {MOST_RECORDINGS} recordings: ask for a shorter interval")
        base = f"{request.base_url}recordings"
        return [_recording(base, recording) for recording in found]

    @app.put("/cameras/clips/{clipId}", openapi_extra=_CLIP_BODY, response_class=_Json)
    def put_clip(clipId: str, body: Annotated[bytes, Depends(_capped_body)]) -> Response:
        """Store a clip's result metadata; answers with the record that stands then.

        Repeating it changes nothing. CLIP_AVAILABLE is absorbing: a later other status of the same clip is
        answered with the record that was there, which stays as it is.
        """
        _check_clip_id(clipId)
        record = catalog.put_clip(clipId, _metadata(clipId, body), now_ms())
        return _Json(record.metadata_json)

    @app.get("/cameras/clips/{clipId}", response_class=_Json)
    def clip(clipId: str) -> Response:
        """A clip's result metadata, as it was PUT."""
        _check_clip_id(clipId)
        return _Json(catalog.clip(clipId).metadata_json)

    @app.get("/cameras/{cameraId}")
    def camera(cameraId: str) -> CameraDocument:
        """One camera."""
        if not ID.fullmatch(cameraId):
            raise HTTPException(404, f"no camera has the id {shorten(cameraId)}")
        return _camera(catalog.camera(cameraId))

    return app


class _Json(Response):
    """JSON that is text already."""

    media_type = "application/json"


_CLIP_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE_CLIP}},
    }
}


def _camera(camera: Camera) -> CameraDocument:
    return CameraDocument(id=camera.id, alias=camera.alias, title=camera.name)


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
    )


def _check_clip_id(clip_id: str) -> None:
    if not ID.fullmatch(clip_id):
        raise HTTPException(422, f"clipId {shorten(clip_id)}: expected 1 to 64 letters, digits, '_' or '-'")


def _metadata(clip_id: str, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body, parse_constant=_no_constant)
        json.dumps(document, allow_nan=False)  # 1e400 is read as infinity, which JSON can't write
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
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _on_error(_: Request, error: Exception) -> Response:
    headers = None
    match error:
        case RequestValidationError():
            status, detail = 422, "; ".join(_describe(problem) for problem in error.errors())
        case HTTPException():
            status, detail, headers = error.status_code, str(error.detail), error.headers
        case CliplineError():
            status, detail = _STATUS_CODES.get(type(error), 500), str(error)
        case _:
            status, detail = 500, "an error that nobody expected; the log has more"
    return _problem(status, detail, headers)


def _describe(problem: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"][1:])
    return f"{field}: {shorten(problem['msg'].removeprefix('Value error, '), 300)}"


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    # An error that nobody expected is answered outside of ``Observed``.
    headers = {**HEADERS, **(headers or {})}
    return Response(problem.model_dump_json(), status, headers=headers, media_type="application/problem+json")
