"""Test events: each kind is what it promises, and the script needs Python alone."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clipline.contract.coverage import Gap
from clipline.contract.errors import InvalidRequest
from clipline.contract.interval import LATEST_MS, iso, parse_instant
from clipline.contract.request import parse_request
from clipline.entrypoints import event as module
from clipline.entrypoints.event import KINDS, build_event, choose_interval, main, status_without_recordings
from clipline.entrypoints.local import SAMPLE_ALIAS, SAMPLE_CAMERA_ID
from clipline.pipeline.decision import Limits, decide
from clipline.settings import Settings

ROOT = Path(__file__).parents[2]
SCRIPT = Path("scripts") / "create_test_event.py"
LOGIC = Path("src") / "clipline" / "entrypoints" / "event.py"
FIXTURE = json.loads((ROOT / "tests" / "contract" / "fixtures" / "sqs_event.json").read_text())
NOW_MS = 1_537_119_500_000  # 2018-09-16T17:38:20Z

WITHOUT_RECORDINGS = {
    "available": "CLIP_NOT_AVAILABLE",
    "pending": "CLIP_PENDING",
    "not-available": "CLIP_NOT_AVAILABLE",
    "out-of-range": "CLIP_OUT_OF_RANGE",
    "too-long": "CLIP_TOO_LONG",
}
FLAGS = [(), *((flag,) for kind, (short, _) in KINDS.items() for flag in (short, f"--{kind}"))]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_settings: None) -> None:
    monkeypatch.chdir(tmp_path)


def run_script(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The script without any installed package, in the current directory."""
    command = [sys.executable, "-I", "-S", str(root / SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def shape(value: Any) -> Any:
    """Keys and types, without values."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value] if isinstance(value, list) else type(value)


def decided(event: dict[str, Any], limits: module.Limits) -> str:
    """The status if the event is handled at once and nothing was recorded."""
    (record,) = event["Records"]
    sent_ms = int(record["attributes"]["SentTimestamp"])
    request = parse_request(record["body"])
    retry_s, range_s, longest_s = limits
    decision = decide(
        request.interval, [Gap(request.interval)], request.first_asked_ms(sent_ms), sent_ms,
        Limits(retry_s * 1000, range_s * 1000, longest_s * 1000), anything_there=False, camera="test",
    )  # fmt: skip
    return str(decision.status)


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: flags[0] if flags else "none")
def test_each_kind_is_what_it_promises(flags: tuple[str, ...], tmp_path: Path) -> None:
    kinds = {flag: kind for kind, (short, _) in KINDS.items() for flag in (short, f"--{kind}")}
    kind = kinds[flags[0]] if flags else "available"
    before_ms = time.time_ns() // 1_000_000
    done = run_script(*flags)
    after_ms = time.time_ns() // 1_000_000
    assert (done.returncode, done.stderr) == (0, "")

    assert [path.name for path in tmp_path.iterdir()] == ["event.json"]
    event = json.loads((tmp_path / "event.json").read_text())
    assert shape(event) == shape(FIXTURE)
    record = event["Records"][0]
    assert before_ms <= int(record["attributes"]["SentTimestamp"]) <= after_ms
    assert record["messageAttributes"]["SentTimestamp"] == record["attributes"]["SentTimestamp"]
    request = json.loads(record["body"])
    assert shape(request) == shape(ast.literal_eval(FIXTURE["Records"][0]["body"]))
    assert re.fullmatch(r"\d{16}", request["clipId"], re.ASCII)
    assert request["cameraId"] == SAMPLE_CAMERA_ID

    status = decided(event, module.Limits())
    assert status == WITHOUT_RECORDINGS[kind]
    line = done.stdout.removesuffix("\n")
    assert "\n" not in line
    assert line.startswith(
        f"Wrote event.json: clip {request['clipId']} of camera {SAMPLE_CAMERA_ID} ({SAMPLE_ALIAS})"
    )
    assert str(parse_request(record["body"]).interval) in line
    expected = "CLIP_AVAILABLE if it was recorded, else CLIP_NOT_AVAILABLE" if kind == "available" else status
    assert f"Expect {expected}" in line


def test_kinds_lie_where_the_requirements_say() -> None:
    """Minutes that the clip ended before its message was sent, and how long it is."""
    minutes = {}
    for kind in KINDS:
        start_ms, end_ms = choose_interval(kind, NOW_MS, module.Limits())
        minutes[kind] = (NOW_MS - end_ms) / 60_000
        assert (end_ms - start_ms > 300_000) == (kind == "too-long")
        assert end_ms - start_ms == (360_000 if kind == "too-long" else 60_000)
    assert minutes["available"] == 20
    assert 0 <= minutes["pending"] < 15 < minutes["not-available"] < 3 * 24 * 60 < minutes["out-of-range"]


def test_each_run_is_a_new_request() -> None:
    clip_ids = set()
    for _ in range(3):
        (record,) = json.loads(run_script("--output", "-").stdout)["Records"]
        clip_ids.add(json.loads(record["body"])["clipId"])
    assert len(clip_ids) == 3


def test_the_script_needs_one_other_file_and_its_constants_count(tmp_path: Path) -> None:
    for path in (SCRIPT, LOGIC):
        (tmp_path / path).parent.mkdir(parents=True)
        shutil.copy(ROOT / path, tmp_path / path)
    script = (tmp_path / SCRIPT).read_text()
    for name, before, after in (
        ("CAMERA_ID", f'"{SAMPLE_CAMERA_ID}"', '"pier-7"'),
        ("CAMERA_ALIAS", f'"{SAMPLE_ALIAS}"', '"north.pier"'),
        ("CLIP_ID: str | None", "None", '"clip-7"'),
    ):
        assert script.count(f"\n{name} = {before}\n") == 1
        script = script.replace(f"{name} = {before}", f"{name} = {after}")
    (tmp_path / SCRIPT).write_text(script)
    done = run_script(root=tmp_path)
    assert "clip clip-7 of camera pier-7 (north.pier), " in done.stdout, done.stderr
    request = parse_request(json.loads(Path("event.json").read_text())["Records"][0]["body"])
    assert (request.clip_id, request.camera_id) == ("clip-7", "pier-7")
    other = run_script("--camera", "pier-8", "--clip-id", "clip-8", root=tmp_path)
    assert "clip clip-8 of camera pier-8, " in other.stdout


def test_the_logic_imports_the_standard_library_alone() -> None:
    tree = ast.parse((ROOT / LOGIC).read_text())
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_what_is_said_twice_is_the_same() -> None:
    """The module can import nothing of the package."""
    assert (module.DEFAULT_CAMERA_ID, module.DEFAULT_CAMERA_ALIAS) == (SAMPLE_CAMERA_ID, SAMPLE_ALIAS)
    for name, default in module.Limits()._asdict().items():
        assert Settings.model_fields[name].default == default


# Limits


seconds = st.sampled_from([0, 1, 2, 29, 30, 60, 61, 899, 900, 901, 1200, 3600]) | st.integers(0, 10**6)


@settings(deadline=None, max_examples=300)
@given(st.builds(module.Limits, seconds, seconds, seconds), st.sampled_from(list(KINDS)), st.booleans())
@example(module.Limits(0, 259_200, 300), "pending", False)
@example(module.Limits(900, 0, 300), "out-of-range", False)
@example(module.Limits(900, 901, 300), "not-available", False)
def test_under_any_limits_a_kind_is_what_it_promises_or_refused(
    limits: module.Limits, kind: str, literal: bool
) -> None:
    notation: Literal["json", "literal"] = "literal" if literal else "json"
    try:
        event = build_event(kind, camera_id="c", clip_id="1", now_ms=NOW_MS, limits=limits, notation=notation)
    except ValueError as error:
        reason = str(error)
    else:
        reason = ""
        status = decided(event, limits)
        assert status == WITHOUT_RECORDINGS[kind] or (kind == "available" and status == "CLIP_PENDING")
    # Refused where no clip can be of that kind, and nowhere else.
    retry_s, range_s, longest_s = limits
    possible = {
        "available": longest_s > 0,
        "pending": longest_s > 0 and retry_s > 0,
        "not-available": longest_s > 0 and (range_s == 0 or range_s > retry_s),
        "out-of-range": longest_s > 0 and range_s > 0,
        "too-long": True,
    }[kind]
    assert (reason == "") == possible
    if reason:
        assert f"SQS_RETRY_LIMIT={retry_s}, OUT_OF_RANGE_LIMIT={range_s}, VIDEO_MAX_LEN={longest_s}" in reason


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 5000), st.integers(-100, 1000), st.builds(module.Limits, *[st.integers(0, 2000)] * 3))
def test_what_to_expect_is_what_is_decided(age_s: int, length_s: int, limits: module.Limits) -> None:
    end_ms = NOW_MS - age_s * 1000
    start_ms = end_ms - length_s * 1000
    expected = status_without_recordings(start_ms, end_ms, NOW_MS, limits)
    event = build_event(
        "available", camera_id="c", clip_id="1", now_ms=NOW_MS, limits=limits, interval_ms=(start_ms, end_ms)
    )
    if expected == "CLIP_INVALID_REQUEST":
        with pytest.raises(InvalidRequest):
            parse_request(event["Records"][0]["body"])
    else:
        assert decided(event, limits) == expected


def test_limits_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("SQS_RETRY_LIMIT", "60"), ("OUT_OF_RANGE_LIMIT", "3600"), ("VIDEO_MAX_LEN", "10")):
        monkeypatch.setenv(name, value)
    limits = module.Limits(60, 3600, 10)
    for kind, (flag, _) in KINDS.items():
        assert main([flag]) == 0
        event = json.loads(Path("event.json").read_text())
        assert decided(event, limits) == WITHOUT_RECORDINGS[kind]
    capsys.readouterr()
    monkeypatch.setenv("OUT_OF_RANGE_LIMIT", "")
    assert main(["-o"]) == 0
    assert "CLIP_OUT_OF_RANGE, with SQS_RETRY_LIMIT=60, OUT_OF_RANGE_LIMIT=259200" in capsys.readouterr().out


# Options


def asked(*arguments: str) -> dict[str, Any]:
    assert main(arguments) == 0
    (record,) = json.loads(Path("event.json").read_text())["Records"]
    return dict(parse_request(record["body"]).body)


def test_the_literal_notation_is_that_of_the_example() -> None:
    assert main(["--notation", "literal", "--clip-id", "1111111111111"]) == 0
    body = json.loads(Path("event.json").read_text())["Records"][0]["body"]
    assert re.sub(r"\d{12,}", "N", body) == re.sub(r"\d{12,}", "N", FIXTURE["Records"][0]["body"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


@pytest.mark.parametrize(
    ("arguments", "start", "end"),
    [
        ("--start 2018-09-16T17:36:03Z", "2018-09-16T17:36:03Z", "2018-09-16T17:37:03Z"),
        ("--end 2018-09-16T17:37:03.250Z", "2018-09-16T17:36:03.250Z", "2018-09-16T17:37:03.250Z"),
        ("--start 1537119363000 --length 5", "1537119363000", "1537119368000"),
        ("--end 1537119363000 --length 5", "1537119358000", "1537119363000"),
        ("--start 2018-09-16T17:36:03.0019+00:00 --end 1537119363500", "1537119363001", "1537119363500"),
        ("-p --start 0 --end 1", "0", "1"),
        (f"--start 0 --end {LATEST_MS}", "0", str(LATEST_MS)),
    ],
)
def test_instants_that_are_given(arguments: str, start: str, end: str) -> None:
    request = asked(*arguments.split())
    assert request["startTimestampInMs"] == parse_instant(start)
    assert request["endTimestampInMs"] == parse_instant(end)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--start 2018-09-16T17:36:03Z", "Expect CLIP_OUT_OF_RANGE, with SQS_RETRY_LIMIT=900"),
        ("--start 0 --length 301", "Expect CLIP_TOO_LONG, "),
        ("--start 5 --end 5", "Expect CLIP_INVALID_REQUEST, "),
        ("--start 5 --end 4", "Expect CLIP_INVALID_REQUEST, "),
        (
            "--start 9999-12-31T23:00:00Z",
            "Expect CLIP_AVAILABLE if it was recorded, else CLIP_PENDING until 9999-",
        ),
        ("-p --length 7", "Expect CLIP_PENDING until 20"),
        ("-n --length 7", "Expect CLIP_NOT_AVAILABLE, unless it was recorded."),
    ],
)
def test_what_to_expect_of_them(
    arguments: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "9999" in arguments:
        monkeypatch.setenv("SQS_RETRY_LIMIT", "60")
    assert main(arguments.split()) == 0
    assert expected in capsys.readouterr().out


def test_standard_output_carries_the_event_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["-p", "--output", "-"]) == 0
    streams = capsys.readouterr()
    assert shape(json.loads(streams.out)) == shape(FIXTURE)
    assert "Expect CLIP_PENDING" in streams.err
    assert list(tmp_path.iterdir()) == []


def test_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path / "more.json")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["more.json"]
    assert main(["--output", str(tmp_path / "missing" / "event.json")]) == 1
    assert re.fullmatch(
        r"clipline event: cannot write .*event\.json: No such file.*\n", capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("-p -n", "-n/--not-available: not allowed with argument -p/--pending"),
        ("--available -t", "-t/--too-long: not allowed with argument -a/--available"),
        ("-x", "-x"),
        ("--camera ../etc", "--camera: '../etc': expected 1 to 64 letters"),
        ("--clip-id a/b", "--clip-id: 'a/b': expected 1 to 64 letters"),
        ("--start yesterday", "--start: 'yesterday': expected ISO 8601 in UTC, as in"),
        ("--start 2018-09-16T17:36:03", "expected ISO 8601 in UTC"),
        ("--start 2018-09-16T17:36:03+02:00", "expected ISO 8601 in UTC"),
        ("--end 1969-12-31T23:59:59Z", "expected ISO 8601 in UTC"),
        (f"--end {LATEST_MS + 1}", "expected ISO 8601 in UTC"),
        ("--end 1000", "the clip must lie between the years 1970 and 9999"),
        ("--length -5", "--length"),
        ("--length 1.5", "--length: '1.5': expected whole seconds"),
        ("--start 0 --end 1 --length 1", "--start, --end and --length: expected two of them"),
        ("-t --length 300", "no clip of 300 s can be too-long: it would be CLIP_NOT_AVAILABLE, with"),
        ("-n --length 301", "no clip of 301 s can be not-available: it would be CLIP_TOO_LONG, with"),
        ("--notation yaml", "--notation: invalid choice"),
    ],
)
def test_wrong_usage(arguments: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    usage, line = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: clipline event [-a | -p | -n | -o | -t]")
    assert said in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["SQS_RETRY_LIMIT", "OUT_OF_RANGE_LIMIT", "VIDEO_MAX_LEN"])
@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "9" * 5000])
def test_a_limit_that_is_none(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert f"{name} in the environment: '{value[:5]}" in capsys.readouterr().err


def test_the_help_names_the_script_and_what_it_reads() -> None:
    text = run_script("--help").stdout
    assert text.startswith("usage: create_test_event.py ")
    for word in ("SQS_RETRY_LIMIT=900", "--clip-id", "--notation", *(f"--{kind}" for kind in KINDS)):
        assert word in text


@settings(deadline=None)
@given(st.integers(0, LATEST_MS))
def test_instants_are_read_as_everywhere_else(instant_ms: int) -> None:
    assert module._instant(iso(instant_ms)) == module._instant(str(instant_ms)) == instant_ms
    assert module._iso(instant_ms) == iso(instant_ms)
