"""The catalog: what it finds, what it refuses, and what survives."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from clipline.camera_service import catalog as catalog_module
from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.contract.errors import Conflict, NotFound, Refused, Unavailable
from clipline.contract.interval import Interval

PIER = Camera("584204204e65fad6a7709115", "pier", "North pier")
REEF = Camera("reef", "reef", "Reef")


def recording(start_ms: int, end_ms: int, alias: str = "pier") -> StoredRecording:
    name = f"{alias}.{start_ms}.mp4"
    return StoredRecording(alias, name, f"/recordings/{name}", Interval(start_ms, end_ms), 1234)


def test_cameras_are_found_by_id_and_listed_by_name(catalog: Catalog) -> None:
    catalog.put_camera(REEF)
    catalog.put_camera(PIER)

    assert catalog.camera(PIER.id) == PIER
    assert list(catalog.cameras()) == [PIER, REEF]
    with pytest.raises(NotFound, match="nowhere"):
        catalog.camera("nowhere")


def test_a_camera_can_be_renamed_but_not_take_anothers_alias(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    catalog.put_camera(REEF)

    catalog.put_camera(Camera(PIER.id, "pier2", "South pier"))
    with pytest.raises(Conflict, match="reef"):
        catalog.put_camera(Camera(PIER.id, "reef", "Thief"))

    assert catalog.camera(PIER.id) == Camera(PIER.id, "pier2", "South pier")


@pytest.mark.parametrize("alias", ["", "..", "a/b", ".hidden", "end.", "a\n", "a b", "x" * 129, "é"])
def test_an_alias_that_could_climb_or_break_a_key_is_refused(catalog: Catalog, alias: str) -> None:
    with pytest.raises(Refused):
        catalog.put_camera(Camera("id", alias, "name"))
    assert not catalog.cameras()


@pytest.mark.parametrize(
    ("asked", "overlapping", "whole"),
    [
        ((0, 100), [], []),
        ((0, 101), [100], []),
        ((100, 200), [100], [100]),
        ((150, 250), [100, 200], []),
        ((100, 300), [100, 200], [100, 200]),
        ((199, 200), [100], []),
        ((300, 400), [], []),
        ((299, 1000), [200, 500], [500]),
    ],
)
def test_recordings_of_an_interval(
    catalog: Catalog, asked: tuple[int, int], overlapping: list[int], whole: list[int]
) -> None:
    catalog.put_camera(PIER)
    catalog.put_camera(REEF)
    # In no order, and beside another camera's.
    spans = [(500, 600), (100, 200), (200, 300)]
    catalog.add_recordings([recording(*span) for span in spans] + [recording(0, 1000, "reef")])

    def starts(*, only_whole: bool) -> list[int]:
        found = catalog.recordings("pier", Interval(*asked), whole=only_whole)
        return [one.span.start_ms for one in found]

    assert starts(only_whole=False) == overlapping
    assert starts(only_whole=True) == whole


def test_recordings_of_an_unknown_alias(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        catalog.recordings("nowhere", Interval(0, 1))
    with pytest.raises(NotFound, match="pier"):
        catalog.add_recordings([recording(0, 1)])


def test_a_recording_added_again_is_replaced(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    first = recording(0, 100)
    longer = StoredRecording("pier", first.name, first.path, Interval(0, 150), 2345)
    catalog.add_recordings([first])
    catalog.add_recordings([longer])

    assert list(catalog.recordings("pier", Interval(0, 200))) == [longer]
    assert catalog.files() == {longer.path: longer}


def test_replace_drops_what_is_gone_and_keeps_what_a_person_said(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    catalog.add_recordings([recording(0, 100), recording(100, 200)])

    catalog.replace([Camera("pier", "pier", "pier"), REEF], [recording(100, 200), recording(0, 50, "reef")])

    assert list(catalog.cameras()) == [PIER, REEF]
    assert [one.span.start_ms for one in catalog.recordings("pier", Interval(0, 300))] == [100]
    assert [one.span.end_ms for one in catalog.recordings("reef", Interval(0, 300))] == [50]


def test_a_replace_that_fails_changes_nothing(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    catalog.add_recordings([recording(0, 100)])

    with pytest.raises(Conflict):
        catalog.replace([Camera(PIER.id, "other", "other")], [])
    with pytest.raises(NotFound):
        catalog.replace([], [recording(0, 1, "stranger")])

    assert len(catalog.recordings("pier", Interval(0, 100))) == 1
    assert list(catalog.cameras()) == [PIER]


def test_an_available_clip_stays_available(catalog: Catalog) -> None:
    pending = {"clipId": "c", "status": "CLIP_PENDING"}
    available = {"clipId": "c", "status": "CLIP_AVAILABLE", "bucket": "b"}
    late = {"clipId": "c", "status": "CLIP_NOT_AVAILABLE"}

    assert catalog.put_clip("c", pending, 1).metadata == pending
    assert catalog.put_clip("c", available, 2).metadata == available
    assert catalog.put_clip("c", late, 3).metadata == available
    assert catalog.put_clip("c", {**available, "more": 1}, 4).metadata == {**available, "more": 1}

    record = catalog.clip("c")
    assert (record.status, record.updated_ms) == ("CLIP_AVAILABLE", 4)
    with pytest.raises(NotFound):
        catalog.clip("d")


def test_a_final_status_may_become_another(catalog: Catalog) -> None:
    for status in ("CLIP_NOT_AVAILABLE", "CLIP_PENDING", "CLIP_AVAILABLE"):
        assert catalog.put_clip("c", {"status": status}, 1).status == status


def test_threads_that_disagree_leave_the_clip_available(catalog: Catalog) -> None:
    statuses = ["CLIP_PENDING", "CLIP_AVAILABLE", "CLIP_NOT_AVAILABLE"] * 4
    threads = [
        threading.Thread(target=catalog.put_clip, args=("c", {"status": status}, 1)) for status in statuses
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert catalog.clip("c").status == "CLIP_AVAILABLE"


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with Catalog(path) as first:
        first.put_camera(PIER)
        first.add_recordings([recording(0, 100)])
        first.put_clip("c", {"status": "CLIP_PENDING"}, 7)
    with Catalog(path) as second, Catalog(path) as third:
        assert second.camera(PIER.id) == PIER
        assert list(third.recordings("pier", Interval(0, 1))) == [recording(0, 100)]
        third.put_clip("c", {"status": "CLIP_AVAILABLE"}, 8)
        assert second.clip("c").status == "CLIP_AVAILABLE"


def test_opened_by_several_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    problems: list[BaseException] = []

    def open_one(number: int) -> None:
        try:
            with Catalog(path) as opened:
                opened.put_camera(Camera(f"id{number}", f"alias{number}", "name"))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=open_one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not problems
    with Catalog(path) as opened:
        assert len(opened.cameras()) == 8


def test_an_older_catalog_is_brought_up_to_date_and_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sqlite"
    with Catalog(path) as before:
        before.put_camera(PIER)
    later = (*catalog_module.MIGRATIONS, ("ALTER TABLE cameras ADD COLUMN place TEXT",))
    monkeypatch.setattr(catalog_module, "MIGRATIONS", later)

    with Catalog(path) as after:
        assert after.camera(PIER.id) == PIER
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT place FROM cameras").fetchall() == [(None,)]
    db.close()


def test_a_migration_that_fails_leaves_the_catalog_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sqlite"
    with Catalog(path) as before:
        before.put_camera(PIER)
    broken = ("ALTER TABLE cameras ADD COLUMN place TEXT", "ALTER TABLE nothing ADD COLUMN x TEXT")
    with monkeypatch.context() as patch:
        patch.setattr(catalog_module, "MIGRATIONS", (*catalog_module.MIGRATIONS, broken))
        with pytest.raises(Unavailable, match="open"):
            Catalog(path)

    with Catalog(path) as after:
        assert after.camera(PIER.id) == PIER


def test_a_catalog_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Refused, match=r"schema 99.*newer version"):
        Catalog(path)


def test_a_file_that_is_no_catalog_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at " * 30)
    before = path.read_bytes()
    with pytest.raises(Refused, match=r"notes\.txt"):
        Catalog(path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="missing"):
        Catalog(tmp_path / "missing" / "c.sqlite")
