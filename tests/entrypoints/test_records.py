"""A batch of records within the time that the process has left."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from clipline.entrypoints.records import Handled, handle_records
from clipline.pipeline.job import Outcome
from clipline.pipeline.ports import Message


def event(count: int, **more: Any) -> dict[str, Any]:
    attributes = {"SentTimestamp": "1537119363000", "ApproximateReceiveCount": "2"}
    return {
        "Records": [
            {"messageId": f"m{number}", "body": "{}", "attributes": attributes} | more
            for number in range(count)
        ]
    }


class Generator:
    """Takes ``seconds`` for a message, in a way that only a signal ends."""

    def __init__(self, seconds: float = 0) -> None:
        self._seconds = seconds
        self.begun: list[Message] = []
        self.ended = 0

    def handle(self, message: Message, observe: object) -> Outcome:
        self.begun.append(message)
        try:
            threading.Event().wait(self._seconds)
        finally:
            self.ended += 1
        return Outcome(None)


def handled(generator: Any, count: int, left: Callable[[], float | None]) -> Sequence[Handled]:
    return list(handle_records(generator, event(count), seconds_left=left))


def test_a_record_that_takes_too_long_is_given_up_in_time() -> None:
    generator = Generator(60)
    end = time.monotonic() + 16
    before = signal.getsignal(signal.SIGALRM)
    results = handled(generator, 3, lambda: end - time.monotonic())
    assert end - time.monotonic() > 3, "there is time to tell which messages come back"
    assert "not done within the 11 s that were left" in str(results[0].error)
    assert all("no time was left" in str(one.error) for one in results[1:])
    assert (len(generator.begun), generator.ended) == (1, 1)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_record_that_is_done_at_the_very_end_leaves_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes between the record's end and the instruction that takes it back."""
    set_timer, before = signal.setitimer, signal.getsignal(signal.SIGALRM)
    raised = []

    def too_late(which: int, seconds: float, again_s: float = 0) -> tuple[float, float]:
        if not seconds and not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGALRM)
        return set_timer(which, seconds, again_s)

    monkeypatch.setattr(signal, "setitimer", too_late)
    (one,) = handled(Generator(), 1, lambda: 60)
    assert "not done within" in str(one.error)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_without_an_end_nothing_is_given_up() -> None:
    results = handled(Generator(), 3, lambda: None)
    assert [one.error for one in results] == [None] * 3


def test_message_attributes_of_strings_are_read_whatever_else_is_there() -> None:
    odd = {
        "timesDeadLettered": {"stringValue": "2", "dataType": "String"},
        "SentTimestamp": "1523232000000",
        "binary": {"binaryValue": "AA==", "dataType": "Binary"},
        "nothing": None,
    }
    for attributes in (odd, None, [], "text"):
        generator: Any = Generator()
        list(handle_records(generator, event(1, messageAttributes=attributes)))
        (message,) = generator.begun
        assert message.times_dead_lettered == (2 if attributes is odd else 0)
