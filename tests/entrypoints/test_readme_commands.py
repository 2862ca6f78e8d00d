"""Every command in the README runs, in a copy of the checkout."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
RECURSIVE = {"make test"}
"""What runs this very test."""
SERVER = "clipline serve"
"""What runs until it is told to stop."""


@pytest.fixture
def checkout(tmp_path, sample_recordings):
    """The files of the checkout, with sample footage that is already there, as after the first run."""
    for name in (
        "Makefile",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".env.sample_local",
        "src",
        "scripts",
        "requirements",
    ):
        source, target = ROOT / name, tmp_path / name
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns("__pycache__")
        ) if source.is_dir() else shutil.copy2(source, target)
    for folder in ("recordings", "data/recordings"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "test").symlink_to(sample_recordings)
    return tmp_path


def _serve(command, checkout, environment):
    """What a server says; its page is fetched, and then it is told to stop."""
    process = subprocess.Popen(
        shlex.split(command),
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert url, said + process.stdout.read()
        assert "<title>Clipline</title>" in urllib3.request("GET", url[0], timeout=30).data.decode()
        for line in process.stdout:
            said += line
            if "Open the page" in line:
                break
    finally:
        process.terminate()
        said += process.communicate(timeout=60)[0]
    assert process.returncode == 0, said
    return said


def test_every_command_in_the_readme_runs(checkout):
    bin_directory = Path(sys.executable).parent
    # What `make test ARGS=...` was told is not for the commands that it runs.
    ours = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "ARGS")}
    environment = {
        **ours,
        "VIRTUAL_ENV": str(bin_directory.parent),
        "PATH": f"{bin_directory}:{os.environ['PATH']}",
        "PYTHONPATH": str(checkout / "src"),
        "TERM": "dumb",
    }
    ran = []
    for command in COMMANDS:
        if command.strip() in RECURSIVE:
            continue
        if command.startswith(SERVER):
            # What this machine has at the port, and in its user's folder, stays as it is.
            homeless = {**environment, "HOME": str(checkout), "XDG_DATA_HOME": str(checkout / "share")}
            ran.append((command, _serve(f"{command} --port 0", checkout, homeless)))
            continue
        if shlex.split(command)[0] == "make":
            # The environment is there already; what would be installed again is this checkout's own tree.
            command = f"{command} --assume-old={bin_directory.parent}/.clipline"
        result = subprocess.run(
            command, shell=True, cwd=checkout, env=environment, capture_output=True, text=True, timeout=200
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        ran.append((command, result.stdout))
    assert len(ran) + len(RECURSIVE) == len(COMMANDS) >= 8
    outputs = dict(ran)
    assert "CLIP_AVAILABLE" in next(text for command, text in ran if command.startswith("make invoke"))
    assert "CLIP_PENDING" in [text for command, text in ran if command.startswith("make invoke")][1]
    assert "Found 2 recordings of 1 camera" in outputs["clipline serve --recordings recordings"]
    assert (checkout / "clip.mp4").stat().st_size > 100_000
