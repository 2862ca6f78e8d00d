"""One contract for every store: memory, a folder, and S3 over HTTP against a real server."""

import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import boto3
import pytest
from servers.http_stub import stubbed

from clipline.adapters import aws
from clipline.adapters.storage import open_store
from clipline.adapters.store_s3 import Bucket
from clipline.contract.errors import ConfigurationError, Conflict, NotFound, Refused, Unavailable
from clipline.pipeline.ports import ObjectStore

TEXT = "text/plain"


@pytest.fixture
def s3(s3_server, monkeypatch, no_settings):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    aws.session.cache_clear()
    yield boto3.client("s3")
    aws.session.cache_clear()


@pytest.fixture(params=["memory", "file", "s3", "s3-prefix"])
def store(request, tmp_path) -> ObjectStore:
    match request.param:
        case "memory":
            return open_store(f"memory://{uuid.uuid4()}")
        case "file":
            return open_store(f"file:{tmp_path}/store")
    bucket = f"store-{uuid.uuid4()}"
    request.getfixturevalue("s3").create_bucket(Bucket=bucket)
    url = f"s3://{bucket}/some/folder" if request.param == "s3-prefix" else bucket
    return open_store(url, s3_options=aws.s3_options)


@pytest.fixture(params=["put", "put_file"])
def write(request, store, tmp_path):
    """Writes a short text, by either method."""

    def write(key, data, *, replaces=False) -> str:
        if request.param == "put":
            return store.put(key, data, TEXT, replaces=replaces)
        path = tmp_path / uuid.uuid4().hex
        path.write_bytes(data)
        return store.put_file(key, path, TEXT, replaces=replaces)

    return write


def test_what_was_put_is_there(store):
    version = store.put("a/b.txt", b"hello", TEXT)
    info = store.head("a/b.txt")
    assert (info.key, info.size_bytes, info.version) == ("a/b.txt", 5, version)
    assert store.get("a/b.txt", most_bytes=5) == (b"hello", version)
    assert store.put("a/b.txt", b"other", TEXT) != version
    assert store.get("a/b.txt", most_bytes=5)[0] == b"other"


@pytest.mark.parametrize("key", ["no", "no/thing", "a", "a/b/c"])
def test_what_is_not_there(store, key):
    store.put("a/b", b"x", TEXT)
    for call in (
        lambda: store.head(key),
        lambda: store.get(key, most_bytes=1),
        lambda: store.read_range(key, 0, 1),
    ):
        with pytest.raises(NotFound, match=f"{key}: it is not there"):
            call()
    assert store.local_path(key) is None
    store.delete(key)
    assert [info.key for info in store.list("")] == ["a/b"]


def test_ranges_are_exact(store):
    data = bytes(range(256)) * 1000
    version = store.put("data", data, TEXT)
    for offset, length in ((0, 1), (255, 300), (len(data) - 7, 7), (0, len(data))):
        assert store.read_range("data", offset, length) == data[offset : offset + length]
        assert store.read_range("data", offset, length, version=version) == data[offset : offset + length]
    for offset, length in ((len(data) - 7, 8), (len(data), 1), (len(data) + 5, 1)):
        with pytest.raises(Unavailable):
            store.read_range("data", offset, length)
        with pytest.raises(Unavailable):
            store.read_range("data", offset, length, version=version)


def test_two_versions_are_never_mixed(store):
    version = store.put("data", b"a" * 1000, TEXT)
    assert store.read_range("data", 0, 10, version=version) == b"a" * 10
    time.sleep(0.01)
    store.put("data", b"b" * 1000, TEXT)
    with pytest.raises(Conflict):
        store.read_range("data", 10, 10, version=version)


def test_a_large_object_is_no_small_one(store):
    store.put("large", b"x" * 1001, TEXT)
    with pytest.raises(Refused, match="1001 bytes, expected at most 1000"):
        store.get("large", most_bytes=1000)


