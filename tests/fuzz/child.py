"""One case in a process of its own, forked from one that has imported everything: bounded, and judged."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fuzz.cases import make_case, write
from fuzz.sources import Source
from media import judge

from clipline.contract.errors import CliplineError

MEMORY_BYTES = 2 << 30
FILE_BYTES = 256 << 20
WALL_S = 10
"""After which a case is killed: a hang."""
PATIENCE = 6
"""How many times as long it may take once more: on a busy machine it gets little of a processor."""
CPU_S = 10
"""Of processors' time."""

HANG = f"no end after {WALL_S} s"


@dataclass(frozen=True)
class Verdict:
    """What became of one case."""

    seed: str
    name: str
    outcome: str
    """One of ``judge.KNOWN``, or what is wrong."""
    about: str
    """What was changed and asked, where something is wrong."""
    spent_s: float
    peak_bytes: int
    """Of memory, what the template had in it."""

    @property
    def failed(self) -> bool:
        return self.outcome not in judge.KNOWN


def run_case(seed: str, name: str, sources: Mapping[str, Source], keep: Path | None = None) -> Verdict:
    """What the child says of the case. ``keep``: failing files go there.

    A hang is tried once more, and for longer: others may have kept the machine busy.
    """
    verdict = _run_once(seed, name, sources, keep, WALL_S)
    if verdict.outcome == HANG:
        verdict = _run_once(seed, name, sources, keep, WALL_S * PATIENCE)
    return verdict


def _run_once(
    seed: str, name: str, sources: Mapping[str, Source], keep: Path | None, wall_s: float
) -> Verdict:
    reading, writing = os.pipe()
    began = time.monotonic()
    # Where there is memory for files, the disk is spared.
    shared = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if shared.is_dir() else None))
    child = os.fork()
    if not child:
        os.close(reading)
        _child(writing, seed, name, sources, directory)
    os.close(writing)
    try:
        told, ended = _told(reading, began + wall_s)
        if not ended:
            os.kill(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
    finally:
        os.close(reading)
    outcome, about = json.loads(told) if told and ended else ("", "")
    if not ended:
        outcome = HANG
    elif os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        outcome = HANG if number == signal.SIGXCPU else f"killed by {signal.Signals(number).name}"
    elif not told:
        outcome = f"it exits with status {os.waitstatus_to_exitcode(status)}"
    verdict = Verdict(seed, name, outcome, about, time.monotonic() - began, usage.ru_maxrss * 1024)
    if verdict.failed and not about:
        case = make_case(seed, name, sources)
        verdict = Verdict(seed, name, outcome, case.about, verdict.spent_s, verdict.peak_bytes)
    if verdict.failed and keep is not None:
        kept = keep / f"{seed}-{name.replace('/', '-')}"
        shutil.copytree(directory, kept, dirs_exist_ok=True)
    shutil.rmtree(directory)
    return verdict


def _told(reading: int, until: float) -> tuple[bytes, bool]:
    """(what the child wrote, whether it closed the pipe in time)"""
    told = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            more = os.read(reading, 65536)
            if not more:
                return told, True
            told += more
    return told, False


def _child(writing: int, seed: str, name: str, sources: Mapping[str, Source], directory: Path) -> None:
    """Never comes back."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        case = make_case(seed, name, sources)
        recordings = write(case, directory)
        try:
            outcome = judge.outcome(recordings, case.asked, sources[name.split("/")[1]].frames, directory)
        except CliplineError as error:
            outcome = f"{type(error).__name__} instead of a MediaError: {error}"
        except BaseException as error:
            where = "".join(traceback.format_exception(error)[-4:])
            outcome = f"the engine raises {type(error).__name__}: {error}\n{where}"
        about = "" if outcome in judge.KNOWN else case.about
        os.write(writing, json.dumps([outcome, about]).encode())
    except BaseException as error:
        os.write(
            writing, json.dumps([f"the harness fails: {traceback.format_exception(error)}", ""]).encode()
        )
    finally:
        os._exit(0)
