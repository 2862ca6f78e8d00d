"""The port ``MessageQueue`` on Amazon SQS."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from clipline.adapters import aws
from clipline.contract.errors import ConfigurationError, NotFound, Refused
from clipline.pipeline.ports import FIRST_SENT, TIMES_DEAD_LETTERED, DeadLetter, Message

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

_MOST_DELAY_S = 900
_MOST_VISIBILITY_S = 43_200
_MOST_WAIT_S = 20
_MOST_BYTES = 1024 * 1024  # of a message, its attributes included
_MOST_REASON_BYTES = 1024
_MOST_ATTRIBUTES = 10
_REASON, _SOURCE = "reason", "sourceMessageId"
_LOOK_S = 20  # a dead letter that is looked at is hidden for so long, and seen once in one listing
_MOST_LOOKS = 10
_STALE = re.compile("ReceiptHandleIsInvalid|MessageNotInflight|receipt handle", re.IGNORECASE)


class SqsQueue:
    """The queue at ``url``; safe to use from several threads. Nothing is contacted before the first call.

    ``dead_letter_url`` is where ``dead_letter`` sends to; without it that is the queue that the redrive
    policy of this one names, which takes the permissions sqs:GetQueueAttributes here and sqs:GetQueueUrl
    there. A request takes ``deadline_s`` at most, its repeats included; one of ``receive``, 20 s more for
    each of its three attempts. Beyond what the port says, every method raises NotFound when the queue does
    not exist.
    """

    def __init__(self, url: str, *, dead_letter_url: str | None = None, deadline_s: float = 30) -> None:
        """Raises ConfigurationError for a FIFO queue."""
        if url.endswith(".fifo"):
            raise ConfigurationError(
                f"AWS_SQS_QUEUE_URL is {url}, a FIFO queue, which can't delay a single message",
                hint="expected a standard queue",
            )
        self._url = url
        self._deadline_s = deadline_s
        self._given_dead_letter_url = dead_letter_url

    def send(self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None) -> None:
        """As in the port; raises ConfigurationError for a delay beyond 900 s."""
        _check_range("a delay", delay_s, _MOST_DELAY_S)
        with aws.translate("send to", self._url):
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=body,
                DelaySeconds=delay_s,
                MessageAttributes=_sent_attributes(attributes or {}),
            )

    def receive(self, *, most: int, wait_s: float, visibility_s: int) -> Sequence[Message]:
        """As in the port, but waits for whole seconds, rounded up, and for 20 at most."""
        _check_range("a visibility timeout", visibility_s, _MOST_VISIBILITY_S)
        with aws.translate("receive from", self._url):
            answer = self._receiver.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=min(_MOST_WAIT_S, math.ceil(wait_s)),
                VisibilityTimeout=visibility_s,
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
                MessageAttributeNames=["All"],
            )
        return [_message(one) for one in answer.get("Messages", [])]

    def delete(self, message: Message) -> None:
        """As in the port. A receipt that has expired is no error: the message is someone else's by now."""
        try:
            with aws.translate("delete from", self._url):
                self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)
        except (Refused, NotFound) as error:
            if not _STALE.search(error.cause):
                raise

    def change_visibility(self, message: Message, visibility_s: int) -> None:
        """As in the port. Raises Refused when the message was deleted, or delivered again, meanwhile."""
        _check_range("a visibility timeout", visibility_s, _MOST_VISIBILITY_S)
        with aws.translate("change the visibility of a message in", self._url):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=visibility_s
            )

    def dead_letter(self, message: Message, reason: str) -> None:
        """As in the port; the copy also carries the attribute ``sourceMessageId``.

        Raises Refused where no dead-letter queue is known.
        """
        attributes = _explained(message, reason)
        url = self.dead_letter_url
        with aws.translate("send to", url):
            self._client.send_message(
                QueueUrl=url, MessageBody=message.body, MessageAttributes=_sent_attributes(attributes)
            )

    def check(self) -> None:
        """As in the port; takes the permission sqs:GetQueueAttributes."""
        with aws.translate("look up", self._url):
            self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])

    @cached_property
    def _client(self) -> SQSClient:
        return aws.client("sqs", target=self._url, deadline_s=self._deadline_s)

    @cached_property
    def _receiver(self) -> SQSClient:
        return aws.client("sqs", target=self._url, deadline_s=self._deadline_s, wait_s=_MOST_WAIT_S)

    @cached_property
    def dead_letter_url(self) -> str:
        """Raises Refused where none is known."""
        if self._given_dead_letter_url:
            return self._given_dead_letter_url
        operation = "find the dead-letter queue of"
        with aws.translate(operation, self._url):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["RedrivePolicy"])
            policy = answer.get("Attributes", {}).get("RedrivePolicy")
            if not policy:
                raise Refused(
                    operation, self._url, "it has no redrive policy",
                    hint="give it one, or set AWS_SQS_DEAD_LETTER_QUEUE_URL",
                )  # fmt: skip
            *_, account, name = json.loads(policy)["deadLetterTargetArn"].split(":")
            found = self._client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
        return found["QueueUrl"]


