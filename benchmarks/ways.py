"""The ways to a clip and its thumbnails that are compared: the commands of each, run one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
from footage import BenchmarkRecording
from touched import Packets, byte_span

from clipline.contract.interval import Interval

WIDTHS = (300, 640, 1500, 3000)
SMARTCUT = Path(__file__).parents[1] / ".tools" / "smartcut" / "bin" / "smartcut"
THUMBNAIL_AT = 4
"""One picture, a quarter into the clip."""

Command = list[str]


@dataclass(frozen=True)
class Part:
    """What a clip takes of one recording."""

    recording: BenchmarkRecording
    packets: Packets
    start_s: float
    """From the recording's beginning."""
    end_s: float

    @property
    def path(self) -> str:
        return str(self.recording.path)

    @property
    def span(self) -> list[str]:
        """ffmpeg's options for an input that is this part."""
        return ["-ss", f"{self.start_s:.3f}", "-t", f"{self.end_s - self.start_s:.3f}", "-i", self.path]


@dataclass(frozen=True)
class Job:
    """A clip to make."""

    parts: Sequence[Part]
    interval: Interval

    @property
    def expected(self) -> list[int]:
        """The numbers of the pictures that it should show."""
        return [number for part in self.parts for number in part.recording.numbers_in(self.interval)]


def make_job(made: Sequence[BenchmarkRecording], packets: Sequence[Packets], interval: Interval) -> Job:
    parts = []
    for one, found in zip(made, packets, strict=True):
        part = Interval(one.start_ms, one.end_ms) & interval
        if part:
            start_s, end_s = ((at - one.start_ms) / 1000 for at in (part.start_ms, part.end_ms))
            parts.append(Part(one, found, start_s, end_s))
    return Job(parts, interval)


@dataclass(frozen=True)
class Way:
    """One way to the clip."""

    name: str
    commands: Callable[[Job, Path], list[Command]]
    """Leave ``clip.mp4``, and ``clip_{width}.png`` of each width, in the directory."""
    encodes_all: bool = False
    """Whether it takes a minute, so that it is measured at a few starts only."""
    makes_clip: bool = True


CLIPLINE = (sys.executable, "-m", "clipline", "cut")


def ours(job: Job, into: Path, base: Sequence[str] = CLIPLINE) -> list[Command]:
    """``clipline cut`` as people run it; what it prints goes nowhere."""
    return [[
        *base, "--start", str(job.interval.start_ms), "--end", str(job.interval.end_ms),
        "--output", str(into / "clip.mp4"), "--thumbnails", str(into), "--sizes", " ".join(map(str, WIDTHS)),
        *(f"{part.path}@{part.recording.start_ms}" for part in job.parts),
    ]]  # fmt: skip


def quiet_ffmpeg() -> Command:
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]


def _join(pieces: Sequence[Path], into: Path) -> list[Command]:
    """The pieces one after the other, copied, the index first."""
    listed = into / "pieces.txt"
    listed.write_text("".join(f"file '{piece.name}'\n" for piece in pieces))
    source = ["-f", "concat", "-safe", "0", "-i", str(listed)]
    return [[*quiet_ffmpeg(), *source, "-c", "copy", "-movflags", "+faststart", str(into / "clip.mp4")]]


def _pieces(job: Job, into: Path) -> list[Path]:
    return [into / f"piece{place}.mp4" for place in range(len(job.parts))]


def snapped_copy(job: Job, into: Path) -> list[Command]:
    """Input seeking and stream copy; over a border a copy of each part, then the concat demuxer."""
    if len(job.parts) == 1:
        fast = ["-c", "copy", "-movflags", "+faststart", str(into / "clip.mp4")]
        return [[*quiet_ffmpeg(), *job.parts[0].span, *fast]]
    pieces = _pieces(job, into)
    copies = [
        [*quiet_ffmpeg(), *part.span, "-c", "copy", str(piece)]
        for part, piece in zip(job.parts, pieces, strict=True)
    ]
    return [*copies, *_join(pieces, into)]


def encoded_once(job: Job, into: Path) -> list[Command]:
    """Input seeking, everything encoded anew, in one process also over a border."""
    inputs = [argument for part in job.parts for argument in part.span]
    joined = []
    if len(job.parts) > 1:
        streams = "".join(f"[{place}:v][{place}:a]" for place in range(len(job.parts)))
        joined = ["-filter_complex", f"{streams}concat=n={len(job.parts)}:v=1:a=1"]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-movflags", "+faststart", str(into / "clip.mp4")]
    return [[*quiet_ffmpeg(), *inputs, *joined, *encode]]


