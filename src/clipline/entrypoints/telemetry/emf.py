"""Metrics for CloudWatch: lines in its Embedded Metric Format on standard output, so no call to make."""

from __future__ import annotations

import os
import threading

from aws_lambda_powertools.metrics import EphemeralMetrics

from clipline.entrypoints.telemetry.measures import STAGE_DURATION, Measure, Measuring, Sample, capitals

NAMESPACE = "Clipline"
SERVICE = "clipline"


class Emf(Measuring):
    """Collects measurements until ``flush``. POWERTOOLS_METRICS_NAMESPACE and POWERTOOLS_SERVICE_NAME, which
    tell functions apart that share an account, go before the names above."""

    def __init__(self) -> None:
        self._namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE") or NAMESPACE
        self._service = os.environ.get("POWERTOOLS_SERVICE_NAME") or SERVICE
        self._sets: dict[tuple[str, ...], EphemeralMetrics] = {}
        self._lock = threading.Lock()

    def record(self, sample: Sample) -> None:
        with self._lock:
            key = (*sample.measure.labels, *sample.labels)
            if key not in self._sets:
                self._sets[key] = self._new(sample.measure, sample.labels)
            self._sets[key].add_metric(sample.measure.cloudwatch, sample.measure.unit.value, sample.value)

    def flush(self) -> None:
        with self._lock:
            sets, self._sets = self._sets, {}
        for metrics in sets.values():
            if metrics.metric_set:  # a hundred values of one metric were written on their own
                metrics.flush_metrics()

    def _new(self, measure: Measure, labels: tuple[str, ...]) -> EphemeralMetrics:
        metrics = EphemeralMetrics(namespace=self._namespace, service=self._service)
        for name, value in zip(measure.labels, labels, strict=True):
            metrics.add_dimension(capitals(name), value)
        if labels and measure is not STAGE_DURATION:
            # An alarm can't add up what has different dimensions.
            metrics.add_dimensions(service=self._service)
        return metrics
