"""What happened, for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from clipline.contract.errors import CliplineError, UnreadableRequest
from clipline.contract.interval import iso
from clipline.contract.result import Status
from clipline.contract.text import printable
from clipline.entrypoints.clip_lines import media_lines, timings_line
from clipline.entrypoints.records import Handled
from clipline.entrypoints.telemetry.watcher import Watcher
from clipline.media.stopwatch import OnStage, unobserved
from clipline.pipeline.job import Outcome
from clipline.pipeline.observation import Stage
from clipline.pipeline.ports import Message

if TYPE_CHECKING:
    from clipline.entrypoints.doctor import Finding

STAGES = {
    "camera": "asking the camera API",
    "recordings": "looking for recordings",
    "index": "reading their indexes",
    "fetch": "fetching what the clip needs",
    "encode": "encoding what can't be copied",
    "write": "writing the clip",
    "verify": "verifying it",
    "thumbnails": "making thumbnails",
    "store": "storing",
    "notify": "telling everybody",
}

EXIT_AVAILABLE, EXIT_FAILED, EXIT_USAGE, EXIT_PENDING, EXIT_OTHER = range(5)
_FROM_BEST_TO_WORST = (EXIT_AVAILABLE, EXIT_PENDING, EXIT_OTHER, EXIT_FAILED)


def escape(text: str) -> str:
    """``text`` from wherever, as it may stand between the marks of rich and go to a terminal."""
    return escape_markup(printable(text))


def exit_code(results: list[Handled]) -> int:
    """0 available, 1 failed, 3 pending, 4 another final status; of several the worst (0, 3, 4, 1)."""
    return max((_exit_code(one) for one in results), key=_FROM_BEST_TO_WORST.index, default=EXIT_AVAILABLE)


def _exit_code(handled: Handled) -> int:
    status = handled.outcome.status if handled.outcome else None
    match status:
        case None | Status.FATAL_ERROR:
            return EXIT_FAILED
        case Status.AVAILABLE:
            return EXIT_AVAILABLE
        case Status.PENDING:
            return EXIT_PENDING
    return EXIT_OTHER


def as_json(handled: Handled) -> dict[str, Any]:
    """What ``--json`` prints for a record: the result metadata and what became of the message."""
    if handled.outcome is None:
        return {"messageId": handled.message_id, "error": str(handled.error)}
    outcome = handled.outcome
    document = dict(outcome.metadata) if outcome.metadata else {"reason": outcome.reason}
    more = {"repeated": outcome.repeated, "timingsInMs": dict(outcome.timings_ms)}
    return {"messageId": handled.message_id} | document | more


class Progress(Watcher):
    """Says what is being done, by the function that ``progress`` gives."""

    def __init__(self, on_stage: OnStage) -> None:
        self._on_stage = on_stage

    def stage(self, stage: Stage) -> None:
        self._on_stage(stage.name, stage.duration_ms)


class Lines(Watcher):
    """A line for each message that was worked on."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def handled(self, handled: Handled, _failed: Stage | None) -> None:
        now, outcome = f"{datetime.now():%H:%M:%S}", handled.outcome
        if outcome is None or outcome.status is None:
            what = outcome.reason if outcome else str(handled.error)
            self._console.print(f"{now}  [bold red]failed[/]  {escape(what or '')}", highlight=False)
            return
        metadata = outcome.metadata or {}
        parts = [str(metadata.get("cameraId")), str(metadata.get("clipId"))]
        if outcome.reason:
            parts.append(outcome.reason)
        if outcome.timings_ms and not outcome.repeated:
            parts.append(f"in {sum(outcome.timings_ms.values()) / 1000:.2f} s")
        told = f"[bold {_colour(outcome.status)}]{outcome.status}[/]  {escape('  '.join(parts))}"
        self._console.print(f"{now}  {told}", highlight=False, soft_wrap=True)

    def queue_failed(self, operation: str, error: CliplineError, _message: Message | None) -> None:
        told = f"the queue would not {operation}: {error}"
        self._console.print(f"{datetime.now():%H:%M:%S}  [bold red]{escape(told)}[/]", highlight=False)


@contextmanager
def progress(console: Console) -> Iterator[OnStage]:
    """A line that says what is being done; gives the function to call as stages begin and end."""
    if not console.is_terminal:
        yield unobserved
        return
    with console.status("starting") as status:

        def on_stage(name: str, duration_ms: int | None) -> None:
            if duration_ms is None:
                status.update(STAGES.get(name, name))

        yield on_stage


def print_finding(console: Console, finding: Finding) -> None:
    """What ``clipline doctor`` found."""
    mark = "[green]ok  [/]" if finding.fine else "[bold red]FIX [/]"
    console.print(f"{mark} {finding.what:16} {escape(finding.detail)}", highlight=False, soft_wrap=True)


def print_handled(console: Console, handled: Handled) -> None:
    """The outcome of one record."""
    if handled.outcome is None:
        what = "malformed" if isinstance(handled.error, UnreadableRequest) else "failed"
        console.print(
            f"[bold red]{what}[/]  message {escape(handled.message_id)}: {escape(str(handled.error))}"
        )
        if what == "failed":
            console.print("The message is not finished: the queue would deliver it again.")
        return
    print_outcome(console, handled.outcome)


def print_outcome(console: Console, outcome: Outcome) -> None:
    metadata = outcome.metadata
    if metadata is None or outcome.status is None:
        console.print(f"[bold red]dead letter[/]  {escape(outcome.reason or '')}")
        return
    console.print(
        f"[bold {_colour(outcome.status)}]{outcome.status}[/]  clip {escape(str(metadata.get('clipId')))}"
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(outcome.status, metadata, outcome):
        table.add_row(name, escape(value))
    console.print(table)


def _colour(status: Status) -> str:
    return {Status.AVAILABLE: "green", Status.PENDING: "yellow"}.get(status, "red")


def _lines(status: Status, metadata: Mapping[str, Any], outcome: Outcome) -> Iterator[tuple[str, str]]:
    start_ms, end_ms = metadata.get("startTimestampInMs"), metadata.get("endTimestampInMs")
    if isinstance(start_ms, int) and isinstance(end_ms, int):
        yield "asked", f"{iso(start_ms)} to {iso(end_ms)}"
    if outcome.reason:
        yield "reason", outcome.reason
    if status is Status.PENDING:
        yield "next", "the message is back on the queue and will be tried again"
    if outcome.repeated:
        yield "repeated", "decided at an earlier delivery: nothing was made again, everybody was told again"
    yield from media_lines(metadata)
    if "clip" in metadata:
        yield "clip", _openable(metadata["clip"]["url"])
        for size in metadata["thumbnail"]["sizes"]:
            yield f"thumbnail {size}", _openable(metadata["thumbnail"]["url"].replace("{size}", str(size)))
    if outcome.timings_ms and not outcome.repeated:
        yield "timings", timings_line(outcome.timings_ms)


def _openable(url: str) -> str:
    """A path, where the URL is one of this machine's; relative where that is shorter."""
    if not url.startswith("file:"):
        return url
    path = Path(unquote(urlsplit(url).path))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
