"""Two hundred mixed requests, a third of them faulty, through one worker with four clips in progress, under a
memory limit. CLIPLINE_OVERLOAD=1080p takes larger footage."""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from clipline.adapters.sqlite_ledger import SqliteLedger
from clipline.adapters.sqlite_queue import SqliteQueue
from clipline.contract.recording import NameFormat
from clipline.media.footage import Footage, make_sample

LARGE = os.environ.get("CLIPLINE_OVERLOAD") == "1080p"
REQUESTS = 200
LIMIT_MIB = 1400 if LARGE else 1200
CONCURRENCY = 4
START_MS = 1_537_119_363_000
RECORDING_S = 12
SIZE = (1920, 1080) if LARGE else (640, 360)
FAULTY = {
    "unreadable": None,
    "unknown camera": "CLIP_INVALID_REQUEST",
    "invalid": "CLIP_INVALID_REQUEST",
    "too long": "CLIP_TOO_LONG",
    "nothing recorded": "CLIP_NOT_AVAILABLE",
    "corrupt pictures": "CLIP_NOT_AVAILABLE",
    "cut short": "CLIP_NOT_AVAILABLE",
    "no footage": "CLIP_NOT_AVAILABLE",
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A sound camera with two recordings, and one for each way to be broken."""
    folder = tmp_path_factory.mktemp("recordings")
    footage = Footage(width=SIZE[0], height=SIZE[1], duration_s=RECORDING_S, moov_first=True)
    (folder / "sound").mkdir()
    made = make_sample(folder / "sound", camera="sound", start_ms=START_MS, recordings=2, footage=footage)
    data = made[0].read_bytes()
    mdat = data.index(b"mdat") + 4
    broken = {
        "corrupt": data[:mdat] + random.Random(1).randbytes(len(data) - mdat),
        "short": data[: mdat + 5000],
        "junk": b"#EXTM3U\n/etc/passwd\n" * 1000,
    }
    for alias, content in broken.items():
        (folder / alias).mkdir()
        # One that is sound, later, or there would be no such camera.
        shutil.copy(made[0], folder / alias / NameFormat().name(alias, START_MS + 3_600_000))
        (folder / alias / NameFormat().name(alias, START_MS)).write_bytes(content)
    return folder


def request(number, kind, dice):
    """A message's body and its due status."""
    start_ms = START_MS + dice.randrange(200, (2 * RECORDING_S - 4) * 1000)
    body = {
        "clipId": f"clip{number}",
        "cameraId": "sound",
        "startTimestampInMs": start_ms,
        "endTimestampInMs": start_ms + dice.choice((500, 1_000, 3_000)),
        "retryTimestamps": [],
    }
    match kind:
        case "unreadable":
            return dice.choice(("{'clipId': '../x'}", "junk", "[" * 5000, json.dumps(body)[:-9]))
        case "unknown camera":
            body["cameraId"] = "nobody"
        case "invalid":
            body["endTimestampInMs"] = start_ms - 1
        case "too long":
            body["endTimestampInMs"] = start_ms + 300_001
        case "nothing recorded":
            body["startTimestampInMs"], body["endTimestampInMs"] = start_ms - 10**8, start_ms - 10**8 + 1_000
        case "corrupt pictures" | "cut short" | "no footage":
            body["cameraId"] = {"corrupt pictures": "corrupt", "cut short": "short"}.get(kind, "junk")
            body["startTimestampInMs"], body["endTimestampInMs"] = START_MS + 4_000, START_MS + 6_000
    return json.dumps(body)


def used_mib(pid):
    """Proportional set size of a process and all it started: shared pages count once."""
    total_kib = 0
    for process in (pid, *descendants(pid)):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        total_kib += int(text.partition("\nPss:")[2].split()[0])
    return total_kib / 1024


def descendants(pid):
    found = []
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:  # it has just ended
        return []
    for task in tasks:
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


@pytest.mark.timeout(1200)
def test_two_hundred_mixed_requests_under_a_memory_limit(recordings, environment, tmp_path):
    dice = random.Random(os.environ.get("CLIPLINE_TEST_SEED", "20180916"))
    kinds = [dice.choice(list(FAULTY)) if number % 3 == 0 else "sound" for number in range(REQUESTS)]
    data = tmp_path / "data"
    data.mkdir()
    (data / "recordings").symlink_to(recordings)
    with SqliteQueue(data / "queue.sqlite") as queue:
        for number, kind in enumerate(kinds):
            queue.send(request(number, kind, dice))
        settings = {"WORKER_CONCURRENCY": CONCURRENCY, "WORKER_MEMORY_LIMIT_MIB": LIMIT_MIB}
        command = [sys.executable, "-m", "clipline", "worker", "--data", "data", "--until-idle"]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        began = time.monotonic()
        with (tmp_path / "log").open("wb") as log:
            worker = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log)
        peaks, most_at_once = [0.0], [0]

        def watch():
            while worker.poll() is None:
                peaks.append(used_mib(worker.pid))
                most_at_once.append(len(list((data / "work").glob("clipline-job-*"))))
                time.sleep(0.1)

        watcher = threading.Thread(target=watch)
        watcher.start()
        assert worker.wait(1000) == 0, (tmp_path / "log").read_text()[-3000:]
        watcher.join()
        spent_s = time.monotonic() - began
        letters = list(queue.letters())
        depth = queue.depth()
    print(f"{REQUESTS} requests in {spent_s:.0f} s, {max(most_at_once)} at once, peak {max(peaks):.0f} MiB")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert not [line for line in lines if line["level"] == "error"]
    with SqliteLedger(data / "clips" / "_clipline" / "ledger.sqlite") as ledger:
        for number, kind in enumerate(kinds):
            found = ledger.read(f"clip{number}")
            status = found[0].metadata["status"] if found else None
            assert status == FAULTY.get(kind, "CLIP_AVAILABLE"), (number, kind, found)
            if kind == "sound":
                assert (data / "clips" / "sound" / f"clip{number}.mp4").stat().st_size
    assert len(letters) == Counter(kinds)["unreadable"]
    assert (depth.visible, depth.in_flight, depth.delayed) == (0, 0, 0)
    assert list((data / "work").iterdir()) == []
    assert max(most_at_once) == CONCURRENCY
    assert max(peaks) < LIMIT_MIB
