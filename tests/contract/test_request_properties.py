"""Any text is a request or a request error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from clipline.contract.errors import InvalidRequest, RequestError
from clipline.contract.interval import LATEST_MS
from clipline.contract.request import (
    ClipRequest,
    parse_request,
    shorten,
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


# Properties


ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
instants = st.integers(0, LATEST_MS)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
anything = (
    plain | st.floats() | st.text(st.characters(exclude_categories=()), max_size=5) | st.integers(-5, 5)
)


@st.composite
def valid_fields(draw: st.DrawFn) -> dict[str, Any]:
    start_ms, end_ms = sorted(draw(st.lists(instants, min_size=2, max_size=2, unique=True)))
    known = {
        "clipId": draw(ids),
        "cameraId": draw(ids),
        "startTimestampInMs": draw(st.sampled_from([start_ms, str(start_ms)])),
        "endTimestampInMs": draw(st.sampled_from([end_ms, str(end_ms)])),
        "retryTimestamps": draw(st.lists(instants, max_size=4)),
    }
    return draw(st.dictionaries(st.text(max_size=8), plain, max_size=3)) | known


@settings(deadline=None, max_examples=150)
@given(valid_fields(), instants)
def test_a_valid_request_survives_the_queue(fields: dict[str, Any], sent_ms: int) -> None:
    request = parse_request(json.dumps(fields))
    assert parse_request(ascii(fields)) == request
    assert request.body == fields
    again = parse_request(request.retry_body(sent_ms))
    assert again.retry_timestamps_ms == (*request.retry_timestamps_ms, sent_ms)
    assert {**again.body, "retryTimestamps": fields["retryTimestamps"]} == fields
    assert again.fingerprint == request.fingerprint
    assert again.interval == request.interval
    assert again.first_asked_ms(sent_ms + 1) == request.first_asked_ms(sent_ms)


def parse_or_refuse(text: str) -> ClipRequest | RequestError:
    try:
        return parse_request(text)
    except RequestError as error:
        return error


def parses_or_refuses(text: str) -> None:
    """A request that can go back to the queue, or an error whose clipId and body can be told to others."""
    outcome = parse_or_refuse(text)
    if isinstance(outcome, ClipRequest):
        assert parse_request(outcome.retry_body(0)).fingerprint == outcome.fingerprint
    else:
        assert str(outcome).splitlines() == [str(outcome)]
    if isinstance(outcome, InvalidRequest):
        assert parse_request(body(clipId=outcome.clip_id)).clip_id == outcome.clip_id
        json.dumps(dict(outcome.body), allow_nan=False)
        assert len(outcome.fingerprint) == 64


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_categories=()), max_size=60))
@example("'\\d'")
@example("{'clipId': '1', 'a': 1 if 1else 2}")
@example("9" * 5000)
def test_any_text_is_a_request_or_a_request_error(text: str) -> None:
    parses_or_refuses(text)


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(st.sampled_from([*FIELDS, "note", "\ud800"]), anything, max_size=3),
    st.booleans(),
    st.integers(0, 200),
    st.text(st.characters(exclude_categories=()), max_size=2),
)
def test_any_damage_is_a_request_or_a_request_error(
    changes: dict[str, Any], literal: bool, at: int, inserted: str
) -> None:
    fields = {**FIELDS, **changes}
    text = repr(fields) if literal else json.dumps(fields)
    parses_or_refuses(text)
    parses_or_refuses(text[:at] + inserted + text[at:])
    parses_or_refuses(text[:at] + inserted + text[at + 1 :])


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())), st.integers(1, 100))
def test_shortened_text_is_printable_and_short(text: str, most: int) -> None:
    short = shorten(text, most)
    assert len(short) <= most
    assert short.isprintable()
    if text.isascii() and text.isprintable() and "\\" not in text and len(text) <= most:
        assert short == text
