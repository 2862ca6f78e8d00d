"""The command line. Exit codes: 0 available, 1 failed, 2 wrong usage or setting, 3 pending, 4 any other
final status; of several records, the worst.

What a command needs is imported when it runs: ``clipline cut`` waits for no AWS library.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import click

from clipline import __version__
from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import CliplineError, ConfigurationError, UnreadableRequest
from clipline.contract.modes import CutMode, HevcMode
from clipline.contract.text import printable
from clipline.entrypoints.clip_lines import print_cut
from clipline.entrypoints.options import Command, File, console_of, settings_of, settings_options
from clipline.entrypoints.options import as_json as with_json
from clipline.entrypoints.serve_command import prune, serve


def _choice(name: str, default: StrEnum, text: str) -> Callable[[Command], Command]:
    """An option that takes one of the words of the enum that ``default`` belongs to."""
    choice = click.Choice([str(one) for one in type(default)])
    return click.option(name, type=choice, default=str(default), show_default=True, help=text)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-v", "--verbose", is_flag=True, help="With an error, show where it arose.")
@click.version_option(__version__, message="clipline %(version)s")
@click.pass_context
def app(context: click.Context, verbose: bool) -> None:
    """Cut exact clips out of the archives of continuous cameras."""
    context.obj = verbose


@app.command(short_help="Cut a clip out of files.")
@click.argument("recordings", nargs=-1, required=True, metavar="RECORDING...")
@click.option("--start", required=True, metavar="T", help="First instant: ISO 8601 in UTC, or milliseconds.")
@click.option("--end", required=True, metavar="T", help="The instant before which the clip ends.")
@click.option("-o", "--output", required=True, type=File, metavar="FILE", help="The clip, an MP4 file.")
@click.option("--thumbnails", type=File, metavar="DIR", help="Make thumbnails there.")
@click.option(
    "--sizes", default="300 640 1500 3000", show_default=True, metavar="WIDTHS", help="Their widths, pixels."
)
@click.option(
    "--thumbnail-format", type=click.Choice(["png", "jpg", "webp"]), default="png", show_default=True
)
@_choice("--gap-policy", GapPolicy.FAIL, "What becomes of gaps.")
@click.option(
    "--gap-tolerance-ms",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    metavar="MS",
    help="Holes up to this count as covered.",
)
@_choice(
    "--mode",
    CutMode.EXACT,
    "exact: copy, and encode what can't be copied. encode: encode all. keyframe: copy from the keyframe "
    "before --start on. editlist: the same, what comes before --start hidden by an edit list.",
)
@_choice("--hevc-mode", HevcMode.H264, "HEVC recordings: encode to h264, splice (copy), or encode to hevc.")
@click.option("--timestamp-format", metavar="FORMAT", help="Of times in file names, in strptime's notation.")
@click.option("--overwrite", is_flag=True, help="Replace FILE where it exists.")
@with_json
def cut(
    recordings: tuple[str, ...],
    start: str,
    end: str,
    output: Path,
    thumbnails: Path | None,
    sizes: str,
    thumbnail_format: str,
    gap_policy: str,
    gap_tolerance_ms: int,
    mode: str,
    hevc_mode: str,
    timestamp_format: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Cut a clip out of recordings: exactly the frames from --start up to --end.

    RECORDING is a FILE whose name tells when it starts, or FILE@TIME.
    """
    from clipline.contract.recording import NameFormat
    from clipline.entrypoints.cut import CutOptions, parse_times
    from clipline.entrypoints.cut import cut as make_clip

    options = CutOptions(
        parse_times(start, end),
        output,
        recordings,
        thumbnails,
        _widths(sizes),
        thumbnail_format,
        GapPolicy(gap_policy),
        gap_tolerance_ms,
        CutMode(mode),
        HevcMode(hevc_mode),
        NameFormat(timestamp_format) if timestamp_format else NameFormat(),
        overwrite,
    )
    if as_json or not sys.stderr.isatty():
        document = make_clip(options)
    else:
        from clipline.entrypoints.report import progress

        with progress(console_of(stderr=True)) as on_stage:
            document = make_clip(options, on_stage)
    if as_json:
        print(json.dumps(document, indent=2))
    elif document["status"] == "CLIP_AVAILABLE":
        print_cut(document)
    else:
        _fail(document["reason"], 4)
    sys.exit(0 if document["status"] == "CLIP_AVAILABLE" else 4)


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(int(width) for width in text.replace(",", " ").split())
    except ValueError:
        widths = ()
    if not widths or not all(1 <= width <= 8192 for width in widths):
        raise ConfigurationError(
            f"--sizes is {text!r}, expected widths from 1 to 8192 pixels, as in '300 640'"
        )
    return widths


