"""Cut a clip out of recordings: the one door to the media engine.

cut = prepare(candidates, interval, directory)      # reads the indexes only
if not cut.plan.gaps:
    report = cut.render(directory / "clip.mp4", ThumbnailOptions((300, 640)))
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import MediaError, NoFrames, UnreadableRecording
from clipline.contract.interval import Interval
from clipline.media.codec import can_splice, configuration, decode
from clipline.media.index import RecordingIndex, read_index
from clipline.media.parameter_sets import is_entry, is_idr
from clipline.media.plan import BlackSpan, CopySpan, EncodeSpan, Plan, make_plan
from clipline.media.ranges import ByteSource, Fetch
from clipline.media.splice import (
    encode_sound,
    encode_spans,
    needed_ranges,
    reference_source,
    sample_reader,
    write_clip,
)
from clipline.media.thumbnails import write_thumbnails
from clipline.media.timeline import Source
from clipline.media.verify import verify

THUMBNAIL_AT = Fraction(1, 4)
"""How far into the clip the thumbnail picture is shown."""

INDEXES_AT_A_TIME = 4

OnStage = Callable[[str], None]
"""Called with a stage's name when it begins."""


@dataclass(frozen=True)
class Candidate:
    """A recording that may hold part of the clip."""

    source: ByteSource
    start_ms: int
    """Wall time of its beginning, milliseconds since the epoch."""


@dataclass(frozen=True)
class ThumbnailOptions:
    """Which thumbnails to make."""

    widths: Sequence[int]
    """Pixels."""
    picture_format: str = "png"


@dataclass(frozen=True)
class CutReport:
    """What was delivered."""

    clip: Path
    thumbnails: Mapping[int, Path]
    """The file of each width."""
    details: Mapping[str, Any]
    """Keys of the result metadata beyond the contract's: coverage, partial, first and last frame,
    framesCopied, framesEncoded, method, why, audio (method, why), bytesRead, sizeInBytes, durationInMs,
    width, height."""


@dataclass
class Stopwatch:
    """Times stages that follow each other: camera, recordings, index, fetch, encode, write, verify,
    thumbnails (what remains of them then: they are made beside the others), store, notify."""

    on_stage: OnStage = lambda _: None
    timings_ms: dict[str, int] = field(default_factory=dict)
    _running: tuple[str, float] | None = None

    def begin(self, stage: str) -> None:
        self.end()
        self._running = (stage, time.monotonic())
        self.on_stage(stage)

    def end(self) -> None:
        if self._running is not None:
            stage, began = self._running
            spent_ms = round((time.monotonic() - began) * 1000)
            self.timings_ms[stage] = self.timings_ms.get(stage, 0) + spent_ms
            self._running = None


def prepare(
    candidates: Sequence[Candidate],
    interval: Interval,
    directory: Path,
    *,
    gap_policy: GapPolicy = GapPolicy.FAIL,
    tolerance_ms: int = 1000,
    missing: Sequence[tuple[Interval, str]] = (),
    stopwatch: Stopwatch | None = None,
) -> Cut:
    """Read the indexes of ``candidates`` and plan the clip of ``interval``.

    A recording that can't be read counts as a gap that names the reason; so does what ``missing``
    says about a span. ``directory`` takes temporary files. Raises NoFrames where nothing of the
    interval is there, UnsupportedMedia where footage can't be cut yet.
    """
    stopwatch = stopwatch or Stopwatch()
    stopwatch.begin("index")
    ordered = sorted(candidates, key=lambda one: (one.start_ms, one.source.name))
    with ThreadPoolExecutor(INDEXES_AT_A_TIME, thread_name_prefix="index") as pool:
        indexes = list(pool.map(_try_index, ordered))
    readable: list[tuple[Candidate, RecordingIndex]] = []
    unreadable: list[str] = []
    for candidate, index in zip(ordered, indexes, strict=True):
        if isinstance(index, RecordingIndex):
            readable.append((candidate, index))
        else:
            unreadable.append(str(index))
    if not readable:
        raise NoFrames("; ".join(unreadable) or f"no recording covers {interval}")

    def gap_reason(gap: Interval) -> str:
        reasons = [reason for span, reason in missing if span & gap]
        return "; ".join(reasons + unreadable) or "no recording"

    options = {"gap_policy": gap_policy, "tolerance_ms": tolerance_ms, "gap_reason": gap_reason}
    return Cut(readable, interval, directory, stopwatch, options)


