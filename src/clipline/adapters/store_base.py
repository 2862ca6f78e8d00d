"""What every object store has in common, and the store in memory, over ``obstore``."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions

from clipline.contract.errors import Conflict, NotFound, Refused, ServiceError, Unavailable
from clipline.contract.text import shorten
from clipline.pipeline.ports import ObjectInfo

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore as Backend

_UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, lone surrogates
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


class Store:
    """What obstore reaches in this process, and what all stores have in common."""

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
                raise self._too_large(key, f"{size_bytes} bytes", most_bytes)
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
        self, key: str, path: Path, content_type: str, *, replaces: bool | str | None = False
    ) -> str:
        with self._reported("write", key):
            data = path.read_bytes()
        return self.put(key, data, content_type, replaces=replaces)

    def delete(self, key: str) -> None:
        with suppress(NotFound), self._reported("delete", key):
            obstore.delete(self._backend, self._path(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._reported("list", prefix):
            metas = obstore.list(self._backend, prefix=self._folder_of(prefix)).collect()
        yield from self._found(prefix, metas)

    def _folder_of(self, prefix: str) -> str | None:
        """obstore takes whole folders as prefixes."""
        inner = prefix.rpartition("/")[0]
        return (self._path(inner) if inner else self._prefix.rstrip("/")) or None

    def _found(self, prefix: str, metas: Iterable[ObjectMeta]) -> Sequence[ObjectInfo]:
        found = [
            ObjectInfo(
                meta["path"].removeprefix(self._prefix), meta["size"], meta["e_tag"] or "",
                round(meta["last_modified"].timestamp() * 1000),
            )
            for meta in metas
        ]  # fmt: skip
        return sorted((info for info in found if info.key.startswith(prefix)), key=lambda info: info.key)

    def sweep(self) -> None:
        """Nothing to remove: an object is there as a whole or not at all."""

    def _path(self, key: str) -> str:
        if _UNSENDABLE.search(key) or any(part in ("", ".", "..") for part in key.split("/")):
            raise Refused(
                "use the key", shorten(repr(key)), "it is none",
                hint="expected names divided by single slashes, without control characters",
            )  # fmt: skip
        return self._prefix + key

    def _named(self, key: str) -> str:
        return f"{self._target}/{self._prefix}{key}"

    def _too_large(self, key: str, size: str, most_bytes: int) -> Refused:
        return Refused("read", self._named(key), f"it has {size}, expected at most {most_bytes}")

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
