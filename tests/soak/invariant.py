"""What must hold once traffic has stopped, looked up where everybody would look it up."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from media.truth import expected_numbers, show
from soak.stacks import WIDTHS, Stack
from soak.traffic import Asked

from clipline.adapters.ledger_store import PREFIX
from clipline.contract.result import Status
from clipline.pipeline.job import Job
from clipline.pipeline.ports import Message
from clipline.wiring import options

_MOST_OBJECT_BYTES = 1 << 26


@dataclass
class Findings:
    """What a check saw."""

    wrong: list[str] = field(default_factory=list)
    """A line for each thing."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Final ones, of clips."""
    notifications: int = 0
    repeats: int = 0
    """Notifications that say what another one had said."""
    letter_repeats: int = 0
    """Dead letters of a message that has one already, which a queue can't exclude."""
    frames: int = 0
    """Of all clips, each read by its number."""


def check(stack: Stack, asked: Sequence[Asked], *, dead_before: Sequence[str] = ()) -> Findings:
    """Look at everything. The camera service runs, workers don't.

    ``dead_before``: clipIds that were FATAL_ERROR before, which was told then.
    """
    seen = Findings()
    stack.collect()
    seen.notifications = len(stack.told)
    seen.repeats = len(stack.told) - len({json.dumps(one, sort_keys=True) for one in stack.told})
    expected: set[str] = set()
    for one in asked:
        if one.status is None:
            continue
        wrong, keys = _clip(stack, one, seen, [Status.FATAL_ERROR] if one.clip_id in dead_before else [])
        seen.wrong += [f"{one.clip_id}: {what}" for what in wrong]
        expected |= keys
    seen.wrong += _strays(stack, {one.clip_id for one in asked}, expected)
    seen.wrong += _letters(stack, asked, seen)
    if depth := stack.depth():
        seen.wrong.append(f"{depth} messages are left on the queue")
    seen.wrong += stack.left_over()
    work = stack.app.settings.clip_download_dest
    seen.wrong += [
        f"the work directory holds {path.name}" for path in (work.iterdir() if work.is_dir() else ())
    ]
    return seen


def _clip(stack: Stack, asked: Asked, seen: Findings, before: Sequence[Status]) -> tuple[list[str], set[str]]:
    """What is wrong with one clipId, and the objects that belong to it."""
    found = stack.app.services.ledger.read(asked.clip_id)
    if found is None:
        return ["nothing was ever decided: it is lost"], set()
    entry = found[0]
    status = Status(entry.metadata["status"])
    seen.statuses[status] += 1
    wrong = [] if status is asked.status else [f"it ends as {status}, {asked.kind}: {entry.metadata}"]
    of_api = _record(stack, asked.clip_id)
    if of_api != entry.metadata:
        wrong.append(f"the camera API says {of_api}, the ledger {entry.metadata}")
    jobs = {job.fingerprint: job for job in (Job.read(_message(body)) for body in asked.bodies)}
    job = jobs.pop(entry.fingerprint, None)
    if job is None:
        return [*wrong, "the ledger knows another request"], set()
    told = [one for one in stack.told if one.get("clipId") == asked.clip_id]
    wrong += _told(entry.metadata, told, job, list(jobs.values()), before)
    if status is not Status.AVAILABLE:
        return wrong, set()
    names = options(stack.app.settings).names
    camera_id = entry.metadata["cameraId"]
    clip_key = names.clip(camera_id, asked.clip_id)
    thumbnails = {width: names.thumbnail(camera_id, asked.clip_id, width) for width in WIDTHS}
    wrong += _pictures(stack, asked, job, seen, clip_key, thumbnails)
    return wrong, {clip_key, *thumbnails.values()}


