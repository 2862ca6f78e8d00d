"""The HTTP client itself: one deadline for everything, one cap, connections that are used again."""

from __future__ import annotations

import io
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.http_stub import Reply, Stub, drip, endless_headers, hang_up, http, stubbed
from servers.raw import certified, listening, over_tls

from clipline.adapters.http import (
    MOST_HEAD_BYTES,
    Answer,
    Client,
    ConnectionFailed,
    Setback,
    TimedOut,
    TooLarge,
)

SHORT_S = 0.4
GENEROUS_S = 3
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stubbed() as made:
        yield made


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


def ask(
    client: Client, url: str, *, within_s: float = SHORT_S, most_bytes: int | None = 1000, **more: object
) -> Answer:
    return client.request("GET", url, until=time.monotonic() + within_s, most_bytes=most_bytes, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "head",
    [
        b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\nX: ",
        OK + b"Content-Length: 500\r\n\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n", OK + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ",
    ],
    ids=["status line", "header", "continue", "body", "chunk size", "unbounded body", "trailer"],
)  # fmt: skip
def test_dripping_ends_in_time(stub: Stub, client: Client, head: bytes) -> None:
    stub.replies = [drip(stub, head, b"1")]
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"no answer within 0.4 s"):
        ask(client, stub.url)
    assert time.monotonic() - began < GENEROUS_S


@pytest.mark.parametrize(
    "reply",
    [
        hang_up,
        lambda send: send(b"SSH-2.0\r\n"),
        lambda send: send(OK),
        lambda send: send(OK + b"X: y\r\n"),
        http(200, b"x", length=9),
    ],
)
def test_what_is_no_answer(stub: Stub, client: Client, reply: Reply) -> None:
    stub.replies = [reply]
    with pytest.raises(ConnectionFailed):
        ask(client, stub.url)


def test_a_reset(client: Client) -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OK + b"Content-Length: 500\r\n\r\nhalf")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(reset) as address, pytest.raises(ConnectionFailed):
        ask(client, f"http://{address}/")


def test_headers_without_end(stub: Stub, client: Client) -> None:
    stub.replies = [endless_headers(stub)]
    with pytest.raises(ConnectionFailed, match=f"more than {MOST_HEAD_BYTES}"):
        ask(client, stub.url, within_s=GENEROUS_S)


@pytest.mark.parametrize("size", ["1001", "9" * 5000, "00001001"])
def test_an_announced_size_is_enough_to_refuse(stub: Stub, client: Client, size: str) -> None:
    stub.replies = [lambda send: send(OK + f"Content-Length: {size}\r\n\r\n".encode())]
    with pytest.raises(TooLarge, match="bytes, more than 1000"):
        ask(client, stub.url)


def test_bodies_up_to_the_cap(stub: Stub, client: Client) -> None:
    chunks = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"64\r\n" + b"x" * 100 + b"\r\n"
    whole = b"x" * 1000
    stub.replies = [
        http(200, whole),
        lambda send: send(OK + b"\r\n" + whole),
        lambda send: send(OK + b"\r\n" + whole + b"x"),
        lambda send: send(chunks + b"0\r\n\r\n"),
    ]
    assert ask(client, stub.url).body == whole
    assert ask(client, stub.url).body == whole
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        ask(client, stub.url)
    assert ask(client, stub.url).body == b"x" * 100


def test_an_error_counts_without_its_explanation(stub: Stub, client: Client) -> None:
    head = b"HTTP/1.1 403 Whatever\r\nContent-Length: 100000\r\n\r\n"
    stub.replies = [drip(stub, head + b"because", b"!"), http(503, headers=["Retry-After: 7"])]
    answer = ask(client, stub.url)
    assert answer.explained.startswith("HTTP 403 Forbidden: because")
    with pytest.raises(Setback) as caught:
        ask(client, stub.url).check_busy()
    assert caught.value.retry_after_s == 7


def test_a_server_that_does_not_take_a_body(client: Client) -> None:
    with listening(lambda _: time.sleep(GENEROUS_S)) as address:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            ask(client, f"http://{address}/", body=b"x" * 64_000_000)
        assert time.monotonic() - began < GENEROUS_S - 1


