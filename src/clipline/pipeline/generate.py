"""One request, from message to notification.

Order of effects: claim of the clipId, thumbnails, clip, ledger, PUT, publish, acknowledge. A crash between
any two leaves a state from which the message's next delivery ends right: what the ledger calls decided is
not decided again, only told again (``record.py`` has the rules).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clipline.contract.coverage import Gap, cover, holes
from clipline.contract.errors import (
    CliplineError,
    Conflict,
    NoFrames,
    NotFound,
    UnreadableRecording,
    UnreadableRequest,
)
from clipline.contract.interval import Interval
from clipline.contract.modes import HevcMode
from clipline.contract.recording import Recording
from clipline.contract.request import ClipRequest
from clipline.contract.result import ObjectNames, Result, Status
from clipline.media.cut import Candidate, CutReport, ThumbnailOptions
from clipline.media.engine import CutJob
from clipline.media.stopwatch import Stopwatch
from clipline.media.thumbnails import CONTENT_TYPES
from clipline.pipeline.decision import Decision, Limits, decide, decide_before_reading
from clipline.pipeline.job import Job, Outcome
from clipline.pipeline.observation import Observer, Stage, unobserved
from clipline.pipeline.ports import TIMES_DEAD_LETTERED, DeadLetters, Message, Services
from clipline.pipeline.record import ClipRecord
from clipline.pipeline.source import StoreSource
from clipline.pipeline.workdir import job_directory


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


class ClipGenerator:
    """Handles messages; safe to use from several threads."""

    def __init__(self, services: Services, options: Options) -> None:
        self._services = services
        self._options = options

    def handle(self, message: Message, observe: Observer = unobserved) -> Outcome:
        """Do what the message asks, to its end.

        Returns when the message may be acknowledged. Raises whatever failed in a way that the message's
        next delivery may cure; on the last permitted delivery that becomes FATAL_ERROR instead.
        """
        try:
            job = Job.read(message)
        except UnreadableRequest as error:
            self._services.queue.dead_letter(message, str(error))
            return Outcome(None, reason=str(error))
        stages = _stopwatch(job, observe)
        record = self._record(job)
        try:
            outcome = record.known() or self._handle_new(job, record, stages)
        except Exception as error:
            last = message.receive_count >= self._options.most_receives
            # Who lost a compare-and-set may find the winner's decision.
            known = record.known() if last or isinstance(error, Conflict) else None
            if known is not None:
                outcome = known
            elif not last:
                raise
            else:
                reason = f"gave up after {message.receive_count} deliveries: {_describe(error)}"
                self._services.queue.dead_letter(message, reason)
                outcome = record.finish(job.result(Status.FATAL_ERROR, reason))
        stages.end()
        return replace(outcome, timings_ms=stages.timings_ms)

    def bury(self, letters: DeadLetters) -> int:
        """Give up what the queue itself put among its dead letters: whoever had a message said nothing.

        Its clip becomes FATAL_ERROR and the letter stays, with its reason; where something else was decided,
        nothing is lost and the letter goes. Returns how many letters there were.
        """
        seen = letters.unexplained()
        for message in seen:
            reason = (
                f"received {message.receive_count} times, never finished: who worked on it died without a "
                "word, or ran out of time"
            )
            try:
                job = Job.read(message)
            except UnreadableRequest as error:
                letters.explain(message, str(error))
                continue
            record = self._record(job)
            outcome = record.known() or record.finish(job.result(Status.FATAL_ERROR, reason))
            if outcome.status is Status.FATAL_ERROR:
                letters.explain(message, outcome.reason or reason)
            else:
                letters.forget(message)
        return len(seen)

    def _record(self, job: Job) -> ClipRecord:
        return ClipRecord(self._services, job, notify_pending=self._options.notify_pending)

    def _handle_new(self, job: Job, record: ClipRecord, stages: Stopwatch) -> Outcome:
        stages.begin("camera")
        if job.message.receive_count > self._options.most_receives:
            raise CliplineError("it was received too often, which it did not survive")
        if job.request is None:
            return record.finish(job.result(Status.INVALID_REQUEST, job.problem))
        request = job.request
        try:
            alias = self._services.camera_api.alias(request.camera_id)
        except NotFound:
            reason = f"the camera API knows no camera {request.camera_id}"
            return record.finish(job.result(Status.INVALID_REQUEST, reason))
        early = decide_before_reading(request.interval, job.first_asked_ms, self._options.limits)
        if early is not None:
            return self._decided(job, record, early)
        stages.begin("recordings")
        recordings = self._services.camera_api.recordings(alias, request.interval)
        coverage = cover(request.interval, recordings)
        announced = self._decide(
            job, request, alias, holes(coverage, self._options.gap_tolerance_ms),
            anything_there=any(not isinstance(part, Gap) for part in coverage),
        )  # fmt: skip
        if announced.status is not Status.AVAILABLE:
            return self._decided(job, record, announced)
        with job_directory(self._options.work_directory) as directory:
            sources, missing = self._find(request, recordings)
            candidates = [Candidate(source, start_ms) for source, start_ms in sources]
            wanted = CutJob(
                candidates, request.interval, directory, self._options.limits.gap_policy,
                self._options.gap_tolerance_ms, self._options.hevc_mode, missing,
            )  # fmt: skip
            made = self._make(job, request, alias, wanted, stages)
            for source, _ in sources:
                source.check_unchanged()
            if isinstance(made, Decision):
                return self._decided(job, record, made)
            stages.begin("store")
            known = record.claim()
            if known is not None:
                return known
            self._store(record, request, made)
        stages.begin("notify")
        return record.finish(self._available(job, made))

    def _find(
        self, request: ClipRequest, recordings: Sequence[Recording]
    ) -> tuple[list[tuple[StoreSource, int]], list[tuple[Interval, str]]]:
        """What there is to cut from, with the start of each (ms), and the spans that are missing, and why.

        Every recording that overlaps, not only those that own a piece: if one is missing, another may
        stand in.
        """
        sources: list[tuple[StoreSource, int]] = []
        missing: list[tuple[Interval, str]] = []
        for recording in {one.name: one for one in recordings if one.span & request.interval}.values():
            key = recording.key(self._options.recording_key, self._options.recording_directory)
            try:
                source = StoreSource(self._services.origin, key, recording.name)
            except NotFound:
                missing.append((recording.span, f"{recording.name} is announced but not in storage"))
            else:
                sources.append((source, recording.span.start_ms))
        return sources, missing

    def _make(
        self, job: Job, request: ClipRequest, alias: str, wanted: CutJob, stages: Stopwatch
    ) -> CutReport | Decision:
        """The clip; or the decision where the recordings do not give it."""
        options, interval = self._options, request.interval
        thumbnails = ThumbnailOptions(options.thumbnail_sizes, options.names.thumbnail_format)
        try:
            with self._services.engine.prepare(wanted, stages) as planned:
                decision = self._decide(job, request, alias, planned.gaps, anything_there=True)
                if decision.status is not Status.AVAILABLE:
                    return decision
                report = planned.render(wanted.directory / f"{request.clip_id}.mp4", thumbnails)
        except NoFrames as error:
            if error.covered:
                return Decision(Status.INVALID_REQUEST, str(error))
            reason = "; ".join(text for _, text in wanted.missing) or str(error)
            return self._decide(job, request, alias, (Gap(interval, reason),), anything_there=False)
        except UnreadableRecording as error:
            # Its index could be read, its pictures can't: a gap, as any unreadable recording is.
            return self._decide(job, request, alias, (Gap(interval, str(error)),), anything_there=False)
        lost = _gaps(report)
        decision = self._decide(job, request, alias, lost, anything_there=True)
        return report if decision.status is Status.AVAILABLE else decision

    def _decide(
        self, job: Job, request: ClipRequest, alias: str, gaps: Sequence[Gap], *, anything_there: bool
    ) -> Decision:
        return decide(
            request.interval, gaps, job.first_asked_ms, job.due_ms(self._options.retry_delay_s),
            self._options.limits, anything_there=anything_there, camera=alias,
        )  # fmt: skip

    def _store(self, record: ClipRecord, request: ClipRequest, report: CutReport) -> None:
        names = self._options.names
        for size, path in report.thumbnails.items():
            key = names.thumbnail(request.camera_id, request.clip_id, size)
            self._put(record, key, path, CONTENT_TYPES[names.thumbnail_format])
        self._put(record, names.clip(request.camera_id, request.clip_id), report.clip, "video/mp4")

    def _put(self, record: ClipRecord, key: str, path: Path, content_type: str) -> None:
        """Store one object; Conflict where a later owner of the clipId was here.

        What an earlier owner left is replaced, and nothing else: its version is looked up before it is made
        sure that nobody owns the clipId since, so that whatever a later owner stores is another version.
        """
        store = self._services.destination
        try:
            store.put_file(key, path, content_type, replaces=None)
        except Conflict as error:
            version = store.head(key).version
            if not record.owned():
                raise error
            store.put_file(key, path, content_type, replaces=version)

    def _available(self, job: Job, report: CutReport) -> Result:
        return job.result(
            Status.AVAILABLE,
            None,
            bucket=self._services.destination.name,
            names=self._options.names,
            thumbnail_sizes=self._options.thumbnail_sizes,
            details=report.details,
        )

    def _decided(self, job: Job, record: ClipRecord, decision: Decision) -> Outcome:
        if decision.status is Status.PENDING and job.request is not None:
            # Sent before it is remembered: a crash in between sends it twice, and the second one is
            # dropped on receipt; the other way round it could be lost.
            died = job.message.times_dead_lettered
            self._services.queue.send(
                job.request.retry_body(job.message.first_sent_ms),
                delay_s=self._options.retry_delay_s,
                attributes={TIMES_DEAD_LETTERED: str(died)} if died else None,
            )
        return record.finish(job.result(decision.status, decision.reason))


def _stopwatch(job: Job, observe: Observer) -> Stopwatch:
    camera_id = job.request.camera_id if job.request else None
    stage = Stage(
        "", job.message.message_id, job.clip_id, camera_id, job.attempt, job.message.receive_count, None
    )
    return Stopwatch(lambda name, duration_ms: observe(replace(stage, name=name, duration_ms=duration_ms)))


def _gaps(report: CutReport) -> tuple[Gap, ...]:
    """What is missing in the clip that was made: at least what was known before."""
    return tuple(
        Gap(Interval(part["startTimestampInMs"], part["endTimestampInMs"]), part["gap"])
        for part in report.details["coverage"]
        if "gap" in part
    )


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, CliplineError) else f"{type(error).__name__}: {error}"
