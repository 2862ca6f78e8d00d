"""``clipline demo``: everything on this machine, from an empty folder to a clip."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from clipline.contract.interval import Interval, iso, parse_instant
from clipline.contract.result import Status
from clipline.entrypoints.event import build_event
from clipline.entrypoints.local import SAMPLE_ALIAS, SAMPLE_CAMERA_ID, with_camera_api
from clipline.entrypoints.records import Handled
from clipline.entrypoints.report import EXIT_FAILED, escape, exit_code, print_handled, progress
from clipline.entrypoints.worker import Worker
from clipline.settings import local_settings
from clipline.wiring import application

SAMPLE_START_MS = parse_instant("2018-09-16T17:35:32.200Z")
SAMPLE_CLIP = Interval(1_537_119_363_000, 1_537_119_423_000)
"""What the mission's example of an event asks for: across the border of the first two minutes."""


def demo(data: Path, console: Console) -> int:
    """Run it; returns the exit code."""
    console.print(
        f"Clipline, on this machine alone. Everything it makes lies under [bold]{escape(str(data))}/[/].\n"
    )
    make_sample_footage(data / "recordings", console)
    event_file = data / "event.json"
    body = _write_event(event_file)
    console.print(
        f"Wrote {escape(str(event_file))}: it asks for camera {SAMPLE_CAMERA_ID}, {SAMPLE_CLIP}, "
        "across the border of two recordings."
    )
    results: list[Handled] = []
    began = time.monotonic()

    def say(text: str) -> None:
        for line in text.split("\n"):
            console.print(escape(line), highlight=False, soft_wrap=True)

    with with_camera_api(local_settings(data), say) as settings, application(settings) as app:
        say(f"Queue: {data}/queue.sqlite. Notifications: {data}/notifications.jsonl\n")
        app.services.queue.send(body)
        with progress(console) as on_stage:
            Worker(app, results.append, observe=lambda stage: on_stage(stage.name, stage.duration_ms)).run(
                threading.Event(), until_idle=True
            )
    spent_s = time.monotonic() - began
    for handled in results:
        print_handled(console, handled)
    if not results or not any(one.outcome and one.outcome.status is Status.AVAILABLE for one in results):
        return exit_code(results) or EXIT_FAILED
    say(
        f"\nFrom the queue to the notification in {spent_s:.2f} s. Play the clip: the clock and the frame\n"
        "number in its pictures show that it begins and ends exactly where it was asked to.\n"
        f"A repeat makes nothing twice: {_own_name()} invoke --data {data} {event_file}"
    )
    return exit_code(results)


def make_sample_footage(
    directory: Path,
    console: Console,
    *,
    start_ms: int = SAMPLE_START_MS,
    recordings: int = 2,
    duration_s: int = 60,
) -> list[Path]:
    """Sample recordings of the camera ``test``, one folder for it; those that are there stay."""
    return _make(directory / SAMPLE_ALIAS, console, SAMPLE_ALIAS, start_ms, recordings, duration_s)


RECENT_ALIAS = "seaside"
_RECENT_S = 20
_RECENT_BEFORE_GAP, _GAP_S = 4, 60


def make_recent_footage(directory: Path, console: Console) -> None:
    """Recordings of the camera ``seaside`` up to a minute ago, a minute missing in between; none where there
    are any."""
    folder = directory / RECENT_ALIAS
    if folder.is_dir() and any(folder.iterdir()):
        return
    whole_s = (_RECENT_BEFORE_GAP + 1) * _RECENT_S + _GAP_S
    start_ms = (int(time.time()) // 60 * 60 - whole_s) * 1000
    after_ms = start_ms + (_RECENT_BEFORE_GAP * _RECENT_S + _GAP_S) * 1000
    _make(folder, console, RECENT_ALIAS, start_ms, _RECENT_BEFORE_GAP, _RECENT_S)
    _make(folder, console, RECENT_ALIAS, after_ms, 1, _RECENT_S)


def _make(
    folder: Path, console: Console, camera: str, start_ms: int, recordings: int, duration_s: int
) -> list[Path]:
    from clipline.media.footage import Footage, make_sample

    folder.mkdir(parents=True, exist_ok=True)
    before = {path.name for path in folder.iterdir()}
    began = time.monotonic()
    making = "Making sample footage"
    if not console.is_terminal:
        console.print(f"{making} ...")
    columns = (
        TextColumn(making),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        files = make_sample(
            folder,
            camera=camera,
            start_ms=start_ms,
            recordings=recordings,
            footage=Footage(duration_s=duration_s),
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    made = [path for path in files if path.name not in before]
    verb = "Found sample footage"
    if made:
        many = f"{len(made)} recordings" if len(made) > 1 else "1 recording"
        verb = f"Made {many} of {duration_s} s in {time.monotonic() - began:.0f} s"
    text = f"{verb} from {iso(start_ms)} on, in {folder}/"
    console.print(escape(text), highlight=False, soft_wrap=True)
    return files


def _own_name() -> str:
    """What to type for this program where it isn't on the path."""
    if shutil.which("clipline"):
        return "clipline"
    path = Path(sys.argv[0]).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _write_event(path: Path) -> str:
    """A new request each time, or it would be a repeat; returns the message's body."""
    now_ms = time.time_ns() // 1_000_000
    event: dict[str, Any] = build_event(
        "available",
        camera_id=SAMPLE_CAMERA_ID,
        clip_id=str(now_ms),
        interval_ms=(SAMPLE_CLIP.start_ms, SAMPLE_CLIP.end_ms),
        now_ms=now_ms,
    )
    path.write_text(json.dumps(event, indent=2) + "\n")
    return str(event["Records"][0]["body"])
