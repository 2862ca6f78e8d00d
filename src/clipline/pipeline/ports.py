"""The outside world as the pipeline sees it: network and storage.

Every method raises the errors of ``clipline.contract.errors`` and no others: ``Unavailable`` where a
retry may help (time-out, throttling, 5xx, a truncated body), ``Refused`` where it can't (4xx, denied);
what more a method may raise stands in its docstring. Adapters retry within their own deadline before
they raise ``Unavailable``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from clipline.contract.interval import Interval
from clipline.contract.recording import Recording
from clipline.media.engine import Engine


@dataclass(frozen=True)
class ObjectInfo:
    """What a store tells about an object without reading it."""

    key: str
    size_bytes: int
    version: str
    """The entity tag, or what stands for it: another content has another version."""
    modified_ms: int | None = None
    """When it was written last, milliseconds since the epoch; told where objects are listed."""


class ObjectStore(Protocol):
    """A bucket, or a folder that behaves like one. Keys have no leading slash."""

    @property
    def name(self) -> str:
        """What result metadata calls it: the bucket's name, or the folder's path."""

    def head(self, key: str) -> ObjectInfo:
        """Raises NotFound."""

    def read_range(self, key: str, offset: int, length: int, *, version: str | None = None) -> bytes:
        """Exactly ``length`` bytes from ``offset``; with ``version``, of that version alone.

        Raises NotFound, Conflict when the object is another version by now, and Unavailable when
        fewer bytes came than were promised. Bytes of another range or version are never returned.
        """

    def local_path(self, key: str) -> Path | None:
        """Where the object lies on this machine's disk, or None where it lies elsewhere."""

    def get(self, key: str, *, most_bytes: int) -> tuple[bytes, str]:
        """A small object and its version. Raises NotFound; Refused beyond ``most_bytes``."""

    def put(self, key: str, data: bytes, content_type: str, *, replaces: str | bool | None = False) -> str:
        """Store a small object; returns its version. Readers never see half of it.

        ``replaces=False``: whatever is there. ``replaces=None``: only where nothing is there.
        ``replaces=version``: only where that version is there. Raises Conflict otherwise.
        """

    def put_file(
        self, key: str, path: Path, content_type: str, *, replaces: str | bool | None = False
    ) -> str:
        """Store a file's content; returns its version. Readers never see half of it.

        ``replaces`` as in ``put``.
        """

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with ``prefix``, in the order of keys."""

    def sweep(self) -> None:
        """Remove what writers left that were killed; nothing of writers that live."""


class CameraApi(Protocol):
    """The team's camera API."""

    def alias(self, camera_id: str) -> str:
        """The camera's alias. Raises NotFound for an unknown camera."""

    def recordings(self, alias: str, interval: Interval) -> Sequence[Recording]:
        """The recordings that overlap ``interval``, in any order; none is an empty sequence."""

    def put_clip(self, clip_id: str, metadata: Mapping[str, Any]) -> None:
        """Update the clip's record. Repeating it changes nothing."""


TIMES_DEAD_LETTERED, FIRST_SENT = "timesDeadLettered", "firstSentTimestamp"
"""Message attributes of what was among the dead letters: how often, and when the message was sent before
that, in milliseconds since the epoch; both in digits."""


@dataclass(frozen=True)
class Message:
    """A received message, as SQS describes one."""

    message_id: str
    body: str
    sent_ms: int
    """SentTimestamp: when the producer sent it."""
    receive_count: int
    """ApproximateReceiveCount, 1 at the first delivery."""
    receipt: str
    """Stands for this delivery; a later delivery of the same message has another one."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Message attributes of type String."""

    @property
    def times_dead_lettered(self) -> int:
        """How often it was among the dead letters and came back."""
        return self._number(TIMES_DEAD_LETTERED) or 0

    @property
    def first_sent_ms(self) -> int:
        """When it was sent, before it ever was among the dead letters."""
        return self._number(FIRST_SENT) or self.sent_ms

    def when_dead(self) -> Mapping[str, str]:
        """The attributes of its dead letter, but for the reason."""
        died = {TIMES_DEAD_LETTERED: self.times_dead_lettered + 1, FIRST_SENT: self.first_sent_ms}
        return {**self.attributes, **{name: str(value) for name, value in died.items()}}

    def _number(self, attribute: str) -> int | None:
        digits = self.attributes.get(attribute, "")
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 16 else None


