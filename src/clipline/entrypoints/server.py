"""An ASGI application on a socket, in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from clipline.contract.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_MOST_HEAD_BYTES = 16 * 1024
"""Of a request line with its headers; more is answered with 400."""

MOST_CONNECTIONS = 100
"""More are answered with 503 at once."""

_IDLE_S = 5
_START_S = 30
_STOP_S = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises ConfigurationError where none can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()  # any address is any of IPv4 as well
    try:
        listener = socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise ConfigurationError(
            f"can't listen on {host} port {port}: {error.strerror or error}",
            hint="choose another port or address",
        ) from error
    # What is accepted has it from here: asyncio sets it where a socket names its protocol, which this one
    # does not, and without it each answer on a connection that is kept waits 40 ms for the body's segment.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(host: str, listener: socket.socket) -> str:
    """Where a program on this machine finds what ``listener`` serves, without a slash at the end."""
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def serve_in_thread(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve ``app`` until the context ends; gives its base URL, without a slash at the end.

    Port 0 takes a free one. Requests still running at the end get five seconds. Raises ConfigurationError
    where ``host`` and ``port`` can't be listened on.
    """
    listener = listen(host, port)
    with served(app, listener):
        yield url_of(host, listener)


@contextmanager
def served(app: ASGIApp, listener: socket.socket, connections: int = MOST_CONNECTIONS) -> Iterator[None]:
    """Serve ``app`` on ``listener``, which is closed at the end, as ``serve_in_thread`` does."""
    config = uvicorn.Config(
        app,
        http="h11",  # the one whose limit on what comes before a body can be set
        h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
        limit_concurrency=connections,
        timeout_keep_alive=_IDLE_S,
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_STOP_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server", daemon=True)
    with listener:
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield
        finally:
            server.should_exit = True
            thread.join(_STOP_S * 2)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    end = time.monotonic() + _START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise Unavailable("start", "the server", "it did not come up", hint="its log says why")
        time.sleep(0.01)
