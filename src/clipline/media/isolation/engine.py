"""The engine whose clips are made in processes of their own."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from clipline.contract.coverage import Gap
from clipline.contract.interval import Interval
from clipline.media.cut import CutReport, ThumbnailOptions
from clipline.media.engine import CutJob, PlannedCut
from clipline.media.isolation import results
from clipline.media.isolation.conversation import Conversation, unbelievable
from clipline.media.isolation.results import Unbelievable
from clipline.media.isolation.spawn import TEMPLATE, Template
from clipline.media.limits import MediaLimits
from clipline.media.stopwatch import Stopwatch


class Isolated:
    """Cuts in a child process for each clip. A context manager; safe to use from several threads.

    The template that children are forked from is started at once, in the background. Beyond what engines
    raise, EngineFailed names the limit that was reached, or how the child ended.
    """

    def __init__(
        self,
        limits: MediaLimits | None = None,
        say: Callable[[str], None] = lambda _: None,
        *,
        module: str = TEMPLATE,
    ) -> None:
        """``say`` is told once what of the sandbox this kernel does not offer; ``module`` is the template."""
        self._limits = limits or MediaLimits()
        self._say = say
        self._lock = threading.Lock()
        self._said = False
        self.template = Template(module)
        self.template.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the template, and clips in progress."""
        self.template.stop()

    def missing(self) -> list[str]:
        """What of the sandbox this kernel does not offer, tried out. Raises EngineFailed where none works."""
        with tempfile.TemporaryDirectory() as directory:
            job = CutJob([], Interval(0, 1), Path(directory))
            with Conversation(self.template.fork(), job, Stopwatch(), self._limits) as conversation:
                return conversation.begin()

    @contextmanager
    def prepare(self, job: CutJob, stopwatch: Stopwatch) -> Iterator[PlannedCut]:
        """As in ``Engine``. The child lives until the context ends."""
        with Conversation(self.template.fork(), job, stopwatch, self._limits) as conversation:
            missing = conversation.begin()
            with self._lock:
                first, self._said = not self._said, True
            if missing and first:
                self._say(f"clips are made with less isolation than is possible: {'; '.join(missing)}")
            told = conversation.hear("planned")
            try:
                gaps = results.gaps(told)
            except Unbelievable as error:
                raise unbelievable(error) from error
            yield _Planned(conversation, job, self._limits, gaps)


class _Planned:
    def __init__(
        self, conversation: Conversation, job: CutJob, limits: MediaLimits, gaps: Sequence[Gap]
    ) -> None:
        self._conversation = conversation
        self._job = job
        self._limits = limits
        self.gaps = gaps

    def render(self, output: Path, thumbnails: ThumbnailOptions) -> CutReport:
        assert output.parent == self._job.directory, "a child writes in the job's directory alone"
        order = {
            "output": output.name,
            "widths": list(thumbnails.widths),
            "picture_format": thumbnails.picture_format,
        }
        told = self._conversation.render(order)
        try:
            return results.report(told, output, thumbnails, self._limits)
        except Unbelievable as error:
            raise unbelievable(error) from error
