"""``python -m soak.worker PLAN``: a worker as ``clipline worker`` runs it, that kills itself at one point.

PLAN is JSON: ``point`` is "part.method" of a service, "stage.NAME" or null for none; ``when`` is before, amid
or after; ``nth`` says at which of its calls; ``log`` is the file in which the point is noted.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
from dataclasses import fields, replace
from typing import Any

from clipline.entrypoints.log import log_handled, make_logger
from clipline.entrypoints.worker import Worker, stop_on_signals
from clipline.pipeline.generate import ClipGenerator
from clipline.pipeline.observation import Stage
from clipline.settings import load_settings
from clipline.wiring import application, options

VISIBILITY_S = 4
_AMID_S = 0.003


class Killer:
    """Ends this process by SIGKILL at the point of the plan."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._calls = itertools.count(1)

    def is_for(self, point: str) -> bool:
        return self._plan["point"] == point

    def due(self) -> bool:
        return next(self._calls) == self._plan["nth"]

    def kill(self) -> None:
        line = f"{self._plan['point']} {self._plan['when']}\n".encode()
        descriptor = os.open(self._plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, line)
        os.kill(os.getpid(), signal.SIGKILL)

    @property
    def when(self) -> str:
        return str(self._plan["when"])


class Deadly:
    """Hands every call on to ``real``; at the point of the plan that is the last one."""

    def __init__(self, real: object, part: str, killer: Killer) -> None:
        self._real, self._part, self._killer = real, part, killer

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._real, name)
        if not self._killer.is_for(f"{self._part}.{name}"):
            return attribute

        def call(*arguments: Any, **named: Any) -> Any:
            due = self._killer.due()
            if due and self._killer.when == "before":
                self._killer.kill()
            if due and self._killer.when == "amid":
                threading.Timer(_AMID_S, self._killer.kill).start()
            answer = attribute(*arguments, **named)
            if due:
                self._killer.kill()
            return answer

        return call


def main(plan: dict[str, Any]) -> None:
    settings = load_settings(None)
    logger = make_logger(settings.log_level)
    killer = Killer(plan)

    def observe(stage: Stage) -> None:
        if stage.duration_ms is None and killer.is_for(f"stage.{stage.name}") and killer.due():
            killer.kill()

    with stop_on_signals() as stop, application(settings, serves=True) as app:
        parts = {
            one.name: Deadly(getattr(app.services, one.name), one.name, killer)
            for one in fields(app.services)
        }
        services = replace(app.services, **parts)
        generator = ClipGenerator(services, options(settings))
        app = replace(app, services=services, generator=generator)
        Worker(
            app,
            lambda handled: log_handled(logger, handled, None),
            observe=observe,
            visibility_s=VISIBILITY_S,
        ).run(stop)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
