"""A template whose children do what the first recording is called, as if footage had taken them over."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from clipline.contract import errors
from clipline.media.engine import CutJob
from clipline.media.isolation import child, template
from clipline.media.isolation.wire import Channel
from clipline.media.limits import MIB, MediaLimits

_libc = ctypes.CDLL(None, use_errno=True)


def _segfault(_: CutJob) -> None:
    ctypes.string_at(0)


def _hang(_: CutJob) -> None:
    time.sleep(1000)


def _burn(_: CutJob) -> None:
    while True:
        pass


def _allocate(_: CutJob) -> None:
    held = []
    while True:
        held.append(bytearray(8 * MIB))


def _write(job: CutJob) -> None:
    with (job.directory / "large").open("wb") as file:
        while True:
            file.write(bytes(MIB))


def _leave(_: CutJob) -> NoReturn:
    os._exit(3)


def _stumble(_: CutJob) -> None:
    raise ZeroDivisionError("a defect of ours")


def _no_disk(_: CutJob) -> None:
    raise OSError(28, "No space left on device")


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def _reach_out(job: CutJob) -> None:
    """Try what a child must not; tells which attempts failed, and how."""
    outside = job.directory.parent / "outside"
    worker = job.missing[0][1]  # its process id
    attempts: dict[str, Callable[[], object]] = {
        "socket": lambda: socket.socket(),
        "read outside": lambda: outside.read_bytes(),
        "write outside": lambda: outside.write_bytes(b"x"),
        "make outside": lambda: (job.directory.parent / "new").touch(),
        "list outside": lambda: list(job.directory.parent.iterdir()),
        "the worker's environment": lambda: Path(f"/proc/{worker}/environ").read_bytes(),
        "the worker's memory": lambda: Path(f"/proc/{worker}/mem").open("rb").close(),
        "passwords": lambda: Path("/etc/passwd").read_bytes(),
        "link": lambda: (job.directory / "link").symlink_to(outside),
        "fork": os.fork,
        "run": lambda: subprocess.run(["/bin/true"], check=True),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "signal": lambda: os.kill(int(worker), 0),
        "ptrace": lambda: _call("ptrace", 16, int(worker), 0, 0),
        "mount": lambda: _call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
        "unshare": lambda: _call("unshare", 0x10000000),
        "memfd": lambda: os.memfd_create("x"),
        "io_uring": lambda: _call("syscall", 425, 1, ctypes.create_string_buffer(120)),
        "a newer call": lambda: _call("syscall", 500),
        "limits of others": lambda: _call("prlimit", int(worker), 7, None, ctypes.create_string_buffer(16)),
        "shared memory": lambda: __import__("mmap").mmap(-1, 4096),
    }
    found = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            found[name] = error.errno
        else:
            found[name] = 0
    raise errors.UnsupportedMedia(json.dumps(found))


_DEEDS = {
    "segfault": _segfault, "hang": _hang, "burn": _burn, "allocate": _allocate, "write": _write,
    "leave": _leave, "stumble": _stumble, "no disk": _no_disk, "reach out": _reach_out,
}  # fmt: skip

_RAISED = {
    "NoFrames": errors.NoFrames("none", covered=True),
    "UnreadableRecording": errors.UnreadableRecording("it is broken"),
    "UnsupportedMedia": errors.UnsupportedMedia("of another kind", hint="convert it"),
    "VerificationFailed": errors.VerificationFailed("not as planned"),
    "MediaError": errors.MediaError("of some kind"),
}

_LIES: dict[str, list[dict[str, Any]]] = {
    "read of another": [{"read": 0, "source": 7, "offset": 0, "length": 1, "land": False}],
    "read before": [{"read": 0, "source": 0, "offset": -1, "length": 1, "land": False}],
    "read behind": [{"read": 0, "source": 0, "offset": 0, "length": 1 << 40, "land": False}],
    "read of text": [{"read": 0, "source": "0", "offset": 0, "length": 1, "land": False}],
    "no read": [{"read": 0}],
    "landing where nothing is": [{"read": 0, "source": 0, "offset": 0, "length": 1, "land": True}],
    "landing at a name": [{"read": 0, "source": 0, "offset": 0, "length": 1, "land": "clip.mp4"}],
    "no stage": [{"stage": "rm -rf", "ended": False}],
    "stages without end": [{"stage": "index", "ended": False}] * 10_001,
    "no gaps": [{"planned": {"a": 1}}],
    "gaps backwards": [{"planned": [[2, 1, "why"]]}],
    "no error": [{"failed": {"kind": "SystemExit", "text": "", "hint": None, "covered": False}}],
    "no text": [{"failed": {"kind": "MediaError", "text": 1, "hint": None, "covered": False}}],
    "nobody raised": [{"failed": {"raised": 0}}],
    "no question": [{"made": {}}],
    "nothing": [{}],
}


def _cut(channel: Channel, answers: Any, job: CutJob, limits: MediaLimits) -> None:
    name = job.candidates[0].source.name
    if name in _DEEDS:
        _DEEDS[name](job)
    elif name in _RAISED:
        raise _RAISED[name]
    elif name in _LIES:
        for message in _LIES[name]:
            channel.send(message)
        time.sleep(1000)
    elif name.startswith("made "):
        _make(name, channel, answers, job)
    elif name == "junk":
        os.write(channel.descriptor, b"\xff" * 100)
        time.sleep(1000)
    else:
        _cut_really(channel, answers, job, limits)


def _make(name: str, channel: Channel, answers: Any, job: CutJob) -> None:
    """Report a clip, with something wrong about it."""
    channel.send({"planned": []})
    order = answers.next_order()
    clip, thumbnail = job.directory / order["output"], job.directory / "clip_64.png"
    thumbnail.write_bytes(b"png")
    numbers = (
        "firstFrameTimestampInMs lastFrameTimestampInMs framesCopied framesEncoded bytesRead durationInMs "
        "width height"
    )
    details: dict[str, Any] = dict.fromkeys(numbers.split(), 1)
    details |= {"sizeInBytes": 4, "coverage": [], "partial": False, "method": "copy", "why": [], "notes": []}
    details["audio"] = {"method": "copy", "why": []}
    names: dict[str, Any] = {"64": "clip_64.png"}
    clip.write_bytes(b"clip")
    if name == "made a longer clip":
        details["sizeInBytes"] = 5
    elif name == "made a key":
        details["status"] = "CLIP_AVAILABLE"
    elif name == "made text":
        details["width"] = "1"
    elif name == "made too much":
        details["width"] = 1 << 60
    elif name == "made coverage":
        details["coverage"] = [{"recording": "a"}]
    elif name == "made no thumbnail":
        names = {}
    elif name == "made two names":
        names["65"] = "clip_64.png"
    elif name == "made a path":
        names["64"] = "../outside"
    elif name == "made the clip a thumbnail":
        names["64"] = clip.name
    elif name == "made nothing":
        clip.unlink()
    elif name == "made an empty clip":
        clip.write_bytes(b"")
    channel.send({"made": {"details": details, "thumbnails": names}})
    time.sleep(1000)


_cut_really = child._cut
child._cut = _cut

if __name__ == "__main__":
    template.main(int(sys.argv[1]))
