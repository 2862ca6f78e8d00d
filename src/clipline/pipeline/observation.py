"""What the pipeline tells of its work while it works: for logs, metrics, traces and progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage of one delivery of a message."""

    name: str
    """camera, recordings, index, fetch, encode, write, verify, thumbnails, store or notify; a stage may
    come more than once."""
    message_id: str
    clip_id: str
    camera_id: str | None
    """None where the request has none that can be read."""
    attempt: int
    """How many messages of the same chain of retries went before this one."""
    delivery: int
    """How often the message was received, 1 at first."""
    duration_ms: int | None
    """None when the stage begins, and how long it took when it ends."""


Observer = Callable[[Stage], None]
"""Called from the thread that works on the message. What it raises fails the delivery: it must not raise."""


def unobserved(_: Stage) -> None:
    """Tells nobody."""
