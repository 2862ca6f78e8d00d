"""A pipeline of one machine's parts, with short footage and a clock that tests set."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import pytest
from pipeline.rig import (
    CLIP,
    LIMITS,
    RECORDING_MS,
    START_MS,
    WIDTHS,
    Cameras,
    CountingStore,
    Published,
    Rig,
    SetClock,
    recording,
)

from clipline.adapters.sqlite_ledger import SqliteLedger
from clipline.adapters.sqlite_queue import SqliteQueue
from clipline.adapters.storage import open_store
from clipline.contract.result import ObjectNames
from clipline.media.engine import InProcess
from clipline.media.footage import Footage, make_sample
from clipline.pipeline.generate import Options
from clipline.pipeline.ports import Services

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two recordings of 4 s that follow each other, and a broken one after them."""
    directory = tmp_path_factory.mktemp("origin")
    footage = Footage(width=640, height=360, duration_s=Fraction(RECORDING_MS, 1000))
    made = make_sample(directory / "cam", camera="cam", start_ms=START_MS, recordings=2, footage=footage)
    assert [path.name for path in made] == [recording(0).name, recording(1).name]
    (directory / "cam" / recording(2).name).write_bytes(made[0].read_bytes()[:5000])
    return directory


@pytest.fixture
def rig(origin: Path, tmp_path: Path) -> Iterator[Rig]:
    with ExitStack() as stack:
        clock = SetClock(CLIP.end_ms + 5000)
        cameras, published = Cameras([recording(0)]), Published()
        queue = stack.enter_context(SqliteQueue(tmp_path / "queue.sqlite", now_ms=clock.now_ms))
        ledger = stack.enter_context(SqliteLedger(tmp_path / "ledger.sqlite"))
        store = CountingStore(open_store(f"memory://pipeline-{next(_NUMBERS)}"))
        services = Services(
            cameras, open_store(f"file:{origin}"), store, queue, published, ledger, InProcess()
        )  # fmt: skip
        options = Options(
            LIMITS,
            ObjectNames("https://clips.example.com"),
            work_directory=tmp_path / "work",
            recording_key="{dir}/{name}",
            recording_directory="cam",
            thumbnail_sizes=WIDTHS,
        )
        yield Rig(services, options, clock, cameras, published, queue, ledger, store)
