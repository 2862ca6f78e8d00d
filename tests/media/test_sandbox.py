"""Children that misbehave: what they can't do, what limits end, what is not believed, what is left."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from media.truth import START_MS, Recorded, record

from clipline.contract.errors import CliplineError, EngineFailed, NoFrames
from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, ThumbnailOptions
from clipline.media.engine import CutJob
from clipline.media.footage import Footage
from clipline.media.isolation import landlock, seccomp
from clipline.media.isolation.engine import Isolated
from clipline.media.isolation.failures import EngineDefect
from clipline.media.isolation.spawn import environment
from clipline.media.limits import MIB, MediaLimits
from clipline.media.ranges import LocalSource
from clipline.media.stopwatch import Stopwatch

WITHIN = Interval(START_MS + 300, START_MS + 1_500)
TEMPLATE = "media.hostile_template"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "secret-1",  # pragma: allowlist secret
    "CAM_SERVICES_TOKEN": "secret-2",
    "HOME": "/root",
}
PATIENCE_S = 60


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("sound"), Footage(width=320, height=180, duration_s=2))[0]


@pytest.fixture(scope="module")
def hostile() -> Iterator[Isolated]:
    with Isolated(module=TEMPLATE) as engine:
        yield engine


def make(engine: Isolated, sound: Recorded, directory: Path, deed: str = "") -> Path:
    """A clip; the child does ``deed`` instead."""
    directory.mkdir(exist_ok=True)
    source = LocalSource(sound.path, deed or None)
    missing = [(Interval(0, 1), str(os.getpid()))]
    job = CutJob([Candidate(source, START_MS)], WITHIN, directory, missing=missing)
    with engine.prepare(job, Stopwatch()) as planned:
        return planned.render(directory / "clip.mp4", ThumbnailOptions((64,))).clip


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ended(pid: int) -> bool:
    """Gone, or waiting for a parent that the test does not have in its hands."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_child_can_do_nothing_but_cut(hostile: Isolated, sound: Recorded, tmp_path: Path) -> None:
    if hostile.missing():
        pytest.skip(f"this kernel lacks {hostile.missing()}")
    (tmp_path / "outside").write_bytes(b"of somebody else")
    with pytest.raises(CliplineError) as caught:
        make(hostile, sound, tmp_path / "work", "reach out")
    found = json.loads(str(caught.value))
    assert found.pop("a newer call") == errno.ENOSYS
    assert set(found.values()) <= {errno.EPERM, errno.EACCES}, found
    assert (tmp_path / "outside").read_bytes() == b"of somebody else"


@pytest.mark.parametrize(
    ("deed", "limits", "told"),
    [
        ("segfault", MediaLimits(), "ended by SIGSEGV"),
        ("leave", MediaLimits(), "ended with code 3"),
        ("hang", MediaLimits(time_s=1), r"more than 1 s \(MEDIA_TIME_LIMIT_S\)"),
        ("burn", MediaLimits(cpu_s=1), r"more than 1 s of CPU time \(MEDIA_CPU_LIMIT_S\)"),
        ("allocate", MediaLimits(memory_bytes=256 * MIB), r"256 MiB of memory \(MEDIA_MEMORY_LIMIT_MIB\)"),
        ("write", MediaLimits(output_bytes=4 * MIB), r"4 MiB are not allowed \(MEDIA_OUTPUT_LIMIT_MIB\)"),
    ],
)  # fmt: skip
def test_limits_and_ends_are_named(
    deed: str, limits: MediaLimits, told: str, sound: Recorded, tmp_path: Path
) -> None:
    with Isolated(limits, module=TEMPLATE) as engine:
        with pytest.raises(EngineFailed, match=told):
            make(engine, sound, tmp_path / "work", deed)
        assert children(engine.template.pid or 0) == []
        assert make(engine, sound, tmp_path / "next").stat().st_size, "the next clip is made all the same"


