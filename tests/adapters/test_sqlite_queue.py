"""What only the queue in a file has: processes that are killed, files that are no queue."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from adapters.queue_calls import HIDDEN_S, expect, receive

from clipline import database
from clipline.adapters.sqlite_queue import Depth, SqliteQueue
from clipline.contract.errors import ConfigurationError, Refused, Unavailable


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
        by_hand, worn_out = queue.letters()
        assert (by_hand.reason, by_hand.died_ms) == ("broken", 1_537_113_617_000)
        assert by_hand.message.message_id == first.message_id
        assert worn_out.reason is None
        assert (worn_out.message.body, worn_out.message.receive_count) == ("poison", 2)
        assert worn_out.message.attributes == {"a": "b"}
        assert queue.depth() == Depth(visible=0, in_flight=0, delayed=0, dead=2)

        queue.forget(first)
        queue.forget(first)
        assert [one.message.body for one in queue.letters()] == ["poison"]


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
    with pytest.raises(Refused, match="schema 99, this version of Clipline knows 2"):
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
