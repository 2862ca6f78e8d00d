"""Whatever is in a message: a log line is one line of JSON, and says which clip and which attempt."""

import io
import json
import logging

import pytest
from entrypoints.telemetry.conftest import record

from clipline.contract.errors import Unavailable
from clipline.contract.result import Status
from clipline.entrypoints.log import Logs, log_libraries, make_logger, report_to
from clipline.entrypoints.records import handle_records
from clipline.entrypoints.telemetry.watcher import Telemetry, Watcher
from clipline.pipeline.job import Outcome

ESC = "\x1b[31m"


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def logger(stream):
    logger = make_logger("info", stream)
    yield logger
    # The logger is this process's only one of its name; the next test has another stream.
    named = logging.getLogger("clipline")
    named.handlers.clear()
    del named.init, named.powertools_handler


def lines(stream):
    text = stream.getvalue()
    assert text == "" or text.endswith("\n")
    assert text.isascii()
    return [json.loads(line) for line in text.split("\n")[:-1]]


def run(generator, logger, *records):
    telemetry = Telemetry([Logs(logger)], report_to(logger))
    for handled in handle_records(
        generator, {"Records": list(records)}, telemetry.stage, begun=telemetry.begun
    ):
        telemetry.handled(handled)


def test_one_line_for_each_stage_and_one_for_the_message(generator, logger, stream):
    run(generator, logger, record(retryTimestamps=[1, 2], receive_count=3))
    about = {"messageId": "m1", "clipId": "clip1", "cameraId": "cam1", "attempt": 2, "delivery": 3}
    camera, encode, handled = lines(stream)
    assert camera.items() >= (about | {"message": "stage", "stage": "camera", "durationInMs": 12}).items()
    assert encode.items() >= (about | {"message": "stage", "stage": "encode", "durationInMs": 340}).items()
    assert handled.items() >= (about | {"message": "handled", "status": "CLIP_AVAILABLE"}).items()
    assert (handled["framesCopied"], handled["framesEncoded"], handled["bytesRead"]) == (20, 10, 1234)
    assert {line["level"] for line in (camera, encode, handled)} == {"info"}


def test_a_failure_names_the_clip_and_the_stage_it_happened_in(generator, logger, stream):
    generator.stages = (("camera", 12), ("fails", None))
    generator.result = Unavailable("GET", "http://camera", "timed out")
    run(generator, logger, record(retryTimestamps=[1]))
    _, failed = lines(stream)
    expected = {
        "level": "error", "clipId": "clip1", "attempt": 1, "delivery": 1, "stage": "fails",
        "errorType": "Unavailable", "retryable": True, "error": "GET http://camera: timed out",
    }  # fmt: skip
    assert failed.items() >= expected.items()
    assert "trace" not in failed


def test_a_dead_letter_that_came_back_goes_on_counting(generator, logger, stream):
    attributes = {
        "timesDeadLettered": {"stringValue": "2", "dataType": "String"},
        "SentTimestamp": "1523232000000",  # the requirements' example has such an attribute
        "number": {"stringValue": "2", "dataType": "Number"},
        "binary": {"binaryValue": "AA==", "dataType": "Binary"},
    }
    run(generator, logger, record(attributes=attributes))
    assert {line["attempt"] for line in lines(stream)} == {2}


HOSTILE = {
    "newlines": '{"clipId": "a\n\r\n{\\"level\\": \\"info\\"}"}',
    "ansi": f"{ESC}{{'clipId': '{ESC}'}}",
    "separators": "\u2028\u2029\x85",
    "lone surrogates": "\ud800\udfff",
    "direction": "\u202eabc\u2066",
    "nul": "\x00\x01",
    "a megabyte": "A" * 1_000_000,
    "a megabyte in an id": json.dumps({"clipId": "clip1", "cameraId": "A" * 1_000_000}),
    "a megabyte of escapes": "\x1b" * 1_000_000,
    "many retries": json.dumps({"clipId": "clip1", "cameraId": "c", "retryTimestamps": [1] * 200_000}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_a_line_of_json_and_a_short_one(generator, logger, stream, name):
    run(generator, logger, record(HOSTILE[name]), record(HOSTILE[name], message_id=HOSTILE[name] or "x"))
    found = lines(stream)
    assert found[-1]["message"] == "handled"
    assert all(len(line) < 3000 for line in stream.getvalue().split("\n"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_reasons_and_errors_too(generator, logger, stream, name):
    generator.result = Outcome(Status.FATAL_ERROR, {"clipId": "clip1"}, HOSTILE[name])
    run(generator, logger, record())
    generator.result = Unavailable("GET", HOSTILE[name], HOSTILE[name])
    run(generator, logger, record())
    generator.result = RuntimeError(HOSTILE[name])
    run(generator, logger, record())
    *_, reason, _, _, known, _, _, defect = lines(stream)
    assert (reason["message"], known["errorType"], defect["errorType"]) == (
        "handled", "Unavailable", "RuntimeError",
    )  # fmt: skip
    assert "RuntimeError" in defect["trace"] or len(HOSTILE[name]) > 1000
    for line in (reason, known, defect):
        for key in ("reason", "error"):
            assert line.get(key, "").isprintable()
            assert len(line.get(key, "")) <= 500
    assert all(len(line) < 60_000 for line in stream.getvalue().split("\n"))


def test_what_libraries_warn_of_is_json_as_well(logger, stream):
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        log_libraries(logger)
        other = logging.getLogger("uvicorn.error")
        other.info("unimportant")
        try:
            raise ValueError(f"{ESC}\n")
        except ValueError:
            other.exception("broken\n%s", ESC)
        logger.info("of our own")
    finally:
        root.handlers[:] = before
    warned, own = lines(stream)
    assert (warned["message"], warned["library"], warned["level"]) == (
        "broken\\n\\x1b[31m", "uvicorn.error", "error",
    )  # fmt: skip
    assert "ValueError" in warned["trace"]
    assert own["message"] == "of our own"


def test_what_fails_in_a_watcher_is_told_once_and_fails_no_clip(generator, logger, stream):
    class Broken(Watcher):
        def begun(self, message):
            raise OSError("no metrics today")

        stage = handled = begun

    telemetry = Telemetry([Broken(), Logs(logger)], report_to(logger))
    event = {"Records": [record(), record(message_id="m2")]}
    for one in handle_records(generator, event, telemetry.stage, begun=telemetry.begun):
        assert one.error is None
        telemetry.handled(one)
    broken, *rest = lines(stream)
    assert (broken["message"], broken["watcher"], broken["error"]) == (
        "telemetry failed; told once, clips go on", "Broken", "no metrics today",
    )  # fmt: skip
    assert [line["message"] for line in rest] == ["stage", "stage", "handled"] * 2
