"""The port ``MessageQueue`` in one SQLite file: a durable queue for one machine, with the semantics of SQS.

Objective: a message that was sent is received until it is deleted, whatever is killed in between, by any
number of threads and processes on this machine, and is in the hands of one receiver at a time for as long as
its visibility timeout runs.

Assumption: processes share one wall clock, which is set back rarely and by little; a jump forward ends
visibility timeouts early, a jump back prolongs them, and neither loses a message. Caveat: the file has to lie
on a local disk; WAL does not work over a network file system.

Rejected: a lock held for as long as a message is worked on (it would block every other receiver) and a
table that says which process has a message (process ids are used again after a restart).
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from clipline.contract.errors import ConfigurationError, Refused
from clipline.database import Database
from clipline.pipeline.ports import DeadLetter, Message

_POLL_S = 0.05
_MOST_DELAY_S = 900
_MOST_VISIBILITY_S = 43_200
_MOST_RECEIVED = 10
_MOST_BYTES = 1024 * 1024  # of a message, its attributes included
_MOST_REASON_BYTES = 1024
_APPLICATION_ID = 0x434C5051  # "CLPQ": what tells this file from another program's database

MIGRATIONS = (
    (
        """
        CREATE TABLE messages (
            id            INTEGER PRIMARY KEY,   -- in the order of sending
            message_id    TEXT NOT NULL UNIQUE,  -- a random UUID, the same for every delivery
            body          TEXT NOT NULL,
            attributes    TEXT NOT NULL,         -- a JSON object of strings
            sent_ms       INTEGER NOT NULL,      -- since the epoch, UTC; never changes
            visible_ms    INTEGER NOT NULL,      -- not to be received sooner, since the epoch, UTC
            receive_count INTEGER NOT NULL DEFAULT 0,
            receipt       TEXT                   -- of the last delivery; NULL: never delivered
        ) STRICT
        """,
        "CREATE INDEX messages_by_visibility ON messages (visible_ms)",
        """
        CREATE TABLE dead_letters (
            message_id    TEXT PRIMARY KEY,
            body          TEXT NOT NULL,
            attributes    TEXT NOT NULL,     -- as above
            sent_ms       INTEGER NOT NULL,  -- as above
            receive_count INTEGER NOT NULL,
            reason        TEXT NOT NULL,     -- one line; the first reason that was given
            died_ms       INTEGER NOT NULL   -- when it came here, since the epoch, UTC
        ) STRICT
        """,
    ),
    # 0: the queue itself put it here, and nobody was told yet.
    ("ALTER TABLE dead_letters ADD COLUMN explained INTEGER NOT NULL DEFAULT 1",),
)
"""Entries are only ever added."""

_SEND = "INSERT INTO messages (message_id, body, attributes, sent_ms, visible_ms) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class Depth:
    """How many messages there are; each is counted once."""

    visible: int
    """Could be received now."""
    in_flight: int
    """With a receiver, until its visibility timeout ends."""
    delayed: int
    """Sent with a delay that is not over."""
    dead: int
    """Dead letters. One that was put there by hand counts above as well, until it is deleted."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteQueue:
    """The queue in the file at ``path``, made if it is not there. Safe to use from several threads.

    A message that was received ``most_receives`` times and comes back goes to the dead letters. Beyond what
    the port says: every method raises Unavailable when the file stays locked for 10 s or the disk is full,
    and Refused when the file is damaged, can't be written to, or is no queue.
    """

    def __init__(self, path: Path, *, most_receives: int = 5, now_ms: Callable[[], int] = _wall_ms) -> None:
        self._database = Database(path, "the queue", MIGRATIONS, _APPLICATION_ID)
        self._most_receives = most_receives
        self._now_ms = now_ms
        self._arrived = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No method works afterwards."""
        self._database.close()

    def send(self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None) -> None:
        """As in the port: once it returns, the message survives a power cut.

        Raises ConfigurationError for a delay beyond 900 s, and Refused for what SQS would not carry: an
        empty body, one with unpaired surrogates, or more than 1 MiB.
        """
        _check_range("a delay", delay_s, _MOST_DELAY_S)
        text = json.dumps(dict(attributes or {}))
        self._check_body(body, text)
        now_ms = self._now_ms()
        row = (str(uuid.uuid4()), body, text, now_ms, now_ms + delay_s * 1000)
        with self._database.write("send to") as db:
            db.execute(_SEND, row)
        if not delay_s:
            self._wake()

    def receive(self, *, most: int, wait_s: float, visibility_s: int) -> Sequence[Message]:
        """As in the port; what comes due first is received first."""
        _check_range("a visibility timeout", visibility_s, _MOST_VISIBILITY_S)
        if not 1 <= most <= _MOST_RECEIVED:
            raise ConfigurationError(
                f"{most} messages at once were asked for, expected 1 to {_MOST_RECEIVED}"
            )
        end = time.monotonic() + wait_s
        while True:
            messages = self._receive_now(most, visibility_s)
            left_s = end - time.monotonic()
            if messages or left_s <= 0:
                return messages
            with self._arrived:
                # What other processes send is found by looking; one look takes 0.01 ms.
                self._arrived.wait(min(_POLL_S, left_s))

    def delete(self, message: Message) -> None:
        """As in the port. After another delivery nothing is deleted: the message is someone else's by now."""
        with self._database.write("delete from") as db:
            db.execute(
                "DELETE FROM messages WHERE message_id = ? AND receipt = ?",
                (message.message_id, message.receipt),
            )

    def change_visibility(self, message: Message, visibility_s: int) -> None:
        """As in the port. Raises Refused when the message was deleted, or delivered again, meanwhile."""
        _check_range("a visibility timeout", visibility_s, _MOST_VISIBILITY_S)
        operation = "change the visibility of a message in"
        with self._database.write(operation) as db:
            changed = db.execute(
                "UPDATE messages SET visible_ms = ? WHERE message_id = ? AND receipt = ?",
                (self._now_ms() + visibility_s * 1000, message.message_id, message.receipt),
            )
            if changed.rowcount == 0:
                cause = f"message {message.message_id} was deleted, or delivered again, meanwhile"
                raise Refused(operation, self._database.target, cause)
        if not visibility_s:
            self._wake()

    def dead_letter(self, message: Message, reason: str) -> None:
        """As in the port. Doing it twice changes nothing: the first reason stays."""
        row = (
            message.message_id, message.body, json.dumps(message.when_dead()), message.sent_ms,
            message.receive_count, _one_line(reason), self._now_ms(),
        )  # fmt: skip
        with self._database.write("add a dead letter to") as db:
            db.execute("INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING", row)

    def check(self) -> None:
        """As in the port: the file is read, and locked for writing."""
        with self._database.write("look up") as db:
            db.execute("SELECT count(*) FROM messages").fetchone()

    def unexplained(self) -> Sequence[Message]:
        """As in the port."""
        return [letter.message for letter in self._letters(unexplained_only=True, most=_MOST_RECEIVED)]

    def explain(self, message: Message, reason: str) -> None:
        """As in the port."""
        values = (_one_line(reason), json.dumps(message.when_dead()), message.message_id)
        with self._database.write("explain a dead letter of") as db:
            db.execute(
                "UPDATE dead_letters SET reason = ?, attributes = ?, explained = 1 "
                "WHERE message_id = ? AND explained = 0",
                values,
            )

    def letters(self) -> Iterator[DeadLetter]:
        """As in the port, the oldest first."""
        return iter(self._letters())

    def redrive(self, letter: DeadLetter) -> None:
        """As in the port, in one transaction."""
        now_ms, message = self._now_ms(), letter.message
        row = (str(uuid.uuid4()), message.body, json.dumps(dict(message.attributes)), now_ms, now_ms)
        with self._database.write("return a dead letter of") as db:
            if db.execute("DELETE FROM dead_letters WHERE message_id = ?", (message.message_id,)).rowcount:
                db.execute(_SEND, row)
        self._wake()

    def forget(self, message: Message) -> None:
        """As in the port."""
        with self._database.write("remove a dead letter from") as db:
            db.execute("DELETE FROM dead_letters WHERE message_id = ?", (message.message_id,))

    def depth(self) -> Depth:
        """How many messages there are, at one moment."""
        with self._database.read("count the messages in") as db:
            row = db.execute(
                """
                SELECT count(*) FILTER (WHERE visible_ms <= :now_ms),
                       count(*) FILTER (WHERE visible_ms > :now_ms AND receipt IS NOT NULL),
                       count(*) FILTER (WHERE visible_ms > :now_ms AND receipt IS NULL),
                       (SELECT count(*) FROM dead_letters)
                FROM messages
                """,
                {"now_ms": self._now_ms()},
            ).fetchone()
        return Depth(*row)

    def _receive_now(self, most: int, visibility_s: int) -> list[Message]:
        with self._database.read("receive from") as db:
            # Looking first spares an idle receiver the lock for writing.
            due = db.execute("SELECT 1 FROM messages WHERE visible_ms <= ? LIMIT 1", (self._now_ms(),))
            if due.fetchone() is None:
                return []
        with self._database.write("receive from") as db:
            now_ms = self._now_ms()
            self._bury(db, now_ms)
            ids = db.execute(
                "SELECT id FROM messages WHERE visible_ms <= ? ORDER BY visible_ms, id LIMIT ?",
                (now_ms, most),
            ).fetchall()
            rows = [
                db.execute(
                    "UPDATE messages SET receipt = ?, visible_ms = ?, receive_count = receive_count + 1 "
                    "WHERE id = ? RETURNING message_id, body, sent_ms, receive_count, receipt, attributes",
                    (str(uuid.uuid4()), now_ms + visibility_s * 1000, row_id),
                ).fetchone()
                for (row_id,) in ids
            ]
        return [_message(*row) for row in rows]

    def _bury(self, db: sqlite3.Connection, now_ms: int) -> None:
        """Move what was received too often, and is due again, to the dead letters."""
        bounds = {"now_ms": now_ms, "most": self._most_receives}
        db.execute(
            """
            INSERT INTO dead_letters
            SELECT message_id, body, attributes, sent_ms, receive_count,
                   'received ' || receive_count || ' times, never deleted', :now_ms, 0
            FROM messages WHERE visible_ms <= :now_ms AND receive_count >= :most
            ON CONFLICT DO NOTHING
            """,
            bounds,
        )
        db.execute("DELETE FROM messages WHERE visible_ms <= :now_ms AND receive_count >= :most", bounds)

    def _letters(self, *, unexplained_only: bool = False, most: int = -1) -> list[DeadLetter]:
        with self._database.read("list the dead letters of") as db:
            rows = db.execute(
                "SELECT message_id, body, sent_ms, receive_count, '', attributes, "
                "iif(explained, reason, NULL), died_ms FROM dead_letters "
                "WHERE NOT (explained AND ?) ORDER BY died_ms, rowid LIMIT ?",
                (unexplained_only, most),
            ).fetchall()
        return [DeadLetter(_message(*row[:6]), *row[6:]) for row in rows]

    def _wake(self) -> None:
        with self._arrived:
            self._arrived.notify_all()

    def _check_body(self, body: str, attributes: str) -> None:
        try:
            size_bytes = len(body.encode()) + len(attributes)
        except UnicodeEncodeError as error:
            raise Refused(
                "send to", self._database.target, f"the body can't be written as UTF-8: {error}"
            ) from error
        if not body or size_bytes > _MOST_BYTES:
            cause = (
                f"the message has {size_bytes} bytes, expected 1 to {_MOST_BYTES}" if body else "it is empty"
            )
            raise Refused("send to", self._database.target, cause)


def _message(
    message_id: str, body: str, sent_ms: int, receive_count: int, receipt: str, attributes: str
) -> Message:
    return Message(message_id, body, sent_ms, receive_count, receipt, json.loads(attributes))


def _one_line(reason: str) -> str:
    """``reason`` as SQS could carry it, without what would break a log; never empty."""
    printable = "".join(character if character.isprintable() else " " for character in reason)
    cut = " ".join(printable.split()).encode()[:_MOST_REASON_BYTES]
    return cut.decode(errors="ignore") or "no reason given"


def _check_range(what: str, value_s: int, most_s: int) -> None:
    if not 0 <= value_s <= most_s:
        raise ConfigurationError(f"{what} of {value_s} s was asked for, expected 0 to {most_s} s")
