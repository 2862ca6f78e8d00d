"""The records of an SQS event, each handled on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from clipline.contract.errors import CliplineError, UnreadableRequest
from clipline.contract.text import shorten
from clipline.entrypoints.time_limit import time_limit
from clipline.pipeline.generate import ClipGenerator
from clipline.pipeline.job import Job, Outcome
from clipline.pipeline.observation import Observer, unobserved
from clipline.pipeline.ports import Message

_BEGIN_S, _STOP_S = 15, 5


@dataclass(frozen=True)
class Handled:
    """A record, and what became of it: an outcome, or the error that its next delivery may cure."""

    message_id: str
    message: Message | None
    """None: the record itself is malformed."""
    outcome: Outcome | None = None
    error: Exception | None = None

    @cached_property
    def job(self) -> Job | None:
        """What the message asks for; None where no clipId can be read."""
        return None if self.message is None else read_job(self.message)


def read_job(message: Message) -> Job | None:
    """What ``message`` asks for; None where no clipId can be read."""
    try:
        return Job.read(message)
    except UnreadableRequest:
        return None


def unwatched(_: Message) -> None:
    """Tells nobody."""


def handle_records(
    generator: ClipGenerator,
    event: object,
    observe: Observer = unobserved,
    seconds_left: Callable[[], float | None] = lambda: None,
    begun: Callable[[Message], None] = unwatched,
) -> Iterator[Handled]:
    """Handle every record of ``event``; a bad one never fails its neighbours.

    ``begun`` is told of each message before it is handled. ``seconds_left`` says how long this process will
    live; None: for ever. A record is not begun with less than 15 s left, and given up 5 s before the end, so
    that its message and those after it are reported in time. Raises UnreadableRequest where ``event`` has no
    list of records with a messageId each: there is nobody to report to then.
    """
    for record in _records(event):
        message_id = record["messageId"]
        try:
            message = _message(record)
        except UnreadableRequest as error:
            yield Handled(message_id, None, error=error)
            continue
        left_s = seconds_left()
        if left_s is not None and left_s < _BEGIN_S:
            yield Handled(message_id, message, error=CliplineError("no time was left to begin it"))
            continue
        begun(message)
        try:
            with time_limit(None if left_s is None else left_s - _STOP_S):
                outcome = generator.handle(message, observe)
            yield Handled(message_id, message, outcome=outcome)
        except Exception as error:  # of whatever kind: the queue delivers the message again
            yield Handled(message_id, message, error=error)


def _records(event: object) -> list[Mapping[str, Any]]:
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        raise UnreadableRequest("the event has no list Records", hint="it is to be an SQS event")
    for number, record in enumerate(records):
        if not isinstance(record, Mapping) or not isinstance(record.get("messageId"), str):
            raise UnreadableRequest(f"Records[{number}] has no messageId", hint="it is to be an SQS event")
    return records


def _message(record: Mapping[str, Any]) -> Message:
    body = record.get("body")
    if not isinstance(body, str):
        raise UnreadableRequest(f"record {shorten(record['messageId'])} has no body")
    attributes = record.get("attributes")
    if not isinstance(attributes, Mapping):
        raise UnreadableRequest(f"record {shorten(record['messageId'])} has no attributes")
    return Message(
        record["messageId"],
        body,
        sent_ms=_number(record, attributes, "SentTimestamp", None),
        receive_count=_number(record, attributes, "ApproximateReceiveCount", 1),
        receipt=str(record.get("receiptHandle", "")),
        attributes=_attributes(record.get("messageAttributes")),
    )


def _attributes(given: object) -> dict[str, str]:
    """Those of type String, as the queue's own client reads them; whatever else there is is left out."""
    if not isinstance(given, Mapping):
        return {}
    return {
        name: value["stringValue"]
        for name, value in given.items()
        if isinstance(name, str) and isinstance(value, Mapping) and isinstance(value.get("stringValue"), str)
        if str(value.get("dataType")).partition(".")[0] == "String"
    }


def _number(record: Mapping[str, Any], attributes: Mapping[str, Any], key: str, default: int | None) -> int:
    value = attributes.get(key, default)
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise UnreadableRequest(
            f"attributes.{key} of record {shorten(record['messageId'])} is {shorten(repr(value))}, "
            "expected a string of digits"
        )
    return int(text)
