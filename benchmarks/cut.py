"""Clip and four thumbnails, whole processes, against ffmpeg's keyframe-snapped copy.

    python benchmarks/cut.py [--starts 20] [--mission 2] [--json FILE]

Every start is cut by both, in alternating order. ffmpeg gets its best: input seeking, stream copy, and one
process for all thumbnails. Its clips begin at a keyframe, ours at the frame asked.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import imageio_ffmpeg
from footage import DATA, BenchmarkRecording, recordings
from touched import Packets, read_packets, touched_bytes

from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, ThumbnailOptions, prepare
from clipline.media.ranges import LocalSource

WIDTHS = (300, 640, 1500, 3000)
CLIP_S = 60
SEED = 20180916


@dataclass(frozen=True)
class Cost:
    """What one or several processes, one after the other, cost."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True)
class Measured:
    """One start."""

    start_s: float
    """Into the first recording."""
    border: bool
    """Whether the clip crosses from one recording into the next."""
    ours: Cost
    copy: Cost
    warm_s: float
    """Ours again, inside a process that is warm."""
    bytes_read: int
    bytes_touched: int
    frames_encoded: int


def run(commands: Sequence[Sequence[str]], output: Path | None = None) -> Cost:
    """Run ``commands`` one after the other; the last one's standard output goes to ``output``."""
    cpu_s = peak_mib = 0.0
    began = time.monotonic()
    for place, command in enumerate(commands):
        last = place == len(commands) - 1
        with (output or Path(os.devnull)).open("wb") as sink:
            process = subprocess.Popen(command, stdout=sink if last else subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{shlex.join(command)} ended with {process.returncode}")
        cpu_s += usage.ru_utime + usage.ru_stime
        peak_mib = max(peak_mib, usage.ru_maxrss / 1024)
    return Cost(time.monotonic() - began, cpu_s, peak_mib)


def parts(
    made: Sequence[BenchmarkRecording], interval: Interval
) -> list[tuple[BenchmarkRecording, float, float]]:
    """(recording, from, to) of what ``interval`` takes of each, in seconds from its beginning."""
    found = []
    for one in made:
        part = Interval(one.start_ms, one.end_ms) & interval
        if part:
            found.append((one, (part.start_ms - one.start_ms) / 1000, (part.end_ms - one.start_ms) / 1000))
    return found


def ours(
    base: Sequence[str], made: Sequence[BenchmarkRecording], interval: Interval, into: Path
) -> list[str]:
    return [
        *base, "--start", str(interval.start_ms), "--end", str(interval.end_ms), "--json",
        "--output", str(into / "clip.mp4"), "--thumbnails", str(into),
        "--sizes", " ".join(map(str, WIDTHS)),
        *(f"{one.path}@{one.start_ms}" for one, _, _ in parts(made, interval)),
    ]  # fmt: skip


def quiet_ffmpeg() -> list[str]:
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]


def snapped_copy(made: Sequence[BenchmarkRecording], interval: Interval, into: Path) -> list[list[str]]:
    """The keyframe-snapped copy and its thumbnails, as one would write them by hand for speed."""
    ffmpeg, clip = quiet_ffmpeg(), str(into / "clip.mp4")
    fast = ["-c", "copy", "-movflags", "+faststart", clip]
    pieces = parts(made, interval)
    commands = []
    if len(pieces) == 1:
        one, start_s, end_s = pieces[0]
        commands.append(
            [*ffmpeg, "-ss", f"{start_s}", "-i", str(one.path), "-t", f"{end_s - start_s}", *fast]
        )
    else:
        for number, (one, start_s, end_s) in enumerate(pieces):
            piece = str(into / f"piece{number}.mp4")
            span = ["-ss", f"{start_s}", "-i", str(one.path), "-t", f"{end_s - start_s}"]
            commands.append([*ffmpeg, *span, "-c", "copy", piece])
        commands.append(
            [*ffmpeg, "-f", "concat", "-safe", "0", "-i", str(_piece_list(into, len(pieces))), *fast]
        )
    labels = [f"[v{width}]" for width in WIDTHS]
    scales = [f"[s{width}]scale={width}:-1[v{width}]" for width in WIDTHS]
    split = f"[0:v]split={len(WIDTHS)}" + "".join(f"[s{width}]" for width in WIDTHS)
    graph = ";".join([split, *scales])
    outputs = []
    for width, label in zip(WIDTHS, labels, strict=True):
        outputs += ["-map", label, "-frames:v", "1", "-compression_level", "1", "-pred", "sub"]
        outputs += [str(into / f"clip_{width}.png")]
    thumbnails = [*ffmpeg, "-ss", f"{CLIP_S / 4}", "-i", clip, "-filter_complex", graph, *outputs]
    return [*commands, thumbnails]


def mission(made: Sequence[BenchmarkRecording], interval: Interval, into: Path) -> list[list[str]]:
    """The steps of the first version: whole recordings copied, decoded from their beginning, encoded anew."""
    ffmpeg, clip = quiet_ffmpeg(), str(into / "clip.mp4")
    commands = []
    pieces = parts(made, interval)
    for number, (one, start_s, end_s) in enumerate(pieces):
        whole = str(into / one.path.name)
        commands.append(["cp", str(one.path), whole])
        encode = ["-vf", "format=yuv420p", "-preset", "fast", "-movflags", "+faststart"]
        commands.append(
            [
                *ffmpeg,
                "-i",
                whole,
                "-ss",
                f"{start_s}",
                "-to",
                f"{end_s}",
                *encode,
                str(into / f"piece{number}.mp4"),
            ]
        )
    join = ["-f", "concat", "-safe", "0", "-i", str(_piece_list(into, len(pieces)))]
    commands.append([*ffmpeg, *join, "-c", "copy", "-movflags", "+faststart", clip])
    picture = str(into / "picture.png")
    commands.append([*ffmpeg, "-ss", f"{CLIP_S / 4}", "-i", clip, "-frames:v", "1", picture])
    commands += [
        [*ffmpeg, "-i", picture, "-vf", f"scale={width}:-1", str(into / f"clip_{width}.png")]
        for width in WIDTHS
    ]
    return commands


