"""Recordings in a bucket become known when it is listed."""

from __future__ import annotations

import time

import pytest

from clipline.adapters.storage import open_store
from clipline.camera_service import discovery as module
from clipline.camera_service.archive import BucketArchive
from clipline.camera_service.catalog import Catalog
from clipline.camera_service.discovery import Discovery
from clipline.camera_service.layouts import Layouts
from clipline.contract.errors import Unavailable
from clipline.media.ranges import ByteSource
from clipline.pipeline.ports import ObjectStore

STAMP = "20180916T160017000"


@pytest.fixture
def store() -> ObjectStore:
    return open_store(f"memory://{time.monotonic_ns()}")


def test_it_is_listed(store: ObjectStore, catalog: Catalog, recording: bytes) -> None:
    discovery = Discovery(catalog, BucketArchive(store, rest_s=0), store, Layouts())
    store.put(f"pier/pier.{STAMP}.mp4", recording, "video/mp4")
    store.put(f"pier/half.{STAMP}.mp4", recording[:300], "video/mp4")
    store.put("2018-09-16/16/front/00.17.mp4", recording, "video/mp4")
    discovery.look()
    found = str(discovery.found())
    assert found.startswith("Found 2 recordings of 2 cameras; 1 skipped because it can't be read")
    store.delete("2018-09-16/16/front/00.17.mp4")
    store.put("pier/2018-09-16_17-00-00-000000.mp4", recording, "video/mp4")
    discovery.look()
    assert [one.key for one in catalog.oldest()] == [
        f"pier/pier.{STAMP}.mp4", "pier/2018-09-16_17-00-00-000000.mp4",
    ]  # fmt: skip


def test_not_all_the_time(
    store: ObjectStore, catalog: Catalog, recording: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    read = module.read_index

    def watched(source: ByteSource) -> object:
        opened.append(source.name)
        return read(source)

    monkeypatch.setattr(module, "read_index", watched)
    archive = BucketArchive(store)
    discovery = Discovery(catalog, archive, store, Layouts())
    store.put(f"pier/pier.{STAMP}.mp4", recording, "video/mp4")
    discovery.look()
    store.put("pier/pier.20180916T170017000.mp4", recording, "video/mp4")
    discovery.look()
    assert len(catalog.oldest()) == 1
    archive.restart()
    discovery.look()
    assert len(catalog.oldest()) == 2
    assert len(opened) == 2  # each once


def test_a_server_that_does_not_answer_for_a_while(
    store: ObjectStore, catalog: Catalog, recording: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = module.read_index
    failures = [Unavailable("read", "it", "no answer")]

    def fails_once(source: ByteSource) -> object:
        if failures:
            raise failures.pop()
        return read(source)

    monkeypatch.setattr(module, "read_index", fails_once)
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    store.put(f"pier/pier.{STAMP}.mp4", recording, "video/mp4")
    discovery = Discovery(catalog, BucketArchive(store), store, Layouts())
    discovery.look()
    assert not catalog.oldest()
    assert not discovery.found().skipped
    end_s = time.monotonic() + 10
    while not catalog.oldest():
        assert time.monotonic() < end_s
        discovery.look()
