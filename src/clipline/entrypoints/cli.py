"""The command line. Exit codes: 0 available, 1 failed, 2 wrong usage or setting, 3 pending, 4 any other
final status; of several records, the worst.

What a command needs is imported when it runs: ``clipline cut`` waits for no AWS library.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from clipline import __version__
from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import CliplineError, ConfigurationError, UnreadableRequest

if TYPE_CHECKING:
    from rich.console import Console

    from clipline.settings import Settings

app = typer.Typer(
    help="Cut exact clips out of the archives of continuous cameras.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EnvFile = Annotated[
    Path, typer.Option("--env-file", metavar="FILE", help="Settings; the environment goes before it.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="No settings: everything on this machine, in DIR, as `demo` does."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting that goes before all others."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"clipline {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With an error, show where it arose.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    context.obj = verbose


@app.command()
def cut(
    recordings: Annotated[
        list[str],
        typer.Argument(metavar="RECORDING...", help="FILE, whose name tells when it starts, or FILE@TIME."),
    ],
    start: Annotated[
        str,
        typer.Option(metavar="T", help="First instant: ISO 8601 in UTC, or milliseconds since the epoch."),
    ],
    end: Annotated[str, typer.Option(metavar="T", help="The instant before which the clip ends.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The clip, an MP4 file.")],
    thumbnails: Annotated[Path | None, typer.Option(metavar="DIR", help="Make thumbnails there.")] = None,
    sizes: Annotated[
        str, typer.Option(metavar="WIDTHS", help="Of thumbnails, pixels.")
    ] = "300 640 1500 3000",
    thumbnail_format: Annotated[str, typer.Option(metavar="FORMAT", help="png, jpg or webp.")] = "png",
    gap_policy: Annotated[GapPolicy, typer.Option(help="What becomes of gaps.")] = GapPolicy.FAIL,
    gap_tolerance_ms: Annotated[
        int, typer.Option(metavar="MS", min=0, help="Holes up to this count as covered.")
    ] = 1000,
    timestamp_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="Of the time in file names.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE where it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Cut a clip out of recordings in files, with exactly the frames from --start up to --end."""
    from clipline.contract.recording import NameFormat
    from clipline.entrypoints.cut import CutOptions, parse_times
    from clipline.entrypoints.cut import cut as make_clip

    options = CutOptions(
        parse_times(start, end),
        output,
        recordings,
        thumbnails,
        _widths(sizes),
        _one_of_formats(thumbnail_format),
        gap_policy,
        gap_tolerance_ms,
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
        _print_cut(document)
    else:
        _fail(document["reason"], 4)
    raise typer.Exit(0 if document["status"] == "CLIP_AVAILABLE" else 4)


def _print_cut(document: dict[str, Any]) -> None:
    from clipline.entrypoints.report import media_lines, timings_line

    print(document["clip"]["key"])
    for name, value in media_lines(document):
        print(f"  {name:12}{value}")
    for size in document["thumbnail"]["sizes"]:
        print(f"  {'thumbnail':12}{document['thumbnail']['key'].replace('{size}', str(size))}")
    print(f"  {'timings':12}{timings_line(document['timingsInMs'])}")


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


def _one_of_formats(text: str) -> str:
    if text not in ("png", "jpg", "webp"):
        raise ConfigurationError(f"--thumbnail-format is {text!r}, expected png, jpg or webp")
    return text


@app.command()
def invoke(
    event_file: Annotated[
        Path, typer.Argument(metavar="EVENT.JSON", help="An SQS event; - is standard input.")
    ],
    env_file: EnvFile = Path(".env"),
    data: Data = None,
    setting: Setting = None,
    as_json: AsJson = False,
) -> None:
    """Handle an event as the Lambda function would."""
    from clipline.entrypoints.local import with_camera_api
    from clipline.entrypoints.records import handle_records
    from clipline.entrypoints.report import as_json as to_json
    from clipline.entrypoints.report import exit_code, print_handled, progress
    from clipline.wiring import application

    event = _read_event(event_file)
    console = _console(stderr=as_json)
    results = []
    with with_camera_api(_settings(env_file, data, setting)) as settings, application(settings) as wired:
        with progress(console) as on_stage:
            for handled in handle_records(wired.generator, event, on_stage):
                results.append(handled)
                if not as_json:
                    print_handled(console, handled)
    if as_json:
        print(json.dumps([to_json(handled) for handled in results], indent=2))
    raise typer.Exit(exit_code(results))


def _read_event(path: Path) -> Any:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        return json.loads(text)
    except OSError as error:
        hint = "make one with `clipline event`" if not path.exists() else None
        raise ConfigurationError(f"{path}: {error.strerror}", hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableRequest(f"{path} is not JSON: {error}") from None


@app.command()
def worker(
    env_file: EnvFile = Path(".env"),
    data: Data = None,
    setting: Setting = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop when the queue has nothing to give.")
    ] = False,
    visibility: Annotated[
        int,
        typer.Option(
            metavar="S", min=3, max=43_200, help="Seconds that a message stays hidden when its worker dies."
        ),
    ] = 120,
) -> None:
    """Take requests from the queue and handle them, until SIGTERM; logs are JSON lines."""
    from clipline.entrypoints.local import with_camera_api
    from clipline.entrypoints.log import log_handled, make_logger
    from clipline.entrypoints.worker import Worker, stop_on_signals
    from clipline.wiring import application

    given = _settings(env_file, data, setting)
    logger = make_logger(given.log_level)
    with (
        stop_on_signals() as stop,
        with_camera_api(given, logger.info) as settings,
        application(settings) as wired,
    ):
        logger.info(
            "worker started",
            extra={"concurrency": settings.worker_concurrency, "queue": settings.aws_sqs_queue_url},
        )
        Worker(wired, lambda handled: log_handled(logger, handled), visibility_s=visibility).run(
            stop, until_idle=until_idle
        )
        logger.info("worker stopped")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def event(context: typer.Context) -> None:
    """Write an event to test with; `clipline event --help` tells of what kinds."""
    from clipline.entrypoints.event import main as write_event

    raise typer.Exit(write_event(context.args))


@app.command()
def sample(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of recordings, one folder for each camera.")
    ],
    start: Annotated[
        str, typer.Option(metavar="T", help="When the first recording starts.")
    ] = "2018-09-16T17:35:32.200Z",
    recordings: Annotated[int, typer.Option(min=1, max=1000, help="How many, one after the other.")] = 2,
    duration: Annotated[int, typer.Option(metavar="S", min=1, max=3600, help="Seconds of each.")] = 60,
) -> None:
    """Make sample footage: a seaside scene with clock and frame number in each picture."""
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
        console.print(str(path), highlight=False, markup=False)


