"""The flows of the requirements through the Lambda handler, over HTTP: S3, SQS, SNS and the camera API."""

import json
import re
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import boto3
import pytest

from clipline.adapters import aws
from clipline.camera_service.api import create_app
from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.contract.interval import Interval, iso
from clipline.contract.recording import NameFormat
from clipline.entrypoints import lambda_function
from clipline.entrypoints.server import serve_in_thread
from clipline.media.footage import Footage, make_recording
from clipline.media.overlay import frame_number

FIXTURES = Path(__file__).parents[1] / "contract" / "fixtures"
AVAILABLE = json.loads((FIXTURES / "sns_message.json").read_text())
NOT_AVAILABLE = json.loads((FIXTURES / "sns_message_not_available.json").read_text())
CAMERA = "1111111111111"
DURATION_S = 12
FOOTAGE = Footage(width=640, height=360, duration_s=DURATION_S)
CLIP_URL = "https://camclips.example.com"


class Context:
    """Of an invocation with a minute left."""

    def get_remaining_time_in_millis(self):
        return 60_000


@dataclass
class World:
    """Everything around the function."""

    catalog: Catalog
    s3: object
    sqs: object
    queue_url: str
    dead_letters_url: str
    subscriber_url: str
    origin: str
    destination: str
    tmp_path: Path

    def record(self, start_ms):
        """A recording of the camera becomes available."""
        name = NameFormat().name("test", start_ms)
        path = self.tmp_path / name
        make_recording(path, start_ms, FOOTAGE, camera="test")
        self.s3.upload_file(str(path), self.origin, f"rewinds/{name}")
        span = Interval(start_ms, start_ms + DURATION_S * 1000)
        self.catalog.change(put=[StoredRecording("test", name, name, span, path.stat().st_size, 0)])

    def receive(self, url=None, wait_s=5):
        answer = self.sqs.receive_message(
            QueueUrl=url or self.queue_url,
            WaitTimeSeconds=wait_s,
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = answer.get("Messages", [])
        for message in messages:
            self.sqs.delete_message(QueueUrl=url or self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def published(self):
        """What subscribers got since the last call: (metadata, attributes)."""
        found = []
        while messages := self.receive(self.subscriber_url, wait_s=1 if found else 2):
            for message in messages:
                envelope = json.loads(message["Body"])
                attributes = {name: one["Value"] for name, one in envelope["MessageAttributes"].items()}
                found.append((json.loads(envelope["Message"]), attributes))
        return found

    def record_of(self, clip_id):
        return self.catalog.clips.get(clip_id).metadata

    def keys(self):
        listed = self.s3.list_objects_v2(Bucket=self.destination).get("Contents", [])
        return sorted(one["Key"] for one in listed if not one["Key"].startswith("_clipline/"))


@pytest.fixture
def world(tmp_path, monkeypatch, no_settings, s3_server, ministack):
    run = str(time.time_ns())
    for name, value in {**s3_server.environment, "AWS_ENDPOINT_URL": ministack.url}.items():
        monkeypatch.setenv(name, value)
    aws.session.cache_clear()
    s3, sqs, sns = (boto3.client(name) for name in ("s3", "sqs", "sns"))
    origin, destination = f"recordings-{run}", f"clips-{run}"
    for bucket in (origin, destination):
        s3.create_bucket(Bucket=bucket)
    queues = {}
    for name in ("requests", "dead", "subscriber"):
        queues[name] = sqs.create_queue(QueueName=f"{name}-{run}")["QueueUrl"]
    arns = {
        name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for name, url in queues.items()
    }
    redrive = json.dumps({"deadLetterTargetArn": arns["dead"], "maxReceiveCount": "5"})
    sqs.set_queue_attributes(QueueUrl=queues["requests"], Attributes={"RedrivePolicy": redrive})
    topic = sns.create_topic(Name=f"results-{run}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["subscriber"])
    with Catalog(tmp_path / "catalog.sqlite") as catalog, serve_in_thread(create_app(catalog)) as url:
        catalog.put_camera(Camera(CAMERA, "test", "Test camera"))
        for name, value in {
            "CAM_SERVICES_URL": url,
            "RECORDINGS_URL": f"{url}/cameras/recording",
            "CLIP_URL": CLIP_URL,
            "S3_BUCKET_ORIGIN": origin,
            "S3_BUCKET_ORIGIN_DIR": "rewinds",
            "S3_BUCKET_DESTINATION": destination,
            "AWS_SQS_QUEUE": arns["requests"],
            "AWS_SQS_QUEUE_URL": queues["requests"],
            "AWS_SNS_TOPIC": topic,
            "SQS_TIMEOUT": "1",
            "CLIP_DOWNLOAD_DEST": str(tmp_path / "work"),
        }.items():
            monkeypatch.setenv(name, value)
        lambda_function._start.cache_clear()
        yield World(
            catalog, s3, sqs, queues["requests"], queues["dead"], queues["subscriber"],
            origin, destination, tmp_path,
        )  # fmt: skip
        lambda_function._start.cache_clear()
        aws.session.cache_clear()
        work = tmp_path / "work"
        assert not work.exists() or list(work.iterdir()) == []


def body(interval, clip_id=CAMERA, retries=()):
    """In the notation of the requirements."""
    return str(
        {
            "clipId": clip_id,
            "retryTimestamps": list(retries),
            "cameraId": CAMERA,
            "startTimestampInMs": interval.start_ms,
            "endTimestampInMs": interval.end_ms,
        }
    )


def event(text, sent_ms, message_id="m1"):
    document = json.loads((FIXTURES / "sqs_event.json").read_text())
    (record,) = document["Records"]
    record["body"] = text
    record["messageId"] = message_id
    record["attributes"] |= {"SentTimestamp": str(sent_ms), "ApproximateReceiveCount": "1"}
    return document


def as_event(message):
    return event(message["Body"], int(message["Attributes"]["SentTimestamp"]), message["MessageId"])


def now_ms():
    return time.time_ns() // 1_000_000


def invoke(document):
    return lambda_function.handler(document, Context())


def assert_unsuccessful(world, metadata, attributes, interval, status, reason, clip_id=CAMERA):
    assert metadata.keys() == NOT_AVAILABLE.keys()
    assert metadata["status"] == status
    assert metadata["thumbnail"] == {"sizes": []}
    assert re.search(reason, metadata["reason"]), metadata["reason"]
    assert metadata["clipId"] == clip_id
    assert (metadata["startTimestampInMs"], metadata["endTimestampInMs"]) == (
        interval.start_ms,
        interval.end_ms,
    )
    assert re.fullmatch("[0-9a-f]{64}", metadata["eventId"])
    assert attributes == {"status": status, "cameraId": CAMERA}
    assert world.record_of(clip_id) == metadata
    assert world.keys() == []


def assert_available(world, metadata, attributes, interval, clip_id=CAMERA):
    """Exactly as the fixture shapes it; more keys are allowed."""
    expected = AVAILABLE | {
        "clipId": clip_id,
        "cameraId": CAMERA,
        "startTimestampInMs": interval.start_ms,
        "endTimestampInMs": interval.end_ms,
        "bucket": world.destination,
        "clip": {"url": f"{CLIP_URL}/{CAMERA}/{clip_id}.mp4", "key": f"/{CAMERA}/{clip_id}.mp4"},
        "thumbnail": {
            "url": f"{CLIP_URL}/{CAMERA}/{clip_id}_{{size}}.png",
            "key": f"/{CAMERA}/{clip_id}_{{size}}.png",
            "sizes": [300, 640, 1500, 3000],
        },
    }
    assert {key: metadata.get(key) for key in expected} == expected
    assert attributes == {"status": "CLIP_AVAILABLE", "cameraId": CAMERA}
    assert world.record_of(clip_id) == metadata
    suffixes = [".mp4", *(f"_{size}.png" for size in (300, 640, 1500, 3000))]
    names = sorted(f"{CAMERA}/{clip_id}{suffix}" for suffix in suffixes)
    assert world.keys() == names
    for key in names:
        content_type = world.s3.head_object(Bucket=world.destination, Key=key)["ContentType"]
        assert content_type == ("video/mp4" if key.endswith(".mp4") else "image/png")


def numbers_in_clip(world, clip_id=CAMERA):
    path = world.tmp_path / "downloaded.mp4"
    world.s3.download_file(world.destination, f"{CAMERA}/{clip_id}.mp4", str(path))
    with av.open(str(path)) as container:
        return [frame_number(frame) for frame in container.decode(video=0)]


def numbers_between(recording_start_ms, interval):
    """Of the frames of one recording whose wall time lies in the interval."""
    walls = [recording_start_ms + Fraction(number * 1000, 30) for number in range(DURATION_S * 30)]
    return [number for number, wall in enumerate(walls) if interval.start_ms <= wall < interval.end_ms]


def test_available(world):
    start_ms = now_ms() - 600_000
    world.record(start_ms)
    world.record(start_ms + DURATION_S * 1000)
    interval = Interval(start_ms + 9_300, start_ms + 15_300)
    assert invoke(event(body(interval), now_ms())) == {"batchItemFailures": []}
    ((metadata, attributes),) = world.published()
    assert_available(world, metadata, attributes, interval)
    second_ms = start_ms + DURATION_S * 1000
    assert numbers_in_clip(world) == numbers_between(start_ms, interval) + numbers_between(
        second_ms, interval
    )
    assert world.receive(wait_s=1) == []

    # The same message again makes nothing again and tells the same.
    made = world.s3.head_object(Bucket=world.destination, Key=f"{CAMERA}/{CAMERA}.mp4")["LastModified"]
    assert invoke(event(body(interval), now_ms())) == {"batchItemFailures": []}
    assert world.published() == [(metadata, attributes)]
    again = world.s3.head_object(Bucket=world.destination, Key=f"{CAMERA}/{CAMERA}.mp4")["LastModified"]
    assert again == made


def test_pending_then_available(world):
    start_ms = now_ms() - 60_000
    interval = Interval(start_ms + 2_000, start_ms + 5_000)
    sent_ms = now_ms()
    assert invoke(event(body(interval), sent_ms)) == {"batchItemFailures": []}
    assert world.published() == []
    pending = world.record_of(CAMERA)
    assert pending["status"] == "CLIP_PENDING"
    assert pending.keys() == NOT_AVAILABLE.keys()
    assert world.keys() == []
    (message,) = world.receive()
    assert json.loads(message["Body"]) == {
        "clipId": CAMERA,
        "retryTimestamps": [sent_ms],
        "cameraId": CAMERA,
        "startTimestampInMs": interval.start_ms,
        "endTimestampInMs": interval.end_ms,
    }
    waited_ms = int(message["Attributes"]["ApproximateFirstReceiveTimestamp"]) - int(
        message["Attributes"]["SentTimestamp"]
    )
    assert waited_ms >= 900

    world.record(start_ms)
    assert invoke(as_event(message)) == {"batchItemFailures": []}
    ((metadata, attributes),) = world.published()
    assert metadata["retryTimestamps"] == [sent_ms]
    assert_available(world, metadata, attributes, interval)
    assert numbers_in_clip(world) == numbers_between(start_ms, interval)


def test_not_available(world):
    end_ms = now_ms() - 20 * 60_000
    interval = Interval(end_ms - 20_000, end_ms)
    assert invoke(event(body(interval), now_ms())) == {"batchItemFailures": []}
    ((metadata, attributes),) = world.published()
    expected = f"no recording of camera test covers {iso(interval.start_ms)} to {iso(interval.end_ms)}"
    assert_unsuccessful(world, metadata, attributes, interval, "CLIP_NOT_AVAILABLE", f"^{expected}$")
    assert world.receive(wait_s=1) == []


def test_out_of_range(world):
    end_ms = now_ms() - 4 * 86_400_000
    world.record(end_ms - 10_000)
    interval = Interval(end_ms - 8_000, end_ms)
    assert invoke(event(body(interval), now_ms())) == {"batchItemFailures": []}
    ((metadata, attributes),) = world.published()
    assert_unsuccessful(world, metadata, attributes, interval, "CLIP_OUT_OF_RANGE", "259200 s")


def test_pending_for_too_long(world):
    end_ms = now_ms() - 20 * 60_000
    interval = Interval(end_ms - 20_000, end_ms)
    asked_ms = end_ms + 60_000
    assert invoke(event(body(interval, retries=[asked_ms]), now_ms())) == {"batchItemFailures": []}
    ((metadata, attributes),) = world.published()
    assert_unsuccessful(
        world, metadata, attributes, interval, "CLIP_RETRY_TIMEOUT", "no recording of camera test"
    )
    assert metadata["retryTimestamps"] == [asked_ms]


def test_too_long(world):
    end_ms = now_ms()
    interval = Interval(end_ms - 301_000, end_ms)
    assert invoke(event(body(interval), end_ms)) == {"batchItemFailures": []}
    ((metadata, attributes),) = world.published()
    assert_unsuccessful(world, metadata, attributes, interval, "CLIP_TOO_LONG", "301 s")


def test_unknown_camera_and_a_clip_id_used_twice(world):
    end_ms = now_ms() - 20 * 60_000
    interval = Interval(end_ms - 20_000, end_ms)
    text = body(interval, clip_id="other").replace(f"'cameraId': '{CAMERA}'", "'cameraId': 'nobody'")
    assert invoke(event(text, now_ms())) == {"batchItemFailures": []}
    ((metadata, attributes),) = world.published()
    assert (metadata["status"], attributes["cameraId"]) == ("CLIP_INVALID_REQUEST", "nobody")
    assert "nobody" in metadata["reason"]

    invoke(event(body(interval), now_ms()))
    ((first, _),) = world.published()
    shifted = Interval(interval.start_ms + 1, interval.end_ms)
    assert invoke(event(body(shifted), now_ms())) == {"batchItemFailures": []}
    ((refused, _),) = world.published()
    assert refused["status"] == "CLIP_INVALID_REQUEST"
    assert "already used" in refused["reason"]
    assert refused["eventId"] != first["eventId"]
    assert world.record_of(CAMERA) == first


def test_ten_records_one_of_them_malformed_and_one_unreadable(world):
    end_ms = now_ms() - 20 * 60_000
    interval = Interval(end_ms - 20_000, end_ms)
    document = {"Records": []}
    for number in range(10):
        document["Records"] += event(body(interval, clip_id=f"clip{number}"), now_ms(), f"m{number}")[
            "Records"
        ]
    document["Records"][2]["attributes"] = {"SentTimestamp": "yesterday"}
    document["Records"][5]["body"] = "{'clipId': 'a/b'}"
    assert invoke(document) == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    told = {metadata["clipId"] for metadata, _ in world.published()}
    assert told == {f"clip{number}" for number in range(10) if number not in (2, 5)}
    (dead,) = world.receive(world.dead_letters_url)
    assert dead["Body"] == "{'clipId': 'a/b'}"
    assert "clipId" in dead["MessageAttributes"]["reason"]["StringValue"]


def test_a_failure_that_a_retry_can_cure_is_left_to_the_queue(world, monkeypatch):
    monkeypatch.setenv("CAM_SERVICES_URL", "http://127.0.0.1:9")
    end_ms = now_ms() - 20 * 60_000
    interval = Interval(end_ms - 20_000, end_ms)
    document = event(body(interval), now_ms())
    assert invoke(document) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert world.published() == []
