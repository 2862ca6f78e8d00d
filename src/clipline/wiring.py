"""From settings to services: only the adapters that are chosen are imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clipline.adapters.storage import open_store
from clipline.contract.errors import ConfigurationError
from clipline.contract.recording import NameFormat
from clipline.contract.result import ObjectNames
from clipline.media.engine import Engine, InProcess
from clipline.media.limits import MIB, MediaLimits
from clipline.pipeline.decision import Limits
from clipline.pipeline.generate import ClipGenerator, Options
from clipline.pipeline.ports import ClipLedger, DeadLetters, MessageQueue, Notifier, ObjectStore, Services
from clipline.settings import Settings

if TYPE_CHECKING:
    from clipline.media.isolation.frames import Drawer

WORKER_OWN_MIB = 160
"""What a worker needs beside its clips: itself, and the process that clips are forked from."""
LEAST_SHARE_MIB = 256
"""What a clip of 1080p reserves (measured; the stacks of idle threads count, so that less is in use)."""


@dataclass(frozen=True)
class Application:
    """A pipeline ready to handle messages, and the services that it was given."""

    generator: ClipGenerator
    services: Services
    dead_letters: DeadLetters
    settings: Settings


@contextmanager
def application(
    settings: Settings, *, serves: bool = False, warn: Callable[[str], None] = lambda _: None
) -> Iterator[Application]:
    """The pipeline that ``settings`` describe; what was opened for it is closed at the end.

    Nothing is contacted yet. ``serves`` is for who goes on making clips, one after the other: with
    ISOLATION=auto each has a process of its own then; ``warn`` is told where that is less than it could be.
    Raises ConfigurationError for a setting that no service can be made of.
    """
    with ExitStack() as stack:
        queue, dead_letters = queue_of(settings, stack)
        isolated = settings.isolation == "on" or (settings.isolation == "auto" and serves)
        if settings.worker_memory_limit_mib and serves and not isolated:
            raise ConfigurationError(
                "WORKER_MEMORY_LIMIT_MIB can only be kept where each clip has a process of its own",
                hint="set ISOLATION to on or auto, or limit the worker from outside",
            )
        engine = _engine(settings, stack, warn) if isolated else InProcess(media_limits(settings))
        services = _services(settings, queue, engine, stack)
        yield Application(ClipGenerator(services, options(settings)), services, dead_letters, settings)


def options(settings: Settings) -> Options:
    """What the settings say about making clips."""
    return Options(
        Limits(
            retry_ms=settings.sqs_retry_limit * 1000,
            out_of_range_ms=settings.out_of_range_limit * 1000,
            max_length_ms=settings.video_max_len * 1000,
            gap_policy=settings.gap_policy,
        ),
        ObjectNames(
            _clip_url(settings), settings.clip_key, settings.thumbnail_key, settings.thumbnail_format
        ),
        work_directory=settings.clip_download_dest,
        recording_key=settings.recording_key,
        recording_directory=settings.s3_bucket_origin_dir,
        thumbnail_sizes=settings.thumbnail_sizes,
        gap_tolerance_ms=settings.gap_tolerance_ms,
        hevc_mode=settings.hevc_mode,
        retry_delay_s=settings.sqs_timeout,
        notify_pending=settings.notify_pending,
        most_receives=settings.max_receive_count,
    )


def media_limits(settings: Settings) -> MediaLimits:
    """What one clip may take."""
    return MediaLimits(
        pixels=settings.media_pixel_limit,
        output_bytes=settings.media_output_limit_mib * MIB,
        memory_bytes=settings.media_memory_limit_mib * MIB,
        cpu_s=settings.media_cpu_limit_s,
        time_s=settings.media_time_limit_s,
    )


def _share(settings: Settings) -> MediaLimits:
    """What each clip of a worker may take, so that all of them together stay below its memory limit."""
    limits, total_mib = media_limits(settings), settings.worker_memory_limit_mib
    if not total_mib:
        return limits
    share_mib = (total_mib - WORKER_OWN_MIB) // settings.worker_concurrency
    if share_mib < LEAST_SHARE_MIB:
        raise ConfigurationError(
            f"WORKER_MEMORY_LIMIT_MIB is {total_mib}, which leaves {max(share_mib, 0)} MiB for each of "
            f"{settings.worker_concurrency} clips at a time",
            hint=f"expected at least {LEAST_SHARE_MIB}: allow more, or a lower WORKER_CONCURRENCY",
        )
    return replace(limits, memory_bytes=min(limits.memory_bytes, share_mib * MIB))


@contextmanager
def frame_drawer(app: Application, most: int) -> Iterator[Drawer]:
    """What draws up to ``most`` frames at a time: where clips have processes of their own, so do frames."""
    from clipline.media.isolation.engine import Isolated
    from clipline.media.isolation.frames import InProcessDrawer, IsolatedDrawer

    engine = app.services.engine
    if not isinstance(engine, Isolated):
        yield InProcessDrawer()
        return
    with IsolatedDrawer(engine.template, media_limits(app.settings), most) as drawer:
        yield drawer


def names(settings: Settings) -> NameFormat:
    """How recordings are named."""
    return NameFormat(settings.timestamp_format, settings.old_file_format)


def local_file(setting: str, value: str, scheme: str) -> Path | None:
    """The path in ``scheme:PATH``; None where ``value`` has another scheme."""
    if not value.startswith(f"{scheme}:"):
        return None
    path = value.removeprefix(f"{scheme}:").removeprefix("//")
    if not path:
        raise ConfigurationError(f"{setting} is {value!r}, expected a path after {scheme}:")
    return Path(path)


def _clip_url(settings: Settings) -> str:
    folder = local_file("CLIP_URL", settings.clip_url, "file")
    return (folder.absolute().as_uri() if folder else settings.clip_url).rstrip("/")


def _engine(settings: Settings, stack: ExitStack, warn: Callable[[str], None]) -> Engine:
    from clipline.media.isolation.engine import Isolated

    return stack.enter_context(Isolated(_share(settings), warn))


def _services(settings: Settings, queue: MessageQueue, engine: Engine, stack: ExitStack) -> Services:
    from clipline.adapters.camera_api import HttpCameraApi

    token = settings.cam_services_token
    destination = _store(settings.s3_bucket_destination)
    return Services(
        HttpCameraApi(
            settings.cam_services_url,
            settings.recordings_url or settings.cam_services_url,
            token=token.get_secret_value() if token else None,
            names=names(settings),
        ),
        origin=_store(settings.s3_bucket_origin),
        destination=destination,
        queue=queue,
        notifier=_notifier(settings),
        ledger=_ledger(settings, destination, stack),
        engine=engine,
    )


def _store(url: str) -> ObjectStore:
    def s3_options() -> dict[str, object]:
        from clipline.adapters import aws

        return dict(aws.s3_options())

    return open_store(url, s3_options=s3_options)


def _ledger(settings: Settings, destination: ObjectStore, stack: ExitStack) -> ClipLedger:
    """Beside the clips: in a database where they lie in a folder, else as objects."""
    folder = local_file("S3_BUCKET_DESTINATION", settings.s3_bucket_destination, "file")
    if folder is not None:
        from clipline.adapters.sqlite_ledger import SqliteLedger

        directory = folder / "_clipline"
        directory.mkdir(parents=True, exist_ok=True)
        return stack.enter_context(SqliteLedger(directory / "ledger.sqlite"))
    from clipline.adapters.ledger_store import StoreLedger

    return StoreLedger(destination)


def queue_of(settings: Settings, stack: ExitStack) -> tuple[MessageQueue, DeadLetters]:
    """The queue and its dead letters, closed with ``stack``. Raises ConfigurationError."""
    path = local_file("AWS_SQS_QUEUE_URL", settings.aws_sqs_queue_url, "sqlite")
    if path is not None:
        from clipline.adapters.sqlite_queue import SqliteQueue

        path.parent.mkdir(parents=True, exist_ok=True)
        both = stack.enter_context(SqliteQueue(path, most_receives=settings.max_receive_count))
        return both, both
    if not settings.aws_sqs_queue_url.startswith(("https://", "http://")):
        raise ConfigurationError(
            f"AWS_SQS_QUEUE_URL is {settings.aws_sqs_queue_url!r}, expected https://... or sqlite:FILE"
        )
    from clipline.adapters.sqs import SqsDeadLetters, SqsQueue

    queue = SqsQueue(
        settings.aws_sqs_queue_url, dead_letter_url=settings.aws_sqs_dead_letter_queue_url or None
    )
    return queue, SqsDeadLetters(queue)


def _notifier(settings: Settings) -> Notifier:
    notifiers: list[Notifier] = []
    path = local_file("AWS_SNS_TOPIC", settings.aws_sns_topic, "file")
    if path is not None:
        from clipline.adapters.json_lines import JsonLinesNotifier

        path.parent.mkdir(parents=True, exist_ok=True)
        notifiers.append(JsonLinesNotifier(path))
    elif settings.aws_sns_topic.startswith("arn:"):
        from clipline.adapters.sns import SnsNotifier

        notifiers.append(SnsNotifier(settings.aws_sns_topic))
    else:
        raise ConfigurationError(
            f"AWS_SNS_TOPIC is {settings.aws_sns_topic!r}, expected the ARN of a topic or file:FILE"
        )
    if settings.webhook_url:
        from clipline.adapters.webhook import WebhookNotifier

        secret = settings.webhook_secret
        notifiers.append(WebhookNotifier(settings.webhook_url, secret.get_secret_value() if secret else None))
    if len(notifiers) == 1:
        return notifiers[0]
    from clipline.adapters.webhook import CompositeNotifier

    return CompositeNotifier(notifiers)
