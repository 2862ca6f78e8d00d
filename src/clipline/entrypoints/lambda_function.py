"""AWS Lambda behind SQS, with partial batch responses (``ReportBatchItemFailures``)."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

from clipline.entrypoints.log import make_logger
from clipline.entrypoints.records import handle_records
from clipline.entrypoints.telemetry.compose import for_function
from clipline.settings import load_settings
from clipline.wiring import Application, application

if TYPE_CHECKING:
    from clipline.entrypoints.telemetry.watcher import Telemetry

_MARGIN_MS = 15_000
"""A record begun with less time left would likely be cut off in its middle."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle an SQS event; tells which of its messages SQS has to deliver again.

    Raises ConfigurationError where a setting is wrong and UnreadableRequest where ``event`` is no SQS
    event: the whole batch is delivered again then.
    """
    app, telemetry = _start()

    def time_left() -> bool:
        remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
        return remaining_ms is None or remaining_ms() > _MARGIN_MS

    failures = []
    try:
        for handled in handle_records(app.generator, event, telemetry.stage, time_left, telemetry.begun):
            telemetry.handled(handled)
            if handled.error is not None:
                failures.append({"itemIdentifier": handled.message_id})
    finally:
        telemetry.flush()
    return {"batchItemFailures": failures}


@cache
def _start() -> tuple[Application, Telemetry]:
    """Once per execution environment; its services live as long as that does."""
    settings = load_settings()
    app = ExitStack().enter_context(application(settings))
    return app, for_function(make_logger(settings.log_level))
