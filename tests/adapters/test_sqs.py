"""What is special about a queue on Amazon SQS."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from adapters.queue_calls import expect, receive
from adapters.test_queue import create_queues, drained, make_sqs
from servers.ministack import Ministack

from clipline.adapters.sqs import SqsQueue
from clipline.contract.errors import ConfigurationError, NotFound, Refused
from clipline.pipeline.ports import Message


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
    for spare_bytes in (0, 190):
        body = "x" * (1024 * 1024 - spare_bytes)
        message = Message("m" * 36, body, 0, 1, "r", {})
        rig.queue.dead_letter(message, "broken " * 100)
    whole, shortened = rig.dead()
    assert (len(whole.body), whole.reason) == (1024 * 1024, None)
    assert shortened.reason
    assert "broken broken".startswith(shortened.reason[:13])
    assert shortened.attributes["timesDeadLettered"] == "1"
    names = "sourceMessageIdString" + "m" * 36 + "timesDeadLetteredString1firstSentTimestampString0"
    assert len(names + "reasonString" + shortened.reason) == 190


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
