"""``clipline serve``: camera API, page, queue and workers in one process, for one folder of recordings."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from clipline import __version__
from clipline.adapters.sqlite_queue import SqliteQueue
from clipline.camera_service.archive import Archive, BucketArchive, FolderArchive
from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_api import Objects
from clipline.camera_service.clip_desk import ClipDesk
from clipline.camera_service.clip_documents import ClipDocuments
from clipline.camera_service.clip_records import ClipRecord
from clipline.camera_service.discovery import Discovery
from clipline.camera_service.frames import Frames
from clipline.camera_service.layouts import Layouts
from clipline.camera_service.live import Changes
from clipline.camera_service.operator_api import Commands
from clipline.camera_service.progress import Progress
from clipline.camera_service.retention import Originals, Plan, Retention
from clipline.camera_service.service import Guard, Parts, create_service, tell_of
from clipline.camera_service.sharing import Sharing
from clipline.contract.errors import CliplineError, ConfigurationError
from clipline.contract.interval import Interval, iso
from clipline.entrypoints.data_folder import DataFolder
from clipline.entrypoints.housekeeping import Housekeeping
from clipline.entrypoints.local import add_sample_camera
from clipline.entrypoints.records import Handled
from clipline.entrypoints.server import listen, served, url_of
from clipline.entrypoints.telemetry.prometheus import Prometheus
from clipline.entrypoints.telemetry.watcher import Telemetry, Watcher
from clipline.entrypoints.watching import Watching
from clipline.entrypoints.worker import Worker
from clipline.media.limits import MIB
from clipline.settings import Settings, serve_settings
from clipline.wiring import Application, application, frame_drawer, names, options

MOST_CONNECTIONS = 400
"""Each open page keeps one, browsers open up to six."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ANY = frozenset({"0.0.0.0", "::", ""})  # noqa: S104
_OWN = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Where this machine finds what listens on any address."""
_FRAMES_AT_A_TIME = 2
_WAIT_S = 1.0
"""A stop waits for one look at the queue; what is sent from here wakes the worker at once."""


@dataclass(frozen=True)
class ServeOptions:
    """What the command line says."""

    recordings: str
    """A folder, or ``s3://bucket/folder``."""
    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    zone: tzinfo = UTC
    patterns: Sequence[str] = ()
    allow_hosts: Sequence[str] = ()
    retention: Retention = field(default_factory=Retention)
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Settings by name."""

    @property
    def origin(self) -> str:
        """The store's URL."""
        return self.recordings if "://" in self.recordings else f"file:{Path(self.recordings).absolute()}"


@dataclass(frozen=True)
class Server:
    """What runs."""

    url: str
    """Where this machine finds it."""
    link: str
    """What to open in a browser; with the token, where one is needed."""
    worker: Worker
    watching: Watching
    discovery: Discovery


