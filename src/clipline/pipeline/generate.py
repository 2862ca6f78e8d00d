"""One request, from message to notification.

Order of effects: claim of the clipId, thumbnails, clip, ledger, PUT, publish, acknowledge. A crash between
any two leaves a state from which the message's next delivery ends right: what the ledger calls decided is
not decided again, only told again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipline.contract.coverage import Gap, cover, holes
from clipline.contract.errors import (
    CliplineError,
    Conflict,
    InvalidRequest,
    NoFrames,
    NotFound,
    UnreadableRecording,
    UnreadableRequest,
)
from clipline.contract.interval import Interval
from clipline.contract.modes import HevcMode
from clipline.contract.request import ClipRequest, parse_request
from clipline.contract.result import ObjectNames, Result, Status
from clipline.media.cut import Candidate, Cut, CutReport, OnStage, Stopwatch, ThumbnailOptions, prepare
from clipline.media.thumbnails import CONTENT_TYPES
from clipline.pipeline.decision import Decision, Limits, decide, decide_before_reading
from clipline.pipeline.ports import (
    CameraApi,
    ClipLedger,
    Clock,
    LedgerEntry,
    Message,
    MessageQueue,
    Notifier,
    ObjectStore,
)
from clipline.pipeline.source import StoreSource
from clipline.pipeline.workdir import job_directory


@dataclass(frozen=True)
class Services:
    """The outside world."""

    camera_api: CameraApi
    origin: ObjectStore
    destination: ObjectStore
    queue: MessageQueue
    notifier: Notifier
    ledger: ClipLedger
    clock: Clock


@dataclass(frozen=True)
class Options:
    """What the settings say about making clips."""

    limits: Limits
    names: ObjectNames
    work_directory: Path
    recording_key: str
    recording_directory: str
    thumbnail_sizes: tuple[int, ...]
    """Widths in pixels."""
    gap_tolerance_ms: int = 1000
    hevc_mode: HevcMode = HevcMode.H264
    retry_delay_s: int = 60
    notify_pending: bool = False
    most_receives: int = 5
    """MAX_RECEIVE_COUNT: the delivery with this count is the last one."""


@dataclass(frozen=True)
class Outcome:
    """What became of a message. Whoever delivered it may acknowledge it now."""

    status: Status | None
    """None: dead-lettered without anybody to tell, or a repeat of an older message that was dropped."""
    metadata: Mapping[str, Any] | None = None
    reason: str | None = None
    repeated: bool = False
    """Decided at an earlier delivery; only told again."""
    timings_ms: Mapping[str, int] = field(default_factory=dict)


class ClipGenerator:
    """Handles messages; safe to use from several threads."""

    def __init__(self, services: Services, options: Options) -> None:
        self._services = services
        self._options = options

    def handle(self, message: Message, on_stage: OnStage = lambda _: None) -> Outcome:
        """Do what the message asks, to its end.

        Returns when the message may be acknowledged. Raises whatever failed in a way that the message's
        next delivery may cure; on the last permitted delivery that becomes FATAL_ERROR instead.
        """
        stages = Stopwatch(on_stage)
        try:
            job = _Job.read(message)
        except UnreadableRequest as error:
            self._services.queue.dead_letter(message, str(error))
            return Outcome(None, reason=str(error))
        try:
            outcome = self._known(job) or self._handle_new(job, stages)
        except Exception as error:
            if message.receive_count < self._options.most_receives:
                raise
            reason = f"gave up after {message.receive_count} deliveries: {_describe(error)}"
            self._services.queue.dead_letter(message, reason)
            outcome = self._finish(job, job.result(Status.FATAL_ERROR, reason))
        stages.end()
        return Outcome(outcome.status, outcome.metadata, outcome.reason, outcome.repeated, stages.timings_ms)

    def _handle_new(self, job: _Job, stages: Stopwatch) -> Outcome:
        stages.begin("camera")
        if job.request is None:
            return self._finish(job, job.result(Status.INVALID_REQUEST, job.problem))
        request = job.request
        try:
            alias = self._services.camera_api.alias(request.camera_id)
        except NotFound:
            reason = f"the camera API knows no camera {request.camera_id}"
            return self._finish(job, job.result(Status.INVALID_REQUEST, reason))
        limits = self._options.limits
        early = decide_before_reading(request.interval, job.first_asked_ms, limits)
        if early is not None:
            return self._decided(job, early)
        with job_directory(self._options.work_directory) as directory:
            decision, cut = self._look(job, request, alias, directory, stages)
            if decision.status is not Status.AVAILABLE or cut is None:
                return self._decided(job, decision)
            thumbnails = ThumbnailOptions(self._options.thumbnail_sizes, self._options.names.thumbnail_format)
            anything_there = True
            try:
                report = cut.render(directory / f"{request.clip_id}.mp4", thumbnails)
                lost = _gaps(report)
            except UnreadableRecording as error:
                lost, anything_there = (Gap(request.interval, str(error)),), False
            if lost:
                # An index could be read, the pictures can't: a gap, as any unreadable recording is.
                now_ms = self._services.clock.now_ms()
                decision = decide(
                    request.interval, lost, job.first_asked_ms, now_ms, limits,
                    anything_there=anything_there, camera=alias,
                )  # fmt: skip
                if decision.status is not Status.AVAILABLE:
                    return self._decided(job, decision)
            stages.begin("store")
            known = self._claim(job)
            if known is not None:
                return known
            self._store(request, report)
        stages.begin("notify")
        return self._finish(job, self._available(job, report))

    def _look(
        self, job: _Job, request: ClipRequest, alias: str, directory: Path, stages: Stopwatch
    ) -> tuple[Decision, Cut | None]:
        """What the recordings decide; with a clip to make, the planned cut."""
        stages.begin("recordings")
        interval, options = request.interval, self._options
        limits = options.limits

        def decision(gaps: tuple[Gap, ...], *, anything_there: bool) -> Decision:
            now_ms = self._services.clock.now_ms()
            return decide(
                interval, gaps, job.first_asked_ms, now_ms, limits,
                anything_there=anything_there, camera=alias,
            )  # fmt: skip

        recordings = self._services.camera_api.recordings(alias, interval)
        coverage = cover(interval, recordings)
        pieces = [part for part in coverage if not isinstance(part, Gap)]
        announced = decision(holes(coverage, options.gap_tolerance_ms), anything_there=bool(pieces))
        if announced.status is not Status.AVAILABLE:
            return announced, None
        candidates: list[Candidate] = []
        missing: list[tuple[Interval, str]] = []
        # All that overlap it, not only those that own a piece: if one is missing, another may stand in.
        for recording in {one.name: one for one in recordings if one.span & interval}.values():
            key = recording.key(options.recording_key, options.recording_directory)
            try:
                source = StoreSource(self._services.origin, key, recording.name)
            except NotFound:
                missing.append((recording.span, f"{recording.name} is announced but not in storage"))
            else:
                candidates.append(Candidate(source, recording.span.start_ms))
        try:
            cut = prepare(
                candidates, interval, directory,
                gap_policy=limits.gap_policy, tolerance_ms=options.gap_tolerance_ms,
                hevc_mode=options.hevc_mode, missing=missing, stopwatch=stages,
            )  # fmt: skip
        except NoFrames as error:
            if error.covered:
                return Decision(Status.INVALID_REQUEST, str(error)), None
            reason = "; ".join(text for _, text in missing) or str(error)
            return decision((Gap(interval, reason),), anything_there=False), None
        gaps = tuple(Gap(part.span, part.reason or "no recording") for part in cut.plan.gaps)
        return decision(gaps, anything_there=True), cut

    def _claim(self, job: _Job) -> Outcome | None:
        """Take the clipId before anything is stored under it; an outcome where another request was faster.

        Two requests that use one clipId at the same time would else store over each other's clip. The claim
        counts none of the chain's messages as handled, so that this one's next delivery is not a repeat.
        """
        metadata = job.result(Status.PENDING, "the clip is being made").metadata()
        claim = LedgerEntry(job.clip_id, job.fingerprint, job.first_asked_ms, job.attempt, metadata)
        try:
            self._services.ledger.write(claim, replaces=None)
        except Conflict:  # it was claimed before, mostly by this very request
            return self._known(job)
        return None

    def _store(self, request: ClipRequest, report: CutReport) -> None:
        names, store = self._options.names, self._services.destination
        for size, path in report.thumbnails.items():
            key = names.thumbnail(request.camera_id, request.clip_id, size)
            store.put_file(key, path, CONTENT_TYPES[names.thumbnail_format])
        store.put_file(names.clip(request.camera_id, request.clip_id), report.clip, "video/mp4")

    def _available(self, job: _Job, report: CutReport) -> Result:
        return job.result(
            Status.AVAILABLE,
            None,
            bucket=self._services.destination.name,
            names=self._options.names,
            thumbnail_sizes=self._options.thumbnail_sizes,
            details=report.details,
        )

    def _decided(self, job: _Job, decision: Decision) -> Outcome:
        if decision.status is Status.PENDING and job.request is not None:
            # Sent before it is remembered: a crash in between sends it twice, and the second one is
            # dropped on receipt; the other way round it could be lost.
            body = job.request.retry_body(job.message.sent_ms)
            self._services.queue.send(body, delay_s=self._options.retry_delay_s)
        return self._finish(job, job.result(decision.status, decision.reason))

    def _known(self, job: _Job) -> Outcome | None:
        """What the ledger already knows about this message; None: nothing, it is new."""
        found = self._services.ledger.read(job.clip_id)
        if found is None:
            return None
        entry, _ = found
        if entry.fingerprint != job.fingerprint:
            reason = (
                f"clipId {job.clip_id} was already used for another request"
                if job.request is not None
                else job.problem
            )
            return self._refuse(job, reason)
        decided = entry.metadata.get("status") == Status.AVAILABLE
        older = (job.first_asked_ms, job.attempt) < (entry.first_asked_ms, entry.attempts)
        if not decided and not older:
            return None
        status = Status(entry.metadata["status"])
        self._tell(entry.metadata)
        return Outcome(status, entry.metadata, entry.metadata.get("reason"), repeated=True)

    def _refuse(self, job: _Job, reason: str) -> Outcome:
        """A clipId used twice: subscribers are told, the first request's record stays as it is."""
        result = job.result(Status.INVALID_REQUEST, reason)
        self._services.notifier.publish(result.metadata())
        return Outcome(Status.INVALID_REQUEST, result.metadata(), reason)

    def _finish(self, job: _Job, result: Result) -> Outcome:
        """Remember, tell the camera API, tell the subscribers."""
        metadata = result.metadata()
        entry = LedgerEntry(job.clip_id, job.fingerprint, job.first_asked_ms, job.attempt + 1, metadata)
        ledger = self._services.ledger
        found = ledger.read(job.clip_id)
        while True:
            known = self._known(job) if found is not None else None
            if known is not None:
                return known
            try:
                ledger.write(entry, replaces=found[1] if found else None)
                break
            except Conflict:  # another delivery was faster: what it decided counts
                found = ledger.read(job.clip_id)
        self._tell(metadata)
        return Outcome(result.status, metadata, result.reason)

    def _tell(self, metadata: Mapping[str, Any]) -> None:
        self._services.camera_api.put_clip(metadata["clipId"], metadata)
        if Status(metadata["status"]).final or self._options.notify_pending:
            self._services.notifier.publish(metadata)


