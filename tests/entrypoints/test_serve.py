"""``clipline serve`` and ``clipline prune`` as processes: what they say, whom they refuse, how they end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_desk import message_body
from clipline.contract.interval import Interval
from clipline.media.footage import Footage, make_sample

ROOT = Path(__file__).parents[2]
START_MS = 1_540_954_320_000  # 2018-10-31T02:52:00Z


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of the camera pier, four seconds each."""
    folder = tmp_path_factory.mktemp("recordings")
    make_sample(
        folder / "pier", camera="pier", start_ms=START_MS, recordings=2,
        footage=Footage(width=320, height=180, duration_s=4, gop_s=1),
    )  # fmt: skip
    return folder


class Running:
    def __init__(self, process: subprocess.Popen[str], link: str, said: list[str]) -> None:
        self.process, self.link, self.said = process, link, said
        self.url = link.partition("/?")[0].rstrip("/")

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return urllib3.request("GET", self.url + path, headers=headers, redirect=False, retries=False)

    def ask(self) -> str:
        wanted = {
            "cameraId": "pier",
            "startTimestampInMs": START_MS + 2000,
            "endTimestampInMs": START_MS + 6000,
        }
        answer = urllib3.request("POST", f"{self.url}/cameras/clips", json=wanted, retries=False)
        assert answer.status == 202, answer.data
        return str(answer.json()["clipId"])

    def wait_for(self, clip_id: str, status: str) -> None:
        end_s = time.monotonic() + 60
        while self.get(f"/cameras/clips/{clip_id}/state").json()["status"] != status:
            assert time.monotonic() < end_s
            time.sleep(0.1)


def clipline(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clipline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=_environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "dumb"}


@contextmanager
def serving(*arguments: object) -> Iterator[Running]:
    """It runs until the context ends."""
    command = [sys.executable, "-m", "clipline", "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            said: list[str] = []
            for line in process.stdout:
                said.append(line.rstrip())
                if "Ctrl+C" in line:
                    break
            else:
                raise AssertionError(process.stderr.read())
            link = re.search(r"on (http\S+)", said[0])
            assert link, said
            yield Running(process, link[1], said)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)


def test_it_says_what_it_found_and_ends_when_told_to(recordings: Path, tmp_path: Path) -> None:
    with serving("--recordings", recordings, "--data", tmp_path / "data") as running:
        assert "Found 2 recordings of 1 camera" in running.said
        assert running.link.startswith("http://127.0.0.1:")
        assert running.get("/health").status == 200
        assert "clipline_messages_in_progress" in running.get("/metrics").data.decode()
        status = running.get("/status").json()
        assert status["recordings"]["summary"] == "Found 2 recordings of 1 camera"
        assert status["recordings"]["root"] == str(recordings)
        running.wait_for(running.ask(), "CLIP_AVAILABLE")
        running.process.send_signal(signal.SIGINT)
        out, error = running.process.communicate(timeout=60)
    assert running.process.returncode == 0, error
    assert "Stopped" in out
    lines = [json.loads(line) for line in error.splitlines()]
    assert "CLIP_AVAILABLE" in [line.get("status") for line in lines]


def test_what_a_crash_interrupted_is_made_after_the_next_start(recordings: Path, tmp_path: Path) -> None:
    """A request that was noted and did not reach the queue, and a clip that was in the making."""
    data = tmp_path / "data"
    with serving("--recordings", recordings, "--data", data) as running:
        made = running.ask()
        running.wait_for(made, "CLIP_AVAILABLE")
        running.process.kill()
        running.process.communicate()
    asked = message_body("noted", "pier", Interval(START_MS, START_MS + 1000))
    waiting = {**json.loads(asked), "status": "CLIP_PENDING"}
    with Catalog(data / "catalog.sqlite") as catalog:
        catalog.clips.ask("noted", waiting, asked, START_MS)
        catalog.clips.progress("noted", "queued camera", 1)
    with serving("--recordings", recordings, "--data", data) as running:
        running.wait_for("noted", "CLIP_AVAILABLE")
        assert running.get(f"/cameras/clips/{made}/state").json()["status"] == "CLIP_AVAILABLE"


