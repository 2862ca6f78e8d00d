"""One contract for every notifier, then what is special about each."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers.http_stub import Stub, http, stubbed
from servers.ministack import Ministack

from clipline.adapters import aws, json_lines
from clipline.adapters.json_lines import JsonLinesNotifier
from clipline.adapters.sns import MOST_BYTES, SnsNotifier
from clipline.adapters.webhook import CompositeNotifier, WebhookNotifier
from clipline.contract.errors import NotFound, Refused, Unavailable
from clipline.contract.result import Result, Status
from clipline.pipeline.ports import Notifier

FIXTURES = Path(__file__).parent.parent / "contract" / "fixtures"
PUBLISHED_MS = 1_534_305_662_345  # 2018-08-15T04:01:02.345Z
AVAILABLE = json.loads((FIXTURES / "sns_message.json").read_text())
NOT_AVAILABLE = json.loads((FIXTURES / "sns_message_not_available.json").read_text())
GENEROUS_S = 15

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Received:
    message: Any
    attributes: Mapping[str, str] | None
    """None: this kind of notifier has none."""


@dataclass(frozen=True)
class Rig:
    notifier: Notifier
    received: Callable[[], Sequence[Received]]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stubbed() as made:
        yield made


@pytest.fixture(params=["sns", "json lines", "webhook"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, stub: Stub) -> Rig:
    match request.param:
        case "sns":
            request.getfixturevalue("aws_environment")
            arn = create_topic()
            inbox = subscribe(arn)
            return Rig(SnsNotifier(arn), lambda: delivered(inbox))
        case "json lines":
            path = tmp_path / "clips.jsonl"
            return Rig(JsonLinesNotifier(path), lambda: lines(path))
        case _:
            stub.replies = [http(204)]
            notifier = WebhookNotifier(f"{stub.url}/clips")
            return Rig(notifier, lambda: [Received(json.loads(seen.body), None) for seen in stub.seen])


def create_topic() -> str:
    return aws.client("sns", target="test").create_topic(Name=f"topic-{next(_NUMBERS)}")["TopicArn"]


def subscribe(arn: str, **attributes: str) -> str:
    """The URL of a queue that gets what is published to a topic."""
    sqs = aws.client("sqs", target="test")
    url = sqs.create_queue(QueueName=f"inbox-{next(_NUMBERS)}")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    aws.client("sns", target="test").subscribe(
        TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, Attributes=attributes
    )
    return url


def delivered(url: str) -> Sequence[Received]:
    sqs = aws.client("sqs", target="test")
    found = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for one in messages:
            envelope = json.loads(one["Body"])
            attributes = envelope.get("MessageAttributes", {})
            assert all(value["Type"] == "String" for value in attributes.values())
            found.append(
                Received(
                    json.loads(envelope["Message"]),
                    {name: value["Value"] for name, value in attributes.items()},
                )
            )
    return found


def lines(path: Path) -> Sequence[Received]:
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(list(one) == ["publishedAt", "attributes", "message"] for one in documents)
    return [Received(one["message"], one["attributes"]) for one in documents]


# The contract


@pytest.mark.parametrize("metadata", [AVAILABLE, NOT_AVAILABLE], ids=["available", "not available"])
def test_subscribers_get_the_metadata(rig: Rig, metadata: Mapping[str, Any]) -> None:
    rig.notifier.publish(metadata)
    (received,) = rig.received()
    assert received.message == metadata
    assert received.attributes in (None, {"status": metadata["status"], "cameraId": "1111111111111"})


def test_a_repeat_is_the_same_message(rig: Rig) -> None:
    for _ in range(2):
        rig.notifier.publish(NOT_AVAILABLE)
    first, second = rig.received()
    assert first == second


@pytest.mark.parametrize(
    "camera_id",
    [None, 7, "", ["a"], {"a": "b"}, "../x", "a\x00\r\nb", "\ud800", "é 🏄", "x" * 10_000],
    ids=lambda value: ascii(value)[:20],
)
def test_a_camera_id_that_is_none_goes_along_but_not_as_an_attribute(rig: Rig, camera_id: object) -> None:
    result = Result("c", camera_id, None, 1.5, Status.INVALID_REQUEST, "f", reason="cameraId is …")
    rig.notifier.publish(result.metadata())
    (received,) = rig.received()
    assert received.message == result.metadata()
    assert received.attributes in (None, {"status": "CLIP_INVALID_REQUEST"})


def test_a_check_publishes_nothing(rig: Rig) -> None:
    rig.notifier.check()
    rig.notifier.publish(AVAILABLE)
    rig.notifier.check()
    assert len(rig.received()) == 1


# SNS


def test_subscribers_filter_by_attributes(aws_environment: Ministack) -> None:
    arn = create_topic()
    inbox = subscribe(
        arn, FilterPolicy=json.dumps({"status": ["CLIP_AVAILABLE"], "cameraId": ["1111111111111"]})
    )
    notifier = SnsNotifier(arn)
    for metadata in (NOT_AVAILABLE, AVAILABLE, {**AVAILABLE, "cameraId": "2"}):
        notifier.publish(metadata)
    assert [one.message for one in delivered(inbox)] == [AVAILABLE]


def test_what_is_too_large_for_sns_says_that_its_coverage_was_cut(aws_environment: Ministack) -> None:
    arn = create_topic()
    inbox = subscribe(arn)
    piece = {"startTimestampInMs": 1, "endTimestampInMs": 2, "recording": "é" * 20, "clipOffsetInMs": 0}
    coverage = [{**piece, "clipOffsetInMs": number} for number in range(5000)]
    SnsNotifier(arn).publish({**AVAILABLE, "coverage": coverage, "partial": True})

    (received,) = delivered(inbox)
    kept = received.message.pop("coverage")
    assert received.message == {**AVAILABLE, "partial": True, "coverageTruncated": True}
    assert kept == coverage[: len(kept)]

    # One entry more would have been too much.
    more = {**AVAILABLE, "coverage": coverage[: len(kept) + 1], "partial": True, "coverageTruncated": True}
    size_bytes = len(json.dumps({"default": json.dumps(more, separators=(",", ":"))}))
    assert MOST_BYTES - 100 < size_bytes < MOST_BYTES + 400


def test_what_is_just_small_enough_for_sns_is_whole(aws_environment: Ministack) -> None:
    arn = create_topic()
    inbox = subscribe(arn)
    empty = len(json.dumps({"default": json.dumps({**AVAILABLE, "coverage": [""]}, separators=(",", ":"))}))
    attributes = "statusStringCLIP_AVAILABLEcameraIdString1111111111111"
    room = MOST_BYTES - empty - len(attributes)
    for size, truncated in ((room, False), (room + 1, True)):
        SnsNotifier(arn).publish({**AVAILABLE, "coverage": ["x" * size]})
        (received,) = delivered(inbox)
        assert ("coverageTruncated" in received.message) is truncated


def test_what_no_cut_makes_small_enough_for_sns(aws_environment: Ministack) -> None:
    metadata = {**AVAILABLE, "clipId": "x" * 300_000, "coverage": [{}] * 10}
    with pytest.raises(Refused, match=r"most of them in 'clipId' \(expected at most 26\d{4} bytes"):
        SnsNotifier(create_topic()).publish(metadata)


def test_a_topic_that_does_not_exist(aws_environment: Ministack) -> None:
    arn = create_topic() + "-missing"
    with pytest.raises(NotFound, match=f"publish to {arn}: .*check its name"):
        SnsNotifier(arn).publish(AVAILABLE)
    with pytest.raises(NotFound, match=f"look up {arn}: "):
        SnsNotifier(arn).check()


# JSON lines


def test_a_line(tmp_path: Path) -> None:
    path = tmp_path / "clips.jsonl"
    JsonLinesNotifier(path, now_ms=lambda: PUBLISHED_MS).publish({"status": "CLIP_PENDING", "a": "é\n"})
    assert path.read_text() == (
        '{"publishedAt":"2018-08-15T04:01:02.345Z","attributes":{"status":"CLIP_PENDING"},'
        '"message":{"status":"CLIP_PENDING","a":"\\u00e9\\n"}}\n'
    )


def test_a_torn_line_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "clips.jsonl"
    notifier = JsonLinesNotifier(path)
    notifier.publish(AVAILABLE)
    with path.open("a") as file:
        file.write('{"publishedAt":"2018-08')
    notifier.publish(NOT_AVAILABLE)

    first, torn, second = path.read_text().splitlines()
    assert json.loads(first)["message"] == AVAILABLE
    assert torn == '{"publishedAt":"2018-08'
    assert json.loads(second)["message"] == NOT_AVAILABLE


def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "clips.jsonl", tmp_path / "clips.1.jsonl"
    notifier = JsonLinesNotifier(path)
    notifier.publish(AVAILABLE)
    path.rename(moved)
    notifier.publish(NOT_AVAILABLE)
    assert [one.message for one in (*lines(moved), *lines(path))] == [AVAILABLE, NOT_AVAILABLE]


PUBLISH = """
import sys
from pathlib import Path
from threading import Thread
from clipline.adapters.json_lines import JsonLinesNotifier
def publish(thread):
    for number in range(25):
        text = "x" * (number * 997)
        clip_id = f"{sys.argv[2]}-{thread}-{number}"
        JsonLinesNotifier(Path(sys.argv[1])).publish({"clipId": clip_id, "text": text})
