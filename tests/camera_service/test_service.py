"""The whole service, as people use it: ask, watch, play, cancel, retry, delete, share; and who may not."""

from __future__ import annotations

import io
import json
import threading
import time
from typing import Any

import av
import pytest
import urllib3
from camera_service.house import START_MS, TOKEN, House

from clipline.camera_service.catalog import StoredRecording
from clipline.camera_service.sharing import Shared, Sharing
from clipline.contract.interval import Interval
from clipline.media.overlay import frame_number


def test_from_asking_to_playing(house: House) -> None:
    asked = house.ask()
    assert (asked["status"], asked["cameraTitle"]) == ("CLIP_PENDING", "North pier")
    assert house("GET", f"/cameras/clips/{asked['clipId']}/download").status == 404
    house.work()

    clip = house.state(asked["clipId"])
    assert clip["status"] == "CLIP_AVAILABLE"
    assert clip["sizeInBytes"] > 10_000
    video = house("GET", "/clips" + clip["clip"]["key"])
    assert (video.status, video.headers["Content-Type"]) == (200, "video/mp4")
    with av.open(io.BytesIO(video.data)) as container:
        assert [frame_number(frame) for frame in container.decode(video=0)] == list(range(30, 180))
    part = house("GET", "/clips" + clip["clip"]["key"], Range="bytes=0-9")
    assert (part.status, part.data) == (206, video.data[:10])
    thumbnail = house("GET", "/clips" + clip["thumbnail"]["key"].replace("{size}", "160"))
    assert (thumbnail.status, thumbnail.headers["Content-Type"]) == (200, "image/png")
    download = house("GET", f"/cameras/clips/{clip['clipId']}/download")
    assert download.data == video.data
    assert "North-pier_2018-10-31T02-52-01.000Z.mp4" in download.headers["Content-Disposition"]
    frames = house("GET", f"/cameras/clips/{clip['clipId']}/frames").json()
    assert len(frames["pts"]) == 150
    assert (frames["pts"][0], frames["endPts"]) == (0, 5 * frames["timescale"])


def test_the_same_request_is_the_same_clip(house: House) -> None:
    first, second = house.ask(clipId="mine"), house.ask(clipId="mine")
    assert first["requestedTimestampInMs"] == second["requestedTimestampInMs"]
    house.work()
    assert house.ask(clipId="mine")["status"] == "CLIP_AVAILABLE"
    other = {"cameraId": "pier", "startTimestampInMs": 1, "endTimestampInMs": 2, "clipId": "mine"}
    assert house("POST", "/cameras/clips", other).status == 409


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"cameraId": "reef"}, 404, "no such camera"),
        ({"endTimestampInMs": START_MS}, 422, "does not come after"),
        ({"endTimestampInMs": START_MS + 400_000}, 422, "a clip may last 300 s"),
        ({"startTimestampInMs": 9 * 10**12, "endTimestampInMs": 9 * 10**12 + 1}, 422, "an hour ahead"),
        ({"startTimestampInMs": "x"}, 422, "startTimestampInMs"),
        ({"clipId": "../x"}, 422, "clipId"),
        ({"clipId": "x\n"}, 422, "clipId"),
    ],
)
def test_what_can_be_no_clip_is_refused_at_once(
    house: House, change: dict[str, Any], status: int, said: str
) -> None:
    good = {"cameraId": "pier", "startTimestampInMs": START_MS, "endTimestampInMs": START_MS + 1000}
    answer = house("POST", "/cameras/clips", good | change)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status, said in answer.json()["detail"]) == (status, True)
    assert house("GET", "/cameras/clips").json() == {"clips": [], "next": None}


