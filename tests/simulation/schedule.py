"""What one seed stands for: requests, recordings, workers and faults; and the run until the world rests."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from simulation.services import Delivery, FakeCameras, FakeEngine, FakeQueue, FakeStore, FakeTopic
from simulation.world import MOST_STEPS, Faults, NeverSettles, Task, World

from clipline.adapters.ledger_store import PREFIX, StoreLedger
from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import Unavailable, UnreadableRequest
from clipline.contract.interval import Interval
from clipline.contract.recording import NameFormat, Recording
from clipline.contract.result import ObjectNames
from clipline.entrypoints.records import handle_records
from clipline.entrypoints.worker import Worker
from clipline.pipeline.decision import Limits
from clipline.pipeline.generate import ClipGenerator, Options
from clipline.pipeline.job import Job
from clipline.pipeline.ports import LedgerEntry, Message, Services

BEGIN_MS = 1_540_954_320_000
RECORDING_MS = 60_000
RETRY_MS, DELAY_S, OUT_OF_RANGE_MS, LONGEST_MS = 180_000, 60, 3_600_000, 60_000
NEVER_MS = 10**15
WIDTHS = (300, 640)
BURY_EVERY_MS = 60_000
NAMES = ObjectNames("https://clips.example.com")


@dataclass(frozen=True)
class Request:
    """One request; it may be sent more than once."""

    clip_id: str
    kind: str
    """normal, unknown camera, invalid, too long, out of range or unreadable."""
    interval: Interval
    sent_ms: tuple[int, ...]

    @property
    def body(self) -> str:
        document: dict[str, Any] = {
            "clipId": self.clip_id,
            "cameraId": "other" if self.kind == "unknown camera" else "camera",
            "startTimestampInMs": self.interval.start_ms,
            "endTimestampInMs": self.interval.end_ms,
            "retryTimestamps": [],
        }
        if self.kind == "invalid":
            document["endTimestampInMs"] = self.interval.start_ms
        if self.kind == "unreadable":
            document["clipId"] = "../etc"
        return json.dumps(document)


@dataclass(frozen=True)
class Schedule:
    """A whole history, but for what the dice bring while it runs."""

    requests: tuple[Request, ...]
    announced_ms: tuple[int, int]
    """When each of the two recordings is listed by the camera API."""
    stored_ms: tuple[int, int]
    """When each is in storage."""
    gap_policy: GapPolicy = GapPolicy.FAIL
    notify_pending: bool = False
    slots: int = 1
    batch: int = 0
    """Messages a Lambda invocation gets; 0: a worker takes one at a time."""
    repeats: float = 0.0
    rate: float = 0.0
    most_faults: int = 0
    redrive: bool = False
    """When the world rests, dead letters are returned once, and nothing fails any more."""


def draw(dice: Random) -> Schedule:
    """A schedule at random."""
    now_ms = BEGIN_MS + 2 * RECORDING_MS
    kinds = ("normal",) * 12 + ("unknown camera", "invalid", "too long", "out of range", "unreadable")
    requests = []
    for number in range(dice.choice((1, 1, 1, 2, 3))):
        kind = dice.choice(kinds)
        for _ in range(dice.choice((1, 1, 1, 1, 2))):  # a clipId used for another interval too
            sent = [now_ms + dice.choice((-50_000, 0, 1_000, 100_000, 400_000))]
            sent += [sent[0] + dice.choice((0, 10, 5_000, 70_000, 500_000))] * dice.choice((0, 0, 0, 1, 2))
            requests.append(Request(f"clip{number}", kind, _interval(dice, kind), tuple(sent)))
    announced, stored = [], []
    for end_ms in (BEGIN_MS + RECORDING_MS, now_ms):
        at_ms = dice.choice((0, 0, end_ms + 5_000, now_ms + 90_000, now_ms + 300_000, NEVER_MS))
        announced.append(at_ms)
        stored.append(dice.choice((0, at_ms, at_ms, at_ms + 70_000)))
    return Schedule(
        tuple(requests), (announced[0], announced[1]), (stored[0], stored[1]),
        gap_policy=dice.choice((GapPolicy.FAIL, GapPolicy.FAIL, GapPolicy.HOLD)),
        notify_pending=dice.random() < 0.3,
        slots=dice.choice((1, 2, 2, 3, 4)),
        batch=dice.choice((0, 0, 1, 3, 10)),
        repeats=dice.choice((0.0, 0.0, 0.1, 0.5)),
        rate=dice.choice((0.0, 0.03, 0.1, 0.3, 0.6)),
        most_faults=dice.choice((1, 2, 4, 15, 40)),
        redrive=dice.random() < 0.7,
    )  # fmt: skip


def _interval(dice: Random, kind: str) -> Interval:
    if kind == "out of range":
        return Interval(BEGIN_MS - 2 * OUT_OF_RANGE_MS, BEGIN_MS - 2 * OUT_OF_RANGE_MS + 5_000)
    start_ms = BEGIN_MS + dice.choice((5_000, 30_000, 55_000, 80_000))
    length_ms = LONGEST_MS + 1 if kind == "too long" else dice.choice((1_000, 10_000, 30_000))
    return Interval(start_ms, start_ms + length_ms)


def recording(number: int) -> Recording:
    start_ms = BEGIN_MS + number * RECORDING_MS
    return Recording(NameFormat().name("cam", start_ms), Interval(start_ms, start_ms + RECORDING_MS), "cam")


@dataclass
class Run:
    """A schedule, being run and then to be checked."""

    schedule: Schedule
    world: World
    directory: Path
    history: list[tuple[int, LedgerEntry]] = field(default_factory=list)
    """Every write of the ledger, with when."""
    redriven: bool = False

    def __post_init__(self) -> None:
        world, schedule = self.world, self.schedule
        self.queue = FakeQueue(world, schedule.repeats)
        self.cameras, self.topic = FakeCameras(world), FakeTopic(world)
        self.origin, self.bucket = FakeStore(world, "origin"), FakeStore(world, "clips")
        self.bucket.on_write = self._remember
        self.bucket.on_read = self._first_look
        for number in (0, 1):
            one = recording(number)
            key = f"rewinds/{one.name}"
            self.origin.objects[key] = json.dumps([one.span.start_ms, one.span.end_ms]).encode()
            self.origin.appears_ms[key] = schedule.stored_ms[number]
            self.cameras.announced.append((schedule.announced_ms[number], one))
        self.services = Services(
            self.cameras, self.origin, self.bucket, self.queue, self.topic, StoreLedger(self.bucket),
            FakeEngine(world),
        )  # fmt: skip
        limits = Limits(RETRY_MS, OUT_OF_RANGE_MS, LONGEST_MS, schedule.gap_policy)
        self.generator = ClipGenerator(
            self.services,
            Options(
                limits, NAMES, self.directory, "{dir}/{name}", "rewinds", WIDTHS,
                retry_delay_s=DELAY_S, notify_pending=schedule.notify_pending,
            ),
        )  # fmt: skip
        app: Any = SimpleNamespace(generator=self.generator, services=self.services)
        self._worker = Worker(app, lambda handled: None)
        self._sends = sorted((at_ms, one.body) for one in schedule.requests for at_ms in one.sent_ms)
        self._busy = 0
        self._bury_ms = 0
        self._burying = False

    def run(self) -> None:
        """Until nothing is left to do. Raises NeverSettles where that is never."""
        world = self.world
        for _ in range(MOST_STEPS):
            while self._sends and self._sends[0][0] <= world.now_ms:
                self.queue.put(self._sends.pop(0)[1], 0, {})
            others: list[Callable[[], object]] = []
            if self._busy < self.schedule.slots and self.queue.visible():
                others.append(self._deliver)
            if self._may_bury() and self._bury_ms <= world.now_ms:
                others.append(self._bury)
            if not world.step(others) and not self._advance():
                return
        raise NeverSettles(f"after {MOST_STEPS} steps")

    def _advance(self) -> bool:
        """To when something happens next; False where nothing ever will."""
        world = self.world
        times = [task.wakes_ms for task in world.tasks]
        times += [held.visible_ms for held in self.queue.held.values()]
        times += [at_ms for at_ms, _ in self._sends[:1]]
        times += [self._bury_ms] * self._may_bury()
        later = [at_ms for at_ms in times if at_ms > world.now_ms]
        if later:
            world.now_ms = min(later)
            return True
        letters = list(self.queue.letters())
        if letters and self.schedule.redrive and not self.redriven:
            self.redriven = True
            world.faults.left = 0
            self.queue.repeats = 0
            world.start(Task("operator", lambda: [self.queue.redrive(letter) for letter in letters]))
            return True
        return False

    def _deliver(self) -> None:
        received = []
        visible = self.queue.visible()
        for _ in range(max(1, self.schedule.batch)):
            if visible:
                held = visible.pop(self.world.dice.randrange(len(visible)))
                received += filter(None, [self.queue.deliver(held)])
        if not received:
            return
        self._busy += 1
        task = Task(f"delivery {'+'.join(one.receipt for one in received)}", lambda: self._work(received))
        task.on_death = self._ended
        self.world.start(task)

    def _work(self, messages: list[Message]) -> None:
        task = self.world.task
        if self.schedule.batch:
            for message, handled in zip(
                messages, handle_records(self.generator, _event(messages, task)), strict=True
            ):
                if handled.error is None:
                    with suppress(Unavailable):  # SQS deletes for Lambda, or delivers again
                        self.queue.delete(message)
        else:
            task.context = Delivery(messages[0])
            self._worker._handle(messages[0])
        self._ended()

    def _ended(self) -> None:
        self._busy -= 1

    def _may_bury(self) -> bool:
        return not self._burying and any(one.reason is None for one in self.queue.dead.values())

    def _bury(self) -> None:
        self._burying = True

        def bury() -> None:
            with suppress(Exception):  # a worker tries again a minute later
                self.generator.bury(self.queue)
            ended()

        def ended() -> None:
            self._burying = False
            self._bury_ms = self.world.now_ms + BURY_EVERY_MS

        task = Task("burial", bury)
        task.on_death = ended
        self.world.start(task)

    def _remember(self, key: str, data: bytes) -> None:
        if key.startswith(PREFIX):
            self.history.append((self.world.now_ms, LedgerEntry(**json.loads(data))))

    def _first_look(self, key: str, data: bytes | None) -> None:
        """Note whether the message was already decided when its delivery first read the ledger."""
        context = self.world.task.context
        if not (key.startswith(PREFIX) and isinstance(context, Delivery)) or context.looked:
            return
        context.looked = True
        if data is None:
            return
        entry = LedgerEntry(**json.loads(data))
        with suppress(UnreadableRequest):
            job = Job.read(context.message)
            handled = (entry.first_asked_ms, entry.attempts) > (job.first_asked_ms, job.attempt)
            available = entry.metadata["status"] == "CLIP_AVAILABLE"
            context.decided_before = entry.fingerprint != job.fingerprint or handled or available


class _event(dict[str, Any]):  # noqa: N801
    """An SQS event of ``messages``; while its records are gone through, the task knows which one it is at."""

    def __init__(self, messages: list[Message], task: Task) -> None:
        records = _Records(_record(one) for one in messages)
        records.task, records.messages = task, messages
        super().__init__(Records=records)


class _Records(list[dict[str, Any]]):
    task: Task
    messages: list[Message]
    begun = False

    def __iter__(self) -> Any:
        for record, message in zip(list(super().__iter__()), self.messages, strict=True):
            self.task.context = Delivery(message)
            yield record


def _record(message: Message) -> dict[str, Any]:
    return {
        "messageId": message.message_id,
        "body": message.body,
        "receiptHandle": message.receipt,
        "attributes": {
            "SentTimestamp": str(message.sent_ms),
            "ApproximateReceiveCount": str(message.receive_count),
        },
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String"} for name, value in message.attributes.items()
        },
    }


def run_schedule(
    schedule: Schedule, dice: Random, directory: Path, *, plan: dict[int, str] | None = None
) -> Run:
    """Run it until the world rests; with ``plan`` only those calls fail."""
    faults = Faults(dice, schedule.rate, schedule.most_faults, plan or {})
    if plan is not None:
        faults = replace(faults, rate=0.0, left=0)
    first_ms = min(at_ms for one in schedule.requests for at_ms in one.sent_ms)
    run = Run(schedule, World(dice, faults, first_ms), directory)
    run.run()
    return run
