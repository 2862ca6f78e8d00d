"""One contract for every queue, then what is special about the one in a file."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers.ministack import Ministack

from clipline import database
from clipline.adapters import aws
from clipline.adapters.sqlite_queue import Depth, SqliteQueue
from clipline.adapters.sqs import SqsQueue
from clipline.contract.errors import ConfigurationError, NotFound, Refused, Unavailable
from clipline.pipeline.ports import Message, MessageQueue

HIDDEN_S = 30
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
            return Rig(queue, lambda: buried(queue))

        yield make_sqlite


@pytest.fixture
def rig(make: Callable[..., Rig]) -> Rig:
    return make()


@pytest.fixture
def queue(rig: Rig) -> MessageQueue:
    return rig.queue


def make_sqs(most_receives: int = 1000) -> Rig:
    url, dead_url = create_queues(most_receives)
    return Rig(SqsQueue(url, dead_letter_url=dead_url), lambda: drained(SqsQueue(dead_url)))


def create_queues(most_receives: int | None = None) -> tuple[str, str]:
    """URLs of a queue and of a dead-letter queue; joined by a redrive policy if a count is given."""
    sqs = aws.client("sqs", target="test")
    name = f"queue-{next(_NUMBERS)}"
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
    return [Dead(one.message.body, one.reason, dict(one.message.attributes)) for one in queue.dead_letters()]


def receive(queue: MessageQueue, *, wait_s: float = 0, visibility_s: int = HIDDEN_S) -> Message | None:
    """One message, or None."""
    messages = queue.receive(most=1, wait_s=wait_s, visibility_s=visibility_s)
    return messages[0] if messages else None


def expect(queue: MessageQueue, *, wait_s: float = 0, visibility_s: int = HIDDEN_S) -> Message:
    message = receive(queue, wait_s=wait_s, visibility_s=visibility_s)
    assert message is not None
    return message


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


# On Amazon SQS


def test_the_redrive_policy_names_the_dead_letter_queue(aws_environment: Ministack) -> None:
    url, dead_url = create_queues(most_receives=3)
    queue = SqsQueue(url)
    for _ in range(2):
        queue.send("x")
        queue.dead_letter(expect(queue), "broken")
    assert [(one.body, one.reason) for one in drained(SqsQueue(dead_url))] == [("x", "broken")] * 2


def test_no_dead_letter_queue_is_known(aws_environment: Ministack) -> None:
    url, _ = create_queues()
    queue = SqsQueue(url)
    queue.send("x")
    with pytest.raises(Refused, match=r"no redrive policy.*AWS_SQS_DEAD_LETTER_QUEUE_URL"):
        queue.dead_letter(expect(queue), "broken")


def test_a_dead_letter_as_large_as_can_be_keeps_its_body(aws_environment: Ministack) -> None:
    rig = make_sqs()
    for spare_bytes in (0, 100):
        body = "x" * (1024 * 1024 - spare_bytes)
        message = Message("m" * 36, body, 0, 1, "r", {})
        rig.queue.dead_letter(message, "broken " * 100)
    whole, shortened = rig.dead()
    assert (len(whole.body), whole.reason) == (1024 * 1024, None)
    assert shortened.reason
    assert "broken broken".startswith(shortened.reason[:13])
    assert len("sourceMessageIdString" + "m" * 36 + "reasonString" + shortened.reason) == 100


def test_a_dead_letter_has_no_more_attributes_than_sqs_takes(aws_environment: Ministack) -> None:
    rig = make_sqs()
    rig.queue.send("x", attributes={f"name{number}": "x" for number in range(10)})
    message = expect(rig.queue)
    rig.queue.dead_letter(message, "broken")
    (dead,) = rig.dead()
    assert dead.reason == "broken"
    assert dead.attributes["sourceMessageId"] == message.message_id
    assert len(dead.attributes) == 9


def test_a_queue_that_does_not_exist(aws_environment: Ministack) -> None:
    url, _ = create_queues()
    queue = SqsQueue(f"{url}-missing")
    message = Message("m", "x", 0, 1, "r")
    calls: list[Callable[[], object]] = [
        queue.check,
        lambda: queue.send("x"),
        lambda: receive(queue),
        lambda: queue.delete(message),
        lambda: queue.change_visibility(message, 0),
        lambda: queue.dead_letter(message, "broken"),
    ]
    for call in calls:
        with pytest.raises(NotFound, match=r"-missing: .*check its name, the region"):
            call()


def test_a_fifo_queue_can_delay_no_message() -> None:
    with pytest.raises(ConfigurationError, match=r"AWS_SQS_QUEUE_URL.*FIFO.*expected a standard queue"):
        SqsQueue("https://sqs.us-west-1.amazonaws.com/123456789012/clips.fifo")


# In a file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite"


def test_messages_outlive_the_process_that_sent_them(path: Path) -> None:
    with SqliteQueue(path) as queue:
        queue.send("x", attributes={"a": "b"})
        sent = expect(queue, visibility_s=0)
    with SqliteQueue(path) as queue:
        message = expect(queue)
        assert (message.message_id, message.sent_ms) == (sent.message_id, sent.sent_ms)
        assert (message.receive_count, message.attributes) == (2, {"a": "b"})


def test_depth(path: Path) -> None:
    with SqliteQueue(path) as queue:
        queue.send("late", delay_s=60)
        for _ in range(3):
            queue.send("x")
        message = expect(queue)
        queue.dead_letter(message, "broken")
        assert queue.depth() == Depth(visible=2, in_flight=1, delayed=1, dead=1)
        queue.delete(message)
        assert queue.depth() == Depth(visible=2, in_flight=0, delayed=1, dead=1)


def test_dead_letters_stay_until_they_are_removed(path: Path) -> None:
    with SqliteQueue(path, most_receives=2, now_ms=lambda: 1_537_113_617_000) as queue:
        queue.send("x")
        queue.send("poison", attributes={"a": "b"})
        first = expect(queue, visibility_s=0)
        queue.dead_letter(first, "broken")
        queue.dead_letter(first, "broken again")
        while receive(queue, visibility_s=0):
            pass
    with SqliteQueue(path) as queue:
        by_hand, worn_out = queue.dead_letters()
        assert (by_hand.reason, by_hand.died_ms) == ("broken", 1_537_113_617_000)
        assert by_hand.message.message_id == first.message_id
        assert worn_out.reason == "received 2 times, never deleted"
        assert (worn_out.message.body, worn_out.message.receive_count) == ("poison", 2)
        assert worn_out.message.attributes == {"a": "b"}
        assert queue.depth() == Depth(visible=0, in_flight=0, delayed=0, dead=2)

        queue.remove_dead_letter(first.message_id)
        queue.remove_dead_letter(first.message_id)
        assert [one.message.body for one in queue.dead_letters()] == ["poison"]


def test_what_comes_due_first_is_received_first(path: Path) -> None:
    now_ms = 0
    with SqliteQueue(path, now_ms=lambda: now_ms) as queue:
        for delay_s in (2, 1, 3):
            queue.send(f"after {delay_s} s", delay_s=delay_s)
        now_ms = 2999
        bodies = [one.body for one in queue.receive(most=10, wait_s=0, visibility_s=1)]
        assert bodies == ["after 1 s", "after 2 s"]


def test_a_clock_that_jumps_loses_nothing(path: Path) -> None:
    now_ms = 1_537_113_617_000
    with SqliteQueue(path, now_ms=lambda: now_ms) as queue:
        queue.send("x")
        expect(queue, visibility_s=60)
        now_ms -= 3_600_000
        assert receive(queue) is None
        now_ms += 3_660_000
        assert expect(queue).sent_ms == 1_537_113_617_000


@pytest.mark.parametrize("most", [0, 11])
def test_a_number_of_messages_that_sqs_does_not_know(path: Path, most: int) -> None:
    with SqliteQueue(path) as queue, pytest.raises(ConfigurationError, match="expected 1 to 10"):
        queue.receive(most=most, wait_s=0, visibility_s=1)


DRAIN = """
import sys
from pathlib import Path
from clipline.adapters.sqlite_queue import SqliteQueue
with SqliteQueue(Path(sys.argv[1])) as queue:
    while messages := queue.receive(most=3, wait_s=0, visibility_s=60):
        for message in messages:
            print(message.body, flush=True)
            queue.delete(message)
