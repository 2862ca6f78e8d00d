"""The template: loads the engine once, then forks a child for each clip.

    python -m clipline.media.isolation.template DESCRIPTOR

On the socket DESCRIPTOR come messages with two more sockets each: one for the child to talk to the worker,
one to say what becomes of it. On the second the template writes the child's process id, and a line with its
wait status when it has ended; when the worker closes it, the child is killed. When the worker's end of
DESCRIPTOR is closed, by whatever end of the worker, the template kills its children and ends.

It has one thread, and handles no byte that comes from outside.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from clipline.media.isolation import child, kernel, sandbox
from clipline.media.isolation.wire import Channel

_UNHEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The worker decides when clips end, and may finish those in progress."""


@dataclass(frozen=True)
class _Running:
    pid: int
    status: socket.socket
    lifeline: int
    """The reading end of a pipe whose other end only the child holds."""


def main(descriptor: int) -> None:
    for unheeded in _UNHEEDED:
        signal.signal(unheeded, signal.SIG_IGN)
    control = socket.socket(fileno=descriptor)
    sandbox.installation()  # works it out
    # So that children do not copy every page of the template when they count references.
    gc.collect()
    gc.freeze()
    poll = select.poll()
    poll.register(control, select.POLLIN)
    running: dict[int, _Running] = {}
    try:
        while True:
            ready = {number for number, _ in poll.poll()}
            # First those that end: their descriptors' numbers may be given to the next.
            for number in ready - {descriptor}:
                if number in running:
                    ended = running[number]
                    for registered in (ended.status.fileno(), ended.lifeline):
                        poll.unregister(registered)
                        del running[registered]
                    _end(ended)
            if descriptor in ready:
                message, descriptors, _, _ = socket.recv_fds(control, 16, 2)
                if not message:
                    return
                begun = _begin(*descriptors)
                if begun is not None:
                    for registered in (begun.status.fileno(), begun.lifeline):
                        running[registered] = begun
                        poll.register(registered, select.POLLIN)
    finally:
        for one in running.values():
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)


def _begin(conversation: int, status_descriptor: int) -> _Running | None:
    status = socket.socket(fileno=status_descriptor)
    lifeline, held = os.pipe()
    template = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        _tell(status, {"failed": f"fork: {error.strerror}"})
        for descriptor in (lifeline, held, conversation):
            os.close(descriptor)
        status.close()
        return None
    if not pid:
        _be_child(template, conversation, held)
    os.close(held)
    os.close(conversation)
    _tell(status, {"pid": pid})
    return _Running(pid, status, lifeline)


def _be_child(template: int, conversation: int, held: int) -> None:
    code = 1
    try:
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != template:  # it has died already
            return
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        first, second = sorted((conversation, held))
        os.closerange(3, first)
        os.closerange(first + 1, second)
        os.closerange(second + 1, os.sysconf("SC_OPEN_MAX"))
        child.run(Channel(conversation))
        code = 0
    finally:
        # Without the interpreter's own end: what it would tidy up belongs to the template.
        os._exit(code)


def _end(one: _Running) -> None:
    """It has ended, or nobody wants it any more."""
    os.kill(one.pid, signal.SIGKILL)
    _, status, usage = os.wait4(one.pid, 0)
    cpu_s = usage.ru_utime + usage.ru_stime
    _tell(one.status, {"status": status, "peak_kib": usage.ru_maxrss, "cpu_ms": round(cpu_s * 1000)})
    one.status.close()
    os.close(one.lifeline)


def _tell(status: socket.socket, message: dict[str, Any]) -> None:
    with suppress(OSError):  # nobody listens any more
        status.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
