"""One HTTP client that no server can hold up or fill up.

    client = Client()
    answer = client.request("GET", url, until=time.monotonic() + 5, most_bytes=4096)

A socket's own timeout starts anew with every byte, and what a server announces need not be what it sends.
Here every wait - to connect, for TLS, to send, for the head of the answer, for its body - lasts until one
instant of the monotonic clock at most, and no more is kept of an answer than was asked for. What a repeat
may cure is a Setback; ``Patience`` repeats it.
"""

from __future__ import annotations

import io
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse, responses
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, IncompleteRead, NameResolutionError

from clipline.contract.errors import Unavailable
from clipline.contract.text import shorten

MOST_HEAD_BYTES = 256 * 1024
"""Of status line and headers; what is longer is no answer."""

MOST_ERROR_BYTES = 64 * 1024
"""What is read of an answer that is no success: it only explains."""

_CONNECT_S = 3.0  # to one address
_FIRST_PAUSE_S = 0.25  # at most; doubled after each attempt
_PIECE_BYTES = 16 * 1024  # one record of TLS: longer ones would each be given the whole time that is left
_READ_BYTES = 1024 * 1024
_MOST_CONNECTIONS = 64  # as many as a worker has threads at most; unused ones cost nothing
_BUSY = (408, 425, 429)

T = TypeVar("T")
_until: ContextVar[float] = ContextVar("until")