def _told(
    metadata: Any, told: Sequence[dict[str, Any]], job: Job, refused: Sequence[Job], before: Sequence[Status]
) -> Iterator[str]:
    """Every notification says what was decided; who used the clipId for something else was told so."""
    status = Status(metadata["status"])
    own = job.result(status, None).event_id
    due = {own, *(one.result(Status.INVALID_REQUEST, None).event_id for one in refused)}
    due |= {job.result(one, None).event_id for one in before}
    by_event: dict[str, list[dict[str, Any]]] = {event_id: [] for event_id in due}
    for one in told:
        by_event.setdefault(one["eventId"], []).append(one)
    for event_id, documents in by_event.items():
        if not documents:
            yield f"nobody was told of {'it' if event_id == own else 'another event of it'}"
        elif event_id not in due:
            yield f"what was told was never decided, or not in the end: {documents[0]}"
        elif any(document != documents[0] for document in documents):
            yield f"one event was told in different words: {documents}"
    if by_event[own] and by_event[own][0] != metadata:
        yield f"{by_event[own][0]} was told, {metadata} was decided"


def _pictures(
    stack: Stack, asked: Asked, job: Job, seen: Findings, clip_key: str, thumbnails: dict[int, str]
) -> Iterator[str]:
    """Whether the clip holds exactly the frames of its interval, and thumbnails can be opened."""
    assert job.request is not None
    path = stack.directory / "looked-at"
    problem = _fetch(stack, clip_key, path)
    if problem:
        yield problem
    else:
        try:
            numbers = [frame.number for frame in show(path)]
        except (av.FFmpegError, AssertionError) as error:
            yield f"{clip_key} can't be played: {type(error).__name__} {error}"
        else:
            due = expected_numbers(asked.recordings, job.request.interval)
            seen.frames += len(numbers)
            if numbers != due:
                yield f"{clip_key} shows frames {numbers}, expected {due}"
    for width, key in thumbnails.items():
        problem = _fetch(stack, key, path)
        if problem:
            yield problem
            continue
        try:
            with av.open(str(path)) as container:
                frame = next(container.decode(video=0))
        except (av.FFmpegError, StopIteration) as error:
            yield f"{key} can't be opened: {error}"
        else:
            if frame.width != width:
                yield f"{key} is {frame.width} pixels wide"
    path.unlink(missing_ok=True)


def _fetch(stack: Stack, key: str, path: Path) -> str | None:
    """Get an object, as whoever follows the notification would; None, or what is wrong."""
    try:
        data, _ = stack.app.services.destination.get(key, most_bytes=_MOST_OBJECT_BYTES)
    except Exception as error:
        return f"{key}: {error}"
    path.write_bytes(data)
    return None


def _strays(stack: Stack, clip_ids: set[str], expected: set[str]) -> Iterator[str]:
    for info in stack.app.services.destination.list(""):
        if info.key in expected:
            continue
        of_clip = info.key.removeprefix(PREFIX).removesuffix(".json")
        if not stack.is_ledgers(info.key) or (info.key.endswith(".json") and of_clip not in clip_ids):
            yield f"a stray object: {info.key}"


def _letters(stack: Stack, asked: Sequence[Asked], seen: Findings) -> Iterator[str]:
    """Exactly what nobody could read or survive is among the dead letters, each with its reason."""
    due = {one.bodies[0] for one in asked if one.status in (None, Status.FATAL_ERROR)}
    letters = stack.letters()
    bodies = Counter(letter.message.body for letter in letters)
    seen.letter_repeats = bodies.total() - len(bodies)
    for body in due - set(bodies):
        yield f"{body} is not among the dead letters"
    for body in set(bodies) - due:
        yield f"a dead letter that should be none: {body}"
    for letter in letters:
        if not letter.reason:
            yield f"a dead letter without a reason: {letter.message.body}"


def _record(stack: Stack, clip_id: str) -> Any:
    try:
        with urllib.request.urlopen(f"{stack.camera_url}/cameras/clips/{clip_id}", timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"


def _message(body: str) -> Message:
    return Message("m", body, 0, 1, "r")
