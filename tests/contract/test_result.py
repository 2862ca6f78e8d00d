"""Result metadata against the shapes that travel."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clipline.contract.request import parse_request
from clipline.contract.result import ObjectNames, Result, Status

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ObjectNames("https://camclips.example.com")


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text())


def result_of(document: dict[str, Any], **more: Any) -> Result:
    request = parse_request(json.dumps(document))
    return Result(
        request.clip_id, request.camera_id, request.interval.start_ms, request.interval.end_ms,
        Status(document["status"]), request.fingerprint, **more,
    )  # fmt: skip


def available(**more: Any) -> Result:
    document = fixture("sns_message.json")
    return result_of(
        document, bucket="s3-test", names=NAMES, thumbnail_sizes=document["thumbnail"]["sizes"], **more
    )


def test_an_available_clip_has_every_key_and_value_of_the_contract() -> None:
    expected = fixture("sns_message.json")
    metadata = available(details=fixture("coverage.json")).metadata()
    assert {key: metadata[key] for key in expected} == expected
    assert metadata["coverage"] == fixture("coverage.json")["coverage"]
    assert "reason" not in metadata
    assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata


def test_an_unsuccessful_result_has_exactly_the_keys_of_the_contract() -> None:
    expected = fixture("sns_message_not_available.json")
    metadata = result_of(expected, reason=expected["reason"]).metadata()
    assert list(metadata) == list(expected)
    assert metadata | {"eventId": expected["eventId"]} == expected


@pytest.mark.parametrize("status", list(Status))
def test_only_pending_is_not_final(status: Status) -> None:
    assert status.final == (status != "CLIP_PENDING")


def test_the_event_id_is_that_of_request_and_status() -> None:
    result = available()
    assert len(bytes.fromhex(result.event_id)) == 32
    assert result.metadata()["eventId"] == result.event_id
    assert (
        replace(result, retry_timestamps_ms=(1, 2), reason="again", details={"a": 1}).event_id
        == result.event_id
    )
    others = [replace(result, status=status) for status in Status if status is not result.status]
    others.append(replace(result, fingerprint="00"))
    assert len({one.event_id for one in [result, *others]}) == len(Status) + 1


def test_object_keys_have_no_leading_slash_and_take_every_field() -> None:
    assert NAMES.clip("cam", "clip") == "cam/clip.mp4"
    assert NAMES.thumbnail("cam", "clip", 300) == "cam/clip_300.png"
    assert NAMES.thumbnail("cam", "clip") == "cam/clip_{size}.png"
    names = ObjectNames("https://host/x", "v/{clipId}/{cameraId}", "t/{size}/{clipId}.{format}", "webp")
    assert names.clip("cam", "clip") == "v/clip/cam"
    assert names.thumbnail("cam", "clip", 640) == "t/640/clip.webp"
    assert names.url(names.clip("cam", "clip")) == "https://host/x/v/clip/cam"


def test_thumbnails_of_two_clips_do_not_share_a_key() -> None:
    assert NAMES.thumbnail("cam", "a", 1300) != NAMES.thumbnail("cam", "a1", 300)


def test_an_invalid_request_is_told_as_it_came() -> None:
    result = Result(
        "clip", None, "soon", [1], Status.INVALID_REQUEST, "00", reason="startTimestampInMs is 'soon'"
    )
    metadata = result.metadata()
    assert (metadata["cameraId"], metadata["startTimestampInMs"], metadata["endTimestampInMs"]) == (
        None,
        "soon",
        [1],
    )


@pytest.mark.parametrize("value", ["\ud800", ["a", "\udfff"], {"\ud800": 1}])
def test_half_a_character_is_told_as_it_was_written(value: Any) -> None:
    """JSON may escape it; no receiver can be relied on to take it (RFC 8259, section 8.2)."""
    metadata = Result("clip", value, value, value, Status.INVALID_REQUEST, "00", reason="no").metadata()
    assert metadata["cameraId"] == json.dumps(value)
    json.dumps(metadata, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("value", "beginning"),
    [("x" * 900_000, '"xxx'), ([0] * 1000, "[0, 0"), ({"a": "é" * 500}, '{"a": '), (10**400, "1000")],
    ids=["text", "list", "object", "number"],
)
def test_of_a_long_value_the_beginning_is_told(value: Any, beginning: str) -> None:
    """A notification has room for 256 KiB, a message for 1 MiB of anything."""
    metadata = Result("clip", value, value, value, Status.INVALID_REQUEST, "00", reason="no").metadata()
    for key in ("cameraId", "startTimestampInMs", "endTimestampInMs"):
        assert metadata[key].startswith(beginning)
    assert len(json.dumps(metadata)) < 2000
