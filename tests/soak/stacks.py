"""Where a soak runs: on one machine's parts, or on S3, SQS and SNS over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import boto3
from servers import ministack, s3

from clipline.adapters import aws
from clipline.adapters.ledger_store import StoreLedger
from clipline.adapters.sqlite_ledger import SqliteLedger
from clipline.adapters.sqlite_queue import SqliteQueue
from clipline.adapters.sqs import SqsDeadLetters, SqsQueue
from clipline.adapters.storage import open_store
from clipline.pipeline.ports import ClipLedger, DeadLetters, MessageQueue, ObjectStore

CLIP_URL = "https://clips.example.com"


class Stack(Protocol):
    """A queue, stores and subscribers, and what lies in them."""

    name: str
    queue: MessageQueue
    dead: DeadLetters
    ledger: ClipLedger
    clips: ObjectStore

    def environment(self) -> Mapping[str, str]:
        """Settings of a worker, but for those of the camera API."""

    def add_recording(self, path: Path) -> None:
        """Put a recording into storage."""

    def left(self) -> int:
        """Messages on the queue, in whatever state."""

    def told(self) -> Sequence[Mapping[str, Any]]:
        """All that subscribers were told, until now."""

    def leftovers(self) -> Sequence[str]:
        """Temporary objects, unfinished uploads."""


class OneMachine:
    """Files and SQLite."""

    name = "one machine"

    def __init__(self, directory: Path, most_receives: int) -> None:
        self._directory = directory
        self._most_receives = most_receives
        for folder in ("recordings", "clips/_clipline"):
            (directory / folder).mkdir(parents=True)
        self.queue = SqliteQueue(directory / "queue.sqlite", most_receives=most_receives)
        self.dead = self.queue
        self.ledger = SqliteLedger(directory / "clips" / "_clipline" / "ledger.sqlite")
        self.clips = open_store(f"file:{directory / 'clips'}")

    def environment(self) -> Mapping[str, str]:
        return {
            "CLIP_URL": CLIP_URL,
            "S3_BUCKET_ORIGIN": f"file:{self._directory}/recordings",
            "S3_BUCKET_DESTINATION": f"file:{self._directory}/clips",
            "AWS_SQS_QUEUE_URL": f"sqlite:{self._directory}/queue.sqlite",
            "AWS_SNS_TOPIC": f"file:{self._directory}/notifications.jsonl",
        }

    def add_recording(self, path: Path) -> None:
        staged = self._directory / path.name
        shutil.copy(path, staged)
        staged.rename(self._directory / "recordings" / path.name)

    def left(self) -> int:
        depth = self.queue.depth()
        return depth.visible + depth.in_flight + depth.delayed

    def told(self) -> Sequence[Mapping[str, Any]]:
        path = self._directory / "notifications.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line)["message"] for line in lines]

    def leftovers(self) -> Sequence[str]:
        folder = self._directory / "clips" / "_clipline" / "incoming"
        return [str(path) for path in folder.glob("*") if path.stat().st_size]


class Aws:
    """SeaweedFS and ministack."""

    name = "aws"

    def __init__(self, environment: Mapping[str, str], most_receives: int) -> None:
        self._environment = environment
        run = uuid.uuid4().hex[:12]
        self._s3, self._sqs, sns = (boto3.client(name) for name in ("s3", "sqs", "sns"))
        self._origin, self._bucket = f"recordings-{run}", f"clips-{run}"
        for bucket in (self._origin, self._bucket):
            self._s3.create_bucket(Bucket=bucket)
        urls = {
            name: self._sqs.create_queue(QueueName=f"{name}-{run}")["QueueUrl"]
            for name in ("requests", "dead", "subscriber")
        }
        arns = {
            name: self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
                "QueueArn"
            ]
            for name, url in urls.items()
        }
        redrive = json.dumps({"deadLetterTargetArn": arns["dead"], "maxReceiveCount": str(most_receives)})
        self._sqs.set_queue_attributes(QueueUrl=urls["requests"], Attributes={"RedrivePolicy": redrive})
        self._topic = sns.create_topic(Name=f"results-{run}")["TopicArn"]
        sns.subscribe(TopicArn=self._topic, Protocol="sqs", Endpoint=arns["subscriber"])
        self._urls = urls
        self._told: list[Mapping[str, Any]] = []
        self.queue = SqsQueue(urls["requests"], dead_letter_url=urls["dead"])
        self.dead = SqsDeadLetters(self.queue)
        self.clips = open_store(self._bucket, s3_options=lambda: dict(aws.s3_options()))
        self.ledger = StoreLedger(self.clips)

    def environment(self) -> Mapping[str, str]:
        return {
            **self._environment,
            "CLIP_URL": CLIP_URL,
            "S3_BUCKET_ORIGIN": self._origin,
            "S3_BUCKET_DESTINATION": self._bucket,
            "AWS_SQS_QUEUE_URL": self._urls["requests"],
            "AWS_SNS_TOPIC": self._topic,
        }

    def add_recording(self, path: Path) -> None:
        self._s3.upload_file(str(path), self._origin, path.name)

    def left(self) -> int:
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        answer = self._sqs.get_queue_attributes(QueueUrl=self._urls["requests"], AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def told(self) -> Sequence[Mapping[str, Any]]:
        url = self._urls["subscriber"]
        while messages := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for one in messages:
                self._told.append(json.loads(json.loads(one["Body"])["Message"]))
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return self._told

    def leftovers(self) -> Sequence[str]:
        uploads = self._s3.list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        return [one["Key"] for one in uploads]


@contextmanager
def stack(name: str, directory: Path, most_receives: int) -> Iterator[Stack]:
    """A fresh stack; its servers are stopped at the end."""
    directory.mkdir()
    if name == "one-machine":
        machine = OneMachine(directory, most_receives)
        try:
            yield machine
        finally:
            machine.queue.close()
            machine.ledger.close()
        return
    weed, stackd = s3.find(), ministack.find()
    assert weed is not None, "`make test` installs weed"
    assert stackd is not None, "`make test` installs ministack"
    (directory / "s3").mkdir()
    (directory / "ministack").mkdir()
    with (
        s3.running(weed, directory / "s3") as store,
        ministack.running(stackd, directory / "ministack") as sns,
    ):
        given = {**store.environment, "AWS_ENDPOINT_URL": sns.url}
        before = {key: os.environ.get(key) for key in given}
        os.environ.update(given)
        aws.session.cache_clear()
        try:
            yield Aws(given, most_receives)
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})
            aws.session.cache_clear()


def drained(one: Stack, within_s: float) -> bool:
    """Whether nothing is left on the queue, seen three times in a row."""
    end, quiet = time.monotonic() + within_s, 0
    while time.monotonic() < end and quiet < 3:
        quiet = quiet + 1 if not one.left() else 0
        time.sleep(0.3)
    return quiet == 3
