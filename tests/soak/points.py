"""The points at which a process can be made to kill itself, by name, and the proxies that reach them.

ledger.claim before     just before the ledger is asked to write a claim
store.clip during       while the clip is on its way into the store
queue.delete after      the message is acknowledged, and nobody heard of it
files.rename            just before a file or directory is renamed
engine.encode           a drawn while after the stage began
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipline.pipeline.observation import Stage

BEFORE, DURING, AFTER = "before", "during", "after"

_CALLS = (
    "ledger.read", "ledger.claim", "ledger.decision", "camera.recordings", "camera.put_clip", "queue.receive",
    "queue.send", "queue.delete", "queue.dead_letter", "queue.change_visibility", "notifier.publish",
)  # fmt: skip
_STAGES = ("index", "fetch", "encode", "write", "verify", "thumbnails")
_FILES = ("open", "mkdir", "remove", "rmdir")

RANDOM = "at random"

WORKER_POINTS = (
    *(f"{call} {when}" for call in _CALLS for when in (BEFORE, AFTER)),
    *(f"store.{what} {when}" for what in ("thumbnail", "clip") for when in (BEFORE, DURING, AFTER)),
    *(f"engine.{stage}" for stage in _STAGES),
    *(f"files.{event}" for event in _FILES),
)
"""On both stacks."""

FOLDER_POINTS = ("files.link", "files.rename")
"""Only where objects lie in a folder."""

CAMERA_POINTS = tuple(
    f"server.{method} {when}" for method in ("camera", "recordings", "put_clip") for when in (BEFORE, AFTER)
)
"""Of the camera service: between its HTTP interface and its catalog."""


@dataclass(frozen=True)
class Plan:
    """Where a process dies."""

    point: str = RANDOM
    nth: int = 1
    """At which passing of the point, counted from the start of the process."""
    delay_s: float = 0.0
    """How long after it, where the point is in the middle of something."""


class Killer:
    """Kills its own process as planned, and leaves the point's name in ``last_words`` first.

    ``root`` is where the files lie whose making counts.
    """

    def __init__(self, plan: Plan, last_words: Path, root: Path) -> None:
        self._plan = plan
        self._root = str(root)
        self._left = plan.nth
        self._lock = threading.Lock()
        self._last_words = last_words
        if plan.point.startswith("files."):
            sys.addaudithook(self._on_event)

    def wants(self, call: str) -> bool:
        """Whether the plan is a point of ``call``."""
        return self._plan.point.startswith(f"{call} ")

    def passes(self, point: str) -> None:
        """The process is at ``point``."""
        if self._is_due(point):
            self._kill()

    def passes_observed(self, stage: Stage) -> None:
        """As an observer of the pipeline: in the middle of each stage is a point."""
        if stage.duration_ms is None and self._is_due(f"engine.{stage.name}"):
            threading.Thread(target=self._kill, args=(self._plan.delay_s,)).start()

    @contextmanager
    def around(self, call: str) -> Iterator[None]:
        """Points before, during and after ``call``; after it only where it did not fail."""
        self.passes(f"{call} {BEFORE}")
        if self._is_due(f"{call} {DURING}"):
            threading.Thread(target=self._kill, args=(self._plan.delay_s,)).start()
            yield
            time.sleep(self._plan.delay_s)  # nothing comes after what dies in its middle
            return
        yield
        self.passes(f"{call} {AFTER}")

    def _is_due(self, point: str) -> bool:
        if point != self._plan.point:
            return False
        with self._lock:
            self._left -= 1
            return self._left == 0

    def _kill(self, delay_s: float = 0.0) -> None:
        time.sleep(delay_s)
        self._last_words.write_text(self._plan.point)
        os.kill(os.getpid(), signal.SIGKILL)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: what Python is about to do with files."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and path.startswith(self._root) and flags & os.O_CREAT:
                self.passes("files.open")
        elif event in ("os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir"):
            self.passes(f"files.{event.removeprefix('os.')}")


class Watched:
    """A service whose calls are points. ``name`` gives a call's name, from method and arguments."""

    def __init__(self, target: Any, killer: Killer, name: Callable[[str, tuple[Any, ...]], str]) -> None:
        self._target = target
        self._killer = killer
        self._name = name

    def __getattr__(self, method: str) -> Any:
        value = getattr(self._target, method)
        if not callable(value):
            return value

        def call(*arguments: Any, **more: Any) -> Any:
            with self._killer.around(self._name(method, arguments)):
                return value(*arguments, **more)

        return call
