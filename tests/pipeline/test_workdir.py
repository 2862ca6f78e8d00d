"""Work directories: gone with their job, or with the next sweep where the job's process was killed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from clipline.pipeline.workdir import job_directory, sweep

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from pathlib import Path
from clipline.pipeline.workdir import job_directory

with job_directory(Path(sys.argv[1])) as directory:
    (directory / "clip.mp4").write_bytes(b"half a clip")
    (directory / "thumbnails").mkdir()
    (directory / "thumbnails" / "300.png").touch()
    print(directory, flush=True)
    sys.stdin.read()
"""


@contextmanager
def job_in_a_process(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process in the midst of a job, and its directory; the job ends when its standard input does."""
    command = [sys.executable, "-c", CHILD, str(root)]
    with subprocess.Popen(
        command, env={"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_job_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "work" / "here"
    with job_directory(root) as directory:
        assert directory.parent == root
        assert directory.stat().st_mode & 0o077 == 0, "footage is not for other users"
        (directory / "clip.mp4").write_bytes(b"a clip")
        (directory / "more").mkdir()
        (directory / "more" / "300.png").touch()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_job_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def job() -> None:
        with job_directory(tmp_path) as directory:
            (directory / "clip.mp4").write_bytes(b"half a clip")
            raise error

    with pytest.raises(error):
        job()
    assert list(tmp_path.iterdir()) == []


def test_a_job_may_remove_its_own_directory(tmp_path: Path) -> None:
    with job_directory(tmp_path) as directory:
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
    assert list(tmp_path.iterdir()) == []


def test_jobs_do_not_share_a_directory_nor_hold_files_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with ExitStack() as jobs:
        directories = {jobs.enter_context(job_directory(tmp_path)) for _ in range(20)}
        assert len(directories) == 20
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_removes_what_a_killed_process_left_and_nothing_of_one_that_lives(tmp_path: Path) -> None:
    with job_in_a_process(tmp_path) as (dead, left), job_in_a_process(tmp_path) as (alive, in_use):
        with job_directory(tmp_path) as ours:
            assert sweep(tmp_path) == 0
            dead.kill()
            dead.wait(20)
            assert (left / "thumbnails" / "300.png").exists()
            assert sweep(tmp_path) == 1
            assert sorted(tmp_path.iterdir()) == sorted([in_use, ours])
            assert (in_use / "clip.mp4").read_bytes() == b"half a clip"
            assert sweep(tmp_path) == 0
        assert alive.stdin is not None
        alive.stdin.close()
        assert alive.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from clipline.pipeline.workdir import job_directory

def on_event(event, arguments):
    global left
    if event == sys.argv[2] and (left := left - 1) == 0:
        os.kill(os.getpid(), signal.SIGKILL)

left = int(sys.argv[3])
sys.addaudithook(on_event)
with job_directory(Path(sys.argv[1])) as directory:
    (directory / "clip.mp4").write_bytes(b"a clip")
    (directory / "300.png").touch()
"""


@pytest.mark.parametrize(
    ("event", "nth"),
    [("os.mkdir", 1), ("fcntl.flock", 1), ("os.remove", 1), ("os.remove", 2), ("os.rmdir", 1)],
)
def test_a_sweep_removes_what_was_killed_while_it_was_made_or_removed(
    tmp_path: Path, event: str, nth: int
) -> None:
    command = [sys.executable, "-c", KILLED_AT, str(tmp_path), event, str(nth)]
    died = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "src")}, check=False)
    assert died.returncode == -9
    left = list(tmp_path.iterdir())
    assert len(left) == (event != "os.mkdir")
    assert sweep(tmp_path) == len(left)
    assert list(tmp_path.iterdir()) == []


def test_where_directories_cannot_be_locked_jobs_work_and_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr("fcntl.flock", refuse)
    with job_directory(tmp_path) as directory:
        assert sweep(tmp_path) == 0
        assert directory.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_of_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path / "missing") == 0
    assert not (tmp_path / "missing").exists()


def test_a_sweep_touches_nothing_foreign(tmp_path: Path) -> None:
    """The work directory may be the system's temporary one."""
    elsewhere = tmp_path / "elsewhere"
    root = tmp_path / "root"
    root.mkdir()
    for folder in (elsewhere, root / "someone-else", root / "clipline", root / "x" / "clipline-job-below"):
        folder.mkdir(parents=True)
        (folder / "lock").touch()
    (root / "clipline-job-file").write_text("a file")
    (root / "clipline-job-link").symlink_to(elsewhere)
    before = sorted(tmp_path.rglob("*"))
    assert sweep(root) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sweep_never_takes_the_directory_of_a_job_that_lives(tmp_path: Path) -> None:
    """Sweeps without a pause while jobs begin and end: none is taken once the job has it."""
    done = threading.Event()
    swept = []

    def keep_sweeping() -> None:
        while not done.is_set():
            swept.append(sweep(tmp_path))

    sweepers = [threading.Thread(target=keep_sweeping) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for _ in range(400):
            with job_directory(tmp_path) as directory:
                (directory / "clip.mp4").write_bytes(b"a clip")
                assert (directory / "clip.mp4").read_bytes() == b"a clip"
    finally:
        done.set()
        for sweeper in sweepers:
            sweeper.join()
    assert len(swept) > 100
    assert list(tmp_path.iterdir()) == []
