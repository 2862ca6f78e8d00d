"""The camera service over HTTP, on a real socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from clipline.camera_service.api import create_app
from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.camera_service.fields import MOST_BODY_BYTES
from clipline.contract.errors import ConfigurationError
from clipline.contract.interval import Interval
from clipline.entrypoints.server import listen, serve_in_thread

FIXTURES = Path(__file__).parent.parent / "contract" / "fixtures"
START_MS = 1_537_113_617_000  # 2018-09-16T16:00:17.000Z
END_MS = START_MS + 600_000
NOW_MS = 1_600_000_000_000


class Client:
    """Asks, and checks that every error is a problem document."""

    def __init__(self, url: str, pool: urllib3.PoolManager) -> None:
        self.url = url
        self._pool = pool

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        response = self._pool.request(method, self.url + path, body=body, retries=False, timeout=30)
        document = json.loads(response.data)
        if response.status >= 400:
            assert response.headers["Content-Type"] == "application/problem+json"
            assert document.keys() == {"type", "title", "status", "detail"}
            assert document["status"] == response.status
        else:
            assert response.headers["Content-Type"] == "application/json"
        return response.status, document


@pytest.fixture
def ask(catalog: Catalog) -> Iterator[Client]:
    catalog.put_camera(Camera("1111111111111", "test", "Test pier"))
    name = "test.20180916T160017.mp4"
    catalog.change(put=[StoredRecording("test", name, f"pier/{name}", Interval(START_MS, END_MS), 1, 1)])
    app = create_app(catalog, now_ms=lambda: NOW_MS)
    with urllib3.PoolManager() as pool, serve_in_thread(app) as url:
        yield Client(url, pool)


def test_cameras(ask: Client) -> None:
    camera = {
        "_id": "1111111111111", "alias": "test", "title": "Test pier",
        "firstTimestampInMs": START_MS, "lastTimestampInMs": END_MS,
    }  # fmt: skip
    assert ask("GET", "/cameras/1111111111111") == (200, camera)
    assert ask("GET", "/cameras") == (200, [camera])
    status, problem = ask("GET", "/cameras/2222")
    assert (status, problem["title"]) == (404, "Not Found")
    assert "2222" in problem["detail"]


def test_recordings_look_as_in_the_contract(ask: Client) -> None:
    query = f"startDate={START_MS}&endDate={START_MS + 1000}&allowPartialMatch=true"
    status, found = ask("GET", f"/cameras/recording/test?{query}")

    expected = json.loads((FIXTURES / "recordings_response.json").read_text())
    for entry in expected:  # only the host differs
        for field in ("thumbLargeUrl", "recordingUrl", "thumbSmallUrl"):
            entry[field] = f"{ask.url}/recordings/test{urlsplit(entry[field]).path}"
        entry["key"] = "pier/test.20180916T160017.mp4"  # beyond the contract: where it lies
    assert (status, found) == (200, expected)
    assert [list(entry) for entry in found] == [list(entry) for entry in expected]


@pytest.mark.parametrize(
    ("start", "end", "partial", "count"),
    [
        (START_MS - 1000, START_MS, "true", 0),
        (START_MS - 1000, START_MS + 1, "true", 1),
        (START_MS - 1000, START_MS + 1, "false", 0),
        (START_MS, END_MS, "false", 1),
        ("2018-09-16T16:10:16.999Z", "2018-09-16T17:00:00.000Z", "true", 1),
        ("2018-09-16T16:10:17.000Z", "2018-09-16T17:00:00.000Z", "true", 0),
    ],
)
def test_partial_matches(ask: Client, start: object, end: object, partial: str, count: int) -> None:
    query = f"startDate={start}&endDate={end}&allowPartialMatch={partial}"
    status, found = ask("GET", f"/cameras/recording/test?{query}")
    assert (status, len(found)) == (200, count)


def test_without_being_told_only_whole_matches_count(ask: Client) -> None:
    query = f"startDate={START_MS}&endDate={END_MS - 1}"
    assert ask("GET", f"/cameras/recording/test?{query}") == (200, [])


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/cameras/recording/nowhere?startDate=1&endDate=2", 404, "nowhere"),
        ("/cameras/recording/test", 422, "startDate"),
        ("/cameras/recording/test?startDate=1", 422, "endDate"),
        ("/cameras/recording/test?startDate=yesterday&endDate=2", 422, "yesterday"),
        ("/cameras/recording/test?startDate=2&endDate=2", 422, "endDate 2"),
        ("/cameras/recording/test?startDate=1&endDate=2&allowPartialMatch=perhaps", 422, "allowPartialMatch"),
        ("/cameras/recording/test?startDate=-1&endDate=" + "9" * 5000, 422, "startDate"),
        ("/cameras/recording/..%2f..%2fetc?startDate=1&endDate=2", 404, "Not Found"),
        ("/cameras/clips/nothing", 404, "nothing"),
        ("/cameras/clips/a.b", 422, "a.b"),
        ("/nothing", 404, "Not Found"),
        ("/docs", 404, "Not Found"),
        ("/redoc", 404, "Not Found"),
    ],
)
def test_problems_name_what_is_wrong(ask: Client, path: str, status: int, named: str) -> None:
    answered, problem = ask("GET", path)
    assert answered == status
    assert named in problem["detail"]
    assert len(problem["detail"]) < 1000


def test_a_clip_is_put_and_found_again(ask: Client, catalog: Catalog) -> None:
    clip = json.loads((FIXTURES / "sns_message.json").read_text())
    path = f"/cameras/clips/{clip['clipId']}"

    assert ask("PUT", path, clip) == (200, clip)
    assert ask("PUT", path, clip) == (200, clip)
    assert ask("GET", path) == (200, clip)
    assert catalog.clips.get(clip["clipId"]).updated_ms == NOW_MS


def test_a_late_status_is_answered_with_the_available_clip(ask: Client) -> None:
    available = json.loads((FIXTURES / "sns_message.json").read_text())
    late = json.loads((FIXTURES / "sns_message_not_available.json").read_text())
    path = f"/cameras/clips/{available['clipId']}"
    assert late["clipId"] == available["clipId"]

    ask("PUT", path, available)
    assert ask("PUT", path, late) == (200, available)
    assert ask("GET", path) == (200, available)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 400, "JSON"),
        (b"{'clipId': 'c'}", 400, "JSON"),
        (b"\xff\xfe\xff", 400, "JSON"),
        (b'{"status": "CLIP_PENDING", "x": NaN}', 400, "JSON"),
        (b'{"status": "CLIP_PENDING", "x": 1e400}', 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"),
        ([], 422, "object"),
        ({}, 422, "status"),
        ({"status": "CLIP_LOST"}, 422, "CLIP_LOST"),
        ({"status": ["CLIP_AVAILABLE"]}, 422, "status"),
        ({"status": "CLIP_PENDING", "clipId": "d"}, 422, "clipId"),
    ],
)
def test_a_body_that_is_no_metadata_changes_nothing(
    ask: Client, body: object, status: int, named: str
) -> None:
    answered, problem = ask("PUT", "/cameras/clips/c", body)
    assert answered == status
    assert named in problem["detail"]
    assert ask("GET", "/cameras/clips/c")[0] == 404


@pytest.mark.parametrize("clip_id", ["a.b", "x" * 65, "a%0Ab", "a%20b", "%C3%A9"])
def test_a_hostile_clip_id_is_refused(ask: Client, clip_id: str) -> None:
    assert ask("PUT", f"/cameras/clips/{clip_id}", {"status": "CLIP_PENDING"})[0] == 422


def test_a_body_may_have_just_as_many_bytes_as_allowed(ask: Client) -> None:
    empty = json.dumps({"status": "CLIP_PENDING", "x": ""}).encode()
    padding = b"x" * (MOST_BODY_BYTES - len(empty))
    body = empty.replace(b'""', b'"' + padding + b'"')

    assert ask("PUT", "/cameras/clips/c", body)[0] == 200
    assert ask("PUT", "/cameras/clips/c", body + b" ")[0] == 413


def test_an_endless_body_is_cut_off(ask: Client) -> None:
    """Sent in chunks without a length, and never finished."""
    address = urlsplit(ask.url)
    assert address.hostname
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with socket.create_connection((address.hostname, address.port or 0), timeout=30) as connection:
        connection.sendall(b"PUT /cameras/clips/c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(chunk * 5)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_health(ask: Client, catalog: Catalog) -> None:
    assert ask("GET", "/health") == (200, {"status": "ok"})
    catalog.close()
    status, problem = ask("GET", "/health")
    assert status == 503
    assert "catalog" in problem["detail"]


def test_methods_that_are_not_offered(ask: Client) -> None:
    assert ask("DELETE", "/cameras/clips/c")[0] == 405


def test_the_api_describes_itself(ask: Client) -> None:
    status, document = ask("GET", "/openapi.json")
    assert status == 200
    assert {path: sorted(operations) for path, operations in document["paths"].items()} == {
        "/health": ["get"],
        "/cameras": ["get"],
        "/cameras/{cameraId}": ["get"],
        "/cameras/recording/{alias}": ["get"],
        "/cameras/clips/{clipId}": ["get", "put"],
    }
    assert "requestBody" in document["paths"]["/cameras/clips/{clipId}"]["put"]


def test_an_unexpected_error_tells_nothing_of_the_inside(
    ask: Client, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(catalog, "cameras", broken)
    status, problem = ask("GET", "/cameras")
    assert status == 500
    assert "secret" not in json.dumps(problem)


def test_more_recordings_than_one_answer_holds(ask: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipline.camera_service.api.MOST_RECORDINGS", 0)
    query = f"startDate={START_MS}&endDate={END_MS}&allowPartialMatch=true"
    status, problem = ask("GET", f"/cameras/recording/test?{query}")
    assert status == 422
    assert "shorter interval" in problem["detail"]


def test_the_server_stops_and_frees_its_port(catalog: Catalog) -> None:
    with serve_in_thread(create_app(catalog)) as url:
        address = urlsplit(url)
        assert (address.hostname, bool(address.port)) == ("127.0.0.1", True)
        with pytest.raises(ConfigurationError, match=str(address.port)):
            with serve_in_thread(create_app(catalog), port=address.port or 0):
                pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", address.port or 0), timeout=5)


def test_no_answer_waits_for_its_last_segment() -> None:
    """Linux acknowledges late; a sender that waits for it is 40 ms late with each body."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_answers_are_neither_kept_nor_taken_for_something_else(ask: Client, catalog: Catalog) -> None:
    catalog.close()
    for path in ("/openapi.json", "/nothing", "/cameras/x", "/cameras/clips/.", "/health"):
        answer = urllib3.request("GET", ask.url + path, retries=False, timeout=30)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_metrics_by_route_and_status(ask: Client) -> None:
    for path in ("/cameras", "/cameras/1111111111111", "/cameras/nobody", "/cameras/someone", "/x%1b", "/y"):
        urllib3.request("GET", ask.url + path, retries=False, timeout=30)
    answer = urllib3.request("GET", f"{ask.url}/metrics", retries=False, timeout=30)
    assert answer.headers["Content-Type"].startswith("text/plain")
    every = [one for family in text_string_to_metric_families(answer.data.decode()) for one in family.samples]
    by_route = {
        tuple(one.labels[name] for name in ("method", "route", "status")): one.value
        for one in every
        if one.name == "clipline_http_requests_total"
    }
    assert by_route == {
        ("GET", "/cameras", "200"): 1,
        ("GET", "/cameras/{cameraId}", "200"): 1,
        ("GET", "/cameras/{cameraId}", "404"): 2,
        ("GET", "none", "404"): 2,
    }
    sizes = {one.labels["kind"]: one.value for one in every if one.name == "clipline_catalog_entries"}
    assert sizes == {"cameras": 1, "recordings": 1, "clips": 0}


@pytest.mark.parametrize("camera", ["x" * 1000, "%1b%5b2J", "%e2%80%ae"])
def test_a_hostile_camera_is_not_found(ask: Client, camera: str) -> None:
    query = f"?startDate={START_MS}&endDate={END_MS}"
    for path in (f"/cameras/{camera}", f"/cameras/recording/{camera}{query}"):
        status, problem = ask("GET", path)
        assert status == 404
        assert problem["detail"].isprintable()
        assert len(problem["detail"]) < 150


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 100_000, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000])
def test_an_endless_head_is_cut_off(ask: Client, head: bytes) -> None:
    address = urlsplit(ask.url)
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=30) as connection:
        with suppress(ConnectionError):  # the server may hang up before it was all sent
            connection.sendall(head)
            assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert ask("GET", "/health")[0] == 200