class MessageQueue(Protocol):
    """A queue with the semantics of SQS: at least once, in no certain order."""

    def send(self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None) -> None:
        """Put a message on the queue, to be received no sooner than ``delay_s`` (0 to 900) from now."""

    def receive(self, *, most: int, wait_s: float, visibility_s: int) -> Sequence[Message]:
        """Up to ``most`` (1 to 10) messages, waiting up to ``wait_s`` for the first.

        Each is hidden from other receivers for ``visibility_s`` and comes back then unless deleted. A
        message received more than the queue's maxReceiveCount times goes to the dead letters instead.
        """

    def delete(self, message: Message) -> None:
        """Acknowledge: the message is done. Deleting twice is no error."""

    def change_visibility(self, message: Message, visibility_s: int) -> None:
        """Hide the message for ``visibility_s`` (0 to 43,200) from now; 0 gives it back at once."""

    def dead_letter(self, message: Message, reason: str) -> None:
        """Send a copy to the dead-letter queue. Does not delete it here.

        The copy carries the attribute ``reason``, and those of ``Message.when_dead``.
        """

    def check(self) -> None:
        """Raises what sending and receiving would raise, without either."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that was given up."""

    message: Message
    """As it was last received."""
    reason: str | None
    """One line; None: the queue itself put it here, and nobody was told of it yet."""
    died_ms: int
    """When it came here, milliseconds since the epoch, UTC."""


class DeadLetters(Protocol):
    """The messages of a queue that were given up, each kept until a person returns or removes it."""

    def unexplained(self) -> Sequence[Message]:
        """Up to 10 letters without a reason: whoever had the message died without a word.

        Two callers at once may get the same ones.
        """

    def explain(self, message: Message, reason: str) -> None:
        """Keep an unexplained letter listed for ``reason``, with the attributes of ``Message.when_dead``."""

    def letters(self) -> Iterator[DeadLetter]:
        """All that can be seen now, in no certain order."""

    def redrive(self, letter: DeadLetter) -> None:
        """Send the message to its queue again, then forget the letter.

        Sent again it keeps the attributes of ``Message.when_dead``, by which it counts as the next attempt of
        a request that is as old as it is.
        """

    def forget(self, message: Message) -> None:
        """Remove a letter; one that is not there is no error."""


class Notifier(Protocol):
    """Tells subscribers."""

    def publish(self, metadata: Mapping[str, Any]) -> None:
        """Publish result metadata; ``status`` and ``cameraId`` go along for filters."""

    def check(self) -> None:
        """Raises what publishing would raise, as far as that can be known without it."""


@dataclass(frozen=True)
class LedgerEntry:
    """What is remembered of one clipId."""

    clip_id: str
    fingerprint: str
    """Of the request that came first under this clipId (hex)."""
    first_asked_ms: int
    """Which chain of retries this is: when its first message was sent."""
    attempts: int
    """How many messages of that chain were handled: the next one carries this many retryTimestamps."""
    metadata: Mapping[str, Any]
    """The last result metadata that was decided."""
    owner: str = ""
    """Token of who last began to store objects under this clipId; empty: nobody did."""


class ClipLedger(Protocol):
    """Remembers each clipId, changed by compare-and-set: nothing that is decided lives in messages only."""

    def read(self, clip_id: str) -> tuple[LedgerEntry, str] | None:
        """The entry and its version, or None."""

    def write(self, entry: LedgerEntry, *, replaces: str | None) -> str:
        """Store ``entry`` in place of version ``replaces`` (None: nothing is there yet); returns its version.

        Raises Conflict when another version is there.
        """


@dataclass(frozen=True)
class Services:
    """The outside world, and the engine that makes clips."""

    camera_api: CameraApi
    origin: ObjectStore
    destination: ObjectStore
    queue: MessageQueue
    notifier: Notifier
    ledger: ClipLedger
    engine: Engine
