"""One contract for every store: memory, a folder, and S3 over HTTP against a real server."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from clipline.adapters import aws, storage
from clipline.adapters.storage import open_store
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


def is_folder(store):
    return store.local_path("probe") is not None


@pytest.fixture
def compares(store):
    """Whether the store can compare and set."""
    store.put("probe", b"x", TEXT)
    return not is_folder(store)


def test_what_was_put_is_there(store):
    version = store.put("a/b.txt", b"hello", TEXT)
    info = store.head("a/b.txt")
    assert (info.key, info.size_bytes, info.version) == ("a/b.txt", 5, version)
    assert store.get("a/b.txt", most_bytes=5) == (b"hello", version)
    assert store.put("a/b.txt", b"other", TEXT) != version
    assert store.get("a/b.txt", most_bytes=5)[0] == b"other"


def test_what_is_not_there(store):
    for call in (
        lambda: store.head("no"),
        lambda: store.get("no", most_bytes=1),
        lambda: store.read_range("no", 0, 1),
    ):
        with pytest.raises(NotFound, match="no: it is not there"):
            call()
    assert store.local_path("no") is None
    store.delete("no")


def test_ranges_are_exact(store):
    data = bytes(range(256)) * 1000
    version = store.put("data", data, TEXT)
    for offset, length in ((0, 1), (255, 300), (len(data) - 7, 7), (0, len(data))):
        assert store.read_range("data", offset, length) == data[offset : offset + length]
        assert store.read_range("data", offset, length, version=version) == data[offset : offset + length]
    for offset, length in ((len(data) - 7, 8), (len(data) + 5, 1)):
        with pytest.raises((Unavailable, Refused)):
            store.read_range("data", offset, length)


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


def test_only_what_is_new_can_be_created(store):
    store.put("one", b"1", TEXT, replaces=None)
    with pytest.raises(Conflict):
        store.put("one", b"2", TEXT, replaces=None)
    assert store.get("one", most_bytes=9)[0] == b"1"


def test_compare_and_set(store, compares):
    version = store.put("entry", b"1", TEXT)
    if not compares:
        with pytest.raises(Refused, match="compare and set"):
            store.put("entry", b"2", TEXT, replaces=version)
        return
    second = store.put("entry", b"2", TEXT, replaces=version)
    with pytest.raises(Conflict):
        store.put("entry", b"3", TEXT, replaces=version)
    assert store.get("entry", most_bytes=9) == (b"2", second)


def test_of_concurrent_writers_one_wins(store, compares):
    version = store.put("entry", b"start", TEXT) if compares else None

    def write(number):
        key = "entry" if compares else "fresh"
        try:
            store.put(key, str(number).encode(), TEXT, replaces=version)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1


def test_a_file_goes_up_whole(store, tmp_path):
    data = os.urandom(1 << 20) * 20
    path = tmp_path / "clip"
    path.write_bytes(data)
    store.put_file("cam/clip.mp4", path, "video/mp4")
    assert store.head("cam/clip.mp4").size_bytes == len(data)
    assert store.read_range("cam/clip.mp4", 5_000_000, 1000) == data[5_000_000:5_001_000]
    assert [info.key for info in store.list("")] == ["cam/clip.mp4"]


def test_parts_of_a_very_large_file_become_one_object(store, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "MOST_IN_ONE_PUT_BYTES", 1 << 20)
    path = tmp_path / "clip"
    path.write_bytes(os.urandom(1 << 20) * 12)
    store.put_file("clip.mp4", path, "video/mp4")
    assert store.get("clip.mp4", most_bytes=1 << 30)[0] == path.read_bytes()


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


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/../b", "..", "."])
def test_hostile_keys_are_refused(store, key):
    with pytest.raises(Refused, match="it is none"):
        store.put(key, b"x", TEXT)
    with pytest.raises(Refused, match="it is none"):
        store.head(key)


def test_a_folder_tells_where_its_objects_lie(tmp_path):
    store = open_store(f"file:{tmp_path}/clips")
    store.put("cam/a.mp4", b"clip", "video/mp4")
    assert store.local_path("cam/a.mp4") == tmp_path / "clips" / "cam" / "a.mp4"
    assert store.name == f"{tmp_path}/clips"


def test_a_write_that_fails_leaves_nothing_in_a_folder(tmp_path):
    store = open_store(f"file:{tmp_path}/clips")
    with pytest.raises(NotFound):
        store.put_file("a.mp4", tmp_path / "missing", "video/mp4")
    (tmp_path / "clips" / "folder").mkdir()
    (tmp_path / "there").write_bytes(b"x")
    with pytest.raises(Refused):
        store.put_file("folder", tmp_path / "there", "video/mp4")
    assert list((tmp_path / "clips" / storage.STAGING).iterdir()) == []
    assert list(store.list("")) == []


WRITER = """
import sys
from pathlib import Path
from clipline.adapters import storage
def wait(path):
    print("staged", flush=True)
    sys.stdin.read()
