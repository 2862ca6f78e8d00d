"""The port ``ObjectStore`` for a bucket of S3, or of what speaks its protocol.

Objects are read and written by signed URLs through our own HTTP client, which no server can hold up or fill
up; obstore signs them, and lists. A file goes up in one request, so that no unfinished upload can be left.

    a call                takes DEADLINE_S at most, in attempts of ATTEMPT_S at most
    put_file              that, and a second more for each UPLOAD_BYTES_PER_S of the file
    read_range, get       hold as many bytes as were asked for
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
from obstore.store import S3Store

from clipline import __version__
from clipline.adapters import http
from clipline.adapters.store_base import Store
from clipline.contract.errors import Conflict, NotFound, Refused, ServiceError, Unavailable
from clipline.contract.text import shorten
from clipline.pipeline.ports import ObjectInfo

if TYPE_CHECKING:
    from obstore import ObjectMeta

DEADLINE_S = 60.0
"""For a call, whatever the server does; only name resolution and finding credentials can add to it."""

ATTEMPT_S = 30.0
"""4 MiB take it at 140 KiB/s."""

UPLOAD_BYTES_PER_S = 512 * 1024
"""The slowest upload that is waited for."""

MOST_UPLOAD_BYTES = 5 * 1024**3
"""S3 takes no more in one request."""

_MOST_ATTEMPTS = 6
_SIGNED_FOR = timedelta(minutes=15)  # to begin; each attempt has its own URL
_BUSY = re.compile("SlowDown|RequestTimeout$|Throttl|InternalError|ServiceUnavailable")


class Bucket(Store):
    """``options`` gives keyword arguments of obstore's ``S3Store``; safe to use from several threads."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        options: Callable[[], Mapping[str, Any]],
        *,
        deadline_s: float = DEADLINE_S,
        attempt_s: float = ATTEMPT_S,
    ) -> None:
        self._bucket = bucket
        self._options = options
        self._deadline_s = deadline_s
        self._attempt_s = attempt_s
        self._client = http.Client(proxies=True)
        super().__init__(f"s3://{bucket}", bucket, lambda: self._signer, prefix)

    def head(self, key: str) -> ObjectInfo:
        answer = self._ask("look up", key, "HEAD")
        size = answer.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,18}", size):
            raise Unavailable("look up", self._named(key), "the answer says nothing of its size")
        return ObjectInfo(key, int(size), answer.headers.get("ETag", ""))

    def read_range(self, key: str, offset: int, length: int, *, version: str | None = None) -> bytes:
        operation = f"read bytes {offset} to {offset + length} of"
        headers = {"Range": f"bytes={offset}-{offset + length - 1}"}
        if version:
            headers["If-Match"] = version

        def too_large(size: str) -> Unavailable:
            return Unavailable(operation, self._named(key), f"{size} came")

        answer = self._ask(operation, key, "GET", headers=headers, most_bytes=length, too_large=too_large)
        found, given = answer.headers.get("ETag", ""), answer.headers.get("Content-Range", "")
        if version and found != version:
            raise Conflict(
                operation, self._named(key), f"it is version {shorten(found)} by now, not {version}"
            )
        is_asked = given.replace(" ", "").startswith(f"bytes{offset}-{offset + length - 1}/")
        if answer.status != 206 or not is_asked or len(answer.body) != length:
            cause = f"{len(answer.body)} bytes came, said to be {shorten(given) or 'all of it'}"
            raise Unavailable(operation, self._named(key), f"{cause}, with HTTP {answer.status}")
        return answer.body

    def get(self, key: str, *, most_bytes: int) -> tuple[bytes, str]:
        answer = self._ask(
            "read", key, "GET", most_bytes=most_bytes,
            too_large=lambda size: self._too_large(key, size, most_bytes),
        )  # fmt: skip
        return answer.body, answer.headers.get("ETag", "")

    def put(self, key: str, data: bytes, content_type: str, *, replaces: bool | str | None = False) -> str:
        return self._put(key, data, len(data), content_type, replaces)

    def put_file(
        self, key: str, path: Path, content_type: str, *, replaces: bool | str | None = False
    ) -> str:
        with self._reported("write", key), path.open("rb") as file:
            return self._put(key, file, path.stat().st_size, content_type, replaces)

    def delete(self, key: str) -> None:
        try:
            self._ask("delete", key, "DELETE")
        except NotFound:
            """Someone was faster."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """As in the port; by obstore, which holds what a server sends until the deadline."""
        folder = self._folder_of(prefix)

        async def collect() -> Sequence[ObjectMeta]:
            listing = obstore.list(self._signer, prefix=folder)
            return await asyncio.wait_for(listing.collect_async(), self._deadline_s)

        with self._reported("list", prefix):
            try:
                metas = asyncio.run(collect())
            except TimeoutError as error:
                cause = f"no answer within {self._deadline_s:g} s"
                raise Unavailable("list", self._named(prefix), cause) from error
        yield from self._found(prefix, metas)

    def _put(
        self,
        key: str,
        body: bytes | BinaryIO,
        size_bytes: int,
        content_type: str,
        replaces: bool | str | None,
    ) -> str:
        if size_bytes > MOST_UPLOAD_BYTES:
            raise Refused(
                "write", self._named(key), f"it has {size_bytes} bytes",
                hint=f"S3 takes at most {MOST_UPLOAD_BYTES} in one request: make a shorter clip",
            )  # fmt: skip
        headers = {"Content-Type": content_type}
        if replaces is None:
            headers["If-None-Match"] = "*"
        elif isinstance(replaces, str):
            headers["If-Match"] = replaces
        more_s = size_bytes / UPLOAD_BYTES_PER_S
        answer = self._ask("write", key, "PUT", headers=headers, body=body, more_s=more_s)
        version = answer.headers.get("ETag", "")
        if not version:
            raise Unavailable("write", self._named(key), "the answer names no version")
        return version

    def _ask(
        self,
        operation: str,
        key: str,
        method: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO | None = None,
        most_bytes: int | None = None,
        more_s: float = 0,
        too_large: Callable[[str], ServiceError] | None = None,
    ) -> http.Answer:
        """A success, after as many attempts as it takes and time allows."""
        path = self._path(key)
        sent = {"User-Agent": f"clipline/{__version__}", **(headers or {})}
        is_conditional = not {"If-Match", "If-None-Match"}.isdisjoint(sent)

        def attempt(until: float) -> http.Answer:
            with self._reported(operation, key):
                url = obstore.sign(self._signer, method, path, _SIGNED_FOR)  # type: ignore[call-overload]
            try:
                answer = self._client.request(
                    method, url, headers=sent, body=body, until=until, most_bytes=most_bytes
                )
            except http.TooLarge as error:
                assert too_large is not None
                raise too_large(error.size) from error
            answer.check_busy()
            if answer.is_success:
                _check_end(answer, most_bytes)
                return answer
            failure = self._failure(operation, key, answer, is_conditional=is_conditional)
            if isinstance(failure, Unavailable) and answer.status != 416:
                raise http.Setback(failure.cause)
            raise failure

        patience = http.Patience(self._deadline_s + more_s, self._attempt_s + more_s, _MOST_ATTEMPTS)
        return patience.call(operation, self._named(key), attempt)

    def _failure(
        self, operation: str, key: str, answer: http.Answer, *, is_conditional: bool
    ) -> ServiceError:
        target = self._named(key)
        text = answer.body.decode("utf-8", "replace")
        code = re.search("<Code>([^<]*)</Code>", text)
        said = re.search("<Message>([^<]*)</Message>", text)
        cause = ": ".join(unescape(found[1]) for found in (code, said) if found) or answer.explained
        cause = shorten(cause.strip(), 300)
        is_bucket = code is not None and code[1] == "NoSuchBucket"
        if answer.status == 412 or (answer.status == 409 and is_conditional):
            return Conflict(operation, target, "another version is there")
        if answer.status == 404 and operation == "write" and is_conditional and not is_bucket:
            return Conflict(operation, target, "it is not there any more")
        if answer.status == 404:
            return NotFound(operation, target, cause if is_bucket else "it is not there")
        if answer.status in (401, 403):
            hint = "check the credentials and their permission"
            hint += "; without s3:ListBucket a missing object is denied too"
            return Refused(operation, target, cause, hint=hint)
        if 300 <= answer.status < 400:
            region = shorten(answer.headers.get("x-amz-bucket-region", "another region"))
            return Refused(operation, target, cause, hint=f"the bucket is in {region}: set AWS_REGION")
        if answer.status in (409, 416) or (code is not None and _BUSY.search(code[1])):
            return Unavailable(operation, target, cause)
        return Refused(operation, target, cause)

    @cached_property
    def _signer(self) -> S3Store:
        options = self._options()
        limits = {"connect_timeout": "3s", "timeout": f"{self._attempt_s}s"}
        client = limits | options.get("client_options", {})
        retry = {"max_retries": _MOST_ATTEMPTS - 1, "retry_timeout": timedelta(seconds=self._deadline_s)}
        return S3Store(self._bucket, **{**options, "client_options": client, "retry_config": retry})


def _check_end(answer: http.Answer, most_bytes: int | None) -> None:
    """A body that ends where the connection does may have been cut."""
    chunked = answer.headers.get("Transfer-Encoding", "").lower() == "chunked"
    if most_bytes is not None and "Content-Length" not in answer.headers and not chunked:
        raise http.Setback("the answer does not say where it ends")
