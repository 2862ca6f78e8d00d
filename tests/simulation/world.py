"""One simulated world: a clock, tasks that take turns at every call of a service, and faults.

Each delivery runs as a greenlet and gives the turn away before each call that leaves the process. Whose turn
is next, how long a call takes and what goes wrong is drawn from one random generator, so that a seed is a
whole history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from clipline.contract.errors import Unavailable

T = TypeVar("T")

OK, FAIL, LOSE, DIE, DIE_AFTER, LATE = "ok", "fail", "lose", "die", "die after", "late"
"""A call works; fails before it has an effect; has its effect and fails; the process dies before or after the
effect; works after a long while."""
VERDICTS = (FAIL, LOSE, DIE, DIE_AFTER, LATE)

MOST_STEPS = 20_000


class Died(BaseException):
    """The process is gone. Not an Exception: nothing may handle it."""


class NeverSettles(AssertionError):
    """Traffic does not stop."""


@dataclass
class Faults:
    """What goes wrong: drawn, or planned by the number of the call."""

    dice: Random
    rate: float = 0.0
    left: int = 0
    """No more than so many are drawn, so that traffic stops."""
    plan: dict[int, str] = field(default_factory=dict)
    calls: int = 0
    happened: int = 0

    def next(self) -> str:
        number, self.calls = self.calls, self.calls + 1
        verdict = self.plan.get(number, OK)
        if self.left and self.dice.random() < self.rate:
            self.left -= 1
            verdict = self.dice.choice(VERDICTS)
        self.happened += verdict != OK
        return verdict


class Task:
    """Something that runs beside others and may be killed."""

    def __init__(self, name: str, run: Callable[[], object]) -> None:
        self.name = name
        self.greenlet = greenlet(run)
        self.wakes_ms = 0
        self.dead = False
        self.on_death: Callable[[], object] = lambda: None
        self.context: Any = None


class World:
    """The clock, the tasks and the log of what happened."""

    def __init__(self, dice: Random, faults: Faults, now_ms: int) -> None:
        self.dice = dice
        self.faults = faults
        self.now_ms = now_ms
        self.tasks: list[Task] = []
        self.log: list[str] = []
        self._main = getcurrent()
        self._current: Task | None = None

    @property
    def task(self) -> Task:
        assert self._current is not None, "services are called by tasks"
        return self._current

    def start(self, task: Task) -> None:
        self.tasks.append(task)

    def call(self, name: str, effect: Callable[[], T]) -> T:
        """Let others take their turn, then ``effect``, with whatever goes wrong."""
        task = self.task
        if task.dead:
            raise Died
        self._main.switch()
        verdict = self.faults.next()
        self.log.append(f"{self.now_ms} {task.name}: {name}{'' if verdict == OK else f' [{verdict}]'}")
        if verdict == LATE:
            # The adapter gives up a PUT after 20 s.
            longest = (1_000, 15_000) if name.startswith("PUT") else (1_000, 30_000, 150_000, 1_000_000)
            self.sleep(self.dice.choice(longest))
        if verdict == DIE:
            self.kill(task)
        if verdict == FAIL:
            raise Unavailable(name, "the world", "it failed")
        answer = effect()
        if verdict == DIE_AFTER:
            self.kill(task)
        if verdict == LOSE:
            raise Unavailable(name, "the world", "its answer was lost")
        return answer

    def sleep(self, ms: int) -> None:
        self.task.wakes_ms = self.now_ms + ms
        self._main.switch()

    def kill(self, task: Task) -> None:
        task.dead = True
        raise Died

    def step(self, others: list[Callable[[], object]]) -> bool:
        """Give one task its turn, or do one of ``others``; False where neither can be."""
        ready = [task for task in self.tasks if task.wakes_ms <= self.now_ms]
        choices = len(ready) + len(others)
        if not choices:
            return False
        chosen = self.dice.randrange(choices)
        if chosen >= len(ready):
            others[chosen - len(ready)]()
            return True
        task = self._current = ready[chosen]
        try:
            task.greenlet.switch()
        except Died:
            task.on_death()
        finally:
            self._current = None
        if task.greenlet.dead:
            self.tasks.remove(task)
        return True