threads = [Thread(target=publish, args=(thread,)) for thread in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_processes_and_threads_append_at_once(tmp_path: Path) -> None:
    path = tmp_path / "clips.jsonl"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", PUBLISH, path, str(number)], env=environment)
        for number in range(3)
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    ids = [one.message["clipId"] for one in lines(path)]
    expected = [f"{p}-{t}-{n}" for p in range(3) for t in range(2) for n in range(25)]
    assert sorted(ids) == sorted(expected)
    for writer in {one.rpartition("-")[0] for one in ids}:
        numbers = [int(one.rpartition("-")[2]) for one in ids if one.startswith(f"{writer}-")]
        assert numbers == list(range(25))


def test_a_path_that_can_not_be_written_to(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "clips.jsonl"):
        with pytest.raises(Refused, match="append to") as caught:
            JsonLinesNotifier(path).publish(AVAILABLE)
        assert str(path) in str(caught.value)
        with pytest.raises(Refused, match="append to"):
            JsonLinesNotifier(path).check()


def test_a_check_makes_no_file(tmp_path: Path) -> None:
    JsonLinesNotifier(tmp_path / "clips.jsonl").check()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "clips.jsonl"
    JsonLinesNotifier(path).publish(AVAILABLE)
    before = path.read_bytes()
    script = f"""
import resource, signal, sys
from pathlib import Path
from clipline.adapters.json_lines import JsonLinesNotifier
from clipline.contract.errors import Unavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 100}, {len(before) + 100}))
try:
    JsonLinesNotifier(Path(sys.argv[1])).publish({{"text": "x" * 10_000}})
except Unavailable as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(f"append to {path}: No space left on device after 100 of 10")
    assert path.read_bytes() == before


def test_a_file_that_stays_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "_LOCK_S", 0.2)
    path = tmp_path / "clips.jsonl"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="locked"):
            JsonLinesNotifier(path).publish(AVAILABLE)
    JsonLinesNotifier(path).publish(AVAILABLE)
    assert len(lines(path)) == 1


# Several


def test_all_are_told_even_if_one_fails(stub: Stub, tmp_path: Path) -> None:
    stub.replies = [http(400)]
    path = tmp_path / "clips.jsonl"
    notifier = CompositeNotifier(
        [WebhookNotifier(stub.url), JsonLinesNotifier(tmp_path), JsonLinesNotifier(path)]
    )
    with pytest.raises(Refused, match="append to"):
        notifier.check()
    with pytest.raises(Refused, match="HTTP 400") as caught:
        notifier.publish(AVAILABLE)
    assert [one.message for one in lines(path)] == [AVAILABLE]
    (note,) = caught.value.__notes__
    assert str(tmp_path) in note


def test_all_are_told(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    notifier = CompositeNotifier([JsonLinesNotifier(path) for path in paths])
    notifier.check()
    notifier.publish(AVAILABLE)
    assert [one.message for path in paths for one in lines(path)] == [AVAILABLE, AVAILABLE]
