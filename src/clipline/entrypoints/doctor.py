"""``clipline doctor``: is everything there that a clip needs, and if not, what to do."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import urllib3

from clipline import __version__
from clipline.contract.errors import CliplineError, NotFound
from clipline.entrypoints.data_folder import LOCK, holder
from clipline.entrypoints.local import with_camera_api
from clipline.settings import Settings
from clipline.wiring import application, media_limits

_LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    fine: bool
    detail: str


def examine(load: Callable[[], Settings], data: Path | None = None) -> Iterator[Finding]:
    """Look at everything, each thing only where those before allow it; ``load`` gives the settings.

    Where `clipline serve` has kept something in ``data``, at that server instead of a worker's services.
    """
    yield Finding("version", True, f"clipline {__version__}, Python {platform.python_version()}")
    yield _codecs()
    try:
        settings = load()
    except CliplineError as error:
        yield Finding("settings", False, str(error))
        return
    yield Finding("settings", True, "complete and well-formed")
    yield _work_directory(settings.clip_download_dest)
    yield _isolation(settings)
    if data is not None and (data / LOCK).exists():
        yield from _server(data)
        return
    said: list[str] = []
    try:
        with with_camera_api(settings, said.append) as callable_settings:
            yield from (Finding("recordings", not text.startswith("Found 0"), text) for text in said[:1])
            yield from _services(callable_settings)
    except CliplineError as error:
        yield Finding("services", False, str(error))


def _server(data: Path) -> Iterator[Finding]:
    """What `clipline serve` keeps in ``data``, and whether it runs."""
    for name in ("token", "share.key"):
        path = data / name
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding(name, False, f"others may read {path}: chmod 600 {path}")
    running = holder(data)
    if running is None:
        yield Finding("server", True, f"none runs on {data}; `clipline serve --data {data}` starts one")
        return
    url = running.rpartition(" on ")[2]
    try:
        answer = urllib3.request("GET", f"{url}/health", timeout=5, retries=False)
        yield Finding("server", answer.status == 200, f"{running} says {answer.data.decode()[:200]}")
    except urllib3.exceptions.HTTPError as error:
        yield Finding("server", False, f"{running} does not answer: {error}")


def _codecs() -> Finding:
    import av

    needed: dict[str, Literal["r", "w"]] = {
        "h264": "r",
        "aac": "r",
        "libx264": "w",
        "png": "w",
        "mjpeg": "w",
        "libwebp": "w",
    }
    missing = []
    for name, mode in needed.items():
        try:
            av.Codec(name, mode)
        except ValueError:
            missing.append(name)
    if missing:
        return Finding(
            "codecs", False, f"FFmpeg lacks {', '.join(missing)}; reinstall the av wheel from PyPI"
        )
    return Finding("codecs", True, f"PyAV {av.__version__} with {', '.join(needed)}")


def _work_directory(path: Path) -> Finding:
    nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not os.access(nearest, os.W_OK):
        return Finding(
            "work directory", False, f"{path} can't be written to; set CLIP_DOWNLOAD_DEST to another one"
        )
    free_bytes = shutil.disk_usage(nearest).free
    detail = f"{path}, {free_bytes / 1e9:.1f} GB free"
    if free_bytes < _LEAST_FREE_BYTES:
        return Finding("work directory", False, f"{detail}; a long clip and its footage need about 1 GB")
    return Finding("work directory", True, detail)


def _isolation(settings: Settings) -> Finding:
    """A child is made and asked; what the kernel lacks is told, and is a fault only where nothing works."""
    from clipline.media.isolation.engine import Isolated

    if settings.isolation == "off":
        return Finding("isolation", True, "off, as ISOLATION says")
    try:
        with Isolated(media_limits(settings)) as engine:
            missing = engine.missing()
    except CliplineError as error:
        return Finding("isolation", False, f"{error}; ISOLATION=off does without")
    offered = "a process for each clip, with limits, without network, credentials and other files"
    if missing:
        offered = f"a process for each clip, but not all is offered here: {'; '.join(missing)}"
    return Finding("isolation", True, offered)


def _services(settings: Settings) -> Iterator[Finding]:
    with application(settings) as app:
        services = app.services
        probe = "_clipline/doctor"

        checks: list[tuple[str, str, Callable[[], object]]] = [
            ("camera API", settings.cam_services_url, lambda: services.camera_api.alias("doctor")),
            ("origin", settings.s3_bucket_origin, lambda: services.origin.head(probe)),
            ("destination", settings.s3_bucket_destination, lambda: services.destination.head(probe)),
            ("ledger", "beside the clips", lambda: services.ledger.read("doctor")),
            ("queue", settings.aws_sqs_queue_url, services.queue.check),
            ("notifications", settings.aws_sns_topic, services.notifier.check),
        ]
        for what, target, call in checks:
            try:
                with suppress(NotFound):  # nothing has that name, but somebody answered
                    call()
            except CliplineError as error:
                yield Finding(what, False, str(error))
            else:
                yield Finding(what, True, f"{target} answers")