@app.command(short_help="Handle an event, as the function would.")
@click.argument("event_file", type=File, metavar="EVENT.JSON")
@settings_options
@with_json
def invoke(
    event_file: Path, env_file: Path, data: Path | None, setting: tuple[str, ...], as_json: bool
) -> None:
    """Handle an SQS event as the Lambda function would; - is standard input."""
    from clipline.entrypoints.local import with_camera_api
    from clipline.entrypoints.records import handle_records
    from clipline.entrypoints.report import Progress, exit_code, print_handled, progress
    from clipline.entrypoints.report import as_json as to_json
    from clipline.entrypoints.telemetry.compose import for_terminal
    from clipline.wiring import application

    event = _read_event(event_file)
    console = console_of(stderr=as_json)
    results = []
    with with_camera_api(settings_of(env_file, data, setting)) as settings, application(settings) as wired:
        with progress(console) as on_stage:
            telemetry = for_terminal(Progress(on_stage), _say_telemetry_failed)
            for handled in handle_records(wired.generator, event, telemetry.stage, begun=telemetry.begun):
                telemetry.handled(handled)
                results.append(handled)
                if not as_json:
                    print_handled(console, handled)
    if as_json:
        print(json.dumps([to_json(handled) for handled in results], indent=2))
    elif not results:
        print("The event has no records: there was nothing to do.")
    sys.exit(exit_code(results))


