"""Requests that are taken back: cancelled, or forgotten with their clip."""

from __future__ import annotations

import pytest
from pipeline.rig import CLIP_KEYS, Rig, body, recording

from clipline.contract.errors import Conflict
from clipline.contract.result import Status
from clipline.pipeline.job import Job
from clipline.pipeline.ports import Message
from clipline.pipeline.record import ClipRecord
from clipline.pipeline.withdraw import CANCELLED, DELETED, cancel, forget


def test_a_cancelled_request_is_not_made_when_its_message_comes(rig: Rig) -> None:
    rig.queue.send(body())
    rig.wait(1000)
    outcome = cancel(rig.services, body(), rig.clock.ms)
    assert (outcome.status, outcome.reason) == (Status.NOT_AVAILABLE, CANCELLED)

    late = rig.deliver()
    assert (late.status, late.repeated) == (Status.NOT_AVAILABLE, True)
    rig.assert_settled("CLIP_NOT_AVAILABLE")


def test_a_retry_that_waits_is_cancelled_too(rig: Rig) -> None:
    rig.cameras.announced = []
    assert rig.ask().status is Status.PENDING
    cancel(rig.services, body(), rig.clock.ms)
    rig.cameras.announced = [recording(0)]
    rig.wait()
    assert rig.deliver().repeated
    rig.assert_settled("CLIP_NOT_AVAILABLE")


def test_who_is_making_the_clip_can_not_store_it_any_more(rig: Rig) -> None:
    worker = ClipRecord(rig.services, Job.read(Message("m", body(), rig.clock.ms, 1, "r")))
    assert worker.known() is None
    assert worker.claim() is None
    rig.wait(1000)
    cancel(rig.services, body(), rig.clock.ms)
    assert not worker.owned()
    job = Job.read(Message("m", body(), rig.clock.ms, 1, "r"))
    with pytest.raises(Conflict):
        worker.finish(job.result(Status.AVAILABLE, None))


def test_a_cancelled_clip_can_be_asked_for_again(rig: Rig) -> None:
    cancel(rig.services, body(), rig.clock.ms)
    rig.wait(1)
    assert rig.ask().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")


def test_it_is_too_late_to_cancel_what_is_there(rig: Rig) -> None:
    rig.ask()
    rig.wait(1000)
    assert cancel(rig.services, body(), rig.clock.ms).status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")


def test_a_late_message_does_not_bring_back_a_forgotten_clip(rig: Rig) -> None:
    rig.queue.send(body())  # delivered twice, as queues may
    rig.ask()
    rig.wait(1000)
    forget(rig.services, body(), rig.clock.ms)
    for key in CLIP_KEYS:
        rig.services.destination.delete(key)

    late = rig.deliver()
    assert (late.status, late.reason, late.repeated) == (Status.NOT_AVAILABLE, DELETED, True)
    assert rig.stored() == set()
    rig.wait(1)
    assert rig.ask().status is Status.AVAILABLE
    assert rig.stored() == CLIP_KEYS


def test_nobody_is_told_of_a_clip_that_is_forgotten(rig: Rig) -> None:
    forget(rig.services, body(), rig.clock.ms)
    assert rig.told() == []
    assert rig.cameras.puts == []
