"""What is around the workers: on one machine, or shaped like AWS. A stack lives in a directory of its own."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from servers import ministack, s3
from soak.points import FOLDER_POINTS, WORKER_POINTS

from clipline.adapters import aws
from clipline.adapters.store_folder import LOCK, STAGING
from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.contract.interval import Interval
from clipline.pipeline.ports import DeadLetter
from clipline.settings import Settings, load_settings, local_settings
from clipline.wiring import Application, application

CAMERA, ALIAS = "1111111111111", "pier"
RETRY_LIMIT_S = 12
"""How long recordings are waited for: one that comes, comes well before."""
WIDTHS = (160, 300)
_LOOKS_S = 30  # longer than SQS hides a dead letter
NAMES = ("one-machine", "aws")


@dataclass
class Stack:
    """What the soak does with a stack, on either."""

    name: str
    directory: Path
    app: Application
    """On the same services as the workers'."""
    environment: Mapping[str, str]
    """Of the workers: all their settings."""
    catalog: Catalog
    port: int
    """Of the camera service."""
    worker_points: tuple[str, ...]
    hidden_s = 0
    """How long a dead letter that one has looked at is hidden from others."""
    told: list[dict[str, Any]] = field(default_factory=list)
    """Notifications, as far as they were collected."""

    @property
    def camera_url(self) -> str:
        """Of the camera service."""
        return f"http://127.0.0.1:{self.port}"

    def depth(self) -> int:
        """Messages on the queue, whether visible, in flight or delayed."""
        depth = self.app.services.queue.depth()  # type: ignore[attr-defined]
        return int(depth.visible + depth.in_flight + depth.delayed)

    def collect(self) -> None:
        """Take over the notifications that went out since. Raises ValueError for half a line."""
        path = self.directory / "notifications.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        self.told += [json.loads(line)["message"] for line in lines[len(self.told) :]]

    def letters(self) -> list[DeadLetter]:
        """All dead letters."""
        return list(self.app.dead_letters.letters())

    def left_over(self) -> list[str]:
        """What no reader sees: files that were staged for the store, or uploads in parts."""
        folder = self.directory / "clips" / STAGING
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        return [f"staged: {name}" for name in sorted(there - {LOCK})]

    def is_ledgers(self, key: str) -> bool:
        """Whether the object belongs to the ledger."""
        return key.startswith("_clipline/ledger.sqlite")

    def announce_camera(self, camera_id: str, alias: str) -> None:
        """From now on the camera API knows the camera."""
        self.catalog.put_camera(Camera(camera_id, alias, alias))

    def store_recording(self, camera_id: str, alias: str, path: Path, name: str, span: Interval) -> None:
        """A recording of ``camera_id``, made at ``path``, is stored and then announced."""
        self.app.services.origin.put_file(name, path, "video/mp4")
        self.announce_camera(camera_id, alias)
        self.catalog.change(put=[StoredRecording(alias, name, name, span, path.stat().st_size, 0)])


class _Aws(Stack):
    hidden_s = 21

    def __init__(self, queue_url: str, dead_url: str, subscriber_url: str, **more: Any) -> None:
        super().__init__(name="aws", **more)
        self._sqs, self._s3 = boto3.client("sqs"), boto3.client("s3")
        self._queue_url, self._dead_url, self._subscriber_url = queue_url, dead_url, subscriber_url

    def depth(self) -> int:
        return self._depth(self._queue_url)

    def collect(self) -> None:
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._subscriber_url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self.told.append(json.loads(json.loads(message["Body"])["Message"]))
                self._sqs.delete_message(
                    QueueUrl=self._subscriber_url, ReceiptHandle=message["ReceiptHandle"]
                )
            if not answer.get("Messages"):
                return

    def letters(self) -> list[DeadLetter]:
        # One that somebody looked at is hidden for a while, even when he was killed over it.
        found: dict[str, DeadLetter] = {}
        end = time.monotonic() + _LOOKS_S
        while len(found) < self._depth(self._dead_url) and time.monotonic() < end:
            found |= {letter.message.message_id: letter for letter in self.app.dead_letters.letters()}
        return list(found.values())

    def left_over(self) -> list[str]:
        bucket = self.app.services.destination.name
        uploads = self._s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return [f"unfinished upload: {one['Key']}" for one in uploads]

    def is_ledgers(self, key: str) -> bool:
        return key.startswith("_clipline/") and key.endswith(".json")

    def _depth(self, url: str) -> int:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        counts = "ApproximateNumberOfMessages"  # visible, in flight and delayed
        return sum(int(value) for name, value in answer["Attributes"].items() if name.startswith(counts))


