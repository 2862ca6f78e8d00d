"""By how much a process grows at a server that sends a gigabyte, or takes a large file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.http_stub import Stub, gigabyte, stubbed
from servers.ministack import environment
from servers.raw import listening

from clipline.adapters import aws


@pytest.fixture
def stub(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    with stubbed() as made:
        for name, value in environment(made.url).items():
            monkeypatch.setenv(name, value)
        yield made


MEASURED = """
import os, re, sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
import test_hostile_network as hostile

def peak_bytes():
    # Not ru_maxrss, which begins with the parent's.
    return int(re.search("VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

what, url, file = sys.argv[1:4]
# Once for whatever is loaded by a first call.
os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
try:
    hostile.ADAPTERS[what if what != "upload" else "s3 put"]("http://127.0.0.1:1")
except Exception:
    pass
os.environ["AWS_ENDPOINT_URL"] = url
hostile.aws.session.cache_clear()
before = peak_bytes()
try:
    if what == "upload":
        hostile.bucket(url, deadline_s=30, attempt_s=30).put_file("a", Path(file), "video/mp4")
    else:
        hostile.ADAPTERS[what](url)
except Exception:
    pass
print(peak_bytes() - before)
"""


def grown_bytes(what: str, url: str, file: Path | str = "") -> int:
    """By how much a process grew."""
    tests = str(Path(__file__).parents[1])
    paths = [str(Path(__file__).parent), tests, str(Path(aws.__file__).parents[2])]
    command = [sys.executable, "-c", MEASURED, what, url, str(file), *paths]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    print(what, int(done.stdout) >> 10, "KiB")
    return int(done.stdout)


@pytest.mark.parametrize(
    ("adapter", "status", "most_bytes"),
    [
        ("camera get", 200, 16 << 20),
        ("webhook", 403, 4 << 20),
        ("s3 range", 206, 4 << 20),
        ("s3 get", 403, 4 << 20),
        ("sqs receive", 200, 2 * aws.MOST_ANSWER_BYTES),
        ("sns", 403, 16 << 20),
    ],
)
def test_a_gigabyte_does_not_fill_the_memory(stub: Stub, adapter: str, status: int, most_bytes: int) -> None:
    stub.replies = [gigabyte(status, "Transfer-Encoding: chunked")]
    assert grown_bytes(adapter, stub.url) < most_bytes
    assert stub.seen


def test_a_large_file_goes_up_in_little_memory(no_settings: None, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    with path.open("wb") as file:
        file.truncate(300 << 20)
    taken = 0

    def take(connection: socket.socket) -> None:
        nonlocal taken
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        assert b"Content-Length: 314572800" in head
        taken = len(body)
        while taken < 300 << 20 and (more := connection.recv(1 << 20)):
            taken += len(more)
        connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 0\r\n\r\n')

    with listening(take) as address:
        assert grown_bytes("upload", f"http://{address}", path) < 8 << 20
    assert taken == 300 << 20
