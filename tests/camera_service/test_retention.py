"""What goes, by age and by space, and what stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from camera_service.house import RECORDING_MS, START_MS, House

from clipline.camera_service.retention import Originals, Retention, parse_age, parse_space


def test_clips_go_by_age_and_by_space(house: House) -> None:
    ids = [house.ask(1000, 2000 + number, clipId=f"clip{number}")["clipId"] for number in range(3)]
    house.work()
    pending = house.ask()["clipId"]
    catalog, now = house.parts.catalog, house.parts.now_ms()
    sizes = [clip.size_bytes or 0 for clip in catalog.clips.stored()]

    assert not Retention().plan(catalog, now + 10**12).clips
    old = Retention(clips_ms=60_000).plan(catalog, now + 61_000)
    assert sorted(clip.clip_id for clip in old.clips) == ids
    plan = Retention(clips_bytes=sum(sizes[1:])).plan(catalog, now)
    assert [clip.clip_id for clip in plan.clips] == ids[:1]
    assert len(catalog.clips.stored()) == 3  # a plan removes nothing
    plan.carry_out(
        catalog,
        house.parts.desk,
        Originals("file:/", house.parts.objects._store),
        lambda *_: pytest.fail("an error"),
    )
    assert [clip.clip_id for clip in catalog.clips.stored()] == ids[1:]
    assert house.state(pending)["status"] == "CLIP_PENDING"


def test_recordings_go_oldest_first(house: House, tmp_path: Path) -> None:
    catalog = house.parts.catalog
    plan = Retention(recordings_bytes=1).plan(catalog, START_MS)
    assert [one.key for one in plan.recordings] == ["00/pier.mp4"]
    end_ms = START_MS + 2 * RECORDING_MS
    assert len(Retention(recordings_ms=1000).plan(catalog, end_ms + 1000).recordings) == 2
    assert not Retention(recordings_ms=1000).plan(catalog, START_MS + 4999).recordings


def test_what_changed_after_the_plan_stays(house: House) -> None:
    for clip_id in ("again", "old"):
        house.ask(clipId=clip_id)
        assert house("POST", f"/cameras/clips/{clip_id}/cancel").status == 200
    catalog = house.parts.catalog
    plan = Retention(clips_ms=0).plan(catalog, house.parts.now_ms() + 1000)
    assert len(plan.clips) == 2
    assert house("POST", "/cameras/clips/again/retry").status == 202
    failed: list[str] = []
    originals = Originals("file:/", house.parts.objects._store)
    gone = plan.carry_out(catalog, house.parts.desk, originals, lambda what, _: failed.append(what))
    assert ([clip.clip_id for clip in gone.clips], failed) == (["old"], ["clip again"])
    house.work()
    assert house.state("again")["status"] == "CLIP_AVAILABLE"


def test_recordings_of_another_folder_are_not_taken_to_be_deleted(house: House, tmp_path: Path) -> None:
    catalog, store = house.parts.catalog, house.parts.objects._store
    plan = Retention(recordings_bytes=0).plan(catalog, START_MS)
    assert len(plan.recordings) == 2
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    told: list[str] = []
    originals = Originals(f"file:{elsewhere}", store)
    gone = plan.carry_out(catalog, house.parts.desk, originals, lambda _, error: told.append(str(error)))
    assert not gone.recordings
    assert [f"none of 2 is in {elsewhere}" in text for text in told] == [True]
    assert catalog.counts()["recordings"] == 2
    assert not list(elsewhere.iterdir())

    (elsewhere / "00").mkdir()
    (elsewhere / "00" / "pier.mp4").touch()
    gone = plan.carry_out(catalog, house.parts.desk, Originals(f"file:{elsewhere}", store), pytest.fail)
    assert len(gone.recordings) == 2  # one of them was not there any more
    assert not catalog.counts()["recordings"]
    assert [path.name for path in elsewhere.rglob("*")] == ["00"]


def test_a_plan_of_the_oldest_few(house: House) -> None:
    plan = Retention(recordings_bytes=0).plan(house.parts.catalog, START_MS, most=1)
    assert [one.key for one in plan.recordings] == ["00/pier.mp4"]


@pytest.mark.parametrize(("text", "ms"), [("12h", 43_200_000), ("30d", 2_592_000_000), ("2w", 1_209_600_000)])
def test_ages(text: str, ms: int) -> None:
    assert parse_age(text) == ms


@pytest.mark.parametrize("text", ["", "0d", "5", "5m", "-1d", "1.5d"])
def test_no_ages(text: str) -> None:
    with pytest.raises(ValueError, match="as in 12h"):
        parse_age(text)


def test_spaces() -> None:
    assert parse_space("50GB") == 50 * 10**9
    assert parse_space("2TiB") == 2 * 2**40
    with pytest.raises(ValueError, match="as in 50GB"):
        parse_space("50")
