"""Starts processes quickly: one that has loaded everything forks them, and they are killed like any other.

A worker takes seconds to load its modules on a busy machine, which hundreds of kills would wait for. The
nursery has no threads and has opened nothing when it forks. Its children die with it, and it ends with
whoever started it. It speaks in lines of JSON:

    {"start": "worker", "plan": {...}, "arguments": {...}, "environment": {...}, "output": PATH}
    {"started": PID}                 its answer
    {"signal": 9, "pid": PID}
    {"ended": PID, "status": -9}     told when it is so
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, Self

from soak import camera, worker
from soak.points import Plan

_PROGRAMS: Mapping[str, Callable[..., None]] = {"worker": worker.work, "camera": camera.serve}
_LOOK_EVERY_S = 0.02
_PATIENCE_S = 60
_PR_SET_PDEATHSIG = 1


class Nursery:
    """The nursery as whoever uses it sees it. Only processes that it started can be signalled."""

    def __init__(self, mark: str, paths: list[str]) -> None:
        """``paths`` are Python's. ``mark``, a path that isn't there, is one more: so it stands in the
        environment of each process, where the kernel shows it, and of all that those start."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soak.nursery"],
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "PYTHONPATH": os.pathsep.join([*paths, mark]),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.mark = mark
        self._started: queue.Queue[int] = queue.Queue()
        self.ended: dict[int, int] = {}
        """Exit statuses by process id, negative for signals; taken out by whoever knows them."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_PATIENCE_S)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def start(
        self, program: str, plan: Plan, environment: Mapping[str, str], output: Path, **arguments: Any
    ) -> int:
        """The process id. ``output`` takes what it prints."""
        self._tell(
            {
                "start": program,
                "plan": asdict(plan),
                "arguments": arguments,
                "environment": dict(environment),
                "output": str(output),
            }
        )
        return self._started.get(timeout=_PATIENCE_S)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """No error where it has ended already."""
        self._tell({"signal": int(number), "pid": pid})

    def _tell(self, command: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            if "started" in answer:
                self._started.put(answer["started"])
            else:
                self.ended[answer["ended"]] = answer["status"]


def main() -> None:
    """Do as told on standard input until it ends."""
    # A child that is stopped before it can handle that, stops as soon as it can.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    children: set[int] = set()
    unread = b""
    while True:
        ready, _, _ = select.select([0], [], [], _LOOK_EVERY_S)
        if ready:
            data = os.read(0, 1 << 16)
            if not data:
                break
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                _obey(json.loads(line), children)
        _reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _obey(command: dict[str, Any], children: set[int]) -> None:
    if "signal" in command:
        # A child that was not reaped keeps its number: nobody else's process is meant.
        if command["pid"] in children:
            os.kill(command["pid"], command["signal"])
        return
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _run(command, parent)
    children.add(pid)
    _say({"started": pid})


def _reap(children: set[int]) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children.remove(pid)
            _say({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(answer: Mapping[str, int]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _run(command: dict[str, Any], parent: int) -> NoReturn:
    """In the child."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            os._exit(1)
        output = os.open(command["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(command["environment"])
        arguments = {
            name: Path(value) if isinstance(value, str) else value
            for name, value in command["arguments"].items()
        }
        _PROGRAMS[command["start"]](Plan(**command["plan"]), **arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
