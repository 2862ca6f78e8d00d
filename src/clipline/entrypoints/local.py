"""A camera API on loopback for a folder of recordings: what ``CAM_SERVICES_URL=folder:DIR`` stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from clipline.contract.errors import ConfigurationError
from clipline.contract.recording import DEFAULT_RECORDING_KEY
from clipline.settings import Settings
from clipline.wiring import local_file, names

SAMPLE_CAMERA_ID = "1111111111111"
SAMPLE_ALIAS = "test"
"""The camera of the sample footage and of test events."""


@contextmanager
def with_camera_api(settings: Settings, say: Callable[[str], None] = lambda _: None) -> Iterator[Settings]:
    """Settings whose CAM_SERVICES_URL can be called.

    For ``folder:DIR`` the recordings in DIR are found and a camera service for them listens on loopback
    until the context ends; ``say`` is told what was found. Other settings stay as they are.
    """
    folder = local_file("CAM_SERVICES_URL", settings.cam_services_url, "folder")
    if folder is None:
        yield settings
        return
    # Loaded here, since whoever has a camera API of their own needs none of it.
    from clipline.camera_service.api import create_app
    from clipline.camera_service.catalog import Camera, Catalog
    from clipline.camera_service.scan import scan
    from clipline.entrypoints.server import serve_in_thread

    queue = local_file("AWS_SQS_QUEUE_URL", settings.aws_sqs_queue_url, "sqlite")
    if queue is None:
        raise ConfigurationError(
            f"CAM_SERVICES_URL is {settings.cam_services_url!r}, which goes with a queue on this machine",
            hint="set AWS_SQS_QUEUE_URL to sqlite:FILE, or CAM_SERVICES_URL to the address of a camera API",
        )
    folder.mkdir(parents=True, exist_ok=True)
    queue.parent.mkdir(parents=True, exist_ok=True)
    with Catalog(queue.parent / "catalog.sqlite") as catalog:
        known = {
            key: recording for path in catalog.folders() for key, recording in catalog.folder(path).items()
        }
        found = scan(folder, names(settings), duration_ms, known=known)
        if not found.cameras or any(camera.alias == SAMPLE_ALIAS for camera in found.cameras):
            catalog.put_camera(Camera(SAMPLE_CAMERA_ID, SAMPLE_ALIAS, "Sample camera"))
        there = {(one.alias, one.name) for one in found.recordings}
        gone = [(one.alias, one.name) for one in known.values() if (one.alias, one.name) not in there]
        catalog.change(found.cameras, found.recordings, gone)
        say(str(found))
        update = {"recordings_url": ""}
        if settings.recording_key == DEFAULT_RECORDING_KEY:
            update["recording_key"] = "{alias}/{name}" if found.folder_per_camera else "{name}"
        with serve_in_thread(create_app(catalog)) as url:
            say(f"Camera API on {url}")
            yield settings.model_copy(update=update | {"cam_services_url": url})


def duration_ms(path: Path) -> int:
    """How long a recording's video is. Raises the MediaError that says why it can't be read."""
    from clipline.media.index import read_index
    from clipline.media.ranges import LocalSource

    video = read_index(LocalSource(path)).video
    return math.ceil(Fraction(video.end_pts * 1000, video.timescale))