class Setback(Exception):
    """An attempt failed in a way that a repeat may cure."""

    def __init__(self, cause: str, *, retry_after_s: float = 0, hint: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retry_after_s = retry_after_s
        self.hint = hint


class TimedOut(Setback):
    """The instant came before the end of the answer."""


class ConnectionFailed(Setback):
    """No connection, one that broke, or an answer that is no HTTP."""


class TooLarge(Setback):
    """An answer has more bytes than were asked for."""

    def __init__(self, most_bytes: int, announced: str | None = None) -> None:
        self.size = f"{announced or f'more than {most_bytes}'} bytes"
        """In words, as far as it is known."""
        super().__init__(f"the answer has {self.size}" + f", more than {most_bytes}" * bool(announced))


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    """By name, in any case."""
    body: bytes
    """Of a success the whole body, if it was asked for; of anything else what came of its beginning."""

    @property
    def named(self) -> str:
        """As in "HTTP 404 Not Found"."""
        return f"HTTP {self.status} {responses.get(self.status, '')}".rstrip()

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def explained(self) -> str:
        """``named``, with where it points to, or the beginning of what it says."""
        if 300 <= self.status < 400:
            return f"{self.named} to {shorten(self.headers.get('Location', 'no address'), 200)}"
        said = shorten(self.body[:2048].decode("utf-8", "replace").strip(), 200)
        return f"{self.named}: {said}" if said else self.named

    def check_busy(self) -> None:
        """Raises Setback for what time heals: 408, 425, 429 and 5xx."""
        if self.status in _BUSY or self.status >= 500:
            wait_s = _retry_after_s(self.headers.get("Retry-After"))
            hint = f"it asks to wait {wait_s:g} s" if wait_s else None
            raise Setback(self.named, retry_after_s=wait_s, hint=hint)


@dataclass(frozen=True)
class Patience:
    """How long a call may take, and each of its attempts."""

    deadline_s: float
    attempt_s: float
    most_attempts: int
    sleep: Callable[[float], None] = time.sleep

    def call(self, operation: str, target: str, attempt: Callable[[float], T]) -> T:
        """What ``attempt`` returns; it is given the instant on the monotonic clock when it must end.

        A Setback is followed by another attempt after a jittered pause, never sooner than it asks for.
        Raises Unavailable when attempts or time are used up.
        """
        end = time.monotonic() + self.deadline_s
        number = 1
        while True:
            try:
                return attempt(min(end, time.monotonic() + self.attempt_s))
            except Setback as setback:
                jitter_s = random.uniform(0, _FIRST_PAUSE_S * 2 ** (number - 1))
                pause_s = max(setback.retry_after_s, jitter_s)
                if number == self.most_attempts or time.monotonic() + pause_s >= end:
                    cause = f"{setback.cause} (attempt {number} of {self.most_attempts})"
                    raise Unavailable(operation, target, cause, hint=setback.hint) from setback
            self.sleep(pause_s)
            number += 1


class Client:
    """Keeps connections for the next request; safe to use from several threads."""

    def __init__(self, *, ca_bundle: str | None = None, proxies: bool = False) -> None:
        """``ca_bundle`` is a file of certificates to trust instead of the system's. With ``proxies`` the
        variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY count."""
        self._ca_bundle = ca_bundle
        self._proxies = proxies
        self._managers: dict[tuple[bool, str | None], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close idle connections."""
        for manager in list(self._managers.values()):
            manager.clear()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO | None = None,
        until: float,
        most_bytes: int | None,
    ) -> Answer:
        """Send once, and read the answer until ``until`` on the monotonic clock.

        ``body`` may be a file of known length, which is sent from its beginning. A success with a body of
        more than ``most_bytes`` is TooLarge; with None its body is not read at all. Redirects are answers
        like any others. Raises TimedOut, TooLarge and ConnectionFailed. Only name resolution can take longer.
        """
        began = time.monotonic()
        token = _until.set(until)
        # Compressed answers could be bombs.
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        try:
            size_bytes = _size_bytes(body)
            if body is not None:
                sent["Content-Length"] = str(size_bytes)
            with self._manager(url).urlopen(
                method,
                url,
                body=None if body is None else _pieces(body, size_bytes),
                headers=sent,
                timeout=_left_s(),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            ) as response:
                data = _body(method, response, most_bytes)
                return Answer(response.status, response.headers, data)
        except (HTTPError, OSError) as error:
            if time.monotonic() >= until:
                raise TimedOut(f"no answer within {max(0, until - began):.3g} s") from error
            raise ConnectionFailed(f"{type(error).__name__}: {error}") from error
        finally:
            _until.reset(token)

    def _manager(self, url: str) -> urllib3.PoolManager:
        proxy = _proxy_of(url) if self._proxies else None
        is_secure = url.lower().startswith("https:")
        with self._lock:
            manager = self._managers.get((is_secure, proxy))
            if manager is None:
                options: dict[str, Any] = {"maxsize": _MOST_CONNECTIONS}
                if is_secure:
                    options["ssl_context"] = ssl.create_default_context(cafile=self._ca_bundle)
                if proxy is None:
                    manager = urllib3.PoolManager(**options)
                else:
                    headers = _proxy_headers(proxy)
                    manager = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
                manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
                self._managers[is_secure, proxy] = manager
        return manager


def _left_s() -> float:
    left_s = _until.get() - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


class _Reader(io.RawIOBase):
    """The bytes of an answer, for as long as there is time."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._left_bytes = MOST_HEAD_BYTES
        self.is_in_head = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left_s())
        count = self._raw.readinto(buffer)
        if self.is_in_head:
            if count == 0:  # which http.client would take for the end of the headers
                raise HTTPException("the connection ended before the headers did")
            self._left_bytes -= count or 0
            if self._left_bytes < 0:
                raise HTTPException(f"headers of more than {MOST_HEAD_BYTES} bytes")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _Reader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.is_in_head = False


class _Timed:
    """A connection whose every wait ends in time."""

    response_class = _Response

    def _new_conn(self: Any) -> socket.socket:
        """A host may have several addresses, dead ones among them: all are tried in what time is left."""
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        failure: OSError = OSError("no address")
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(min(_CONNECT_S, _left_s()))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(_left_s())  # the handshake of TLS takes it for its whole length
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    def send(self, data: Any) -> None:
        sock: socket.socket | None = getattr(self, "sock", None)
        if sock is not None:
            sock.settimeout(_left_s())
        super().send(data)  # type: ignore[misc]


class _Pool(HTTPConnectionPool):
    class ConnectionCls(_Timed, HTTPConnection):  # type: ignore[misc]
        pass


class _SecurePool(HTTPSConnectionPool):
    class ConnectionCls(_Timed, HTTPSConnection):  # type: ignore[misc]
        pass


def _body(method: str, response: urllib3.BaseHTTPResponse, most_bytes: int | None) -> bytes:
    if not 200 <= response.status < 300:
        came = b""
        with suppress(HTTPError):  # the status is what counts
            while len(came) < MOST_ERROR_BYTES and (piece := response.read1(MOST_ERROR_BYTES)):
                came += piece
        return came
    if most_bytes is None:
        if response.length_remaining == 0:
            response.read()  # the connection can be used again
        return b""
    announced = response.headers.get("Content-Length", "")
    if method != "HEAD" and announced.isascii() and announced.isdigit():
        announced = announced.lstrip("0") or "0"
        # By its length first: there are numbers too long for int().
        if len(announced) > 20 or int(announced) > most_bytes:
            raise TooLarge(most_bytes, announced[:20])
    # In one piece where its length is known: joining takes the memory twice.
    piece_bytes = most_bytes + 1 if announced else _READ_BYTES
    pieces, left_bytes = list[bytes](), most_bytes
    try:
        while piece := response.read(piece_bytes):
            left_bytes -= len(piece)
            if left_bytes < 0:
                raise TooLarge(most_bytes)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    finally:
        pieces.clear()  # the traceback of an error would keep them, and a repeat's beside them


def _size_bytes(body: bytes | BinaryIO | None) -> int:
    if body is None or isinstance(body, bytes):
        return len(body or b"")
    return body.seek(0, io.SEEK_END)


def _pieces(body: bytes | BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """``size_bytes`` of ``body``. One that has become shorter breaks the connection."""
    source = io.BytesIO(body) if isinstance(body, bytes) else body
    source.seek(0)
    while size_bytes:
        piece = source.read(min(_PIECE_BYTES, size_bytes))
        if not piece:
            raise IncompleteRead(0, size_bytes)
        size_bytes -= len(piece)
        yield piece


def _proxy_of(url: str) -> str | None:
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy.removeprefix('//')}"


def _proxy_headers(proxy: str) -> Mapping[str, str]:
    parts = urlsplit(proxy)
    if not parts.username or not parts.password:
        return {}
    return urllib3.make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password)}")


def _retry_after_s(value: str | None) -> float:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3); 0 without one that can be read."""
    if value is None:
        return 0
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0