class SqsDeadLetters:
    """The dead letters of ``queue``, which SQS lets nobody see without hiding them for a while.

    Letters that its own redrive policy moved have no reason. They are looked for among the others, some
    hundred at a time, which SQS chooses at random.
    """

    def __init__(self, queue: SqsQueue) -> None:
        self._queue = queue

    @cached_property
    def _dead(self) -> SqsQueue:
        return SqsQueue(self._queue.dead_letter_url)

    def unexplained(self) -> Sequence[Message]:
        """As in the port."""
        found: list[Message] = []
        for _ in range(_MOST_LOOKS):
            seen = self._dead.receive(most=10, wait_s=0, visibility_s=_LOOK_S)
            found += [one for one in seen if _REASON not in one.attributes]
            if len(found) >= 10 or not seen:
                break
        return found

    def explain(self, message: Message, reason: str) -> None:
        """As in the port: a copy with the reason takes the letter's place, unless SQS carries no larger
        message than the letter is."""
        if _explained(message, reason):
            self._queue.dead_letter(message, reason)
            self.forget(message)

    def letters(self) -> Iterator[DeadLetter]:
        """As in the port; what another caller looks at is not seen."""
        while seen := self._dead.receive(most=10, wait_s=1, visibility_s=_LOOK_S):
            for one in seen:
                yield DeadLetter(one, one.attributes.get(_REASON), one.sent_ms)

    def redrive(self, letter: DeadLetter) -> None:
        """As in the port: in between it is in both queues, never in none."""
        kept = letter.message.attributes.items()
        attributes = {name: value for name, value in kept if name not in (_REASON, _SOURCE)}
        self._queue.send(letter.message.body, attributes=attributes)
        self.forget(letter.message)

    def forget(self, message: Message) -> None:
        """As in the port."""
        self._dead.delete(message)


def _message(received: MessageTypeDef) -> Message:
    system = received["Attributes"]
    attributes = {
        name: value["StringValue"]
        for name, value in received.get("MessageAttributes", {}).items()
        if value["DataType"].partition(".")[0] == "String"
    }
    return Message(
        received["MessageId"],
        received["Body"],
        sent_ms=int(system["SentTimestamp"]),
        receive_count=int(system["ApproximateReceiveCount"]),
        receipt=received["ReceiptHandle"],
        attributes=attributes,
    )


def _explained(message: Message, reason: str) -> dict[str, str]:
    """The attributes of a message's dead letter; none where its body leaves no room for a reason."""
    dead = message.when_dead()
    added = {_SOURCE: message.message_id, _REASON: _one_line(reason)}
    added |= {name: dead[name] for name in (TIMES_DEAD_LETTERED, FIRST_SENT)}
    kept = [(name, value) for name, value in dead.items() if name not in added]
    attributes = dict(kept[: _MOST_ATTRIBUTES - len(added)]) | added
    # Whatever else is lost of a message as large as can be, its body is not.
    spare_bytes = _MOST_BYTES - _size_bytes(message.body, attributes)
    if spare_bytes < 0:
        room_bytes = len(attributes[_REASON].encode()) + spare_bytes
        attributes[_REASON] = _cut(attributes[_REASON], room_bytes)
    return attributes if attributes[_REASON] else {}


def _sent_attributes(attributes: Mapping[str, str]) -> dict[str, MessageAttributeValueTypeDef]:
    return {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}


def _size_bytes(body: str, attributes: Mapping[str, str]) -> int:
    """As SQS counts: names, types and values of attributes belong to the message."""
    parts = [part for name, value in attributes.items() for part in (name, "String", value)]
    return sum(len(part.encode()) for part in (body, *parts))


def _one_line(reason: str) -> str:
    """``reason`` without what SQS does not carry, or would break a log; never empty."""
    printable = "".join(character if character.isprintable() else " " for character in reason)
    return _cut(" ".join(printable.split()), _MOST_REASON_BYTES) or "no reason given"


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[: max(0, most_bytes)].decode(errors="ignore")


def _check_range(what: str, value_s: int, most_s: int) -> None:
    if not 0 <= value_s <= most_s:
        raise ConfigurationError(f"{what} of {value_s} s was asked for, expected 0 to {most_s} s")
