"""AWS Lambda behind SQS, with partial batch responses (``ReportBatchItemFailures``)."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from clipline.entrypoints.log import make_logger
from clipline.entrypoints.records import handle_records
from clipline.entrypoints.telemetry.compose import for_function
from clipline.settings import load_settings
from clipline.wiring import Application, application

_BURY_S, _MOST_ROUNDS = 30, 20
"""A round over the dead letters is begun with so much time left, and no more than so many are."""

if TYPE_CHECKING:
    from clipline.entrypoints.telemetry.watcher import Telemetry


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle an SQS event; tells which of its messages SQS has to deliver again.

    Raises ConfigurationError where a setting is wrong and UnreadableRequest where ``event`` is no SQS
    event: the whole batch is delivered again then.
    """
    app, telemetry = _start()
    failures = []
    left = partial(_seconds_left, context)
    try:
        for handled in handle_records(app.generator, event, telemetry.stage, left, telemetry.begun):
            telemetry.handled(handled)
            if handled.error is not None:
                failures.append({"itemIdentifier": handled.message_id})
    finally:
        telemetry.flush()
    return {"batchItemFailures": failures}


def bury(_event: object, context: Any) -> dict[str, int]:
    """A second handler, for a schedule of every few minutes: tells of messages whose function died without a
    word (out of memory, out of time), which SQS has moved to the dead-letter queue; returns how many."""
    app, _ = _start()
    letters = 0
    for _ in range(_MOST_ROUNDS):
        left_s = _seconds_left(context)
        if left_s is not None and left_s < _BURY_S:
            break
        found = app.generator.bury(app.dead_letters)
        letters += found
        if not found:
            break
    make_logger(app.settings.log_level).info("buried", extra={"letters": letters})
    return {"letters": letters}


def _seconds_left(context: Any) -> float | None:
    remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
    return None if remaining_ms is None else remaining_ms() / 1000


@cache
def _start() -> tuple[Application, Telemetry]:
    """Once per execution environment; its services live as long as that does."""
    settings = load_settings()
    app = ExitStack().enter_context(application(settings))
    return app, for_function(make_logger(settings.log_level))
