"""Scanning a folder: both layouts, and everything that is skipped has a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.camera_service.scan import camera_id, scan
from clipline.contract.errors import CliplineError, NotFound, UnreadableRecording
from clipline.contract.interval import LATEST_MS, Interval
from clipline.contract.recording import NameFormat
from clipline.contract.text import ID

START_MS = 1_537_113_617_000  # 2018-09-16T16:00:17.000Z
STAMP = "20180916T160017000"


def files(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"video")


def ten_minutes(_: Path) -> int:
    return 600_000


def test_one_folder_per_camera(tmp_path: Path) -> None:
    files(tmp_path, f"pier/anything.{STAMP}.mp4", "reef/reef.stream.20180916T160018250.MP4", "reef/notes.txt")

    found = scan(tmp_path, NameFormat(), ten_minutes)

    assert found.folder_per_camera
    assert found.cameras == (Camera("pier", "pier", "pier"), Camera("reef", "reef", "reef"))
    pier, reef = found.recordings
    assert (pier.alias, pier.name) == ("pier", f"anything.{STAMP}.mp4")
    assert pier.span == Interval(START_MS, START_MS + 600_000)
    assert (pier.key, pier.size_bytes) == (f"pier/{pier.name}", 5)
    assert reef.span.start_ms == START_MS + 1250
    assert found.skipped == ()
    assert str(found) == "Found 2 recordings of 2 cameras"


def test_flat(tmp_path: Path) -> None:
    files(tmp_path, f"pier.{STAMP}.mp4", f"reef.stream.{STAMP}.mp4", "empty_folder/readme.txt")

    found = scan(tmp_path, NameFormat(), ten_minutes)

    assert not found.folder_per_camera
    assert [one.alias for one in found.recordings] == ["pier", "reef"]
    assert (
        str(scan(tmp_path / "empty_folder", NameFormat(), ten_minutes)) == "Found 0 recordings of 0 cameras"
    )


def test_names_in_the_old_format(tmp_path: Path) -> None:
    files(tmp_path, "pier.20180916T160017.mp4")
    found = scan(tmp_path, NameFormat(old=True), ten_minutes)
    assert found.recordings[0].span.start_ms == START_MS


def test_every_skipped_file_has_a_reason(tmp_path: Path) -> None:
    good = f"pier/pier.{STAMP}.mp4"
    files(
        tmp_path, good, "pier/holiday.mp4", "pier/party.mp4", f"pier/2018/deep.{STAMP}.mp4",
        f"loose.{STAMP}.mp4", f"north pier/x.{STAMP}.mp4", "pier/broken.20180916T160018000.mp4",
        "pier/endless.20180916T160019000.mp4", "pier/nothing.20180916T160020000.mp4",
        f".trash/x.{STAMP}.mp4", f"pier/.half.{STAMP}.mp4",
    )  # fmt: skip
    (tmp_path / "pier/empty.20180916T160021000.mp4").touch()

    def duration_ms(path: Path) -> int:
        if path.name.startswith("broken"):
            raise UnreadableRecording("moov is missing")
        if path.name.startswith("endless"):
            return LATEST_MS
        return 0 if path.name.startswith("nothing") else 600_000

    found = scan(tmp_path, NameFormat(), duration_ms)

    assert [one.key for one in found.recordings] == [good]
    reasons = {str(one.path.relative_to(tmp_path)): f"{one.reason}: {one.detail}" for one in found.skipped}
    named = "does not end in a time like pier.20180916T160017000.mp4"
    expected = {
        "pier/holiday.mp4": named,
        "pier/party.mp4": named,
        f"pier/2018/deep.{STAMP}.mp4": "outside the folders of the cameras",
        f"loose.{STAMP}.mp4": "outside the folders of the cameras",
        f"north pier/x.{STAMP}.mp4": "'north pier'",
        "pier/broken.20180916T160018000.mp4": "moov is missing",
        "pier/endless.20180916T160019000.mp4": "no sensible length",
        "pier/nothing.20180916T160020000.mp4": "0 ms",
        "pier/empty.20180916T160021000.mp4": "empty",
    }
    assert reasons.keys() == expected.keys()
    for path, part in expected.items():
        assert part in reasons[path]
    text = str(found)
    assert text.startswith("Found 1 recording of 1 camera; ")
    assert "2 skipped because its name does not end in a time like" in text
    assert "1 skipped because it can't be read (broken.20180916T160018000.mp4: moov is missing)" in text


def test_a_file_that_vanishes_meanwhile_is_skipped(tmp_path: Path) -> None:
    files(tmp_path, f"pier.{STAMP}.mp4")

    def gone(path: Path) -> int:
        raise FileNotFoundError(2, "No such file or directory", str(path))

    assert "No such file" in scan(tmp_path, NameFormat(), gone).skipped[0].detail


def test_a_fault_in_the_program_is_not_taken_for_a_bad_file(tmp_path: Path) -> None:
    files(tmp_path, f"pier.{STAMP}.mp4")

    def wrong(_: Path) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scan(tmp_path, NameFormat(), wrong)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="missing"):
        scan(tmp_path / "missing", NameFormat(), ten_minutes)


def test_a_second_scan_reads_only_what_changed(tmp_path: Path, catalog: Catalog) -> None:
    folder = tmp_path / "recordings"
    same, grown = f"pier/pier.{STAMP}.mp4", "pier/pier.20180916T161017000.mp4"
    files(folder, same, grown)
    opened: list[str] = []

    def counting(length_ms: int) -> Callable[[Path], int]:
        def duration_ms(path: Path) -> int:
            opened.append(path.name)
            return length_ms

        return duration_ms

    def known() -> dict[str, StoredRecording]:
        return {key: one for path in catalog.folders() for key, one in catalog.folder(path).items()}

    first = scan(folder, NameFormat(), counting(1000), known=known())
    catalog.change(first.cameras, first.recordings)
    assert len(opened) == 2

    opened.clear()
    (folder / grown).write_bytes(b"more video")
    second = scan(folder, NameFormat(), counting(2000), known=known())
    catalog.change(second.cameras, second.recordings)

    assert opened == [Path(grown).name]
    spans = [one.span for one in catalog.recordings("pier", Interval(0, LATEST_MS))]
    assert [span.duration_ms for span in spans] == [1000, 2000]


@pytest.mark.parametrize("alias", ["pier", "north.pier", "x" * 65, "x" * 128])
def test_a_camera_id_can_be_asked_for(alias: str) -> None:
    assert ID.fullmatch(camera_id(alias))


def test_a_camera_id_is_the_same_on_every_machine() -> None:
    assert camera_id("pier") == "pier"
    assert camera_id("north.pier") == "north-pier-48f70441"


def test_aliases_that_look_alike_get_different_ids() -> None:
    aliases = ["north.pier", "north-pier", "north_pier", "x" * 65, "x" * 66]
    assert len({camera_id(alias) for alias in aliases}) == len(aliases)


def test_names_that_no_url_and_no_database_could_carry(tmp_path: Path) -> None:
    files(tmp_path, f"pier/a\n.{STAMP}.mp4", f"pier/b\x1b[2J.{STAMP}.mp4", f"pier/c\\d.{STAMP}.mp4")
    files(tmp_path, f"pier/\udcff.{STAMP}.mp4", f"pier/good é.{STAMP}.mp4")
    found = scan(tmp_path, NameFormat(), ten_minutes)
    assert [one.name for one in found.recordings] == [f"good é.{STAMP}.mp4"]
    (reason,) = {one.reason for one in found.skipped}
    assert reason == "its name or a folder's holds control characters or is no text"
    assert str(found).isprintable()


parts = (
    STAMP,
    "20180916T160017",
    "pier",
    "..",
    ".",
    "",
    "a b",
    "é",
    "%2F",
    "-",
    "\u202e",
    "99999999T999999999",
)
names = st.lists(st.sampled_from(parts), min_size=1, max_size=4).map(".".join)
suffixes = st.sampled_from([".mp4", ".MOV", ".m4v", ".txt", ""])


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["", "pier", "a.b", " "]), names, suffixes),
        st.one_of(st.integers(-5, LATEST_MS), st.sampled_from([CliplineError("no"), OSError("no")])),
        max_size=5,
    )
)  # fmt: skip
def test_every_file_is_a_recording_or_skipped_for_a_reason(
    folder: dict[tuple[str, str, str], int | Exception],
) -> None:
    """Whatever files are called, and however long they turn out to be."""
    with TemporaryDirectory() as directory:
        root, lengths = Path(directory), {}
        for (inside, name, suffix), length in folder.items():
            path = root / inside / f"{name}{suffix}"
            if path.name.startswith(".") or path.exists() or "/" in name:
                continue
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"video")
            lengths[str(path.resolve())] = length

        def duration_ms(path: Path) -> int:
            length = lengths[str(path)]
            if isinstance(length, Exception):
                raise length
            return length

        found = scan(root, NameFormat(), duration_ms)
        seen = [str(root.resolve() / one.key) for one in found.recordings] + [
            str(one.path) for one in found.skipped
        ]
        known = [path for path in lengths if Path(path).suffix.lower() in {".mp4", ".mov", ".m4v"}]
        assert sorted(seen) == sorted(known)
        assert {one.alias for one in found.recordings} == {camera.alias for camera in found.cameras}
        assert all(0 <= one.span.start_ms < one.span.end_ms <= LATEST_MS for one in found.recordings)
        assert all(one.reason for one in found.skipped)
        assert str(found).isprintable()
