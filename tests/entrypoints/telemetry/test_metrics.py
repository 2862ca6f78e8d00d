"""CloudWatch's and Prometheus's metrics, read as they read them."""

import json
import subprocess
import sys
import time

import pytest
import urllib3
from entrypoints.telemetry.conftest import message, record
from prometheus_client.parser import text_string_to_metric_families

from clipline.contract.errors import Unavailable
from clipline.contract.result import Status
from clipline.entrypoints.records import handle_records
from clipline.entrypoints.server import serve_in_thread
from clipline.entrypoints.telemetry.emf import Emf
from clipline.entrypoints.telemetry.measures import MEASURES, Unit
from clipline.entrypoints.telemetry.prometheus import STALE_S, Prometheus, scrape_app
from clipline.entrypoints.telemetry.watcher import Telemetry
from clipline.pipeline.job import Outcome


def never(watcher, error):
    raise AssertionError(watcher) from error


def run(generator, watcher, *records):
    telemetry = Telemetry([watcher], never)
    for handled in handle_records(
        generator, {"Records": list(records)}, telemetry.stage, begun=telemetry.begun
    ):
        telemetry.handled(handled)
    telemetry.flush()


def work(generator, watcher):
    """A clip, the same again, one that fails, one that is given up, and one without a clipId."""
    run(generator, watcher, record(), record(message_id="retry", retryTimestamps=[1]))
    generator.result = Outcome(Status.AVAILABLE, generator.result.metadata, repeated=True)
    run(generator, watcher, record(message_id="repeat", receive_count=2))
    generator.result = Unavailable("GET", "x", "timed out")
    run(generator, watcher, record(message_id="fails", receive_count=2))
    generator.result = Outcome(Status.FATAL_ERROR, {}, "gave up")
    run(generator, watcher, record(message_id="dead", receive_count=5), record("{", message_id="nobody"))
    watcher.queue_failed("receive", Unavailable("receive from", "q", "timed out"), None)
    watcher.flush()


def emf_values(text):
    """{(name, dimensions without the service): values}; every line is checked against the specification
    (Amazon CloudWatch User Guide, "Specification: Embedded metric format")."""
    found = {}
    for line in text.splitlines():
        document = json.loads(line)
        metadata = document["_aws"]
        assert metadata.keys() == {"Timestamp", "CloudWatchMetrics"}
        assert abs(metadata["Timestamp"] - time.time() * 1000) < 60_000
        (directive,) = metadata["CloudWatchMetrics"]
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            assert len(set(dimensions)) == len(dimensions)
            for dimension in dimensions:
                assert isinstance(document[dimension], str)
                assert 1 <= len(document[dimension]) <= 1024
        used = {"_aws", *(name for dimensions in directive["Dimensions"] for name in dimensions)}
        for metric in directive["Metrics"]:
            assert metric.keys() == {"Name", "Unit"}
            assert metric["Unit"] in list(Unit)
            values = document[metric["Name"]]
            assert all(isinstance(value, float) for value in values)
            assert 1 <= len(values) <= 100
            used.add(metric["Name"])
            for dimensions in directive["Dimensions"]:
                labels = tuple((name, document[name]) for name in sorted(dimensions) if name != "service")
                found.setdefault((metric["Name"], labels), []).extend(values)
        assert document.keys() == used
        assert document["service"] == "clipline"
    return found


def test_cloudwatch(generator, capsys):
    work(generator, Emf())
    found = emf_values(capsys.readouterr().out)
    age_ms = found.pop(("MessageAge", ()))
    assert len(age_ms) == 2  # neither retries nor later deliveries
    assert all(abs(one - time.time() * 1000) < 60_000 for one in age_ms)
    assert found == {
        ("StageDuration", (("Stage", "camera"),)): [12.0] * 5,
        ("StageDuration", (("Stage", "encode"),)): [340.0] * 5,
        ("Clips", (("Repeated", "false"), ("Status", "CLIP_AVAILABLE"))): [1.0, 1.0],
        ("Clips", (("Repeated", "true"), ("Status", "CLIP_AVAILABLE"))): [1.0],
        ("Clips", (("Repeated", "false"), ("Status", "FATAL_ERROR"))): [1.0],
        ("Clips", ()): [1.0] * 4,
        ("Failures", (("ErrorType", "Unavailable"), ("Retryable", "true"))): [1.0],
        ("Failures", ()): [1.0],
        ("DeadLetters", ()): [1.0, 1.0],
        ("BytesRead", ()): [1234.0, 1234.0],
        ("FramesCopied", ()): [20.0, 20.0],
        ("FramesEncoded", ()): [10.0, 10.0],
        ("QueueErrors", (("Operation", "receive"),)): [1.0],
        ("QueueErrors", ()): [1.0],
    }


