"""A clip and four thumbnails, whole processes, against ffmpeg's keyframe-snapped copy.

    python benchmarks/cut.py [--starts 20] [--mission 2] [--json FILE]

Every start is cut by all, in alternating order. Ours begins at the frame asked; ffmpeg's begins at a
keyframe. ffmpeg is measured in two ways: with one process for all thumbnails at PNG level 1, which is the
best that its command line gives, and with one process for each step, as such scripts are commonly written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
_FRAMES = CLIP_S * 30

Command = list[str]


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
    best: Cost
    """ffmpeg, one process for all thumbnails."""
    plain: Cost
    """ffmpeg, a process for each step."""
    warm_s: float
    """Ours again, inside a process that has everything loaded."""
    bytes_read: int
    bytes_touched: int
    frames_encoded: int


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
) -> list[Command]:
    """``clipline cut``; its report goes to a file."""
    command = [
        *base, "--start", str(interval.start_ms), "--end", str(interval.end_ms), "--json",
        "--output", str(into / "clip.mp4"), "--thumbnails", str(into),
        "--sizes", " ".join(map(str, WIDTHS)),
        *(f"{one.path}@{one.start_ms}" for one, _, _ in parts(made, interval)),
    ]  # fmt: skip
    return [command]


def quiet_ffmpeg() -> Command:
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]


def snapped_copy(made: Sequence[BenchmarkRecording], interval: Interval, into: Path) -> list[Command]:
    """Input seeking and stream copy; across a border a copy of each part, then the concat demuxer."""
    ffmpeg, clip = quiet_ffmpeg(), str(into / "clip.mp4")
    fast = ["-c", "copy", "-movflags", "+faststart", clip]
    pieces = parts(made, interval)
    if len(pieces) == 1:
        one, start_s, end_s = pieces[0]
        return [[*ffmpeg, "-ss", f"{start_s}", "-i", str(one.path), "-t", f"{end_s - start_s}", *fast]]
    commands = []
    for number, (one, start_s, end_s) in enumerate(pieces):
        span = ["-ss", f"{start_s}", "-i", str(one.path), "-t", f"{end_s - start_s}"]
        commands.append([*ffmpeg, *span, "-c", "copy", str(into / f"piece{number}.mp4")])
    join = ["-f", "concat", "-safe", "0", "-i", str(_piece_list(into, len(pieces)))]
    return [*commands, [*ffmpeg, *join, *fast]]


def best_thumbnails(into: Path) -> list[Command]:
    """One process: one decoded picture, split and scaled, PNG level 1 as ours."""
    split = f"[0:v]split={len(WIDTHS)}" + "".join(f"[s{width}]" for width in WIDTHS)
    scales = [f"[s{width}]scale={width}:-1[v{width}]" for width in WIDTHS]
    outputs = []
    for width in WIDTHS:
        outputs += ["-map", f"[v{width}]", "-frames:v", "1", "-compression_level", "1", "-pred", "sub"]
        outputs += [str(into / f"clip_{width}.png")]
    source = ["-ss", f"{CLIP_S / 4}", "-i", str(into / "clip.mp4")]
    return [[*quiet_ffmpeg(), *source, "-filter_complex", ";".join([split, *scales]), *outputs]]


def plain_thumbnails(into: Path) -> list[Command]:
    """One process takes the picture, one more makes each width."""
    ffmpeg, picture = quiet_ffmpeg(), str(into / "picture.png")
    take = [*ffmpeg, "-ss", f"{CLIP_S / 4}", "-i", str(into / "clip.mp4"), "-frames:v", "1", picture]
    scale = [*ffmpeg, "-i", picture, "-vf"]
    return [take, *([*scale, f"scale={width}:-1", str(into / f"clip_{width}.png")] for width in WIDTHS)]


def mission(made: Sequence[BenchmarkRecording], interval: Interval, into: Path) -> list[Command]:
    """The first version's steps: recordings copied whole, decoded from their beginning, encoded anew."""
    ffmpeg, clip = quiet_ffmpeg(), str(into / "clip.mp4")
    commands = []
    pieces = parts(made, interval)
    encode = ["-vf", "format=yuv420p", "-preset", "fast", "-movflags", "+faststart"]
    for number, (one, start_s, end_s) in enumerate(pieces):
        whole, piece = str(into / one.path.name), str(into / f"piece{number}.mp4")
        commands.append(["cp", str(one.path), whole])
        commands.append([*ffmpeg, "-i", whole, "-ss", f"{start_s}", "-to", f"{end_s}", *encode, piece])
    join = ["-f", "concat", "-safe", "0", "-i", str(_piece_list(into, len(pieces)))]
    commands.append([*ffmpeg, *join, "-c", "copy", "-movflags", "+faststart", clip])
    return [*commands, *plain_thumbnails(into)]


def _piece_list(into: Path, pieces: int) -> Path:
    path = into / "pieces.txt"
    path.write_text("".join(f"file 'piece{number}.mp4'\n" for number in range(pieces)))
    return path


def warm(
    made: Sequence[BenchmarkRecording], interval: Interval, into: Path
) -> tuple[float, dict[str, object]]:
    """Seconds that the same work takes in this process, and its report."""
    began = time.monotonic()
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one, _, _ in parts(made, interval)]
    report = prepare(candidates, interval, into).render(into / "clip.mp4", ThumbnailOptions(WIDTHS))
    return time.monotonic() - began, dict(report.details)


