"""What a way costs, and whether what it made is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from footage import DATA
from ways import WIDTHS, Command, Job, Way

from clipline.contract.errors import MediaError
from clipline.media.overlay import frame_number


@dataclass(frozen=True)
class Cost:
    """What one or several processes, one after the other, cost."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    """Of the largest process."""
    bytes_read: int
    """By read calls; see ``launch``."""


@dataclass(frozen=True)
class Wrong:
    """How many pictures of a clip are missing, too many, or not what they should be."""

    shown: int
    """By a player that obeys edit lists."""
    stored: int
    """By one that shows all pictures that the file holds; some players do."""


def run(commands: Sequence[Command]) -> Cost:
    """Run ``commands`` one after the other, in a small process that waits for them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    launcher = [sys.executable, "-S", str(Path(__file__).with_name("launch.py"))]
    done = subprocess.run(
        launcher, input=json.dumps(commands), stdout=subprocess.PIPE, text=True, env=environment, check=False
    )
    if done.returncode:
        sys.exit(1)
    return Cost(**json.loads(done.stdout))


def measure(way: Way, job: Job, *, check: bool = False) -> tuple[Cost, Wrong | None]:
    """Run ``way`` once; where ``check``, its clip is compared with what was asked, outside the time."""
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        into = Path(folder)
        cost = run(way.commands(job, into))
        if not way.makes_clip:
            return cost, None
        clip = into / "clip.mp4"
        for path in (clip, *(into / f"clip_{width}.png" for width in WIDTHS)):
            if not path.exists() or not path.stat().st_size:
                sys.exit(f"{way.name} did not make {path.name} of {job.interval}")
        return cost, frames_wrong(clip, job.expected) if check else None


def frames_wrong(clip: Path, expected: Sequence[int]) -> Wrong:
    """Compare the numbers in the pictures of ``clip`` with those expected."""
    stored = _numbers(clip, {"ignore_editlist": "1"})
    shown = _numbers(clip, {}) if _has_hidden(clip, len(stored)) else stored
    return Wrong(_distance(shown, expected), _distance(stored, expected))


def _numbers(clip: Path, options: dict[str, str]) -> list[int | None]:
    """The number in each picture; None where none can be read: it is damaged."""
    numbers: list[int | None] = []
    with av.open(str(clip), options=options) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        for packet in container.demux(video):
            with suppress(av.FFmpegError):  # a packet that does not decode is a picture that is missing
                for frame in packet.decode():
                    try:
                        numbers.append(frame_number(frame))
                    except MediaError:
                        numbers.append(None)
    return numbers


def _has_hidden(clip: Path, stored: int) -> bool:
    """Whether an edit list hides some of the pictures."""
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    return len(packets) != stored or any(packet.is_discard for packet in packets)


def _distance(found: Sequence[int | None], expected: Sequence[int]) -> int:
    """Pictures in ``found`` that were not asked for (or doubled), and those that are missing.

    As many as are out of order count as well, should all be there.
    """
    have, want = Counter(found), Counter[int | None](expected)
    amiss = (have - want).total() + (want - have).total()
    return amiss or sum(one != other for one, other in zip(found, expected, strict=True))
