"""Telling pages what changes while they are open, as server-sent events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

from clipline.contract.errors import Unavailable

MOST_SUBSCRIBERS = 200

_MOST_WAITING = 1000
"""Changes that one page has not taken yet; it is let go then, comes back and asks for everything."""


class Changes:
    """What changed, to whoever listens. ``publish`` and ``close`` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: set[_Subscriber] = set()
        self._closed = False

    def publish(self, event: str, key: str, document: Any) -> None:
        """``document`` is what ``event`` says of ``key``: who has not heard of it yet hears the last one."""
        with self._lock:
            subscribers = list(self._subscribers)
        for one in subscribers:
            one.tell(event, key, document)

    def close(self) -> None:
        """Let everybody go, and nobody in again."""
        with self._lock:
            self._closed = True
            subscribers = list(self._subscribers)
        for one in subscribers:
            one.end()

    def check(self) -> None:
        """Raises Unavailable where nobody is let in."""
        with self._lock:
            if self._closed or len(self._subscribers) >= MOST_SUBSCRIBERS:
                raise _full()

    async def subscribe(self) -> AsyncIterator[tuple[str, Any]]:
        """(event, document) of what changes from now on. Raises Unavailable where too many listen."""
        subscriber = _Subscriber(asyncio.get_running_loop())
        with self._lock:
            if self._closed or len(self._subscribers) >= MOST_SUBSCRIBERS:
                raise _full()
            self._subscribers.add(subscriber)
        try:
            while True:
                waiting, ended = await subscriber.take()
                for (event, _), document in waiting.items():
                    yield event, document
                if ended:
                    return
        finally:
            with self._lock:
                self._subscribers.discard(subscriber)


def _full() -> Unavailable:
    return Unavailable("listen to", "changes", f"{MOST_SUBSCRIBERS} pages do already, or clipline stops")


class _Subscriber:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], Any] = {}
        self._ended = False
        self._news = asyncio.Event()

    def tell(self, event: str, key: str, document: Any) -> None:
        with self._lock:
            self._waiting.pop((event, key), None)
            self._waiting[event, key] = document
            self._ended = self._ended or len(self._waiting) > _MOST_WAITING
        self._wake()

    def end(self) -> None:
        with self._lock:
            self._ended = True
        self._wake()

    async def take(self) -> tuple[dict[tuple[str, str], Any], bool]:
        """(what changed since the last call, whether that is all there will be)"""
        await self._news.wait()
        self._news.clear()
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            return waiting, self._ended

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)
