"""The worker's hold on a template process: started, asked for children, started anew where it died."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from clipline.contract.errors import EngineFailed

TEMPLATE = "clipline.media.isolation.template"
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME")
"""Of the environment: what a program needs to be found and to run, and nobody's secrets."""
_START_S = 120
_STOP_S = 5
_LONGEST_LINE = 65536


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What a template gets of the environment ``given``."""
    kept = {name: given[name] for name in _KEPT if name in given}
    path = os.pathsep.join(os.path.abspath(place) for place in sys.path if place)  # noqa: PTH100
    return kept | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True)
class Forked:
    """A child that waits for its job."""

    conversation: socket.socket
    status: Status
    pid: int


class Status:
    """What the template tells of one child. Closing it ends the child."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._read = b""
        self._end: dict[str, Any] | None = None

    def line(self) -> dict[str, Any] | None:
        """The next one; None where the template is gone. Raises TimeoutError after two minutes."""
        self._stream.settimeout(_START_S)
        while b"\n" not in self._read and len(self._read) < _LONGEST_LINE:
            try:
                more = self._stream.recv(4096)
            except ConnectionError:
                return None
            if not more:
                return None
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    def end(self) -> dict[str, Any] | None:
        """Have the child killed, if it still runs; how it ended, or None where the template is gone."""
        if self._end is None:
            with suppress(OSError):  # the template is gone
                self._stream.shutdown(socket.SHUT_WR)
            with suppress(TimeoutError):
                self._end = self.line()
        return self._end

    def close(self) -> None:
        self._stream.close()


class Template:
    """The process; safe to use from several threads."""

    def __init__(self, module: str = TEMPLATE) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """None where none runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin to load the engine, in the background; where it runs already nothing happens."""
        with self._lock:
            self._started()

    def fork(self) -> Forked:
        """A new child. Raises EngineFailed where none can be made."""
        for _ in range(2):
            forked = self._ask()
            if forked is not None:
                return forked
        raise EngineFailed("the process that starts others for clips dies", hint="`clipline doctor` tests it")

    def stop(self) -> None:
        """End the template and its children."""
        with self._lock:
            self._drop()

    def _ask(self) -> Forked | None:
        """None where the template died before it made a child."""
        with self._lock:
            control, process = self._started(), self._process
            conversation, theirs = socket.socketpair()
            mine, status_theirs = socket.socketpair()
            try:
                with theirs, status_theirs:
                    socket.send_fds(control, [b"clip"], [theirs.fileno(), status_theirs.fileno()])
            except OSError:
                mine.close()
                conversation.close()
                self._drop()
                return None
        status = Status(mine)
        told: dict[str, Any] | None = None
        try:
            told = status.line()
            if told is not None and "pid" in told:
                return Forked(conversation, status, told["pid"])
        except TimeoutError:
            pass
        conversation.close()
        status.close()
        if told is not None:
            raise EngineFailed(f"no process for a clip could be started: {told['failed']}")
        with self._lock:
            if self._process is process:
                self._drop()
        return None

    def _started(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self._drop()
        if self._control is None:
            control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - Python itself, and our own module
                    [sys.executable, "-P", "-m", self._module, str(theirs.fileno())],
                    env=environment(os.environ),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    # Ctrl-C goes to the group of processes that the terminal knows: clips are finished.
                    start_new_session=True,
                )
            self._control = control
        return self._control

    def _drop(self) -> None:
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
