"""Work that has to stop in time, wherever it is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from clipline.contract.errors import CliplineError

_AGAIN_S = 3


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise CliplineError in the block once ``seconds`` are over; None: never.

    By a signal, which ends every wait of Python's, and a call into a library when that returns: each has a
    deadline of its own. It comes again every 3 s, should somebody handle what it raises as an error of
    theirs. Only a process's main thread gets signals; in any other one nothing happens.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        raise CliplineError(f"it was not done within the {seconds:.0f} s that were left")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _AGAIN_S)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:  # once more: it may have come just before the line above, which it then left out
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
