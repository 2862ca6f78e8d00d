"""How far each clip is, for the page at once and for the catalog a moment later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from clipline.camera_service.clip_records import ClipRecord, ClipRecords
from clipline.contract.errors import CliplineError
from clipline.pipeline.observation import Stage

_REST_S = 0.1
"""Between two writes: what comes meanwhile is one of them. A commit takes a disk's turn or two."""


class Progress:
    """Takes stages from the threads that make clips and writes them down in a thread of its own.

    ``on_change`` is told of each record that changes. A context manager: at its end all is written.
    """

    def __init__(self, clips: ClipRecords, on_change: Callable[[ClipRecord], None]) -> None:
        self._clips = clips
        self._on_change = on_change
        self._news = threading.Condition()
        self._stages: dict[str, list[str]] = {}
        self._changed: dict[str, tuple[str, int]] = {}
        self._ended = False
        self._thread = threading.Thread(target=self._write, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._ended = True
            self._news.notify()
        self._thread.join()

    def stage(self, stage: Stage) -> None:
        """A stage has begun, or ended."""
        if stage.duration_ms is not None:
            return
        with self._news:
            stages = self._stages.setdefault(stage.clip_id, [])
            if stage.name in stages:
                stages.remove(stage.name)
            stages.append(stage.name)
            self._changed[stage.clip_id] = " ".join(stages), stage.delivery
            self._news.notify()

    def over(self, clip_id: str) -> None:
        """Nobody works on the clip now."""
        with self._news:
            if self._stages.pop(clip_id, None) is not None:
                self._changed[clip_id] = "", 0
                self._news.notify()

    def _write(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._changed or self._ended)
                changed, self._changed = self._changed, {}
                if not changed and self._ended:
                    return
            for clip_id, (stages, delivery) in changed.items():
                # Progress that is lost is seen again with the next stage; the clip does not wait for it.
                with suppress(CliplineError):
                    record = self._clips.progress(clip_id, stages, delivery)
                    if record is not None:
                        self._on_change(record)
            with self._news:
                self._news.wait_for(lambda: self._ended, _REST_S)