@app.command()
def doctor(
    env_file: EnvFile = Path(".env"), data: Data = None, setting: Setting = None, as_json: AsJson = False
) -> None:
    """Check settings, credentials, reachability and codecs, and say what to fix."""
    from dataclasses import asdict

    from clipline.entrypoints.doctor import examine

    findings = []
    for finding in examine(lambda: _settings(env_file, data, setting)):
        findings.append(finding)
        if not as_json:
            mark = "[green]ok  [/]" if finding.fine else "[bold red]FIX [/]"
            from rich.markup import escape

            _console().print(
                f"{mark} {finding.what:16} {escape(finding.detail)}", highlight=False, soft_wrap=True
            )
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    raise typer.Exit(0 if all(finding.fine for finding in findings) else 1)


@app.command()
def demo(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Everything it makes lies there.")] = Path("data"),
) -> None:
    """Make sample footage and cut a clip out of it, through a real queue and camera API, on this machine."""
    from clipline.entrypoints.demo import demo as run

    raise typer.Exit(run(data, _console()))


def _settings(env_file: Path, data: Path | None, setting: list[str] | None) -> Settings:
    from clipline.settings import load_settings, local_settings

    overrides = {}
    for text in setting or []:
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


def _fail(message: str, code: int) -> NoReturn:
    print(f"clipline: {message}", file=sys.stderr)
    raise SystemExit(code)


def main() -> None:
    """Run the command line of this process. An error is one line on standard error."""
    verbose = "--verbose" in sys.argv or "-v" in sys.argv
    try:
        app()
    except (CliplineError, OSError) as error:
        if verbose:
            traceback.print_exc()
        _fail(str(error), 2 if isinstance(error, ConfigurationError) else 1)
