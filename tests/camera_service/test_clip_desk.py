"""What is asked of clips when something is odd: records that are no requests, ids used twice, half of it."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from camera_service.house import RECORDING_MS, SERVICE, START_MS, House

from clipline.camera_service.catalog import Camera, StoredRecording
from clipline.contract.errors import Unavailable
from clipline.contract.interval import Interval

BEARER = f"Bearer {SERVICE}"


def put(house: House, clip_id: str, **document: Any) -> int:
    return house("PUT", f"/cameras/clips/{clip_id}", document, Authorization=BEARER).status


def test_a_record_that_is_no_request_is_deleted_as_others_are(house: House) -> None:
    for number, status in enumerate(("CLIP_INVALID_REQUEST", "CLIP_PENDING", "FATAL_ERROR")):
        assert put(house, f"odd{number}", status=status, endTimestampInMs=-5) == 200
        assert house("DELETE", f"/cameras/clips/odd{number}").status == 204
    assert house("GET", "/cameras/clips").json()["clips"] == []
    house.parts.desk.settle(pytest.fail)


def test_one_clip_that_can_not_be_deleted_keeps_none_from_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for clip_id in ("a", "b"):
        assert put(house, clip_id, status="FATAL_ERROR", cameraId="pier") == 200
        house.parts.catalog.clips.delete(clip_id)
    delete = house.parts.desk._services.destination.delete

    def failing(key: str) -> None:
        if "/a." in key:
            raise Unavailable("delete", key, "the disk is gone")
        delete(key)

    monkeypatch.setattr(house.parts.desk._services.destination, "delete", failing)
    told: list[str] = []
    house.parts.desk.settle(told.append)
    assert [text.partition(":")[0] for text in told] == ["clip a could not be deleted"]
    assert [one.clip_id for one in house.parts.catalog.clips.half_deleted()] == ["a"]
    monkeypatch.undo()
    house.parts.desk.settle(pytest.fail)
    assert not house.parts.catalog.clips.half_deleted()


def test_an_id_stands_for_one_request_even_after_its_clip_was_deleted(house: House) -> None:
    house.ask(clipId="mine")
    house.work()
    assert house("DELETE", "/cameras/clips/mine").status == 204
    other = {"cameraId": "pier", "startTimestampInMs": START_MS, "endTimestampInMs": START_MS + 500}
    assert house("POST", "/cameras/clips", other | {"clipId": "mine"}).status == 409
    house.ask(clipId="mine")
    house.work()
    assert house.state("mine")["status"] == "CLIP_AVAILABLE"


def test_what_goes_is_where_the_record_says(house: House) -> None:
    clip_id = house.ask()["clipId"]
    house.work()
    desk, store = house.parts.desk, house.parts.objects._store
    desk._names = dataclasses.replace(
        desk._names, thumbnail_format="webp", clip_key="{clipId}/{cameraId}.mp4"
    )
    assert len(list(store.list("pier/"))) == 3
    assert house("GET", f"/cameras/clips/{clip_id}/download").status == 200
    assert house("DELETE", f"/cameras/clips/{clip_id}").status == 204
    assert not list(store.list("pier/"))


def test_a_cancelled_clip_that_was_stored_already_leaves_nothing(house: House) -> None:
    clip_id = house.ask()["clipId"]
    assert house("POST", f"/cameras/clips/{clip_id}/cancel").status == 200
    store = house.parts.objects._store
    store.put(f"pier/{clip_id}.mp4", b"x", "video/mp4")  # by a worker that found out too late
    assert house("DELETE", f"/cameras/clips/{clip_id}").status == 204
    assert not list(store.list("pier/"))


def test_a_request_that_is_cancelled_before_it_is_on_the_queue_stays_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(body: str) -> None:
        raise Unavailable("send", "message", "the disk is full")

    monkeypatch.setattr(house.parts.desk._services.queue, "send", failing)
    wanted = {"cameraId": "pier", "startTimestampInMs": START_MS, "endTimestampInMs": START_MS + 500}
    for clip_id in ("kept", "cancelled"):
        assert house("POST", "/cameras/clips", wanted | {"clipId": clip_id}).status == 503
    told: list[str] = []
    house.parts.desk.settle(told.append)
    assert len(told) == 2
    assert house("POST", "/cameras/clips/cancelled/cancel").status == 200
    monkeypatch.undo()
    house.parts.desk.settle(pytest.fail)
    house.work()
    assert house.state("kept")["status"] == "CLIP_AVAILABLE"
    assert house.state("cancelled")["cancelled"]


def test_many_are_cancelled_at_once(house: House) -> None:
    ids = [house.ask(number, 3000)["clipId"] for number in range(60)]
    with ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(house, "POST", f"/cameras/clips/{clip_id}/cancel") for clip_id in ids]
        wanted = {"cameraId": "pier", "startTimestampInMs": START_MS, "endTimestampInMs": START_MS + 500}
        asked = [pool.submit(house, "POST", "/cameras/clips", wanted) for _ in range(60)]
        assert {answer.result().status for answer in answers} == {200}
        assert {answer.result().status for answer in asked} == {202}


def test_what_is_withdrawn_while_the_rest_is_sent_is_not_sent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, clips = house.parts.desk, house.parts.catalog.clips
    send = desk._services.queue.send

    def failing(body: str) -> None:
        raise Unavailable("send", "message", "the disk is full")

    monkeypatch.setattr(desk._services.queue, "send", failing)
    wanted = {"cameraId": "pier", "startTimestampInMs": START_MS, "endTimestampInMs": START_MS + 500}
    for clip_id in ("a", "b"):
        assert house("POST", "/cameras/clips", wanted | {"clipId": clip_id}).status == 503

    def first_of_all(body: str) -> None:
        """Somebody cancels the second one while the first is sent."""
        monkeypatch.setattr(desk._services.queue, "send", send)
        desk.cancel("b")
        send(body)

    monkeypatch.setattr(desk._services.queue, "send", first_of_all)
    desk.settle(pytest.fail)
    assert not clips.unsent()
    house.work()
    assert house.state("a")["status"] == "CLIP_AVAILABLE"
    assert house.state("b")["cancelled"]


def test_a_record_that_an_earlier_version_took_is_deleted_as_others_are(house: House) -> None:
    for clip_id in ("bare", "kept"):
        house.parts.catalog.clips.put(clip_id, {"status": "CLIP_AVAILABLE", "cameraId": "pier"}, 1)
    assert house("GET", "/cameras/clips/bare/download").status == 404
    assert house("DELETE", "/cameras/clips/bare").status == 204
    house.parts.catalog.clips.delete("kept")
    house.parts.desk.settle(pytest.fail)
    assert house("GET", "/cameras/clips").json()["clips"] == []


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"status": "CLIP_PENDING", "reason": "\ud800"}, 400),
        ({"status": "CLIP_PENDING", "cameraId": "\udfff"}, 400),
        ({"status": "CLIP_AVAILABLE"}, 422),
        ({"status": "CLIP_AVAILABLE", "clip": {"key": "/x.mp4"}, "thumbnail": None}, 422),
        ({"status": "CLIP_AVAILABLE", "clip": {"key": "/other.mp4"}, "thumbnail": {"sizes": []}}, 422),
        ({"status": "CLIP_AVAILABLE", "clip": {"key": "/x.mp4"}, "thumbnail": {"sizes": [160]}}, 422),
        ({"status": "CLIP_AVAILABLE", "clip": {"key": "/x.mp4"}, "thumbnail": {"sizes": ["a"]}}, 422),
        ({"status": "CLIP_AVAILABLE", "clip": {"key": "/x.mp4"}, "thumbnail": {"sizes": []}}, 200),
    ],
)
def test_no_record_breaks_the_list(house: House, document: dict[str, Any], status: int) -> None:
    assert put(house, "x", **document) == status
    listed = house("GET", "/cameras/clips")
    assert (listed.status, len(listed.json()["clips"])) == (200, 1 if status == 200 else 0)
    assert house("DELETE", "/cameras/clips/x").status == (204 if status == 200 else 404)


def test_a_hole_that_is_no_gap_shows_what_came_before_it(house: House) -> None:
    end_ms = START_MS + 2 * RECORDING_MS
    later = StoredRecording(
        "pier", "01.again.mp4", "01/pier.mp4", Interval(end_ms + 700, end_ms + 700 + RECORDING_MS), 1, 1
    )
    house.parts.catalog.change(put=[later])
    for at_ms, status in ((end_ms - 1, 200), (end_ms + 300, 200), (end_ms + 700, 200)):
        answer = house("GET", f"/cameras/pier/frame?at={at_ms}&exact=1")
        assert answer.status == status, answer.data
    shown = house("GET", f"/cameras/pier/frame?at={end_ms + 300}&exact=1").headers
    assert int(shown["X-Frame-Timestamp-In-Ms"]) == end_ms - 34
    assert house("GET", f"/cameras/pier/frame?at={later.span.end_ms + 10}").status == 404
    told = house("GET", f"/cameras/pier/timeline?startDate={START_MS}&endDate={end_ms + 9000}").json()
    assert told["spans"] == [[START_MS, later.span.end_ms]]


def test_cameras_called_as_words_of_the_interface(house: House) -> None:
    house.parts.catalog.change([Camera("t", "timeline", "timeline"), Camera("f", "frame", "frame")])
    span = f"startDate={START_MS}&endDate={START_MS + 1}"
    for alias in ("timeline", "frame"):
        answer = house("GET", f"/cameras/recording/{alias}?{span}", Authorization=BEARER)
        assert (answer.status, json.loads(answer.data)) == (200, [])
    assert house("POST", "/cameras", {"alias": "x", "_id": "clips"}).status == 422
    assert house("POST", "/cameras", {"alias": "clips"}).json()["_id"].startswith("clips-")


def test_pages_that_come_too_late_are_told_so(house: House) -> None:
    house.parts.changes.close()
    answer = house("GET", "/events")
    assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
