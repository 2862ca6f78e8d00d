"""AWS Lambda behind SQS, with partial batch responses (``ReportBatchItemFailures``)."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

from clipline.entrypoints.log import log_handled, make_logger
from clipline.entrypoints.records import handle_records
from clipline.settings import load_settings
from clipline.wiring import Application, application

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

_MARGIN_MS = 15_000
"""A record begun with less time left would likely be cut off in its middle."""


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle an SQS event; tells which of its messages SQS has to deliver again.

    Raises ConfigurationError where a setting is wrong and UnreadableRequest where ``event`` is no SQS
    event: the whole batch is delivered again then.
    """
    app, logger = _start()

    def time_left() -> bool:
        remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
        return remaining_ms is None or remaining_ms() > _MARGIN_MS

    failures = []
    for handled in handle_records(app.generator, event, time_left=time_left):
        log_handled(logger, handled)
        if handled.error is not None:
            failures.append({"itemIdentifier": handled.message_id})
    return {"batchItemFailures": failures}


@cache
def _start() -> tuple[Application, Logger]:
    """Once per execution environment; its services live as long as that does."""
    settings = load_settings()
    logger = make_logger(settings.log_level)
    return ExitStack().enter_context(application(settings)), logger