def measure(
    base: Sequence[str],
    made: Sequence[BenchmarkRecording],
    packets: Sequence[Packets],
    start_s: float,
    number: int,
) -> Measured:
    """Everyone cuts the clip that begins at ``start_s``; ``number`` decides who goes first."""
    interval = interval_at(made, start_s)
    ways: list[tuple[str, Callable[[Path], list[Command]]]] = [
        ("ours", lambda into: ours(base, made, interval, into)),
        ("best", lambda into: snapped_copy(made, interval, into) + best_thumbnails(into)),
        ("plain", lambda into: snapped_copy(made, interval, into) + plain_thumbnails(into)),
    ]
    first = number % len(ways)
    costs: dict[str, Cost] = {}
    for name, commands in ways[first:] + ways[:first]:
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            into = Path(folder)
            costs[name] = run(commands(into))
            made_files = [into / "clip.mp4", *(into / f"clip_{width}.png" for width in WIDTHS)]
            if not all(path.stat().st_size for path in made_files):
                sys.exit(f"{name} did not make everything at {start_s} s")
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        warm_s, report = warm(made, interval, Path(folder))
    copied, encoded, read = (report[key] for key in ("framesCopied", "framesEncoded", "bytesRead"))
    assert isinstance(copied, int)
    assert isinstance(encoded, int)
    assert isinstance(read, int)
    if copied + encoded not in {_FRAMES, _FRAMES + 1}:
        sys.exit(f"our clip at {start_s} s has {copied + encoded} frames, expected {_FRAMES}")
    return Measured(
        start_s, len(parts(made, interval)) > 1, costs["ours"], costs["best"], costs["plain"], warm_s,
        read, touched_bytes(made, packets, interval), encoded,
    )  # fmt: skip


def interval_at(made: Sequence[BenchmarkRecording], start_s: float) -> Interval:
    start_ms = made[0].start_ms + round(start_s * 1000)
    return Interval(start_ms, start_ms + CLIP_S * 1000)


def table(rows: Sequence[Measured]) -> str:
    lines = [
        f"{len(rows)} starts, {sum(row.border for row in rows)} of them across the border",
        "",
        "|  | median | worst |",
        "|---|---|---|",
    ]

    def line(name: str, form: str, value: Callable[[Measured], float]) -> None:
        values = [value(row) for row in rows]
        lines.append(f"| {name} | {statistics.median(values):{form}} | {max(values):{form}} |")

    line("Clipline, s", ".3f", lambda row: row.ours.wall_s)
    line("ffmpeg at its best, s", ".3f", lambda row: row.best.wall_s)
    line("ffmpeg step by step, s", ".3f", lambda row: row.plain.wall_s)
    line("Clipline / ffmpeg at its best", ".2f", lambda row: row.ours.wall_s / row.best.wall_s)
    line("Clipline / ffmpeg step by step", ".2f", lambda row: row.ours.wall_s / row.plain.wall_s)
    line("Clipline in a warm process, s", ".3f", lambda row: row.warm_s)
    line("the same / ffmpeg at its best", ".2f", lambda row: row.warm_s / row.best.wall_s)
    line("the same / ffmpeg step by step", ".2f", lambda row: row.warm_s / row.plain.wall_s)
    line("Clipline, CPU s", ".2f", lambda row: row.ours.cpu_s)
    line("ffmpeg at its best, CPU s", ".2f", lambda row: row.best.cpu_s)
    line("Clipline, peak MiB", ".0f", lambda row: row.ours.peak_mib)
    line("ffmpeg at its best, peak MiB", ".0f", lambda row: row.best.peak_mib)
    line("bytes read / bytes of the groups touched", ".3f", lambda row: row.bytes_read / row.bytes_touched)
    line("frames encoded anew", ".0f", lambda row: row.frames_encoded)
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--command", help="what to measure instead of `python -m clipline cut`")
    parser.add_argument("--mission", type=int, default=0, metavar="N", help="first version's steps, N times")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    base = shlex.split(options.command) if options.command else [sys.executable, "-m", "clipline", "cut"]
    made = recordings()
    packets = [read_packets(one.path) for one in made]  # which also puts them in the page cache
    dice = random.Random(options.seed)
    starts = [dice.uniform(0, sum(one.duration_s for one in made) - CLIP_S) for _ in range(options.starts)]
    measure(base, made, packets, starts[0], 0)  # not counted: bytecode is written, libraries are loaded
    rows = []
    for number, start_s in enumerate(starts):
        row = measure(base, made, packets, start_s, number)
        rows.append(row)
        print(
            f"{number:3} {start_s:8.3f} s  ours {row.ours.wall_s:.3f}  best {row.best.wall_s:.3f}  "
            f"plain {row.plain.wall_s:.3f}  warm {row.warm_s:.3f}  encoded {row.frames_encoded}",
            file=sys.stderr,
        )
    print(table(rows))
    times = []
    for row in rows[: options.mission]:
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            wall_s = run(mission(made, interval_at(made, row.start_s), Path(folder))).wall_s
        times.append((wall_s, wall_s / row.ours.wall_s))
        print(f"the first version's steps at {row.start_s:.3f} s: {wall_s:.1f} s", file=sys.stderr)
    if times:
        median_s, median_times = (statistics.median(values) for values in zip(*times, strict=True))
        print(f"| the first version's steps, {len(times)} starts, s | {median_s:.1f} | {max(times)[0]:.1f} |")
        print(f"| how many times ours | {median_times:.0f} |  |")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