def _try_index(candidate: Candidate) -> RecordingIndex | UnreadableRecording:
    try:
        index = read_index(candidate.source)
        configuration(index.video)
    except UnreadableRecording as error:
        return error
    return index


class Cut:
    """A planned cut. Made by ``prepare``."""

    def __init__(
        self,
        readable: Sequence[tuple[Candidate, RecordingIndex]],
        interval: Interval,
        directory: Path,
        stopwatch: Stopwatch,
        plan_options: Mapping[str, Any],
    ) -> None:
        self._bytes = [candidate.source for candidate, _ in readable]
        self._interval = interval
        self._directory = directory
        self._stopwatch = stopwatch
        self._options = plan_options
        self._audio: Mapping[str, Any] = {}
        self._bytes_read = sum(index.bytes_read for _, index in readable)
        sources = [Source(candidate.source.name, candidate.start_ms, index) for candidate, index in readable]
        plan = make_plan(sources, interval, **plan_options)
        self._sources = _mark_copyable(sources, plan)
        self.plan = plan
        """As far as the indexes tell; ``render`` refines what is copied once the footage is there."""

    def render(self, output: Path, thumbnails: ThumbnailOptions | None = None) -> CutReport:
        """Make the clip at ``output``, which must not exist, and its thumbnails beside it.

        The file is verified against the plan. Where a splice fails, the clip is made again without
        copying, and ``why`` in the report says so.
        """
        with ExitStack() as stack:
            self._stopwatch.begin("fetch")
            fetches: dict[int, Fetch] = {}
            self._fetch(stack, self.plan, fetches)
            plan = self._refine(fetches)
            if plan.decoded != self.plan.decoded:  # a sync sample was no IDR picture
                self._fetch(stack, plan, fetches)
            pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="thumbnails"))
            pictures = None
            if thumbnails is not None:
                pictures = pool.submit(_make_thumbnails, plan, fetches, thumbnails, output)
            try:
                self._make(plan, fetches, output)
            except UnreadableRecording:
                raise
            except MediaError as error:
                if not plan.frames_copied:
                    raise
                output.unlink(missing_ok=True)
                plan = self._refine(fetches, encode_all=f"the splice failed: {error}")
                self._fetch(stack, plan, fetches)
                self._make(plan, fetches, output)
            self._stopwatch.begin("thumbnails")
            made = pictures.result() if pictures else {}
            self._stopwatch.end()
        return CutReport(output, made, self._details(plan, output))

    def _fetch(self, stack: ExitStack, plan: Plan, fetches: dict[int, Fetch]) -> None:
        """Ask for what ``plan`` needs beyond what ``fetches`` have asked for already."""
        for number, ranges in needed_ranges(plan).items():
            before = 0
            if number in fetches:
                before = fetches[number].bytes_read
                fetches[number].want(ranges)
            else:
                fetches[number] = stack.enter_context(Fetch(self._bytes[number], ranges, self._directory))
            self._bytes_read += fetches[number].bytes_read - before

    def _refine(self, fetches: Mapping[int, Fetch], encode_all: str | None = None) -> Plan:
        """The plan again, now that it can be seen which sync samples are IDR pictures."""

        def checked(number: int, source: Source) -> Source:
            if number not in fetches:
                return source
            video = source.index.video
            length_bytes = configuration(video).length_bytes
            read = sample_reader(video, fetches[number], partial(self._read_more, number))
            return replace(
                source,
                is_idr=lambda sample: is_idr(read(sample), length_bytes),
                is_entry=lambda sample: is_entry(read(sample), length_bytes),
            )

        sources = [checked(number, source) for number, source in enumerate(self._sources)]
        return make_plan(sources, self._interval, **self._options, encode_all=encode_all)

    def _read_more(self, number: int, offset: int, size: int) -> bytes:
        self._bytes_read += size
        return self._bytes[number].read(offset, size)

    def _make(self, plan: Plan, fetches: Mapping[int, Fetch], output: Path) -> None:
        self._stopwatch.begin("encode")
        encoded = encode_spans(plan, fetches)
        sound = encode_sound(plan, fetches)
        self._audio = {"method": plan.audio.method, "why": [*plan.audio.why, *sound.why]}
        self._stopwatch.begin("write")
        write_clip(plan, fetches, encoded, sound, output)
        self._stopwatch.begin("verify")
        verify(output, plan)

    def _details(self, plan: Plan, output: Path) -> dict[str, Any]:
        policy = self._options["gap_policy"]
        coverage = []
        for part in plan.parts:
            entry: dict[str, Any] = {
                "startTimestampInMs": part.span.start_ms,
                "endTimestampInMs": part.span.end_ms,
            }
            if part.recording is not None:
                entry["recording"] = part.recording
            else:
                entry |= {"gap": part.reason, "filledWith": str(policy)}
            coverage.append(entry | {"clipOffsetInMs": part.clip_offset_ms})
        encodes = [span.why for span in plan.spans if isinstance(span, EncodeSpan)]
        if plan.frames_copied:
            method = "copy+encode" if encodes or _has_black(plan) else "copy"
        else:
            method = "encode"
        sequence = configuration(plan.sources[reference_source(plan)].index.video).sequence
        return {
            "coverage": coverage,
            "partial": bool(plan.gaps),
            "firstFrameTimestampInMs": round(plan.first_frame_ms),
            "lastFrameTimestampInMs": round(plan.last_frame_ms),
            "framesCopied": plan.frames_copied,
            "framesEncoded": plan.frames_encoded,
            "method": method,
            "why": list(dict.fromkeys(encodes)),
            "audio": self._audio,
            "bytesRead": self._bytes_read,
            "sizeInBytes": output.stat().st_size,
            "durationInMs": round(Fraction(plan.end_pts * 1000, plan.timescale)),
            "width": sequence.width,
            "height": sequence.height,
        }


