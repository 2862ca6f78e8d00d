"""Every error that Clipline raises on purpose.

    CliplineError
    ├── ConfigurationError        a setting is missing or malformed: nothing has started yet
    ├── RequestError              final: this message can never become a clip
    │   ├── UnreadableRequest     no clipId can be read from it: dead letters
    │   └── InvalidRequest        the clipId is readable: CLIP_INVALID_REQUEST
    ├── MediaError                final: bytes that are not the footage they claim to be
    │   ├── UnreadableRecording   empty, truncated, corrupt, mislabelled: it counts as a gap
    │   ├── UnsupportedMedia      sound footage that this version can't cut exactly
    │   ├── NoFrames              no frame lies in the interval
    │   ├── VerificationFailed    a finished clip is not what the plan promised
    │   └── EngineFailed          a limit was reached, or the process that made the clip died
    └── ServiceError              something outside answered badly, or not at all
        ├── NotFound              the object or record is not there (yet)
        ├── Conflict              someone else changed it first: read again, then decide
        ├── Refused               final: 4xx, denied, wrong credentials
        └── Unavailable           retry helps: timeout, throttling, 5xx, truncated body

An error carries the operation that was tried, the object it was tried on, the cause and, where
there is one, a hint at what would be right. ``retryable`` says whether the same call may work
later; it is a property of the class, so that no caller has to guess from a text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


class CliplineError(Exception):
    """Base of all errors below. ``str(error)`` is one line that a person can act on."""

    retryable = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return " ".join((f"{message} ({self.hint})" if self.hint else message).split())


class ConfigurationError(CliplineError):
    """A setting is missing or malformed."""


class RequestError(CliplineError):
    """The message itself is wrong."""


class UnreadableRequest(RequestError):
    """Not even a clipId can be read from the message."""


class InvalidRequest(RequestError):
    """The clipId is readable, the rest can never work."""

    def __init__(self, message: str, *, clip_id: str, body: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.clip_id = clip_id
        self.body = body
        """As it came, but for entries that JSON can't carry."""

    @property
    def fingerprint(self) -> str:
        """Of what was asked for, as far as it can be read (hex)."""
        keys = ("clipId", "cameraId", "startTimestampInMs", "endTimestampInMs")
        return hashlib.sha256(json.dumps([self.body.get(key) for key in keys]).encode()).hexdigest()


class MediaError(CliplineError):
    """Something is wrong with footage."""


class UnreadableRecording(MediaError):
    """The bytes are not a recording that can be read: its span counts as a gap."""


class UnsupportedMedia(MediaError):
    """Sound footage of a kind that can't be cut exactly yet."""


class NoFrames(MediaError):
    """No frame of any recording lies in the interval."""

    def __init__(self, message: str, *, covered: bool = False) -> None:
        super().__init__(message)
        self.covered = covered
        """Footage runs over the whole interval, which lies between two of its frames."""


class VerificationFailed(MediaError):
    """The finished file is not what the plan promised; it must not be published."""


class EngineFailed(MediaError):
    """Making the clip took more than its limits allow, or its process ended before the clip was there."""


class ServiceError(CliplineError):
    """An outside service failed. ``operation`` and ``target`` say what was tried on what."""

    def __init__(self, operation: str, target: str, cause: str, *, hint: str | None = None) -> None:
        super().__init__(f"{operation} {target}: {cause}", hint=hint)
        self.operation = operation
        self.target = target
        self.cause = cause


class NotFound(ServiceError):
    """It is not there, or not there yet."""


class Conflict(ServiceError):
    """A conditional write lost: the stored version is another one than the caller read."""


class Refused(ServiceError):
    """Final: the service understood and said no."""


class Unavailable(ServiceError):
    """The same call may work later."""

    retryable = True
