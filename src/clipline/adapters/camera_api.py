"""The camera API over HTTP: the port ``CameraApi`` for a team's own service or for ours.

Everything that such a service can do wrong ends in one of three errors: NotFound (an unknown camera),
Refused (a person must change something; the message names the setting) and Unavailable (time heals).
An answer that can't be understood is never taken for "no recordings": that would turn a broken service
into missing clips.
"""

from __future__ import annotations

import json
import re
import reprlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, Self
from urllib.parse import quote, urlsplit

import urllib3
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from clipline import __version__
from clipline.adapters import http
from clipline.contract.errors import ConfigurationError, NotFound, Refused
from clipline.contract.interval import Interval, parse_instant
from clipline.contract.recording import ALIAS, NameFormat, Recording, announced
from clipline.contract.text import shorten

MOST_ANSWER_BYTES = 8 * 1024 * 1024
"""An hour of ten-minute recordings takes 3 KiB; no sound answer comes near this."""

_RECORDING_PATH = "/cameras/recording"


class HttpCameraApi:
    """A client that is safe to use from several threads.

    Each method takes ``deadline_s`` at most, however the service behaves; only name resolution can add to
    it. Within it, whatever a repeat may cure is tried up to ``most_attempts`` times, each for ``attempt_s``
    at most, with jittered pauses and never sooner than ``Retry-After`` says. All requests are safe to
    repeat. Redirects aren't followed, so that the token goes nowhere but to the two configured addresses.
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
        self._headers = {"User-Agent": f"clipline/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._client = http.Client()
        self._names = names
        self._patience = http.Patience(deadline_s, attempt_s, most_attempts, sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

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
                    entry.recordingUrl, entry.alias, entry.startDate, entry.endDate, self._names, entry.key
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
        headers = self._headers if body is None else self._headers | {"Content-Type": "application/json"}
        most_bytes = None if body is not None else MOST_ANSWER_BYTES

        def attempt(until: float) -> tuple[int, Any]:
            answer = self._client.request(
                call.method, call.url, headers=headers, body=body, until=until, most_bytes=most_bytes
            )
            return self._read(call, answer)

        return self._patience.call(call.method, call.url, attempt)

    def _read(self, call: _Call, answer: http.Answer) -> tuple[int, Any]:
        if answer.status == 404 and call.method == "GET":
            return answer.status, None
        answer.check_busy()
        if not answer.is_success:
            raise self._refusal(call, answer)
        if call.method == "PUT":
            return answer.status, None
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise call.refused(
                f"the answer is compressed ({shorten(encoding)})",
                hint="turn compression off: it was asked for with Accept-Encoding: identity",
            )
        try:
            return answer.status, json.loads(answer.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise http.Setback(f"the answer is not JSON: {_excerpt(answer.body)}") from None

    def _refusal(self, call: _Call, answer: http.Answer) -> Refused:
        hint = None
        if 300 <= answer.status < 400:
            hint = f"redirects aren't followed: put the address in {call.endpoint.setting}"
        elif answer.status in (401, 403):
            hint = "check CAM_SERVICES_TOKEN"
            if "Authorization" not in self._headers:
                hint += ", which is not set"
        return call.refused(answer.explained, hint=hint)


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
    key: str = ""
    """Not of the contract: our own camera service tells it."""


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
