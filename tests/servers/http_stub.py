"""An HTTP server that misbehaves on command."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Send = Callable[[bytes], object]
Reply = Callable[[Send], object]
"""What it does once it has read a request; the connection is closed afterwards."""


@dataclass(frozen=True)
class Seen:
    """A request; the names of its headers are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stub:
    """Answers with ``replies`` in turn, the last one for ever after; closes each connection."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    sent_bytes: int = 0


@contextmanager
def stubbed() -> Iterator[Stub]:
    """A stub on a free port of loopback."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline().decode().strip()
            if not line:
                return  # only a look whether someone listens
            headers = {}
            while header := self.rfile.readline().decode().strip():
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            body = self.rfile.read(int(headers.get("content-length", 0)))
            stub.seen.append(Seen(line, headers, body))
            stub.replies[min(len(stub.seen), len(stub.replies)) - 1](self.send)

        def send(self, data: bytes) -> None:
            self.request.sendall(data)
            stub.sent_bytes += len(data)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        stub = Stub(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield stub
        stub.stopping.set()
        server.shutdown()
        thread.join()


def http(status: int, body: object = b"", *, headers: Sequence[str] = (), length: int | None = None) -> Reply:
    """An answer; what is not bytes goes as JSON. ``length`` is one that is not the body's."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = f"Content-Length: {len(data) if length is None else length}"
    lines = [f"HTTP/1.1 {status} Whatever", size, "Connection: close", *headers]
    return lambda send: send("\r\n".join([*lines, "", ""]).encode() + data)


def hang_up(_: Send) -> None:
    """No answer at all."""


def drip(stub: Stub, head: bytes, endless: bytes) -> Reply:
    """``head``, then ``endless`` every 50 ms for 20 s: each comes well before a socket would time out."""

    def reply(send: Send) -> None:
        send(head)
        for _ in range(400):
            if stub.stopping.wait(0.05):
                break
            send(endless)

    return reply


def silence(stub: Stub) -> Reply:
    """Nothing for 60 s, on a connection that stays open."""
    return lambda _: stub.stopping.wait(60)


def gigabyte(status: int, header: str) -> Reply:
    """An answer of 1 GiB, in chunks where ``header`` says so."""
    block = b" " * 65536
    if "chunked" in header:
        block = b"10000\r\n" + block + b"\r\n"

    def reply(send: Send) -> None:
        send(f"HTTP/1.1 {status} Whatever\r\n{header}\r\n\r\n".encode())
        for _ in range(16384):
            send(block)

    return reply


def endless_headers(stub: Stub) -> Reply:
    """A header after the other."""

    def reply(send: Send) -> None:
        send(b"HTTP/1.1 200 OK\r\n")
        while not stub.stopping.is_set():
            send(b"X: " + b"x" * 60_000 + b"\r\n")

    return reply
