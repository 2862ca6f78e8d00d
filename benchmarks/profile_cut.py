"""Where the CPU time of a cut goes: 60 s of 1080p and four PNG thumbnails, warm and as a whole process.

    python benchmarks/profile_cut.py [--cuts 10] [--seed N]

Linux's ``perf`` samples all threads 4,000 times a second, FFmpeg's own among them; a sample is put down to
the library that it was taken in, and where a library does several things, to the thread. Warm is after one
cut that does not count, in the same process; whole processes include starting Python and loading libraries.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cut import CLIP_S, SEED, interval_at
from footage import DATA, BenchmarkRecording, Kind, recordings
from touched import read_packets
from ways import WIDTHS, Job, make_job, ours

from clipline.media.cut import Candidate, ThumbnailOptions, prepare
from clipline.media.ranges import LocalSource
from clipline.media.stopwatch import Stopwatch

_PERF = ["record", "--quiet", "--event", "cpu-clock", "--freq", "4000", "--output"]
_THUMBNAIL_THREAD = "thumbnail_"
"""What the threads that scale and compress are called, see ``media.thumbnails``."""

_SHARES = (
    # what it is, (begins the library's name, begins the thread's name)
    ("encoding (x264)", [("libx264", "")]),
    ("compressing thumbnails", [("isal", ""), ("libz", ""), ("libavcodec", _THUMBNAIL_THREAD)]),
    ("scaling thumbnails", [("libswscale", "")]),
    ("decoding", [("libavcodec", "")]),
    ("kernel: bytes, memory, threads", [("[", "")]),
    ("loading libraries", [("ld-linux", "")]),
    ("C library: copies, locks, memory", [("libc.", ""), ("libpthread", "")]),
    ("PyAV and FFmpeg's other libraries", [("libav", ""), ("libsw", ""), ("av/", "")]),
    ("Python: our own, the standard library's, imports", [("", "")]),
)
"""The first that fits counts."""


def classify(library: str, thread: str) -> str:
    """What a sample in ``library`` (a path, or a name in brackets) taken in ``thread`` was spent on."""
    name = library if library.startswith("[") else Path(library).name
    if "/av/" in library:
        name = "av/"
    return next(
        what
        for what, signs in _SHARES
        if any(name.startswith(begins) and thread.startswith(called) for begins, called in signs)
    )


def shares(samples: Path) -> tuple[Counter[str], int]:
    """(samples by what they were spent on, all samples) of a file that ``perf record`` wrote."""
    script = ["perf", "script", "--input", str(samples), "--fields", "comm,ip,dso"]
    listed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    found: Counter[str] = Counter()
    for line in listed.splitlines():
        place, _, library = line.rstrip().rstrip(")").rpartition("(")
        thread = place.strip().rpartition(" ")[0].strip()
        found[classify(library, thread)] += 1
    return found, found.total()


@contextmanager
def sampled(into: Path) -> Iterator[None]:
    """Sample this process and its threads, existing ones and new ones, while the block runs."""
    (control, tell), (hear, answer) = os.pipe(), os.pipe()
    command = ["perf", *_PERF, str(into), "--pid", str(os.getpid())]
    command += ["--delay=-1", f"--control=fd:{control},{answer}"]
    with subprocess.Popen(command, pass_fds=(control, answer)) as perf:

        def order(word: bytes) -> None:
            os.write(tell, word + b"\n")
            if not os.read(hear, 16).startswith(b"ack"):
                raise RuntimeError(f"perf did not {word.decode()}")

        order(b"enable")
        try:
            yield
        finally:
            order(b"disable")
            os.write(tell, b"stop\n")
            perf.wait()
            for descriptor in (control, tell, hear, answer):
                os.close(descriptor)


def name_threads() -> None:
    """Let the kernel, and so ``perf``, know Python's names of threads from now on (3.14 does so itself)."""
    run = threading.Thread.run

    def named_run(self: threading.Thread) -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(self.name[:15])
        run(self)

    threading.Thread.run = named_run  # type: ignore[method-assign]


def cut_here(job: Job) -> tuple[float, float, dict[str, int]]:
    """(wall s, CPU s, milliseconds of each stage) of a cut in this process."""
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        into, stopwatch = Path(folder), Stopwatch()
        wall_s, cpu_s = time.monotonic(), time.process_time()
        candidates = [
            Candidate(LocalSource(part.recording.path), part.recording.start_ms) for part in job.parts
        ]
        planned = prepare(candidates, job.interval, into, stopwatch=stopwatch)
        planned.render(into / "clip.mp4", ThumbnailOptions(WIDTHS))
        return time.monotonic() - wall_s, time.process_time() - cpu_s, stopwatch.timings_ms


def print_shares(title: str, found: Counter[str], total: int) -> None:
    print(f"\n{title}\n\n| what | share of CPU time |\n|---|---|")
    for what, samples in found.most_common():
        print(f"| {what} | {samples / total:.1%} |")


def profile_warm(jobs: Sequence[Job]) -> None:
    name_threads()
    cut_here(jobs[0])  # not counted: what is loaded on demand
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        samples = Path(folder) / "perf.data"
        with sampled(samples):
            costs = [cut_here(job) for job in jobs]
        found, total = shares(samples)
    walls, cpus, stages = zip(*costs, strict=True)
    wall_s, cpu_s = statistics.median(walls), statistics.median(cpus)
    print_shares(
        f"Warm, {len(jobs)} cuts, {wall_s:.3f} s wall and {cpu_s:.3f} s CPU at the median", found, total
    )
    print("\n| stage | ms at the median | most |\n|---|---|---|")
    for stage in stages[0]:
        taken_ms = [one[stage] for one in stages]
        print(f"| {stage} | {statistics.median(taken_ms):.0f} | {max(taken_ms)} |")


def profile_processes(jobs: Sequence[Job]) -> None:
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        samples = Path(folder) / "perf.data"
        for place, job in enumerate(jobs):
            into = Path(folder) / str(place)
            into.mkdir()
            (command,) = ours(job, into)
            record = ["perf", *_PERF, str(samples), "--", *command]
            subprocess.run(record, stdout=subprocess.DEVNULL, check=True)
            found += shares(samples)[0]
    print_shares(f"Whole processes, {len(jobs)} of them", found, found.total())


def draw_jobs(made: Sequence[BenchmarkRecording], seed: int, cuts: int) -> list[Job]:
    dice = random.Random(seed)
    last = sum(one.duration_s for one in made) - CLIP_S
    packets = [read_packets(one.path) for one in made]
    return [make_job(made, packets, interval_at(made, dice.uniform(0, last))) for _ in range(cuts)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    if shutil.which("perf") is None:
        print("profile: perf is missing; on Debian `apt install linux-perf` brings it", file=sys.stderr)
        return 2
    jobs = draw_jobs(recordings(Kind()), options.seed, options.cuts)
    profile_warm(jobs)
    profile_processes(jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
