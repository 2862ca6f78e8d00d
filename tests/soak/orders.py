"""What is asked for during a soak, and what must become of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

from media.truth import Recorded, expected_numbers, record
from soak.stacks import Stack

from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.contract.interval import Interval
from clipline.contract.recording import NameFormat
from clipline.media.footage import Footage

RECORDING_S = 8
FOOTAGE = Footage(width=640, height=360, duration_s=Fraction(RECORDING_S), moov_first=True)
KINDS = ("plain",) * 8 + ("sent twice", "used twice", "late", "never", "invalid", "unreadable")
FINAL_OF = {"never": "CLIP_NOT_AVAILABLE", "invalid": "CLIP_INVALID_REQUEST"}
LATE_S = 3


@dataclass(frozen=True)
class Order:
    """One clipId, or one unreadable message."""

    clip_id: str
    kind: str
    bodies: Sequence[str]
    frames: tuple[tuple[int, ...], ...] = ()
    """Of each body's clip, the frame numbers it must show."""

    @property
    def due(self) -> str | None:
        """The final status; None: nobody can be told."""
        if self.kind == "unreadable":
            return None
        return FINAL_OF.get(self.kind, "CLIP_AVAILABLE")


class Archive:
    """The recordings of a soak: two of the camera ``pier``, and late ones of cameras of their own."""

    def __init__(self, stack: Stack, catalog: Catalog, directory: Path) -> None:
        self._stack, self._catalog, self._directory = stack, catalog, directory
        self._made = record(directory / "footage", FOOTAGE, 2)
        self._late: list[tuple[float, str, Path, int]] = []
        catalog.put_camera(Camera("pier", "pier", "pier"))
        for one in self._made:
            self._announce("pier", one.path, one.start_ms)

    def order(self, number: int, dice: Random) -> Order:
        """Something to ask for, at random."""
        kind, clip_id = dice.choice(KINDS), f"clip{number}"
        begin_ms = self._made[0].start_ms + dice.randrange(100, 2 * RECORDING_S * 1000 - 3_500)
        interval = Interval(begin_ms, begin_ms + dice.choice((400, 1_000, 3_000)))
        match kind:
            case "unreadable":
                return Order(clip_id, kind, (f"{{'clipId': '../{number}'}}",))
            case "invalid":
                return Order(clip_id, kind, (_body(clip_id, "nobody", interval),))
            case "never":
                long_ago = Interval(interval.start_ms - 10**8, interval.end_ms - 10**8)
                return Order(clip_id, kind, (_body(clip_id, "pier", long_ago),))
            case "late":
                return self._late_order(clip_id)
            case "used twice":
                other = Interval(interval.start_ms + 40, interval.end_ms + 40)
                both = (interval, other)
                bodies = tuple(_body(clip_id, "pier", one) for one in both)
                return Order(clip_id, kind, bodies, tuple(map(self._frames, both)))
        copies = dice.choice((2, 3)) if kind == "sent twice" else 1
        frames = (self._frames(interval),) * copies
        return Order(clip_id, kind, (_body(clip_id, "pier", interval),) * copies, frames)

    def come_true(self) -> None:
        """Late recordings whose time has come are stored and listed."""
        for one in [one for one in self._late if one[0] <= time.monotonic()]:
            self._late.remove(one)
            _, alias, path, start_ms = one
            self._announce(alias, path, start_ms)

    def _frames(self, interval: Interval) -> tuple[int, ...]:
        return tuple(expected_numbers(self._made, interval))

    def _late_order(self, clip_id: str) -> Order:
        """Of a camera whose recording ends now, and is there in a while."""
        alias = f"late-{clip_id}"
        start_ms = time.time_ns() // 1_000_000 - RECORDING_S * 1000
        first = self._made[0]
        path = self._directory / NameFormat().name(alias, start_ms)
        path.symlink_to(first.path)
        self._catalog.put_camera(Camera(alias, alias, alias))
        self._late.append((time.monotonic() + LATE_S, alias, path, start_ms))
        interval = Interval(start_ms + 1_000, start_ms + 2_500)
        moved = Recorded(path, start_ms, first.footage)
        return Order(
            clip_id, "late", (_body(clip_id, alias, interval),), (tuple(expected_numbers([moved], interval)),)
        )

    def _announce(self, alias: str, path: Path, start_ms: int) -> None:
        self._stack.add_recording(path)
        span = Interval(start_ms, start_ms + RECORDING_S * 1000)
        self._catalog.add_recordings(
            [StoredRecording(alias, path.name, str(path), span, path.stat().st_size)]
        )


def _body(clip_id: str, camera_id: str, interval: Interval) -> str:
    body: dict[str, Any] = {
        "clipId": clip_id,
        "cameraId": camera_id,
        "startTimestampInMs": interval.start_ms,
        "endTimestampInMs": interval.end_ms,
        "retryTimestamps": [],
    }
    return json.dumps(body)
