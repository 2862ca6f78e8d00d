"""A camera API on loopback for a folder of recordings: what ``CAM_SERVICES_URL=folder:DIR`` stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clipline.adapters.storage import open_store
from clipline.contract.errors import ConfigurationError
from clipline.contract.recording import DEFAULT_RECORDING_KEY
from clipline.settings import Settings
from clipline.wiring import local_file, names

if TYPE_CHECKING:
    from clipline.camera_service.catalog import Catalog

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
    from clipline.camera_service.archive import FolderArchive
    from clipline.camera_service.catalog import Catalog
    from clipline.camera_service.discovery import Discovery
    from clipline.camera_service.layouts import Layouts
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
        archive = FolderArchive(folder, without=queue.parent if folder in queue.parents else None)
        store = open_store(f"file:{folder}")
        discovery = Discovery(catalog, archive, store, Layouts(names(settings)), settle_s=0)
        add_sample_camera(catalog, folder, when_empty=True)
        discovery.look()
        say(str(discovery.found()))
        update = {"recordings_url": ""}
        if settings.recording_key == DEFAULT_RECORDING_KEY:
            update["recording_key"] = "{key}"
        with serve_in_thread(create_app(catalog)) as url:
            say(f"Camera API on {url}")
            yield settings.model_copy(update=update | {"cam_services_url": url})


def add_sample_camera(catalog: Catalog, folder: Path, *, when_empty: bool = False) -> None:
    """The camera that test events ask for, where its recordings lie in ``folder``, or nothing does."""
    from clipline.camera_service.catalog import Camera

    known = any(camera.alias == SAMPLE_ALIAS for camera in catalog.cameras())
    empty = when_empty and not any(folder.iterdir())
    if not known and (empty or any(folder.glob(f"{SAMPLE_ALIAS}*"))):
        catalog.put_camera(Camera(SAMPLE_CAMERA_ID, SAMPLE_ALIAS, "Sample camera"))
