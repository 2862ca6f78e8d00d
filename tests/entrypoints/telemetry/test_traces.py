"""Spans, read from OpenTelemetry's own exporter; and nothing where OpenTelemetry is not installed."""

import subprocess
import sys

import pytest
from entrypoints.telemetry.conftest import record
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clipline.contract.errors import Unavailable
from clipline.entrypoints.records import handle_records
from clipline.entrypoints.telemetry import compose
from clipline.entrypoints.telemetry.traces import Traces
from clipline.entrypoints.telemetry.watcher import Telemetry
from clipline.pipeline.job import Outcome

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def run(generator, *records):
    def never(watcher, error):
        raise AssertionError(watcher) from error

    telemetry = Telemetry([Traces()], never)
    for handled in handle_records(
        generator, {"Records": list(records)}, telemetry.stage, begun=telemetry.begun
    ):
        telemetry.handled(handled)
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_message_and_its_stages(generator, exporter):
    run(generator, record(retryTimestamps=[1], receive_count=2))
    camera, encode, message = exporter.get_finished_spans()
    assert (camera.name, encode.name, message.name) == (
        "clipline.camera",
        "clipline.encode",
        "clipline.handle",
    )
    assert message.kind is trace.SpanKind.CONSUMER
    assert message.parent is None
    assert dict(message.attributes) == {
        "messaging.message.id": "m1",
        "clipline.delivery": 2,
        "clipline.clip_id": "clip1",
        "clipline.camera_id": "cam1",
        "clipline.attempt": 1,
        "clipline.status": "CLIP_AVAILABLE",
        "clipline.repeated": False,
    }
    for stage in (camera, encode):
        assert stage.parent.span_id == message.context.span_id
        assert message.start_time <= stage.start_time <= stage.end_time <= message.end_time
    assert camera.end_time <= encode.start_time
    assert message.status.is_ok


@pytest.mark.parametrize("error", [Unavailable("GET", "x", "timed out"), RuntimeError("\x1b" * 100_000)])
def test_a_failure_marks_the_message_and_its_stage(generator, exporter, error):
    generator.stages = (("camera", 5), ("fails", None))
    generator.result = error
    run(generator, record(), record(message_id="m2"))
    camera, failed, message, *_ = exporter.get_finished_spans()
    assert camera.status.is_unset
    for span in (failed, message):
        assert span.status.status_code is trace.StatusCode.ERROR
        (event,) = span.events
        assert event.attributes["exception.type"] == type(error).__name__
        assert event.attributes["exception.message"].isprintable()
        assert len(event.attributes["exception.message"]) <= 500
    assert "clipline.status" not in message.attributes
    assert len(exporter.get_finished_spans()) == 6


def test_a_message_that_names_a_trace_belongs_to_it(generator, exporter):
    given = {
        "traceparent": {"stringValue": f"00-{TRACE_ID}-{SPAN_ID}-01", "dataType": "String"},
        "baggage": {"stringValue": "a=b", "dataType": "String"},
    }
    run(generator, record(attributes=given))
    message = exporter.get_finished_spans()[-1]
    assert f"{message.context.trace_id:032x}" == TRACE_ID
    assert f"{message.parent.span_id:016x}" == SPAN_ID


@pytest.mark.parametrize("value", ["", "00-0-0-00", "\x1b", "0" * 100_000, f"00-{'0' * 32}-{SPAN_ID}-01"])
def test_a_trace_that_can_not_be_one_is_none(generator, exporter, value):
    run(generator, record(attributes={"traceparent": {"stringValue": value, "dataType": "String"}}))
    assert exporter.get_finished_spans()[-1].parent is None


def test_an_unreadable_message_has_a_span_as_well(generator, exporter):
    generator.result = Outcome(None, reason="unreadable")
    run(generator, record("\ud800"), {"messageId": "malformed"})
    (message,) = exporter.get_finished_spans()
    assert message.attributes["clipline.status"] == "dead-lettered"
    assert "clipline.clip_id" not in message.attributes


def test_the_default_without_an_sdk_does_nothing(generator):
    run(generator, record())


def test_traces_are_made_where_opentelemetry_is_installed_alone(monkeypatch):
    assert [type(one) for one in compose._traces()] == [Traces]
    for absent in (None, ModuleNotFoundError("opentelemetry")):

        def find_spec(name, absent=absent):
            if absent is None:
                return
            raise absent

        monkeypatch.setattr(compose, "find_spec", find_spec)
        assert compose._traces() == []


def test_a_process_without_opentelemetry():
    code = """
import sys
sys.modules["opentelemetry"] = None  # as if it were not installed
from clipline.entrypoints.log import make_logger
from clipline.entrypoints.telemetry.compose import for_function
print([type(one).__name__ for one in for_function(make_logger("info"))._watchers])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "['Logs', 'Emf']\n"
