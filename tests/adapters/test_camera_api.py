"""The camera API client against a server that misbehaves on command, and against our own service."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from servers.http_stub import Reply, Send, Stub, drip, hang_up, http, stubbed

from clipline.adapters.camera_api import MOST_ANSWER_BYTES, HttpCameraApi
from clipline.contract.errors import ConfigurationError, NotFound, Refused, Unavailable
from clipline.contract.interval import Interval
from clipline.contract.recording import NameFormat
from clipline.pipeline.ports import CameraApi

FIXTURES = Path(__file__).parent.parent / "contract" / "fixtures"
START_MS = 1_537_113_617_000  # 2018-09-16T16:00:17.000Z
INTERVAL = Interval(START_MS + 1000, START_MS + 2000)
GENEROUS_S = 15


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stubbed() as made:
        yield made


@pytest.fixture
def naps() -> list[float]:
    """How long the client would have slept between attempts, in seconds."""
    return []


@pytest.fixture
def api(stub: Stub, naps: list[float]) -> Iterator[HttpCameraApi]:
    with client(stub, sleep=naps.append) as made:
        yield made


def client(stub: Stub, **options: Any) -> HttpCameraApi:
    return HttpCameraApi(stub.url, stub.url, **{"names": NameFormat(), "token": "secret", **options})


CAMERA = http(200, {"_id": "1", "alias": "test", "title": "Test"})


def entry(**changes: object) -> dict[str, object]:
    (sound,) = json.loads((FIXTURES / "recordings_response.json").read_text())
    return {key: value for key, value in {**sound, **changes}.items() if value is not ...}


# What is asked


def test_the_requests_are_those_of_the_contract(stub: Stub, api: CameraApi) -> None:
    stub.replies = [CAMERA, http(200, [entry()]), http(204)]

    assert api.alias("1111111111111") == "test"
    api.recordings("test", INTERVAL)
    api.put_clip("c1", {"clipId": "c1", "status": "CLIP_PENDING"})

    assert [seen.line for seen in stub.seen] == [
        "GET /cameras/1111111111111 HTTP/1.1",
        f"GET /cameras/recording/test?startDate={INTERVAL.start_ms}&endDate={INTERVAL.end_ms}"
        "&allowPartialMatch=true HTTP/1.1",
        "PUT /cameras/clips/c1 HTTP/1.1",
    ]
    for seen in stub.seen:
        assert seen.headers["authorization"] == "Bearer secret"
        assert seen.headers["accept-encoding"] == "identity"
    assert stub.seen[2].headers["content-type"] == "application/json"
    assert json.loads(stub.seen[2].body) == {"clipId": "c1", "status": "CLIP_PENDING"}


@pytest.mark.parametrize(
    ("suffix", "path"),
    [
        ("", "/cameras/recording/test"),
        ("/", "/cameras/recording/test"),
        ("/v1", "/v1/cameras/recording/test"),
        ("/cameras/recording", "/cameras/recording/test"),
        ("/v1/cameras/recording/", "/v1/cameras/recording/test"),
    ],
)
def test_recordings_url_may_name_the_endpoint(stub: Stub, suffix: str, path: str) -> None:
    stub.replies = [http(200, [])]
    with HttpCameraApi("http://unused", stub.url + suffix, names=NameFormat()) as api:
        assert api.recordings("test", INTERVAL) == []
    assert stub.seen[0].line.startswith(f"GET {path}?startDate=")
    assert "authorization" not in stub.seen[0].headers


@pytest.mark.parametrize(
    ("camera_id", "path"),
    [("a/b?c#d", "a%2Fb%3Fc%23d"), ("..", "%2E%2E"), ("a b\r\nX: y", "a%20b%0D%0AX%3A%20y")],
)
def test_parts_of_a_path_stay_parts(stub: Stub, api: CameraApi, camera_id: str, path: str) -> None:
    stub.replies = [CAMERA]
    api.alias(camera_id)
    assert stub.seen[0].line == f"GET /cameras/{path} HTTP/1.1"


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com", "ftp://example.com", "http://", "http://a:x", "http://a/?key=1", "http://[::1"],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"CAM_SERVICES_URL.*expected http"):
        HttpCameraApi(url, "http://a", names=NameFormat())
    with pytest.raises(ConfigurationError, match=r"RECORDINGS_URL.*expected http"):
        HttpCameraApi("http://a", url, names=NameFormat())


def test_secrets_stay_out_of_messages() -> None:
    with pytest.raises(ConfigurationError) as url:
        HttpCameraApi("http://user:hunter2@a", "http://a", names=NameFormat())
    with pytest.raises(ConfigurationError, match="CAM_SERVICES_TOKEN") as token:
        HttpCameraApi("http://a", "http://a", token="hunter2\r\nX: y", names=NameFormat())
    assert "hunter2" not in str(url.value) + str(token.value)


# What is answered


def test_recordings(stub: Stub, api: CameraApi) -> None:
    exact = entry(recordingUrl="https://elsewhere/x/test.stream.20180916T160016800.mp4?signature=1")
    stub.replies = [http(200, [entry(), exact])]

    first, second = api.recordings("test", INTERVAL)

    assert (first.name, first.alias) == ("test.20180916T160017.mp4", "test")
    assert first.span == Interval(START_MS, START_MS + 600_000)
    assert second.name == "test.stream.20180916T160016800.mp4"
    assert second.span.start_ms == START_MS - 200


def test_entries_that_are_not_asked_for_are_left_out(stub: Stub, api: CameraApi) -> None:
    others = [
        entry(alias="other"),
        entry(startDate="2018-09-16T15:50:17.000Z", endDate="2018-09-16T16:00:18.000Z"),
        entry(startDate="2018-09-16T16:00:19.000Z"),
        entry(startDate="2018-09-16T16:00:18.500Z", endDate="2018-09-16T16:00:18.500Z"),
    ]
    stub.replies = [http(200, others)]
    assert api.recordings("test", INTERVAL) == []


@pytest.mark.parametrize("reply", [http(404, {"message": "none"}), http(404), http(200, [])])
def test_no_recordings(stub: Stub, api: CameraApi, reply: Reply) -> None:
    stub.replies = [reply]
    assert api.recordings("test", INTERVAL) == []
    assert len(stub.seen) == 1


def test_an_unknown_camera(stub: Stub, api: CameraApi) -> None:
    stub.replies = [http(404)]
    with pytest.raises(NotFound, match="/cameras/1: "):
        api.alias("1")
    assert len(stub.seen) == 1


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (entry(startDate=...), "startDate is missing"),
        (entry(startDate=None), "startDate is None"),
        (entry(startDate=5), "startDate is 5"),
        (entry(startDate="yesterday"), "startDate is 'yesterday'"),
        (entry(endDate="2018-02-30T00:00:00.000Z"), "endDate is '2018-02-30T00:00:00.000Z'"),
        (entry(endDate="2018-09-16T15:00:00.000Z"), "must come after"),
        (entry(recordingUrl=...), "recordingUrl is missing"),
        (entry(recordingUrl="https://example.com/"), "file name"),
        (entry(recordingUrl="https://example.com/x/%2e%2e"), "file name"),
        (entry(recordingUrl="https://[broken/x.mp4"), "recordingUrl"),
        (entry(alias=7), "alias is 7"),
        ("text", "'text', expected an object"),
        (None, "None, expected an object"),
    ],
)
def test_a_malformed_entry_is_no_gap(stub: Stub, api: CameraApi, broken: object, named: str) -> None:
    stub.replies = [http(200, [entry(), broken])]
    with pytest.raises(Refused) as caught:
        api.recordings("test", INTERVAL)
    assert "entry 1" in str(caught.value)
    assert named in str(caught.value)
    assert "RECORDINGS_URL" in str(caught.value)


@pytest.mark.parametrize("document", [{"recordings": []}, "none", None, 0])
def test_recordings_that_are_no_list(stub: Stub, api: CameraApi, document: object) -> None:
    stub.replies = [http(200, document)]
    with pytest.raises(Refused, match="expected a list"):
        api.recordings("test", INTERVAL)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "alias is missing"),
        ({"alias": None}, "alias is None"),
        ({"alias": "../x"}, "alias is '../x'"),
        ({"alias": "a/b"}, "alias is 'a/b'"),
        ({"alias": ""}, "alias is ''"),
        ({"alias": "a\n"}, "alias is"),
        ([], "expected an object"),
    ],
)
def test_a_camera_without_a_usable_alias(stub: Stub, api: CameraApi, document: object, named: str) -> None:
    stub.replies = [http(200, document)]
    with pytest.raises(Refused) as caught:
        api.alias("1")
    assert named in str(caught.value)
    assert len(stub.seen) == 1


# What goes wrong


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (400, "CAM_SERVICES_URL"),
        (401, "CAM_SERVICES_TOKEN"),
        (403, "CAM_SERVICES_TOKEN"),
        (410, "CAM_SERVICES_URL"),
    ],
)
def test_a_refusal_is_final_and_names_the_setting(
    stub: Stub, api: CameraApi, status: int, named: str
) -> None:
    stub.replies = [http(status, {"message": "go\x1b away"})]
    for call in (lambda: api.alias("1"), lambda: api.put_clip("c", {})):
        before = len(stub.seen)
        with pytest.raises(Refused) as caught:
            call()
        assert f"HTTP {status}" in str(caught.value)
        assert named in str(caught.value)
        assert "go" in str(caught.value)
        assert "\x1b" not in str(caught.value)
        assert len(stub.seen) == before + 1


def test_a_missing_token_is_named_as_such(stub: Stub) -> None:
    stub.replies = [http(401)]
    with client(stub, token=None) as api, pytest.raises(Refused, match="which is not set"):
        api.alias("1")


def test_a_clip_endpoint_that_is_not_there(stub: Stub, api: CameraApi) -> None:
    stub.replies = [http(404)]
    with pytest.raises(Refused, match="CAM_SERVICES_URL"):
        api.put_clip("c", {})


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(stub: Stub, api: CameraApi, status: int) -> None:
    stub.replies = [http(status, headers=[f"Location: {stub.url}/elsewhere"])]
    with pytest.raises(Refused, match=r"/elsewhere.*put the address in CAM_SERVICES_URL"):
        api.alias("1")
    assert len(stub.seen) == 1


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "setback",
    [
        http(500), http(502), http(503), http(429), http(408), hang_up,
        http(200, b"<html>Maintenance</html>"), http(200, b""), http(200, b'{"alias": "te'),
        http(200, b"\xff\xfe\x00"), http(200, b'{"alias": NaN}'), http(200, b"[" * 100_000),
        http(200, b'{"alias": "test"}', length=1000),
        lambda send: send(CHUNKED + b'11\r\n{"alias": "test"}\r\n'),
        lambda send: send(CHUNKED + b"nonsense\r\n"),
        lambda send: send(b"SSH-2.0-OpenSSH_9.2\r\n"),
        lambda send: send(b"HTTP/1.1 200 OK\r\nContent-"),
    ],
)  # fmt: skip
def test_what_a_repeat_may_cure_is_repeated(
    stub: Stub, api: CameraApi, naps: list[float], setback: Reply
) -> None:
    stub.replies = [setback, setback, CAMERA]
    assert api.alias("1") == "test"
    assert len(naps) == 2

    stub.seen.clear()
    stub.replies = [setback]
    with pytest.raises(Unavailable, match=r"/cameras/1: .*\(attempt 4 of 4\)"):
        api.alias("1")
    assert len(stub.seen) == 4


def test_retry_after_is_honoured(stub: Stub, api: CameraApi, naps: list[float]) -> None:
    dated = formatdate(time.time() + 9, usegmt=True)
    stub.replies = [
        http(429, headers=["Retry-After: 7"]),
        http(503, headers=[f"Retry-After: {dated}"]),
        http(503, headers=["Retry-After: soon"]),
        CAMERA,
    ]
    assert api.alias("1") == "test"
    assert naps[0] == 7
    assert 1 < naps[1] <= 9
    assert naps[2] <= 1


def test_a_wait_beyond_the_deadline_is_not_begun(stub: Stub, api: CameraApi, naps: list[float]) -> None:
    stub.replies = [http(429, headers=["Retry-After: 3600"])]
    with pytest.raises(Unavailable, match=r"HTTP 429.*wait 3600 s"):
        api.alias("1")
    assert (len(stub.seen), naps) == (1, [])


def test_nobody_listens(naps: list[float]) -> None:
    nobody = "http://127.0.0.1:1"
    with (
        HttpCameraApi(nobody, nobody, names=NameFormat(), sleep=naps.append) as api,
        pytest.raises(Unavailable, match="refused"),
    ):
        api.alias("1")
    assert len(naps) == 3


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 500 Whatever\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 403 Whatever\r\nContent-Length: 100000\r\n\r\n",
    ],
    ids=["status line", "header", "body", "chunk size", "unbounded body", "error", "refusal"],
)
def test_a_server_that_drips_does_not_outlast_the_deadline(stub: Stub, head: bytes) -> None:
    stub.replies = [drip(stub, head, b"1")]
    began = time.monotonic()
    with client(stub, deadline_s=1, attempt_s=0.6) as api, pytest.raises((Unavailable, Refused)):
        api.alias("1")
    assert time.monotonic() - began < GENEROUS_S


def test_a_server_that_drips_once_is_asked_again(stub: Stub) -> None:
    stub.replies = [drip(stub, b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "), CAMERA]
    with client(stub, attempt_s=0.5) as api:
        assert api.alias("1") == "test"


@pytest.mark.parametrize(
    "header", ["Content-Length: 1073741824", "Transfer-Encoding: chunked", "Connection: close"]
)
def test_a_gigabyte_is_not_read(stub: Stub, header: str) -> None:
    data = b" " * 65536
    block = b"10000\r\n" + data + b"\r\n" if "chunked" in header else data

    def gigabyte(send: Send) -> None:
        send(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode())
        for _ in range(16384):
            send(block)

    stub.replies = [gigabyte]
    with (
        client(stub, most_attempts=1) as api,
        pytest.raises(Unavailable, match=f"more than {MOST_ANSWER_BYTES}"),
    ):
        api.alias("1")
    # What it sent beyond that lies in the buffers of the sockets.
    assert stub.sent_bytes < 8 * MOST_ANSWER_BYTES


def test_a_compressed_answer_is_not_unpacked(stub: Stub, api: CameraApi) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    stub.replies = [http(200, bomb, headers=["Content-Encoding: gzip"])]
    with pytest.raises(Refused, match=r"compressed \(gzip\)"):
        api.alias("1")


def test_a_reply_to_a_put_that_is_lost(stub: Stub, api: CameraApi) -> None:
    stub.replies = [hang_up, http(200, {"ok": True})]
    api.put_clip("c", {"status": "CLIP_AVAILABLE"})
    first, second = stub.seen
    assert first == second
