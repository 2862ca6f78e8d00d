"""Threads apart for work that would keep those of all other requests from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

_Answer = TypeVar("_Answer")


class Threads:
    """At most ``most`` at a time; what comes beyond waits for its turn without a thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, call: Callable[[], _Answer]) -> _Answer:
        """What ``call`` returns or raises."""
        if self._limiter is None:  # made in the event loop that uses it
            self._limiter = anyio.CapacityLimiter(self._most)
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)