def test_cancel_retry_and_delete(house: House) -> None:
    clip_id = house.ask()["clipId"]
    cancelled = house("POST", f"/cameras/clips/{clip_id}/cancel").json()
    assert (cancelled["status"], cancelled["cancelled"]) == ("CLIP_NOT_AVAILABLE", True)
    house.work()
    assert house.state(clip_id)["cancelled"]
    assert house("POST", f"/cameras/clips/{clip_id}/cancel").status == 409

    assert house("POST", f"/cameras/clips/{clip_id}/retry").status == 202
    house.work()
    clip = house.state(clip_id)
    assert (clip["status"], clip["cancelled"]) == ("CLIP_AVAILABLE", False)
    assert house("POST", f"/cameras/clips/{clip_id}/retry").status == 409

    keys = ("clipId", "cameraId", "startTimestampInMs", "endTimestampInMs")
    house.parts.desk._services.queue.send(json.dumps({key: clip[key] for key in keys}))  # delivered twice
    assert house("DELETE", f"/cameras/clips/{clip_id}").status == 204
    house.work()
    for path in (f"/cameras/clips/{clip_id}/state", "/clips" + clip["clip"]["key"]):
        assert house("GET", path).status == 404
    assert house("GET", "/cameras/clips").json()["clips"] == []
    assert not list(house.parts.objects._store.list("pier/"))

    house.ask(clipId=clip_id)
    house.work()
    assert house("GET", f"/cameras/clips/{clip_id}/download").status == 200


def test_what_was_noted_and_not_done_is_done_at_the_next_start(house: House) -> None:
    clip_id = house.ask()["clipId"]
    house.work()
    house.parts.catalog.clips.delete(clip_id)  # and the process dies
    body = json.dumps(
        {
            "clipId": "c2", "cameraId": "pier", "retryTimestamps": [],
            "startTimestampInMs": START_MS, "endTimestampInMs": START_MS + 1000,
        }
    )  # fmt: skip
    metadata = {**json.loads(body), "status": "CLIP_PENDING"}
    house.parts.catalog.clips.ask("c2", metadata, body, 1)  # likewise
    house.parts.desk.settle(pytest.fail)
    assert not list(house.parts.objects._store.list("pier/"))
    house.work()
    assert house.state("c2")["status"] == "CLIP_AVAILABLE"


def test_the_list_goes_on_where_it_ended(house: House) -> None:
    ids = [house.ask(clipId=f"clip{number}")["clipId"] for number in range(3)]
    first = house("GET", "/cameras/clips?limit=2").json()
    assert [clip["clipId"] for clip in first["clips"]] == ids[:0:-1]
    rest = house("GET", f"/cameras/clips?limit=2&before={first['next']}").json()
    assert [clip["clipId"] for clip in rest["clips"]] == ids[:1]
    assert rest["next"] is None
    assert house("GET", "/cameras/clips?status=CLIP_GONE").status == 422
    assert house("GET", "/cameras/clips?before=x").status == 422


def test_pages_are_told_of_each_stage_and_of_the_end(house: House) -> None:
    told: list[tuple[str, Any]] = []
    ready = threading.Event()

    def listen_to_events() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = urllib3.request("GET", f"{house.url}/events", headers=headers, preload_content=False)
        ready.set()
        text = "".join(chunk.decode() for chunk in answer.stream())
        for block in text.split("\n\n"):
            lines = dict(line.partition(": ")[::2] for line in block.splitlines() if ": " in line)
            if "event" in lines:
                told.append((lines["event"], json.loads(lines["data"])))

    listener = threading.Thread(target=listen_to_events)
    listener.start()
    ready.wait(10)
    time.sleep(0.3)  # until the server waits for changes
    clip_id = house.ask()["clipId"]
    house.work()
    time.sleep(0.5)
    house("DELETE", f"/cameras/clips/{clip_id}")
    time.sleep(0.3)
    house.parts.changes.close()
    listener.join(10)

    kinds = [event for event, _ in told]
    assert kinds[0] == "clip"
    assert kinds[-1] == "gone"
    stages = {document["progress"]["stage"] for event, document in told if document.get("progress")}
    assert stages  # whichever were seen at a moment when they were written down
    assert any(document.get("status") == "CLIP_AVAILABLE" for _, document in told)


