import fcntl
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from clipline.entrypoints.demo import make_sample_footage

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sample_recordings(tmp_path_factory):
    """The folder of the sample camera: two minutes of it, as `clipline sample` makes them.

    Made by the first of the processes that tests run in at a time; the others wait for it.
    """
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sample"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "test").exists():
            make_sample_footage(directory / "unfinished", Console(file=StringIO()))
            (directory / "unfinished" / "test").rename(directory / "test")
    return directory / "test"


@pytest.fixture
def data(tmp_path, sample_recordings):
    """A data folder with sample footage, as `clipline demo` leaves it."""
    (tmp_path / "data" / "recordings").mkdir(parents=True)
    (tmp_path / "data" / "recordings" / "test").symlink_to(sample_recordings)
    return tmp_path / "data"


@pytest.fixture
def environment(no_settings):
    """What a process of the command line is given."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "dumb", "COLUMNS": "120"}


@pytest.fixture
def clipline(environment, tmp_path):
    """Runs `clipline ARGUMENTS` in a folder of its own."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "clipline", *map(str, arguments)]
        given = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
        return subprocess.run(command, **(given | options))

    return run
