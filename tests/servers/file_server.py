"""Serves a directory over HTTP with byte ranges, as a web server does; players seek by them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mp4": "video/mp4"}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_PIECE_BYTES = 1 << 16


@dataclass
class FileServer:
    """A running server."""

    url: str
    partial_of: set[str] = field(default_factory=set)
    """Paths of which a range was asked and sent."""


@contextmanager
def serving(*directories: Path) -> Iterator[FileServer]:
    """Serve the files right in ``directories`` on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.lstrip("/").partition("?")[0]
            found = [path for one in directories if (path := one / name).is_file() and path.parent == one]
            if not found:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            size = found[0].stat().st_size
            asked = _RANGE.match(self.headers.get("Range", ""))
            first, stop = 0, size
            if asked:
                first, stop = int(asked[1]), min(int(asked[2] or size - 1) + 1, size)
                if first >= stop:
                    self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                    return
                server.partial_of.add(name)
            self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{size}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", _TYPES[found[0].suffix])
            self.send_header("Content-Length", str(stop - first))
            self.end_headers()
            with found[0].open("rb") as file:
                file.seek(first)
                while first < stop:
                    piece = file.read(min(_PIECE_BYTES, stop - first))
                    try:
                        self.wfile.write(piece)
                    except OSError:  # a player hangs up when it has enough
                        self.close_connection = True
                        return
                    first += len(piece)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the browser's own errors are what tells."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """Connections that a browser drops."""

    with Server(("127.0.0.1", 0), Handler) as http:
        server = FileServer(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
