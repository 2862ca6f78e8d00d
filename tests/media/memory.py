"""A recording in memory."""

from __future__ import annotations


class InMemory:
    """A recording's bytes."""

    name = "memory.mp4"
    local_path = None

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size_bytes, "no byte is asked for that is not there"
        return self._data[offset : offset + length]
