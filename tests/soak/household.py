"""The processes of one stack: some workers and a camera service, killed and replaced."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from signal import SIGKILL, SIGTERM, Signals
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from soak.nursery import Nursery
from soak.points import CAMERA_POINTS, RANDOM, Plan
from soak.stacks import Stack

_RANDOM_SHARE = 0.3
"""Of deaths that come at a random time, beside those at points."""

_PATIENCE_S = 60


@dataclass
class _Process:
    program: str
    plan: Plan
    started_s: float
    due_s: float
    """When it is killed, wherever it is, by the monotonic clock."""
    last_words: Path
    """Where it leaves the name of the point at which it kills itself."""


class _Deck:
    """Points, each as often as the others, in a drawn order; with random deaths in between."""

    def __init__(self, points: Sequence[str], dice: Random) -> None:
        self._points, self._dice = points, dice
        self._cards: list[str] = []

    def draw(self) -> str:
        if self._dice.random() < _RANDOM_SHARE:
            return RANDOM
        if not self._cards:
            self._cards = self._dice.sample(self._points, len(self._points))
        return self._cards.pop()

    def put_back(self, point: str) -> None:
        """It was not reached: another process may."""
        self._cards.insert(0, point)


class Household:
    """Keeps ``workers`` workers and a camera service going, and kills them all the time until told not to."""

    def __init__(self, stack: Stack, nursery: Nursery, workers: int, dice: Random) -> None:
        self.stack, self._nursery, self._dice = stack, nursery, dice
        self._numbers = itertools.count()
        self._living: dict[int, _Process] = {}
        self._decks = {
            "worker": _Deck(stack.worker_points, dice),
            "camera": _Deck(CAMERA_POINTS, dice),
        }
        self._wanted = {"worker": workers, "camera": 1}
        self._camera_from_s = 0.0
        self.environment = stack.environment
        self.deadly = True
        self.kills: Counter[str] = Counter()
        """By point."""
        self.wrong: list[str] = []
        """Processes that ended otherwise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop(list(self._living))

    @property
    def missed(self) -> list[str]:
        """Points at which nothing died."""
        return [point for point in (*self.stack.worker_points, *CAMERA_POINTS) if not self.kills[point]]

    def step(self) -> None:
        """Bury, kill and replace what is due."""
        self._bury()
        now = time.monotonic()
        for pid, process in self._living.items():
            if process.due_s <= now:
                process.due_s = now + _PATIENCE_S
                self._nursery.signal(pid, SIGKILL)
        for program, wanted in self._wanted.items():
            if program == "camera" and now < self._camera_from_s:
                continue
            there = sum(one.program == program for one in self._living.values())
            for _ in range(wanted - there):
                self._start(program)

    def overdue(self, after_s: float) -> Iterator[str]:
        """Points that living workers have not reached for so long; each is named every ``after_s``."""
        now = time.monotonic()
        for process in self._living.values():
            waits = process.program == "worker" and process.plan.point != RANDOM
            if waits and now - process.started_s > after_s:
                process.started_s = now
                yield process.plan.point

    def calm_down(self) -> None:
        """Kill whoever still has a plan to die; those who come after them live."""
        self.deadly = False
        self._stop(list(self._living), SIGKILL)
        self.step()

    def stop_workers(self) -> None:
        """Stop the workers as an operator would; the camera service stays."""
        self._wanted["worker"] = 0
        self._stop([pid for pid, one in self._living.items() if one.program == "worker"])

    def run_worker(self, plan: Plan, done: Callable[[], bool], most_s: float) -> None:
        """One worker with ``plan``, until it dies, all is ``done`` or the time is over."""
        pid = self._run("worker", plan, float("inf"))
        end = time.monotonic() + most_s
        while pid in self._living and time.monotonic() < end and not done():
            time.sleep(0.1)
            self._bury()
        self._stop([pid])

    def wait_for_camera(self) -> None:
        """Until the camera service answers."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            self.step()
            try:
                urlopen(f"{self.stack.camera_url}/health", timeout=5).close()
                return
            except (URLError, OSError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _start(self, program: str) -> None:
        plan, due_s = Plan(), float("inf")
        if self.deadly:
            point = self._decks[program].draw()
            # A file is renamed only where another attempt has left one.
            often = program == "camera" or (point.startswith("files.") and point != "files.rename")
            nth = self._dice.randint(1, 8) if often else self._dice.choice([1, 1, 1, 2, 3])
            plan = Plan(point, nth, self._dice.choice([0.0, self._dice.uniform(0, 0.02)]))
            # A point that isn't reached gives way to a random death.
            lives_s = self._dice.uniform(0.1, 6) if point == RANDOM else _PATIENCE_S / 2
            due_s = time.monotonic() + lives_s
        self._run(program, plan, due_s)

    def _run(self, program: str, plan: Plan, due_s: float) -> int:
        directory = self.stack.directory
        last_words = directory / f"died-{next(self._numbers)}"
        more = {"catalog": str(directory / "catalog.sqlite"), "port": self.stack.port}
        pid = self._nursery.start(
            program, plan, self.environment, directory / f"{program}.log",
            last_words=str(last_words), root=str(directory), **(more if program == "camera" else {}),
        )  # fmt: skip
        self._living[pid] = _Process(program, plan, time.monotonic(), due_s, last_words)
        return pid

    def _bury(self) -> None:
        for pid in [pid for pid in self._living if pid in self._nursery.ended]:
            process, status = self._living.pop(pid), self._nursery.ended.pop(pid)
            if status == -SIGKILL:
                reached = process.last_words.read_text() if process.last_words.exists() else None
                point = reached or (RANDOM if process.program == "worker" else f"server {RANDOM}")
                self.kills[point] += 1
                if process.plan.point not in (RANDOM, reached):
                    self._decks[process.program].put_back(process.plan.point)
                if process.program == "camera":
                    # Sometimes it is away for longer than a client tries again.
                    self._camera_from_s = time.monotonic() + self._dice.choice([0, 0, 0.5, 4])
            elif self.deadly or status:
                self.wrong.append(f"a {process.program} ended with {status}: see its log")

    def _stop(self, pids: Sequence[int], by: Signals = SIGTERM) -> None:
        for pid in pids:
            self._nursery.signal(pid, by)
        end = time.monotonic() + _PATIENCE_S
        while any(pid in self._living for pid in pids):
            self._bury()
            if time.monotonic() > end:
                self.wrong.append(f"a process does not stop on {by.name}")
                return
            time.sleep(0.02)