def test_a_server_that_takes_a_body_slowly(client: Client) -> None:
    """Each piece of it well before a socket would time out."""

    def sip(connection: socket.socket) -> None:
        while connection.recv(32768):
            time.sleep(0.015)

    with listening(sip) as address:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            ask(client, f"http://{address}/", body=io.BytesIO(b"x" * 64_000_000))
        assert time.monotonic() - began < GENEROUS_S


def test_a_file_is_sent_whole_and_again(stub: Stub, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 500)
    stub.replies = [http(200)]
    with path.open("rb") as file:
        for _ in range(2):
            ask(client, stub.url, body=file, headers={"Content-Type": "video/mp4"})
    for seen in stub.seen:
        assert seen.body == path.read_bytes()
        assert seen.headers["content-type"] == "video/mp4"
        assert "transfer-encoding" not in seen.headers


def test_a_connection_that_is_used_again_has_its_full_time(client: Client) -> None:
    """What was left of the first answer's time does not limit the next request."""

    def serve(connection: socket.socket) -> None:
        for _ in range(2):
            connection.recv(65536)
            time.sleep(SHORT_S * 0.7)
            connection.sendall(OK + b"Content-Length: 1\r\n\r\nx")

    with listening(serve) as address:
        for _ in range(2):
            assert ask(client, f"http://{address}/").body == b"x"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_silence(stub: Stub, client: Client, scheme: str) -> None:
    """With https, in the middle of the handshake."""
    with listening(lambda _: time.sleep(GENEROUS_S)) as address:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            ask(client, f"{scheme}://{address}/")
        assert time.monotonic() - began < GENEROUS_S - 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certified(tmp_path_factory.mktemp("tls"))


def answer_once(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(OK + b"Content-Length: 1\r\n\r\nx")


def test_who_is_not_trusted(client: Client, certificate: tuple[Path, Path]) -> None:
    with listening(over_tls(certificate, answer_once)) as address:
        with pytest.raises(ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED"):
            ask(client, f"https://{address}/", within_s=GENEROUS_S)
    with listening(over_tls(certificate, answer_once)) as address:
        trusting = Client(ca_bundle=str(certificate[0]))
        assert ask(trusting, f"https://{address}/", within_s=GENEROUS_S).body == b"x"
        trusting.close()
    with pytest.raises(ConnectionFailed, match="No such file"):
        ask(Client(ca_bundle="/missing.pem"), "https://127.0.0.1:1/")


def test_dripping_and_sipping_over_tls(certificate: tuple[Path, Path]) -> None:
    client = Client(ca_bundle=str(certificate[0]))

    def drip(connection: ssl.SSLSocket) -> None:
        connection.recv(65536)
        for letter in (OK + b"X: " + b"x" * 100).decode():
            connection.sendall(letter.encode())
            time.sleep(0.02)

    def sip(connection: ssl.SSLSocket) -> None:
        while connection.recv(16384):
            time.sleep(0.015)

    for serve in (drip, sip):
        with listening(over_tls(certificate, serve)) as address:
            began = time.monotonic()
            with pytest.raises(TimedOut):
                ask(client, f"https://{address}/", body=b"x" * 64_000_000 if serve is sip else None)
            assert time.monotonic() - began < GENEROUS_S
    client.close()


def test_dead_addresses_share_the_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with many addresses of which none answers."""
    dead = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 9))] * 20
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: dead)

    def connect(sock: socket.socket, _: object) -> None:
        time.sleep(min(0.1, sock.gettimeout() or 0))
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", connect)
    began = time.monotonic()
    with pytest.raises(TimedOut):
        ask(client, "http://example.com/")
    assert time.monotonic() - began < 1


def test_a_proxy_is_used_where_it_is_asked_for(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", stub.url.replace("//", "//user:pass%20word@"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    stub.replies = [http(200)]
    client = Client(proxies=True)
    ask(client, "http://example.com/a")
    assert stub.seen[0].line == "GET http://example.com/a HTTP/1.1"
    assert stub.seen[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="
    ask(client, f"{stub.url}/b")
    assert stub.seen[1].line == "GET /b HTTP/1.1"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client.close()
