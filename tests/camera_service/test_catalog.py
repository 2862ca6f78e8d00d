"""The catalog: what it finds, what it refuses, and what survives."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from clipline.camera_service import catalog as catalog_module
from clipline.camera_service.catalog import Camera, Catalog, Extent, StoredRecording
from clipline.camera_service.clip_records import Wanted
from clipline.contract.errors import Conflict, NotFound, Refused, Unavailable
from clipline.contract.interval import Interval

PIER = Camera("584204204e65fad6a7709115", "pier", "North pier")
REEF = Camera("reef", "reef", "Reef")


def recording(start_ms: int, end_ms: int, alias: str = "pier") -> StoredRecording:
    name = f"{alias}.{start_ms}.mp4"
    return StoredRecording(alias, name, f"{alias}/{name}", Interval(start_ms, end_ms), 1234, 5678)


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
    catalog.change(put=[recording(*span) for span in spans] + [recording(0, 1000, "reef")])

    def starts(*, only_whole: bool) -> list[int]:
        found = catalog.recordings("pier", Interval(*asked), whole=only_whole)
        return [one.span.start_ms for one in found]

    assert starts(only_whole=False) == overlapping
    assert starts(only_whole=True) == whole


def test_recordings_of_an_unknown_alias(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        catalog.recordings("nowhere", Interval(0, 1))
    with pytest.raises(NotFound, match="pier"):
        catalog.change(put=[recording(0, 1)])


def test_a_recording_added_again_is_replaced(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    first = recording(0, 100)
    longer = StoredRecording("pier", first.name, first.key, Interval(0, 150), 2345, 6789, "modified")
    catalog.change(put=[first])
    catalog.change(put=[longer])

    assert list(catalog.recordings("pier", Interval(0, 200))) == [longer]
    assert catalog.folder("pier") == {longer.key: longer}
    assert catalog.counts()["recordings"] == 1


def test_a_change_drops_what_is_gone_and_keeps_what_a_person_said(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    gone = recording(0, 100)
    catalog.change(put=[gone, recording(100, 200)])

    cameras = [Camera("pier", "pier", "pier"), REEF]
    catalog.change(cameras, [recording(0, 50, "reef")], [(gone.alias, gone.name), ("reef", "never.mp4")])

    assert list(catalog.cameras()) == [PIER, REEF]
    assert [one.span.start_ms for one in catalog.recordings("pier", Interval(0, 300))] == [100]
    assert [one.span.end_ms for one in catalog.recordings("reef", Interval(0, 300))] == [50]


def test_a_change_that_fails_changes_nothing(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    there = recording(0, 100)
    catalog.change(put=[there])

    with pytest.raises(Conflict):
        catalog.change([Camera(PIER.id, "other", "other")])
    with pytest.raises(NotFound):
        catalog.change(put=[recording(0, 1, "stranger")], gone=[(there.alias, there.name)])

    assert len(catalog.recordings("pier", Interval(0, 100))) == 1
    assert list(catalog.cameras()) == [PIER]


def test_an_available_clip_stays_available(catalog: Catalog) -> None:
    pending = {"clipId": "c", "status": "CLIP_PENDING"}
    available = {"clipId": "c", "status": "CLIP_AVAILABLE", "bucket": "b"}
    late = {"clipId": "c", "status": "CLIP_NOT_AVAILABLE"}

    assert catalog.clips.put("c", pending, 1).metadata == pending
    assert catalog.clips.put("c", available, 2).metadata == available
    assert catalog.clips.put("c", late, 3).metadata == available
    assert catalog.clips.put("c", {**available, "more": 1}, 4).metadata == {**available, "more": 1}

    record = catalog.clips.get("c")
    assert (record.status, record.updated_ms) == ("CLIP_AVAILABLE", 4)
    with pytest.raises(NotFound):
        catalog.clips.get("d")


def test_a_final_status_may_become_another(catalog: Catalog) -> None:
    for status in ("CLIP_NOT_AVAILABLE", "CLIP_PENDING", "CLIP_AVAILABLE"):
        assert catalog.clips.put("c", {"status": status}, 1).status == status


def test_threads_that_disagree_leave_the_clip_available(catalog: Catalog) -> None:
    statuses = ["CLIP_PENDING", "CLIP_AVAILABLE", "CLIP_NOT_AVAILABLE"] * 4
    threads = [
        threading.Thread(target=catalog.clips.put, args=("c", {"status": status}, 1)) for status in statuses
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert catalog.clips.get("c").status == "CLIP_AVAILABLE"


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with Catalog(path) as first:
        first.put_camera(PIER)
        first.change(put=[recording(0, 100)])
        first.clips.put("c", {"status": "CLIP_PENDING"}, 7)
    with Catalog(path) as second, Catalog(path) as third:
        assert second.camera(PIER.id) == PIER
        assert list(third.recordings("pier", Interval(0, 1))) == [recording(0, 100)]
        third.clips.put("c", {"status": "CLIP_AVAILABLE"}, 8)
        assert second.clips.get("c").status == "CLIP_AVAILABLE"


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
        assert db.execute("PRAGMA user_version").fetchone() == (len(later),)
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


def test_a_catalog_of_the_first_version_keeps_cameras_and_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sqlite"
    with monkeypatch.context() as patch:
        patch.setattr(catalog_module, "MIGRATIONS", catalog_module.MIGRATIONS[:1])
        Catalog(path).close()
    metadata = (
        '{"cameraId": "pier", "startTimestampInMs": 10, "endTimestampInMs": 20, "status": "CLIP_PENDING"}'
    )
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO cameras VALUES ('pier', 'pier', 'North pier')")
        db.execute("INSERT INTO recordings VALUES ('pier', 'a.mp4', '/r/a.mp4', 0, 10, 1)")
        db.execute(
            "INSERT INTO clips VALUES ('c', ?, 'CLIP_PENDING', 7), ('d', '{}', 'CLIP_PENDING', 8)",
            (metadata,),
        )
    db.close()

    with Catalog(path) as after:
        assert list(after.cameras()) == [Camera("pier", "pier", "North pier")]
        assert after.counts() == {"cameras": 1, "recordings": 0, "clips": 2}
        (found,) = after.clips.list(Wanted(("pier",), start_ms=19, end_ms=30))
        assert (found.clip_id, found.requested_ms) == ("c", 7)
        after.change(put=[recording(0, 100)])
        assert len(after.recordings("pier", Interval(0, 1))) == 1


def test_folders_and_files_are_told_apart_from_names(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    root = StoredRecording("pier", "a.mp4", "a.mp4", Interval(0, 1), 1, 1)
    deep = StoredRecording("pier", "2026.17.a.mp4", "2026/17/a.mp4", Interval(1, 2), 1, 1, "creation_time")
    catalog.change(put=[root, deep])

    assert catalog.folders() == ["", "2026/17"]
    assert catalog.folder("") == {"a.mp4": root}
    assert catalog.folder("2026/17") == {"2026/17/a.mp4": deep}
    assert list(catalog.recordings("pier", Interval(0, 2))) == [root, deep]
    catalog.change(gone=[("pier", deep.name)])
    assert catalog.folders() == [""]


def test_the_extent_of_a_camera_and_how_long_its_recordings_are(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    catalog.put_camera(REEF)
    assert catalog.extent("pier") is None
    assert catalog.extents() == {}
    lengths = [7000, *[600] * 9]  # one long one at first: the last nine count
    ends = [sum(lengths[: place + 1]) for place in range(len(lengths))]
    catalog.change(put=[recording(end - length, end) for end, length in zip(ends, lengths, strict=True)])

    extent = Extent(0, sum(lengths), 600)
    assert catalog.extent("pier") == extent
    assert catalog.extents() == {PIER.id: extent}
    # The long one is found from its end as from its beginning, though by the end the others come first.
    assert catalog.spans("pier", Interval(0, 1)) == [(0, 7000)]
    assert catalog.spans("pier", Interval(6999, 7001)) == [(0, 7000), (7000, 7600)]


def test_clips_are_found_by_what_is_asked(catalog: Catalog) -> None:
    catalog.put_camera(PIER)
    catalog.put_camera(REEF)
    for number, (camera, status, reason) in enumerate(
        [("reef", "CLIP_AVAILABLE", ""), (PIER.id, "CLIP_PENDING", "100% sure"), (PIER.id, "FATAL_ERROR", "")]
    ):
        document = {
            "cameraId": camera, "startTimestampInMs": number * 10, "endTimestampInMs": number * 10 + 10,
            "status": status, "reason": reason,
        }  # fmt: skip
        catalog.clips.put(f"clip{number}", document, number)

    def found(**wanted: Any) -> list[str]:
        return [record.clip_id for record in catalog.clips.list(Wanted(**wanted))]

    assert found() == ["clip2", "clip1", "clip0"]
    assert found(most=1) == ["clip2"]
    assert found(before=(2, "clip2")) == ["clip1", "clip0"]
    assert found(camera_ids=["reef"]) == ["clip0"]
    assert found(statuses=["CLIP_AVAILABLE", "FATAL_ERROR"]) == ["clip2", "clip0"]
    assert found(text="north") == ["clip2", "clip1"]
    assert found(text="0% s") == ["clip1"]
    assert found(text="_") == []
    assert found(start_ms=11, end_ms=20) == ["clip1"]
    catalog.clips.delete("clip1")
    assert found(text="north") == ["clip2"]
    with pytest.raises(NotFound):
        catalog.clips.get("clip1")


def test_a_deleted_clip_stays_away_until_it_is_asked_for_again(catalog: Catalog) -> None:
    available = {"clipId": "c", "status": "CLIP_AVAILABLE"}
    catalog.clips.put("c", available, 1)
    catalog.clips.delete("c")
    assert [one.clip_id for one in catalog.clips.half_deleted()] == ["c"]
    catalog.clips.deleted("c")
    assert catalog.clips.half_deleted() == []
    catalog.clips.put("c", available, 2)
    with pytest.raises(NotFound):
        catalog.clips.get("c")

    catalog.clips.ask("c", {"clipId": "c", "status": "CLIP_PENDING"}, "body", 3)
    assert catalog.clips.unsent() == [("c", "body")]
    catalog.clips.sent("c", "another")
    assert catalog.clips.unsent() == [("c", "body")]
    catalog.clips.sent("c", "body")
    assert catalog.clips.unsent() == []
    assert catalog.clips.put("c", available, 4).deleted == 0
    assert catalog.clips.ask("c", {"status": "CLIP_PENDING"}, "body", 5).status == "CLIP_AVAILABLE"


def test_progress_is_noted_of_known_clips_and_forgotten_at_a_start(catalog: Catalog) -> None:
    assert catalog.clips.progress("c", "camera", 1) is None
    catalog.clips.put("c", {"status": "CLIP_PENDING"}, 1)
    noted = catalog.clips.progress("c", "camera index", 2)
    assert noted is not None
    assert (noted.stages, noted.delivery) == ("camera index", 2)
    catalog.clips.none_in_progress()
    assert catalog.clips.get("c").stages == ""