def _read_event(path: Path) -> Any:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        return json.loads(text)
    except OSError as error:
        hint = "make one with `clipline event`" if not path.exists() else None
        raise ConfigurationError(f"{path}: {error.strerror}", hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableRequest(f"{path} is not JSON: {error}") from None


@app.command(short_help="Take requests from the queue.")
@settings_options
@click.option("--until-idle", is_flag=True, help="Stop when the queue has nothing to give.")
@click.option(
    "--visibility",
    type=click.IntRange(3, 43_200),
    default=120,
    show_default=True,
    metavar="S",
    help="Seconds that a message stays hidden when its worker dies.",
)
def worker(
    env_file: Path, data: Path | None, setting: tuple[str, ...], until_idle: bool, visibility: int
) -> None:
    """Take requests from the queue and handle them, until SIGTERM; logs are JSON lines."""
    from clipline.entrypoints.worker_process import run_worker

    run_worker(settings_of(env_file, data, setting), visibility_s=visibility, until_idle=until_idle)


@app.command(short_help="List dead letters, or return them to the queue.")
@click.argument("letters", nargs=-1, metavar="[LETTER]...")
@settings_options
@click.option("--all", "everything", is_flag=True, help="Return all of them.")
@click.option("--remove", is_flag=True, help="Remove them instead of returning them.")
@with_json
def redrive(
    letters: tuple[str, ...],
    env_file: Path,
    data: Path | None,
    setting: tuple[str, ...],
    everything: bool,
    remove: bool,
    as_json: bool,
) -> None:
    """List the messages that were given up, each with its reason; or return to the queue those named by
    LETTER.

    A message that is returned counts as the next attempt of the same request.
    """
    from contextlib import ExitStack

    from clipline.entrypoints.redrive import redrive as run
    from clipline.wiring import queue_of

    if remove and not (letters or everything):
        raise ConfigurationError("--remove: name the letters to remove, or add --all")
    with ExitStack() as stack:
        _, dead_letters = queue_of(settings_of(env_file, data, setting), stack)
        run(dead_letters, letters, everything=everything, remove=remove, as_json=as_json)


@app.command(
    short_help="Write an event to test with.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def event(arguments: tuple[str, ...]) -> None:
    """Write an event to test with; `clipline event --help` tells of what kinds."""
    from clipline.entrypoints.event import main as write_event

    sys.exit(write_event(arguments))


@app.command(short_help="Make sample footage.")
@click.argument("directory", type=File, metavar="DIR")
@click.option(
    "--start",
    default="2018-09-16T17:35:32.200Z",
    show_default=True,
    metavar="T",
    help="When the first recording starts.",
)
@click.option(
    "--recordings",
    type=click.IntRange(1, 1000),
    default=2,
    show_default=True,
    metavar="N",
    help="How many, one after the other.",
)
@click.option(
    "--duration",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    metavar="S",
    help="Seconds of each.",
)
def sample(directory: Path, start: str, recordings: int, duration: int) -> None:
    """Make sample footage: a seaside scene with clock and frame number in each picture.

    DIR is a folder of recordings, one folder for each camera.
    """
    from clipline.contract.interval import parse_instant
    from clipline.entrypoints.demo import make_sample_footage

    try:
        start_ms = parse_instant(start)
    except ValueError as error:
        raise ConfigurationError(f"--start: {error}") from None
    console = console_of()
    for path in make_sample_footage(
        directory, console, start_ms=start_ms, recordings=recordings, duration_s=duration
    ):
        console.print(printable(str(path)), highlight=False, markup=False)


@app.command(short_help="Check everything, and say what to fix.")
@settings_options
@with_json
def doctor(env_file: Path, data: Path | None, setting: tuple[str, ...], as_json: bool) -> None:
    """Check settings, credentials, reachability and codecs, and say what to fix."""
    from dataclasses import asdict

    from clipline.entrypoints.doctor import examine
    from clipline.entrypoints.report import print_finding

    findings = []
    for finding in examine(lambda: settings_of(env_file, data, setting), data):
        findings.append(finding)
        if not as_json:
            print_finding(console_of(), finding)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    sys.exit(0 if all(finding.fine for finding in findings) else 1)


@app.command(short_help="See it work, on this machine alone.")
@click.option(
    "--data",
    type=File,
    default=Path("data"),
    metavar="DIR",
    help="Everything it makes lies there.  [default: data]",
)
def demo(data: Path) -> None:
    """Make sample footage and cut a clip out of it, through a real queue and camera API, on this machine."""
    from clipline.entrypoints.demo import demo as run

    sys.exit(run(data, console_of()))


app.add_command(serve)
app.add_command(prune)


def _say_telemetry_failed(watcher: str, error: Exception) -> None:
    print(printable(f"clipline: {watcher} failed, clips go on: {error}"), file=sys.stderr)


def _fail(message: str, code: int) -> NoReturn:
    print(printable(f"clipline: {message}"), file=sys.stderr)
    raise SystemExit(code)


def main() -> None:
    """Run the command line of this process. An error is one line on standard error."""
    verbose = "--verbose" in sys.argv or "-v" in sys.argv
    try:
        sys.exit(app(prog_name="clipline", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(2)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "clipline"
        _fail(f"{error.format_message().rstrip('.')} (`{command} --help` tells what it takes)", 2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except (CliplineError, OSError) as error:
        if verbose:
            for line in traceback.format_exc().splitlines():
                print(printable(line), file=sys.stderr)
        text = str(error)
        if isinstance(error, OSError) and error.filename:
            text = f"{error.filename}: {error.strerror}"
        _fail(text, 2 if isinstance(error, ConfigurationError) else 1)
