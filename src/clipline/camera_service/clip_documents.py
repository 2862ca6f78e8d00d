"""Clips as the page and other programs see them: the result metadata, and what the catalog adds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_records import ClipRecord
from clipline.contract.errors import NotFound
from clipline.contract.result import Status
from clipline.pipeline.withdraw import CANCELLED

SETTLED_MS = 5000
"""From the end of a recording until it is found."""


class ClipDocuments:
    """``growing`` tells, by camera alias, when the recording began that is being written right now."""

    def __init__(
        self, catalog: Catalog, growing: Callable[[], Mapping[str, int]], now_ms: Callable[[], int]
    ) -> None:
        self._catalog = catalog
        self._growing = growing
        self._now_ms = now_ms

    def document(self, record: ClipRecord) -> dict[str, Any]:
        """The whole of it, as JSON carries it."""
        document = record.metadata
        camera_id = document.get("cameraId")
        alias = title = None
        if isinstance(camera_id, str):
            try:
                camera = self._catalog.camera(camera_id)
            except NotFound:
                pass
            else:
                alias, title = camera.alias, camera.name
        stages = record.stages.split()
        progress = None
        if stages:
            progress = {"stage": stages[-1], "done": stages[:-1], "delivery": record.delivery}
        ready_ms = None
        end_ms = document.get("endTimestampInMs")
        if record.status == Status.PENDING and alias is not None and isinstance(end_ms, int):
            ready_ms = self.ready_ms(alias, end_ms)
        return document | {
            "clipId": record.clip_id,
            "requestedTimestampInMs": record.requested_ms,
            "updatedTimestampInMs": record.updated_ms,
            "progress": progress,
            "readyTimestampInMs": ready_ms,
            "cancelled": document.get("reason") == CANCELLED,
            "sizeInBytes": record.size_bytes,
            "cameraTitle": title if title is not None else camera_id,
        }

    def ready_ms(self, alias: str, end_ms: int) -> int | None:
        """When what camera ``alias`` records up to ``end_ms`` should be found; None: it is, or never may be.

        The recording that is being written should be as long as those before it.
        """
        extent = self._catalog.extent(alias)
        if extent is None or extent.last_ms >= end_ms:
            return None
        begun_ms = self._growing().get(alias, extent.last_ms)
        if begun_ms >= end_ms:  # what comes next begins later: a gap
            return None
        recordings = math.ceil((end_ms - begun_ms) / extent.typical_ms)
        ready_ms = begun_ms + recordings * extent.typical_ms + SETTLED_MS
        return ready_ms if ready_ms > self._now_ms() else None