def test_compare_and_set(store, write):
    version = write("entry", b"1", replaces=None)
    with pytest.raises(Conflict):
        write("entry", b"2", replaces=None)
    assert store.get("entry", most_bytes=9) == (b"1", version)
    second = write("entry", b"2", replaces=version)
    for key in ("entry", "missing"):
        with pytest.raises(Conflict):
            write(key, b"3", replaces=version)
    assert store.get("entry", most_bytes=9) == (b"2", second)
    assert [info.key for info in store.list("")] == ["entry"]
    assert write("entry", b"4") == store.head("entry").version
    store.delete("entry")
    with pytest.raises(Conflict):
        write("entry", b"5", replaces=second)


def test_of_concurrent_writers_one_wins_each_round(store, write):
    version = None
    with ThreadPoolExecutor(8) as pool:
        for turn in range(5):

            def attempt(number, turn=turn, version=version):
                try:
                    return number, write("entry", b"%d %d" % (turn, number), replaces=version)
                except Conflict:
                    return None

            ((won, version),) = [one for one in pool.map(attempt, range(8)) if one is not None]
            assert store.get("entry", most_bytes=9) == (b"%d %d" % (turn, won), version)


def test_what_writers_count_is_not_lost(store):
    """Each adds one, reading again after a conflict."""
    store.put("count", b"0", TEXT)

    def add(_):
        while True:
            data, version = store.get("count", most_bytes=9)
            try:
                return store.put("count", b"%d" % (int(data) + 1), TEXT, replaces=version)
            except Conflict:
                """Someone was faster."""

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(24)))
    assert store.get("count", most_bytes=9)[0] == b"24"


def test_readers_never_see_half_an_object(store, tmp_path):
    size_bytes = 1 << 20
    path = tmp_path / "clip"
    store.put("clip", b"0" * size_bytes, TEXT)
    with ThreadPoolExecutor(1) as pool:

        def overwrite():
            for digit in b"123456789":
                path.write_bytes(bytes([digit]) * size_bytes)
                store.put_file("clip", path, TEXT)
                store.put("clip", bytes([digit]) * size_bytes, TEXT)

        writing = pool.submit(overwrite)
        while not writing.done():
            data, _ = store.get("clip", most_bytes=size_bytes)
            assert data == data[:1] * size_bytes
        writing.result()


@pytest.mark.parametrize("mode", [False, None])
def test_a_file_goes_up_whole(store, tmp_path, mode):
    path = tmp_path / "clip"
    path.write_bytes(os.urandom(20 << 20))
    version = store.put_file("cam/clip.mp4", path, "video/mp4", replaces=mode)
    assert store.get("cam/clip.mp4", most_bytes=1 << 30) == (path.read_bytes(), version)
    assert [(info.key, info.size_bytes) for info in store.list("")] == [("cam/clip.mp4", 20 << 20)]


def test_content_types_reach_s3(s3, tmp_path):
    bucket = f"types-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket)
    store = open_store(bucket, s3_options=aws.s3_options)
    path = tmp_path / "clip"
    path.write_bytes(b"clip")
    store.put_file("clip.mp4", path, "video/mp4")
    store.put("a.json", b"{}", "application/json")
    assert s3.head_object(Bucket=bucket, Key="clip.mp4")["ContentType"] == "video/mp4"
    assert s3.head_object(Bucket=bucket, Key="a.json")["ContentType"] == "application/json"
    assert store.name == bucket


def test_list_is_by_prefix_and_in_order(store):
    for key in ("b/2", "a", "b/10", "b/1", "bc"):
        store.put(key, b"12", TEXT)
    assert [info.key for info in store.list("")] == ["a", "b/1", "b/10", "b/2", "bc"]
    assert [info.key for info in store.list("b/1")] == ["b/1", "b/10"]
    assert [(info.key, info.size_bytes) for info in store.list("bc")] == [("bc", 2)]
    store.delete("b/1")
    assert [info.key for info in store.list("b/1")] == ["b/10"]


