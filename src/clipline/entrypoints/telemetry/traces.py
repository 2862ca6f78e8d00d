"""Traces through OpenTelemetry; who exports them is for its SDK to say, and without one nothing happens.

A span ``clipline.handle`` for each delivery of a message, with a child ``clipline.{stage}`` for each stage.
Imported only where OpenTelemetry's API is installed.
"""

from __future__ import annotations

import threading
import time
from contextvars import Token
from dataclasses import dataclass

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clipline import __version__
from clipline.contract.text import shorten
from clipline.entrypoints.records import Handled, read_job
from clipline.entrypoints.telemetry.watcher import Watcher
from clipline.pipeline.observation import Stage
from clipline.pipeline.ports import Message

_CARRIED = ("traceparent", "tracestate")
"""Message attributes that name the trace a message belongs to (W3C Trace Context). Baggage is not taken from
whoever may send a message."""

_LONGEST_VALUE = 500


@dataclass
class _Open:
    """The spans of the message that a thread works on."""

    message: trace.Span
    token: Token[context.Context]
    stage: trace.Span | None = None


class Traces(Watcher):
    """While a message is worked on its span is the thread's current one, so that what is made by other
    instrumentation (of botocore, of urllib3) belongs to it."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("clipline", __version__)
        self._here = threading.local()

    def begun(self, message: Message) -> None:
        carrier = {name: value for name in _CARRIED if (value := message.attributes.get(name))}
        parent = TraceContextTextMapPropagator().extract(carrier) if carrier else None
        attributes: dict[str, str | int] = {
            "messaging.message.id": shorten(message.message_id, _LONGEST_VALUE),
            "clipline.delivery": message.receive_count,
        }
        job = read_job(message)
        if job is not None:
            attributes |= {"clipline.clip_id": job.clip_id, "clipline.attempt": job.attempt}
            if job.request is not None:
                attributes["clipline.camera_id"] = job.request.camera_id
        span = self._tracer.start_span(
            "clipline.handle", parent, trace.SpanKind.CONSUMER, attributes, start_time=time.time_ns()
        )
        self._here.open = _Open(span, context.attach(trace.set_span_in_context(span)))

    def stage(self, stage: Stage) -> None:
        opened: _Open | None = getattr(self._here, "open", None)
        if opened is None:
            return
        if stage.duration_ms is None:
            parent = trace.set_span_in_context(opened.message)
            opened.stage = self._tracer.start_span(
                f"clipline.{stage.name}", parent, start_time=time.time_ns()
            )
        elif opened.stage is not None:
            opened.stage.end(time.time_ns())
            opened.stage = None

    def handled(self, handled: Handled, failed: Stage | None) -> None:  # noqa: ARG002
        opened: _Open | None = getattr(self._here, "open", None)
        if opened is None:
            return
        self._here.open = None
        context.detach(opened.token)
        if opened.stage is not None:
            _end(opened.stage, handled.error)
        if handled.outcome is not None:
            status = str(handled.outcome.status or "dead-lettered")
            opened.message.set_attribute("clipline.status", status)
            opened.message.set_attribute("clipline.repeated", handled.outcome.repeated)
        _end(opened.message, handled.error)


def _end(span: trace.Span, error: Exception | None) -> None:
    """Not by ``record_exception``: what it keeps of a message from outside is neither escaped nor cut."""
    if error is not None:
        said = shorten(str(error), _LONGEST_VALUE)
        span.add_event("exception", {"exception.type": type(error).__name__, "exception.message": said})
        span.set_status(trace.Status(trace.StatusCode.ERROR, said))
    span.end(time.time_ns())
