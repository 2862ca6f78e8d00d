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
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from clipline import __version__
from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import CliplineError, ConfigurationError, UnreadableRequest
from clipline.contract.modes import CutMode, HevcMode
from clipline.contract.text import printable
from clipline.entrypoints.clip_lines import print_cut

if TYPE_CHECKING:
    from rich.console import Console

    from clipline.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])
_File = click.Path(path_type=Path)


def _as_json(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(command)


def _settings_options(command: _Command) -> _Command:
    """The three ways to say where settings come from."""
    for add in (
        click.option(
            "--set",
            "setting",
            multiple=True,
            metavar="NAME=VALUE",
            help="A setting that goes before all others.",
        ),
        click.option(
            "--data",
            type=_File,
            metavar="DIR",
            help="No settings: everything on this machine, in DIR, as `demo` does.",
        ),
        click.option(
            "--env-file",
            type=_File,
            default=Path(".env"),
            metavar="FILE",
            help="Settings; the environment goes before it.  [default: .env]",
        ),
    ):
        command = add(command)
    return command


def _choice(name: str, default: StrEnum, text: str) -> Callable[[_Command], _Command]:
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
@click.option("-o", "--output", required=True, type=_File, metavar="FILE", help="The clip, an MP4 file.")
@click.option("--thumbnails", type=_File, metavar="DIR", help="Make thumbnails there.")
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
@_as_json
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

        with progress(_console(stderr=True)) as on_stage:
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
@click.argument("event_file", type=_File, metavar="EVENT.JSON")
@_settings_options
@_as_json
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
    console = _console(stderr=as_json)
    results = []
    with with_camera_api(_settings(env_file, data, setting)) as settings, application(settings) as wired:
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
@_settings_options
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

    run_worker(_settings(env_file, data, setting), visibility_s=visibility, until_idle=until_idle)


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
@click.argument("directory", type=_File, metavar="DIR")
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
    console = _console()
    for path in make_sample_footage(
        directory, console, start_ms=start_ms, recordings=recordings, duration_s=duration
    ):
        console.print(printable(str(path)), highlight=False, markup=False)


@app.command(short_help="Check everything, and say what to fix.")
@_settings_options
@_as_json
def doctor(env_file: Path, data: Path | None, setting: tuple[str, ...], as_json: bool) -> None:
    """Check settings, credentials, reachability and codecs, and say what to fix."""
    from dataclasses import asdict

    from clipline.entrypoints.doctor import examine
    from clipline.entrypoints.report import print_finding

    findings = []
    for finding in examine(lambda: _settings(env_file, data, setting)):
        findings.append(finding)
        if not as_json:
            print_finding(_console(), finding)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    sys.exit(0 if all(finding.fine for finding in findings) else 1)


@app.command(short_help="See it work, on this machine alone.")
@click.option(
    "--data",
    type=_File,
    default=Path("data"),
    metavar="DIR",
    help="Everything it makes lies there.  [default: data]",
)
def demo(data: Path) -> None:
    """Make sample footage and cut a clip out of it, through a real queue and camera API, on this machine."""
    from clipline.entrypoints.demo import demo as run

    sys.exit(run(data, _console()))


def _settings(env_file: Path, data: Path | None, setting: tuple[str, ...]) -> Settings:
    from clipline.settings import load_settings, local_settings

    overrides = {}
    for text in setting:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {text}: expected NAME=VALUE")
        overrides[name] = value
    if data is not None:
        return local_settings(data, overrides)
    if str(env_file) != ".env" and not env_file.is_file():
        raise ConfigurationError(f"--env-file: there is no file {env_file}")
    return load_settings(env_file, overrides)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


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
