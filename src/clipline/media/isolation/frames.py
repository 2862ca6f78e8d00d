"""Drawing frames in child processes: a few that live on, since making one for each frame takes too long."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

from clipline.contract.errors import EngineFailed, Unavailable
from clipline.media.frame import CodedFrame, draw
from clipline.media.isolation.failures import unpack_failure
from clipline.media.isolation.frame_child import pack_frame
from clipline.media.isolation.spawn import Forked, Template
from clipline.media.isolation.wire import Channel, Garbled
from clipline.media.limits import MIB, MediaLimits

_TIME_S = 20
"""For one frame. A group of pictures of 4K takes two."""
_MEMORY_BYTES = 1024 * MIB
_CPU_S = 3600
"""Of a child's life."""
_FRAMES_OF_A_CHILD = 5000
"""Then it is replaced: what leaks in a decoder does not add up."""
_MOST_JPEG_BYTES = 16 * MIB


class Drawer(Protocol):
    """Draws frames; safe to use from several threads."""

    def draw(self, coded: CodedFrame, width: int, *, wait_s: float) -> bytes:
        """As ``frame.draw``; Unavailable where none is free for ``wait_s``."""


class InProcessDrawer:
    """Draws in this process, as many at a time as are asked for."""

    def draw(self, coded: CodedFrame, width: int, *, wait_s: float) -> bytes:
        """As in ``Drawer``; it never waits."""
        del wait_s
        return draw(coded, width)


class IsolatedDrawer:
    """Draws in up to ``most`` children of ``template``. A context manager, whose end is theirs.

    EngineFailed names how one ended; the next frame has another.
    """

    def __init__(self, template: Template, limits: MediaLimits, most: int) -> None:
        self._template = template
        self._limits = replace(
            limits, memory_bytes=min(limits.memory_bytes, _MEMORY_BYTES), cpu_s=_CPU_S, time_s=_TIME_S
        )
        self._places: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(most):
            self._places.put(None)
        self._most = most

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(self._most):
            child = self._places.get()
            if child is not None:
                child.close()

    def draw(self, coded: CodedFrame, width: int, *, wait_s: float) -> bytes:
        """As in ``Drawer``."""
        with self.child(wait_s) as child:
            return child.draw(coded, width)

    def children(self) -> list[int]:
        """Process ids of those that wait for work."""
        return [child.pid for child in self._places.queue if child is not None]

    @contextmanager
    def child(self, wait_s: float) -> Iterator[_Child]:
        """One that nobody else has until the context ends; Unavailable where none is free for ``wait_s``."""
        try:
            child = self._places.get(timeout=wait_s)
        except queue.Empty:
            raise Unavailable(
                "draw", "a frame", "others are drawn", hint="ask again a little later"
            ) from None
        try:
            if child is None:
                child = _Child(self._template.fork(), self._limits)
            yield child
        finally:
            if child is not None and child.worn_out:
                child.close()
                child = None
            self._places.put(child)


class _Child:
    def __init__(self, forked: Forked, limits: MediaLimits) -> None:
        self._forked = forked
        self._limits = limits
        self._channel = Channel(forked.conversation.fileno())
        self._frames = 0
        self.pid = forked.pid
        self.worn_out = True
        self._asked(lambda until_s: self._begin(until_s))

    def draw(self, coded: CodedFrame, width: int) -> bytes:
        self.worn_out = True  # until it has answered
        jpeg = self._asked(lambda until_s: self._draw(coded, width, until_s))
        self._frames += 1
        self.worn_out = self._frames >= _FRAMES_OF_A_CHILD
        return jpeg

    def close(self) -> None:
        self._forked.status.end()
        self._forked.status.close()
        self._forked.conversation.close()

    def _begin(self, until_s: float) -> bytes:
        limits = {name: getattr(self._limits, name) for name in ("memory_bytes", "cpu_s", "output_bytes")}
        self._channel.send({"frames": limits})
        self._channel.receive(until_s=until_s)
        self.worn_out = False
        return b""

    def _draw(self, coded: CodedFrame, width: int, until_s: float) -> bytes:
        packed, samples = pack_frame(coded)
        self._channel.send({"frame": packed, "width": width}, samples)
        message, jpeg = self._channel.receive(most_body_bytes=_MOST_JPEG_BYTES, until_s=until_s)
        if "failed" in message:
            self.worn_out = False
            raise unpack_failure(message["failed"], [])
        if jpeg[:2] != b"\xff\xd8":
            raise Garbled("it is no JPEG")
        return jpeg

    def _asked(self, ask: Callable[[float], bytes]) -> bytes:
        try:
            return ask(time.monotonic() + _TIME_S)
        except TimeoutError:
            raise EngineFailed(f"drawing a frame takes more than {_TIME_S} s") from None
        except (OSError, EOFError, Garbled, LookupError, TypeError) as error:
            reason = str(error) or "it ended without a word"
            raise EngineFailed(f"the process that draws frames failed: {reason}") from None
