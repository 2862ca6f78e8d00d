"""The page itself, logging in, and shared clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from clipline.camera_service.access import with_cookie
from clipline.camera_service.clip_api import Objects
from clipline.camera_service.clip_desk import object_keys
from clipline.camera_service.clip_documents import ClipDocuments
from clipline.camera_service.clip_records import ClipRecord
from clipline.camera_service.fields import body_of, capped_body, read_body
from clipline.camera_service.sharing import Shared, Sharing
from clipline.contract.errors import NotFound

PAGE = Path(__file__).parent / "page"
_PAGES = {
    "/": "index.html", "/login": "login.html", "/share/{token}": "share.html", "/favicon.ico": "favicon.svg",
}  # fmt: skip
_MEDIA_TYPES = {
    ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
}  # fmt: skip
_REVALIDATED = {"Cache-Control": "no-cache"}
_EXPIRED = "this link has expired, or its clip was deleted"


class TokenBody(BaseModel):
    """The token that clipline printed."""

    token: str


@dataclass(frozen=True)
class _Asset:
    """A file of the page, in memory: two dozen are asked for at once, and each open file costs a thread.

    Browsers keep it, but ask again: after an upgrade nothing old is shown.
    """

    body: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> _Asset:
        body = path.read_bytes()
        return cls(body, _MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:16]}"')

    def answer(self, request: Request) -> Response:
        headers = {**_REVALIDATED, "ETag": self.etag}
        if request.headers.get("If-None-Match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def add_page(app: FastAPI, allows: Callable[[str], bool]) -> None:
    """``allows`` tells whether a token is the right one."""

    assets = {path.name: _Asset.read(path) for path in PAGE.iterdir() if path.suffix in _MEDIA_TYPES}

    def route(path: str, name: str) -> None:
        async def asset(request: Request) -> Response:
            return assets[name].answer(request)

        app.add_api_route(path, asset, include_in_schema=False, response_class=Response)

    for path, name in _PAGES.items():
        route(path, name)
    for name in assets:
        route(f"/page/{name}", name)

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
        sizes = record.metadata.get("thumbnail", {}).get("sizes", [])
        keys = object_keys(record.metadata)[1:]
        if size not in sizes or not keys:
            raise HTTPException(404, f"there is no thumbnail of {size} pixels")
        return FileResponse(objects.path(keys[sizes.index(size)]))

    return routes
