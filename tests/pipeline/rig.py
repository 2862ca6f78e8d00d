"""A pipeline of one machine's parts, with short footage and a clock that tests set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clipline.adapters.sqlite_ledger import SqliteLedger
from clipline.adapters.sqlite_queue import SqliteQueue
from clipline.contract.errors import NotFound
from clipline.contract.interval import Interval
from clipline.contract.recording import NameFormat, Recording
from clipline.contract.result import Status
from clipline.pipeline.decision import Limits
from clipline.pipeline.generate import ClipGenerator, Options
from clipline.pipeline.job import Outcome
from clipline.pipeline.ports import ObjectStore, Services

START_MS = 1_540_954_320_051  # 2018-10-31T02:52:00.051Z
RECORDING_MS = 4000
CLIP = Interval(START_MS + 1000, START_MS + 3000)
"""Within the first recording: 60 frames."""
LONG_CLIP = Interval(START_MS + 1000, START_MS + 7000)
"""In both recordings."""
WIDTHS = (160, 320)
CLIP_KEYS = {"camera-1/clip-1.mp4", "camera-1/clip-1_160.png", "camera-1/clip-1_320.png"}
RETRY_MS, RETRY_DELAY_MS = 900_000, 60_000
LIMITS = Limits(retry_ms=RETRY_MS, out_of_range_ms=259_200_000, max_length_ms=300_000)


def recording(number: int) -> Recording:
    """The recording that begins ``number`` times 4 s after the first."""
    start_ms = START_MS + number * RECORDING_MS
    return Recording(NameFormat().name("cam", start_ms), Interval(start_ms, start_ms + RECORDING_MS), "cam")


def body(interval: Interval = CLIP, **changes: object) -> str:
    request = {
        "clipId": "clip-1",
        "cameraId": "camera-1",
        "startTimestampInMs": interval.start_ms,
        "endTimestampInMs": interval.end_ms,
    }
    return json.dumps(request | changes)


class Crash(Exception):
    """The process ends here."""


class CrashAfter:
    """Hands every call on to ``real``; raises once, after call number ``at`` of ``method`` took effect."""

    def __init__(self, real: object, method: str, at: int = 1) -> None:
        self._real, self._method, self._left = real, method, at

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._real, name)
        if name != self._method:
            return attribute

        def call(*arguments: Any, **options: Any) -> Any:
            answer = attribute(*arguments, **options)
            self._left -= 1
            if self._left == 0:
                raise Crash(f"after {name}")
            return answer

        return call


@dataclass
class SetClock:
    """Wall time, as a test sets it."""

    ms: int

    def now_ms(self) -> int:
        return self.ms


@dataclass
class Cameras:
    """A camera API with one camera."""

    announced: list[Recording] = field(default_factory=list)
    puts: list[Mapping[str, Any]] = field(default_factory=list)

    def alias(self, camera_id: str) -> str:
        if camera_id != "camera-1":
            raise NotFound("look up camera", camera_id, "404")
        return "cam"

    def recordings(self, alias: str, interval: Interval) -> Sequence[Recording]:
        return [one for one in self.announced if one.alias == alias and one.span & interval]

    def put_clip(self, clip_id: str, metadata: Mapping[str, Any]) -> None:
        assert metadata["clipId"] == clip_id
        self.puts.append(metadata)


@dataclass
class Published:
    """Keeps what subscribers are told."""

    messages: list[Mapping[str, Any]] = field(default_factory=list)

    def publish(self, metadata: Mapping[str, Any]) -> None:
        self.messages.append(metadata)

    def check(self) -> None:
        """Nothing can be wrong."""


class CountingStore:
    """A store that counts the files it is given."""

    def __init__(self, real: ObjectStore) -> None:
        self._real, self.files = real, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def put_file(self, key: str, path: Path, content_type: str, **options: Any) -> str:
        version = self._real.put_file(key, path, content_type, **options)
        self.files += 1
        return version


@dataclass
class Rig:
    """The pipeline and its surroundings."""

    services: Services
    options: Options
    clock: SetClock
    cameras: Cameras
    published: Published
    queue: SqliteQueue
    ledger: SqliteLedger
    store: CountingStore

    def set(self, **limits: Any) -> None:
        self.options = replace(self.options, limits=replace(self.options.limits, **limits))

    def deliver(self) -> Outcome:
        """Handle the next message; acknowledged if that ends well, else given back."""
        (message,) = self.queue.receive(most=1, wait_s=0, visibility_s=600)
        try:
            outcome = ClipGenerator(self.services, self.options).handle(message)
        except BaseException:
            self.queue.change_visibility(message, 0)
            raise
        self.queue.delete(message)
        return outcome

    def ask(self, text: str | None = None) -> Outcome:
        """Send a message and handle it."""
        self.queue.send(text or body())
        return self.deliver()

    def deliver_due(self) -> list[Outcome]:
        """Handle all messages that can be received now."""
        outcomes = []
        while self.queue.depth().visible:
            outcomes.append(self.deliver())
        return outcomes

    def wait(self, ms: int = RETRY_DELAY_MS) -> None:
        self.clock.ms += ms

    def deliver_last(self) -> Outcome:
        """Wait as long as waiting is allowed, and handle the attempt that was sent after that."""
        self.wait(RETRY_MS)
        assert self.deliver().status is Status.PENDING
        self.wait()
        return self.deliver()

    def stored(self) -> set[str]:
        return {info.key for info in self.services.destination.list("")}

    def told(self) -> list[str]:
        """The statuses that subscribers were told."""
        return [message["status"] for message in self.published.messages]

    def assert_settled(self, status: str, *, dead_letters: int = 0) -> None:
        """One final state, told to everybody alike, and nothing left over."""
        found = self.ledger.read("clip-1")
        assert found is not None
        metadata = found[0].metadata
        assert metadata["status"] == status
        assert self.cameras.puts[-1] == metadata
        assert self.published.messages[-1] == metadata
        assert all(message == metadata for message in self.published.messages if message["status"] == status)
        assert self.stored() == (CLIP_KEYS if status == "CLIP_AVAILABLE" else set())
        depth = self.queue.depth()
        assert (depth.visible, depth.in_flight, depth.delayed, depth.dead) == (0, 0, 0, dead_letters)
        assert list(self.options.work_directory.glob("*")) == []
