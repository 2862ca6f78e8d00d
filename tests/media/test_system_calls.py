"""Which files the engine opens while it cuts hostile recordings, as the kernel sees it: theirs alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from fuzz.cases import make_case, names
from fuzz.sources import make_sources
from media.patched import patch, replaced
from media.test_broken import HOSTILE
from media.test_hostile import mutations
from media.test_playlists import DATA_INFORMATION, external, playlists
from media.truth import START_MS, Recorded, make_clip, record

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import MediaError
from clipline.contract.interval import Interval
from clipline.media.cut import ThumbnailOptions
from clipline.media.footage import Footage

SMALL = Footage(width=320, height=180, duration_s=3, gop_s=1, moov_first=False)
MUTATED = 4
"""Of each container."""
FUZZED = 13 * 60
"""Cases of ``fuzz`` of which every 13th is taken: all levels and kinds."""
BEGIN, END = "the first hostile one follows", "that was the last one"
_CALL = re.compile(r'\b(?:open|openat)\((?:[^",]+, )?"([^"]*)"')
"""With its path; whether it succeeded doesn't matter."""
MACHINE = ("/proc/self/", "/sys/devices/system/cpu", "/sys/fs/cgroup/", "/dev/urandom", "/dev/null")
"""What a library may ask the kernel."""


def missing(reason: str) -> NoReturn:
    """Not on this machine: a reason to skip here, an error in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def traced(log: Path, *command: str, cwd: Path) -> None:
    """Run the command, its calls into ``log``."""
    strace = shutil.which("strace")
    if strace is None:
        missing("strace is not installed: `make test` installs it on Debian, as root")
    trace = [strace, "-f", "-qq", "-s", "4096", "-e", "trace=open,openat,connect,socket", "-o", str(log)]
    if subprocess.run([*trace, "true"], check=False, capture_output=True).returncode:
        missing("strace may not trace here: no permission for ptrace")
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [*trace, *command], check=False, capture_output=True, text=True, cwd=cwd, env=environment, timeout=100
    )
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of hostile recordings; what they name lies outside."""
    directory = tmp_path_factory.mktemp("recordings")
    outside = record(tmp_path_factory.mktemp("outside"), SMALL)[0]
    for place, content in enumerate([*playlists(outside.path, 9).values(), *HOSTILE.values()]):
        for suffix in (".mp4", ".ts", ".mkv"):
            (directory / f"list{place}{suffix}").write_bytes(content)
    for kind in ("url ", "urn ", "alis"):
        information = external(kind, str(outside.path))
        made = patch(outside, replaced(DATA_INFORMATION, information))
        made.path.rename(directory / f"external-{kind.strip()}.mp4")
    for container, suffix in (("mp4", ".mp4"), ("mpegts", ".ts"), ("matroska", ".mkv")):
        (one,) = record(tmp_path_factory.mktemp(container), replace(SMALL, container=container))
        for place, data in enumerate(mutations(one.path.read_bytes(), 7)[:MUTATED]):
            (directory / f"mutated{place}{suffix}").write_bytes(data)
        (directory / f"sound{suffix}").write_bytes(one.path.read_bytes())
    sources = make_sources(tmp_path_factory.mktemp("sources"))
    for name, source in sources.items():
        (directory / f"sound-{name}.mp4").write_bytes(source.data[0])
    seed = os.environ.get("CLIPLINE_TEST_SEED", "20180916")
    for name in list(names(FUZZED))[::13]:
        for place, (_, _, data) in enumerate(make_case(seed, name, sources).recordings):
            (directory / f"{name.replace('/', '-')}.{place}.mp4").write_bytes(data)
    return directory


def test_nothing_but_the_recordings_is_opened(recordings: Path, tmp_path: Path) -> None:
    work, log = tmp_path / "work", tmp_path / "calls"
    work.mkdir()
    traced(log, sys.executable, __file__, str(recordings), str(work), cwd=work)
    lines = log.read_text().splitlines()
    (begin,) = [number for number, line in enumerate(lines) if BEGIN in line]
    (end,) = [number for number, line in enumerate(lines) if END in line]
    hostile = lines[begin + 1 : end]
    assert not [line for line in hostile if "socket(" in line or "connect(" in line]
    opened = {os.path.normpath(work / path) for line in hostile for path in _CALL.findall(line)}
    assert opened >= {str(path) for path in recordings.iterdir()}, "the log shows what is opened"
    installed = filter(None, (sys.prefix, sys.base_prefix, "/usr/lib", "/lib", *sys.path))
    allowed = (f"{recordings}/", f"{work}/", *installed, *MACHINE)
    assert not [path for path in opened - {str(work)} if not path.startswith(allowed)]


def _cut_all(recordings: Path, work: Path) -> None:
    """All of them, after the sound ones have made sure that all is imported that ever is."""
    every = sorted(recordings.iterdir())
    for path in every:
        if path.name.startswith("sound"):
            assert _cut(path, work)
    (work / BEGIN).touch()
    for path in every:
        _cut(path, work)
    (work / END).touch()


def _cut(path: Path, work: Path) -> bool:
    """Whether there is a clip of it."""
    (work / "clip.mp4").unlink(missing_ok=True)
    one = Recorded(path, START_MS, SMALL)
    interval = Interval(START_MS + 1_300, START_MS + 2_200)
    try:
        make_clip([one], interval, work, gap_policy=GapPolicy.HOLD, thumbnails=ThumbnailOptions((64,)))
    except MediaError:
        return False
    return True


if __name__ == "__main__":
    _cut_all(*map(Path, sys.argv[1:]))
