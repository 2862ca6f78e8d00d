"""What file names tell of a recording's start, which URLs are usable, and where recordings lie."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipline.contract.interval import Interval, parse_instant
from clipline.contract.recording import NameFormat, Recording, announced

NEW, OLD = NameFormat(), NameFormat(old=True)
START_MS = parse_instant("2018-10-31T02:52:00.051Z")
END_MS = START_MS + 600_000


@pytest.mark.parametrize(
    ("names", "name", "expected"),
    [
        # The two examples of the documentation.
        (NEW, "cam.stream.20181031T025200051.mp4", ("2018-10-31T02:52:00.051Z", True)),
        (OLD, "cam.20180815T140019.mp4", ("2018-08-15T14:00:19.000Z", False)),
        # Old names among new ones are known by their length; strptime alone would read 14:00:01.9.
        (NEW, "cam.20180815T140019.mp4", ("2018-08-15T14:00:19.000Z", False)),
        (NEW, "20181031T025200051.mp4", ("2018-10-31T02:52:00.051Z", True)),
        (NameFormat("%d%m%Y %H-%M-%S-%f"), "31102018 02-52-00-051.mp4", ("2018-10-31T02:52:00.051Z", True)),
        (NameFormat("%Y%m%d%H%M%S"), "cam.20181031025200.mp4", ("2018-10-31T02:52:00.000Z", False)),
    ],
)  # fmt: skip
def test_names_that_tell_the_time(names: NameFormat, name: str, expected: tuple[str, bool]) -> None:
    instant, exact = expected
    assert names.start_ms(name) == (parse_instant(instant), exact)


@pytest.mark.parametrize(
    "name",
    ["cam.mp4", ".mp4", "cam.20181331T025200051.mp4", "cam.20181031T02520005.mp4", "cam.2018103102x.mp4",
     "cam.20181031T1430.mp4"],
)  # fmt: skip
def test_names_that_tell_nothing(name: str) -> None:
    assert NEW.start_ms(name) is None


def test_old_names_are_not_read_as_new_ones() -> None:
    assert OLD.start_ms("cam.20181031T025200051.mp4") is None


@given(st.integers(0, 4_102_444_800_000), st.booleans())
def test_names_read_as_they_are_written(start_ms: int, old: bool) -> None:
    names = NameFormat(old=old)
    name = names.name("cam.stream", start_ms)
    assert names.start_ms(name) == ((start_ms // 1000 * 1000, False) if old else (start_ms, True))


@pytest.mark.parametrize(
    ("off_ms", "named_wins"), [(999, True), (-999, True), (1000, False), (-1000, False), (60_000, False)]
)  # fmt: skip
def test_a_name_within_a_second_says_the_start(off_ms: int, named_wins: bool) -> None:
    name = NEW.name("cam", START_MS)
    recording = announced(f"https://host/a/{name}", "cam", START_MS + off_ms, END_MS, NEW)
    start_ms = START_MS if named_wins else START_MS + off_ms
    assert recording == Recording(name, Interval(start_ms, END_MS), "cam")


def test_a_name_in_whole_seconds_does_not_say_the_start() -> None:
    recording = announced("https://host/cam.20181031T025200.mp4", "cam", START_MS, END_MS, NEW)
    assert recording.span.start_ms == START_MS


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://user:secret@host:1/a/b.mp4?X-Amz-Signature=1#part", "b.mp4"),
        ("b.mp4", "b.mp4"),
        ("//host/b.mp4", "b.mp4"),
        ("file:///etc/passwd", "passwd"),
        ("https://host/a/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("https://host/wave%20one.mp4", "wave one.mp4"),
        ("https://host/%252e%252e", "%2e%2e"),
        ("s3://bucket/folder/b.mp4", "b.mp4"),
    ],
)
def test_only_the_last_part_of_a_url_is_used(url: str, name: str) -> None:
    assert announced(url, "cam", START_MS, END_MS, NEW).name == name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://host",
        "https://host/",
        "https://host/a/",
        "https://host/..",
        "https://host/%2e%2e",
        "https://host/a/.",
        "https://host/a%2F",
        "https://host/a%00.mp4",
        "https://host/a%0a.mp4",
        "https://host/..%5C..%5Cwindows",
        "https://host/" + "a" * 256,
        "https://[::1/a.mp4",
        "https://host/\ud800.mp4",
        "https://host/\x7f",
    ],
    ids=ascii,
)
def test_urls_without_a_usable_name(url: str) -> None:
    with pytest.raises(ValueError, match=r"recordingUrl .* does not end in a file name") as caught:
        announced(url, "cam", START_MS, END_MS, NEW)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@given(st.text(max_size=40) | st.text(max_size=40).map("https://host/{}".format))
def test_any_url_gives_a_plain_file_name_or_a_value_error(url: str) -> None:
    try:
        recording = announced(url, "cam", START_MS, END_MS, NEW)
    except ValueError:
        return
    assert recording.name not in {"", ".", ".."}
    assert not re.search(r"[/\\\x00-\x1f]", recording.name)
    assert recording.key("{dir}/{name}", "rewinds") == f"rewinds/{recording.name}"


@pytest.mark.parametrize("end_ms", [START_MS, START_MS - 1])
def test_an_empty_span_is_refused(end_ms: int) -> None:
    with pytest.raises(ValueError, match="must come after the start"):
        announced("https://host/b.mp4", "cam", START_MS, end_ms, NEW)


@pytest.mark.parametrize(
    ("template", "directory", "key"),
    [
        ("{dir}/{name}", "rewinds", "rewinds/a.mp4"),
        ("{dir}/{name}", "", "a.mp4"),
        ("{dir}/{name}", "/rewinds/raw//", "rewinds/raw/a.mp4"),
        ("{dir}/{alias}/%Y/%m/%d/{name}", "r", "r/cam-1/2018/10/31/a.mp4"),
        ("{alias}/%Y-%m-%dT%H:%M:%S.%f/{name}", "r", "cam-1/2018-10-31T02:52:00.051000/a.mp4"),
        ("{name}/{name}", "%Y", "a.mp4/a.mp4"),
        ("{dir}/{name}", "%Y", "%Y/a.mp4"),
    ],
)
def test_keys(template: str, directory: str, key: str) -> None:
    assert Recording("a.mp4", Interval(START_MS, END_MS), "cam-1").key(template, directory) == key


@pytest.mark.parametrize(
    ("told", "key"),
    [
        ("2026-11-25/14/pier/00.10.mp4", "2026-11-25/14/pier/00.10.mp4"),
        ("", "b.mp4"),
        ("a/{name}/%Y.mp4", "a/{name}/%Y.mp4"),
    ],
)
def test_a_key_that_the_camera_api_tells(told: str, key: str) -> None:
    recording = announced("https://host/b.mp4", "cam", START_MS, END_MS, NEW, told)
    assert recording.key("{key}", "rewinds") == key
    assert recording.key("{dir}/{name}", "rewinds") == "rewinds/b.mp4"


@pytest.mark.parametrize(
    "told", ["/a.mp4", "a//b.mp4", "../a.mp4", "a/./b.mp4", "a\n", "a/", "x/" * 600 + "a"]
)
def test_a_told_key_that_climbs_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match="separated by single slashes"):
        announced("https://host/b.mp4", "cam", START_MS, END_MS, NEW, told)