HOSTILE = ["", "/a", "a/", "a//b", "a/../b", "..", ".", "a\nb", "a\0b", "a\x7f", "\ud800"]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_refused(store, key, tmp_path):
    path = tmp_path / "there"
    path.write_bytes(b"x")
    for call in (
        lambda: store.put(key, b"x", TEXT),
        lambda: store.put_file(key, path, TEXT),
        lambda: store.head(key),
        lambda: store.get(key, most_bytes=1),
        lambda: store.read_range(key, 0, 1),
        lambda: store.delete(key),
        lambda: list(store.list(f"{key}/b" if key else "../b")),
    ):
        with pytest.raises(Refused, match="it is none"):
            call()
    assert list(store.list("")) == []


NAMES = ["a b.mp4", "Nazaré ☀/c.mp4", "a%2Fb", "a%b", "a#b", "a*b?c", "a:b", "~", 'a+b&c=d[x]{y}|^`<>"']


@pytest.mark.parametrize("key", NAMES)
def test_unusual_keys_are_kept_as_they_are(store, request, key):
    version = store.put(key, b"x", TEXT)
    assert store.get(key, most_bytes=1) == (b"x", version)
    assert [info.key for info in store.list("")] == [info.key for info in store.list(key)] == [key]
    path = store.local_path(key)
    assert path.read_bytes() == b"x" if "[file-" in request.node.name else path is None
    store.delete(key)
    with pytest.raises(NotFound):
        store.head(key)


def test_names_in_metadata(tmp_path):
    assert open_store("memory://m").name == "m"
    assert open_store("bucket").name == open_store("s3://bucket/a/b/").name == "bucket"
    assert open_store("file:data/clips").name == open_store("file://data/clips").name == "data/clips"
    assert open_store("file:///a%20b").name == "/a b"


@pytest.mark.parametrize(
    "url",
    ["", "s3://", "s3:bucket", "A Bucket", "s3://x", "ftp://a", "memory:", "memory://", "file:", "file://"],
)
def test_a_malformed_url_says_what_is_expected(url):
    with pytest.raises(ConfigurationError, match="expected the name of a bucket"):
        open_store(url)


def at(endpoint, **limits) -> ObjectStore:
    options = {
        "endpoint": endpoint,
        "region": "us-east-1",
        "access_key_id": "a",
        "secret_access_key": "b",
        "client_options": {"allow_http": True},
    }
    return Bucket("bucket", "", lambda: options, **limits)


@contextmanager
def lying(status, body, **headers) -> Iterator[ObjectStore]:
    """A store at a server that answers this, whatever is asked."""
    lines = [f"HTTP/1.1 {status} Whatever", 'ETag: "v1"', "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    answer = "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body
    with stubbed() as stub:
        stub.replies.append(lambda send: send(answer))
        yield at(stub.url)


@pytest.mark.parametrize(
    ("status", "sent_bytes", "headers"),
    [
        (200, 100, {"Content_Length": "100"}),
        (206, 10, {"Content_Range": "bytes 0-9/100", "Content_Length": "10"}),
        (206, 5, {"Content_Range": "bytes 50-54/100", "Content_Length": "5"}),
        (206, 5, {"Content_Range": "bytes 50-59/100", "Content_Length": "10"}),
    ],
    ids=["all of it", "another range", "a shorter range", "cut off"],
)
def test_bytes_that_are_not_the_ones_asked_for_are_not_given(status, sent_bytes, headers):
    with lying(status, b"x" * sent_bytes, **headers) as store, pytest.raises(Unavailable):
        store.read_range("a", 50, 10)


def test_404_is_not_there():
    with lying(404, b"<Error><Code>NoSuchKey</Code></Error>") as store, pytest.raises(NotFound):
        store.get("a", most_bytes=1)


def test_denied_says_what_may_be_missing():
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    with lying(403, body, Content_Length=str(len(body))) as store:
        with pytest.raises(Refused, match=r"AccessDenied: Access Denied \(check the credentials.*ListBucket"):
            store.get("a", most_bytes=10)


def test_no_credentials_are_named_quickly(no_settings, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    aws.session.cache_clear()
    began = time.monotonic()
    with pytest.raises(Refused, match=r"no AWS credentials were found \(set AWS_PROFILE"):
        open_store("bucket", s3_options=aws.s3_options).head("a")
    assert time.monotonic() - began < 5
    aws.session.cache_clear()
