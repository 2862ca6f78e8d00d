"""A camera service over HTTP with a real queue and a real worker behind it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.camera_service.clip_api import Objects
from clipline.camera_service.clip_desk import ClipDesk
from clipline.camera_service.clip_documents import ClipDocuments
from clipline.camera_service.frames import Frames
from clipline.camera_service.live import Changes
from clipline.camera_service.progress import Progress
from clipline.camera_service.service import Guard, Parts, create_service, tell_of
from clipline.camera_service.sharing import Sharing
from clipline.contract.interval import Interval
from clipline.entrypoints.server import listen, served, url_of
from clipline.entrypoints.worker import Worker
from clipline.media.footage import Footage, make_sample
from clipline.settings import serve_settings
from clipline.wiring import application, frame_drawer, options

START_MS = 1_540_954_320_000  # 2018-10-31T02:52:00Z
RECORDING_MS = 4000
TOKEN, SERVICE = "the-token", "the-workers-token"


@dataclass
class House:
    """The service, and what it is made of."""

    url: str
    parts: Parts
    worker: Worker
    origin: Path

    def work(self) -> None:
        """Let the worker make what is asked for."""
        self.worker.run(threading.Event(), until_idle=True)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
        named = {"Authorization": f"Bearer {TOKEN}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        data = None if body is None else json.dumps(body)
        url = path if path.startswith("http") else self.url + path
        return urllib3.request(method, url, body=data, headers=named, redirect=False, retries=False)

    def ask(self, start_ms: int = 1000, end_ms: int = 6000, **more: Any) -> Any:
        """Of the camera pier, in milliseconds from the first recording's start."""
        wanted = {
            "cameraId": "pier",
            "startTimestampInMs": START_MS + start_ms,
            "endTimestampInMs": START_MS + end_ms,
        }
        answer = self("POST", "/cameras/clips", wanted | more)
        assert answer.status == 202, answer.data
        return answer.json()

    def state(self, clip_id: str) -> Any:
        return self("GET", f"/cameras/clips/{clip_id}/state").json()


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of the camera pier, in folders by hour."""
    root = tmp_path_factory.mktemp("footage")
    made = make_sample(
        root / "made", camera="pier", start_ms=START_MS, recordings=2,
        footage=Footage(width=640, height=360, duration_s=RECORDING_MS // 1000, gop_s=1),
    )  # fmt: skip
    for number, path in enumerate(made):
        (root / f"0{number}").mkdir()
        path.rename(root / f"0{number}" / "pier.mp4")
    return root


@pytest.fixture
def house(footage: Path, tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        listener = listen("127.0.0.1", 0)
        url = url_of("127.0.0.1", listener)
        catalog = stack.enter_context(Catalog(tmp_path / "catalog.sqlite"))
        stored = [
            StoredRecording(
                "pier", f"0{number}.pier.mp4", f"0{number}/pier.mp4",
                Interval(START_MS + number * RECORDING_MS, START_MS + (number + 1) * RECORDING_MS), 1, 1,
            )
            for number in range(2)
        ]  # fmt: skip
        catalog.change([Camera("pier", "pier", "North pier")], stored)
        overrides = {"THUMBNAIL_SIZES": "160 320", "WORKER_CONCURRENCY": "1", "ISOLATION": "off"}
        settings = serve_settings(tmp_path, f"file:{footage}", url, SERVICE, overrides)
        wired = stack.enter_context(application(settings))
        names, services = options(settings).names, wired.services

        def now_ms() -> int:
            return time.time_ns() // 1_000_000

        changes = Changes()
        documents = ClipDocuments(catalog, dict, now_ms)

        def tell(record: Any) -> None:
            tell_of(changes, documents, record)

        progress = stack.enter_context(Progress(catalog.clips, tell))
        parts = Parts(
            catalog,
            ClipDesk(
                catalog,
                services,
                names,
                longest_ms=300_000,
                thumbnail_sizes=(160, 320),
                now_ms=now_ms,
                on_change=tell,
            ),
            documents,
            Objects(catalog.clips, services.destination),
            Frames(catalog, services.origin, stack.enter_context(frame_drawer(wired, 1))),
            Sharing(b"key"),
            changes,
            dict,
            lambda alias, interval: f"clipline cut {alias} {interval.start_ms}",
            lambda: {"version": "1"},
            now_ms,
        )
        worker = Worker(
            wired,
            lambda handled: progress.over(handled.job.clip_id) if handled.job else None,
            observe=progress.stage,
        )
        stack.enter_context(served(create_service(parts, Guard(TOKEN, [SERVICE])), listener))
        stack.callback(changes.close)
        yield House(url, parts, worker, footage)
