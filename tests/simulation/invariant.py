"""What must hold once traffic has stopped: docs/guarantees.md, as code."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from simulation.schedule import NAMES, RETRY_MS, WIDTHS, Request, Run, recording
from simulation.services import MOST_RECEIVES

from clipline.contract.coverage import GapPolicy
from clipline.contract.result import Status
from clipline.pipeline.job import Job
from clipline.pipeline.ports import LedgerEntry, Message

FINAL_OF = {
    "unknown camera": Status.INVALID_REQUEST,
    "invalid": Status.INVALID_REQUEST,
    "too long": Status.TOO_LONG,
    "out of range": Status.OUT_OF_RANGE,
}


def violations(run: Run) -> list[str]:
    """One line for each thing that is wrong; none: all is well."""
    found = list(_left_over(run))
    for clip_id in sorted({one.clip_id for one in run.schedule.requests if one.kind != "unreadable"}):
        found += [f"{clip_id}: {what}" for what in _clip(run, clip_id)]
    return found


def _left_over(run: Run) -> Iterator[str]:
    if run.queue.held:
        yield f"messages are left: {[one.message.body for one in run.queue.held.values()]}"
    if any(letter.reason is None for letter in run.queue.dead.values()):
        yield "a dead letter has no reason"
    if left := list(run.directory.iterdir()):
        yield f"the work directory holds {left}"
    yield from run.queue.worked_again + run.bucket.worked_again
    unreadable = [one for one in run.schedule.requests if one.kind == "unreadable"]
    letters = [letter.message.body for letter in run.queue.dead.values()]
    for one in unreadable:
        if one.body not in letters:
            yield "an unreadable message is not among the dead letters"


def _clip(run: Run, clip_id: str) -> Iterator[str]:
    history = [(at_ms, entry) for at_ms, entry in run.history if entry.clip_id == clip_id]
    if not history:
        yield "nothing was ever decided: it is lost"
        return
    entry = history[-1][1]
    metadata = entry.metadata
    status = Status(metadata["status"])
    told = [document for _, document in run.topic.told if document["clipId"] == clip_id]
    if not status.final:
        yield f"it ends as {status}"
        return
    yield from _never_back(history)
    if run.cameras.records.get(clip_id) != metadata:
        yield f"the camera API says {run.cameras.records.get(clip_id)}, the ledger {metadata}"
    if metadata not in told:
        yield f"nobody was told of {metadata}"
    yield from _told(run, clip_id, told, history)
    yield from _objects(run, clip_id, status, metadata)
    asked = {
        Job.read(_message(one)).fingerprint: one for one in run.schedule.requests if one.clip_id == clip_id
    }
    for fingerprint, one in asked.items():
        start_ms, end_ms = (json.loads(one.body)[f"{edge}TimestampInMs"] for edge in ("start", "end"))
        if fingerprint != entry.fingerprint and not any(
            (document["startTimestampInMs"], document["endTimestampInMs"]) == (start_ms, end_ms)
            for document in told
        ):
            yield "whoever used the clipId a second time was never told"
    yield from _status(run, asked[entry.fingerprint], status, history)


def _message(one: Request) -> Message:
    return Message("m", one.body, one.sent_ms[0], 1, "r")


def _never_back(history: list[tuple[int, LedgerEntry]]) -> Iterator[str]:
    for (_, before), (_, after) in itertools.pairwise(history):
        if before.fingerprint != after.fingerprint:
            yield "another request took the clipId over"
        if before.metadata["status"] == Status.AVAILABLE:
            yield f"{after.metadata['status']} came after CLIP_AVAILABLE"
        order = [(entry.first_asked_ms, entry.attempts) for entry in (before, after)]
        if order[1] < order[0]:
            yield "the chain fell back"
        final = all(Status(entry.metadata["status"]).final for entry in (before, after))
        if final and order[1] == order[0] and after.metadata != before.metadata:
            yield f"{after.metadata['status']} came after {before.metadata['status']}, which was final"


def _told(
    run: Run, clip_id: str, told: list[dict[str, Any]], history: list[tuple[int, LedgerEntry]]
) -> Iterator[str]:
    decided = [entry.metadata for _, entry in history]
    fingerprint = history[-1][1].fingerprint
    refused = [
        Job.read(_message(one)).result(Status.INVALID_REQUEST, "").event_id
        for one in run.schedule.requests
        if one.clip_id == clip_id and Job.read(_message(one)).fingerprint != fingerprint
    ]
    for document in told:
        if document not in decided and document["eventId"] not in refused:
            yield f"what was told was never decided: {document}"
        if document["status"] == Status.PENDING and not run.schedule.notify_pending:
            yield "a notification of CLIP_PENDING that nobody wants"
    available = [document for document in told if document["status"] == Status.AVAILABLE]
    if any(document != available[0] for document in available):
        yield "CLIP_AVAILABLE was told in different words"


def _objects(run: Run, clip_id: str, status: Status, metadata: dict[str, Any]) -> Iterator[str]:
    if status is not Status.AVAILABLE:
        return
    made = metadata["made"]
    expected = {NAMES.clip("camera", clip_id): f"clip {made}"} | {
        NAMES.thumbnail("camera", clip_id, width): f"thumbnail {width} of {made}" for width in WIDTHS
    }
    for key, text in expected.items():
        there = run.bucket.objects.get(key, b"nothing").decode()
        if there != text:
            yield f"{key} holds {there}, not {text}"


def _status(
    run: Run, request: Request, status: Status, history: list[tuple[int, LedgerEntry]]
) -> Iterator[str]:
    """Whether the status is the one of the table, and none came too early."""
    most = max((one.receive_count for one in run.queue.seen if f'"{request.clip_id}"' in one.body), default=0)
    if status is Status.FATAL_ERROR:
        if most < MOST_RECEIVES:
            yield f"FATAL_ERROR after {most} deliveries"
        if not any(f'"{request.clip_id}"' in one.message.body for one in run.queue.dead.values()):
            yield "FATAL_ERROR, and no dead letter"
        if run.redriven and all(at == 0 for at in (*run.schedule.announced_ms, *run.schedule.stored_ms)):
            yield "FATAL_ERROR after its dead letters were returned"
        return
    if request.kind != "normal":
        if status is not FINAL_OF[request.kind]:
            yield f"{status} of a request that is {request.kind}"
        return
    end_ms, interval = request.interval.end_ms, request.interval
    needed = [number for number in (0, 1) if recording(number).span & interval]
    there_ms = max(
        max(run.schedule.announced_ms[number], run.schedule.stored_ms[number]) for number in needed
    )
    first_ms = min(request.sent_ms)
    if there_ms <= first_ms and status is not Status.AVAILABLE:
        yield f"{status}, though all was there before it was asked for"
    fills = run.schedule.gap_policy is not GapPolicy.FAIL
    for at_ms, entry in history:
        now = Status(entry.metadata["status"])
        waited = at_ms >= max(entry.first_asked_ms, end_ms) + RETRY_MS
        old = entry.first_asked_ms - end_ms > RETRY_MS
        if now is Status.RETRY_TIMEOUT and not waited:
            yield f"CLIP_RETRY_TIMEOUT {max(entry.first_asked_ms, end_ms) + RETRY_MS - at_ms} ms too early"
        if now is Status.NOT_AVAILABLE and not old:
            yield "CLIP_NOT_AVAILABLE too early"
        if now is Status.AVAILABLE:
            partial = entry.metadata["partial"]
            if not partial and at_ms < there_ms:
                yield "available before its recordings were"
            if partial and not (fills and (waited or old)):
                yield "a partial clip too early, or at all"
        if now in (Status.INVALID_REQUEST, Status.TOO_LONG, Status.OUT_OF_RANGE):
            yield f"{now} of a sound request"