def _piece_list(into: Path, pieces: int) -> Path:
    path = into / "pieces.txt"
    path.write_text("".join(f"file 'piece{number}.mp4'\n" for number in range(pieces)))
    return path


def warm(made: Sequence[BenchmarkRecording], interval: Interval, into: Path) -> float:
    """Seconds that the same work takes in this process, which has everything loaded."""
    began = time.monotonic()
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one, _, _ in parts(made, interval)]
    prepare(candidates, interval, into).render(into / "clip.mp4", ThumbnailOptions(WIDTHS))
    return time.monotonic() - began


def measure(
    base: Sequence[str],
    made: Sequence[BenchmarkRecording],
    packets: Sequence[Packets],
    start_s: float,
    ours_first: bool,
) -> Measured:
    start_ms = made[0].start_ms + round(start_s * 1000)
    interval = Interval(start_ms, start_ms + CLIP_S * 1000)
    costs: dict[str, Cost] = {}
    for name in ("ours", "copy") if ours_first else ("copy", "ours"):
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            into = Path(folder)
            if name == "copy":
                costs[name] = run(snapped_copy(made, interval, into))
            else:
                costs[name] = run([ours(base, made, interval, into)], into / "report.json")
                report = json.loads((into / "report.json").read_text())
            missing = [width for width in WIDTHS if not (into / f"clip_{width}.png").stat().st_size]
            if missing or not (into / "clip.mp4").stat().st_size:
                sys.exit(f"{name} made no clip, or no thumbnails of widths {missing}")
    frames = report["framesCopied"] + report["framesEncoded"]
    if frames not in {CLIP_S * 30, CLIP_S * 30 + 1}:
        sys.exit(f"ours has {frames} frames, expected {CLIP_S * 30}")
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        warm_s = warm(made, interval, Path(folder))
    touched = touched_bytes(made, packets, interval)
    return Measured(
        start_s, len(parts(made, interval)) > 1, costs["ours"], costs["copy"], warm_s,
        report["bytesRead"], touched, report["framesEncoded"],
    )  # fmt: skip


def table(rows: Sequence[Measured]) -> str:
    ratios = [row.ours.wall_s / row.copy.wall_s for row in rows]
    lines = [
        f"{len(rows)} starts, {sum(row.border for row in rows)} of them across the border",
        "",
        "|  | median | worst |",
        "|---|---|---|",
    ]

    def line(name: str, values: Sequence[float], form: str) -> None:
        lines.append(f"| {name} | {statistics.median(values):{form}} | {max(values):{form}} |")

    line("Clipline, whole process, s", [row.ours.wall_s for row in rows], ".3f")
    line("ffmpeg copy and thumbnails, s", [row.copy.wall_s for row in rows], ".3f")
    line("ratio of each start", ratios, ".2f")
    line("Clipline, warm in one process, s", [row.warm_s for row in rows], ".3f")
    line("ratio of each start, warm", [row.warm_s / row.copy.wall_s for row in rows], ".2f")
    line("Clipline, CPU s", [row.ours.cpu_s for row in rows], ".2f")
    line("ffmpeg, CPU s", [row.copy.cpu_s for row in rows], ".2f")
    line("Clipline, peak MiB", [row.ours.peak_mib for row in rows], ".0f")
    line("ffmpeg, peak MiB", [row.copy.peak_mib for row in rows], ".0f")
    line("bytes read / bytes touched", [row.bytes_read / row.bytes_touched for row in rows], ".3f")
    line("frames encoded anew", [row.frames_encoded for row in rows], ".0f")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--command", help="what to measure instead of `python -m clipline cut`")
    parser.add_argument(
        "--mission", type=int, default=0, metavar="N", help="also the first version's steps, N times"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    base = shlex.split(options.command) if options.command else [sys.executable, "-m", "clipline", "cut"]
    made = recordings()
    packets = [read_packets(one.path) for one in made]  # which also puts them in the page cache
    dice = random.Random(options.seed)
    latest_s = sum(one.duration_s for one in made) - CLIP_S
    starts = [dice.uniform(0, latest_s) for _ in range(options.starts)]
    starts[0] = made[0].duration_s - dice.uniform(5, CLIP_S - 5)  # one at least crosses the border
    measure(base, made, packets, starts[0], True)  # not counted: bytecode and libraries are loaded
    rows = []
    for number, start_s in enumerate(starts):
        rows.append(measure(base, made, packets, start_s, number % 2 == 0))
        row = rows[-1]
        print(
            f"{number:3} {start_s:8.3f} s  ours {row.ours.wall_s:.3f}  copy {row.copy.wall_s:.3f}  "
            f"warm {row.warm_s:.3f}  encoded {row.frames_encoded}", file=sys.stderr,
        )  # fmt: skip
    print(table(rows))
    firsts = []
    for start_s in starts[: options.mission]:
        start_ms = made[0].start_ms + round(start_s * 1000)
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            interval = Interval(start_ms, start_ms + CLIP_S * 1000)
            firsts.append(run(mission(made, interval, Path(folder))).wall_s)
    if firsts:
        ratios = [first / row.ours.wall_s for first, row in zip(firsts, rows, strict=False)]
        print(f"\nThe first version's steps: median {statistics.median(firsts):.1f} s, "
              f"{statistics.median(ratios):.0f} times ours")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    assert shutil.which("cp")
    sys.exit(main())
