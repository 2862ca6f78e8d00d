"""Metrics for Prometheus, and the address where they and the process's health can be asked for."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clipline.entrypoints.records import Handled
from clipline.entrypoints.telemetry.measures import MEASURES, Measure, Measuring, Sample, Unit
from clipline.pipeline.observation import Stage
from clipline.pipeline.ports import Message

STALE_S = 120
"""A receive loop takes a turn every few seconds; a call of the queue gives up within a minute."""

_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)


class Prometheus(Measuring):
    """Keeps measurements in a registry of its own, and what a worker is doing now."""

    def __init__(self, concurrency: int) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._metrics = {measure: self._metric(measure) for measure in MEASURES}
        self._in_progress: set[str] = set()
        Gauge(
            "clipline_messages_in_progress", "Messages that are worked on.", registry=self.registry
        ).set_function(lambda: len(self._in_progress))
        Gauge(
            "clipline_worker_concurrency", "Messages that are worked on at most.", registry=self.registry
        ).set(concurrency)

    def record(self, sample: Sample) -> None:
        metric = self._metrics[sample.measure]
        child = metric.labels(*sample.labels) if sample.labels else metric
        if isinstance(child, Histogram):
            child.observe(sample.value / 1000)
        else:
            child.inc(sample.value)

    def begun(self, message: Message) -> None:
        self._in_progress.add(message.receipt)
        super().begun(message)

    def handled(self, handled: Handled, failed: Stage | None) -> None:
        if handled.message is not None:
            self._in_progress.discard(handled.message.receipt)
        super().handled(handled, failed)

    def _metric(self, measure: Measure) -> Counter | Histogram:
        if measure.unit is not Unit.MILLISECONDS:
            return Counter(measure.prometheus, measure.about, measure.labels, registry=self.registry)
        buckets = [bound for bound in _BUCKETS_S if bound <= measure.most_s]
        return Histogram(
            measure.prometheus, measure.about, measure.labels, registry=self.registry, buckets=buckets
        )


def scrape_app(registry: CollectorRegistry, since_turn_s: Callable[[], float]) -> Starlette:
    """``GET /metrics``, and ``GET /health``: whether the receive loop took a turn within STALE_S.

    ``since_turn_s`` tells how long ago its last one was, in seconds.
    """
    Gauge(
        "clipline_worker_since_turn_seconds", "Time since the receive loop's last turn.", registry=registry
    ).set_function(since_turn_s)

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    def health(_: Request) -> Response:
        since_s = since_turn_s()
        alive = since_s < STALE_S
        document = {"status": "ok" if alive else "stalled", "secondsSinceTurn": round(since_s, 3)}
        return JSONResponse(document, 200 if alive else 503)

    return Starlette(routes=[Route("/metrics", metrics), Route("/health", health)])
