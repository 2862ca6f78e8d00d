"""A message that names a clip, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clipline.contract.errors import InvalidRequest
from clipline.contract.request import ClipRequest, parse_request
from clipline.contract.result import Result, Status
from clipline.pipeline.ports import Message


@dataclass(frozen=True)
class Outcome:
    """What became of a message. Whoever delivered it may acknowledge it now."""

    status: Status | None
    """None: dead-lettered without anybody to tell."""
    metadata: Mapping[str, Any] | None = None
    reason: str | None = None
    repeated: bool = False
    """Decided at an earlier delivery; only told again."""
    timings_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A message whose clipId could be read."""

    message: Message
    clip_id: str
    request: ClipRequest | None
    """None: the request can never work."""
    problem: str
    """Why it can't; empty otherwise."""
    body: Mapping[str, Any]
    fingerprint: str
    first_asked_ms: int
    """When the first message of this chain of retries was sent."""
    attempt: int
    """How many messages of the chain went before this one. A dead letter that was returned goes after the
    message that died."""

    @staticmethod
    def read(message: Message) -> Job:
        """Raises UnreadableRequest where there is no clipId."""
        died = message.times_dead_lettered
        try:
            request = parse_request(message.body)
        except InvalidRequest as error:
            return Job(
                message, error.clip_id, None, str(error), error.body, error.fingerprint,
                message.first_sent_ms, died,
            )  # fmt: skip
        return Job(
            message, request.clip_id, request, "", request.body, request.fingerprint,
            request.first_asked_ms(message.first_sent_ms), len(request.retry_timestamps_ms) + died,
        )  # fmt: skip

    def due_ms(self, retry_delay_s: int) -> int:
        """When this message was to be received first, by the clock of the queue that dated it.

        What has to wait is judged by this and by no clock of a worker: one that is five minutes fast would
        give up five minutes early, and a queue that was long in delivering costs one more attempt only.
        """
        retried = self.request is not None and bool(self.request.retry_timestamps_ms)
        return self.message.sent_ms + (retry_delay_s * 1000 if retried else 0)

    def result(self, status: Status, reason: str | None, **more: Any) -> Result:
        """The result metadata's source; ``more`` are further fields of ``Result``."""
        camera_id: Any
        start_ms: Any
        end_ms: Any
        retries: tuple[int, ...] = ()
        if self.request is None:
            camera_id, start_ms, end_ms = (
                self.body.get(key) for key in ("cameraId", "startTimestampInMs", "endTimestampInMs")
            )
        else:
            interval = self.request.interval
            camera_id, start_ms, end_ms = self.request.camera_id, interval.start_ms, interval.end_ms
            retries = self.request.retry_timestamps_ms
        return Result(
            self.clip_id, camera_id, start_ms, end_ms, status, self.fingerprint, retries, reason, **more
        )
