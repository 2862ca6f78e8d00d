"""What a process for each clip costs: the same clips in this process and in a child, in alternating order.

    python benchmarks/isolation.py [--clips 40] [--repeats 1] [--seed N] [--json FILE]

Warm: both have made a clip before. Short clips, whose work is a fraction of a second, so that what isolation
adds is not lost in it. *from afar* is the same file without a path on this disk: the child has to ask for
every byte. What is measured is from the order to the report, the end of the child included. CPU time is that
of all processes, on average: on a busy machine it is the steadier measure, and so is the best of a few
repeats of each clip.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

from cut import SEED
from footage import DATA, BenchmarkRecording, Kind, recordings
from ways import WIDTHS

from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, ThumbnailOptions
from clipline.media.engine import CutJob, Engine, InProcess
from clipline.media.isolation.engine import Isolated
from clipline.media.ranges import ByteSource, LocalSource
from clipline.media.stopwatch import Stopwatch


@dataclass(frozen=True)
class Case:
    """A kind of clip."""

    name: str
    kind: Kind
    clip_s: int
    widths: Sequence[int]
    """Of thumbnails, pixels."""
    afar: bool = False


_HD = Kind(duration_s=300)
CASES = (
    Case("1080p, 60 s, four thumbnails", _HD, 60, WIDTHS),
    Case("1080p, 60 s, four thumbnails, from afar", _HD, 60, WIDTHS, afar=True),
    Case("360p, 10 s, one thumbnail", replace(_HD, width=640, height=360, bit_rate=500_000), 10, (300,)),
    Case("360p, 10 s, one thumbnail, from afar", replace(_HD, width=640, height=360, bit_rate=500_000), 10,
         (300,), afar=True),
)  # fmt: skip


class AfarSource(LocalSource):
    """A file that does not say where it lies."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path, self.local_path = path, None  # type: ignore[assignment]

    def read(self, offset: int, length: int) -> bytes:
        with self.path.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(length)


@dataclass(frozen=True)
class Pair:
    """One clip, both ways."""

    start_s: float
    in_process_ms: float
    isolated_ms: float

    @property
    def extra_ms(self) -> float:
        return self.isolated_ms - self.in_process_ms


@dataclass(frozen=True)
class Result:
    """Clips of one case."""

    pairs: Sequence[Pair]
    in_process_cpu_ms: float
    """Of a clip, on average."""
    isolated_cpu_ms: float


def cut_ms(engine: Engine, case: Case, recording: BenchmarkRecording, start_s: float) -> float:
    """Milliseconds that a clip takes."""
    start_ms = recording.start_ms + round(start_s * 1000)
    source: ByteSource = AfarSource(recording.path) if case.afar else LocalSource(recording.path)
    with tempfile.TemporaryDirectory(dir=DATA) as name:
        directory = Path(name)
        job = CutJob(
            [Candidate(source, recording.start_ms)],
            Interval(start_ms, start_ms + case.clip_s * 1000),
            directory,
        )
        began = time.perf_counter()
        with engine.prepare(job, Stopwatch()) as planned:
            planned.render(directory / "clip.mp4", ThumbnailOptions(case.widths))
        return (time.perf_counter() - began) * 1000


def cpu_ms(template: int) -> float:
    """Of this process, of the template and of all its children that have ended, since they began."""
    fields = Path(f"/proc/{template}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return (ticks / os.sysconf("SC_CLK_TCK") + time.process_time()) * 1000


def measure(case: Case, isolated: Isolated, clips: int, repeats: int, seed: int) -> Result:
    (recording,) = recordings(case.kind, 1)
    in_process = InProcess()
    dice = random.Random(seed)
    pairs = []
    template = isolated.template.pid
    assert template is not None
    cpus: dict[Engine, float] = {in_process: 0, isolated: 0}
    for number in range(-1, clips):
        start_s = dice.uniform(0, recording.duration_s - case.clip_s)
        order: list[Engine] = [in_process, isolated] if number % 2 else [isolated, in_process]
        taken: dict[Engine, float] = dict.fromkeys(order, math.inf)
        for engine in order * repeats:
            before_ms = cpu_ms(template)
            taken[engine] = min(taken[engine], cut_ms(engine, case, recording, start_s))
            if number >= 0:
                cpus[engine] += (cpu_ms(template) - before_ms) / repeats
        if number >= 0:  # the first one loads what is loaded on demand
            pairs.append(Pair(start_s, taken[in_process], taken[isolated]))
    return Result(pairs, cpus[in_process] / clips, cpus[isolated] / clips)


def row(case: Case, result: Result) -> str:
    pairs = result.pairs
    extra = sorted(pair.extra_ms for pair in pairs)
    quarter = len(extra) // 4
    cells = [
        case.name,
        str(len(pairs)),
        f"{statistics.median(pair.in_process_ms for pair in pairs):.0f}",
        f"{statistics.median(pair.isolated_ms for pair in pairs):.0f}",
        f"{statistics.median(extra):.0f} ({extra[quarter]:.0f} to {extra[-1 - quarter]:.0f})",
        f"{statistics.median(pair.isolated_ms / pair.in_process_ms for pair in pairs):.2f}",
        f"{result.in_process_cpu_ms:.0f}",
        f"{result.isolated_cpu_ms:.0f}",
        f"{result.isolated_cpu_ms - result.in_process_cpu_ms:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=1, help="of each clip; the best counts")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = {}
    print(f"{date.today()}\n")
    print(
        "| clip | clips | in process, ms | isolated, ms | extra, ms (middle half) | ratio "
        "| CPU, ms | CPU isolated | extra CPU |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with Isolated(say=lambda text: print(text, file=sys.stderr)) as isolated:
        for case in CASES:
            found[case.name] = measure(case, isolated, options.clips, options.repeats, options.seed)
            print(row(case, found[case.name]), flush=True)
    if options.json:
        document = {name: asdict(result) for name, result in found.items()}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
