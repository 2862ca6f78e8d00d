"""The camera API client against our own camera service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipline.adapters.camera_api import HttpCameraApi
from clipline.camera_service.api import create_app
from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.contract.errors import NotFound, Refused, Unavailable
from clipline.contract.interval import Interval
from clipline.contract.recording import NameFormat
from clipline.entrypoints.server import serve_in_thread
from clipline.pipeline.ports import CameraApi

FIXTURES = Path(__file__).parent.parent / "contract" / "fixtures"
START_MS = 1_537_113_617_000  # 2018-09-16T16:00:17.000Z
INTERVAL = Interval(START_MS + 1000, START_MS + 2000)
GENEROUS_S = 15


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Catalog, CameraApi]]:
    with Catalog(tmp_path / "catalog.sqlite") as catalog, serve_in_thread(create_app(catalog)) as url:
        catalog.put_camera(Camera("584204204e65fad6a7709115", "north.pier", "North pier"))
        names = ["north.pier.20180916T160017000.mp4", "north.pier.stream.20180916T161017250.mp4"]
        starts = [START_MS, START_MS + 600_250]
        catalog.change(
            put=[
                StoredRecording("north.pier", name, f"n/{name}", Interval(start, start + 600_000), 1, 1)
                for name, start in zip(names, starts, strict=True)
            ]
        )
        with HttpCameraApi(url, url, names=NameFormat()) as api:
            yield catalog, api


def test_the_client_and_our_service_understand_each_other(service: tuple[Catalog, CameraApi]) -> None:
    catalog, api = service
    alias = api.alias("584204204e65fad6a7709115")
    assert alias == "north.pier"
    with pytest.raises(NotFound):
        api.alias("unknown")

    both = api.recordings(alias, Interval(START_MS + 599_000, START_MS + 601_000))
    stored = catalog.recordings(alias, Interval(START_MS, START_MS + 10_000_000))
    told = [(one.name, one.span, one.told_key) for one in both]
    assert told == [(one.name, one.span, one.key) for one in stored]
    assert api.recordings(alias, Interval(0, 1000)) == []
    assert api.recordings("unknown", INTERVAL) == []

    available = json.loads((FIXTURES / "sns_message.json").read_text())
    late = json.loads((FIXTURES / "sns_message_not_available.json").read_text())
    for metadata in (available, available, late):
        api.put_clip(metadata["clipId"], metadata)
    assert catalog.clips.get(available["clipId"]).metadata == available


def test_our_service_refuses_what_is_no_metadata(service: tuple[Catalog, CameraApi]) -> None:
    _, api = service
    with pytest.raises(Refused, match=r"CLIP_LOST.*CAM_SERVICES_URL"):
        api.put_clip("c", {"status": "CLIP_LOST"})


def test_our_service_out_of_order_is_unavailable(service: tuple[Catalog, CameraApi]) -> None:
    catalog, api = service
    catalog.close()
    with pytest.raises(Unavailable, match="HTTP 503"):
        api.alias("584204204e65fad6a7709115")
