"""The outside world in memory, each call through the world's faults. Nothing here is kinder than the real
thing: the queue repeats, delays and reorders, the camera API takes whatever is PUT last, entity tags are
hashes of the content, and no two clips that are made have the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simulation.world import World

from clipline.contract.coverage import Gap, cover
from clipline.contract.errors import Conflict, NoFrames, NotFound, Refused
from clipline.contract.interval import Interval
from clipline.contract.recording import Recording
from clipline.media.cut import CutReport, ThumbnailOptions
from clipline.media.engine import CutJob
from clipline.media.stopwatch import Stopwatch
from clipline.pipeline.ports import DeadLetter, Message, ObjectInfo

MOST_RECEIVES = 5
VISIBILITY_S = 120


@dataclass
class Delivery:
    """What a task is working on, for the checks."""

    message: Message
    looked: bool = False
    decided_before: bool = False
    """When it first read the ledger, the message was already decided: it must make nothing again."""


@dataclass
class Held:
    """A message on the queue."""

    message: Message
    visible_ms: int


@dataclass
class FakeQueue:
    """SQS and its dead-letter queue."""

    world: World
    repeats: float
    """How likely a message is delivered twice at once, and again after it was deleted."""
    held: dict[str, Held] = field(default_factory=dict)
    dead: dict[str, DeadLetter] = field(default_factory=dict)
    sent: int = 0
    seen: list[Message] = field(default_factory=list)
    """Every delivery."""
    worked_again: list[str] = field(default_factory=list)

    def put(self, body: str, delay_ms: int, attributes: Mapping[str, str]) -> None:
        self.sent += 1
        message = Message(f"m{self.sent}", body, self.world.now_ms, 0, "", dict(attributes))
        self.held[message.message_id] = Held(message, self.world.now_ms + delay_ms)

    def send(self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None) -> None:
        context = self.world.task.context
        if isinstance(context, Delivery) and context.decided_before:
            self.worked_again.append(f"a retry was sent by a repeat of {context.message.body}")
        self.world.call("send", lambda: self.put(body, delay_s * 1000, attributes or {}))

    def visible(self) -> list[Held]:
        return [one for one in self.held.values() if one.visible_ms <= self.world.now_ms]

    def deliver(self, held: Held) -> Message | None:
        """Receive it; None where its policy moves it to the dead letters."""
        message = held.message
        if message.receive_count >= MOST_RECEIVES:
            self.held.pop(message.message_id)
            self.dead[message.message_id] = DeadLetter(message, None, self.world.now_ms)
            return None
        count = message.receive_count + 1
        held.message = replace(message, receive_count=count, receipt=f"{message.message_id}/{count}")
        if self.world.dice.random() >= self.repeats:
            held.visible_ms = self.world.now_ms + VISIBILITY_S * 1000
        self.seen.append(held.message)
        return held.message

    def delete(self, message: Message) -> None:
        self.world.call("delete", lambda: self.remove(message))

    def remove(self, message: Message) -> None:
        held = self.held.get(message.message_id)
        if held is None:
            return
        dice = self.world.dice
        if held.message.receipt != message.receipt and dice.random() < 0.5:
            return  # a stale receipt deletes nothing, mostly
        if dice.random() < self.repeats:  # it comes once more, though it was deleted
            held.visible_ms = self.world.now_ms + dice.choice((0, 1_000, 60_000, 600_000))
        else:
            del self.held[message.message_id]

    def change_visibility(self, message: Message, visibility_s: int) -> None:
        def change() -> None:
            held = self.held.get(message.message_id)
            if held is None or held.message.receipt != message.receipt:
                raise Refused("change", "visibility", "delivered again")
            held.visible_ms = self.world.now_ms + visibility_s * 1000

        self.world.call("change visibility", change)

    def dead_letter(self, message: Message, reason: str) -> None:
        def add() -> None:
            key = f"{message.message_id}+{len(self.dead)}"
            self.dead[key] = DeadLetter(
                replace(message, message_id=key, attributes=message.when_dead()), reason, self.world.now_ms
            )  # SQS makes each copy a message of its own

        self.world.call("dead letter", add)

    def unexplained(self) -> Sequence[Message]:
        return self.world.call(
            "look for dead letters", lambda: [one.message for one in self.dead.values() if one.reason is None]
        )

    def explain(self, message: Message, reason: str) -> None:
        self.dead_letter(message, reason)
        self.forget(message)

    def forget(self, message: Message) -> None:
        self.world.call("forget a dead letter", lambda: self.dead.pop(message.message_id, None))

    def letters(self) -> Iterator[DeadLetter]:
        yield from list(self.dead.values())

    def redrive(self, letter: DeadLetter) -> None:
        attributes = letter.message.attributes
        self.world.call("send", lambda: self.put(letter.message.body, 0, attributes))
        self.forget(letter.message)

    def receive(self, **_: object) -> Sequence[Message]:
        raise AssertionError("the world delivers")

    def check(self) -> None:
        """Nothing can be wrong."""


@dataclass
class FakeStore:
    """A bucket."""

    world: World
    name: str
    objects: dict[str, bytes] = field(default_factory=dict)
    appears_ms: dict[str, int] = field(default_factory=dict)
    """Objects that are not there before."""
    on_write: Any = None
    on_read: Any = None
    """Called with a key and what is stored there, at each write and each read of a small object."""
    worked_again: list[str] = field(default_factory=list)

    def head(self, key: str) -> ObjectInfo:
        return self.world.call(f"head {key}", lambda: self._info(key))

    def read_range(self, key: str, offset: int, length: int, *, version: str | None = None) -> bytes:
        def read() -> bytes:
            if version and self._info(key).version != version:
                raise Conflict("read", key, "another version")
            return self.objects[key][offset : offset + length]

        return self.world.call(f"read {key}", read)

    def local_path(self, key: str) -> Path | None:
        return None

    def get(self, key: str, *, most_bytes: int) -> tuple[bytes, str]:
        def get() -> tuple[bytes, str]:
            if self.on_read:
                self.on_read(key, self.objects.get(key))
            info = self._info(key)
            assert info.size_bytes <= most_bytes
            return self.objects[key], info.version

        return self.world.call(f"get {key}", get)

    def put(self, key: str, data: bytes, content_type: str, *, replaces: str | bool | None = False) -> str:
        def put() -> str:
            there = _tag(self.objects[key]) if key in self.objects else None
            if replaces is not False and there != replaces:
                raise Conflict("write", key, "another version is there")
            if self.on_write:
                self.on_write(key, data)
            self.objects[key] = data
            return _tag(data)

        return self.world.call(f"put {key}", put)

    def put_file(
        self, key: str, path: Path, content_type: str, *, replaces: str | bool | None = False
    ) -> str:
        context = self.world.task.context
        if isinstance(context, Delivery) and context.decided_before:
            self.worked_again.append(f"{key} was stored by a repeat")
        return self.put(key, path.read_bytes(), content_type, replaces=replaces)

    def delete(self, key: str) -> None:
        self.world.call(f"delete {key}", lambda: self.objects.pop(key, None))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter([self._info(key) for key in sorted(self.objects) if key.startswith(prefix)])

    def sweep(self) -> None:
        """Nothing is staged."""

    def _info(self, key: str) -> ObjectInfo:
        if key not in self.objects or self.appears_ms.get(key, 0) > self.world.now_ms:
            raise NotFound("head", key, "it is not there")
        return ObjectInfo(key, len(self.objects[key]), _tag(self.objects[key]))


def _tag(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@dataclass
class FakeCameras:
    """A camera API that keeps whatever was PUT last."""

    world: World
    announced: list[tuple[int, Recording]] = field(default_factory=list)
    """From when on each is listed."""
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def alias(self, camera_id: str) -> str:
        def alias() -> str:
            if camera_id != "camera":
                raise NotFound("look up", camera_id, "404")
            return "cam"

        return self.world.call("alias", alias)

    def recordings(self, alias: str, interval: Interval) -> Sequence[Recording]:
        return self.world.call(
            "recordings",
            lambda: [one for at, one in self.announced if at <= self.world.now_ms and one.span & interval],
        )

    def put_clip(self, clip_id: str, metadata: Mapping[str, Any]) -> None:
        document = json.loads(json.dumps(metadata))
        self.world.call(
            f"PUT {clip_id} {metadata['status']}", lambda: self.records.__setitem__(clip_id, document)
        )


@dataclass
class FakeTopic:
    """Keeps what was published, with when; some of it twice."""

    world: World
    told: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)

    def publish(self, metadata: Mapping[str, Any]) -> None:
        document = json.loads(json.dumps(metadata))

        def tell() -> None:
            self.told += [(self.world.now_ms, document)] * self.world.dice.choice((1, 1, 1, 2))

        self.world.call(f"publish {metadata['clipId']} {metadata['status']}", tell)

    def check(self) -> None:
        """Nothing can be wrong."""


class FakeEngine:
    """Makes a file that says from which recordings it was made; each is another one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.made = 0

    @contextmanager
    def prepare(self, job: CutJob, stopwatch: Stopwatch) -> Iterator[FakePlan]:
        stopwatch.begin("index")
        recordings = []
        for candidate in job.candidates:
            text = candidate.source.read(0, candidate.source.size_bytes)
            recordings.append(Recording(candidate.source.name, Interval(*json.loads(text)), "cam"))
        if not recordings:
            raise NoFrames(f"no recording covers {job.interval}")
        yield FakePlan(self, job, recordings)

    def work(self) -> int:
        """Time passes, and anything may go wrong; returns the number of the clip."""
        self._world.call("cut", lambda: None)
        self._world.sleep(self._world.dice.choice((300, 2_000, 20_000)))
        self.made += 1
        return self.made


class FakePlan:
    def __init__(self, engine: FakeEngine, job: CutJob, recordings: Sequence[Recording]) -> None:
        self._engine, self._job = engine, job
        self._coverage = cover(job.interval, recordings)
        self.gaps = tuple(part for part in self._coverage if isinstance(part, Gap))

    def render(self, output: Path, thumbnails: ThumbnailOptions) -> CutReport:
        number = self._engine.work()
        coverage = [
            {"startTimestampInMs": part.span.start_ms, "endTimestampInMs": part.span.end_ms}
            | ({"gap": part.reason} if isinstance(part, Gap) else {"recording": part.recording.name})
            for part in self._coverage
        ]
        output.write_text(f"clip {number}")
        made = {}
        for width in thumbnails.widths:
            made[width] = output.with_name(f"{width}.png")
            made[width].write_text(f"thumbnail {width} of {number}")
        return CutReport(output, made, {"coverage": coverage, "made": number, "partial": bool(self.gaps)})