def smartcut(job: Job, into: Path) -> list[Command]:
    """smartcut cuts one file: over a border each part, then the concat demuxer."""
    pieces = _pieces(job, into) if len(job.parts) > 1 else [into / "clip.mp4"]
    cuts = [
        [str(SMARTCUT), part.path, str(piece), "--keep", f"{part.start_s:.3f},{part.end_s:.3f}"]
        for part, piece in zip(job.parts, pieces, strict=True)
    ]
    return cuts + (_join(pieces, into) if len(job.parts) > 1 else [])


def mission(job: Job, into: Path) -> list[Command]:
    """The first version's steps: recordings copied whole, decoded from their beginning, encoded anew."""
    commands = []
    pieces = _pieces(job, into)
    encode = ["-vf", "format=yuv420p", "-preset", "fast", "-movflags", "+faststart"]
    for part, piece in zip(job.parts, pieces, strict=True):
        whole = str(into / part.recording.path.name)
        commands.append(["cp", "--reflink=never", part.path, whole])
        times = ["-ss", f"{part.start_s:.3f}", "-to", f"{part.end_s:.3f}"]
        commands.append([*quiet_ffmpeg(), "-i", whole, *times, *encode, str(piece)])
    return [*commands, *_join(pieces, into)]


def floor(job: Job, into: Path) -> list[Command]:
    """The bytes from the first group of pictures to the last sample, read and written."""
    commands = []
    for place, part in enumerate(job.parts):
        first, stop = byte_span(part.packets, part.recording, job.interval)
        where = [f"if={part.path}", f"of={into / 'bytes'}", f"skip={first}", f"count={stop - first}"]
        flags = ["bs=1M", "iflag=skip_bytes,count_bytes", "conv=notrunc", "oflag=append"]
        commands.append(["dd", *where, *(flags if place else flags[:2])])
    return commands


def _thumbnail_at(job: Job) -> str:
    return f"{(job.interval.end_ms - job.interval.start_ms) / 1000 / THUMBNAIL_AT:.3f}"


def one_process(job: Job, into: Path) -> list[Command]:
    """One decoded picture, split and scaled, PNG level 1 as ours."""
    split = f"[0:v]split={len(WIDTHS)}" + "".join(f"[s{width}]" for width in WIDTHS)
    scales = [f"[s{width}]scale={width}:-1[v{width}]" for width in WIDTHS]
    outputs = []
    for width in WIDTHS:
        outputs += ["-map", f"[v{width}]", "-frames:v", "1", "-compression_level", "1", "-pred", "sub"]
        outputs += [str(into / f"clip_{width}.png")]
    source = ["-ss", _thumbnail_at(job), "-i", str(into / "clip.mp4")]
    return [[*quiet_ffmpeg(), *source, "-filter_complex", ";".join([split, *scales]), *outputs]]


def process_for_each(job: Job, into: Path) -> list[Command]:
    """One process takes the picture, one more makes each width, as the requirements document has it."""
    ffmpeg, picture = quiet_ffmpeg(), str(into / "picture.png")
    take = [*ffmpeg, "-ss", _thumbnail_at(job), "-i", str(into / "clip.mp4"), "-frames:v", "1", picture]
    scale = [*ffmpeg, "-i", picture, "-vf"]
    return [take, *([*scale, f"scale={width}:-1", str(into / f"clip_{width}.png")] for width in WIDTHS)]


def _both(
    clip: Callable[[Job, Path], list[Command]], thumbnails: Callable[[Job, Path], list[Command]]
) -> Callable[[Job, Path], list[Command]]:
    return lambda job, into: clip(job, into) + thumbnails(job, into)


OURS = Way("clipline cut", ours)
SNAPPED = Way("keyframe-snapped copy, ffmpeg at its best", _both(snapped_copy, one_process))
STEPS = Way("keyframe-snapped copy, step by step", _both(snapped_copy, process_for_each))
SMART = Way("smartcut", _both(smartcut, one_process))
ENCODED = Way("best-practice re-encode", _both(encoded_once, one_process), encodes_all=True)
MISSION = Way("the mission's steps", _both(mission, process_for_each), encodes_all=True)
FLOOR = Way("floor: the bytes read and written", floor, makes_clip=False)
WAYS = (OURS, SNAPPED, STEPS, SMART, ENCODED, MISSION, FLOOR)
