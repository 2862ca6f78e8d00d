from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from camera_service.house import footage, house

from clipline.camera_service.catalog import Catalog

__all__ = ["footage", "house"]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite") as opened:
        yield opened
