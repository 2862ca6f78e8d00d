"""What is measured, under one name for Prometheus and one for CloudWatch.

Labels have few values: statuses, stages, classes of errors. Ids are in the logs and traces.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from clipline.contract.errors import CliplineError
from clipline.contract.result import Status
from clipline.entrypoints.records import Handled, read_job
from clipline.entrypoints.telemetry.watcher import Watcher
from clipline.pipeline.observation import Stage
from clipline.pipeline.ports import Message


class Unit(StrEnum):
    """In CloudWatch's words. Prometheus is given seconds where this says milliseconds."""

    COUNT = "Count"
    BYTES = "Bytes"
    MILLISECONDS = "Milliseconds"


@dataclass(frozen=True)
class Measure:
    """Something that is counted, or whose durations are."""

    prometheus: str
    unit: Unit
    about: str
    labels: tuple[str, ...] = ()
    """As in Prometheus; a dimension in CloudWatch has the same words in capitals, without underscores."""
    most_s: float = 0
    """Of a duration: about as long as the longest sensible one."""

    @property
    def cloudwatch(self) -> str:
        words = self.prometheus.removeprefix("clipline_").removesuffix("_total").removesuffix("_seconds")
        return capitals(words)


def capitals(words: str) -> str:
    """``error_type`` as ``ErrorType``."""
    return "".join(word.capitalize() for word in words.split("_"))


CLIPS = Measure(
    "clipline_clips_total", Unit.COUNT, "Requests by status; repeated: decided before, told again.",
    ("status", "repeated"),
)  # fmt: skip
STAGE_DURATION = Measure(
    "clipline_stage_duration_seconds", Unit.MILLISECONDS, "How long stages took that ended.", ("stage",), 60
)
FAILURES = Measure(
    "clipline_failures_total", Unit.COUNT, "Deliveries that failed and will be repeated.",
    ("error_type", "retryable"),
)  # fmt: skip
DEAD_LETTERS = Measure(
    "clipline_dead_letters_total", Unit.COUNT, "Messages put among the dead letters with a reason."
)
MESSAGE_AGE = Measure(
    "clipline_message_age_seconds", Unit.MILLISECONDS,
    "Age of a request when work on it begins, at its first message's first delivery.", (), 3600,
)  # fmt: skip
BYTES_READ = Measure("clipline_bytes_read_total", Unit.BYTES, "Bytes of recordings read for clips.")
FRAMES_COPIED = Measure("clipline_frames_copied_total", Unit.COUNT, "Frames of clips copied byte for byte.")
FRAMES_ENCODED = Measure("clipline_frames_encoded_total", Unit.COUNT, "Frames of clips encoded anew.")
QUEUE_ERRORS = Measure(
    "clipline_queue_errors_total", Unit.COUNT, "Calls that the queue failed: receive, hide, give back.",
    ("operation",),
)  # fmt: skip

MEASURES = (
    CLIPS, STAGE_DURATION, FAILURES, DEAD_LETTERS, MESSAGE_AGE, BYTES_READ, FRAMES_COPIED, FRAMES_ENCODED,
    QUEUE_ERRORS,
)  # fmt: skip


class Sample(NamedTuple):
    """One measurement."""

    measure: Measure
    value: int
    """In the measure's unit."""
    labels: tuple[str, ...] = ()


class Measuring(Watcher):
    """Takes the measurements; what becomes of one is for ``record`` to say."""

    def record(self, sample: Sample) -> None:
        """Keep one measurement. From any thread."""
        raise NotImplementedError

    def begun(self, message: Message) -> None:
        job = read_job(message)
        # A retry was delayed on purpose, and a later delivery waited for its worker's end.
        if message.receive_count == 1 and (job is None or job.attempt == 0):
            now_ms = time.time_ns() // 1_000_000
            self.record(Sample(MESSAGE_AGE, max(0, now_ms - message.sent_ms)))

    def stage(self, stage: Stage) -> None:
        if stage.duration_ms is not None:
            self.record(Sample(STAGE_DURATION, stage.duration_ms, (stage.name,)))

    def handled(self, handled: Handled, failed: Stage | None) -> None:  # noqa: ARG002
        for sample in _of(handled):
            self.record(sample)

    def queue_failed(self, operation: str, error: CliplineError, message: Message | None) -> None:  # noqa: ARG002
        self.record(Sample(QUEUE_ERRORS, 1, (operation,)))


def _of(handled: Handled) -> Iterator[Sample]:
    if handled.error is not None:
        labels = type(handled.error).__name__, _word(getattr(handled.error, "retryable", False))
        yield Sample(FAILURES, 1, labels)
    outcome = handled.outcome
    if outcome is None:
        return
    if outcome.status is not None:
        yield Sample(CLIPS, 1, (str(outcome.status), _word(outcome.repeated)))
    if outcome.status in (None, Status.FATAL_ERROR) and not outcome.repeated:
        yield Sample(DEAD_LETTERS, 1)
    if outcome.status is Status.AVAILABLE and not outcome.repeated and outcome.metadata:
        for measure, key in (
            (BYTES_READ, "bytesRead"),
            (FRAMES_COPIED, "framesCopied"),
            (FRAMES_ENCODED, "framesEncoded"),
        ):
            value = outcome.metadata.get(key)
            if isinstance(value, int):
                yield Sample(measure, value)


def _word(value: object) -> str:
    return "true" if value else "false"
