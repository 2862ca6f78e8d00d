"""Who is told of the work on messages, and all of them as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from clipline.contract.errors import CliplineError
from clipline.entrypoints.records import Handled
from clipline.pipeline.observation import Stage
from clipline.pipeline.ports import Message


class Watcher:
    """Does nothing with what it is told.

    ``begun``, ``stage`` and ``handled`` of a message come from the thread that works on it, in this order.
    """

    def begun(self, message: Message) -> None:
        """Work on a delivery of a message begins."""

    def stage(self, stage: Stage) -> None:
        """A stage begins or ends; one that fails has no end."""

    def handled(self, handled: Handled, failed: Stage | None) -> None:
        """Work on a delivery is over; ``failed`` is the stage that had not ended.

        Comes without ``begun`` for a record that is malformed or that no time was left for.
        """

    def queue_failed(self, operation: str, error: CliplineError, message: Message | None) -> None:
        """The queue would not do ``operation`` (receive, hide, give back), with ``message`` unless None.

        From any thread.
        """

    def flush(self) -> None:
        """An invocation of the Lambda function ends: nothing may be kept for later."""


class Telemetry:
    """Tells every watcher. What one of them raises stays here: a clip does not fail for its metrics.

    ``report`` is told what it was, once for each watcher: what fails once will fail each time.
    """

    def __init__(self, watchers: Sequence[Watcher], report: Callable[[str, Exception], None]) -> None:
        self._watchers = tuple(watchers)
        self._report = report
        self._reported: set[Watcher] = set()
        self._here = threading.local()

    def begun(self, message: Message) -> None:
        """As in ``Watcher``."""
        self._here.stage = None
        self._tell(lambda watcher: watcher.begun(message))

    def stage(self, stage: Stage) -> None:
        """An ``Observer`` of the pipeline."""
        self._here.stage = stage if stage.duration_ms is None else None
        self._tell(lambda watcher: watcher.stage(stage))

    def handled(self, handled: Handled) -> None:
        """As in ``Watcher``."""
        failed: Stage | None = getattr(self._here, "stage", None)
        self._here.stage = None
        self._tell(lambda watcher: watcher.handled(handled, failed))

    def queue_failed(self, operation: str, error: CliplineError, message: Message | None) -> None:
        """As in ``Watcher``."""
        self._tell(lambda watcher: watcher.queue_failed(operation, error, message))

    def flush(self) -> None:
        """As in ``Watcher``."""
        self._tell(lambda watcher: watcher.flush())

    def _tell(self, call: Callable[[Watcher], None]) -> None:
        for watcher in self._watchers:
            try:
                call(watcher)
            except Exception as error:
                if watcher not in self._reported:
                    self._reported.add(watcher)
                    self._report(type(watcher).__name__, error)
