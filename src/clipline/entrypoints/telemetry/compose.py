"""Which watchers a door has. Each is imported where it is used: a worker loads nothing for CloudWatch, the
Lambda function nothing for Prometheus, and nobody OpenTelemetry where it is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from clipline.entrypoints.log import Logs, report_to
from clipline.entrypoints.telemetry.watcher import Telemetry, Watcher
from clipline.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools import Logger

    from clipline.entrypoints.telemetry.prometheus import Prometheus


def for_function(logger: Logger) -> Telemetry:
    """Of the Lambda function; to be flushed at the end of each invocation."""
    from clipline.entrypoints.telemetry.emf import Emf

    return Telemetry([Logs(logger), Emf(), *_traces()], report_to(logger))


def for_worker(settings: Settings, logger: Logger) -> tuple[Telemetry, Prometheus | None]:
    """Of a worker; its metrics are None where METRICS_PORT is off."""
    metrics = None
    if settings.metrics_port:
        from clipline.entrypoints.telemetry.prometheus import Prometheus

        metrics = Prometheus(settings.worker_concurrency)
    watchers: list[Watcher] = [Logs(logger), *([metrics] if metrics else []), *_traces()]
    return Telemetry(watchers, report_to(logger)), metrics


def for_terminal(watcher: Watcher, report: Callable[[str, Exception], None]) -> Telemetry:
    """Of a command that prints what happens: no log and no metrics."""
    return Telemetry([watcher, *_traces()], report)


@contextmanager
def metrics_served(
    settings: Settings, metrics: Prometheus | None, since_turn_s: Callable[[], float]
) -> Iterator[str | None]:
    """Serve METRICS_HOST and METRICS_PORT until the context ends; gives the URL, None where that is off.

    ``since_turn_s`` tells how long ago the receive loop took its last turn. Raises ConfigurationError where
    the address can't be listened on.
    """
    if metrics is None:
        yield None
        return
    from clipline.entrypoints.server import serve_in_thread
    from clipline.entrypoints.telemetry.prometheus import scrape_app

    app = scrape_app(metrics.registry, since_turn_s)
    with serve_in_thread(app, settings.metrics_host, settings.metrics_port) as url:
        yield url


def _traces() -> list[Watcher]:
    try:
        if find_spec("opentelemetry.trace") is None:
            return []
    except ModuleNotFoundError:
        return []
    from clipline.entrypoints.telemetry.traces import Traces

    return [Traces()]
