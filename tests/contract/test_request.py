"""Request bodies: both notations, hostile ones, and the message that asks again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clipline.contract.errors import InvalidRequest, RequestError, UnreadableRequest
from clipline.contract.interval import LATEST_MS, Interval
from clipline.contract.request import (
    MAX_BODY_BYTES,
    MAX_LITERAL_CHARACTERS,
    MAX_NESTING,
    MOST_RETRY_TIMESTAMPS,
    parse_request,
)

ROOT = Path(__file__).parents[2]
EVENT = json.loads((Path(__file__).parent / "fixtures" / "sqs_event.json").read_text())
EXAMPLE: str = EVENT["Records"][0]["body"]
FIELDS = {
    "clipId": "1111111111111",
    "retryTimestamps": [],
    "cameraId": "1111111111111",
    "startTimestampInMs": 1_537_119_363_000,
    "endTimestampInMs": 1_537_119_423_000,
}


def body(**changes: Any) -> str:
    """The example with changes, as strict JSON; ``...`` leaves a key out."""
    return json.dumps({key: value for key, value in {**FIELDS, **changes}.items() if value is not ...})


def test_the_example_of_the_requirements() -> None:
    request = parse_request(EXAMPLE)
    assert request.clip_id == request.camera_id == "1111111111111"
    assert request.interval == Interval(1_537_119_363_000, 1_537_119_423_000)
    assert request.retry_timestamps_ms == ()
    assert request.body == FIELDS


def test_the_example_of_the_console() -> None:
    text = (
        "{'clipId': '111111111111','retryTimestamps': [],'cameraId': '111111111111',"
        "'startTimestampInMs': 1538412898000,'endTimestampInMs': 1538413498000}"
    )
    assert parse_request(text).interval.duration_ms == 600_000


@pytest.mark.parametrize(
    "text",
    [
        body(),
        repr(FIELDS),
        f"\n  {EXAMPLE}\n",
        body(startTimestampInMs="1537119363000", endTimestampInMs="1537119423000"),
        body(startTimestampInMs="0001537119363000"),
        body(retryTimestamps=...),
        repr({**FIELDS, "retryTimestamps": ()}),
        body(place={"name": "Pier"}, note="it's 5 o'clock"),
    ],
)
def test_the_same_request_in_other_words(text: str) -> None:
    example = parse_request(EXAMPLE)
    request = parse_request(text)
    assert request.fingerprint == example.fingerprint
    assert (request.clip_id, request.camera_id, request.interval, request.retry_timestamps_ms) == (
        example.clip_id, example.camera_id, example.interval, (),
    )  # fmt: skip


@pytest.mark.parametrize(
    "note",
    ["it's", 'say "now"', "both ' and \"", "a\\'b", "{'clipId': 'x'}", "tab\tand\nline", "Zoë 🌊", "\ud800"],
)
def test_quotes_in_values_are_no_notation(note: str) -> None:
    """Replacing quotes would break or, worse, change these."""
    for text in (body(note=note), ascii({**FIELDS, "note": note})):
        request = parse_request(text)
        assert request.clip_id == "1111111111111"
        assert request.body["note"] == note
        assert json.loads(request.retry_body(5))["note"] == note


def test_unknown_keys_travel_along_in_a_retry() -> None:
    extra = {
        "userId": None,
        "nested": {"list": [1, 2.5, {"a": True}]},
        "": "",
        "model_config": 1,
        "__class__": "x",
    }
    for text in (json.dumps({**FIELDS, **extra}), repr({**FIELDS, **extra})):
        again = json.loads(parse_request(text).retry_body(17))
        assert again == {**FIELDS, **extra, "retryTimestamps": [17]}


def test_each_retry_adds_when_its_message_was_sent() -> None:
    first = parse_request(EXAMPLE)
    second = parse_request(first.retry_body(1000))
    third = parse_request(second.retry_body(2000))
    assert third.retry_timestamps_ms == (1000, 2000)
    assert [first.first_asked_ms(1000), second.first_asked_ms(2000), third.first_asked_ms(3000)] == [1000] * 3
    assert first.fingerprint == second.fingerprint == third.fingerprint


def test_digits_in_retry_timestamps() -> None:
    request = parse_request(body(retryTimestamps=["1000", 2000]))
    assert request.retry_timestamps_ms == (1000, 2000)
    assert json.loads(request.retry_body(3000))["retryTimestamps"] == [1000, 2000, 3000]


@pytest.mark.parametrize(
    "changes",
    [{"clipId": "2"}, {"cameraId": "2"}, {"startTimestampInMs": 1}, {"endTimestampInMs": LATEST_MS}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_request_has_another_fingerprint(changes: dict[str, Any]) -> None:
    assert parse_request(body(**changes)).fingerprint != parse_request(EXAMPLE).fingerprint


# What is refused


BAD_IDS: list[Any] = [
    ..., None, True, 1111111111111, 1.5, [], {}, ["1"], "", " ", "a b", "../x", "a/b", "a.b", "..", "x\n",
    "\nx", "x\x00", "\x1b[2J", "é", "١", "a" * 65, "x" * 900_000, "%2e%2e", "\ud800", "${x}", "a\\b",
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_IDS, ids=lambda value: repr(value)[:20])
def test_a_hostile_clip_id_is_unreadable(value: Any) -> None:
    with pytest.raises(UnreadableRequest, match="clipId") as caught:
        parse_request(body(clipId=value))
    says_what_is_wrong(caught.value, value)


@pytest.mark.parametrize("value", BAD_IDS, ids=lambda value: repr(value)[:20])
def test_a_hostile_camera_id_is_invalid(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="cameraId") as caught:
        parse_request(body(cameraId=value))
    says_what_is_wrong(caught.value, value)
    assert caught.value.clip_id == "1111111111111"


@pytest.mark.parametrize("value", ["a", "a" * 64, "A-z_0", "-", "584204204e65fad6a7709115"])
def test_ids_as_they_may_be(value: str) -> None:
    request = parse_request(body(clipId=value, cameraId=value))
    assert request.clip_id == request.camera_id == value


BAD_TIMESTAMPS: list[Any] = [
    ..., None, True, False, -1, LATEST_MS + 1, 10**30, 1537119363000.0, 0.5, "", " ", "-1", "+1", "1.0",
    "1e3", "0x10", "1_000", " 1537119363000", "1537119363000\n", "١٢٣", "²", "9" * 16, "0" * 17, "9" * 5000,
    "now", "NaN", [], [1], {}, "2018-09-16T17:36:03Z",
]  # fmt: skip


@pytest.mark.parametrize("key", ["startTimestampInMs", "endTimestampInMs"])
@pytest.mark.parametrize("value", BAD_TIMESTAMPS, ids=lambda value: repr(value)[:20])
def test_a_hostile_timestamp_is_invalid(key: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=key) as caught:
        parse_request(body(**{key: value}))
    says_what_is_wrong(caught.value, value)


@pytest.mark.parametrize("value", BAD_TIMESTAMPS[1:], ids=lambda value: repr(value)[:20])
def test_a_hostile_retry_timestamp_is_invalid(value: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"retryTimestamps\.1") as caught:
        parse_request(body(retryTimestamps=[1000, value]))
    says_what_is_wrong(caught.value, value)


@pytest.mark.parametrize("value", [None, 0, "", "1000", {}, True], ids=repr)
def test_retry_timestamps_that_are_no_list(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="retryTimestamps"):
        parse_request(body(retryTimestamps=value))


def says_what_is_wrong(error: RequestError, value: object) -> None:
    """One line that a person can act on: the value, as far as it can be shown, and what is expected."""
    text = str(error)
    assert len(text) < 300
    assert text.isprintable()
    if value is ...:
        assert "missing" in text
    else:
        assert "expected" in text
        assert ascii(value)[:9] in text


@pytest.mark.parametrize("value", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("key", ["startTimestampInMs", "cameraId", "retryTimestamps", "note"])
def test_a_number_that_json_cannot_carry(key: str, value: str) -> None:
    """Whoever asked can still be told, and what they are told is JSON."""
    with pytest.raises(InvalidRequest, match=key) as caught:
        parse_request(body(**{key: "HERE"}).replace('"HERE"', value))
    assert caught.value.clip_id == "1111111111111"
    assert key not in caught.value.body
    json.dumps(dict(caught.value.body), allow_nan=False)


@pytest.mark.parametrize(
    "value",
    ["b'x'", "{1, 2}", "...", "2j", "{(1, 2): 3}", "0x" + "f" * 5000, "1e999"],
    ids=lambda value: value[:10],
)
def test_a_literal_that_json_cannot_carry(value: str) -> None:
    for key in ("note", "startTimestampInMs"):
        with pytest.raises(InvalidRequest, match=key):
            parse_request(repr({**FIELDS, key: "HERE"}).replace("'HERE'", value))
    with pytest.raises(UnreadableRequest):
        parse_request(repr({**FIELDS, "clipId": "HERE"}).replace("'HERE'", value))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "null", "true", "17", '"text"', "'text'", "[]", "()", "[{}]", "{1: 2, 'clipId': 'x'}",
        "{'a'}", "{clipId: 'x'}", "{'clipId': 'x'", "{'clipId': 'x'} {}", "{'clipId': x}",
        "{'clipId': f'{1}'}", "{'clipId': 'x' * 9}", "{'clipId': __import__('os').getcwd()}",
        "dict(clipId='x')", "{**{}}",
        '{"clipId": "x"}//', "\x00", "\ufeff{}", "clipId=x", "<clip/>",
    ],
)  # fmt: skip
def test_what_is_no_object_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableRequest) as caught:
        parse_request(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("start", "end"), [(5, 5), (5, 4), ("5", "5"), (LATEST_MS, 0)], ids=["empty", "negative", "digits", "far"]
)
def test_an_end_that_does_not_come_after_its_start(start: Any, end: Any) -> None:
    with pytest.raises(
        InvalidRequest, match=r"endTimestampInMs \d+ does not come after startTimestampInMs \d+"
    ):
        parse_request(body(startTimestampInMs=start, endTimestampInMs=end))


def test_an_invalid_request_keeps_what_came_for_the_answer() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(body(cameraId="a/b", note=1))
    assert caught.value.body == {**FIELDS, "cameraId": "a/b", "note": 1}
    assert not caught.value.retryable
    with pytest.raises(InvalidRequest) as other:
        parse_request(body(cameraId="a/c"))
    assert caught.value.fingerprint != other.value.fingerprint


def test_the_clip_id_is_named_before_other_faults() -> None:
    with pytest.raises(UnreadableRequest, match="clipId is missing"):
        parse_request("{}")


def test_levels_of_nesting() -> None:
    def nested(levels: int) -> str:
        return body(note="HERE").replace('"HERE"', "[" * levels + "]" * levels)

    deepest = parse_request(nested(MAX_NESTING))
    assert parse_request(deepest.retry_body(1)).body["note"] == deepest.body["note"]
    for levels in (MAX_NESTING + 1, 900, 980, 990, 1000):
        with pytest.raises(RequestError, match=r"levels|neither JSON"):
            parse_request(nested(levels))
    for text in ("[" * 100_000, "{'a':" * 10_000, '{"a":' * 100_000, "(" * 50_000, "-" * 50_000 + "1"):
        with pytest.raises(UnreadableRequest):
            parse_request(text)


# Size


def test_a_body_may_be_as_long_as_a_message() -> None:
    frame = len(body(note=""))
    request = parse_request(body(note="x" * (MAX_BODY_BYTES - frame)))
    assert len(request.body["note"]) == MAX_BODY_BYTES - frame
    with pytest.raises(UnreadableRequest, match="1 MiB"):
        parse_request(body(note="x" * (MAX_BODY_BYTES - frame + 1)))


def test_a_literal_may_be_shorter_than_that() -> None:
    frame = len(repr({**FIELDS, "note": ""}))
    parse_request(repr({**FIELDS, "note": "x" * (MAX_LITERAL_CHARACTERS - frame)}))
    with pytest.raises(UnreadableRequest, match="65536"):
        parse_request(repr({**FIELDS, "note": "x" * (MAX_LITERAL_CHARACTERS - frame + 1)}))


JUNK = [
    "(",
    "[",
    "{",
    "-",
    "1+",
    "-1,",
    '",',
    "a.",
    "not ",
    "\\",
    "'",
    " ",
    "\x00",
    "\ud800",
    "9",
    "[[],",
    '{"a":',
    "f'{",
]


@pytest.mark.parametrize("unit", JUNK, ids=ascii)
@pytest.mark.parametrize("size", [MAX_LITERAL_CHARACTERS, MAX_BODY_BYTES])
def test_junk_is_unreadable_soon(unit: str, size: int) -> None:
    text = (unit * (size // len(unit) + 1))[:size]
    began = time.monotonic()
    with pytest.raises(UnreadableRequest) as caught:
        parse_request(text)
    assert time.monotonic() - began < 5
    assert len(str(caught.value)) < 300


def test_junk_takes_little_memory() -> None:
    """In a process of its own, so that its peak is that of these bodies."""
    code = f"""
import json, resource
from clipline.contract.errors import RequestError
from clipline.contract.request import parse_request
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fields = {FIELDS!r}
bodies = ["-1," * 349_000, "1+" * 32_000, json.dumps(fields | {{"retryTimestamps": [""] * 250_000}})]
for text in bodies:
    try:
        parse_request(text)
    except RequestError:
        pass
    else:
        raise SystemExit("junk was taken")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) * 1024 < 150 * MAX_BODY_BYTES


def test_more_retry_timestamps_than_a_notification_could_carry() -> None:
    most = MOST_RETRY_TIMESTAMPS
    assert len(parse_request(body(retryTimestamps=[1] * most)).retry_timestamps_ms) == most
    for count in (most + 1, 17_000, 300_000):
        with pytest.raises(InvalidRequest, match=f"has {count} entries, expected at most {most}$") as raised:
            parse_request(body(retryTimestamps=[1] * count))
        assert raised.value.clip_id == "1111111111111"
