"""Files and folders as they happen to be: none of them ends the looking, and what changes is seen."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from camera_service.test_discovery import STAMP, Place

from clipline.camera_service import discovery as module
from clipline.camera_service.layouts import Layouts
from clipline.entrypoints.watching import Watching

GOOD = f"pier/pier.{STAMP}.mp4"


@pytest.fixture
def place(tmp_path: Path, catalog, recording: bytes) -> Place:  # type: ignore[no-untyped-def]
    return Place(tmp_path / "recordings", catalog, recording)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0)


def test_a_folder_whose_name_is_no_text(place: Place) -> None:
    place.put(GOOD, f"caf\udce9/x.{STAMP}.mp4", f"caf\udce9/below/x.{STAMP}.mp4")
    discovery = place.discovery()
    for _ in range(2):
        discovery.look()
    assert list(place.known()) == [GOOD]
    assert str(discovery.found()).startswith("Found 1 recording of 1 camera; 2 skipped because its name or")
    str(discovery.found()).encode()


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("cam_00010101000000", "Europe/Berlin"), ("cam_99991231235959", "America/New_York"),
        ("cam_00000101000000", "UTC"),
    ],
)  # fmt: skip
def test_a_date_beyond_all_years(place: Place, name: str, zone: str) -> None:
    place.put(GOOD, f"cam/{name}.mp4")
    discovery = place.discovery(zone=ZoneInfo(zone))
    discovery.look()
    assert {one.alias for one in place.known().values()} == {"pier", "cam"}  # told by the file's own time
    read = Layouts(zone=ZoneInfo(zone)).read(f"cam/{name}.mp4")
    assert read is not None
    assert list(read.starts_ms) == []


def test_what_could_not_be_read_is_written_on(place: Place, recording: bytes, at_once: None) -> None:
    place.put(GOOD, data=recording[:-300])
    folder = place.root / "pier"
    long_ago_ns = time.time_ns() - 10**12
    os.utime(folder, ns=(long_ago_ns, long_ago_ns))
    discovery = place.discovery()
    discovery.look()
    assert [one.reason for one in discovery.found().skipped] == ["it can't be read"]
    with (place.root / GOOD).open("ab") as file:
        file.write(recording[-300:])
    assert folder.stat().st_mtime_ns == long_ago_ns
    discovery.look()
    assert list(place.known()) == [GOOD]
    assert not discovery.found().skipped


def test_what_is_written_on_is_read_anew(place: Place, recording: bytes, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "_WATCHED_EVERY_S", 0)
    place.put(GOOD, age_s=600)
    long_ago_ns = time.time_ns() - 10**12
    os.utime(place.root / "pier", ns=(long_ago_ns, long_ago_ns))
    discovery = place.discovery(settle_s=0.01)
    discovery.look()
    before = place.known()[GOOD]
    place.put(GOOD, data=recording + bytes(8), age_s=300)
    for _ in range(2):
        threading.Event().wait(0.02)
        discovery.look()
    assert (place.root / "pier").stat().st_mtime_ns == long_ago_ns  # a file written on does not show there
    assert place.known()[GOOD].size_bytes == before.size_bytes + 8


@pytest.mark.parametrize("alias", ["clips", "recording"])
def test_a_camera_called_as_a_word_of_the_interface(place: Place, alias: str) -> None:
    place.put(f"{alias}/x.{STAMP}.mp4")
    place.discovery().look()
    (camera,) = place.catalog.cameras()
    assert camera.alias == alias
    assert camera.id.startswith(f"{alias}-")


class _Failing:
    """Fails as nobody expects, and then it works."""

    unsettled = False

    def __init__(self) -> None:
        self.errors: Iterator[Exception] = iter([KeyError("x"), KeyError("x"), OSError("gone")])

    def look(self, _: object) -> None:
        for error in self.errors:
            raise error


def test_looking_goes_on_after_an_error_that_nobody_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipline.entrypoints.watching._MOST_PAUSE_S", 0.01)
    told: list[str] = []
    watching = Watching(_Failing(), "here", on_look=lambda: None, on_problem=told.append)  # type: ignore[arg-type]
    with watching:
        assert watching.looked.wait(5)
    assert told == ["looking for recordings failed: KeyError('x')", "gone"]
    assert not watching.problem
