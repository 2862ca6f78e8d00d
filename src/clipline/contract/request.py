"""The body of a request message: parse, validate, and the message to send on a retry.

Bodies come in two notations: strict JSON, and the single-quoted notation of a Python literal that
older producers send. The second is read with ``ast.literal_eval``, which evaluates nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, FailFast, ValidationError

from clipline.contract.errors import InvalidRequest, UnreadableRequest
from clipline.contract.interval import LATEST_MS, Interval
from clipline.contract.text import ID, shorten

MAX_BODY_BYTES = 1024 * 1024
"""SQS carries no larger message."""

MAX_LITERAL_CHARACTERS = 64 * 1024
"""Of a body in the single-quoted notation: its syntax tree takes several hundred bytes a character."""

MAX_NESTING = 32
"""Levels of lists and objects in a body, far below where Python's own limit depends on the caller."""

MOST_RETRY_TIMESTAMPS = 10_000
"""A retry a minute makes fifteen. Notifications repeat them, and SNS carries no list of some 17,000."""

_ID_EXPECTED = "expected 1 to 64 letters, digits, '_' or '-'"
_TIMESTAMP_EXPECTED = "expected milliseconds since the epoch, an integer or a string of digits"


@dataclass(frozen=True)
class ClipRequest:
    """Camera ``camera_id`` between two instants, asked for under the name ``clip_id``."""

    clip_id: str
    camera_id: str
    interval: Interval
    retry_timestamps_ms: tuple[int, ...]
    """When each earlier message of this request was sent: the first one is when it was first asked."""
    body: Mapping[str, Any]
    """The whole body as it came; keys that we do not know travel along in a retry."""

    def first_asked_ms(self, sent_ms: int) -> int:
        """When this clip was first asked for, given when this message was sent."""
        return self.retry_timestamps_ms[0] if self.retry_timestamps_ms else sent_ms

    def retry_body(self, sent_ms: int) -> str:
        """The message that asks again, as strict JSON, given when this message was sent."""
        timestamps = [*self.retry_timestamps_ms, sent_ms]
        return json.dumps({**self.body, "retryTimestamps": timestamps}, allow_nan=False)

    @property
    def fingerprint(self) -> str:
        """What makes two requests the same one: the clip, the camera and the interval (hex)."""
        identity = [self.clip_id, self.camera_id, self.interval.start_ms, self.interval.end_ms]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def parse_request(body: str) -> ClipRequest:
    """Read a message body.

    Raises UnreadableRequest where no clipId can be read, so that nobody can be told, and
    InvalidRequest where it can; either names the key, the value and what is expected.
    """
    document = _parse_notation(body)
    carried = {key: value for key, value in document.items() if _json_carries(value)}
    try:
        fields = _Body.model_validate(document)
    except ValidationError as error:
        _raise_first(error, carried)
    for key in document:
        if key not in carried:
            raise InvalidRequest(
                f"{shorten(key)} holds a value that JSON can't carry, or more than {MAX_NESTING} levels",
                clip_id=fields.clipId,
                body=carried,
            )
    if len(fields.retryTimestamps) > MOST_RETRY_TIMESTAMPS:
        raise InvalidRequest(
            f"retryTimestamps has {len(fields.retryTimestamps)} entries, "
            f"expected at most {MOST_RETRY_TIMESTAMPS}",
            clip_id=fields.clipId,
            body=document,
        )
    try:
        interval = Interval(fields.startTimestampInMs, fields.endTimestampInMs)
    except ValueError:
        raise InvalidRequest(
            f"endTimestampInMs {fields.endTimestampInMs} does not come after "
            f"startTimestampInMs {fields.startTimestampInMs}",
            clip_id=fields.clipId,
            body=document,
        ) from None
    return ClipRequest(fields.clipId, fields.cameraId, interval, tuple(fields.retryTimestamps), document)


def _parse_notation(body: str) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        raise UnreadableRequest(f"the body has {len(body)} characters, expected at most 1 MiB")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        if len(body) > MAX_LITERAL_CHARACTERS:
            raise UnreadableRequest(
                f"the body {shorten(body)} is not JSON, and with {len(body)} characters too long for a "
                f"literal in single quotes, expected at most {MAX_LITERAL_CHARACTERS}"
            ) from None
        try:
            document = ast.literal_eval(body.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            raise UnreadableRequest(
                f"the body {shorten(body)} is neither JSON nor a literal in single quotes"
            ) from None
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise UnreadableRequest(f"the body {shorten(body)} is not an object with named keys")
    return document


def _json_carries(value: object) -> bool:
    """No NaN or infinity, no bytes or sets, no integer of thousands of digits, not nested too deep."""
    level = [value]
    for _ in range(MAX_NESTING):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            break
    else:
        return False
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _id(value: object) -> str:
    if isinstance(value, str) and ID.fullmatch(value):
        return value
    raise ValueError(_ID_EXPECTED)


def _timestamp(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LATEST_MS:
        return value
    raise ValueError(_TIMESTAMP_EXPECTED)


_Id = Annotated[str, BeforeValidator(_id)]
_Timestamp = Annotated[int, BeforeValidator(_timestamp)]


class _Body(BaseModel):
    """What we know of a body; clipId stands first, since without it nobody can be told."""

    clipId: _Id
    cameraId: _Id
    startTimestampInMs: _Timestamp
    endTimestampInMs: _Timestamp
    retryTimestamps: Annotated[list[_Timestamp], FailFast()] = []


def _raise_first(error: ValidationError, body: Mapping[str, Any]) -> NoReturn:
    """Turn pydantic's account into one line about the first wrong key, in the order of ``_Body``."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        message = f"{key} is missing"
    else:
        expected = problem["msg"].removeprefix("Value error, ")
        message = f"{key} is {_show(problem['input'])}, {expected}"
    if problem["loc"][0] == "clipId":
        raise UnreadableRequest(message)
    raise InvalidRequest(message, clip_id=body["clipId"], body=body)


def _show(value: object) -> str:
    try:
        text = ascii(value)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return "an integer of thousands of digits"
    return text if len(text) <= 80 else f"{text[:79]}…"
