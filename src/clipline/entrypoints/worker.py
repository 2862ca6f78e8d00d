"""Workers: receive from the queue, several clips at a time, until told to stop."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from clipline.contract.errors import CliplineError, Unavailable
from clipline.entrypoints.records import Handled, unwatched
from clipline.pipeline.observation import Observer, unobserved
from clipline.pipeline.ports import Message
from clipline.pipeline.workdir import sweep
from clipline.wiring import Application

DEFAULT_VISIBILITY_S = 120
"""How long a message stays hidden after its worker died: long enough not to be late to extend it."""

DEFAULT_WAIT_S = 5
"""One long poll. A stop waits for it, so it is below the 20 s that SQS allows."""

_BURY_EVERY_S = 60
_TURN_S = 5
"""While all are busy the receive loop takes a turn this often, so that it is seen to live."""

_MOST_BACKOFF_S = 300
_MOST_PAUSE_S = 30

OnQueueError = Callable[[str, CliplineError, Message | None], None]
"""Called with what the queue failed to do: receive, hide a message, or give it back."""


class Worker:
    """Handles the messages of the queue.

    ``begun``, ``observe`` and ``on_handled`` are told of each message, from the thread that works on it, and
    ``on_queue_error`` of what the queue itself fails, from any thread; without it ``on_handled`` is.
    """

    def __init__(
        self,
        app: Application,
        on_handled: Callable[[Handled], None],
        *,
        observe: Observer = unobserved,
        begun: Callable[[Message], None] = unwatched,
        on_queue_error: OnQueueError | None = None,
        visibility_s: int = DEFAULT_VISIBILITY_S,
        wait_s: float = DEFAULT_WAIT_S,
    ) -> None:
        self._app = app
        self._on_handled = on_handled
        self._observe = observe
        self._begun = begun
        self._on_queue_error = on_queue_error or self._as_handled
        self._visibility_s = visibility_s
        self._wait_s = wait_s
        self._in_progress: dict[str, Message] = {}
        self._lock = threading.Lock()
        self._burying = threading.Lock()
        self._turned = time.monotonic()

    @property
    def in_progress(self) -> int:
        """How many messages are worked on."""
        return len(self._in_progress)

    def since_turn_s(self) -> float:
        """How long ago the receive loop took its last turn."""
        return time.monotonic() - self._turned

    def run(self, stop: threading.Event, *, until_idle: bool = False) -> None:
        """Receive and handle until ``stop`` is set, or with ``until_idle`` until nothing comes.

        What is in progress then is finished first. No more is received than can be begun at once.
        Errors of the queue itself are reported, and receiving goes on after a pause.
        """
        concurrency = self._app.settings.worker_concurrency
        sweep(self._app.settings.clip_download_dest)
        self._app.services.destination.sweep()
        slots = threading.Semaphore(concurrency)
        ended = threading.Event()
        heart = threading.Thread(target=self._keep_hidden, args=(ended,), name="heart", daemon=True)
        undertaker = threading.Thread(target=self._bury_dead, args=(ended,), name="undertaker", daemon=True)
        heart.start()
        undertaker.start()
        pause_s = 1.0
        try:
            with ThreadPoolExecutor(concurrency, thread_name_prefix="clip") as pool:
                while not stop.is_set():
                    self._turned = time.monotonic()
                    if not slots.acquire(timeout=_TURN_S):
                        continue
                    if stop.is_set():  # while all were busy
                        break
                    free = 1
                    while free < 10 and slots.acquire(blocking=False):
                        free += 1
                    try:
                        messages = self._receive(free, until_idle=until_idle)
                        pause_s = 1.0
                    except CliplineError as error:
                        self._on_queue_error("receive", error, None)
                        stop.wait(pause_s)
                        pause_s = min(pause_s * 2, _MOST_PAUSE_S)
                        messages = []
                        if until_idle:
                            raise
                    for _ in range(free - len(messages)):
                        slots.release()
                    for message in messages:
                        if stop.is_set():
                            self._give_back(message, 0)
                            slots.release()
                            continue
                        with self._lock:
                            self._in_progress[message.receipt] = message
                        pool.submit(self._handle, message).add_done_callback(lambda _: slots.release())
                    if until_idle and not messages and not self._in_progress:
                        self._bury()
                        return
        finally:
            ended.set()
            heart.join()
            undertaker.join()

    def _receive(self, most: int, *, until_idle: bool) -> list[Message]:
        self._check_room()
        wait_s = 0.2 if until_idle else self._wait_s
        return list(
            self._app.services.queue.receive(most=most, wait_s=wait_s, visibility_s=self._visibility_s)
        )

    def _check_room(self) -> None:
        """Raises Unavailable where the disk is too full to begin a clip: others may have room for it."""
        directory, reserve_mib = self._app.settings.clip_download_dest, self._app.settings.disk_reserve_mib
        directory.mkdir(parents=True, exist_ok=True)
        free_mib = shutil.disk_usage(directory).free >> 20
        if free_mib < reserve_mib:
            raise Unavailable(
                "work in", str(directory), f"{free_mib} MiB are free, expected {reserve_mib} MiB",
                hint="no message is received until there is room, or DISK_RESERVE_MIB is less",
            )  # fmt: skip

    def _handle(self, message: Message) -> None:
        queue = self._app.services.queue
        self._begun(message)
        try:
            outcome = self._app.generator.handle(message, self._observe)
            self._done(message)
            queue.delete(message)
        except Exception as error:  # of whatever kind: the message comes back
            self._done(message)
            self._on_handled(Handled(message.message_id, message, error=error))
            self._give_back(message, min(15 * 2 ** min(message.receive_count, 10), _MOST_BACKOFF_S))
        else:
            self._on_handled(Handled(message.message_id, message, outcome=outcome))

    def _done(self, message: Message) -> None:
        """From here on nobody extends its visibility."""
        with self._lock:
            self._in_progress.pop(message.receipt, None)

    def _give_back(self, message: Message, delay_s: int) -> None:
        """Let the message be delivered again after ``delay_s``; failing that, it comes back by itself."""
        try:
            self._app.services.queue.change_visibility(message, delay_s)
        except CliplineError as error:
            self._on_queue_error("give back", error, message)

    def _bury_dead(self, ended: threading.Event) -> None:
        """Tell of what died without a word: its workers can't."""
        self._bury()
        while not ended.wait(_BURY_EVERY_S):
            self._bury()

    def _bury(self) -> None:
        with self._burying:
            try:
                self._app.generator.bury(self._app.dead_letters)
            except CliplineError as error:  # the letters are still there the next time
                self._on_queue_error("bury the dead of", error, None)

    def _keep_hidden(self, ended: threading.Event) -> None:
        """While a message is worked on, nobody else may receive it."""
        while not ended.wait(self._visibility_s / 3):
            with self._lock:
                messages = list(self._in_progress.values())
            for message in messages:
                try:
                    self._app.services.queue.change_visibility(message, self._visibility_s)
                except CliplineError as error:
                    if message.receipt in self._in_progress:
                        self._on_queue_error("hide", error, message)

    def _as_handled(self, _: str, error: CliplineError, message: Message | None) -> None:
        self._on_handled(Handled(message.message_id if message else "", message, error=error))


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
