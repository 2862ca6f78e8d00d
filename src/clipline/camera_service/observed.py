"""What surrounds every answer of the camera service: its headers, and what is measured of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""Answers are taken for nothing but what they call themselves, and are not kept: what they say changes."""

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"})


class ServiceMetrics:
    """Kept for as long as the application, in a registry of its own; ``also`` are told beside them."""

    def __init__(self, also: Iterable[CollectorRegistry] = ()) -> None:
        self._registry = CollectorRegistry()
        for registry in also:
            self._registry.register(registry)
        self._requests = Counter(
            "clipline_http_requests_total",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "clipline_http_request_duration_seconds",
            "How long requests took.",
            ("method", "route"),
            registry=self._registry,
        )
        self._entries = Gauge(
            "clipline_catalog_entries", "What the catalog knows, by kind.", ("kind",), registry=self._registry
        )

    def measure(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count a request; ``route`` is the template of its address, whose values are ids."""
        self._requests.labels(method, route, str(status)).inc()
        self._durations.labels(method, route).observe(duration_s)

    def answer(self, accept: str, entries: Mapping[str, int]) -> Response:
        """As Prometheus reads it; ``entries`` are the sizes of the catalog."""
        for kind, number in entries.items():
            self._entries.labels(kind).set(number)
        encode, content_type = choose_encoder(accept)
        return Response(encode(self._registry), headers={"Content-Type": content_type})


class Observed:
    """Measures each request, and gives each answer HEADERS."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.measure(method, route, status, time.monotonic() - began)
