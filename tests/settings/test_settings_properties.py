"""Any text as a setting: settings that work, or one error that names it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clipline.contract.errors import ConfigurationError
from clipline.contract.interval import LATEST_MS, Interval
from clipline.contract.recording import NameFormat, Recording
from clipline.contract.result import ObjectNames
from clipline.settings import Settings, local_settings

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
templates = st.lists(
    st.sampled_from(
        ["{name}", "{dir}", "{alias}", "{clipId}", "{cameraId}", "{size}", "{format}", "{", "}", "{}",
         "/", "..", "%Y", "%f", "%s", "%", "%%", "%-d", "a", ".", "{name!r}", "{name.x}", "é", "\n"]
    ),
    max_size=6,
).map("".join)  # fmt: skip
KEYS = ("RECORDING_KEY", "CLIP_KEY", "THUMBNAIL_KEY")


def load(**changes: str) -> Settings | None:
    """The settings of this machine with ``changes``; None where they are refused, by name."""
    try:
        return local_settings(Path("data"), changes)
    except ConfigurationError as error:
        told = str(error)
    assert told.splitlines() == [told]
    assert any(name in told for name in changes)
    return None


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(name.upper() for name in Settings.model_fields)), text)
@example("THUMBNAIL_SIZES", "[300, 1e400]")
@example("TIMESTAMP_FORMAT", "%")
@example("TIMESTAMP_FORMAT", "%Y%Y")
def test_any_text_as_any_setting_is_taken_or_refused_by_name(
    no_settings: None, name: str, value: str
) -> None:
    load(**{name: value})


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KEYS), templates | text, st.integers(0, LATEST_MS - 1))
def test_a_template_that_is_taken_makes_keys(
    no_settings: None, name: str, template: str, start_ms: int
) -> None:
    found = load(**{name: template})
    if found is None:
        return
    recording = Recording("pier.20180916T160017033.mp4", Interval(start_ms, start_ms + 1), "pier")
    key = recording.key(found.recording_key, "folder")
    assert recording.name in key
    assert not key.startswith("/")
    names = ObjectNames("https://clips", found.clip_key, found.thumbnail_key, found.thumbnail_format)
    assert "C1" in names.clip("cam", "C1")
    assert names.clip("cam", "C1") != names.clip("cam", "C2")
    assert names.thumbnail("cam", "C1", 300) != names.thumbnail("cam", "C1", 640)
    assert ".." not in names.clip("cam", "C1").split("/")


formats = st.lists(
    st.sampled_from(["%Y", "%m", "%d", "T", "-", "%H", "%M", "%S", "%f", "%j", "%s", "%", "x"]), max_size=8
).map("".join)


@settings(max_examples=300)
@given(formats, st.booleans(), text)
@example("%Y%m%dT%H%M%S%f", False, "pier.20180916T160017033.mp4")
@example("%", False, "a.%.mp4")
def test_any_name_has_a_time_in_any_format_or_none(template: str, old: bool, name: str) -> None:
    found = NameFormat(template, old).start_ms(name)
    assert found is None or found[0] <= LATEST_MS
