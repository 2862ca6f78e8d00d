"""A recording in a store: of one version, whatever happens there."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipline.adapters.storage import open_store
from clipline.contract.errors import Conflict, UnreadableRecording
from clipline.pipeline.source import StoreSource


def test_an_object_that_is_replaced_is_read_no_further() -> None:
    store = open_store("memory://replaced")
    store.put("a.mp4", b"first version", "video/mp4")
    source = StoreSource(store, "a.mp4", "a.mp4")
    assert source.read(0, 5) == b"first"
    store.put("a.mp4", b"other version", "video/mp4")
    with pytest.raises(Conflict):
        source.read(6, 7)


def test_bytes_beyond_its_end_are_not_asked_for() -> None:
    store = open_store("memory://short")
    store.put("a.mp4", b"1234", "video/mp4")
    source = StoreSource(store, "a.mp4", "a.mp4")
    for offset, length in ((0, 5), (4, 1), (-1, 2)):
        with pytest.raises(UnreadableRecording, match=r"a\.mp4 has 4 bytes"):
            source.read(offset, length)


def test_a_file_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path}")
    store.put("a.mp4", b"first version", "video/mp4")
    source = StoreSource(store, "a.mp4", "a.mp4")
    source.check_unchanged()
    store.put("a.mp4", b"other version", "video/mp4")
    with pytest.raises(Conflict, match="replaced while it was read"):
        source.check_unchanged()
