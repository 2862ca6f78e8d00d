"""A crash after each effect: the message's next delivery ends right."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pipeline.rig import CLIP_KEYS, LONG_CLIP, RETRY_MS, Crash, CrashAfter, Rig, body, recording
from pipeline.test_generate import frames

from clipline.contract.result import Status


def fail_at(rig: Rig, part: str, method: str, at: int = 1) -> None:
    crashing = CrashAfter(getattr(rig.services, part), method, at)
    rig.services = replace(rig.services, **{part: crashing})


@pytest.mark.parametrize(
    ("part", "method", "at", "files"),
    [
        ("destination", "put_file", 1, 4),
        ("destination", "put_file", 2, 5),
        ("destination", "put_file", 3, 6),
        ("ledger", "write", 1, 3),
        ("ledger", "write", 2, 3),
        ("camera_api", "put_clip", 1, 3),
        ("notifier", "publish", 1, 3),
    ],
)
def test_a_crash_on_the_way_to_a_clip(rig: Rig, part: str, method: str, at: int, files: int) -> None:
    fail_at(rig, part, method, at)
    rig.queue.send(body())
    with pytest.raises(Crash):
        rig.deliver()
    assert list(rig.options.work_directory.glob("*")) == []
    assert rig.deliver().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")
    assert frames(rig) == 60
    assert rig.store.files == files
    assert set(rig.told()) == {"CLIP_AVAILABLE"}
    assert len({message["eventId"] for message in rig.published.messages}) == 1


@pytest.mark.parametrize(
    ("part", "method"), [("queue", "send"), ("ledger", "write"), ("camera_api", "put_clip")]
)
def test_a_crash_on_the_way_to_a_retry(rig: Rig, part: str, method: str) -> None:
    rig.cameras.announced = []
    fail_at(rig, part, method)
    rig.queue.send(body())
    with pytest.raises(Crash):
        rig.deliver()
    assert rig.deliver().status is Status.PENDING
    rig.wait()
    assert rig.deliver_due()
    assert rig.queue.depth().delayed == 1  # one chain, even where two retries were sent
    rig.cameras.announced = [recording(0)]
    rig.wait()
    assert [outcome.status for outcome in rig.deliver_due()] == [Status.AVAILABLE]
    rig.assert_settled("CLIP_AVAILABLE")
    assert rig.store.files == len(CLIP_KEYS)
    assert rig.told() == ["CLIP_AVAILABLE"]


@pytest.mark.parametrize(
    ("part", "method"), [("ledger", "write"), ("camera_api", "put_clip"), ("notifier", "publish")]
)
def test_a_crash_on_the_way_to_a_refusal(rig: Rig, part: str, method: str) -> None:
    rig.clock.ms = LONG_CLIP.end_ms + RETRY_MS + 1
    fail_at(rig, part, method)
    rig.queue.send(body(LONG_CLIP))
    with pytest.raises(Crash):
        rig.deliver()
    assert rig.deliver().status is Status.NOT_AVAILABLE
    rig.assert_settled("CLIP_NOT_AVAILABLE")
    assert len({message["eventId"] for message in rig.published.messages}) == 1