@contextmanager
def server(
    given: ServeOptions,
    watcher: Watcher,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> Iterator[Server]:
    """All of it but for the worker, which waits to be run; gone at the end of the context.

    ``watcher`` is told of the work on messages, ``say`` what people want to know, ``warn`` what is wrong.
    Raises ConfigurationError where another server has the data, the port is taken, the recordings are not
    there, or a setting is wrong.
    """
    _check_recordings(given)
    with ExitStack() as stack:
        data = stack.enter_context(DataFolder(given.data))
        listener = listen(given.host, given.port)
        stack.callback(listener.close)
        url = url_of(_OWN.get(given.host, given.host), listener)
        token = None if given.host in _LOOPBACK else data.token()
        base = _public(given.host, url)
        data.announce(f"clipline serve (process {os.getpid()}) on {base}")
        service_token = secrets.token_urlsafe(24)
        overrides = {"CLIP_URL": f"{base}/clips", **given.overrides}
        settings = serve_settings(data.path, given.origin, url, service_token, overrides)
        catalog = stack.enter_context(Catalog(data.path / "catalog.sqlite"))
        wired = stack.enter_context(application(settings, serves=True, warn=warn))
        changes = Changes()
        discovery = _discovery(given, data, catalog, wired, changes)
        documents = ClipDocuments(catalog, discovery.growing, _now_ms)

        def tell(record: ClipRecord) -> None:
            tell_of(changes, documents, record)

        object_names = options(settings).names
        desk = ClipDesk(
            catalog, wired.services, object_names,
            longest_ms=settings.video_max_len * 1000, thumbnail_sizes=settings.thumbnail_sizes,
            now_ms=_now_ms, on_change=tell,
        )  # fmt: skip
        catalog.clips.none_in_progress()
        progress = stack.enter_context(Progress(catalog.clips, tell))
        metrics = Prometheus(settings.worker_concurrency)
        telemetry = Telemetry([watcher, metrics], lambda name, error: warn(f"{name}: {error}"))
        worker = _worker(wired, telemetry, progress)
        watching = Watching(
            discovery, given.recordings, on_look=lambda: state.publish(changes), on_problem=warn
        )
        state = _State(settings, catalog, wired, worker, watching, given.zone)
        drawer = stack.enter_context(frame_drawer(wired, _FRAMES_AT_A_TIME))
        parts = Parts(
            catalog, desk, documents, Objects(catalog.clips, wired.services.destination),
            Frames(catalog, wired.services.origin, drawer, tolerance_ms=settings.gap_tolerance_ms),
            Sharing(data.share_key()), changes, discovery.growing, _commands(catalog, wired, settings),
            state.document, _now_ms, settings.gap_tolerance_ms,
        )  # fmt: skip
        app = create_service(parts, Guard(token, [service_token], _hosts(given, token)), [metrics.registry])
        stack.enter_context(served(app, listener, MOST_CONNECTIONS))
        stack.callback(changes.close)
        desk.settle(warn)
        stack.enter_context(watching)
        stack.enter_context(
            Housekeeping(
                given.retention, catalog, desk, Originals(given.origin, wired.services.origin),
                on_deleted=lambda gone: _tell_deleted(gone, catalog, changes, say), on_problem=warn,
            )
        )  # fmt: skip
        yield Server(url, f"{base}/?token={token}" if token else f"{base}/", worker, watching, discovery)


class _State:
    """What the page shows of the whole."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        wired: Application,
        worker: Worker,
        watching: Watching,
        zone: tzinfo,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._wired = wired
        self._worker = worker
        self._watching = watching
        self._zone = zone
        self._published: Mapping[str, Any] = {}

    def document(self) -> Mapping[str, Any]:
        """As JSON carries it."""
        settings, queue = self._settings, self._wired.services.queue
        assert isinstance(queue, SqliteQueue), "serve has its queue on this machine"
        depth = queue.depth()
        free_bytes = shutil.disk_usage(_nearest(settings.clip_download_dest)).free
        reserve_bytes = settings.disk_reserve_mib * MIB
        return {
            "version": __version__,
            "timezone": str(self._zone),
            "recordings": self._watching.state(),
            "worker": {
                "concurrency": settings.worker_concurrency,
                "inProgress": self._worker.in_progress,
            },
            "queue": {"waiting": depth.visible, "delayed": depth.delayed, "dead": depth.dead},
            "disk": {
                "freeInBytes": free_bytes,
                "reserveInBytes": reserve_bytes,
                "fine": free_bytes >= reserve_bytes,
            },
            "limits": {
                "clipLengthInMs": settings.video_max_len * 1000,
                "retryInMs": settings.sqs_retry_limit * 1000,
                "gapPolicy": str(settings.gap_policy),
                "gapToleranceInMs": settings.gap_tolerance_ms,
            },
        }

    def publish(self, changes: Changes) -> None:
        """Tell pages, where it is another than the last time but for the free bytes, and where another
        process (``clipline prune``) has changed the catalog."""
        try:
            document = self.document()
            if self._catalog.changed_elsewhere():
                changes.publish("elsewhere", "", {})
        except (CliplineError, OSError):  # the next look tells
            return
        told = {**document, "disk": document["disk"]["fine"]}
        if told != self._published:
            self._published = told
            changes.publish("status", "", document)


def _check_recordings(given: ServeOptions) -> None:
    if "://" not in given.recordings and not Path(given.recordings).is_dir():
        raise ConfigurationError(
            f"--recordings: there is no folder {given.recordings}",
            hint="name the folder that holds one folder for each camera, or begin with --sample",
        )


def _discovery(
    given: ServeOptions, data: DataFolder, catalog: Catalog, wired: Application, changes: Changes
) -> Discovery:
    layouts = Layouts(names(wired.settings), given.zone, given.patterns)
    archive: Archive
    if given.origin.startswith("file:"):
        folder = Path(given.origin.removeprefix("file:"))
        add_sample_camera(catalog, folder)
        archive = FolderArchive(folder, without=data.path)
    else:
        archive = BucketArchive(wired.services.origin)

    def on_change(aliases: set[str]) -> None:
        _tell_changed(aliases, catalog, changes)

    return Discovery(catalog, archive, wired.services.origin, layouts, on_change=on_change)


def _worker(wired: Application, telemetry: Telemetry, progress: Progress) -> Worker:
    def observe(stage: Any) -> None:
        telemetry.stage(stage)
        progress.stage(stage)

    def handled(one: Handled) -> None:
        telemetry.handled(one)
        if one.job is not None:
            progress.over(one.job.clip_id)

    return Worker(
        wired, handled, observe=observe, begun=telemetry.begun, on_queue_error=telemetry.queue_failed,
        wait_s=_WAIT_S,
    )  # fmt: skip


def _commands(catalog: Catalog, wired: Application, settings: Settings) -> Commands:
    """The command that cuts the same clip out of the same files."""
    own_names = names(settings)

    def command(alias: str, interval: Interval) -> str | None:
        files = []
        for recording in catalog.recordings(alias, interval):
            path = wired.services.origin.local_path(recording.key)
            if path is None:
                return None
            told = own_names.start_ms(path.name)
            files.append(
                str(path)
                if told is not None and told[0] == recording.span.start_ms
                else f"{path}@{iso(recording.span.start_ms)}"
            )
        if not files:
            return None
        times = ["--start", iso(interval.start_ms), "--end", iso(interval.end_ms)]
        output = f"{alias}_{iso(interval.start_ms).replace(':', '-')}.mp4"
        return shlex.join(["clipline", "cut", *files, *times, "-o", output])

    return command


def _hosts(given: ServeOptions, token: str | None) -> Sequence[str] | None:
    """On loopback the names of this machine alone; with a token whatever name leads here."""
    return None if token else [name.lower() for name in (*_LOOPBACK, given.host, *given.allow_hosts)]


def _public(host: str, url: str) -> str:
    """Where others find what listens on ``host``; ``url`` is where this machine does."""
    if host not in _ANY:
        return url
    port = url.rpartition(":")[2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it tells which address would
            return f"http://{probe.getsockname()[0]}:{port}"
        except OSError:
            return f"http://{socket.gethostname()}:{port}"


def _tell_changed(aliases: Collection[str], catalog: Catalog, changes: Changes) -> None:
    """Tell pages of cameras whose recordings changed."""
    for camera in catalog.cameras():
        if camera.alias in aliases:
            changes.publish("recordings", camera.id, {"cameraId": camera.id})
    changes.publish("cameras", "", {})


def _tell_deleted(gone: Plan, catalog: Catalog, changes: Changes, say: Callable[[str], None]) -> None:
    for clip in gone.clips:
        changes.publish("gone", clip.clip_id, {"clipId": clip.clip_id})
    if gone.recordings:
        _tell_changed({recording.alias for recording in gone.recordings}, catalog, changes)
    say(f"Deleted {gone}, which was no longer to be kept")


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
