"""Every adapter at a server that does whatever a server can do wrong.

Each ends with the error of the contract, in its time, with what it may take of an answer. Limits are short
here; that the defaults are what they say is for the eye.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from servers.http_stub import Reply, Stub, drip, endless_headers, gigabyte, hang_up, http, silence, stubbed
from servers.ministack import environment
from servers.raw import certified, listening, over_tls

from clipline.adapters import aws, sqs
from clipline.adapters.camera_api import HttpCameraApi
from clipline.adapters.sns import SnsNotifier
from clipline.adapters.sqs import SqsQueue
from clipline.adapters.store_s3 import MOST_UPLOAD_BYTES, Bucket
from clipline.adapters.webhook import WebhookNotifier
from clipline.contract.errors import Conflict, NotFound, Refused, Unavailable
from clipline.contract.recording import NameFormat

DEADLINE_S, ATTEMPT_S = 0.5, 0.4
AWS_DEADLINE_S = 3.45  # three attempts of ``AWS_ATTEMPT_S``, and the pauses, which are left out here
AWS_ATTEMPT_S = 0.15
OVERHEAD_S = 1.5
TRIES = (
    3  # others use the machine too: a bound that holds once is one  # of a machine that others use as well
)
BUFFERS_BYTES = 16 << 20  # what may lie in sockets: sent, but not taken
TOPIC = "arn:aws:sns:us-east-1:000000000000:clips"
TEXT = "text/plain"


@pytest.fixture(scope="module")
def loader() -> Any:
    return botocore.loaders.create_loader()


@pytest.fixture
def stub(no_settings: None, monkeypatch: pytest.MonkeyPatch, loader: Any) -> Iterator[Stub]:
    monkeypatch.setattr("botocore.loaders.create_loader", lambda _: loader)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    monkeypatch.setattr(aws, "_SHORTEST_ATTEMPT_S", AWS_ATTEMPT_S)
    monkeypatch.setattr(sqs, "_MOST_WAIT_S", 0)
    with stubbed() as made:
        for name, value in environment(made.url).items():
            monkeypatch.setenv(name, value)
        aws.session.cache_clear()
        yield made
    aws.session.cache_clear()


def bucket(url: str, *, deadline_s: float = DEADLINE_S, attempt_s: float = ATTEMPT_S) -> Bucket:
    options = {
        "endpoint": url,
        "region": "us-east-1",
        "access_key_id": "a",
        "secret_access_key": "b",
        "client_options": {"allow_http": True},
    }
    made = Bucket("bucket", "", lambda: options, deadline_s=deadline_s, attempt_s=attempt_s)
    assert made._signer  # made at the first call, which takes a while when others use the machine as well
    return made


def camera(url: str) -> HttpCameraApi:
    return HttpCameraApi(url, url, names=NameFormat(), deadline_s=DEADLINE_S, attempt_s=ATTEMPT_S)


ADAPTERS: dict[str, Callable[[str], object]] = {
    "camera get": lambda url: camera(url).alias("1"),
    "camera put": lambda url: camera(url).put_clip("1", {"status": "CLIP_PENDING"}),
    "webhook": lambda url: WebhookNotifier(url, deadline_s=DEADLINE_S, attempt_s=ATTEMPT_S).publish({}),
    "s3 head": lambda url: bucket(url).head("a"),
    "s3 range": lambda url: bucket(url).read_range("a", 0, 1000),
    "s3 get": lambda url: bucket(url).get("a", most_bytes=1000),
    "s3 put": lambda url: bucket(url).put("a", b"x", TEXT),
    "s3 delete": lambda url: bucket(url).delete("a"),
    "s3 list": lambda url: list(bucket(url).list("")),
    "sqs receive": lambda url: SqsQueue(f"{url}/1/q", deadline_s=AWS_DEADLINE_S).receive(
        most=10, wait_s=0, visibility_s=1
    ),
    "sqs send": lambda url: SqsQueue(f"{url}/1/q", deadline_s=AWS_DEADLINE_S).send("x"),
    "sns": lambda _: SnsNotifier(TOPIC, deadline_s=AWS_DEADLINE_S).publish({}),
}
UNREAD = {"camera put", "webhook", "s3 head", "s3 put", "s3 delete"}
"""Whose success has no body that counts."""

OK = b"HTTP/1.1 200 OK\r\n"
PARTIAL = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-999/2000\r\n"
LONG = b"Content-Length: 900\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

MISBEHAVIOURS: dict[str, Callable[[Stub], Reply]] = {
    "silence": silence,
    "drip in the headers": lambda stub: drip(stub, OK + b"X: ", b"1"),
    "drip in the body": lambda stub: drip(stub, OK + LONG, b" "),
    "drip in a range": lambda stub: drip(stub, PARTIAL + b"Content-Length: 1000\r\n\r\n", b" "),
    "drip in chunks": lambda stub: drip(stub, OK + CHUNKED, b"1\r\n \r\n"),
    "drip in an error": lambda stub: drip(stub, b"HTTP/1.1 500 Whatever\r\n" + LONG, b" "),
    "hung up": lambda _: hang_up,
    "cut headers": lambda _: lambda send: send(OK + b"X: "),
    "cut body": lambda _: lambda send: send(OK + LONG + b"half"),
    "cut range": lambda _: lambda send: send(PARTIAL + b"Content-Length: 1000\r\n\r\nhalf"),
    "cut chunk": lambda _: lambda send: send(OK + CHUNKED + b"64\r\nhalf"),
    "headers without end": endless_headers,
    "another protocol": lambda _: lambda send: send(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "storm of 503": lambda _: http(503, b"<Error><Code>SlowDown</Code></Error>"),
    "storm of 429": lambda _: http(429, headers=["Retry-After: 3600"]),
    "half an error": lambda _: http(500, b"<Error><Code>Internal"),
    "gigabyte": lambda _: gigabyte(200, "Content-Length: 1073741824"),
    "gigabyte in chunks": lambda _: gigabyte(200, "Transfer-Encoding: chunked"),
    "gigabyte without length": lambda _: gigabyte(200, "Connection: close"),
    "gigabyte of a range": lambda _: gigabyte(
        206, "Content-Range: bytes 0-999/2000\r\nTransfer-Encoding: chunked"
    ),
    "gigabyte of an error": lambda _: gigabyte(403, "Transfer-Encoding: chunked"),
}


def expected(misbehaviour: str, adapter: str) -> type[Exception] | None:
    """What it ends with; None: well."""
    if misbehaviour == "gigabyte of an error":
        return Unavailable if adapter == "sns" else Refused  # of a megabyte of spaces botocore makes no error
    if misbehaviour.startswith("gigabyte") and adapter == "s3 get":
        return Refused
    answered = ("drip in the body", "drip in a range", "drip in chunks", "cut body", "cut range", "cut chunk")
    if adapter not in UNREAD or not (misbehaviour.startswith("gigabyte") or misbehaviour in answered):
        return Unavailable
    if adapter == "s3 put":
        return Unavailable  # it names no version
    if adapter == "s3 head" and misbehaviour not in (
        "gigabyte", "drip in the body", "drip in a range", "cut body", "cut range",
    ):  # fmt: skip
        return Unavailable  # it names no size
    return None


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
def test_every_adapter_keeps_its_time_and_its_measure(stub: Stub, misbehaviour: str, adapter: str) -> None:
    if adapter == "s3 list" and misbehaviour.startswith("gigabyte"):
        pytest.skip("obstore reads a listing whole: only its time is limited")
    stub.replies = [MISBEHAVIOURS[misbehaviour](stub)]
    outcome: Exception | None = None
    spent_s = []
    while len(spent_s) < TRIES and not (spent_s and min(spent_s) < DEADLINE_S + OVERHEAD_S):
        began = time.monotonic()
        try:
            ADAPTERS[adapter](stub.url)
        except Exception as error:
            outcome = error
        spent_s.append(time.monotonic() - began)
    assert min(spent_s) < DEADLINE_S + OVERHEAD_S
    assert type(outcome) is (expected(misbehaviour, adapter) or type(None)), repr(outcome)
    cap_bytes = {"sqs": aws.MOST_ANSWER_BYTES, "sns": aws.MOST_ANSWER_BYTES, "cam": 8 << 20}
    assert stub.sent_bytes < (1 + len(stub.seen)) * (cap_bytes.get(adapter[:3], 0) + BUFFERS_BYTES)


# What is asked of an object


RANGE = "Content-Range: bytes 50-59/100"
WHOLE_RANGE = http(206, b"0123456789", headers=[RANGE, 'ETag: "v1"'])
FALSE_RANGES: dict[str, tuple[Reply, type[Exception]]] = {
    "all of it": (http(200, b"x" * 100, headers=['ETag: "v1"']), Unavailable),
    "as many bytes, but of no range": (http(200, b"x" * 10, headers=['ETag: "v1"']), Unavailable),
    "no range": (http(206, b"x" * 10, headers=['ETag: "v1"']), Unavailable),
    "another range": (
        http(206, b"x" * 10, headers=["Content-Range: bytes 0-9/100", 'ETag: "v1"']), Unavailable
    ),
    "a longer range": (
        http(206, b"x" * 11, headers=["Content-Range: bytes 50-60/100", 'ETag: "v1"']), Unavailable
    ),
    "a shorter range": (
        http(206, b"x" * 9, headers=["Content-Range: bytes 50-58/100", 'ETag: "v1"']), Unavailable
    ),
    "fewer bytes": (http(206, b"x" * 9, headers=[RANGE, 'ETag: "v1"']), Unavailable),
    "more bytes": (http(206, b"x" * 11, headers=[RANGE, 'ETag: "v1"']), Unavailable),
    "another version": (http(206, b"x" * 10, headers=[RANGE, 'ETag: "v2"']), Conflict),
    "no version": (http(206, b"x" * 10, headers=[RANGE]), Conflict),
    "a failed condition": (http(412), Conflict),
    "beyond the end": (http(416, b"<Error><Code>InvalidRange</Code></Error>"), Unavailable),
    "gone": (http(404, b"<Error><Code>NoSuchKey</Code></Error>"), NotFound),
    "denied": (http(403, b"<Error><Code>AccessDenied</Code></Error>"), Refused),
    "elsewhere": (http(301, headers=["x-amz-bucket-region: eu-west-1"]), Refused),
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE_RANGES)
def test_bytes_of_another_range_or_version_are_never_given(stub: Stub, name: str) -> None:
    reply, error = FALSE_RANGES[name]
    stub.replies = [WHOLE_RANGE, reply]
    store = bucket(stub.url)
    assert store.read_range("a", 50, 10, version='"v1"') == b"0123456789"
    with pytest.raises(error) as caught:
        store.read_range("a", 50, 10, version='"v1"')
    assert type(caught.value) is error
    assert len(stub.seen) == 2, "a repeat would not help"


def test_what_a_repeat_may_cure_is_repeated(stub: Stub) -> None:
    stub.replies = [
        http(503, b"<Error><Code>SlowDown</Code></Error>"),
        http(206, b"0123", headers=[RANGE], length=10),
        http(400, b"<Error><Code>RequestTimeout</Code></Error>"),
        WHOLE_RANGE,
    ]
    assert bucket(stub.url, deadline_s=10, attempt_s=5).read_range("a", 50, 10) == b"0123456789"
    assert len(stub.seen) == 4


@pytest.mark.parametrize(
    ("reply", "replaces", "error"),
    [
        (http(412), None, Conflict),
        (http(412), '"v1"', Conflict),
        (http(409, b"<Error><Code>ConditionalRequestConflict</Code></Error>"), '"v1"', Conflict),
        (http(404, b"<Error><Code>NoSuchKey</Code></Error>"), '"v1"', Conflict),
        (http(404, b"<Error><Code>NoSuchBucket</Code></Error>"), '"v1"', NotFound),
        (http(409, b"<Error><Code>OperationAborted</Code></Error>"), False, Unavailable),
        (http(403), False, Refused),
        (http(200), False, Unavailable),
    ],
)
@pytest.mark.parametrize("method", ["put", "put_file"])
def test_writing(
    stub: Stub,
    tmp_path: Path,
    reply: Reply,
    replaces: str | bool | None,
    error: type[Exception],
    method: str,
) -> None:
    stub.replies = [reply]
    path = tmp_path / "file"
    path.write_bytes(b"x")
    write: Any = getattr(bucket(stub.url), method)
    with pytest.raises(error) as caught:
        write("a", path if method == "put_file" else b"x", TEXT, replaces=replaces)
    assert type(caught.value) is error


def test_a_file_is_sent_again_from_its_beginning(stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(os.urandom(300_000))
    stub.replies = [http(503), hang_up, http(200, headers=['ETag: "v2"'])]
    store = bucket(stub.url, deadline_s=10, attempt_s=5)
    assert store.put_file("a", path, "video/mp4", replaces='"v1"') == '"v2"'
    for seen in stub.seen:
        assert seen.body == path.read_bytes()
        assert (seen.headers["if-match"], seen.headers["content-type"]) == ('"v1"', "video/mp4")
    assert len(stub.seen) == 3


def test_a_write_whose_answer_was_lost_is_a_conflict(stub: Stub) -> None:
    """Whether the first attempt succeeded can't be told from the second one's answer."""
    stub.replies = [silence(stub), http(412)]
    with pytest.raises(Conflict):
        bucket(stub.url, deadline_s=5, attempt_s=0.2).put("a", b"x", TEXT, replaces='"v1"')
    assert len(stub.seen) == 2


def sip(connection: socket.socket) -> None:
    """Takes what is sent so slowly that it lasts for half a minute, and so often that no socket times out."""
    while connection.recv(32768):
        time.sleep(0.015)


def test_an_upload_that_is_hardly_taken_ends_in_time(
    no_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipline.adapters.store_s3.UPLOAD_BYTES_PER_S", 256 << 20)
    path = tmp_path / "clip"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    with listening(sip) as address:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            bucket(f"http://{address}").put_file("a", path, TEXT)
        assert time.monotonic() - began < DEADLINE_S + 0.25 + OVERHEAD_S


def test_a_file_that_s3_would_not_take(stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    with path.open("wb") as file:
        file.truncate(MOST_UPLOAD_BYTES + 1)
    with pytest.raises(Refused, match=r"5368709121 bytes.*S3 takes at most 5368709120 in one request"):
        bucket(stub.url).put_file("a", path, TEXT)
    assert stub.seen == []


def test_a_listing_without_end(stub: Stub) -> None:
    page = "<Key>a</Key><Size>1</Size><LastModified>2015-10-21T07:28:00.000Z</LastModified>"
    page = f"<Contents>{page}</Contents><IsTruncated>true</IsTruncated>"
    page += "<NextContinuationToken>more</NextContinuationToken>"
    stub.replies = [http(200, f"<ListBucketResult>{page}</ListBucketResult>".encode())]
    began = time.monotonic()
    with pytest.raises(Unavailable, match="no answer within"):
        list(bucket(stub.url).list(""))
    assert time.monotonic() - began < DEADLINE_S + OVERHEAD_S
    assert len(stub.seen) > 1


# TLS


@pytest.mark.parametrize("is_trusted", [True, False])
def test_aws_is_who_the_bundle_says(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    """AWS_CA_BUNDLE counts, and what it does not vouch for is not spoken to."""
    heard = []

    def serve(connection: Any) -> None:
        heard.append(b"")
        while b"}" not in heard[-1]:
            heard[-1] += connection.recv(65536)
        connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}")

    certificate = certified(tmp_path)
    monkeypatch.setattr(aws, "_SHORTEST_ATTEMPT_S", 3)
    if is_trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    with listening(over_tls(certificate, serve)) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://{address}")
        aws.session.cache_clear()
        queue = SqsQueue(f"https://{address}/1/q", deadline_s=AWS_DEADLINE_S)
        if is_trusted:
            assert queue.receive(most=1, wait_s=0, visibility_s=1) == []
        else:
            with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
                queue.receive(most=1, wait_s=0, visibility_s=1)
    assert bool(heard) is is_trusted
