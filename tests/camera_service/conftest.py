from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from camera_service.house import footage, house

from clipline.camera_service.catalog import Catalog
from clipline.media.footage import Footage, make_recording

__all__ = ["footage", "house"]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite") as opened:
        yield opened


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One second, with its index at the end."""
    path = tmp_path_factory.mktemp("recording") / "one.mp4"
    make_recording(path, 1_537_113_617_000, Footage(width=160, height=90, duration_s=1, audio=False))
    return path.read_bytes()