@dataclass(frozen=True)
class _Job:
    """A message whose clipId could be read."""

    message: Message
    clip_id: str
    request: ClipRequest | None
    """None: the request can never work."""
    problem: str
    body: Mapping[str, Any]
    fingerprint: str
    first_asked_ms: int
    attempt: int
    """How many messages of the same chain went before this one."""

    @staticmethod
    def read(message: Message) -> _Job:
        try:
            request = parse_request(message.body)
        except InvalidRequest as error:
            return _Job(
                message, error.clip_id, None, str(error), error.body, error.fingerprint, message.sent_ms, 0
            )
        return _Job(
            message, request.clip_id, request, "", request.body, request.fingerprint,
            request.first_asked_ms(message.sent_ms), len(request.retry_timestamps_ms),
        )  # fmt: skip

    def result(self, status: Status, reason: str | None, **more: Any) -> Result:
        camera_id: Any
        start_ms: Any
        end_ms: Any
        retries: tuple[int, ...] = ()
        if self.request is not None:
            interval = self.request.interval
            camera_id, start_ms, end_ms = self.request.camera_id, interval.start_ms, interval.end_ms
            retries = self.request.retry_timestamps_ms
        else:
            camera_id = self.body.get("cameraId")
            start_ms, end_ms = self.body.get("startTimestampInMs"), self.body.get("endTimestampInMs")
        return Result(
            self.clip_id, camera_id, start_ms, end_ms, status, self.fingerprint, retries, reason, **more
        )


def _gaps(report: CutReport) -> tuple[Gap, ...]:
    """What is missing in the clip that was made: at least what was known before."""
    return tuple(
        Gap(Interval(part["startTimestampInMs"], part["endTimestampInMs"]), part["gap"])
        for part in report.details["coverage"]
        if "gap" in part
    )


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, CliplineError) else f"{type(error).__name__}: {error}"
