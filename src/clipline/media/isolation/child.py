"""In a child: one clip, or frames, asked for and answered over one socket, and nothing else."""

from __future__ import annotations

import itertools
import os
import queue
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from clipline.contract.errors import UnreadableRecording
from clipline.media.cut import Cut, ThumbnailOptions, prepare
from clipline.media.engine import CutJob, gaps_of
from clipline.media.index import MAX_MOOV_BYTES
from clipline.media.isolation import frame_child, sandbox
from clipline.media.isolation.failures import SourceFailed, pack_failure, unpack_media_error
from clipline.media.isolation.jobs import spool_path, unpack_job
from clipline.media.isolation.wire import Channel, Message
from clipline.media.limits import MediaLimits
from clipline.media.ranges import read_exactly
from clipline.media.stopwatch import Stopwatch

MOST_READ_BYTES = MAX_MOOV_BYTES
"""The longest read there is: a whole index."""
READS_AT_A_TIME = 16
_STACK_BYTES = 1 << 20


def run(channel: Channel) -> None:
    """Take a job, do it, tell. Returns when all is told, or when nobody wants it any more."""
    # Stacks count as memory, whether they are used or not.
    threading.stack_size(_STACK_BYTES)
    packed, _ = channel.receive()
    if "frames" in packed:
        frame_child.run(channel, MediaLimits(**packed["frames"]))
        return
    answers = _Answers(channel, Path(packed["directory"]))
    job, limits = unpack_job(packed, answers.source)
    local = [one.source.local_path for one in job.candidates if one.source.local_path is not None]
    largest_bytes = max((one.source.size_bytes for one in job.candidates), default=0)
    try:
        channel.send({"ready": sandbox.enter(job.directory, local, limits, largest_bytes)})
        threading.Thread(target=answers.listen, name="answers", daemon=True).start()
        _cut(channel, answers, job, limits)
    except _NotWanted:
        return
    except BaseException as error:
        channel.send({"failed": pack_failure(error, limits)})


def _cut(channel: Channel, answers: _Answers, job: CutJob, limits: MediaLimits) -> None:
    def on_stage(name: str, duration_ms: int | None) -> None:
        channel.send({"stage": name, "ended": duration_ms is not None})

    planned: Cut = prepare(
        job.candidates, job.interval, job.directory,
        gap_policy=job.gap_policy, tolerance_ms=job.tolerance_ms, hevc_mode=job.hevc_mode,
        missing=job.missing, limits=limits, stopwatch=Stopwatch(on_stage),
    )  # fmt: skip
    gaps = [[gap.span.start_ms, gap.span.end_ms, gap.reason] for gap in gaps_of(planned)]
    channel.send({"planned": gaps})
    wanted = answers.next_order()
    thumbnails = ThumbnailOptions(wanted["widths"], wanted["picture_format"])
    report = planned.render(job.directory / wanted["output"], thumbnails)
    names = {str(width): path.name for width, path in report.thumbnails.items()}
    channel.send({"made": {"details": dict(report.details), "thumbnails": names}})


class _NotWanted(Exception):
    """The worker let go of the clip."""


class _Answers:
    """What comes from the worker: bytes of recordings, and the order to go on."""

    def __init__(self, channel: Channel, directory: Path) -> None:
        self._channel = channel
        self._directory = directory
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[bytes]] = {}
        self._free = threading.Semaphore(READS_AT_A_TIME)
        self._orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def source(self, number: int, name: str, size_bytes: int, local_path: Path | None) -> _Source:
        if local_path is not None:
            return _Source(self, number, name, size_bytes, local_path)
        return _Afar(self, number, name, size_bytes, spool_path(self._directory, number))

    def ask(self, source: int, offset: int, length: int, *, land: bool = False) -> bytes:
        """Bytes of a recording, read by the worker; or none, and they lie in the spool.

        Raises what it raised there.
        """
        with self._free:
            number = next(self._numbers)
            future = self._waiting[number] = Future()
            self._channel.send(
                {"read": number, "source": source, "offset": offset, "length": length, "land": land}
            )
            return future.result()

    def next_order(self) -> Message:
        """Raises _NotWanted where there will be none."""
        order = self._orders.get()
        if order is None:
            raise _NotWanted
        return order

    def listen(self) -> None:
        """To the end of the socket; behind it nobody waits for this process."""
        while True:
            try:
                message, body = self._channel.receive(most_body_bytes=MOST_READ_BYTES)
            except EOFError:
                os._exit(0)
            if "render" in message:
                self._orders.put(message["render"])
                continue
            future = self._waiting.pop(message["read"])
            if "raised" in message:
                future.set_exception(_raised(message))
            else:
                future.set_result(body)


def _raised(message: Message) -> Exception:
    """What the source raised, as far as the engine tells errors apart; the worker has the error itself."""
    packed: dict[str, Any] | None = message["error"]
    error: Exception = SourceFailed() if packed is None else unpack_media_error(packed)
    error.raised_as = message["raised"]  # type: ignore[attr-defined]
    return error


class _Source:
    """A recording: its file where that can be read, else the worker is asked."""

    def __init__(
        self, answers: _Answers, number: int, name: str, size_bytes: int, local_path: Path | None
    ) -> None:
        self._answers = answers
        self._number = number
        self.name = name
        self.size_bytes = size_bytes
        self.local_path = local_path

    def read(self, offset: int, length: int) -> bytes:
        if self.local_path is not None:
            try:
                descriptor = os.open(self.local_path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                pass  # gone, or another file by now: the worker's source knows what to say
            else:
                try:
                    return read_exactly(descriptor, offset, length, self.name)
                finally:
                    os.close(descriptor)
        if length > MOST_READ_BYTES:
            raise UnreadableRecording(f"{self.name}: {length} bytes at once are no part of a recording")
        return self._answers.ask(self._number, offset, length)


class _Afar(_Source):
    """A recording that the worker alone can read."""

    def __init__(self, answers: _Answers, number: int, name: str, size_bytes: int, spool: Path) -> None:
        super().__init__(answers, number, name, size_bytes, None)
        self.spool = spool

    def land(self, offset: int, length: int) -> None:
        """The worker writes the bytes where this process reads them: they need not pass through both."""
        self._answers.ask(self._number, offset, length, land=True)
