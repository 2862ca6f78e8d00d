"""How quick ``clipline serve`` is under load, as a process, over HTTP.

    python benchmarks/serve.py viewers [--seconds 60]
        20 viewers ask for 5 pictures a second in all, nearest keyframe, random instants; 2 clips are made
    python benchmarks/serve.py catalog [--cameras 1000]
        4,320 recordings of each camera: the recording query of a minute, the timeline of a day and of 30 days
    python benchmarks/serve.py discovery [--files 10]
        from a file's last byte until the timeline shows it
    python benchmarks/serve.py page [--repeats 20]
        Debian's Chromium opens the page, nothing in its cache: until it can be used, until a picture is there

The recordings are one ten-minute 1080p file under many names. Each figure is a median and a 95th percentile.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from cut import SEED
from footage import DATA, Kind, recordings

from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.contract.interval import Interval
from clipline.contract.recording import NameFormat

LENGTH_MS = 600_000
START_MS = 1_790_000_000_000
VIEWERS, PICTURES_A_SECOND, CLIP_MS = 20, 5, 60_000
A_MONTH = 4320
HTTP = urllib3.PoolManager(maxsize=64, retries=False)


@contextmanager
def serving(folder: Path, data: Path) -> Iterator[str]:
    """``clipline serve`` until the context ends; gives its URL when it has found what there is."""
    command = [
        sys.executable,
        "-m",
        "clipline",
        "serve",
        "--port",
        "0",
        "--recordings",
        folder,
        "--data",
        data,
    ]
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        url = ""
        for line in process.stdout:
            found = re.search(r" on (http\S+?)/?$", line.strip())
            url = found[1] if found else url
            if "Ctrl+C" in line:
                break
        try:
            yield url
        finally:
            process.terminate()
            process.communicate()


def call(url: str, **options: Any) -> tuple[float, urllib3.BaseHTTPResponse]:
    """(milliseconds, the answer)"""
    began = time.perf_counter()
    answer = HTTP.request(options.pop("method", "GET"), url, timeout=60, **options)
    return (time.perf_counter() - began) * 1000, answer


def report(what: str, took_ms: list[float]) -> None:
    took_ms = sorted(took_ms)
    p95 = took_ms[min(len(took_ms) - 1, int(len(took_ms) * 0.95))]
    print(f"{what:34} {len(took_ms):5} x  median {statistics.median(took_ms):8.2f} ms  95 % {p95:8.2f} ms")


def many_names(folder: Path, camera: str, count: int, minutes: int = 10) -> None:
    """The same recording under the names of ``count``, one after the other."""
    (one,) = recordings(Kind(duration_s=minutes * 60), 1, DATA)
    (folder / camera).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / camera / NameFormat().name(camera, START_MS + number * LENGTH_MS)
        os.link(one.path, path)


def viewers(given: argparse.Namespace, folder: Path, data: Path) -> None:
    for camera in ("pier", "harbour"):
        many_names(folder, camera, 36)
    draw = random.Random(given.seed)
    took: list[float] = []
    statuses: dict[int, int] = {}
    made: list[float] = []
    end_s = time.monotonic() + given.seconds

    def view(number: int) -> None:
        time.sleep(number / PICTURES_A_SECOND)
        while time.monotonic() < end_s:
            next_s = time.monotonic() + VIEWERS / PICTURES_A_SECOND
            at_ms = START_MS + draw.randrange(36 * LENGTH_MS)
            camera = draw.choice(("pier", "harbour"))
            spent_ms, answer = call(f"{url}/cameras/{camera}/frame?at={at_ms}&width=640")
            took.append(spent_ms)
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            time.sleep(max(0, next_s - time.monotonic()))

    def make() -> None:
        while time.monotonic() < end_s:
            start_ms = START_MS + draw.randrange(36 * LENGTH_MS - CLIP_MS)
            wanted = {
                "cameraId": "pier",
                "startTimestampInMs": start_ms,
                "endTimestampInMs": start_ms + CLIP_MS,
            }
            began = time.perf_counter()
            _, answer = call(f"{url}/cameras/clips", method="POST", json=wanted)
            clip = answer.json()
            while clip["status"] == "CLIP_PENDING":
                time.sleep(0.1)
                clip = call(f"{url}/cameras/clips/{clip['clipId']}/state")[1].json()
            statuses[clip["status"]] = statuses.get(clip["status"], 0) + 1
            made.append((time.perf_counter() - began) * 1000)

    with serving(folder, data) as url:
        threads = [threading.Thread(target=view, args=(number,)) for number in range(VIEWERS)]
        threads += [threading.Thread(target=make) for _ in range(2)]
        end_s = time.monotonic() + given.seconds
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    report("picture, two clips in the making", took)
    report("clip of a minute meanwhile", made)
    print(f"answers: {statuses}")


def catalog(given: argparse.Namespace, folder: Path, data: Path) -> None:
    data.mkdir(exist_ok=True)
    draw = random.Random(given.seed)
    with Catalog(data / "catalog.sqlite") as known:
        for number in range(given.cameras):
            alias = f"camera{number:04}"
            found = [
                StoredRecording(
                    alias, NameFormat().name(alias, at_ms), f"{alias}/{NameFormat().name(alias, at_ms)}",
                    Interval(at_ms, at_ms + LENGTH_MS), 300_000_000, 1,
                )
                for at_ms in range(START_MS, START_MS + A_MONTH * LENGTH_MS, LENGTH_MS)
            ]  # fmt: skip
            known.change([Camera(alias, alias, alias)], found)
        print(f"{known.counts()['recordings']:,} recordings")

    def asked(span_ms: int, path: str) -> Callable[[str], str]:
        def one(url: str) -> str:
            camera = f"camera{draw.randrange(given.cameras):04}"
            start_ms = START_MS + draw.randrange(A_MONTH * LENGTH_MS - span_ms + 1)
            where = path.format(camera=camera)
            return f"{url}{where}startDate={start_ms}&endDate={start_ms + span_ms}"

        return one

    day_ms = 86_400_000
    ways = {
        "recordings of a minute": asked(60_000, "/cameras/recording/{camera}?"),
        "timeline of a day": asked(day_ms, "/cameras/{camera}/timeline?"),
        "timeline of 30 days": asked(30 * day_ms, "/cameras/{camera}/timeline?"),
    }
    # Nothing lies in the folder, as where a disk is not mounted: the catalog stays as it is.
    with serving(folder, data) as url:
        for what, address in ways.items():
            took = []
            for _ in range(given.repeats):
                spent_ms, answer = call(address(url))
                assert answer.status == 200, answer.data
                took.append(spent_ms)
            report(what, took)
        report("list of cameras", [call(f"{url}/cameras")[0] for _ in range(10)])


def discovery(given: argparse.Namespace, folder: Path, data: Path) -> None:
    many_names(folder, "pier", 36)
    (one,) = recordings(Kind(duration_s=600), 1, DATA)
    took = []
    with serving(folder, data) as url:
        for number in range(36, 36 + given.files):
            at_ms = START_MS + number * LENGTH_MS
            shutil.copyfile(one.path, folder / "pier" / NameFormat().name("pier", at_ms))
            began = time.perf_counter()
            address = f"{url}/cameras/pier/timeline?startDate={at_ms + 1000}&endDate={at_ms + 2000}"
            while not call(address)[1].json()["spans"]:
                time.sleep(0.02)
            took.append((time.perf_counter() - began) * 1000)
    report("a new file is offered", took)


def page(given: argparse.Namespace, folder: Path, data: Path) -> None:
    from playwright.sync_api import sync_playwright

    many_names(folder, "pier", 36)
    ready: list[float] = []
    picture: list[float] = []
    sizes: dict[str, int] = {}
    with serving(folder, data) as url, sync_playwright() as playwright:
        executable = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for _ in range(given.repeats):
            opened = browser.new_page(viewport={"width": 1360, "height": 900})
            opened.on("requestfinished", lambda one: sizes.update({one.url: one.sizes()["responseBodySize"]}))
            began = time.perf_counter()
            opened.goto(f"{url}/")
            opened.wait_for_selector("html[data-ready]", state="attached")
            ready.append((time.perf_counter() - began) * 1000)
            opened.wait_for_selector("#stage img:not([hidden])")
            picture.append((time.perf_counter() - began) * 1000)
            opened.close()
        browser.close()
    report("the page can be used", ready)
    report("a picture is there", picture)
    own = [size for one, size in sizes.items() if one.startswith(url) and "/frame?" not in one]
    print(f"{len(own)} answers with {sum(own) / 1000:.0f} kB, pictures apart")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["viewers", "catalog", "discovery", "page"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cameras", type=int, default=1000)
    parser.add_argument(
        "--repeats", type=int, default=200, help="queries of each kind, or openings of the page"
    )
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DATA) as directory:  # beside the recordings, to link them
        folder = Path(directory) / "recordings"
        folder.mkdir()
        ways = {"viewers": viewers, "catalog": catalog, "discovery": discovery, "page": page}
        ways[given.what](given, folder, Path(directory) / "data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
