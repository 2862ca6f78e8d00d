"""The page itself, logging in, and shared clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from clipline.camera_service.access import with_cookie
from clipline.camera_service.clip_api import Objects
from clipline.camera_service.clip_documents import ClipDocuments
from clipline.camera_service.clip_records import ClipRecord
from clipline.camera_service.fields import body_of, capped_body, read_body
from clipline.camera_service.sharing import Shared, Sharing
from clipline.contract.errors import NotFound

PAGE = Path(__file__).parent / "page"
_REVALIDATED = {"Cache-Control": "no-cache"}
_EXPIRED = "this link has expired, or its clip was deleted"


class TokenBody(BaseModel):
    """The token that clipline printed."""

    token: str


class _Assets(StaticFiles):
    """Kept by browsers, but asked for again: after an upgrade nothing old is shown."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers.update(_REVALIDATED)
        return response


def add_page(app: FastAPI, allows: Callable[[str], bool]) -> None:
    """``allows`` tells whether a token is the right one."""

    def page(name: str) -> Callable[[], Response]:
        return lambda: FileResponse(PAGE / name, headers=_REVALIDATED, media_type="text/html")

    app.add_api_route("/", page("index.html"), include_in_schema=False, response_class=FileResponse)
    app.add_api_route("/login", page("login.html"), include_in_schema=False, response_class=FileResponse)
    app.add_api_route(
        "/share/{token}", page("share.html"), include_in_schema=False, response_class=FileResponse
    )
    app.add_api_route(
        "/favicon.ico",
        lambda: FileResponse(PAGE / "favicon.svg", headers=_REVALIDATED, media_type="image/svg+xml"),
        include_in_schema=False,
        response_class=FileResponse,
    )
    app.mount("/page", _Assets(directory=PAGE))

    @app.post("/login", status_code=204, openapi_extra=body_of(TokenBody), tags=["access"])
    def login(body: Annotated[bytes, Depends(capped_body)]) -> Response:
        """Put the token into a cookie."""
        token = read_body(TokenBody, body).token.strip()
        if not allows(token):
            raise HTTPException(401, "that is not the token that clipline printed when it started")
        return with_cookie(Response(status_code=204), token)


def share_routes(
    objects: Objects, documents: ClipDocuments, sharing: Sharing, now_ms: Callable[[], int]
) -> APIRouter:
    """What a shared link gives, and nothing else of the clip."""
    routes = APIRouter(tags=["shared"])

    def opened(token: str) -> tuple[Shared, ClipRecord, Path]:
        shared = sharing.read(token, now_ms())
        if shared is None:
            raise HTTPException(410, _EXPIRED)
        try:
            return shared, *objects.clip(shared.clip_id)
        except NotFound:
            raise HTTPException(410, _EXPIRED) from None

    @routes.get("/share/{token}/clip")
    def clip(token: str) -> dict[str, Any]:
        """What it shows."""
        shared, record, _ = opened(token)
        document = documents.document(record)
        keys = ("clipId", "cameraTitle", "startTimestampInMs", "endTimestampInMs", "partial", "coverage")
        told = {key: document[key] for key in keys if key in document}
        sizes = document.get("thumbnail", {}).get("sizes", [])
        return told | {"expiresTimestampInMs": shared.expires_ms, "thumbnailSizes": sizes}

    @routes.get("/share/{token}/video", response_class=FileResponse)
    def video(token: str) -> Response:
        """The clip."""
        _, _, path = opened(token)
        return FileResponse(path, media_type="video/mp4")

    @routes.get("/share/{token}/thumbnail", response_class=FileResponse)
    def thumbnail(token: str, size: Annotated[int, Query(ge=1, le=8192)]) -> Response:
        """One of its thumbnails."""
        _, record, _ = opened(token)
        found = record.metadata.get("thumbnail", {})
        if size not in found.get("sizes", []):
            raise HTTPException(404, f"there is no thumbnail of {size} pixels")
        return FileResponse(objects.path(found["key"].lstrip("/").replace("{size}", str(size))))

    return routes
