"""From message to notification, on the parts of one machine: every status, repeats, and crashes."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from pipeline.rig import (
    CLIP,
    LONG_CLIP,
    RETRY_DELAY_MS,
    RETRY_MS,
    START_MS,
    Rig,
    body,
    recording,
)

from clipline.adapters.storage import open_store
from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import Conflict, NotFound, Unavailable
from clipline.contract.interval import Interval
from clipline.contract.recording import Recording
from clipline.contract.result import Status
from clipline.media.cut import Cut


def frames(rig: Rig) -> int:
    data, _ = rig.services.destination.get("camera-1/clip-1.mp4", most_bytes=10**8)
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_available(rig: Rig) -> None:
    outcome = rig.ask()
    assert outcome.status is Status.AVAILABLE
    assert not outcome.repeated
    rig.assert_settled("CLIP_AVAILABLE")
    assert rig.told() == ["CLIP_AVAILABLE"]
    assert len(rig.cameras.puts) == 1
    metadata = rig.published.messages[0]
    assert metadata["clip"] == {
        "url": "https://clips.example.com/camera-1/clip-1.mp4",
        "key": "/camera-1/clip-1.mp4",
    }
    assert metadata["thumbnail"]["sizes"] == [160, 320]
    assert metadata["partial"] is False
    assert (metadata["startTimestampInMs"], metadata["endTimestampInMs"]) == (CLIP.start_ms, CLIP.end_ms)
    assert frames(rig) == 60
    assert {"camera", "recordings", "index", "store", "notify"} <= outcome.timings_ms.keys()


def test_available_out_of_two_recordings(rig: Rig) -> None:
    rig.cameras.announced = [recording(1), recording(0), recording(1)]
    rig.wait(4000)
    assert rig.ask(body(LONG_CLIP)).status is Status.AVAILABLE
    assert frames(rig) == 180


def test_pending_sends_exactly_one_retry(rig: Rig) -> None:
    rig.cameras.announced = []
    asked_ms = rig.clock.ms
    assert rig.ask(body(title="unknown keys travel")).status is Status.PENDING
    depth = rig.queue.depth()
    assert (depth.visible, depth.in_flight, depth.delayed) == (0, 0, 1)
    assert [put["status"] for put in rig.cameras.puts] == ["CLIP_PENDING"]
    assert "2018-10-31T02:52:01.051Z" in rig.cameras.puts[0]["reason"]
    assert rig.told() == []

    rig.wait(RETRY_DELAY_MS - 1)
    assert rig.queue.depth().visible == 0
    rig.wait(1)
    assert rig.deliver().status is Status.PENDING
    rig.wait()
    (message,) = rig.queue.receive(most=1, wait_s=0, visibility_s=0)
    # The first retry was sent, with its delay, at the moment when the clip was first asked for.
    assert json.loads(message.body) == json.loads(body(title="unknown keys travel")) | {
        "retryTimestamps": [asked_ms, asked_ms]
    }


def test_pending_is_published_if_asked_for(rig: Rig) -> None:
    rig.cameras.announced = []
    rig.options = replace(rig.options, notify_pending=True)
    rig.ask()
    assert rig.told() == ["CLIP_PENDING"]


def test_pending_until_it_is_recorded(rig: Rig) -> None:
    rig.cameras.announced = []
    rig.ask()
    rig.cameras.announced = [recording(0)]
    rig.wait()
    assert rig.deliver().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")
    assert len(rig.published.messages[0]["retryTimestamps"]) == 1


def test_retries_end_in_a_timeout(rig: Rig) -> None:
    rig.cameras.announced = []
    statuses = [rig.ask().status]
    while rig.queue.depth().delayed:
        rig.wait()
        statuses.append(rig.deliver().status)
    assert statuses == [Status.PENDING] * (RETRY_MS // RETRY_DELAY_MS) + [Status.RETRY_TIMEOUT]
    rig.assert_settled("CLIP_RETRY_TIMEOUT")
    assert rig.told() == ["CLIP_RETRY_TIMEOUT"]


def test_announced_but_not_in_storage_is_waited_for(rig: Rig) -> None:
    missing = Recording("cam.20181031T025159000.mp4", recording(0).span, "cam")
    rig.cameras.announced = [missing]
    assert rig.ask().status is Status.PENDING
    assert rig.cameras.puts[-1]["reason"].endswith(f"({missing.name} is announced but not in storage)")
    assert rig.deliver_last().status is Status.RETRY_TIMEOUT
    rig.assert_settled("CLIP_RETRY_TIMEOUT")


@pytest.mark.parametrize("tolerated_ms", [50, 999])
def test_nothing_announced_for_less_than_the_tolerance_is_no_clip(rig: Rig, tolerated_ms: int) -> None:
    rig.cameras.announced = []
    assert rig.ask(body(Interval(START_MS, START_MS + tolerated_ms))).status is Status.PENDING


def test_a_broken_recording_counts_as_a_gap_that_says_why(rig: Rig) -> None:
    rig.cameras.announced = [recording(1), recording(2)]
    interval = Interval(START_MS + 6000, START_MS + 11_000)
    rig.clock.ms = interval.end_ms + RETRY_MS + 1
    assert rig.ask(body(interval)).status is Status.NOT_AVAILABLE
    assert recording(2).name in rig.published.messages[0]["reason"]
    rig.assert_settled("CLIP_NOT_AVAILABLE")


@pytest.mark.parametrize(("policy", "lasts_ms"), [("skip", 3000), ("hold", 6000), ("black", 6000)])
def test_gap_policies_make_a_partial_clip_once_waiting_is_over(rig: Rig, policy: str, lasts_ms: int) -> None:
    rig.set(gap_policy=GapPolicy(policy))
    assert rig.ask(body(LONG_CLIP)).status is Status.PENDING
    assert rig.deliver_last().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")
    metadata = rig.published.messages[0]
    assert metadata["partial"] is True
    (gap,) = [part for part in metadata["coverage"] if "gap" in part]
    assert gap["gap"] == "no recording"
    assert (gap["startTimestampInMs"], gap["endTimestampInMs"]) == (START_MS + 4000, LONG_CLIP.end_ms)
    assert metadata["durationInMs"] == lasts_ms
    assert frames(rig) >= 90


def test_without_a_gap_policy_part_of_a_clip_is_no_clip(rig: Rig) -> None:
    rig.clock.ms = LONG_CLIP.end_ms + RETRY_MS + 1
    assert rig.ask(body(LONG_CLIP)).status is Status.NOT_AVAILABLE
    rig.assert_settled("CLIP_NOT_AVAILABLE")


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        (body(cameraId="camera-2"), "CLIP_INVALID_REQUEST", "the camera API knows no camera camera-2"),
        (body(cameraId="../x"), "CLIP_INVALID_REQUEST", "cameraId is '../x'"),
        (body(endTimestampInMs=1), "CLIP_INVALID_REQUEST", "endTimestampInMs 1 does not come after"),
        (body(startTimestampInMs=None), "CLIP_INVALID_REQUEST", "startTimestampInMs is None"),
        (body(Interval(START_MS + 1001, START_MS + 1005)), "CLIP_INVALID_REQUEST", "no frame"),
        (body(Interval(START_MS - 300_001, START_MS)), "CLIP_TOO_LONG", "300.001 s"),
        (body(Interval(1, 2000)), "CLIP_OUT_OF_RANGE", "259200 s"),
    ],
)
def test_what_can_never_become_a_clip(rig: Rig, text: str, status: str, reason: str) -> None:
    assert rig.ask(text).status == status
    rig.assert_settled(status)
    assert rig.told() == [status]
    metadata = rig.published.messages[0]
    assert reason in metadata["reason"]
    assert metadata["thumbnail"] == {"sizes": []}
    assert not metadata.keys() & {"bucket", "clip"}


def test_an_unreadable_message_is_a_dead_letter_with_its_reason(rig: Rig) -> None:
    outcome = rig.ask("{'clipId': '../../etc/passwd'}")
    assert outcome.status is None
    (letter,) = rig.queue.letters()
    assert letter.message.body == "{'clipId': '../../etc/passwd'}"
    assert letter.reason == outcome.reason
    assert letter.reason.startswith("clipId is '../../etc/passwd', expected")
    assert rig.cameras.puts == rig.published.messages == []


@pytest.mark.parametrize(
    "error", [Unavailable("look up camera", "camera-1", "timed out"), RuntimeError("out of luck")], ids=str
)
def test_the_last_permitted_delivery_ends_in_a_fatal_error(
    rig: Rig, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alias(camera_id: str) -> str:
        raise error

    monkeypatch.setattr(rig.cameras, "alias", alias)
    rig.queue.send(body())
    for _ in range(4):
        with pytest.raises(type(error)):
            rig.deliver()
        assert rig.cameras.puts == rig.published.messages == []
        assert list(rig.queue.letters()) == []
    outcome = rig.deliver()
    assert outcome.status is Status.FATAL_ERROR
    assert "gave up after 5 deliveries" in rig.published.messages[0]["reason"]
    assert str(error) in rig.published.messages[0]["reason"]
    (letter,) = rig.queue.letters()
    assert letter.reason == outcome.reason
    rig.assert_settled("FATAL_ERROR", dead_letters=1)

    monkeypatch.undo()
    rig.wait()
    assert rig.ask().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE", dead_letters=1)


def test_the_same_message_twice_makes_one_clip(rig: Rig) -> None:
    rig.queue.send(body())
    first, second = (rig.queue.receive(most=1, wait_s=0, visibility_s=0)[0] for _ in range(2))
    assert first.message_id == second.message_id
    assert rig.deliver().status is Status.AVAILABLE
    repeat = rig.ask()
    assert repeat.repeated
    assert repeat.status is Status.AVAILABLE
    assert rig.store.files == 3
    rig.assert_settled("CLIP_AVAILABLE")


def test_a_duplicate_of_the_same_attempt_sends_no_second_retry(rig: Rig) -> None:
    rig.cameras.announced = []
    rig.ask()
    rig.wait()
    retry = rig.queue.receive(most=1, wait_s=0, visibility_s=0)[0].body
    rig.queue.send(retry)
    first, second = rig.deliver_due()
    assert (first.status, first.repeated) == (Status.PENDING, False)
    assert (second.status, second.repeated) == (Status.PENDING, True)
    assert rig.queue.depth().delayed == 1

    rig.cameras.announced = [recording(0)]
    rig.wait()
    rig.queue.send(retry)
    assert {outcome.status for outcome in rig.deliver_due()} <= {Status.AVAILABLE, Status.PENDING}
    rig.assert_settled("CLIP_AVAILABLE")
    assert rig.store.files == 3


def test_an_older_retry_after_success_changes_nothing(rig: Rig) -> None:
    rig.cameras.announced = []
    asked_ms = rig.clock.ms
    rig.ask()
    rig.cameras.announced = [recording(0)]
    rig.wait()
    assert rig.deliver().status is Status.AVAILABLE
    rig.cameras.announced = []
    rig.wait(2 * RETRY_MS)
    for retries in ([], [asked_ms - 1], [asked_ms], [asked_ms, asked_ms + 1, asked_ms + 2]):
        outcome = rig.ask(body(retryTimestamps=retries))
        assert (outcome.status, outcome.repeated) == (Status.AVAILABLE, True)
    rig.assert_settled("CLIP_AVAILABLE")
    assert rig.store.files == 3
    assert rig.queue.depth().delayed == 0


def test_a_final_status_becomes_available_when_asked_again_later(rig: Rig) -> None:
    rig.cameras.announced = []
    rig.clock.ms = CLIP.end_ms + RETRY_MS + 1
    assert rig.ask().status is Status.NOT_AVAILABLE
    rig.assert_settled("CLIP_NOT_AVAILABLE")
    rig.cameras.announced = [recording(0)]
    rig.wait()
    assert rig.ask().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")
    assert rig.told() == ["CLIP_NOT_AVAILABLE", "CLIP_AVAILABLE"]


@pytest.mark.parametrize("other", [body(LONG_CLIP), body(cameraId="camera-2"), body(cameraId="../x")])
def test_a_clip_id_of_another_request_is_refused(rig: Rig, other: str) -> None:
    rig.ask()
    before = {key: rig.services.destination.head(key).version for key in rig.stored()}
    entry = rig.ledger.read("clip-1")
    rig.cameras.announced.append(recording(1))
    rig.wait()
    assert rig.ask(other).status is Status.INVALID_REQUEST
    assert rig.told() == ["CLIP_AVAILABLE", "CLIP_INVALID_REQUEST"]
    assert rig.published.messages[0]["eventId"] != rig.published.messages[1]["eventId"]
    assert {key: rig.services.destination.head(key).version for key in rig.stored()} == before
    assert rig.ledger.read("clip-1") == entry
    assert [put["status"] for put in rig.cameras.puts] == ["CLIP_AVAILABLE"]
    assert rig.store.files == 3


def test_a_clip_id_used_twice_at_once_stores_one_clip(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one request is about to store its clip, another one under the same clipId is handled."""
    rig.cameras.announced.append(recording(1))
    store, others = rig.store.put_file, []

    def put_file(*arguments: Any, **options: Any) -> str:
        if not others:
            others.append(None)
            others[0] = rig.ask(body(LONG_CLIP)).status
        return store(*arguments, **options)

    monkeypatch.setattr(rig.store, "put_file", put_file)
    rig.queue.send(body())
    statuses = {rig.deliver().status, *others}
    assert statuses == {Status.AVAILABLE, Status.INVALID_REQUEST}
    found = rig.ledger.read("clip-1")
    assert found is not None
    kept = found[0].metadata
    assert frames(rig) == (kept["endTimestampInMs"] - kept["startTimestampInMs"]) * 30 // 1000
    assert rig.cameras.puts[-1] == kept


@pytest.mark.parametrize("how", ["renamed over", "written over", "removed"])
def test_a_recording_that_is_replaced_while_it_is_read(
    rig: Rig, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is read in place; nothing of two versions is ever called a clip."""
    folder = tmp_path / "archive"
    shutil.copytree(origin, folder)
    rig.services = replace(rig.services, origin=open_store(f"file:{folder}"))
    path = folder / "cam" / recording(0).name
    render, changes = Cut.render, [how]

    def spoil(*arguments: Any) -> Any:
        report = render(*arguments)
        match changes and changes.pop():
            case "renamed over":
                shutil.copy(path, tmp_path / "new").replace(path)
            case "written over":
                path.write_bytes(path.read_bytes()[:-1] + b"x")
            case "removed":
                path.rename(tmp_path / "gone")
        return report

    monkeypatch.setattr(Cut, "render", spoil)
    rig.queue.send(body())
    with pytest.raises((Conflict, NotFound)):
        rig.deliver()
    assert rig.stored() == set()
    if how == "removed":
        (tmp_path / "gone").rename(path)
    assert rig.deliver().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")
