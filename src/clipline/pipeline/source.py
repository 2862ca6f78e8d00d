"""A recording in an object store, as the media engine reads it."""

from __future__ import annotations

from pathlib import Path

from clipline.contract.errors import Conflict, UnreadableRecording
from clipline.pipeline.ports import ObjectStore


class StoreSource:
    """One object, read by ranges of the version that was there at first: no two versions are mixed."""

    def __init__(self, store: ObjectStore, key: str, name: str) -> None:
        """Raises NotFound where the object is not there (yet)."""
        self._store = store
        self._key = key
        self.name = name
        info = store.head(key)
        self.size_bytes = info.size_bytes
        self.version = info.version
        self.local_path: Path | None = store.local_path(key)

    def check_unchanged(self) -> None:
        """Raises Conflict, or NotFound, where a file that is read in place is another one by now.

        Reads from elsewhere name the version each time.
        """
        if self.local_path is not None and self._store.head(self._key).version != self.version:
            raise Conflict("read", self.name, "it was replaced while it was read")

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        if offset < 0 or offset + length > self.size_bytes:
            raise UnreadableRecording(
                f"{self.name} has {self.size_bytes} bytes, {offset} to {offset + length} were to be read"
            )
        return self._store.read_range(self._key, offset, length, version=self.version)
