"""The commands ``clipline serve`` and ``clipline prune``, and what they say at a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from clipline.contract.errors import ConfigurationError
from clipline.entrypoints.options import Command, File, console_of, overrides_of

if TYPE_CHECKING:
    from rich.console import Console

    from clipline.camera_service.retention import Retention
    from clipline.entrypoints.serve import ServeOptions, Server
    from clipline.entrypoints.telemetry.watcher import Watcher

DEFAULT_PORT = 8480

_STARTED_BEFORE_S = 10.0


def default_data() -> Path:
    """Where a user's programs keep what they are to keep (XDG base directories)."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "clipline"


def _retention_options(command: Command) -> Command:
    for name, metavar, text in (
        ("--recording-space", "SIZE", "Delete the oldest RECORDINGS beyond so much, as in 2TB."),
        ("--keep-recordings", "AGE", "Delete RECORDINGS that are older."),
        ("--clip-space", "SIZE", "Delete the oldest clips beyond so much, as in 50GB."),
        ("--keep-clips", "AGE", "Delete clips that are older, as in 12h, 30d or 8w."),
    ):
        command = click.option(name, metavar=metavar, help=text)(command)
    return command


_data_option = click.option(
    "--data", type=File, metavar="DIR", help="Catalog, queue, clips.  [default: ~/.local/share/clipline]"
)


@click.command(short_help="A page to cut clips on, for a folder of recordings.")
@click.option("--recordings", metavar="DIR", help="Where recordings are: a folder, or s3://BUCKET/FOLDER.")
@click.option("--sample", is_flag=True, help="Without recordings of your own: make some, in DATA/recordings.")
@_data_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=DEFAULT_PORT, show_default=True, metavar="P",
    help="0 takes a free one.",
)  # fmt: skip
@click.option(
    "--timezone", metavar="ZONE", default="UTC", show_default=True,
    help="Of the times in names, as in Europe/Berlin or local; our own names and Frigate's are in UTC.",
)  # fmt: skip
@click.option(
    "--pattern", multiple=True, metavar="PATTERN",
    help="How your recorder names its files, as in '{camera}/%Y-%m-%d/%H-%M-%S'.",
)  # fmt: skip
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A name that this machine is reached by, as of a proxy.",
)
@_retention_options
@click.option("--set", "setting", multiple=True, metavar="NAME=VALUE", help="A setting; see the README.")
def serve(
    recordings: str | None,
    sample: bool,
    data: Path | None,
    host: str,
    port: int,
    timezone: str,
    pattern: tuple[str, ...],
    allow_host: tuple[str, ...],
    setting: tuple[str, ...],
    **retention: str | None,
) -> None:
    """Serve a page on which clips are requested, watched and kept, with everything behind it: camera API,
    queue and workers.

    Recordings lie in one folder for each camera, or flat with the camera's name in front, or as Frigate,
    MediaMTX, Reolink, Hikvision or Blue Iris put them. They are only read, unless you say otherwise.
    """
    from clipline.entrypoints.demo import make_recent_footage
    from clipline.entrypoints.serve import ServeOptions
    from clipline.entrypoints.worker import stop_on_signals

    data = data or default_data()
    console = console_of()
    if recordings is None:
        if not sample:
            raise click.UsageError("--recordings: say where they are, or add --sample")
        recordings = str(data / "recordings")
    given = ServeOptions(
        recordings, data, host, port, _zone(timezone), pattern, allow_host, _retention(retention),
        overrides_of(setting),
    )  # fmt: skip
    with stop_on_signals() as stop:
        if sample:
            make_recent_footage(Path(recordings), console)
        _run(given, console, stop)


@click.command(short_help="Delete what is no longer to be kept.")
@_data_option
@click.option("--recordings", metavar="DIR", help="Where they are, if any of them are to go.")
@_retention_options
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
def prune(data: Path | None, recordings: str | None, dry_run: bool, **retention: str | None) -> None:
    """Delete clips, and recordings if you say so, that are too old or too many; `serve` with the same options
    does so every hour.

    Works beside a running server.
    """
    from clipline.entrypoints.prune import prune as run

    kept = _retention(retention)
    if not kept:
        raise click.UsageError("nothing says what to delete: name one of --keep-... and --...-space")
    if (kept.recordings_ms is not None or kept.recordings_bytes is not None) and recordings is None:
        raise click.UsageError("--recordings: say where they are")
    sys.exit(run(data or default_data(), recordings, kept, dry_run=dry_run))


def _run(given: ServeOptions, console: Console, stop: threading.Event) -> None:
    from clipline import __version__
    from clipline.entrypoints.serve import server

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(text: str) -> None:
        print(f"clipline: {text}", file=sys.stderr, flush=True)

    with server(given, _watcher(console), say, warn) as running:
        say(f"Clipline {__version__} on {running.link}")
        say(f"Recordings: {given.recordings}. Clips, catalog and queue: {given.data}")
        _say_what_was_found(running, console, say, stop)
        say("Open the page in a browser; Ctrl+C stops.")
        running.worker.run(stop)
        say("Stopped: nothing is lost, what waits is made after the next start.")


def _say_what_was_found(
    running: Server, console: Console, say: Callable[[str], None], stop: threading.Event
) -> None:
    """After a while, where there is much to look through: the rest goes on behind the page."""
    watching, end_s = running.watching, time.monotonic() + _STARTED_BEFORE_S
    with console.status("Looking for recordings ...") as status:
        while time.monotonic() < end_s and not watching.looked.wait(0.1):
            status.update(f"Looking for recordings: {watching.looked_at:,} files")
            if stop.is_set() or watching.problem:
                return
    found = str(running.discovery.found())
    say(found if watching.looked.is_set() else f"{found} so far; looking goes on.")


def _watcher(console: Console) -> Watcher:
    """A line for each clip at a terminal, structured logs elsewhere."""
    if not console.is_terminal:
        from clipline.entrypoints.log import Logs, log_libraries, make_logger

        logger = make_logger("info")
        log_libraries(logger)
        return Logs(logger)
    from clipline.entrypoints.report import Lines

    return Lines(console)


def _zone(text: str) -> ZoneInfo:
    if text == "local":
        text = _local_zone()
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ConfigurationError(
            f"--timezone is {text!r}", hint="expected a name as in Europe/Berlin, America/New_York or UTC"
        ) from None


def _local_zone() -> str:
    """The name of this machine's time zone."""
    if name := os.environ.get("TZ", "").lstrip(":"):
        return name
    _, found, name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")
    if not found:  # an abbreviation such as EST would be without summer time
        raise ConfigurationError(
            "--timezone local: /etc/localtime does not tell which zone it is",
            hint="name it, as in Europe/Berlin",
        )
    return name


def _retention(texts: Mapping[str, str | None]) -> Retention:
    from clipline.camera_service.retention import Retention, parse_age, parse_space

    def parsed(option: str, parse: Callable[[str], int]) -> int | None:
        text = texts.get(option)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise ConfigurationError(f"--{option.replace('_', '-')}: {error}") from None

    return Retention(
        parsed("keep_clips", parse_age), parsed("clip_space", parse_space),
        parsed("keep_recordings", parse_age), parsed("recording_space", parse_space),
    )  # fmt: skip
