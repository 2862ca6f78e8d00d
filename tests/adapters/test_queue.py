"""One contract for every queue, then what is special about the one in a file."""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from adapters.queue_calls import HIDDEN_S, expect, receive

from clipline.adapters import aws
from clipline.adapters.sqlite_queue import SqliteQueue
from clipline.adapters.sqs import SqsDeadLetters, SqsQueue
from clipline.contract.errors import ConfigurationError, Refused
from clipline.pipeline.ports import DeadLetters, MessageQueue

"""Longer than any test."""

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Dead:
    body: str
    reason: str | None
    attributes: dict[str, str]


@dataclass(frozen=True)
class Rig:
    queue: MessageQueue
    dead: Callable[[], Sequence[Dead]]
    """What lies with the dead letters."""
    letters: DeadLetters


@pytest.fixture(params=["sqlite", "sqs"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Makes an empty queue with its dead letters."""
    if request.param == "sqs":
        request.getfixturevalue("aws_environment")
        yield make_sqs
        return
    with ExitStack() as stack:

        def make_sqlite(most_receives: int = 1000) -> Rig:
            path = tmp_path / f"{next(_NUMBERS)}.sqlite"
            queue = stack.enter_context(SqliteQueue(path, most_receives=most_receives))
            return Rig(queue, lambda: buried(queue), queue)

        yield make_sqlite


@pytest.fixture
def rig(make: Callable[..., Rig]) -> Rig:
    return make()


@pytest.fixture
def queue(rig: Rig) -> MessageQueue:
    return rig.queue


def make_sqs(most_receives: int = 1000) -> Rig:
    url, dead_url = create_queues(most_receives)
    queue = SqsQueue(url, dead_letter_url=dead_url)
    return Rig(queue, lambda: drained(SqsQueue(dead_url)), SqsDeadLetters(queue))


def create_queues(most_receives: int | None = None) -> tuple[str, str]:
    """URLs of a queue and of a dead-letter queue; joined by a redrive policy if a count is given."""
    sqs = aws.client("sqs", target="test")
    name = f"queue-{uuid.uuid4().hex}"
    dead_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    if most_receives is not None:
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": most_receives})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    return url, dead_url


def drained(queue: SqsQueue) -> Sequence[Dead]:
    found = []
    while messages := queue.receive(most=10, wait_s=0, visibility_s=HIDDEN_S):
        for one in messages:
            attributes = dict(one.attributes)
            found.append(Dead(one.body, attributes.pop("reason", None), attributes))
    return found


def buried(queue: SqliteQueue) -> Sequence[Dead]:
    return [Dead(one.message.body, one.reason, dict(one.message.attributes)) for one in queue.letters()]


# The contract


def test_send_receive_delete(queue: MessageQueue) -> None:
    before_ms = time.time_ns() // 1_000_000
    queue.send('{"clipId": "c"}')
    after_ms = time.time_ns() // 1_000_000

    message = expect(queue)
    assert message.body == '{"clipId": "c"}'
    assert before_ms <= message.sent_ms <= after_ms
    assert message.receive_count == 1
    assert message.message_id
    assert message.receipt
    assert message.attributes == {}

    queue.delete(message)
    queue.delete(message)
    assert receive(queue) is None


@pytest.mark.parametrize(
    "body",
    ["x", '{"a": "é 日本語 🏄 \\u0000"}', "\ttab, \nline and 'quotes'", "🏄" * 50_000],
    ids=["short", "unicode", "white space", "200 KB"],
)
def test_bodies_come_back_as_they_were(queue: MessageQueue, body: str) -> None:
    queue.send(body)
    assert expect(queue).body == body


@pytest.mark.parametrize("body", ["", "\ud800", "x" * (1024 * 1024 + 1)], ids=["empty", "surrogate", "1 MiB"])
def test_bodies_that_no_queue_carries(queue: MessageQueue, body: str) -> None:
    with pytest.raises(Refused, match="send to"):
        queue.send(body)
    assert receive(queue) is None


def test_attributes(queue: MessageQueue) -> None:
    attributes = {"SentTimestamp": "1523232000000", "name.x": "é 🏄"}
    queue.send("x", attributes=attributes)
    assert expect(queue).attributes == attributes


def test_a_delay_is_waited_for(queue: MessageQueue) -> None:
    queue.send("x", delay_s=1)
    assert receive(queue) is None
    message = expect(queue, wait_s=5)
    assert time.time_ns() // 1_000_000 >= message.sent_ms + 1000
    assert message.receive_count == 1


@pytest.mark.parametrize("delay_s", [-1, 901])
def test_a_delay_that_no_queue_has(queue: MessageQueue, delay_s: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{delay_s} s .*expected 0 to 900 s"):
        queue.send("x", delay_s=delay_s)
    assert receive(queue) is None


def test_a_message_comes_back_unless_it_is_deleted(queue: MessageQueue) -> None:
    queue.send("x", attributes={"a": "b"})
    first = expect(queue, visibility_s=1)
    assert receive(queue) is None

    second = expect(queue, wait_s=5)
    assert second.receive_count == 2
    assert second.receipt != first.receipt
    assert (second.message_id, second.body, second.sent_ms, second.attributes) == (
        first.message_id, first.body, first.sent_ms, first.attributes,
    )  # fmt: skip


def test_visibility_is_prolonged(queue: MessageQueue) -> None:
    queue.send("x")
    message = expect(queue, visibility_s=1)
    queue.change_visibility(message, HIDDEN_S)
    time.sleep(1.2)
    assert receive(queue) is None
    queue.delete(message)


def test_visibility_0_gives_a_message_back(queue: MessageQueue) -> None:
    queue.send("x")
    queue.change_visibility(expect(queue), 0)
    assert expect(queue).receive_count == 2


@pytest.mark.parametrize("visibility_s", [-1, 43_201])
def test_a_visibility_that_no_queue_has(queue: MessageQueue, visibility_s: int) -> None:
    queue.send("x")
    with pytest.raises(ConfigurationError, match="expected 0 to 43200 s"):
        receive(queue, visibility_s=visibility_s)
    message = expect(queue)
    with pytest.raises(ConfigurationError, match="expected 0 to 43200 s"):
        queue.change_visibility(message, visibility_s)


def test_a_stale_receipt_does_nothing(queue: MessageQueue) -> None:
    queue.send("x")
    stale = expect(queue)
    queue.change_visibility(stale, 0)
    fresh = expect(queue)

    queue.delete(stale)
    with pytest.raises(Refused, match="visibility"):
        queue.change_visibility(stale, 0)
    assert receive(queue) is None

    queue.change_visibility(fresh, 0)
    assert expect(queue).receive_count == 3


def test_a_deleted_message_has_no_visibility(queue: MessageQueue) -> None:
    queue.send("x")
    message = expect(queue)
    queue.delete(message)
    with pytest.raises(Refused, match="visibility"):
        queue.change_visibility(message, 10)


def test_what_is_received_too_often_goes_to_the_dead_letters(make: Callable[..., Rig]) -> None:
    rig = make(most_receives=2)
    rig.queue.send("poison", attributes={"a": "b"})
    for count in (1, 2):
        message = expect(rig.queue)
        assert message.receive_count == count
        rig.queue.change_visibility(message, 0)
    rig.queue.send("sound")

    assert expect(rig.queue).body == "sound"
    (dead,) = rig.dead()
    assert (dead.body, dead.attributes) == ("poison", {"a": "b"})
    assert receive(rig.queue) is None


def test_dead_letters_are_copies_with_a_reason(rig: Rig) -> None:
    rig.queue.send("{'clipId': 1}", attributes={"a": "b"})
    message = expect(rig.queue)
    rig.queue.dead_letter(message, "clipId is 1, expected a string")

    (dead,) = rig.dead()
    assert (dead.body, dead.reason) == ("{'clipId': 1}", "clipId is 1, expected a string")
    assert dead.attributes["a"] == "b"
    rig.queue.change_visibility(message, 0)
    assert expect(rig.queue).message_id == message.message_id


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("\x00\x1b[31mred\x7f\x9f \ud800\ufffe\uffff\u2028\n\tend\r\n", "[31mred end"),
        ("\u202egnp.exe", "gnp.exe"),
        ("é" * 5000, "é" * 512),
        ("🏄" * 5000, "🏄" * 256),
        ("a" + "é" * 5000, "a" + "é" * 511),
        ("", "no reason given"),
        ("\x00\n", "no reason given"),
    ],
)
def test_hostile_reasons(rig: Rig, reason: str, kept: str) -> None:
    rig.queue.send("x")
    rig.queue.dead_letter(expect(rig.queue), reason)
    (dead,) = rig.dead()
    assert dead.reason == kept


def test_who_dies_without_a_word_leaves_a_letter_to_explain(make: Callable[..., Rig]) -> None:
    rig = make(most_receives=2)
    rig.queue.send("poison", attributes={"a": "b"})
    for _ in range(2):
        rig.queue.change_visibility(expect(rig.queue), 0)
    assert receive(rig.queue) is None
    (message,) = rig.letters.unexplained()
    assert message.body == "poison"
    assert message.times_dead_lettered == 0

    rig.letters.explain(message, "it killed\ntwo workers")
    (dead,) = rig.dead()
    assert dead.reason == "it killed two workers"
    assert dead.attributes["a"] == "b"
    assert dead.attributes["timesDeadLettered"] == "1"
    assert rig.letters.unexplained() == []


def test_a_letter_that_is_returned_is_a_message_that_says_so(rig: Rig) -> None:
    first_ms = 0
    for died in (0, 1, 2):
        if not died:
            rig.queue.send("x")
        message = expect(rig.queue)
        assert message.times_dead_lettered == died
        first_ms = first_ms or message.sent_ms
        assert message.first_sent_ms == first_ms
        assert "reason" not in message.attributes
        rig.queue.dead_letter(message, f"reason {died}")
        rig.queue.delete(message)
        (letter,) = rig.letters.letters()
        assert (letter.message.body, letter.reason) == ("x", f"reason {died}")
        rig.letters.redrive(letter)
    assert expect(rig.queue).receive_count == 1
    assert list(rig.letters.letters()) == []


def test_a_letter_that_is_forgotten_is_gone(rig: Rig) -> None:
    rig.queue.send("x")
    message = expect(rig.queue)
    rig.queue.dead_letter(message, "broken")
    (letter,) = rig.letters.letters()
    for _ in range(2):
        rig.letters.forget(letter.message)
    assert rig.dead() == []
    rig.queue.change_visibility(message, 0)
    assert expect(rig.queue).body == "x"


def test_no_more_than_asked_for_are_received(queue: MessageQueue) -> None:
    bodies = {str(number) for number in range(13)}
    for body in bodies:
        queue.send(body)
    assert len(queue.receive(most=3, wait_s=0, visibility_s=0)) <= 3
    received: list[str] = []
    while messages := queue.receive(most=10, wait_s=0, visibility_s=HIDDEN_S):
        assert len(messages) <= 10
        received += [message.body for message in messages]
    assert sorted(received) == sorted(bodies)


def test_receivers_at_once_never_share_a_message(queue: MessageQueue) -> None:
    bodies = {str(number) for number in range(60)}
    for body in bodies:
        queue.send(body)
    received: list[str] = []

    def work(_: int) -> None:
        while messages := queue.receive(most=4, wait_s=0, visibility_s=HIDDEN_S):
            for message in messages:
                received.append(message.body)
                queue.delete(message)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(received) == sorted(bodies)


def test_a_long_poll_ends_with_the_first_message(queue: MessageQueue) -> None:
    began = time.monotonic()
    sender = threading.Timer(0.3, queue.send, ["x"])
    sender.start()
    expect(queue, wait_s=20)
    assert 0.3 <= time.monotonic() - began < 10
    sender.join()


def test_a_long_poll_of_an_empty_queue_waits(queue: MessageQueue) -> None:
    began = time.monotonic()
    assert receive(queue, wait_s=1) is None
    assert 0.9 <= time.monotonic() - began < 10


def test_a_check_neither_sends_nor_receives(queue: MessageQueue) -> None:
    queue.check()
    queue.send("x")
    queue.check()
    assert expect(queue).receive_count == 1
    assert receive(queue) is None
