"""Messages that were given up: seen, told of, returned and removed at the command line."""

import json

import pytest

from clipline.adapters.sqlite_ledger import SqliteLedger
from clipline.adapters.sqlite_queue import SqliteQueue

REQUEST = {
    "clipId": "poison",
    "cameraId": "1111111111111",
    "startTimestampInMs": 1_537_119_363_000,
    "endTimestampInMs": 1_537_119_364_000,
    "retryTimestamps": [],
}


@pytest.fixture
def queue(data):
    with SqliteQueue(data / "queue.sqlite") as queue:
        yield queue


def kill_its_workers(queue):
    """Receive the message until it is received no more, and never say what became of it."""
    while found := queue.receive(most=1, wait_s=0, visibility_s=0):
        (message,) = found
    return message


def status(data, clip_id="poison"):
    with SqliteLedger(data / "clips" / "_clipline" / "ledger.sqlite") as ledger:
        found = ledger.read(clip_id)
    return found and found[0].metadata["status"]


@pytest.mark.parametrize("retries", [[], [1_537_119_363_000]], ids=["first attempt", "a retry"])
def test_a_message_that_kills_its_workers_and_comes_back(data, queue, clipline, retries):
    queue.send(json.dumps(REQUEST | {"retryTimestamps": retries}))
    kill_its_workers(queue)
    assert clipline("worker", "--data", "data", "--until-idle").returncode == 0
    assert status(data) == "FATAL_ERROR"
    told = [json.loads(line)["message"] for line in (data / "notifications.jsonl").read_text().splitlines()]
    assert [one["status"] for one in told] == ["FATAL_ERROR"]
    assert "died without a word" in told[0]["reason"]

    listed = clipline("redrive", "--data", "data")
    assert listed.returncode == 0, listed.stderr
    assert "poison" in listed.stdout
    assert "received 5 times" in " ".join(listed.stdout.split())
    assert "1 dead letter listed" in listed.stdout

    returned = clipline("redrive", "--data", "data", "--all", "--json")
    (letter,) = json.loads(returned.stdout)
    assert (letter["clipId"], letter["timesDeadLettered"]) == ("poison", 1)
    assert clipline("redrive", "--data", "data").stdout == "There are no dead letters.\n"
    assert clipline("worker", "--data", "data", "--until-idle").returncode == 0
    assert status(data) == "CLIP_AVAILABLE"
    assert queue.depth().dead == 0


def test_letters_are_chosen_by_their_names(data, queue, clipline):
    for number in (1, 2):
        queue.send(f"junk {number}")
        (message,) = queue.receive(most=1, wait_s=0, visibility_s=60)
        queue.dead_letter(message, "no\x1b[31mthing")
    first, second = _names(queue)
    wrong = clipline("redrive", "--data", "data", first, "nobody")
    assert wrong.returncode == 2
    assert "there is no dead letter nobody" in wrong.stderr
    removed = clipline("redrive", "--data", "data", "--remove", first)
    assert "1 dead letter removed." in removed.stdout
    assert "\x1b" not in removed.stdout
    assert _names(queue) == [second]
    assert clipline("redrive", "--data", "data", "--remove").returncode == 2


def _names(queue):
    return [letter.message.message_id for letter in queue.letters()]
