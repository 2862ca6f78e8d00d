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
    from starlette.applications import Starlette

_MOST_HEAD_BYTES = 16 * 1024
"""Of a request line with its headers; more is answered with 400."""

_MOST_CONNECTIONS = 100
"""More are answered with 503 at once."""

_IDLE_S = 5
_START_S = 30
_STOP_S = 5


@contextmanager
def serve_in_thread(app: Starlette, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve ``app`` until the context ends; gives its base URL, without a slash at the end.

    Port 0 takes a free one. Requests still running at the end get five seconds. Raises ConfigurationError
    where ``host`` and ``port`` can't be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"can't listen on {host} port {port}: {error.strerror or error}",
            hint="choose another port or address",
        ) from error
    config = uvicorn.Config(
        app,
        http="h11",  # the one whose limit on what comes before a body can be set
        h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
        limit_concurrency=_MOST_CONNECTIONS,
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
            bound = listener.getsockname()[1]
            yield f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
        finally:
            server.should_exit = True
            thread.join(_STOP_S * 2)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    end = time.monotonic() + _START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise Unavailable("start", "the server", "it did not come up", hint="its log says why")
        time.sleep(0.01)