def test_more_values_than_one_line_of_cloudwatchs_may_have(generator, capsys):
    watcher = Emf()
    telemetry = Telemetry([watcher], never)
    for _ in range(250):
        for handled in handle_records(generator, {"Records": [record()]}, telemetry.stage):
            telemetry.handled(handled)
    telemetry.flush()
    found = emf_values(capsys.readouterr().out)
    assert len(found["StageDuration", (("Stage", "encode"),)]) == 250
    telemetry.flush()
    assert capsys.readouterr().out == ""


def test_nothing_measured_is_nothing_written(capsys):
    Emf().flush()
    assert capsys.readouterr() == ("", "")


def test_functions_of_one_account_are_told_apart(generator, capsys, monkeypatch):
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Staging")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "clips")
    run(generator, Emf(), record())
    for line in capsys.readouterr().out.splitlines():
        document = json.loads(line)
        assert document["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Staging"
        assert document["service"] == "clips"


def scrape(url, accept="text/plain"):
    answer = urllib3.request("GET", f"{url}/metrics", headers={"Accept": accept}, retries=False, timeout=30)
    assert answer.status == 200
    families = list(text_string_to_metric_families(answer.data.decode()))
    samples = {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }
    return {family.name: family for family in families}, samples


def test_prometheus(generator):
    metrics = Prometheus(3)
    work(generator, metrics)
    with serve_in_thread(scrape_app(metrics.registry, lambda: 1.5)) as url:
        families, samples = scrape(url)
    assert samples["clipline_clips_total", (("repeated", "false"), ("status", "CLIP_AVAILABLE"))] == 2
    assert samples["clipline_clips_total", (("repeated", "true"), ("status", "CLIP_AVAILABLE"))] == 1
    assert samples["clipline_clips_total", (("repeated", "false"), ("status", "FATAL_ERROR"))] == 1
    assert samples["clipline_failures_total", (("error_type", "Unavailable"), ("retryable", "true"))] == 1
    assert samples["clipline_queue_errors_total", (("operation", "receive"),)] == 1
    assert samples["clipline_dead_letters_total", ()] == 2
    assert samples["clipline_bytes_read_total", ()] == 2468
    assert samples["clipline_frames_copied_total", ()] == 40
    assert samples["clipline_frames_encoded_total", ()] == 20
    assert samples["clipline_message_age_seconds_count", ()] == 2
    assert samples["clipline_stage_duration_seconds_count", (("stage", "encode"),)] == 5
    assert samples["clipline_stage_duration_seconds_sum", (("stage", "encode"),)] == pytest.approx(1.7)
    assert samples["clipline_stage_duration_seconds_bucket", (("le", "0.25"), ("stage", "encode"))] == 0
    assert samples["clipline_stage_duration_seconds_bucket", (("le", "0.5"), ("stage", "encode"))] == 5
    assert samples["clipline_messages_in_progress", ()] == 0
    assert samples["clipline_worker_concurrency", ()] == 3
    assert samples["clipline_worker_since_turn_seconds", ()] == 1.5
    assert samples["process_resident_memory_bytes", ()] > 0
    for measure in MEASURES:
        family = families[measure.prometheus.removesuffix("_total")]
        assert family.documentation == measure.about
        assert family.type == ("histogram" if measure.unit is Unit.MILLISECONDS else "counter")


def test_messages_in_progress(generator):
    metrics = Prometheus(1)
    metrics.begun(message())
    assert metrics.registry.get_sample_value("clipline_messages_in_progress") == 1
    generator.stages = ()
    run(generator, metrics, record(message_id="another"))
    assert metrics.registry.get_sample_value("clipline_messages_in_progress") == 1


@pytest.mark.parametrize(("since_s", "status"), [(0.0, 200), (STALE_S - 1, 200), (STALE_S + 1, 503)])
def test_health(since_s, status):
    with serve_in_thread(scrape_app(Prometheus(1).registry, lambda: since_s)) as url:
        answer = urllib3.request("GET", f"{url}/health", retries=False, timeout=30)
    assert answer.status == status
    assert answer.json() == {"status": "ok" if status == 200 else "stalled", "secondsSinceTurn": since_s}


def modules_after(code):
    command = f"{code}\nimport sys\nprint(' '.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, check=True
        ).stdout.split()
    )


HEAVY = {"prometheus_client", "clipline.entrypoints.telemetry.emf", "uvicorn", "starlette"}


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import clipline.entrypoints.cli, clipline.entrypoints.cut", set()),
        ("import clipline.entrypoints.worker_process", set()),
        ("import clipline.entrypoints.lambda_function", set()),
        (
            "from clipline.entrypoints.telemetry.compose import for_function\n"
            "from clipline.entrypoints.log import make_logger\nfor_function(make_logger('info'))",
            {"clipline.entrypoints.telemetry.emf"},
        ),
    ],
)
def test_a_door_loads_only_what_it_uses(code, allowed):
    loaded = modules_after(code)
    assert loaded & HEAVY == allowed
    if not allowed:
        assert not any(name.startswith("opentelemetry") for name in loaded)
    if "entrypoints.cut" in code:
        assert "clipline.entrypoints.telemetry" not in loaded
        assert "aws_lambda_powertools" not in loaded
