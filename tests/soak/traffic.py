"""What is asked of the workers: drawn requests of all kinds, that keep coming while processes are killed."""

from __future__ import annotations

import heapq
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from media.truth import START_MS, Recorded, record
from soak.stacks import ALIAS, CAMERA, Stack

from clipline.contract.interval import Interval
from clipline.contract.recording import NameFormat
from clipline.contract.result import Status
from clipline.media.footage import Footage

FOOTAGE = Footage(width=320, height=180, duration_s=8, gop_s=1)
RECORDINGS = 4
_DURATION_MS = int(FOOTAGE.duration_s) * 1000

KINDS = {
    "plain": (40, Status.AVAILABLE),
    "repeated": (14, Status.AVAILABLE),
    "conflict": (8, Status.AVAILABLE),
    "late": (14, Status.AVAILABLE),
    "never": (4, Status.RETRY_TIMEOUT),
    "old": (4, Status.NOT_AVAILABLE),
    "backwards": (3, Status.INVALID_REQUEST),
    "nobody": (3, Status.INVALID_REQUEST),
    "too long": (2, Status.TOO_LONG),
    "unreadable": (8, None),
    "doomed": (0, Status.FATAL_ERROR),
}
"""Weight, and how it must end; None: among the dead letters.

``repeated``: sent two or three times. ``conflict``: the clipId is used twice. ``late``: the recording comes
seconds later; it may be sent twice as well. ``never``: is waited for in vain. ``old``: too old to be waited
for. ``nobody``: an unknown camera. ``doomed``: a plain one that its workers are to die of.
"""

LEADS_TO = {"queue.send": "late", "queue.dead_letter": "unreadable"}
"""The kind of request that brings a worker to a call; to others most kinds do."""


@dataclass(frozen=True)
class Asked:
    """One clipId, or one unreadable body."""

    kind: str
    clip_id: str
    bodies: tuple[str, ...]
    """One; two different ones of a conflict."""
    recordings: Sequence[Recorded] = ()
    """That it is cut from."""

    @property
    def status(self) -> Status | None:
        return KINDS[self.kind][1]


class Traffic:
    """For one stack. Which requests there are depends on the seed and on how many are asked for."""

    def __init__(self, stack: Stack, recordings: Sequence[Recorded], seed: str) -> None:
        self._stack = stack
        self._recordings = recordings
        self._seed = seed
        self._numbers, self._order = itertools.count(), itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self.asked: list[Asked] = []
        self.sent = 0
        """Messages."""

    def ask(self, kind: str | None = None) -> None:
        """Send one more request, of a drawn kind unless one is given; what belongs to it follows later."""
        number = next(self._numbers)
        dice = Random(f"{self._seed}:{number}")
        drawn = dice.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        kind = kind or drawn
        clip_id = f"{kind.replace(' ', '-')}-{number}"
        recordings: Sequence[Recorded] = self._recordings
        camera_id, interval = CAMERA, _draw_interval(dice)
        now_ms = time.time_ns() // 1_000_000
        match kind:
            case "late":
                camera_id = f"late{number}"
                start_ms = now_ms - _DURATION_MS - 2000
                recordings = [replace(self._recordings[0], start_ms=start_ms)]
                begins_ms = start_ms + dice.randrange(_DURATION_MS - 3000)
                interval = Interval(begins_ms, begins_ms + dice.randrange(1000, 3000))
                # The camera is known before its recording is.
                self._stack.announce_camera(camera_id, camera_id)
                self._later(dice.uniform(0.5, 4), self._store_late, camera_id, recordings[0])
            case "never":
                interval = Interval(now_ms - 3000, now_ms - 1000)
            case "old":
                interval = Interval(START_MS - 60_000, START_MS - 58_000)
            case "nobody":
                camera_id = "nobody"
            case "too long":
                interval = Interval(START_MS, START_MS + 301_000)
        bodies = [_body(clip_id, camera_id, interval.start_ms, interval.end_ms)]
        if kind == "backwards":
            bodies = [_body(clip_id, camera_id, interval.end_ms, interval.start_ms)]
        if kind == "unreadable":
            bodies = [dice.choice(["no JSON {number}", "{{'clipId': 'a/{number}'}}", "[{number}]"])]
            bodies = [bodies[0].format(number=number)]
        if kind == "conflict":
            other = _draw_interval(dice)
            bodies.append(_body(clip_id, camera_id, other.start_ms + 1, other.end_ms + 1))
        self.asked.append(Asked(kind, clip_id, tuple(bodies), recordings))
        times = dice.choice([2, 3]) if kind == "repeated" or (kind == "late" and dice.random() < 0.3) else 1
        self._send(bodies[0])
        for body in (*bodies[1:], *bodies[:1] * (times - 1)):
            self._later(dice.choice([0, dice.uniform(0, 4)]), self._send, body)

    def step(self) -> None:
        """Do what is due by now."""
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()

    @property
    def waiting(self) -> int:
        """What was not sent or stored yet."""
        return len(self._due)

    def _later(self, delay_s: float, action: Callable[..., None], *arguments: object) -> None:
        at = time.monotonic() + delay_s
        heapq.heappush(self._due, (at, next(self._order), lambda: action(*arguments)))

    def _send(self, body: str) -> None:
        self._stack.app.services.queue.send(body)
        self.sent += 1

    def _store_late(self, camera_id: str, recording: Recorded) -> None:
        store_recording(self._stack, camera_id, camera_id, recording)


def make_footage(directory: Path) -> list[Recorded]:
    """Consecutive recordings of one camera."""
    return record(directory, FOOTAGE, RECORDINGS)


def store_recording(stack: Stack, camera_id: str, alias: str, recording: Recorded) -> None:
    """Store and announce a recording under a name of its start."""
    name = NameFormat().name(alias, recording.start_ms)
    span = Interval(recording.start_ms, recording.start_ms + _DURATION_MS)
    stack.store_recording(camera_id, alias, recording.path, name, span)


def store_all(stack: Stack, recordings: Sequence[Recorded]) -> None:
    """What is there from the beginning."""
    for recording in recordings:
        store_recording(stack, CAMERA, ALIAS, recording)


def _draw_interval(dice: Random) -> Interval:
    """One to three seconds, every second one across a border of two recordings."""
    duration_ms = dice.randrange(1000, 3000)
    if dice.random() < 0.5:
        border_ms = START_MS + dice.randrange(1, RECORDINGS) * _DURATION_MS
        start_ms = border_ms - dice.randrange(100, duration_ms - 100)
    else:
        start_ms = START_MS + dice.randrange(RECORDINGS * _DURATION_MS - duration_ms)
    return Interval(start_ms, start_ms + duration_ms)


def _body(clip_id: str, camera_id: str, start_ms: int, end_ms: int) -> str:
    return json.dumps(
        {
            "clipId": clip_id,
            "retryTimestamps": [],
            "cameraId": camera_id,
            "startTimestampInMs": start_ms,
            "endTimestampInMs": end_ms,
        }
    )
