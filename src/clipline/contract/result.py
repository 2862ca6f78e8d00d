"""Statuses, and the result metadata that is PUT to the camera API and published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from clipline.contract.text import shorten

DEFAULT_CLIP_KEY = "{cameraId}/{clipId}.mp4"
DEFAULT_THUMBNAIL_KEY = "{cameraId}/{clipId}_{size}.{format}"

_LONGEST_TOLD = 200
"""Characters of what an invalid request holds; a notification has room for 256 KiB."""


class Status(StrEnum):
    """What became of a request, in the words of the result metadata."""

    AVAILABLE = "CLIP_AVAILABLE"
    PENDING = "CLIP_PENDING"
    NOT_AVAILABLE = "CLIP_NOT_AVAILABLE"
    OUT_OF_RANGE = "CLIP_OUT_OF_RANGE"
    RETRY_TIMEOUT = "CLIP_RETRY_TIMEOUT"
    TOO_LONG = "CLIP_TOO_LONG"
    INVALID_REQUEST = "CLIP_INVALID_REQUEST"
    FATAL_ERROR = "FATAL_ERROR"

    @property
    def final(self) -> bool:
        """Whether this request's work is over. Sent again, it may still become available."""
        return self is not Status.PENDING


@dataclass(frozen=True)
class ObjectNames:
    """Where a clip and its thumbnails are stored, and the URLs that lead there."""

    clip_url: str
    """CLIP_URL, without a slash at its end."""
    clip_key: str = DEFAULT_CLIP_KEY
    thumbnail_key: str = DEFAULT_THUMBNAIL_KEY
    thumbnail_format: str = "png"

    def clip(self, camera_id: str, clip_id: str) -> str:
        """The clip's object key, without a leading slash."""
        return self.clip_key.replace("{cameraId}", camera_id).replace("{clipId}", clip_id)

    def thumbnail(self, camera_id: str, clip_id: str, size: int | str = "{size}") -> str:
        """A thumbnail's object key; without a size, ``{size}`` stays literal, as in messages."""
        return (
            self.thumbnail_key.replace("{cameraId}", camera_id)
            .replace("{clipId}", clip_id)
            .replace("{format}", self.thumbnail_format)
            .replace("{size}", str(size))
        )

    def url(self, key: str) -> str:
        return f"{self.clip_url}/{key}"


@dataclass(frozen=True)
class Result:
    """The outcome of one request, as the camera API and the subscribers are told."""

    clip_id: str
    camera_id: Any
    start_ms: Any
    """As asked; of an invalid request whatever came, which may be no integer at all."""
    end_ms: Any
    status: Status
    fingerprint: str
    """Of the request (hex), see ``ClipRequest.fingerprint``."""
    retry_timestamps_ms: Sequence[int] = ()
    reason: str | None = None
    """Why there is no clip, in one sentence."""
    bucket: str | None = None
    """Of an available clip; None otherwise."""
    names: ObjectNames | None = None
    """Of an available clip; None otherwise."""
    thumbnail_sizes: Sequence[int] = ()
    """Widths in pixels."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What is known beyond the contract: coverage, frames copied and encoded, method."""

    @property
    def event_id(self) -> str:
        """The same for every notification of one request and status: drop repeats by it."""
        return hashlib.sha256(f"{self.fingerprint}:{self.status}".encode()).hexdigest()

    def metadata(self) -> dict[str, Any]:
        """The JSON document. Keys carry a leading slash here, object keys do not."""
        document: dict[str, Any] = {
            "clipId": self.clip_id,
            "cameraId": _told(self.camera_id),
            "startTimestampInMs": _told(self.start_ms),
            "endTimestampInMs": _told(self.end_ms),
            "status": str(self.status),
        }
        if self.names is not None:
            clip = self.names.clip(self.camera_id, self.clip_id)
            thumbnail = self.names.thumbnail(self.camera_id, self.clip_id)
            document["bucket"] = self.bucket
            document["clip"] = {"url": self.names.url(clip), "key": f"/{clip}"}
            document["thumbnail"] = {
                "url": self.names.url(thumbnail),
                "key": f"/{thumbnail}",
                "sizes": list(self.thumbnail_sizes),
            }
        else:
            document["thumbnail"] = {"sizes": []}
        document["retryTimestamps"] = list(self.retry_timestamps_ms)
        if self.reason is not None:
            document["reason"] = self.reason
        document["eventId"] = self.event_id
        return document | dict(self.details)


def _told(value: Any) -> Any:
    """``value``, or the beginning of it as JSON where it is long or half a character (RFC 8259, 8.2)."""
    text = json.dumps(value)
    if len(text) > _LONGEST_TOLD:
        return shorten(text, _LONGEST_TOLD)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return text
    return value
