"""The port ``ObjectStore`` for buckets in S3, folders and memory, by URL, over ``obstore``.

    recordings, s3://recordings[/folder]    a bucket of S3 or of what speaks its protocol
    file:///archive, file:data/clips        a folder of this machine
    memory://name                           gone with this process; the same name is the same store

What is written to a folder is staged in ``_clipline/incoming`` and renamed, so that readers never see half
of it; ``sweep`` removes what writers that were killed left there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, MemoryStore, S3Store

from clipline.contract.errors import (
    ConfigurationError,
    Conflict,
    NotFound,
    Refused,
    ServiceError,
    Unavailable,
)
from clipline.contract.text import shorten
from clipline.pipeline.ports import ObjectInfo, ObjectStore

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend

MOST_IN_ONE_PUT_BYTES = 128 * 1024 * 1024
"""Larger files go up in parts; an upload in parts that is killed leaves parts behind."""

STAGING = "_clipline/incoming"

_LONGEST_NAME_BYTES = 255  # of a file, on every file system in use

_UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, lone surrogates
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONNECT, _REQUEST, _RETRIES = "3s", "60s", timedelta(seconds=45)
_MOST_RETRIES = 4
_EXPECTED = "expected the name of a bucket, or a URL s3://bucket, file:folder or memory://name"
_FINAL_ERRNOS = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)
_memories: dict[str, MemoryStore] = {}


def open_store(url: str, *, s3_options: Callable[[], Mapping[str, Any]] = dict) -> ObjectStore:
    """The store at ``url``. Nothing is contacted yet.

    ``s3_options`` is called before the first request to S3 and gives keyword arguments of obstore's
    ``S3Store``: region, endpoint, credentials. Raises ConfigurationError for a URL that can't be one.
    """
    scheme, separator, rest = url.partition(":")
    if not separator:
        scheme, rest = "s3", f"//{url}"
    match scheme:
        case "file":
            path = unquote(urlsplit(url).path) if rest.startswith("///") else rest.removeprefix("//")
            if path:
                return _Folder(Path(path))
        case "memory" if len(rest) > 2 and rest.startswith("//"):
            return _Store(url, rest[2:], lambda: _memories.setdefault(url, MemoryStore()))
        case "s3":
            bucket, _, prefix = rest.removeprefix("//").partition("/")
            if rest.startswith("//") and _BUCKET.fullmatch(bucket):
                target = f"s3://{bucket}"
                return _Store(target, bucket, lambda: _s3(bucket, s3_options()), prefix.strip("/"))
    raise ConfigurationError(f"{shorten(repr(url))} is no object store", hint=_EXPECTED)


def _s3(bucket: str, options: Mapping[str, Any]) -> S3Store:
    client = {"connect_timeout": _CONNECT, "timeout": _REQUEST} | options.get("client_options", {})
    retry = {"max_retries": _MOST_RETRIES, "retry_timeout": _RETRIES}
    return S3Store(bucket, **{**options, "client_options": client, "retry_config": retry})


class _Store:
    """What obstore reaches."""

    def __init__(self, target: str, name: str, backend: Callable[[], Backend], prefix: str = "") -> None:
        self._target = target
        self.name = name
        self._make_backend = backend
        self._prefix = f"{prefix}/" if prefix else ""

    @cached_property
    def _backend(self) -> Backend:
        return self._make_backend()

    def head(self, key: str) -> ObjectInfo:
        with self._reported("look up", key):
            meta = obstore.head(self._backend, self._path(key))
        return ObjectInfo(key, meta["size"], meta["e_tag"] or "")

    def read_range(self, key: str, offset: int, length: int, *, version: str | None = None) -> bytes:
        operation = f"read bytes {offset} to {offset + length} of"
        options: dict[str, Any] = {"range": (offset, offset + length)}
        if version:
            options["if_match"] = version
        with self._reported(operation, key):
            answer = obstore.get(self._backend, self._path(key), options=options)  # type: ignore[arg-type]
            found, given, data = answer.meta["e_tag"], answer.range, answer.bytes().to_bytes()
        if version and found != version:
            raise Conflict(operation, self._named(key), f"it is version {found} by now, not {version}")
        if given != (offset, offset + length) or len(data) != length:
            cause = f"{len(data)} bytes came, said to be {given[0]} to {given[1]}"
            raise Unavailable(operation, self._named(key), cause)
        return data

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002
        return None

    def get(self, key: str, *, most_bytes: int) -> tuple[bytes, str]:
        with self._reported("read", key):
            answer = obstore.get(self._backend, self._path(key))
            size_bytes = answer.meta["size"]
            if size_bytes > most_bytes:
                cause = f"it has {size_bytes} bytes, expected at most {most_bytes}"
                raise Refused("read", self._named(key), cause)
            return answer.bytes().to_bytes(), answer.meta["e_tag"] or ""

    def put(self, key: str, data: bytes, content_type: str, *, replaces: bool | str | None = False) -> str:
        mode: Any = "overwrite"
        if replaces is None:
            mode = "create"
        elif isinstance(replaces, str):
            mode = {"e_tag": replaces}
        with self._reported("write", key):
            answer = obstore.put(
                self._backend,
                self._path(key),
                data,
                attributes={"Content-Type": content_type},
                mode=mode,
                use_multipart=False,
            )
        return answer["e_tag"] or ""

    def put_file(
        self, key: str, path: Path, content_type: str, *, replaces: str | bool | None = False
    ) -> str:
        return self.put(key, path.read_bytes(), content_type, replaces=replaces)

    def delete(self, key: str) -> None:
        with suppress(NotFound), self._reported("delete", key):
            obstore.delete(self._backend, self._path(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        # obstore takes whole folders as prefixes.
        inner = prefix.rpartition("/")[0]
        folder = self._path(inner) if inner else self._prefix.rstrip("/")
        found: list[ObjectInfo] = []
        with self._reported("list", prefix):
            for batch in obstore.list(self._backend, prefix=folder or None):
                for meta in batch:
                    key = meta["path"].removeprefix(self._prefix)
                    if key.startswith(prefix):
                        found.append(ObjectInfo(key, meta["size"], meta["e_tag"] or ""))
        yield from sorted(found, key=lambda info: info.key)

    def sweep(self) -> None:
        """Nothing to remove: what is sent to a bucket is there as a whole or not at all."""

    def _path(self, key: str) -> str:
        if _UNSENDABLE.search(key) or any(part in ("", ".", "..") for part in key.split("/")):
            raise Refused(
                "use the key", shorten(repr(key)), "it is none",
                hint="expected names divided by single slashes, without control characters",
            )  # fmt: skip
        return self._prefix + key

    def _named(self, key: str) -> str:
        return f"{self._target}/{self._prefix}{key}"

    @contextmanager
    def _reported(self, operation: str, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(operation, self._named(key), "it is not there") from error
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise Conflict(operation, self._named(key), "another version is there") from error
        except exceptions.BaseError as error:
            raise _failure(operation, self._named(key), error) from error
        except OSError as error:
            kind = Refused if error.errno in _FINAL_ERRNOS else Unavailable
            raise kind(operation, self._named(key), error.strerror or str(error)) from error


class _Folder(_Store):
    """A folder of this machine; written to by renaming, since obstore's own staging files would stay beside
    the objects when a writer is killed."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        super().__init__(f"file://{self._root}", str(root), self._open)

    def _open(self) -> LocalStore:
        with self._reported("open", ""):
            return LocalStore(self._root, mkdir=True)

    def _path(self, key: str) -> str:
        # obstore calls its own staging files name#1, name#2 and so on, and refuses to see others' as objects.
        last = key.rpartition("/")[2]
        if re.search(r"#\d+$", last):
            hint = "expected a name that does not end in # and digits"
            raise Refused("use the key", shorten(repr(key)), "a folder can't hold it", hint=hint)
        path = super()._path(key)
        if any(len(part.encode()) > _LONGEST_NAME_BYTES for part in path.split("/")):
            hint = f"expected names of at most {_LONGEST_NAME_BYTES} bytes"
            raise Refused("use the key", shorten(repr(key)), "a folder can't hold it", hint=hint)
        return path

    def local_path(self, key: str) -> Path | None:
        path = self._root / self._path(key)
        return path if path.is_file() else None

    def put(self, key: str, data: bytes, content_type: str, *, replaces: bool | str | None = False) -> str:
        del content_type  # a folder has no place for it
        if isinstance(replaces, str):
            raise Refused(
                "replace a version of", self._named(key), "a folder can't compare and set",
                hint="one machine keeps its ledger in SQLite",
            )  # fmt: skip
        with self._reported("write", key), self._staged() as staged:
            staged.write_bytes(data)
            self._publish(staged, key, only_new=replaces is None)
        return self.head(key).version

    def put_file(
        self, key: str, path: Path, content_type: str, *, replaces: str | bool | None = False
    ) -> str:
        del content_type
        with self._reported("write", key), self._staged() as staged:
            shutil.copyfile(path, staged)
            if isinstance(replaces, str) and self.head(key).version != replaces:
                raise Conflict("write", self._named(key), "another version is there")
            self._publish(staged, key, only_new=replaces is None)
        return self.head(key).version

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (info for info in super().list(prefix) if not info.key.startswith(f"{STAGING}/"))

    def sweep(self) -> None:
        """Remove what writers left that were killed."""
        folder = self._root / STAGING
        for path in folder.iterdir() if folder.is_dir() else ():
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:  # its writer was faster
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            except BlockingIOError:  # its writer lives
                continue
            finally:
                os.close(descriptor)

    @contextmanager
    def _staged(self) -> Iterator[Path]:
        """A new file, locked for as long as its writer lives, gone at the end unless it was renamed."""
        folder = self._root / STAGING
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / uuid.uuid4().hex
        descriptor = _new_locked(path)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def _publish(self, staged: Path, key: str, *, only_new: bool) -> None:
        target = self._root / self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        _sync(staged)
        if only_new:
            try:
                target.hardlink_to(staged)
            except FileExistsError as error:
                raise Conflict("write", self._named(key), "another version is there") from error
        else:
            staged.replace(target)
        _sync(target.parent)


