"""The ledger's entry of a clip, as two deliveries see it that are worked on at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pipeline.rig import Rig, body

from clipline.contract.errors import Conflict
from clipline.contract.result import Status
from clipline.pipeline.job import Job
from clipline.pipeline.ports import Message
from clipline.pipeline.record import ClipRecord


def job(rig: Rig) -> Job:
    return Job.read(Message("m1", body(), rig.clock.ms, 1, "r"))


@pytest.fixture
def two(rig: Rig) -> tuple[ClipRecord, ClipRecord]:
    """Two deliveries of one message, neither of which knows of the other."""
    records = ClipRecord(rig.services, job(rig)), ClipRecord(rig.services, job(rig))
    for record in records:
        assert record.known() is None
    return records


def test_who_claims_last_is_the_owner(rig: Rig, two: tuple[ClipRecord, ClipRecord]) -> None:
    first, second = two
    assert first.claim() is None
    assert first.owned()
    assert second.claim() is None
    assert second.owned()
    assert not first.owned()
    with pytest.raises(Conflict, match="another worker has taken it over"):
        first.finish(job(rig).result(Status.AVAILABLE, None))
    assert second.finish(job(rig).result(Status.AVAILABLE, None)).status is Status.AVAILABLE
    late = first.known()
    assert late is not None
    assert late.repeated
    assert rig.told() == ["CLIP_AVAILABLE"] * 2


@pytest.mark.parametrize("status", [Status.FATAL_ERROR, Status.NOT_AVAILABLE, Status.PENDING])
def test_nothing_is_written_over_an_available_clip(
    rig: Rig, two: tuple[ClipRecord, ClipRecord], status: Status
) -> None:
    first, second = two
    assert first.claim() is None
    assert second.claim() is None
    second.finish(job(rig).result(Status.AVAILABLE, None))
    assert not first.owned()  # it has seen the entry, and goes on all the same
    outcome = first.finish(job(rig).result(status, "too late"))
    assert (outcome.status, outcome.repeated) == (Status.AVAILABLE, True)
    assert set(rig.told()) == {"CLIP_AVAILABLE"}


@pytest.mark.parametrize("status", [Status.FATAL_ERROR, Status.NOT_AVAILABLE, Status.PENDING])
def test_who_was_held_up_can_not_change_what_was_decided_without_it(
    rig: Rig, two: tuple[ClipRecord, ClipRecord], status: Status
) -> None:
    """It may die before it tells of the change, and no message is left to do so."""
    first, second = two
    assert first.claim() is None
    second.finish(job(rig).result(status, "it saw no recordings"))
    outcome = first.finish(job(rig).result(Status.AVAILABLE, None))
    assert (outcome.status, outcome.repeated) == (status, True)
    assert not first.owned()
    assert {one["status"] for one in rig.cameras.puts} == {status}


def test_a_put_that_comes_late_is_put_right(rig: Rig, two: tuple[ClipRecord, ClipRecord]) -> None:
    first, _ = two
    put = rig.cameras.put_clip
    later = []

    def slow(clip_id: str, metadata: dict[str, object]) -> None:
        if not later:  # while it is on its way, a later message makes the clip available
            later.append(
                ClipRecord(rig.services, replace(job(rig), first_asked_ms=rig.clock.ms + 1, attempt=0))
            )
            assert later[0].known() is None
            assert later[0].claim() is None
            later[0].finish(job(rig).result(Status.AVAILABLE, None))
        put(clip_id, metadata)

    rig.cameras.put_clip = slow  # type: ignore[assignment, method-assign]
    first.finish(job(rig).result(Status.NOT_AVAILABLE, "nothing there"))
    assert [one["status"] for one in rig.cameras.puts] == [
        "CLIP_AVAILABLE", "CLIP_NOT_AVAILABLE", "CLIP_AVAILABLE",
    ]  # fmt: skip
    assert set(rig.told()) == {"CLIP_AVAILABLE"}


def test_what_a_later_owner_stores_is_not_stored_over(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by one that made sure, an instant before, that it was the owner."""
    store, owned = rig.services.destination, ClipRecord.owned
    store.put("camera-1/clip-1_160.png", b"left by one that died", "image/png")

    def owned_until_now(record: ClipRecord) -> bool:
        is_owner = owned(record)
        store.put("camera-1/clip-1_160.png", b"stored by a later owner", "image/png")
        return is_owner

    monkeypatch.setattr(ClipRecord, "owned", owned_until_now)
    rig.queue.send(body())
    with pytest.raises(Conflict):
        rig.deliver()
    assert store.get("camera-1/clip-1_160.png", most_bytes=100)[0] == b"stored by a later owner"
    monkeypatch.undo()
    assert rig.deliver().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")
