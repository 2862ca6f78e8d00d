"""The whole camera service as one application: what the pipeline asks, what people ask, and who may."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from clipline.camera_service.access import Access
from clipline.camera_service.api import bare_app, contract_routes
from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_api import Objects, clip_routes, event_routes
from clipline.camera_service.clip_desk import ClipDesk
from clipline.camera_service.clip_documents import ClipDocuments
from clipline.camera_service.clip_records import ClipRecord
from clipline.camera_service.frames import Frames
from clipline.camera_service.live import Changes
from clipline.camera_service.operator_api import Commands, camera_routes, frame_routes, status_routes
from clipline.camera_service.public_api import add_page, share_routes
from clipline.camera_service.sharing import Sharing


@dataclass(frozen=True)
class Guard:
    """Who may call; see ``Access``."""

    token: str | None = None
    service_tokens: Collection[str] = ()
    hosts: Collection[str] | None = None


@dataclass(frozen=True)
class Parts:
    """What the service is made of."""

    catalog: Catalog
    desk: ClipDesk
    documents: ClipDocuments
    objects: Objects
    frames: Frames
    sharing: Sharing
    changes: Changes
    growing: Callable[[], Mapping[str, int]]
    """By camera alias, when the recording began that is written right now."""
    command: Commands
    status: Callable[[], Mapping[str, Any]]
    now_ms: Callable[[], int]
    tolerance_ms: int = 1000
    """GAP_TOLERANCE_MS: holes up to it are no gaps."""


def create_service(parts: Parts, guard: Guard, also_measured: Iterable[CollectorRegistry] = ()) -> ASGIApp:
    """The application; ``also_measured`` shows among its metrics. The parts are the caller's to close."""

    def on_clip(record: ClipRecord) -> None:
        tell_of(parts.changes, parts.documents, parts.desk.measure(record))

    def on_cameras() -> None:
        parts.changes.publish("cameras", "", {})

    app = bare_app(parts.catalog, also_measured)
    # Before the contract's routes, where /cameras/clips would be a camera's id.
    app.include_router(
        clip_routes(
            parts.catalog.clips, parts.desk, parts.documents, parts.objects, parts.sharing, parts.changes,
            parts.now_ms,
        )
    )  # fmt: skip
    # Before those of cameras, where /cameras/recording/... would be one.
    app.include_router(contract_routes(parts.catalog, now_ms=parts.now_ms, on_clip=on_clip))
    app.include_router(
        camera_routes(
            parts.catalog,
            parts.documents,
            parts.growing,
            parts.command,
            on_cameras,
            tolerance_ms=parts.tolerance_ms,
        )
    )
    app.include_router(frame_routes(parts.frames))
    app.include_router(status_routes(parts.status))
    app.include_router(event_routes(parts.changes))
    app.include_router(share_routes(parts.objects, parts.documents, parts.sharing, parts.now_ms))
    access = Access(app, token=guard.token, hosts=guard.hosts, service=guard.service_tokens)
    add_page(app, access.allows)
    return access


def tell_of(changes: Changes, documents: ClipDocuments, record: ClipRecord) -> None:
    """Tell pages of a clip that changed."""
    if not record.deleted:
        changes.publish("clip", record.clip_id, documents.document(record))