def test_a_second_server_is_told_who_has_the_data(recordings: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving("--recordings", recordings, "--data", data) as running:
        second = clipline("serve", "--recordings", recordings, "--data", data, "--port", 0)
        assert second.returncode == 2
        assert (
            f"is in use by clipline serve (process {running.process.pid}) on {running.url}" in second.stderr
        )
        doctor = clipline("doctor", "--data", data)
        assert re.search(rf"ok +server +clipline serve .* on {running.url} says", doctor.stdout)
    assert "none runs on" in clipline("doctor", "--data", data).stdout


def test_beyond_loopback_it_asks_for_its_token(recordings: Path, tmp_path: Path) -> None:
    with serving("--recordings", recordings, "--data", tmp_path / "data", "--host", "127.0.0.2") as running:
        token = running.link.partition("token=")[2]
        assert len(token) >= 32
        assert running.get("/cameras").status == 401
        assert running.get("/cameras", Authorization=f"Bearer {token}").status == 200
        assert (tmp_path / "data/token").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "data/token").read_text().strip() == token
        opened = running.get(f"/?token={token}", Accept="text/html")
        assert opened.status == 303
        assert "HttpOnly" in opened.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--recordings", "nowhere"), "there is no folder nowhere"),
        ((), "say where they are, or add --sample"),
        (("--recordings", ".", "--timezone", "Mars/Olympus"), "--timezone is 'Mars/Olympus'"),
        (("--recordings", ".", "--pattern", "{camera}/%Q"), "%Q"),
        (("--recordings", ".", "--keep-clips", "soon"), "--keep-clips"),
        (("--recordings", ".", "--set", "VIDEO_MAX_LEN=0"), "VIDEO_MAX_LEN"),
        (("--recordings", ".", "--host", "192.0.2.1"), "can't listen on 192.0.2.1"),
    ],
)
def test_wrong_use_is_one_line(arguments: tuple[str, ...], part: str, tmp_path: Path) -> None:
    result = clipline("serve", "--data", tmp_path / "data", "--port", 0, *arguments)
    assert result.returncode == 2
    assert part in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_retention(recordings: Path, tmp_path: Path) -> None:
    data, own = tmp_path / "data", tmp_path / "recordings"
    shutil.copytree(recordings, own)
    with serving("--recordings", own, "--data", data) as running:
        clip_id = running.ask()
        running.wait_for(clip_id, "CLIP_AVAILABLE")
        would = clipline("prune", "--data", data, "--clip-space", "1MB", "--dry-run")
        assert would.stdout.strip().startswith("Would delete 0 clips")
        everything = ("--recordings", own, "--keep-recordings", "1d")
        would = clipline("prune", "--data", data, *everything, "--dry-run")
        assert "Would delete 0 clips with 0.0 MB, 2 recordings" in would.stdout
        assert len(list(own.rglob("*.mp4"))) == 2
        done = clipline("prune", "--data", data, *everything)
        assert done.returncode == 0, done.stderr
        assert not list(own.rglob("*.mp4"))
        assert running.get(f"/cameras/clips/{clip_id}/state").json()["status"] == "CLIP_AVAILABLE"
    assert clipline("prune", "--data", data).returncode == 2
    assert "is not there" in clipline("prune", "--data", tmp_path / "x", "--keep-clips", "1d").stderr


def test_what_is_packaged_uses_options_that_there_are() -> None:
    """Neither systemd nor Docker runs in the tests: their files name what the command line has."""
    known = set(re.findall(r"--[a-z-]+", clipline("serve", "--help").stdout))
    for path in (ROOT / "Dockerfile", ROOT / "compose.yaml", ROOT / "packaging/clipline.service"):
        text = path.read_text()
        command = (
            text[text.index("serve") :] if path.name != "Dockerfile" else text[text.index('CMD ["serve"') :]
        )
        used = set(re.findall(r"--(?:recordings|data|host|timezone|keep-clips|port)[a-z-]*", command))
        assert used, path
        assert used <= known, path
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text()
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored.splitlines()
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert "3.11" in python
