"""What only a folder has: writers that take turns, staged files, names that it can't hold."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipline.adapters import store_folder
from clipline.adapters.storage import open_store
from clipline.contract.errors import NotFound, Refused

TEXT = "text/plain"


def test_a_version_never_comes_back(tmp_path):
    """Inodes are used again, the clock of a file system stands still for milliseconds, and this one was set
    back by an hour."""
    store = open_store(f"file:{tmp_path}/clips")
    versions = [store.put("entry", b"0", TEXT)]
    later_ns = time.time_ns() + 3_600_000_000_000
    os.utime(tmp_path / "clips" / store_folder.STAGING / store_folder.LOCK, ns=(later_ns, later_ns))
    versions += [store.put("entry", b"%d" % number, TEXT) for number in range(9)]
    times = [int(version.strip('"').split("-")[1], 16) for version in versions]
    assert times == sorted(set(times)), "the time alone tells versions apart"
    assert times[1] > later_ns // 1000
    assert store.head("entry").version == versions[-1]


COUNTER = """
import sys
from clipline.adapters.storage import open_store
from clipline.contract.errors import Conflict
store = open_store(sys.argv[1])
for _ in range(40):
    while True:
        data, version = store.get("count", most_bytes=9)
        try:
            store.put("count", b"%d" % (int(data) + 1), "text/plain", replaces=version)
            break
        except Conflict:
            pass
"""


def test_processes_take_turns_in_a_folder(tmp_path):
    url = f"file:{tmp_path}/clips"
    open_store(url).put("count", b"0", TEXT)
    environment = {**os.environ, "PYTHONPATH": str(Path(store_folder.__file__).parents[2])}
    command = [sys.executable, "-c", COUNTER, url]
    writers = [subprocess.Popen(command, env=environment) for _ in range(3)]
    while any(writer.poll() is None for writer in writers):
        open_store(url).sweep()
        time.sleep(0.005)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert open_store(url).get("count", most_bytes=9)[0] == b"120"


@pytest.mark.parametrize("key", ["a/clip#1", "x" * 256, "☀" * 86 + "/a"])
def test_names_that_a_folder_cannot_hold_are_refused(tmp_path, key):
    store = open_store(f"file:{tmp_path}/clips")
    for call in (lambda: store.put(key, b"x", TEXT), lambda: store.head(key), lambda: store.local_path(key)):
        with pytest.raises(Refused, match="a folder can't hold it"):
            call()
    assert list(store.list("")) == []


def staged(root: Path) -> list[Path]:
    """What writers have in hand, or left."""
    return [path for path in (root / store_folder.STAGING).iterdir() if path.name != store_folder.LOCK]


def test_a_write_that_fails_leaves_nothing_in_a_folder(tmp_path):
    store = open_store(f"file:{tmp_path}/clips")
    with pytest.raises(NotFound):
        store.put_file("a.mp4", tmp_path / "missing", "video/mp4")
    (tmp_path / "clips" / "folder").mkdir()
    (tmp_path / "there").write_bytes(b"x")
    with pytest.raises(Refused):
        store.put_file("folder", tmp_path / "there", "video/mp4")
    store.put("a", b"x", TEXT)
    for key in ("a/b", "a/b/c"):
        with pytest.raises(Refused):
            store.put(key, b"x", TEXT)
    assert staged(tmp_path / "clips") == []
    assert [info.key for info in store.list("")] == ["a"]


WRITER = """
import sys
from clipline.adapters import storage, store_folder
def wait(path):
    print("staged", flush=True)
    sys.stdin.read()
store_folder._sync = wait
storage.open_store(sys.argv[1]).put("a/b", b"half", "text/plain")
"""


def test_what_a_killed_writer_left_is_swept_and_a_living_ones_stays(tmp_path):
    url = f"file:{tmp_path}/clips"
    environment = {**os.environ, "PYTHONPATH": str(Path(store_folder.__file__).parents[2])}
    command = [sys.executable, "-c", WRITER, url]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "staged\n"
        store = open_store(url)
        store.sweep()
        assert len(staged(tmp_path / "clips")) == 1
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert len(staged(tmp_path / "clips")) == 1
    assert list(store.list("")) == []
    store.sweep()
    assert staged(tmp_path / "clips") == []


def test_a_sweep_between_making_and_locking_a_file_does_no_harm(tmp_path, monkeypatch):
    store, flock, swept = open_store(f"file:{tmp_path}/clips"), fcntl.flock, []
    clips = tmp_path / "clips"

    def sweep_first(descriptor, operation):
        if not swept:
            swept.extend(staged(clips))
            monkeypatch.setattr(fcntl, "flock", flock)
            store.sweep()
        flock(descriptor, operation)

    def sweep_again(path, sync=store_folder._sync):
        store.sweep()
        sync(path)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    monkeypatch.setattr(store_folder, "_sync", sweep_again)
    store.put("a", b"x", TEXT)
    assert len(swept) == 1
    assert store.get("a", most_bytes=1)[0] == b"x"
    assert staged(tmp_path / "clips") == []
