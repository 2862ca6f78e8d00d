"""Looking for recordings, again and again, while `clipline serve` runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from clipline.camera_service.discovery import Discovery
from clipline.contract.errors import CliplineError

EVERY_S = 1.0
_MOST_PAUSE_S = 60.0
_MOST_SKIPPED_SHOWN = 200


class Watching:
    """A thread that looks. What went wrong is told once, and again when it is another thing."""

    def __init__(
        self,
        discovery: Discovery,
        where: str,
        *,
        on_look: Callable[[], None],
        on_problem: Callable[[str], None],
    ) -> None:
        """``on_look`` is called after each look."""
        self._discovery = discovery
        self._where = where
        self._on_look = on_look
        self._on_problem = on_problem
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)
        self._problem = ""
        self.looked = threading.Event()
        """Set after the first look that found what there is."""
        self.looked_at = 0
        """Files that the look in progress has come to."""

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def problem(self) -> str:
        """Why the archive can't be looked through; empty where it can."""
        return self._problem

    def state(self) -> Mapping[str, Any]:
        """For the page."""
        found = self._discovery.found()
        shown = found.skipped[:_MOST_SKIPPED_SHOWN]
        return {
            "root": self._where,
            "scanning": not self.looked.is_set(),
            "problem": self._problem or None,
            "summary": str(found),
            "skipped": [{"path": one.key, "reason": one.reason, "detail": one.detail} for one in shown],
            "skippedCount": len(found.skipped),
        }

    def _run(self) -> None:
        pause_s = EVERY_S
        while not self._stop.is_set():
            try:
                self._discovery.look(self._count)
            except Exception as error:  # whatever it is: the thread has to go on, and people have to know
                if self._stop.is_set():
                    return
                expected = isinstance(error, CliplineError | OSError)
                told = str(error) if expected else f"looking for recordings failed: {error!r}"
                if told != self._problem:
                    self._problem = told
                    self._on_problem(told)
                pause_s = min(pause_s * 2, _MOST_PAUSE_S)
            else:
                self._problem, pause_s = "", EVERY_S
                if not self._discovery.unsettled:
                    self.looked.set()
            self._on_look()
            self._stop.wait(pause_s)

    def _count(self, _read: int, looked_at: int) -> None:
        self.looked_at = looked_at
        if self._stop.is_set():
            raise InterruptedError("told to stop")
