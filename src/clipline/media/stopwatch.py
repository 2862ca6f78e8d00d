"""How long the stages of making a clip take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

OnStage = Callable[[str, int | None], None]
"""Called with a stage's name and None when it begins, and with its milliseconds when it ends."""


def unobserved(_name: str, _duration_ms: int | None) -> None:
    """Tells nobody."""


@dataclass
class Stopwatch:
    """Times stages that follow each other: camera, recordings, index, fetch, encode, write, verify,
    thumbnails (what remains of them then: they are made beside the others), store, notify."""

    on_stage: OnStage = unobserved
    timings_ms: dict[str, int] = field(default_factory=dict)
    _running: tuple[str, float] | None = None

    def begin(self, stage: str) -> None:
        self.end()
        self._running = (stage, time.monotonic())
        self.on_stage(stage, None)

    def end(self) -> None:
        if self._running is not None:
            stage, began = self._running
            self._running = None
            spent_ms = round((time.monotonic() - began) * 1000)
            self.timings_ms[stage] = self.timings_ms.get(stage, 0) + spent_ms
            self.on_stage(stage, spent_ms)