@contextmanager
def one_machine(directory: Path, *, most_receives: int) -> Iterator[Stack]:
    """A queue, a ledger and a catalog in SQLite, folders for stores, a file for notifications."""
    with _prepared(directory, {}, most_receives) as (common, catalog, port):
        settings = local_settings(directory, common)
        with application(settings) as app:
            environment = _as_environment(settings)
            points = WORKER_POINTS + FOLDER_POINTS
            yield Stack("one-machine", directory, app, environment, catalog, port, points)


@contextmanager
def aws_servers(directory: Path) -> Iterator[Mapping[str, str]]:
    """The environment of AWS clients that talk to SeaweedFS for S3, and to ministack for SQS and SNS."""
    weed, stack = s3.find(), ministack.find()
    if weed is None or stack is None:
        raise RuntimeError("weed and ministack are needed: `make test` installs both")
    directory.mkdir()
    with s3.running(weed, directory) as objects, ministack.running(stack, directory) as rest:
        yield {**objects.environment, "AWS_ENDPOINT_URL": rest.url}


@contextmanager
def aws_shaped(directory: Path, servers: Mapping[str, str], *, most_receives: int) -> Iterator[Stack]:
    """Buckets, queues and a topic of its own on ``servers``; a queue subscribes to the topic."""
    with _prepared(directory, servers, most_receives) as (common, catalog, port):
        run = str(time.time_ns())
        sqs, sns = boto3.client("sqs"), boto3.client("sns")
        for bucket in ("recordings", "clips"):
            boto3.client("s3").create_bucket(Bucket=f"{bucket}-{run}")
        urls = [
            sqs.create_queue(QueueName=f"{name}-{run}")["QueueUrl"]
            for name in ("requests", "dead", "subscriber")
        ]
        arns = [
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            for url in urls
        ]
        redrive = json.dumps({"deadLetterTargetArn": arns[1], "maxReceiveCount": str(most_receives)})
        sqs.set_queue_attributes(QueueUrl=urls[0], Attributes={"RedrivePolicy": redrive})
        topic = sns.create_topic(Name=f"results-{run}")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns[2])
        here = {
            "CLIP_URL": "https://camclips.example.com",
            "S3_BUCKET_ORIGIN": f"recordings-{run}",
            "S3_BUCKET_DESTINATION": f"clips-{run}",
            "AWS_SQS_QUEUE_URL": urls[0],
            "AWS_SNS_TOPIC": topic,
            "CLIP_DOWNLOAD_DEST": str(directory / "work"),
            "OUT_OF_RANGE_LIMIT": "0",
        }
        settings = load_settings(None, {**common, **here})
        with application(settings) as app:
            yield _Aws(
                *urls,
                directory=directory,
                app=app,
                environment={**_as_environment(settings), **servers},
                catalog=catalog,
                port=port,
                worker_points=WORKER_POINTS,
            )


@contextmanager
def _prepared(
    directory: Path, servers: Mapping[str, str], most_receives: int
) -> Iterator[tuple[dict[str, str], Catalog, int]]:
    """Settings that both stacks share, the catalog, and the camera service's port; meanwhile this process
    has no other settings of AWS than ``servers``."""
    directory.mkdir()
    before = dict(os.environ)
    with ExitStack() as stack:
        stack.callback(aws.session.cache_clear)
        stack.callback(os.environ.update, before)
        stack.callback(os.environ.clear)
        known = {name.upper() for name in Settings.model_fields}
        for name in before:
            if name.startswith("AWS_") or name in known:
                del os.environ[name]
        os.environ.update(servers)
        aws.session.cache_clear()
        boto3.setup_default_session()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        common = {
            "CAM_SERVICES_URL": f"http://127.0.0.1:{port}",
            "RECORDINGS_URL": f"http://127.0.0.1:{port}/cameras/recording",
            "RECORDING_KEY": "{name}",
            "THUMBNAIL_SIZES": " ".join(map(str, WIDTHS)),
            "SQS_TIMEOUT": "1",
            "SQS_RETRY_LIMIT": str(RETRY_LIMIT_S),
            "MAX_RECEIVE_COUNT": str(most_receives),
            "WORKER_CONCURRENCY": "2",
        }
        catalog = stack.enter_context(Catalog(directory / "catalog.sqlite"))
        yield common, catalog, port


def _as_environment(settings: Settings) -> dict[str, str]:
    """Variables that make the same settings."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {
        name.upper(): " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in given.items()
    }
