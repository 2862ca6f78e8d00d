"""Object stores by URL.

recordings, s3://recordings[/folder]    a bucket of S3 or of what speaks its protocol
file:///archive, file:data/clips        a folder of this machine
memory://name                           gone with this process; the same name is the same store
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore.store import MemoryStore

from clipline.adapters.store_base import Store
from clipline.adapters.store_folder import Folder
from clipline.contract.errors import ConfigurationError
from clipline.contract.text import shorten
from clipline.pipeline.ports import ObjectStore

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_EXPECTED = "expected the name of a bucket, or a URL s3://bucket, file:folder or memory://name"
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
                return Folder(Path(path))
        case "memory" if len(rest) > 2 and rest.startswith("//"):
            return Store(url, rest[2:], lambda: _memories.setdefault(url, MemoryStore()))
        case "s3":
            bucket, _, prefix = rest.removeprefix("//").partition("/")
            if rest.startswith("//") and _BUCKET.fullmatch(bucket):
                from clipline.adapters.store_s3 import Bucket  # a folder needs no HTTP

                return Bucket(bucket, prefix.strip("/"), s3_options)
    raise ConfigurationError(f"{shorten(repr(url))} is no object store", hint=_EXPECTED)
