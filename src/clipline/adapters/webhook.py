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
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from clipline import __version__
from clipline.adapters import http
from clipline.contract.errors import ConfigurationError, Refused, Unavailable
from clipline.contract.text import ID, shorten
from clipline.pipeline.ports import Notifier


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
        self._url = url
        self._address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._target = f"{parts.scheme}://{parts.netloc}/…"
        self._secret = secret.encode() if secret else None
        self._client = http.Client()
        self._patience = http.Patience(deadline_s, attempt_s, most_attempts, sleep)

    def publish(self, metadata: Mapping[str, Any]) -> None:
        """As in the port."""
        body = json.dumps(metadata, allow_nan=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"clipline/{__version__}"}
        event_id = metadata.get("eventId")
        if isinstance(event_id, str) and ID.fullmatch(event_id):
            headers["X-Clipline-Event"] = event_id

        def attempt(until: float) -> None:
            sent = {**headers, **self._signed(body)}
            self._judge(
                self._client.request("POST", self._url, headers=sent, body=body, until=until, most_bytes=None)
            )

        self._patience.call("POST", self._target, attempt)

    def check(self) -> None:
        """As in the port, by connecting: that it would take a message is not known from that."""
        try:
            with socket.create_connection(self._address, self._patience.attempt_s) as sock:
                if self._url.lower().startswith("https:"):
                    ssl.create_default_context().wrap_socket(sock, server_hostname=self._address[0]).close()
        except OSError as error:
            raise Unavailable("connect to", self._target, f"{type(error).__name__}: {error}") from error

    def _signed(self, body: bytes) -> Mapping[str, str]:
        if self._secret is None:
            return {}
        timestamp = str(int(time.time()))
        signature = hmac.new(self._secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {"X-Clipline-Timestamp": timestamp, "X-Clipline-Signature": f"sha256={signature}"}

    def _judge(self, answer: http.Answer) -> None:
        answer.check_busy()
        if answer.is_success:
            return
        hint = "check WEBHOOK_URL"
        if 300 <= answer.status < 400:
            hint = "redirects aren't followed: put the address in WEBHOOK_URL"
        elif answer.status in (401, 403):
            hint = "check WEBHOOK_SECRET and WEBHOOK_URL"
        raise Refused("POST", self._target, answer.explained, hint=hint)


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