def test_a_defect_tells_where_it_arose(hostile: Isolated, sound: Recorded, tmp_path: Path) -> None:
    with pytest.raises(EngineDefect, match="ZeroDivisionError: a defect of ours") as caught:
        make(hostile, sound, tmp_path / "work", "stumble")
    assert "in _stumble" in caught.value.__notes__[0]


def test_a_full_disk_arrives_as_such(hostile: Isolated, sound: Recorded, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        make(hostile, sound, tmp_path / "work", "no disk")
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NoFrames", "none"), ("UnreadableRecording", "it is broken"),
        ("VerificationFailed", "not as planned"),
        ("UnsupportedMedia", "of another kind (convert it)"), ("MediaError", "of some kind"),
    ],
)  # fmt: skip
def test_errors_arrive_as_themselves(
    name: str, text: str, hostile: Isolated, sound: Recorded, tmp_path: Path
) -> None:
    with pytest.raises(CliplineError) as caught:
        make(hostile, sound, tmp_path / "work", name)
    assert (type(caught.value).__name__, str(caught.value)) == (name, text)
    assert not isinstance(caught.value, NoFrames) or caught.value.covered


LIES = [
    "read of another", "read before", "read behind", "read of text", "no read", "landing where nothing is",
    "landing at a name", "no stage",
    "stages without end", "no gaps", "gaps backwards", "no error", "no text", "nobody raised", "no question",
    "nothing", "junk", "made a longer clip", "made a key", "made text", "made too much", "made coverage",
    "made no thumbnail", "made two names", "made a path", "made the clip a thumbnail", "made nothing",
    "made an empty clip",
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_not_believed(lie: str, hostile: Isolated, sound: Recorded, tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="said what can't be"):
        make(hostile, sound, tmp_path / "work", lie)
    assert children(hostile.template.pid or 0) == []


def test_a_truthful_child_of_that_kind_is_believed(
    hostile: Isolated, sound: Recorded, tmp_path: Path
) -> None:
    assert make(hostile, sound, tmp_path / "work", "made it").read_bytes() == b"clip"


def test_no_credentials_in_any_environment(
    sound: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with Isolated(MediaLimits(time_s=5), module=TEMPLATE) as engine, ThreadPoolExecutor(1) as pool:
        clip = pool.submit(make, engine, sound, tmp_path / "work", "hang")
        template = engine.template.pid
        assert template is not None
        until(lambda: bool(children(template)), "a child")
        for pid in (template, *children(template)):
            given = Path(f"/proc/{pid}/environ").read_bytes().decode()
            names = {entry.partition("=")[0] for entry in given.split("\0") if entry}
            assert names <= {*environment(os.environ), "LC_CTYPE"}
            assert not any(name.startswith("AWS") or "TOKEN" in name or name == "HOME" for name in names)
            assert "secret" not in given
        with pytest.raises(EngineFailed):
            clip.result()


def test_fifty_clips_leave_nothing(sound: Recorded, tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - numbers, not paths
    with Isolated(module=TEMPLATE) as engine:
        template = engine.template.pid
        assert template is not None
        make(engine, sound, tmp_path / "first")
        held = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        assert len(os.listdir(f"/proc/{template}/task")) == 1, "it may fork"  # noqa: PTH208
        for number in range(50):
            deed = ("", "UnsupportedMedia", "leave", "no read")[number % 4]
            try:
                make(engine, sound, tmp_path / f"{number}", deed)
            except CliplineError:
                assert deed
        assert children(template) == []
        assert len(os.listdir("/proc/self/fd")) == held  # noqa: PTH208
        # Standard streams, and the socket to the worker; it tells of a child before it closes what is left.
        until(lambda: len(os.listdir(f"/proc/{template}/fd")) == 4, "descriptors to be closed")  # noqa: PTH208
    assert ended(template)
    assert not Path(f"/proc/{template}").exists(), "a zombie"
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_clip_that_nobody_wants_any_more_is_given_up(
    hostile: Isolated, sound: Recorded, tmp_path: Path
) -> None:
    job = CutJob([Candidate(LocalSource(sound.path), START_MS)], WITHIN, tmp_path)
    with hostile.prepare(job, Stopwatch()):
        assert len(children(hostile.template.pid or 0)) == 1
    until(lambda: children(hostile.template.pid or 0) == [], "the child to end")


def test_a_template_that_died_is_started_anew(sound: Recorded, tmp_path: Path) -> None:
    with Isolated(module=TEMPLATE) as engine:
        make(engine, sound, tmp_path / "one")
        first = engine.template.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        make(engine, sound, tmp_path / "two")
        assert engine.template.pid != first


def test_a_clip_whose_template_dies_fails_and_its_child_ends(sound: Recorded, tmp_path: Path) -> None:
    with Isolated(module=TEMPLATE) as engine, ThreadPoolExecutor(1) as pool:
        clip = pool.submit(make, engine, sound, tmp_path / "work", "hang")
        template = engine.template.pid
        assert template is not None
        until(lambda: bool(children(template)), "a child")
        (child,) = children(template)
        os.kill(template, signal.SIGKILL)
        with pytest.raises(EngineFailed, match="died"):
            clip.result(PATIENCE_S)
        until(lambda: ended(child), "the child to end")


def test_a_template_that_can_not_start_is_told(sound: Recorded, tmp_path: Path) -> None:
    with Isolated(module="clipline.no_such_module") as engine, pytest.raises(EngineFailed, match="doctor"):
        make(engine, sound, tmp_path / "work")


def test_signals_for_the_worker_end_no_clip(sound: Recorded, tmp_path: Path) -> None:
    with Isolated(MediaLimits(time_s=3), module=TEMPLATE) as engine, ThreadPoolExecutor(1) as pool:
        make(engine, sound, tmp_path / "one")
        template = engine.template.pid
        assert template is not None
        assert os.getsid(template) != os.getsid(0)
        clip = pool.submit(make, engine, sound, tmp_path / "work", "hang")
        until(lambda: bool(children(template)), "a child")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for pid in (template, *children(template)):
                os.kill(pid, number)
        with pytest.raises(EngineFailed, match="MEDIA_TIME_LIMIT_S"):
            clip.result(PATIENCE_S)
        assert engine.template.pid == template


_WORKER = """
import sys, time
from pathlib import Path
from media.test_sandbox import TEMPLATE, make, Recorded, START_MS, Footage, Isolated
engine = Isolated(module=TEMPLATE)
make(engine, Recorded(Path(sys.argv[1]), START_MS, Footage()), Path(sys.argv[2]), "hang")
"""


def test_a_killed_worker_takes_its_processes_along(sound: Recorded, tmp_path: Path) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(sound.path), str(tmp_path / "work")],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        until(lambda: bool(children(worker.pid)), "a template")
        (template,) = children(worker.pid)
        until(lambda: bool(children(template)), "a child")
        (child,) = children(template)
    finally:
        worker.kill()
        worker.wait()
    until(lambda: ended(template) and ended(child), "all to end")


def test_a_kernel_that_offers_less_is_told_once(
    sound: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bare_template.py").write_text(
        "import sys\nfrom clipline.media.isolation import landlock, seccomp, template\n"
        "landlock.version = lambda: 0\nseccomp.filter_program = lambda: None\n"
        "if __name__ == '__main__':\n    template.main(int(sys.argv[1]))\n"
    )
    with Isolated(say=said.append, module="bare_template") as engine:
        for number in range(2):
            make(engine, sound, tmp_path / f"{number}")
    (told,) = said
    assert "Landlock" in told
    assert "seccomp" in told


def test_filters_for_both_architectures() -> None:
    programs = [seccomp.filter_program(machine) for machine in ("x86_64", "aarch64")]
    for program in programs:
        assert program is not None
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096, "the kernel takes no more instructions"
    assert programs[0] != programs[1]
    assert seccomp.filter_program("riscv64") is None
    assert landlock.version() >= 0


def test_what_is_left_of_an_environment() -> None:
    given = SECRETS | {"PATH": "/bin", "TZ": "UTC", "LANG": "C"}
    assert set(environment(given)) == given.keys() - SECRETS.keys() | {
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "GLIBC_TUNABLES",
    }
