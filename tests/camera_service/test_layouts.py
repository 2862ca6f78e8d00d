"""What the path of a recording tells, by the ways of several recorders."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipline.camera_service.discovery import camera_id
from clipline.camera_service.layouts import LAYOUTS, Layouts, alias_of, compile_pattern
from clipline.contract.errors import ConfigurationError
from clipline.contract.interval import iso
from clipline.contract.recording import ALIAS, NameFormat
from clipline.contract.text import ID

BERLIN = ZoneInfo("Europe/Berlin")


def told(key: str, zone: object = UTC, *patterns: str, names: NameFormat | None = None) -> tuple[str, ...]:
    place = Layouts(names, zone, patterns).read(key)  # type: ignore[arg-type]
    return () if place is None else (place.camera, *map(iso, place.starts_ms))


@pytest.mark.parametrize(
    ("key", "camera", "local", "utc"),
    [
        # our own, always in UTC
        ("pier/pier.stream.20260716T160017250.mp4", "pier", "2026-07-16T16:00:17.250Z", None),
        ("pier.20260716T160017250.mp4", "pier", "2026-07-16T16:00:17.250Z", None),
        ("pier.20260716T160017.mp4", "pier", "2026-07-16T16:00:17.000Z", None),
        ("pier/2026/07/16/x.20260716T160017250.mp4", "pier", "2026-07-16T16:00:17.250Z", None),
        ("archive/pier/2026-07-16/16/x.20260716T160017250.mp4", "pier", "2026-07-16T16:00:17.250Z", None),
        # Frigate, always in UTC
        ("2026-07-16/16/front_door/00.17.mp4", "front_door", "2026-07-16T16:00:17.000Z", None),
        ("media/recordings/2026-07-16/16/pier/00.17.mp4", "pier", "2026-07-16T16:00:17.000Z", None),
        ("2022-07/16/16/pier/00.17.mp4", "pier", "2022-07-16T16:00:17.000Z", None),
        # the others, in local time: two hours behind in July
        ("pier/2026-07-16_18-00-17-250000.mp4", "pier", None, "2026-07-16T16:00:17.250Z"),
        ("live/pier/2026-07-16_18-00-17-250000.mp4", "live/pier", None, "2026-07-16T16:00:17.250Z"),
        ("pier/1784217617.mp4", "pier", None, "2026-07-16T16:00:17.000Z"),
        ("Front/2026/07/16/Front_00_20260716180017.mp4", "Front", None, "2026-07-16T16:00:17.000Z"),
        ("Front_00_20260716180017.mp4", "Front", None, "2026-07-16T16:00:17.000Z"),
        ("hall/RecM01_20260716_180017_180517_6732828.mp4", "hall", None, "2026-07-16T16:00:17.000Z"),
        ("hall/2026-07-16/RecM01_DST20260716_180017_1_2_A.mp4", "hall", None, "2026-07-16T16:00:17.000Z"),
        ("Yard/Camera 01_nvr_20260716180017_20260716181017_77.mp4", "Yard", None, "2026-07-16T16:00:17.000Z"),
        ("NVR_ch2_main_20260716180017_20260716181017.mp4", "NVR_ch2_main", None, "2026-07-16T16:00:17.000Z"),
        ("Drive.20260716_180017.mp4", "Drive", None, "2026-07-16T16:00:17.000Z"),
        ("New/Drive.20260716_180017.12.mp4", "Drive", None, "2026-07-16T16:00:17.000Z"),
    ],
)
def test_recorders(key: str, camera: str, local: str | None, utc: str | None) -> None:
    assert told(key, BERLIN) == (camera, local or utc)


def test_every_layout_can_be_read_back() -> None:
    """A pattern that an earlier one hides would never be used."""
    moment = datetime(2026, 7, 16, 18, 0, 17, tzinfo=UTC)
    for layout in LAYOUTS:
        pattern = layout.pattern.replace("%s", str(int(moment.timestamp())))
        key = moment.strftime(pattern).replace("*", "1").replace("?", "M")
        for field in ("{camera}", "{folder}", "{path}"):
            key = key.replace(field, "pier")
        place = Layouts().read(f"{key}.mp4")
        assert place is not None, layout
        assert (place.camera, place.starts_ms) == ("pier", [int(moment.timestamp()) * 1000]), layout


def test_the_hour_that_comes_twice_could_be_either() -> None:
    assert told("pier/2026-10-25_02-30-00-000000.mp4", BERLIN) == (
        "pier", "2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z",
    )  # fmt: skip


def test_an_offset_in_the_name_goes_before_the_time_zone() -> None:
    pattern = "{camera}/%Y-%m-%dT%H-%M-%S%z"
    assert told("pier/2026-07-16T16-00-17+0530.mp4", BERLIN, pattern)[1] == "2026-07-16T10:30:17.000Z"
    assert told("pier/2026-07-16T16-00-17-03:00.mp4", BERLIN, pattern)[1] == "2026-07-16T19:00:17.000Z"
    assert told("pier/2026-07-16T16-00-17Z.mp4", BERLIN, pattern)[1] == "2026-07-16T16:00:17.000Z"


def test_a_pattern_of_ones_own_goes_first() -> None:
    key = "cam7/video/16.07.26 18h00m17.mp4"
    assert told(key) == ("video",)
    assert told(key, BERLIN, "{camera}/video/%d.%m.%y %Hh%Mm%S.mp4") == ("cam7", "2026-07-16T16:00:17.000Z")


def test_what_a_pattern_names_twice_has_to_be_the_same() -> None:
    assert told("Front/2026/07/16/Front_00_20260717180017.mp4", UTC)[0] == "Front"
    pattern = compile_pattern("{camera}/%Y/%m/%d/*_%Y%m%d%H%M%S")
    assert pattern.fullmatch("Front/2026/07/16/Front_00_20260716180017")
    assert not pattern.fullmatch("Front/2026/07/16/Front_00_20260717180017")


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("%Y-%m-%d/%H-%M-%S", "the camera"),
        ("{camera}/%Y-%m-%d", "the time"),
        ("{camera}/%Y-%m-%d/%I-%M", "%I"),
        ("{cam}/%s", "{cam}"),
    ],
)
def test_a_pattern_that_is_none(pattern: str, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part):
        compile_pattern(pattern)


def test_no_time_and_no_camera() -> None:
    assert told("pier/holiday.mp4") == ("pier",)
    assert told("pier/2026/07/holiday.mp4") == ("pier",)
    assert told("holiday.mp4") == ()
    assert told("pier/2026-02-30_02-30-00-000000.mp4") == ("pier",)  # no such day
    assert told("2026/07/x.mp4") == ()


@pytest.mark.parametrize(
    ("camera", "alias"),
    [("pier", "pier"), ("north.pier", "north.pier"), ("Nordöstliche Mole", "Nord-stliche-Mole-0ab5f3")],
)
def test_an_alias_can_be_part_of_keys(camera: str, alias: str) -> None:
    assert alias_of(camera)[:-6] == alias[:-6]
    assert len({alias_of(one) for one in ("a b", "a-b", "a_b", "a  b", "a/b")}) == 5


@given(st.text(min_size=1))
def test_whatever_a_camera_is_called(camera: str) -> None:
    alias = alias_of(camera)
    assert ALIAS.fullmatch(alias)
    assert ID.fullmatch(camera_id(alias))


@given(st.lists(st.sampled_from(["pier", "2026", "07", "20260716180017", "_", ".", "a b", "é"]), max_size=8))
def test_whatever_files_are_called(parts: list[str]) -> None:
    place = Layouts().read("/".join(parts) + ".mp4")
    assert place is None or (place.camera and all(one >= 0 for one in place.starts_ms))


@pytest.mark.parametrize("alias", ["pier", "north.pier", "x" * 65, "x" * 128])
def test_a_camera_id_can_be_asked_for(alias: str) -> None:
    assert ID.fullmatch(camera_id(alias))


def test_a_camera_id_is_the_same_on_every_machine() -> None:
    assert camera_id("pier") == "pier"
    assert camera_id("north.pier") == "north-pier-48f70441"


def test_aliases_that_look_alike_get_different_ids() -> None:
    aliases = ["north.pier", "north-pier", "north_pier", "x" * 65, "x" * 66]
    assert len({camera_id(alias) for alias in aliases}) == len(aliases)
