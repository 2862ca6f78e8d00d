"""The camera API over HTTP: the port ``CameraApi`` for a team's own service or for ours.

Everything that such a service can do wrong ends in one of three errors: NotFound (an unknown camera),
Refused (a person must change something; the message names the setting) and Unavailable (time heals).
An answer that can't be understood is never taken for "no recordings": that would turn a broken service
into missing clips.
"""

from __future__ import annotations

import io
import json
import random
import re
import reprlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse, responses
from typing import Annotated, Any, NoReturn, Self
from urllib.parse import quote, urlsplit

import urllib3
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from clipline import __version__
from clipline.contract.errors import ConfigurationError, NotFound, Refused, Unavailable
from clipline.contract.interval import Interval, parse_instant
from clipline.contract.recording import ALIAS, NameFormat, Recording, announced
from clipline.contract.text import shorten

MOST_ANSWER_BYTES = 8 * 1024 * 1024
"""An hour of ten-minute recordings takes 3 KiB; no sound answer comes near this."""

_CONNECT_S = 3
_FIRST_PAUSE_S = 0.25  # at most; doubled after each attempt
_CHUNK_BYTES = 64 * 1024
_EXCERPT_BYTES = 2048
_RECORDING_PATH = "/cameras/recording"


class HttpCameraApi:
    """A client that is safe to use from several threads.

    Each method takes ``deadline_s`` at most, however the service behaves; only name resolution, and
    connecting where a name has several dead addresses, can add to it. Within it, whatever a repeat may
    cure is tried up to ``most_attempts`` times, each for ``attempt_s`` at most, with jittered pauses and
    never sooner than ``Retry-After`` says. All requests are safe to repeat. Redirects aren't followed, so
    that the token goes nowhere but to the two configured addresses.
    """

    def __init__(
        self,
        services_url: str,
        recordings_url: str,
        *,
        token: str | None = None,
        names: NameFormat,
        deadline_s: float = 20,
        attempt_s: float = 8,
        most_attempts: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """The values of CAM_SERVICES_URL, RECORDINGS_URL, CAM_SERVICES_TOKEN. Raises ConfigurationError."""
        self._services = _Endpoint.parse("CAM_SERVICES_URL", services_url)
        self._recordings = _Endpoint.parse("RECORDINGS_URL", recordings_url)
        if token and not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ConfigurationError(
                "CAM_SERVICES_TOKEN holds a space, a line break or a character beyond ASCII",
                hint="give the token alone, without 'Bearer'",
            )
        # Compressed answers could be bombs, and they are too small to gain from it.
        self._headers = {"Accept-Encoding": "identity", "User-Agent": f"clipline/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(maxsize=8)
        self._pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        self._names = names
        self._deadline_s = deadline_s
        self._attempt_s = attempt_s
        self._most_attempts = most_attempts
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def alias(self, camera_id: str) -> str:
        """``GET {CAM_SERVICES_URL}/cameras/{camera_id}``. Raises NotFound for an unknown camera."""
        call = _Call("GET", self._services, f"{self._services.url}/cameras/{_part(camera_id)}")
        status, document = self._answer(call)
        if status == 404:
            raise NotFound(call.method, call.url, "the camera API knows no such camera")
        try:
            return _Camera.model_validate(document).alias
        except ValidationError as error:
            raise call.refused(_first_problem(error)) from None

    def recordings(self, alias: str, interval: Interval) -> Sequence[Recording]:
        """``GET {RECORDINGS_URL}/cameras/recording/{alias}``; 404 means none, like an empty list.

        Entries of other cameras or outside ``interval`` are left out; so are empty ones, which a service
        may list for a recording that has just begun. One unusable entry refuses the whole answer: left
        out, it would look like a gap.
        """
        query = f"startDate={interval.start_ms}&endDate={interval.end_ms}&allowPartialMatch=true"
        base = self._recordings.url.removesuffix(_RECORDING_PATH) + _RECORDING_PATH
        call = _Call("GET", self._recordings, f"{base}/{_part(alias)}?{query}")
        status, document = self._answer(call)
        if status == 404:
            return []
        if not isinstance(document, list):
            raise call.refused(f"the answer is {_excerpt(document)}, expected a list of recordings")
        found = []
        for index, item in enumerate(document):
            try:
                entry = _Entry.model_validate(item)
                if entry.alias != alias or entry.startDate == entry.endDate:
                    continue
                recording = announced(
                    entry.recordingUrl, entry.alias, entry.startDate, entry.endDate, self._names
                )
            except ValidationError as error:
                raise call.refused(f"entry {index}: {_first_problem(error)}") from None
            except ValueError as error:
                raise call.refused(f"entry {index} is {_excerpt(item)}: {error}") from None
            if recording.span & interval:
                found.append(recording)
        return found

    def put_clip(self, clip_id: str, metadata: Mapping[str, Any]) -> None:
        """``PUT {CAM_SERVICES_URL}/cameras/clips/{clip_id}`` with the result metadata as JSON."""
        call = _Call("PUT", self._services, f"{self._services.url}/cameras/clips/{_part(clip_id)}")
        self._answer(call, json.dumps(metadata, allow_nan=False).encode())

    def _answer(self, call: _Call, body: bytes | None = None) -> tuple[int, Any]:
        """The status (2xx or 404) and the document, after as many attempts as it takes and time allows."""
        end = time.monotonic() + self._deadline_s
        attempt = 1
        while True:
            try:
                return self._attempt(call, body, end)
            except _Setback as setback:
                jitter_s = random.uniform(0, _FIRST_PAUSE_S * 2 ** (attempt - 1))
                pause_s = max(setback.retry_after_s, jitter_s)
                if attempt == self._most_attempts or time.monotonic() + pause_s >= end:
                    cause = f"{setback.cause} (attempt {attempt} of {self._most_attempts})"
                    raise Unavailable(call.method, call.url, cause, hint=setback.hint) from setback
            self._sleep(pause_s)
            attempt += 1

    def _attempt(self, call: _Call, body: bytes | None, end: float) -> tuple[int, Any]:
        left_s = min(self._attempt_s, end - time.monotonic())
        if left_s <= 0:
            raise _Setback(f"no answer within {self._deadline_s:g} s")
        headers = self._headers if body is None else self._headers | {"Content-Type": "application/json"}
        try:
            with self._pool.request(
                call.method,
                call.url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=min(_CONNECT_S, left_s), total=left_s),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            ) as response:
                return self._read(call, response)
        except ReadTimeoutError as error:
            raise _Setback(f"no complete answer within {left_s:.3g} s") from error
        except HTTPError as error:
            raise _Setback(f"{type(error).__name__}: {error}") from error

    def _read(self, call: _Call, response: urllib3.BaseHTTPResponse) -> tuple[int, Any]:
        status = response.status
        named = f"HTTP {status} {responses.get(status, '')}".rstrip()
        if status == 404 and call.method == "GET":
            return status, None
        if status in (408, 425, 429) or status >= 500:
            retry_after_s = _retry_after_s(response.headers.get("Retry-After"))
            hint = f"it asks to wait {retry_after_s:g} s" if retry_after_s else None
            raise _Setback(named, retry_after_s=retry_after_s, hint=hint)
        if 300 <= status < 400:
            location = shorten(response.headers.get("Location", "no address"), 200)
            raise call.refused(
                f"{named} to {location}",
                hint=f"redirects aren't followed: put the address in {call.endpoint.setting}",
            )
        if not 200 <= status < 300:
            raise self._refusal(call, response, named)
        if call.method == "PUT":
            return status, None
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise call.refused(
                f"the answer is compressed ({shorten(encoding)})",
                hint="turn compression off: it was asked for with Accept-Encoding: identity",
            )
        data = self._body(response)
        try:
            return status, json.loads(data, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise _Setback(f"the answer is not JSON: {_excerpt(data)}") from None

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """The whole body; what its Content-Length says is believed only where it says too much."""
        too_large = _Setback(f"the answer has more than {MOST_ANSWER_BYTES} bytes")
        announced_bytes = response.headers.get("Content-Length", "")
        if re.fullmatch("[0-9]{1,20}", announced_bytes) and int(announced_bytes) > MOST_ANSWER_BYTES:
            raise too_large
        chunks, size = [], 0
        while chunk := response.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > MOST_ANSWER_BYTES:
                raise too_large
            chunks.append(chunk)
        return b"".join(chunks)

    def _refusal(self, call: _Call, response: urllib3.BaseHTTPResponse, named: str) -> Refused:
        try:
            said = shorten(response.read(_EXCERPT_BYTES).decode("utf-8", "replace").strip(), 200)
        except HTTPError:
            said = ""  # the status is what counts; what it said would only have been an explanation
        hint = "check CAM_SERVICES_TOKEN" if response.status in (401, 403) else None
        if hint and "Authorization" not in self._headers:
            hint += ", which is not set"
        return call.refused(f"{named}: {said}" if said else named, hint=hint)


class _Setback(Exception):
    """An attempt failed in a way that a repeat may cure."""

    def __init__(self, cause: str, *, retry_after_s: float = 0, hint: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retry_after_s = retry_after_s
        self.hint = hint


@dataclass(frozen=True)
class _Endpoint:
    setting: str
    url: str

    @staticmethod
    def parse(setting: str, url: str) -> _Endpoint:
        try:
            parts = urlsplit(url.strip())
            urllib3.util.parse_url(url.strip())
            sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            sound = sound and not (parts.username or parts.password or parts.query or parts.fragment)
        except ValueError:  # of either parser: a port that is no number, a broken IPv6 address
            sound = False
        if not sound:
            # What stands before an @ may be a password: it belongs in no log.
            raise ConfigurationError(
                f"{setting} is {shorten(repr(re.sub('//.*@', '//…@', url)))}",
                hint="expected http://host or https://host, with a path if need be, without user or query",
            )
        return _Endpoint(setting, url.strip().rstrip("/"))


@dataclass(frozen=True)
class _Call:
    method: str
    endpoint: _Endpoint
    url: str

    def refused(self, cause: str, *, hint: str | None = None) -> Refused:
        return Refused(self.method, self.url, cause, hint=hint or f"check {self.endpoint.setting}")


class _TimedReader(io.RawIOBase):
    """Reads a response until one instant, however slowly it drips.

    A socket's own timeout starts anew with every byte. The instant is the socket's timeout from now, which
    urllib3 sets to what is left of ``Timeout(total=...)`` before it waits for the response.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._timeout_s = sock.gettimeout()
        self._end = None if self._timeout_s is None else time.monotonic() + self._timeout_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None:
            left_s = self._end - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            if not self._raw.closed:
                # The connection may be used again: its next request needs its time to be sent.
                self._sock.settimeout(self._timeout_s)
            self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _Pool(HTTPConnectionPool):
    class ConnectionCls(HTTPConnection):
        response_class = _TimedResponse


class _SecurePool(HTTPSConnectionPool):
    class ConnectionCls(HTTPSConnection):
        response_class = _TimedResponse


def _alias(value: object) -> str:
    if isinstance(value, str) and ALIAS.fullmatch(value):
        return value
    raise ValueError("expected 1 to 128 letters, digits, '_', '-' or '.', without '.' at either end")


def _instant(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("expected ISO 8601 in UTC, as in 2018-09-16T16:00:17.000Z")
    return parse_instant(value)


class _Camera(BaseModel):
    alias: Annotated[str, BeforeValidator(_alias)]


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True)

    startDate: Annotated[int, BeforeValidator(_instant)]
    """Milliseconds since the epoch."""
    endDate: Annotated[int, BeforeValidator(_instant)]
    """Milliseconds since the epoch."""
    recordingUrl: str
    alias: str


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if not field:
        return f"the answer is {_excerpt(problem['input'])}, expected an object"
    if problem["type"] == "missing":
        return f"{field} is missing"
    expected = problem["msg"].removeprefix("Value error, ")
    return f"{field} is {_excerpt(problem['input'])}: {expected}"


def _excerpt(value: object) -> str:
    brief = reprlib.Repr()  # also of a value that is nested more deeply than repr() could follow
    brief.maxstring = brief.maxother = 100
    return shorten(brief.repr(value), 120)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _part(text: str) -> str:
    """``text`` as one part of a path; dots alone would climb."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


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
