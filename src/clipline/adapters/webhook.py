"""The port ``Notifier`` as an HTTP POST, and as several notifiers in one.

What is sent: the result metadata as compact JSON, with

    Content-Type: application/json
    X-Clipline-Event: {eventId}          the same for every repeat: drop repeats by it
    X-Clipline-Timestamp: 1534305611     when it was sent, in seconds since the epoch
    X-Clipline-Signature: sha256={hex}   HMAC-SHA-256 of "{timestamp}.{body}" under WEBHOOK_SECRET

A receiver that checks the signature and refuses timestamps of more than five minutes ago can't be fed with
messages of others, nor with old ones. Any answer 2xx means that it was taken; its body is not read.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from clipline import __version__
from clipline.contract.errors import ConfigurationError, Refused, Unavailable
from clipline.contract.text import ID, shorten
from clipline.pipeline.ports import Notifier

_EXCERPT_BYTES = 2048
_FIRST_PAUSE_S = 0.25  # at most; doubled after each attempt


class WebhookNotifier:
    """POSTs to ``url``; safe to use from several threads.

    ``publish`` takes ``deadline_s`` at most, however the receiver behaves; only name resolution can add to
    it. Within it, whatever a repeat may cure (no connection, no answer, 408, 425, 429, 5xx) is tried up to
    ``most_attempts`` times, with jittered pauses and never sooner than ``Retry-After`` says. Redirects aren't
    followed. Messages name the URL's host alone, since the rest of a webhook's URL is often its password.
    """

    def __init__(
        self,
        url: str,
        secret: str | None = None,
        *,
        deadline_s: float = 10,
        attempt_s: float = 4,
        most_attempts: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """The values of WEBHOOK_URL and WEBHOOK_SECRET. Raises ConfigurationError."""
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number, a broken IPv6 address
            sound = False
        if not sound or not re.fullmatch(r"[\x21-\x7e]+", url) or parts.username or parts.fragment:
            raise ConfigurationError(
                f"WEBHOOK_URL is {shorten(repr(re.sub('//.*@', '//…@', url)))}",
                hint="expected http://host/path or https://host/path, without user or fragment",
            )
        self._parts = parts
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._target = f"{parts.scheme}://{parts.netloc}/…"
        self._secret = secret.encode() if secret else None
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._deadline_s = deadline_s
        self._attempt_s = attempt_s
        self._most_attempts = most_attempts
        self._sleep = sleep

    def publish(self, metadata: Mapping[str, Any]) -> None:
        """As in the port."""
        body = json.dumps(metadata, allow_nan=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"clipline/{__version__}"}
        event_id = metadata.get("eventId")
        if isinstance(event_id, str) and ID.fullmatch(event_id):
            headers["X-Clipline-Event"] = event_id
        end = time.monotonic() + self._deadline_s
        attempt = 1
        while True:
            try:
                return self._attempt(body, headers, min(end, time.monotonic() + self._attempt_s))
            except _Setback as setback:
                jitter_s = random.uniform(0, _FIRST_PAUSE_S * 2 ** (attempt - 1))
                pause_s = max(setback.retry_after_s, jitter_s)
                if attempt == self._most_attempts or time.monotonic() + pause_s >= end:
                    cause = f"{setback} (attempt {attempt} of {self._most_attempts})"
                    raise Unavailable("POST", self._target, cause) from setback
            self._sleep(pause_s)
            attempt += 1

    def check(self) -> None:
        """As in the port, by connecting: that it would take a message is not known from that."""
        try:
            with closing(self._connection(self._attempt_s)) as connection:
                connection.connect()
        except OSError as error:
            raise Unavailable("connect to", self._target, f"{type(error).__name__}: {error}") from error

    def _attempt(self, body: bytes, headers: Mapping[str, str], end: float) -> None:
        """Send once, until ``end`` on the monotonic clock."""
        limit_s = max(0.001, end - time.monotonic())
        headers = {**headers, **self._signed(body)}
        try:
            with closing(self._connection(limit_s)) as connection:
                connection.connect()
                with _cut_off(connection.sock, end - time.monotonic()):
                    connection.request("POST", self._path, body, headers)
                    with closing(connection.getresponse()) as response:
                        self._judge(response, end)
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= end:
                raise _Setback(f"no answer within {limit_s:.3g} s") from error
            raise _Setback(f"{type(error).__name__}: {error}") from error

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=self._tls)

    def _signed(self, body: bytes) -> Mapping[str, str]:
        if self._secret is None:
            return {}
        timestamp = str(int(time.time()))
        signature = hmac.new(self._secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {"X-Clipline-Timestamp": timestamp, "X-Clipline-Signature": f"sha256={signature}"}

    def _judge(self, response: http.client.HTTPResponse, end: float) -> None:
        if time.monotonic() >= end:
            # What was cut off looks like the end of the headers.
            raise TimeoutError("timed out")
        status = response.status
        if 200 <= status < 300:
            return
        named = f"HTTP {status} {http.client.responses.get(status, '')}".rstrip()
        if status in (408, 425, 429) or status >= 500:
            wait = response.headers.get("Retry-After", "")
            wait_s = float(wait[:9]) if wait.isascii() and wait.isdigit() else 0.0
            raise _Setback(f"{named}, it asks to wait {wait_s:g} s" if wait_s else named, wait_s)
        if 300 <= status < 400:
            location = shorten(response.headers.get("Location", "no address"), 200)
            raise Refused(
                "POST", self._target, f"{named} to {location}",
                hint="redirects aren't followed: put the address in WEBHOOK_URL",
            )  # fmt: skip
        try:
            said = shorten(response.read(_EXCERPT_BYTES).decode("utf-8", "replace").strip(), 200)
        except (OSError, http.client.HTTPException):
            said = ""  # the status is what counts; what it said would only have been an explanation
        hint = "check WEBHOOK_SECRET and WEBHOOK_URL" if status in (401, 403) else "check WEBHOOK_URL"
        raise Refused("POST", self._target, f"{named}: {said}" if said else named, hint=hint)


class CompositeNotifier:
    """Publishes to each of ``notifiers``, also when one before it failed."""

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = tuple(notifiers)

    def publish(self, metadata: Mapping[str, Any]) -> None:
        """As in the port. Raises the first error once all were tried, with the others as its notes."""
        self._each(lambda notifier: notifier.publish(metadata))

    def check(self) -> None:
        """As in the port, of all of them."""
        self._each(lambda notifier: notifier.check())

    def _each(self, call: Callable[[Notifier], None]) -> None:
        errors: list[Exception] = []
        for notifier in self._notifiers:
            try:
                call(notifier)
            except Exception as error:
                errors.append(error)
        if errors:
            for other in errors[1:]:
                errors[0].add_note(f"also: {other}")
            raise errors[0]


class _Setback(Exception):
    """An attempt failed in a way that a repeat may cure."""

    def __init__(self, cause: str, retry_after_s: float = 0) -> None:
        super().__init__(cause)
        self.retry_after_s = retry_after_s


@contextmanager
def _cut_off(sock: socket.socket, after_s: float) -> Iterator[None]:
    """Shut ``sock`` down in ``after_s``: its own timeout starts anew with every byte that drips in."""

    def shut_down() -> None:
        with suppress(OSError):  # closed at this very moment
            # Not SSLSocket.shutdown, which would go on in the clear.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, after_s), shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
