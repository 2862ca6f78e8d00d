"""Structured logs: one JSON object a line, levels as lower-case words.

Values from outside are escaped and cut; what comes in a message can neither break a line nor fill a disk.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from aws_lambda_powertools import Logger

from clipline.contract.errors import CliplineError
from clipline.contract.text import shorten
from clipline.entrypoints.records import Handled
from clipline.entrypoints.telemetry.watcher import Watcher
from clipline.pipeline.observation import Stage
from clipline.pipeline.ports import Message

_LONGEST_VALUE = 500
_LONGEST_TRACE = 8000


def make_logger(level: str, stream: TextIO | None = None) -> Logger:
    """A logger that writes to ``stream`` (standard error if None)."""
    return Logger(
        service="clipline",
        level=level.upper(),
        stream=stream or sys.stderr,
        utc=True,
        datefmt="%Y-%m-%dT%H:%M:%S.%FZ",
        json_serializer=_serialise,
    )


def log_libraries(logger: Logger) -> None:
    """From here on what libraries (the server, the AWS client) warn of are lines of ``logger``'s too."""
    logging.getLogger().addHandler(_Libraries(logger))


class _Libraries(logging.Handler):
    def __init__(self, logger: Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == self._logger.name:
            return
        fields = {"library": record.name}
        if record.exc_info and record.exc_info[1]:
            fields["trace"] = _trace(record.exc_info[1])
        told = logging.getLogger(self._logger.name)
        told.log(record.levelno, shorten(record.getMessage(), _LONGEST_VALUE), extra=fields)


def _serialise(entry: Mapping[str, Any]) -> str:
    return json.dumps({**entry, "level": str(entry.get("level", "")).lower()}, default=str)


class Logs(Watcher):
    """One line at the end of each stage, one for each message, one for each failure of the queue."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def stage(self, stage: Stage) -> None:
        if stage.duration_ms is not None:
            self._logger.info("stage", extra=_stage_fields(stage))

    def handled(self, handled: Handled, failed: Stage | None) -> None:
        log_handled(self._logger, handled, failed)

    def queue_failed(self, operation: str, error: CliplineError, message: Message | None) -> None:
        fields: dict[str, Any] = {"operation": operation}
        if message is not None:
            fields["messageId"] = shorten(message.message_id, _LONGEST_VALUE)
        self._logger.error("the queue failed", extra=fields | _error_fields(error))


def log_handled(logger: Logger, handled: Handled, failed: Stage | None = None) -> None:
    """One line: what became of a message, how long each stage took, and which one failed."""
    fields: dict[str, Any] = {"messageId": shorten(handled.message_id, _LONGEST_VALUE)}
    job = handled.job
    if job is not None:
        camera_id = job.request.camera_id if job.request else None
        fields |= {"clipId": job.clip_id, "cameraId": camera_id, "attempt": job.attempt}
    if handled.message is not None:
        fields["delivery"] = handled.message.receive_count
    if handled.error is not None:
        if failed is not None:
            fields["stage"] = failed.name
        fields |= _error_fields(handled.error)
        logger.error("not handled; the queue will deliver it again", extra=fields)
        return
    outcome = handled.outcome
    if outcome is None:
        return
    metadata = outcome.metadata or {}
    fields["status"] = str(outcome.status) if outcome.status else "dead-lettered"
    if outcome.reason:
        fields["reason"] = shorten(outcome.reason, _LONGEST_VALUE)
    fields["repeated"] = outcome.repeated
    fields["timingsInMs"] = dict(outcome.timings_ms)
    for key in ("framesCopied", "framesEncoded", "bytesRead", "sizeInBytes"):
        if key in metadata:
            fields[key] = metadata[key]
    logger.info("handled", extra=fields)


def report_to(logger: Logger) -> Callable[[str, Exception], None]:
    """What tells of a watcher that failed."""

    def report(watcher: str, error: Exception) -> None:
        fields = {"watcher": watcher, **_error_fields(error)}
        logger.error("telemetry failed; told once, clips go on", extra=fields)

    return report


def _stage_fields(stage: Stage) -> dict[str, Any]:
    return {
        "messageId": shorten(stage.message_id, _LONGEST_VALUE),
        "clipId": stage.clip_id,
        "cameraId": stage.camera_id,
        "attempt": stage.attempt,
        "delivery": stage.delivery,
        "stage": stage.name,
        "durationInMs": stage.duration_ms,
    }


def _error_fields(error: Exception) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "error": shorten(str(error), _LONGEST_VALUE),
        "errorType": type(error).__name__,
        "retryable": getattr(error, "retryable", False),
    }
    # An error that is not one of ours is a defect: where it arose is what finds it.
    if not isinstance(error, CliplineError):
        fields["trace"] = _trace(error)
    return fields


def _trace(error: BaseException) -> str:
    """The last lines of it. Its line breaks stay, which JSON escapes."""
    text = "".join(traceback.format_exception(error))
    return text if len(text) <= _LONGEST_TRACE else f"…{text[-_LONGEST_TRACE:]}"
