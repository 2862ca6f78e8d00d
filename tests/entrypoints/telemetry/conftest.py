import json
from dataclasses import dataclass, field

import pytest

from clipline.contract.result import Status
from clipline.pipeline.job import Job, Outcome
from clipline.pipeline.observation import Stage
from clipline.pipeline.ports import Message

BODY = {
    "clipId": "clip1",
    "cameraId": "cam1",
    "startTimestampInMs": 1_000,
    "endTimestampInMs": 2_000,
    "retryTimestamps": [],
}
AVAILABLE = {
    "clipId": "clip1",
    "cameraId": "cam1",
    "bytesRead": 1234,
    "framesCopied": 20,
    "framesEncoded": 10,
}


def message(body=None, *, receive_count=1, sent_ms=1_000, attributes=None, **changes):
    text = body if isinstance(body, str) else json.dumps(BODY | changes)
    return Message("m1", text, sent_ms, receive_count, "receipt1", attributes or {})


def record(body=None, *, message_id="m1", receive_count=1, attributes=None, **changes):
    """A record of an SQS event."""
    text = body if isinstance(body, str) else json.dumps(BODY | changes)
    return {
        "messageId": message_id,
        "body": text,
        "receiptHandle": f"receipt of {message_id}",
        "attributes": {"SentTimestamp": "1000", "ApproximateReceiveCount": str(receive_count)},
        "messageAttributes": attributes or {},
    }


@dataclass
class Generator:
    """Goes through stages, then gives what it was told to give, or raises it."""

    result: object = field(default_factory=lambda: Outcome(Status.AVAILABLE, AVAILABLE))
    stages: tuple = (("camera", 12), ("encode", 340))

    def handle(self, message, observe):
        try:
            job = Job.read(message)
        except Exception as error:
            return Outcome(None, reason=str(error))
        camera_id = job.request.camera_id if job.request else None
        for name, duration_ms in self.stages:
            for spent_ms in (None, duration_ms):
                if name == "fails" and spent_ms is not None:
                    break
                observe(
                    Stage(
                        name, message.message_id, job.clip_id, camera_id, job.attempt,
                        message.receive_count, spent_ms,
                    )
                )  # fmt: skip
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def generator():
    return Generator()