storage._sync = wait
storage.open_store(sys.argv[1]).put("a/b", b"half", "text/plain")
"""


def test_what_a_killed_writer_left_is_swept_and_a_living_ones_stays(tmp_path):
    url = f"file:{tmp_path}/clips"
    environment = {**os.environ, "PYTHONPATH": str(Path(storage.__file__).parents[2])}
    command = [sys.executable, "-c", WRITER, url]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "staged\n"
        staging = tmp_path / "clips" / storage.STAGING
        store = open_store(url)
        store.sweep()
        assert len(list(staging.iterdir())) == 1
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert len(list(staging.iterdir())) == 1
    assert list(store.list("")) == []
    store.sweep()
    assert list(staging.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["", "s3://", "s3:bucket", "A Bucket", "s3://x", "ftp://a", "memory:", "file:"]
)
def test_a_malformed_url_says_what_is_expected(url):
    with pytest.raises(ConfigurationError, match="expected the name of a bucket"):
        open_store(url)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request in the way that the server is told."""

    def do_GET(self):
        status, body, headers = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@contextmanager
def lying(status, body, **headers) -> Iterator[ObjectStore]:
    """A store at a server that answers this, whatever is asked."""
    common = {"ETag": '"v1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answer = (
            status,
            body,
            common | {name.replace("_", "-"): text for name, text in headers.items()},
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = {
            "endpoint": f"http://127.0.0.1:{server.server_port}",
            "region": "us-east-1",
            "access_key_id": "a",
            "secret_access_key": "b",
            "client_options": {"allow_http": True},
        }
        yield open_store("s3://bucket", s3_options=lambda: options)
        server.shutdown()


def test_200_instead_of_206_gives_no_misplaced_bytes():
    with lying(200, b"x" * 100, Content_Length="100") as store, pytest.raises(Unavailable):
        store.read_range("a", 50, 10)


def test_another_range_than_the_one_asked_gives_no_bytes():
    headers = {"Content_Range": "bytes 0-9/100", "Content_Length": "10"}
    with lying(206, b"x" * 10, **headers) as store, pytest.raises(Unavailable):
        store.read_range("a", 50, 10)


def test_a_body_that_is_cut_off_gives_no_bytes(monkeypatch):
    monkeypatch.setattr(storage, "_MOST_RETRIES", 0)
    headers = {"Content_Range": "bytes 50-59/100", "Content_Length": "10"}
    with lying(206, b"x" * 5, **headers) as store, pytest.raises(Unavailable):
        store.read_range("a", 50, 10)


def test_a_storm_of_503_ends_within_its_deadline(monkeypatch):
    monkeypatch.setattr(storage, "_MOST_RETRIES", 2)
    monkeypatch.setattr(storage, "_RETRIES", timedelta(seconds=3))
    began = time.monotonic()
    with lying(503, b"<Error><Code>SlowDown</Code></Error>", Content_Length="36") as store:
        with pytest.raises(Unavailable):
            store.get("a", most_bytes=10)
    assert time.monotonic() - began < 10


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
