"""``clipline prune``: retention, once, with what goes and how much room it makes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from clipline.camera_service.catalog import Catalog
from clipline.camera_service.clip_desk import ClipDesk
from clipline.camera_service.retention import Originals, Plan, Retention
from clipline.contract.errors import CliplineError, ConfigurationError
from clipline.contract.interval import iso
from clipline.contract.text import printable
from clipline.settings import serve_settings
from clipline.wiring import application, options

_MOST_NAMED = 20


def prune(data: Path, recordings: str | None, retention: Retention, *, dry_run: bool) -> int:
    """Returns the exit code. Raises ConfigurationError where no server ever kept anything in ``data``."""
    path = data / "catalog.sqlite"
    if not path.is_file():
        raise ConfigurationError(
            f"{path} is not there", hint="name the folder of `clipline serve` with --data"
        )
    origin = recordings or str(data / "recordings")
    url = origin if "://" in origin else f"file:{Path(origin).absolute()}"
    # Where the camera API would be: nothing is called there.
    settings = serve_settings(data.absolute(), url, "http://127.0.0.1", "", {})
    failed: list[str] = []

    def on_error(what: str, error: CliplineError | OSError) -> None:
        failed.append(what)
        print(printable(f"clipline: {what}: {error}"), file=sys.stderr)

    with Catalog(path) as catalog, application(settings) as wired:
        plan = retention.plan(catalog, _now_ms())
        for line in _lines(plan):
            print(printable(line))
        print(f"{'Would delete' if dry_run else 'Deleting'} {plan}.")
        if not dry_run:
            desk = ClipDesk(
                catalog, wired.services, options(settings).names,
                longest_ms=1, thumbnail_sizes=settings.thumbnail_sizes, now_ms=_now_ms,
            )  # fmt: skip
            plan.carry_out(catalog, desk, Originals(url, wired.services.origin), on_error)
            print(f"Done{f', but for {len(failed)}' if failed else ''}.")
    return 1 if failed else 0


def _lines(plan: Plan) -> list[str]:
    clips = [
        f"clip {clip.clip_id}  {clip.status}  {_megabytes(clip.size_bytes or 0)}  "
        f"asked for {iso(clip.requested_ms)}"
        for clip in plan.clips
    ]
    recordings = [
        f"recording {one.key}  {_megabytes(one.size_bytes)}  ends {iso(one.span.end_ms)}"
        for one in plan.recordings
    ]
    return [*_some(clips, "clips"), *_some(recordings, "recordings")]


def _some(lines: list[str], what: str) -> list[str]:
    more = len(lines) - _MOST_NAMED
    return [*lines[:_MOST_NAMED], *([f"and {more} more {what}"] if more > 0 else [])]


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
