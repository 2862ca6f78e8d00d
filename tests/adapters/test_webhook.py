"""What only the webhook has: signatures, repeats, receivers that misbehave."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from servers.http_stub import Stub, drip, hang_up, http, silence, stubbed

from clipline.adapters.webhook import WebhookNotifier
from clipline.contract.errors import ConfigurationError, Refused, Unavailable

FIXTURES = Path(__file__).parent.parent / "contract" / "fixtures"
PUBLISHED_MS = 1_534_305_662_345  # 2018-08-15T04:01:02.345Z
AVAILABLE = json.loads((FIXTURES / "sns_message.json").read_text())
NOT_AVAILABLE = json.loads((FIXTURES / "sns_message_not_available.json").read_text())
GENEROUS_S = 15


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stubbed() as made:
        yield made


@pytest.fixture
def naps() -> list[float]:
    """How long the notifier would have slept between attempts, in seconds."""
    return []


def test_what_is_posted(stub: Stub) -> None:
    stub.replies = [http(200)]
    event_id = "a" * 64
    WebhookNotifier(f"{stub.url}/hooks/clips?key=1").publish({**AVAILABLE, "eventId": event_id})
    (seen,) = stub.seen
    assert seen.line == "POST /hooks/clips?key=1 HTTP/1.1"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-clipline-event"] == event_id
    assert seen.headers["host"] == stub.url.removeprefix("http://")
    assert "x-clipline-signature" not in seen.headers


def test_the_signature_covers_body_and_time(stub: Stub, naps: list[float]) -> None:
    stub.replies = [http(503), http(200)]
    before = int(time.time())
    WebhookNotifier(stub.url, "hunter2", sleep=naps.append).publish(AVAILABLE)
    for seen in stub.seen:
        timestamp = seen.headers["x-clipline-timestamp"]
        assert before <= int(timestamp) <= time.time()
        signed = timestamp.encode() + b"." + seen.body
        expected = hmac.new(b"hunter2", signed, hashlib.sha256).hexdigest()
        assert seen.headers["x-clipline-signature"] == f"sha256={expected}"
    assert len(stub.seen) == 2
    assert len(naps) == 1


def test_an_event_id_that_is_none_is_no_header(stub: Stub) -> None:
    stub.replies = [http(200)]
    WebhookNotifier(stub.url).publish({"eventId": "a\r\nX: y"})
    assert "x-clipline-event" not in stub.seen[0].headers


@pytest.mark.parametrize(
    "setback",
    [
        http(500), http(503), http(429), http(408), http(425), hang_up,
        lambda send: send(b"SSH-2.0-OpenSSH_9.2\r\n"),
        lambda send: send(b"HTTP/1.1 "),
    ],
)  # fmt: skip
def test_what_a_repeat_may_cure_is_repeated(stub: Stub, naps: list[float], setback: Any) -> None:
    stub.replies = [setback, setback, http(202)]
    notifier = WebhookNotifier(f"{stub.url}/secret-path", sleep=naps.append)
    notifier.publish(AVAILABLE)
    assert len(naps) == 2
    assert len({seen.body for seen in stub.seen}) == 1

    stub.seen.clear()
    stub.replies = [setback]
    with pytest.raises(Unavailable, match=r"POST http://127.0.0.1:\d+/…: .*\(attempt 4 of 4\)"):
        notifier.publish(AVAILABLE)
    assert len(stub.seen) == 4


def test_retry_after_is_honoured(stub: Stub, naps: list[float]) -> None:
    stub.replies = [
        http(429, headers=["Retry-After: 7"]),
        http(503, headers=["Retry-After: soon"]),
        http(200),
    ]
    WebhookNotifier(stub.url, sleep=naps.append).publish(AVAILABLE)
    assert naps[0] == 7
    assert naps[1] <= 1

    stub.seen.clear()
    naps.clear()
    stub.replies = [http(429, headers=["Retry-After: 3600"])]
    with pytest.raises(Unavailable, match=r"HTTP 429.*wait 3600 s"):
        WebhookNotifier(stub.url, sleep=naps.append).publish(AVAILABLE)
    assert (len(stub.seen), naps) == (1, [])


def test_a_date_in_retry_after_is_no_error(stub: Stub, naps: list[float]) -> None:
    stub.replies = [
        http(503, headers=[f"Retry-After: {formatdate(time.time() + 9, usegmt=True)}"]),
        http(200),
    ]
    WebhookNotifier(stub.url, sleep=naps.append).publish(AVAILABLE)
    assert len(stub.seen) == 2


@pytest.mark.parametrize(
    ("status", "named"),
    [(400, "WEBHOOK_URL"), (401, "WEBHOOK_SECRET"), (404, "WEBHOOK_URL"), (410, "HTTP 410")],
)
def test_a_refusal_is_final(stub: Stub, naps: list[float], status: int, named: str) -> None:
    stub.replies = [http(status, b"go\x1b away" + b"!" * 10_000)]
    with pytest.raises(Refused) as caught:
        WebhookNotifier(f"{stub.url}/secret-path?token=1", sleep=naps.append).publish(AVAILABLE)
    said = str(caught.value)
    assert f"HTTP {status}" in said
    assert named in said
    assert "go" in said
    assert "\x1b" not in said
    assert "secret-path" not in said
    assert len(said) < 500
    assert (len(stub.seen), naps) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(stub: Stub, status: int) -> None:
    stub.replies = [http(status, headers=[f"Location: {stub.url}/elsewhere"])]
    with pytest.raises(Refused, match=r"/elsewhere.*put the address in WEBHOOK_URL"):
        WebhookNotifier(stub.url).publish(AVAILABLE)
    assert len(stub.seen) == 1


def test_nobody_listens(naps: list[float]) -> None:
    with pytest.raises(Unavailable, match="refused"):
        WebhookNotifier("http://127.0.0.1:1", sleep=naps.append).publish(AVAILABLE)
    assert len(naps) == 3
    with pytest.raises(Unavailable, match=r"connect to http://127.0.0.1:1/…: .*refused"):
        WebhookNotifier("http://127.0.0.1:1").check()


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"", Unavailable),
        (b"HTTP/1.1 200 OK\r\nX: ", Unavailable),
        (b"HTTP/1.1 100 Continue\r\nX: ", Unavailable),
        (b"HTTP/1.1 500 Whatever\r\nContent-Length: 100000\r\n\r\n", Unavailable),
        (b"HTTP/1.1 403 Whatever\r\nContent-Length: 100000\r\n\r\n", Refused),
    ],
    ids=["status line", "header", "continue", "error", "refusal"],
)
def test_a_receiver_that_drips_does_not_outlast_the_deadline(
    stub: Stub, head: bytes, error: type[Exception]
) -> None:
    stub.replies = [drip(stub, head, b"1")]
    began = time.monotonic()
    with pytest.raises(error):
        WebhookNotifier(stub.url, deadline_s=0.6, attempt_s=0.4).publish(AVAILABLE)
    assert time.monotonic() - began < 2


def test_a_receiver_that_says_nothing_does_not_outlast_the_deadline(stub: Stub) -> None:
    stub.replies = [silence(stub)]
    began = time.monotonic()
    with pytest.raises(Unavailable, match="no answer within"):
        WebhookNotifier(stub.url, deadline_s=0.5).publish(AVAILABLE)
    assert time.monotonic() - began < 2


def test_a_receiver_that_drips_once_is_asked_again(stub: Stub) -> None:
    stub.replies = [drip(stub, b"HTTP/1.1 200 OK\r\nX: ", b"1"), http(200)]
    WebhookNotifier(stub.url, attempt_s=0.3).publish(AVAILABLE)
    assert len(stub.seen) == 2


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("header", ["Content-Length: 1073741824", "Transfer-Encoding: chunked"])
def test_a_gigabyte_is_not_read(stub: Stub, status: int, header: str) -> None:
    block = b" " * 65536
    if "chunked" in header:
        block = b"10000\r\n" + block + b"\r\n"

    def gigabyte(send: Callable[[bytes], object]) -> None:
        send(f"HTTP/1.1 {status} Whatever\r\n{header}\r\n\r\n".encode())
        for _ in range(16384):
            send(block)

    stub.replies = [gigabyte]
    try:
        WebhookNotifier(stub.url).publish(AVAILABLE)
    except Refused:
        assert status == 400
    # What it sent lies in the buffers of the sockets.
    assert stub.sent_bytes < 64 * 1024 * 1024


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/x",
        "ftp://a/x",
        "http://",
        "http://a:x/",
        "http://[::1",
        "http://a/x y",
        "http://a/#x",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"WEBHOOK_URL.*expected http"):
        WebhookNotifier(url)


def test_a_password_in_the_url_stays_out_of_messages() -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebhookNotifier("https://user:hunter2@example.com/x")
    assert "hunter2" not in str(caught.value)
