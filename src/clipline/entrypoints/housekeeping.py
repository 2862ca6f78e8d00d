"""Deleting what is no longer to be kept, every hour while `clipline serve` runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_desk import ClipDesk
from clipline.camera_service.retention import Plan, Retention
from clipline.contract.errors import CliplineError
from clipline.pipeline.ports import ObjectStore

_FIRST_AFTER_S = 60.0
_EVERY_S = 3600.0


class Housekeeping:
    """A thread, where ``retention`` ever deletes anything."""

    def __init__(
        self,
        retention: Retention,
        catalog: Catalog,
        desk: ClipDesk,
        origin: ObjectStore,
        *,
        on_deleted: Callable[[Plan], None],
        on_problem: Callable[[str], None],
        first_after_s: float = _FIRST_AFTER_S,
    ) -> None:
        self._retention = retention
        self._catalog = catalog
        self._desk = desk
        self._origin = origin
        self._on_deleted = on_deleted
        self._on_problem = on_problem
        self._first_after_s = first_after_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def __enter__(self) -> Housekeeping:
        if self._retention:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._retention:
            self._thread.join()

    def _run(self) -> None:
        pause_s = self._first_after_s
        while not self._stop.wait(pause_s):
            pause_s = _EVERY_S
            try:
                self._clean()
            except CliplineError as error:
                self._on_problem(f"nothing was deleted: {error}")

    def _clean(self) -> None:
        plan = self._retention.plan(self._catalog, time.time_ns() // 1_000_000)
        if not plan.clips and not plan.recordings:
            return
        plan.carry_out(
            self._catalog, self._desk, self._origin,
            lambda what, error: self._on_problem(f"{what} could not be deleted: {error}"),
        )  # fmt: skip
        self._on_deleted(plan)
