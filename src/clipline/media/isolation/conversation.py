"""The worker's end of making one clip: what the child asks is checked, what it tells is judged."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from clipline.contract.errors import EngineFailed, MediaError
from clipline.media.engine import CutJob
from clipline.media.isolation.child import MOST_READ_BYTES, READS_AT_A_TIME
from clipline.media.isolation.failures import needs_more_memory, pack_media_error, unpack_failure
from clipline.media.isolation.jobs import pack_job, spool_path
from clipline.media.isolation.results import Unbelievable, check
from clipline.media.isolation.spawn import Forked
from clipline.media.isolation.wire import Channel, Garbled, Message
from clipline.media.limits import MIB, MediaLimits
from clipline.media.ranges import write_at
from clipline.media.stopwatch import Stopwatch

_STAGES = frozenset({"index", "fetch", "encode", "write", "verify", "thumbnails"})
_MOST_STAGES = 10_000
"""A clip made anew without one recording after the other has five for each."""
_MOST_TIMES_READ = 8
"""So often may all bytes of the recordings be read, beside 64 MiB: hostile footage must not read for ever."""
_FREE_BYTES = 64 * MIB
_LEAST_FULL = 0.75
"""Of the memory limit: whoever dies without a word with so much in use has probably reached it."""


class Conversation:
    """With one child, about one clip. A context manager, whose end is the child's."""

    def __init__(self, forked: Forked, job: CutJob, stopwatch: Stopwatch, limits: MediaLimits) -> None:
        self._forked = forked
        self._job = job
        self._stopwatch = stopwatch
        self._limits = limits
        self._until_s = time.monotonic() + limits.time_s
        self._channel = Channel(forked.conversation.fileno())
        self._readers = ThreadPoolExecutor(READS_AT_A_TIME, thread_name_prefix="source")
        self._lock = threading.Lock()
        self._reading = 0
        self._raised: list[Exception] = []
        """What sources raised, by number."""
        self._stages = 0
        sizes = [one.source.size_bytes for one in job.candidates]
        self._readable_bytes = _MOST_TIMES_READ * sum(sizes) + _FREE_BYTES
        self._spools: dict[int, int] = {}
        """Descriptors, by the recording's number."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The job's directory is removed next: nobody may write in it any more.
        self._forked.status.end()
        self._forked.status.close()
        # Readers that write to a child that does not listen give up.
        self._hang_up()
        self._readers.shutdown(cancel_futures=True)
        self._forked.conversation.close()
        for number, descriptor in self._spools.items():
            os.close(descriptor)
            spool_path(self._job.directory, number).unlink(missing_ok=True)

    def begin(self) -> list[str]:
        """Hand over the job; what of the sandbox the kernel would not do."""
        for number, one in enumerate(self._job.candidates):
            if one.source.local_path is None:
                path = spool_path(self._job.directory, number)
                # Made before the child reads a byte of a recording: it can't put another file there.
                self._spools[number] = os.open(
                    path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
        self._send(pack_job(self._job, self._limits))
        missing: list[str] = self._hear("ready")
        return missing

    def hear(self, wanted: str) -> Any:
        """What the child says of ``wanted``, once it says it; what it asks before is answered.

        Raises what the child raised, what a source raised, and EngineFailed where the child breaks off.
        """
        try:
            return self._hear(wanted)
        except (Unbelievable, Garbled, LookupError, TypeError) as error:
            raise unbelievable(error) from error

    def render(self, order: Message) -> Any:
        """Have the clip made; the report, and the child is gone."""
        self._send({"render": order})
        report = self.hear("made")
        if self._forked.status.end() is None:
            raise EngineFailed("the process that starts others for clips died")
        return report

    def _hear(self, wanted: str) -> Any:
        while True:
            try:
                message, _ = self._channel.receive(until_s=self._until_s)
            except EOFError:
                raise self._died() from None
            except TimeoutError:
                raise EngineFailed(
                    f"making the clip takes more than {self._limits.time_s} s", hint="MEDIA_TIME_LIMIT_S"
                ) from None
            if wanted in message:
                return message[wanted]
            if "read" in message:
                self._read(message)
            elif "stage" in message:
                self._stage(message)
            elif "failed" in message:
                raise unpack_failure(message["failed"], self._raised)
            else:
                raise Unbelievable("an answer to no question")

    def _stage(self, message: Message) -> None:
        self._stages += 1
        check(message["stage"] in _STAGES and self._stages <= _MOST_STAGES, "a stage")
        if message["ended"]:
            self._stopwatch.end()
        else:
            self._stopwatch.begin(message["stage"])

    def _read(self, message: Message) -> None:
        keys = ("read", "source", "offset", "length", "land")
        number, source, offset, length, land = (message[key] for key in keys)
        check(all(type(value) is int for value in (number, source, offset, length)), "numbers of a read")
        check(0 <= source < len(self._job.candidates), "the recording of a read")
        check(land is False or (land is True and source in self._spools), "where a read goes")
        size_bytes = self._job.candidates[source].source.size_bytes
        check(offset >= 0 and 0 <= length <= MOST_READ_BYTES, "the place of a read")
        check(offset + length <= size_bytes, "the place of a read")
        self._readable_bytes -= length
        check(self._readable_bytes >= 0, "reads without end")
        with self._lock:
            self._reading += 1
            check(self._reading <= READS_AT_A_TIME, "reads at a time")
        self._readers.submit(self._answer, number, source, offset, length, land)

    def _answer(self, number: int, source: int, offset: int, length: int, land: bool) -> None:
        reply: Message = {"read": number}
        body = b""
        try:
            body = self._job.candidates[source].source.read(offset, length)
            if land:
                write_at(self._spools[source], body, offset)
                body = b""
        except Exception as error:
            with self._lock:
                reply["raised"] = len(self._raised)
                self._raised.append(error)
            reply["error"] = pack_media_error(error) if isinstance(error, MediaError) else None
        with self._lock:
            self._reading -= 1
        self._send(reply, body)

    def _send(self, message: Message, body: bytes = b"") -> None:
        """A child that is gone is noticed by who listens to it."""
        try:
            self._channel.send(message, body)
        except OSError:
            self._hang_up()

    def _hang_up(self) -> None:
        with suppress(OSError):  # the other end did, before
            self._forked.conversation.shutdown(socket.SHUT_RDWR)

    def _died(self) -> EngineFailed:
        told = self._forked.status.end()
        if told is None:
            return EngineFailed("the process that starts others for clips died")
        limits, status = self._limits, told["status"]
        if not os.WIFSIGNALED(status):
            return EngineFailed(f"the process that made the clip ended with code {os.WEXITSTATUS(status)}")
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU or told["cpu_ms"] >= limits.cpu_s * 1000:
            return EngineFailed(
                f"making the clip takes more than {limits.cpu_s} s of CPU time", hint="MEDIA_CPU_LIMIT_S"
            )
        used_bytes = told["peak_kib"] * 1024
        if number != signal.SIGKILL and used_bytes >= _LEAST_FULL * limits.memory_bytes:
            return needs_more_memory(limits)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hint = f"it had {used_bytes // MIB} MiB of memory"
        if number == signal.SIGKILL:
            hint += "; the system kills what takes too much of its own"
        return EngineFailed(f"the process that made the clip ended by {name}", hint=hint)


def unbelievable(error: Exception) -> EngineFailed:
    """For a child that says what the engine never says: footage has taken it over, or there is a defect."""
    return EngineFailed(
        f"the process that made the clip said what can't be: {error}",
        hint="a recording may be hostile: keep it, and tell the developers",
    )