"""

CHURN = """
import sys
from pathlib import Path
from clipline.adapters.sqlite_queue import SqliteQueue
path, run = Path(sys.argv[1]), sys.argv[2]
with SqliteQueue(path, most_receives=1000) as queue:
    for number in range(1_000_000):
        queue.send(f"{run}-{number}")
        print("sent", f"{run}-{number}", flush=True)
        for message in queue.receive(most=2, wait_s=0, visibility_s=1):
            print("received", message.body, message.receive_count, message.message_id, flush=True)
            if number % 3:
                print("deleting", message.body, flush=True)
                queue.delete(message)
                print("deleted", message.body, flush=True)
"""


def spawn(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_open_and_drain_a_queue_at_once(path: Path) -> None:
    bodies = [str(number) for number in range(90)]
    with SqliteQueue(path) as queue:
        for body in bodies:
            queue.send(body)
    workers = [spawn(DRAIN, path) for _ in range(3)]
    received = [line for worker in workers for line in worker.communicate(timeout=30)[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(received) == sorted(bodies)


def test_a_new_file_is_opened_by_many_at_once(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"{number}.sqlite"
        with ThreadPoolExecutor(8) as pool:
            for queue in pool.map(SqliteQueue, [path] * 8):
                queue.close()


def test_kill_9_loses_and_doubles_nothing(path: Path) -> None:
    """Ten processes in turn send, receive and delete until each is killed somewhere in the middle."""
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    log: list[list[str]] = []
    for run in range(10):
        child = spawn(CHURN, path, run)
        assert child.stdout is not None
        with child.stdout as lines:
            wanted = chance.randrange(20, 120)
            log += [line.split() for line in itertools.islice(lines, wanted)]
            time.sleep(chance.random() * 0.005)
            child.kill()
            assert child.wait() == -signal.SIGKILL
            # The last line may be torn.
            log += [line.split() for line in lines if line.endswith("\n")]

    left = set()
    with SqliteQueue(path, most_receives=1000) as queue:
        while message := receive(queue, wait_s=1.5, visibility_s=HIDDEN_S):
            log.append(["received", message.body, str(message.receive_count), message.message_id])
            left.add(message.body)
        assert queue.depth().dead == 0
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()

    sent, attempted, deleted = set(), set(), set()
    ids: dict[str, str] = {}
    counts: dict[str, list[int]] = {}
    for event, body, *more in log:
        match event:
            case "sent":
                assert body not in sent
                sent.add(body)
            case "deleting":
                attempted.add(body)
            case "deleted":
                deleted.add(body)
            case "received":
                assert body not in deleted, f"{body} came back (seed {seed})"
                assert ids.setdefault(body, more[1]) == more[1], f"{body} was doubled (seed {seed})"
                counts.setdefault(body, []).append(int(more[0]))
    assert sent <= attempted | left, f"seed {seed} lost {sent - attempted - left}"
    assert all(seen == sorted(set(seen)) for seen in counts.values()), f"seed {seed}"
    assert any(len(seen) > 1 for seen in counts.values())


# What goes wrong with a file


def test_a_file_that_is_no_queue(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"This is not a database. " * 100)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE messages (id)")
    db.close()
    for path, cause in (
        (text, "not a database"),
        (other, "another program's database"),
        (tmp_path, "unable to open"),
        (tmp_path / "missing" / "queue.sqlite", "unable to open"),
    ):
        with pytest.raises(Refused, match=cause) as caught:
            SqliteQueue(path)
        assert str(path) in str(caught.value)
    assert text.read_bytes().startswith(b"This is not")


def test_a_file_of_a_later_version(path: Path) -> None:
    SqliteQueue(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Refused, match="schema 99, this version of Clipline knows 1"):
        SqliteQueue(path)


def test_a_damaged_file(path: Path) -> None:
    with SqliteQueue(path) as queue:
        for _ in range(200):
            queue.send("x" * 1000)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * 100_000)
    with SqliteQueue(path) as queue, pytest.raises(Refused, match=r"queue\.sqlite: .*malformed"):
        receive(queue)


def test_a_file_that_stays_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_S", 0.2)
    with SqliteQueue(path) as queue:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"send to the queue .*queue\.sqlite: .*locked"):
            queue.send("x")
        with pytest.raises(Unavailable, match="locked"):
            queue.check()
        other.execute("ROLLBACK")
        other.close()
        queue.send("x")
        assert expect(queue).body == "x"


def test_a_full_disk(path: Path) -> None:
    with SqliteQueue(path) as queue:
        queue.send("first")
        (pages,) = queue._database._db.execute("PRAGMA page_count").fetchone()
        queue._database._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(Unavailable, match="full"):
            queue.send("x" * 100_000)
        queue._database._db.execute("PRAGMA max_page_count = 1000000")
        queue.send("second")
        bodies = [one.body for one in queue.receive(most=10, wait_s=0, visibility_s=1)]
        assert bodies == ["first", "second"]


def test_a_closed_queue(path: Path) -> None:
    queue = SqliteQueue(path)
    queue.close()
    with pytest.raises(Unavailable, match="closed"):
        queue.send("x")