def _new_locked(path: Path) -> int:
    """The descriptor of a new file under an exclusive lock."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # a sweep came between the two calls


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failure(operation: str, target: str, error: exceptions.BaseError) -> ServiceError:
    """The typed error, with what S3 said in XML as one line."""
    text = str(error)
    code = re.search("<Code>([^<]*)</Code>", text)
    said = re.search("<Message>([^<]*)</Message>", text)
    status = re.search(r"status (?:code )?(\d{3})", text)
    first_line = text.partition("\n")[0]
    cause = ": ".join(found[1] for found in (code, said) if found) or re.sub("<.*", "", first_line)
    cause = shorten(cause.strip(), 300)
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        hint = (
            "check the credentials and their permission; without s3:ListBucket a missing object is denied too"
        )
        return Refused(operation, target, cause, hint=hint)
    if failed := re.search(r"\(os error (\d+)\)", text):
        number = int(failed[1])
        if number in (errno.ENOTDIR, errno.EISDIR):  # below an object, or a folder of objects
            return NotFound(operation, target, "it is not there")
        if number in _FINAL_ERRNOS:
            return Refused(operation, target, os.strerror(number))
    if isinstance(error, exceptions.InvalidPathError | exceptions.NotSupportedError):
        return Refused(operation, target, cause)
    if status and status[1].startswith("4") and status[1] not in ("408", "425", "429"):
        return Refused(operation, target, cause)
    return Unavailable(operation, target, cause)
