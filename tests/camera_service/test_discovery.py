"""Recordings become known as they appear, and what is skipped has a reason. Files are real recordings."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from clipline.adapters.storage import open_store
from clipline.camera_service.archive import FolderArchive
from clipline.camera_service.catalog import Catalog, StoredRecording
from clipline.camera_service.discovery import Discovery
from clipline.camera_service.layouts import Layouts
from clipline.contract.errors import NotFound, Unavailable
from clipline.contract.interval import LATEST_MS, Interval, iso
from clipline.media.footage import Footage, make_recording

STAMP = "20180916T160017000"
START_MS = 1_537_113_617_000
LENGTH_MS = 1000


class Place:
    """A folder of recordings, and what has become known of it."""

    def __init__(self, root: Path, catalog: Catalog, data: bytes) -> None:
        self.root, self.catalog, self._data = root, catalog, data
        self.changed: list[set[str]] = []
        root.mkdir()

    def discovery(self, *, settle_s: float = 0, zone: tzinfo = UTC) -> Discovery:
        return Discovery(
            self.catalog, FolderArchive(self.root, self.root / "data"), open_store(f"file:{self.root}"),
            Layouts(zone=zone), settle_s=settle_s, on_change=self.changed.append,
        )  # fmt: skip

    def put(self, *keys: str, data: bytes | None = None, age_s: float = 10_000) -> None:
        for key in keys:
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._data if data is None else data)
            moment = time.time() - age_s
            os.utime(path, (moment, moment))

    def known(self) -> dict[str, StoredRecording]:
        return {key: one for path in self.catalog.folders() for key, one in self.catalog.folder(path).items()}


@pytest.fixture
def place(tmp_path: Path, catalog: Catalog, recording: bytes) -> Place:
    return Place(tmp_path / "recordings", catalog, recording)


def test_one_folder_per_camera(place: Place) -> None:
    place.put(f"pier/any.{STAMP}.mp4", "reef/reef.stream.20180916T160018250.MP4", "reef/notes.txt")
    discovery = place.discovery()
    discovery.look()
    known = place.known()
    assert [(one.alias, one.name) for one in known.values()] == [
        ("pier", f"any.{STAMP}.mp4"), ("reef", "reef.stream.20180916T160018250.MP4"),
    ]  # fmt: skip
    assert known[f"pier/any.{STAMP}.mp4"].span == Interval(START_MS, START_MS + LENGTH_MS)
    assert str(discovery.found()) == "Found 2 recordings of 2 cameras"
    assert place.changed == [{"pier", "reef"}]
    assert [(camera.id, camera.name) for camera in place.catalog.cameras()] == [("pier",) * 2, ("reef",) * 2]


def test_flat_and_several_recorders_side_by_side(place: Place) -> None:
    place.put(
        f"pier.{STAMP}.mp4", "2018-09-16/16/front/00.17.mp4", "Nord Mole/2018-09-16_18-00-17-250000.mp4"
    )
    place.discovery(zone=ZoneInfo("Europe/Berlin")).look()
    starts = {one.alias.rpartition("-")[0] or one.alias: one.span.start_ms for one in place.known().values()}
    assert starts == {"pier": START_MS, "front": START_MS, "Nord-Mole": START_MS + 250}
    assert "Nord Mole" in [camera.name for camera in place.catalog.cameras()]


def test_names_are_unique_within_a_camera(place: Place) -> None:
    place.put(
        "2018-09-16/16/front/00.17.mp4", "2018-09-17/16/front/00.17.mp4", "2018-09-17/16/reef/00.17.mp4"
    )
    place.discovery().look()
    recordings = place.catalog.recordings("front", Interval(0, LATEST_MS))
    assert [one.name for one in recordings] == [
        "2018-09-16~16~front~00.17.mp4", "2018-09-17~16~front~00.17.mp4",
    ]  # fmt: skip
    assert [one.key for one in recordings] == [
        "2018-09-16/16/front/00.17.mp4",
        "2018-09-17/16/front/00.17.mp4",
    ]


def test_every_skipped_file_has_a_reason(place: Place, recording: bytes) -> None:
    good = f"pier/pier.{STAMP}.mp4"
    place.put(
        good, "holiday.mp4", "pier/video.ts", f".trash/x.{STAMP}.mp4", f"pier/.half.{STAMP}.mp4",
        f"pier/a\n.{STAMP}.mp4", f"pier/b\x1b[2J.{STAMP}.mp4", f"pier/\udcff.{STAMP}.mp4",
    )  # fmt: skip
    place.put("pier/broken.20180916T160018000.mp4", data=recording[:-200])
    place.put("pier/empty.20180916T160021000.mp4", data=b"")
    discovery = place.discovery()
    discovery.look()
    assert list(place.known()) == [good]
    reasons = {one.key: f"{one.reason}: {one.detail}" for one in discovery.found().skipped}
    text = "its name or a folder's holds control characters or is no text"
    expected = {
        "holiday.mp4": "neither its name nor a folder tells its camera",
        "pier/video.ts": "no MP4 file",
        "pier/broken.20180916T160018000.mp4": "moov",
        "pier/empty.20180916T160021000.mp4": "it is empty",
        f"pier/a\n.{STAMP}.mp4": text,
        f"pier/b\x1b[2J.{STAMP}.mp4": text,
        f"pier/?.{STAMP}.mp4": text,
    }
    assert reasons.keys() == expected.keys()
    assert all(part in reasons[key] for key, part in expected.items()), reasons
    summary = str(discovery.found())
    assert summary.startswith("Found 1 recording of 1 camera; ")
    assert "1 skipped because it can't be read (pier/broken.20180916T160018000.mp4: " in summary
    assert f"3 skipped because {text}" in summary
    assert summary.isprintable()


def test_a_second_look_reads_only_what_changed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    same, other = f"pier/pier.{STAMP}.mp4", "pier/pier.20180916T161017000.mp4"
    place.put(same, other)
    place.discovery().look()
    opened = _watch_reading(monkeypatch)
    place.put(other, age_s=5000)
    discovery = place.discovery()
    discovery.look()
    assert opened == [Path(other).name]
    discovery.look()
    assert opened == [Path(other).name]


def _watch_reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from clipline.camera_service import discovery

    opened: list[str] = []
    read = discovery.read_index

    def watched(source: object) -> object:
        opened.append(source.name)  # type: ignore[attr-defined]
        return read(source)  # type: ignore[arg-type]

    monkeypatch.setattr(discovery, "read_index", watched)
    return opened


def test_another_time_zone_moves_what_is_known(place: Place) -> None:
    place.put("pier/2018-09-16_16-00-17-000000.mp4", f"reef/reef.{STAMP}.mp4")
    place.discovery().look()
    place.changed.clear()
    place.discovery(zone=ZoneInfo("Europe/Berlin")).look()
    assert {one.alias: iso(one.span.start_ms) for one in place.known().values()} == {
        "pier": "2018-09-16T14:00:17.000Z", "reef": "2018-09-16T16:00:17.000Z",
    }  # fmt: skip
    assert place.changed == [{"pier"}]


def test_the_hour_that_comes_twice_is_told_by_when_the_file_was_written(place: Place) -> None:
    key = "pier/2026-10-25_02-30-00-000000.mp4"
    for written in ("2026-10-25T00:30:01Z", "2026-10-25T01:30:01Z"):
        moment = _instant_s(written)
        place.put(key)
        os.utime(place.root / key, (moment, moment))
        place.discovery(zone=ZoneInfo("Europe/Berlin")).look()
        assert place.known()[key].span.end_ms == moment * 1000


def _instant_s(text: str) -> int:
    from clipline.contract.interval import parse_instant

    return parse_instant(text) // 1000


def test_a_name_without_a_time(place: Place, recording: bytes) -> None:
    """The file's own creation_time, else when it was written last."""
    place.put("pier/a.mp4")
    at = recording.index(b"mvhd") + 8
    for created_s, told_by, start_ms in (
        (0, "modified", None),
        (2_082_844_800 + START_MS // 1000, "creation_time", START_MS),
    ):
        place.put("pier/b.mp4", data=recording[:at] + created_s.to_bytes(4, "big") + recording[at + 4 :])
        modified_ms = (place.root / "pier/b.mp4").stat().st_mtime_ns // 10**6
        place.discovery().look()
        found = place.known()["pier/b.mp4"]
        assert found.told_by == told_by
        assert found.span.start_ms == (start_ms or modified_ms - LENGTH_MS)


class TestWhileItChanges:
    def test_what_is_being_written_is_not_offered(self, place: Place, recording: bytes) -> None:
        key = f"pier/pier.{STAMP}.mp4"
        discovery = place.discovery(settle_s=0.3)
        place.put(key, data=recording[:400], age_s=0)
        discovery.look()
        assert not place.known()
        assert discovery.growing() == {"pier": START_MS}
        assert str(discovery.found()) == "Found 0 recordings of 0 cameras, 1 more being written"
        place.put(key, age_s=0)
        discovery.look()
        assert discovery.unsettled
        assert not place.known()
        _until(discovery, lambda: bool(place.known()))
        assert discovery.growing() == {}
        assert not discovery.found().skipped

    def test_what_stays_half_written_is_told_in_the_end(self, place: Place, recording: bytes) -> None:
        key = f"pier/pier.{STAMP}.mp4"
        place.put(key, data=recording[:-300], age_s=800)
        discovery = place.discovery(settle_s=0.1)
        discovery.look()
        assert not discovery.found().skipped
        place.put(key, data=recording[:-300], age_s=1000)
        discovery.look()
        time.sleep(0.15)
        discovery.look()
        assert [one.reason for one in discovery.found().skipped] == ["it can't be read"]
        assert discovery.growing() == {}

    def test_appearing_and_going(self, place: Place) -> None:
        discovery = place.discovery()
        place.put(f"pier/pier.{STAMP}.mp4")
        discovery.look()
        place.changed.clear()
        place.put("pier/pier.20180916T161017000.mp4", "reef/2018/09/16/x.20180916T161017000.mp4")
        discovery.look()
        assert len(place.known()) == 3
        (place.root / f"pier/pier.{STAMP}.mp4").unlink()
        shutil.rmtree(place.root / "reef")
        discovery.look()
        assert list(place.known()) == ["pier/pier.20180916T161017000.mp4"]
        assert place.changed == [{"pier", "reef"}, {"pier", "reef"}]

    def test_what_went_while_nobody_looked(self, place: Place) -> None:
        place.put(f"pier/pier.{STAMP}.mp4", f"reef/a/reef.{STAMP}.mp4", f"reef/reef.{STAMP}.mp4")
        place.discovery().look()
        shutil.rmtree(place.root / "reef/a")
        (place.root / f"pier/pier.{STAMP}.mp4").unlink()
        place.discovery().look()
        assert list(place.known()) == [f"reef/reef.{STAMP}.mp4"]

    def test_a_recording_that_grows_is_read_again(
        self, place: Place, recording: bytes, tmp_path: Path
    ) -> None:
        longer = tmp_path / "longer.mp4"
        make_recording(longer, START_MS, Footage(width=160, height=90, duration_s=3, audio=False))
        key = f"pier/pier.{STAMP}.mp4"
        discovery = place.discovery(settle_s=0.1)
        place.put(key, age_s=1)
        discovery.look()
        assert place.known()[key].span.duration_ms == 1000
        (place.root / key).write_bytes(longer.read_bytes())
        _until(discovery, lambda: place.known()[key].span.duration_ms == 3000)

    def test_a_recording_that_is_spoilt_is_offered_no_longer(self, place: Place) -> None:
        key = f"pier/pier.{STAMP}.mp4"
        place.put(key)
        place.discovery().look()
        place.put(key, data=b"no recording", age_s=5000)
        discovery = place.discovery()
        discovery.look()
        assert not place.known()
        assert [one.key for one in discovery.found().skipped] == [key]


def _until(discovery: Discovery, reached: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < end_s
        time.sleep(0.05)
        discovery.look()


class TestWhatIsNotThere:
    def test_no_folder(self, place: Place) -> None:
        place.root.rmdir()
        with pytest.raises(NotFound, match="no such folder"):
            place.discovery().look()

    def test_a_disk_that_is_not_mounted_loses_nothing(self, place: Place) -> None:
        place.put(f"pier/pier.{STAMP}.mp4")
        discovery = place.discovery()
        discovery.look()
        shutil.move(place.root / "pier", place.root.parent / "unmounted")
        for one in (discovery, place.discovery()):
            with pytest.raises(Unavailable, match="mounted"):
                one.look()
        assert len(place.known()) == 1
        shutil.move(place.root.parent / "unmounted", place.root / "pier")
        place.put("pier/pier.20180916T161017000.mp4")
        discovery.look()
        assert len(place.known()) == 2

    def test_a_folder_that_cannot_be_read(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Permissions do not hold root back, so the call that would fail is made to."""
        place.put(f"pier/pier.{STAMP}.mp4", f"reef/2018/reef.{STAMP}.mp4")
        place.discovery().look()
        scandir = os.scandir

        def denied(path: Path) -> object:
            if Path(path).name == "reef":
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", denied)
        discovery = place.discovery()
        discovery.look()
        assert len(place.known()) == 2
        assert "1 skipped because its folder can't be read (reef: Permission denied)" in str(
            discovery.found()
        )
        monkeypatch.undo()
        discovery.look()
        assert not discovery.found().skipped

    def test_links_in_circles(self, place: Place) -> None:
        place.put(f"pier/pier.{STAMP}.mp4", f"data/clips/pier/x.{STAMP}.mp4")
        (place.root / "pier/again").symlink_to(place.root, target_is_directory=True)
        place.discovery().look()
        assert list(place.known()) == [f"pier/pier.{STAMP}.mp4"]

    def test_a_look_that_failed_is_made_up_for(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.put(f"pier/pier.{STAMP}.mp4", f"reef/reef.{STAMP}.mp4")
        discovery = place.discovery()

        def fails(*_: object) -> None:
            raise Unavailable("change", "the catalog", "disk full")

        monkeypatch.setattr(place.catalog, "change", fails)
        with pytest.raises(Unavailable):
            discovery.look()
        monkeypatch.undo()
        discovery.look()
        assert len(place.known()) == 2


def test_an_id_that_a_person_gave_to_another_camera(place: Place) -> None:
    from clipline.camera_service.catalog import Camera

    place.catalog.put_camera(Camera("pier", "elsewhere", "Elsewhere"))
    place.put(f"pier/pier.{STAMP}.mp4")
    place.discovery().look()
    assert {camera.alias: camera.id for camera in place.catalog.cameras()}["pier"].startswith("pier-")


def test_a_fault_in_the_program_is_not_taken_for_a_bad_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipline.camera_service import discovery

    place.put(f"pier.{STAMP}.mp4")

    def wrong(_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(discovery, "read_index", wrong)
    with pytest.raises(ZeroDivisionError):
        place.discovery().look()
