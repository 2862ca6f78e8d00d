"""Every command in the README runs, in a copy of the checkout."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
RECURSIVE = {"make test"}
"""What runs this very test."""


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
    assert (checkout / "clip.mp4").stat().st_size > 100_000
    assert outputs