def test_the_picture_at_an_instant(house: House) -> None:
    def picture(at_ms: int, more: str = "") -> tuple[int, int, int]:
        answer = house("GET", f"/cameras/pier/frame?at={START_MS + at_ms}{more}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
        with av.open(io.BytesIO(answer.data)) as container:
            (frame,) = container.decode(video=0)
        return frame_number(frame), frame.width, int(answer.headers["X-Frame-Timestamp-In-Ms"]) - START_MS

    for _ in range(2):  # from the recording, and from the cache
        assert picture(4_600) == (150, 640, 5_000)
        assert picture(4_600, "&exact=1") == (138, 640, 4_600)
    assert picture(0, "&width=200")[1] == 320
    nothing = house("GET", f"/cameras/pier/frame?at={START_MS + 9_000}")
    assert (nothing.status, "nothing was recorded at" in nothing.json()["detail"]) == (404, True)
    assert house("GET", "/cameras/reef/frame?at=1").status == 404


def test_the_timeline_shows_gaps(house: House) -> None:
    far = StoredRecording("pier", "z.mp4", "z.mp4", Interval(START_MS + 20_000, START_MS + 30_000), 1, 1)
    house.parts.catalog.change(put=[far])
    query = f"startDate={START_MS + 1000}&endDate={START_MS + 25_000}"
    timeline = house("GET", f"/cameras/pier/timeline?{query}").json()
    spans = [[start - START_MS, end - START_MS] for start, end in timeline["spans"]]
    assert spans == [[1000, 8000], [20_000, 25_000]]
    assert timeline["lastTimestampInMs"] == START_MS + 30_000
    assert house("GET", "/cameras/pier/timeline?startDate=0&endDate=99999999999999").status == 422
    same = house("GET", f"/cameras/pier/equivalents?{query}&clipId=c").json()
    assert json.loads(same["message"])["startTimestampInMs"] == START_MS + 1000
    assert same["command"] == f"clipline cut pier {START_MS + 1000}"


def test_cameras_are_added_and_named(house: House) -> None:
    assert house("POST", "/cameras", {"alias": "reef", "title": "Reef"}).json()["_id"] == "reef"
    assert house("POST", "/cameras", {"alias": "reef"}).status == 409
    assert house("POST", "/cameras", {"alias": "a/b"}).status == 422
    assert house("PATCH", "/cameras/reef", {"title": "Outer reef"}).json()["title"] == "Outer reef"
    assert house("PATCH", "/cameras/nowhere", {"title": "x"}).status == 404
    assert [one["title"] for one in house("GET", "/cameras").json()] == ["North pier", "Outer reef"]


def test_a_shared_link_needs_no_token_and_ends(house: House) -> None:
    clip_id = house.ask()["clipId"]
    assert house("POST", f"/cameras/clips/{clip_id}/share", {}).status == 404
    house.work()
    shared = house("POST", f"/cameras/clips/{clip_id}/share", {"hours": 1}).json()

    def open_link(rest: str, url: str = shared["url"]) -> urllib3.BaseHTTPResponse:
        return urllib3.request("GET", url + rest, retries=False)

    assert open_link("/clip").json()["cameraTitle"] == "North pier"
    assert open_link("/video").headers["Content-Type"] == "video/mp4"
    assert open_link("/thumbnail?size=160").status == 200
    assert open_link("/thumbnail?size=161").status == 404
    sharing = house.parts.sharing
    for token in ("x", Sharing(b"another").token(Shared(clip_id, 2**50)), sharing.token(Shared(clip_id, 1))):
        assert open_link("/clip", f"{house.url}/share/{token}").status == 410
    house("DELETE", f"/cameras/clips/{clip_id}")
    assert open_link("/video").status == 410


def test_who_has_no_token_gets_nothing(house: House) -> None:
    for method, path in (
        ("GET", "/cameras"),
        ("POST", "/cameras/clips"),
        ("GET", "/status"),
        ("GET", "/events"),
    ):
        assert house(method, path, Authorization="Bearer wrong").status == 401
    assert house("GET", "/health", Authorization="").status == 200
    page = house("GET", "/", Authorization="", Accept="text/html")
    assert (page.status, page.headers["Location"]) == (303, "/login")
    entered = house("GET", f"/?token={TOKEN}&x=1", Authorization="", Accept="text/html")
    assert (entered.status, entered.headers["Location"]) == (303, "/?x=1")
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert house("GET", "/status", Authorization="", Cookie=cookie.partition(";")[0]).status == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}],
)
def test_another_sites_page_changes_nothing(house: House, headers: dict[str, str]) -> None:
    assert house("POST", "/cameras", {"alias": "reef"}, **headers).status == 403
    own = {"Origin": house.url, "Sec_Fetch_Site": "same-origin"}
    assert house("POST", "/cameras", {"alias": "reef"}, **own).status == 201


def test_every_answer_is_guarded(house: House) -> None:
    for path in ("/status", "/cameras/nowhere"):
        headers = house("GET", path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Access-Control-Allow-Origin" not in headers