def _has_black(plan: Plan) -> bool:
    return any(isinstance(span, BlackSpan) for span in plan.spans)


def _mark_copyable(sources: Sequence[Source], plan: Plan) -> list[Source]:
    """Recordings whose parameter sets differ from those of most frames are encoded to match."""
    frames: Counter[object] = Counter()
    configurations = [configuration(source.index.video) for source in sources]
    for span, times in zip(plan.spans, plan.span_pts, strict=True):
        if not isinstance(span, BlackSpan):
            frames[configurations[span.source]] += len(times)
    reference = frames.most_common(1)[0][0]
    return [
        replace(source, copyable=found == reference and can_splice(found))
        for source, found in zip(sources, configurations, strict=True)
    ]


def _make_thumbnails(
    plan: Plan, fetches: Mapping[int, Fetch], options: ThumbnailOptions, output: Path
) -> dict[int, Path]:
    frame, source = _picture_at(plan, fetches, plan.end_pts * THUMBNAIL_AT)
    return write_thumbnails(
        frame, options.widths, options.picture_format, output.parent,
        stem=output.stem, sample_aspect=configuration(source.index.video).sequence.sample_aspect,
    )  # fmt: skip


def _picture_at(plan: Plan, fetches: Mapping[int, Fetch], pts: Fraction) -> tuple[av.VideoFrame, Source]:
    """The camera's picture that is shown at ``pts`` (or the first one, where black is shown till then)."""
    shown = [
        (time, span, place)
        for span, times in zip(plan.spans, plan.span_pts, strict=True)
        if not isinstance(span, BlackSpan)
        for place, time in enumerate(times)
    ]
    before = [entry for entry in shown if entry[0] <= pts]
    _, span, place = max(before or shown[:1], key=lambda entry: entry[0])
    source = plan.sources[span.source]
    video = source.index.video
    first = span.first
    if isinstance(span, CopySpan):
        number = span.first + place
        syncs = range(len(video)) if video.sync is None else video.sync
        for sync in reversed(syncs[: bisect_right(syncs, number)]):
            if sync <= span.first or source.is_idr(sync):
                first = max(sync, span.first)
                break
    else:
        number = span.frames[place]
    read = sample_reader(video, fetches[span.source])
    return next(decode(video, first, number + 1, [number], read)), source
