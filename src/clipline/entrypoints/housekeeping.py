"""While `clipline serve` runs: each minute what was noted and not done, each hour what is not to be kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_desk import ClipDesk
from clipline.camera_service.retention import Originals, Plan, Retention
from clipline.contract.errors import CliplineError

_EVERY_S = 60.0
_CLEAN_EACH = 60
_AT_A_TIME = 10_000
"""Recordings in one plan."""


class Housekeeping:
    """A thread; ``on_deleted`` is told what it deleted, ``on_problem`` what it could not do."""

    def __init__(
        self,
        retention: Retention,
        catalog: Catalog,
        desk: ClipDesk,
        originals: Originals,
        *,
        on_deleted: Callable[[Plan], None],
        on_problem: Callable[[str], None],
        every_s: float = _EVERY_S,
    ) -> None:
        self._retention = retention
        self._catalog = catalog
        self._desk = desk
        self._originals = originals
        self._on_deleted = on_deleted
        self._on_problem = on_problem
        self._every_s = every_s
        self._told: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def __enter__(self) -> Housekeeping:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(self._every_s):
            try:
                self._desk.settle(self._tell_once)
                if self._retention and turn % _CLEAN_EACH == 0:
                    self._clean()
            except Exception as error:  # whatever it is: the thread has to go on, and people have to know
                self._on_problem(f"what is done from time to time could not be done: {_told(error)}")
            turn += 1

    def _tell_once(self, problem: str) -> None:
        """It is tried again each minute."""
        if problem not in self._told:
            self._told.add(problem)
            self._on_problem(problem)

    def _clean(self) -> None:
        while not self._stop.is_set():
            plan = self._retention.plan(self._catalog, time.time_ns() // 1_000_000, _AT_A_TIME)
            gone = plan.carry_out(
                self._catalog, self._desk, self._originals,
                lambda what, error: self._on_problem(f"{what} could not be deleted: {error}"),
            )  # fmt: skip
            if gone.clips or gone.recordings:
                self._on_deleted(gone)
            if len(plan.recordings) < _AT_A_TIME or not gone.recordings:
                return


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, CliplineError | OSError) else repr(error)
