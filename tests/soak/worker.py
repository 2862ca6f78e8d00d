"""`clipline worker` with points at which it dies, and impatient: what failed comes back after seconds."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from soak.points import Killer, Plan, Watched

from clipline.entrypoints.log import log_handled, make_logger
from clipline.entrypoints.worker import Worker, stop_on_signals
from clipline.pipeline.generate import ClipGenerator
from clipline.settings import load_settings
from clipline.wiring import Application, application, options

VISIBILITY_S = 3
_MOST_PAUSE_S = 2
"""Before a message that failed comes back: real workers wait up to five minutes, a soak can't."""

_HELD_UP_S = 1.5


def work(plan: Plan, last_words: Path, root: Path) -> None:
    """Handle messages until SIGTERM; the settings are the environment's."""
    settings = load_settings(None)
    logger = make_logger(settings.log_level)
    with stop_on_signals() as stop:
        # Before any process of the engine's is started, which would inherit what is blocked.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        with application(settings, serves=True, warn=logger.warning) as app:
            killer = Killer(plan, last_words, root)
            logger.info("worker started", extra={"pid": os.getpid(), "plan": plan.point, "nth": plan.nth})
            Worker(
                _watched(app, killer),
                lambda handled: log_handled(logger, handled),
                observe=killer.passes_observed,
                visibility_s=VISIBILITY_S,
            ).run(stop)
        logger.info("worker stopped", extra={"pid": os.getpid()})


def _watched(app: Application, killer: Killer) -> Application:
    def watch(target: Any, service: str) -> Any:
        return Watched(target, killer, lambda method, _: f"{service}.{method}")

    real = app.services
    services = replace(
        real,
        camera_api=watch(real.camera_api, "camera"),
        destination=Watched(real.destination, killer, _store_call),
        queue=watch(_Impatient(real.queue), "queue"),
        notifier=watch(real.notifier, "notifier"),
        ledger=Watched(real.ledger, killer, _LedgerCalls()),
        engine=_HeldUp(real.engine) if killer.wants("queue.change_visibility") else real.engine,
    )
    generator = ClipGenerator(services, options(app.settings))
    return Application(generator, services, watch(app.dead_letters, "letters"), app.settings)


def _store_call(method: str, arguments: tuple[Any, ...]) -> str:
    if method != "put_file":
        return f"store.{method}"
    return "store.clip" if arguments[0].endswith(".mp4") else "store.thumbnail"


class _LedgerCalls:
    """Tells a claim from a decision: a claim has an owner that nobody had seen before."""

    def __init__(self) -> None:
        self._owners: set[str] = {""}

    def __call__(self, method: str, arguments: tuple[Any, ...]) -> str:
        if method != "write":
            return f"ledger.{method}"
        owner = arguments[0].owner
        if owner in self._owners:
            return "ledger.decision"
        self._owners.add(owner)
        return "ledger.claim"


class _Impatient:
    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def change_visibility(self, message: Any, visibility_s: int) -> None:
        # A message that is being worked on is hidden for VISIBILITY_S, one that is given back for longer.
        seconds = visibility_s if visibility_s <= VISIBILITY_S else _MOST_PAUSE_S
        self._queue.change_visibility(message, seconds)


class _HeldUp:
    """An engine that takes its time, so that the worker has to keep the message hidden."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    @contextmanager
    def prepare(self, job: Any, stopwatch: Any) -> Any:
        time.sleep(_HELD_UP_S)
        with self._engine.prepare(job, stopwatch) as planned:
            yield planned
