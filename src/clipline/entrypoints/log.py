"""Structured logs: one JSON object a line, levels as lower-case words."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from aws_lambda_powertools import Logger

from clipline.contract.errors import CliplineError
from clipline.contract.text import shorten
from clipline.entrypoints.records import Handled

_LONGEST_VALUE = 500


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


def _serialise(entry: Mapping[str, Any]) -> str:
    return json.dumps({**entry, "level": str(entry.get("level", "")).lower()}, default=str)


def log_handled(logger: Logger, handled: Handled) -> None:
    """One line: what became of a message, and how long each stage took."""
    fields: dict[str, Any] = {"messageId": shorten(handled.message_id, _LONGEST_VALUE)}
    if handled.message is not None:
        fields["attempt"] = handled.message.receive_count
    if handled.error is not None:
        error = handled.error
        fields["error"] = shorten(str(error), _LONGEST_VALUE)
        fields["errorType"] = type(error).__name__
        fields["retryable"] = getattr(error, "retryable", False)
        # An error that is not one of ours is a defect: where it arose is what finds it.
        trace = None if isinstance(error, CliplineError) else error
        logger.error("not handled; the queue will deliver it again", extra=fields, exc_info=trace)
        return
    outcome = handled.outcome
    if outcome is None:
        return
    metadata = outcome.metadata or {}
    for key in ("clipId", "cameraId"):
        if key in metadata:
            fields[key] = shorten(str(metadata[key]), _LONGEST_VALUE)
    fields["status"] = str(outcome.status) if outcome.status else "dead-lettered"
    if outcome.reason:
        fields["reason"] = shorten(outcome.reason, _LONGEST_VALUE)
    fields["repeated"] = outcome.repeated
    fields["timingsInMs"] = dict(outcome.timings_ms)
    for key in ("framesCopied", "framesEncoded", "bytesRead", "sizeInBytes"):
        if key in metadata:
            fields[key] = metadata[key]
    logger.info("handled", extra=fields)
