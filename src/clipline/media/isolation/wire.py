"""Messages between a worker and a child: JSON with a length before it, and raw bytes behind it."""

from __future__ import annotations

import json
import os
import select
import struct
import threading
import time
from typing import Any

_HEADER = struct.Struct(">II")
"""Bytes of the JSON, bytes behind it."""
_MOST_JSON_BYTES = 16 * 1024 * 1024
"""A report of a day in recordings of a second has 15 MB."""
_MOST_AT_ONCE = 1024 * 1024

Message = dict[str, Any]


class Garbled(Exception):
    """What came is no message."""


class Channel:
    """One end of a stream socket, by its descriptor. Sending is safe from several threads."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._sending = threading.Lock()

    def send(self, message: Message, body: bytes = b"") -> None:
        """Raises OSError where the other end is gone."""
        data = json.dumps(message).encode()
        parts = [memoryview(_HEADER.pack(len(data), len(body)) + data), memoryview(body)]
        with self._sending:
            for part in parts:
                while part:
                    part = part[os.write(self.descriptor, part) :]

    def receive(self, *, most_body_bytes: int = 0, until_s: float | None = None) -> tuple[Message, bytes]:
        """The next message.

        Raises EOFError where the other end is gone, TimeoutError at ``until_s`` (of the monotonic clock), and
        Garbled for what is no message or larger than allowed.
        """
        json_bytes, body_bytes = _HEADER.unpack(self._exactly(_HEADER.size, until_s))
        if json_bytes > _MOST_JSON_BYTES or body_bytes > most_body_bytes:
            raise Garbled(f"it announces {json_bytes} and {body_bytes} bytes")
        try:
            message = json.loads(self._exactly(json_bytes, until_s))
        except (ValueError, RecursionError) as error:
            raise Garbled(f"it is not JSON: {type(error).__name__}") from None
        if not isinstance(message, dict):
            raise Garbled("it is no object")
        return message, bytes(self._exactly(body_bytes, until_s))

    def _exactly(self, length: int, until_s: float | None) -> bytearray:
        data = bytearray()
        while len(data) < length:
            if until_s is not None:
                self._wait(until_s)
            # Memory is taken as bytes come, not as they are announced.
            try:
                more = os.read(self.descriptor, min(length - len(data), _MOST_AT_ONCE))
            except ConnectionError:
                more = b""
            if not more:
                raise EOFError
            data += more
        return data

    def _wait(self, until_s: float) -> None:
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        if not poll.poll(max(until_s - time.monotonic(), 0) * 1000):
            raise TimeoutError
