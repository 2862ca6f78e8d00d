from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clipline.camera_service.catalog import Catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.sqlite") as opened:
        yield opened
