"""Cut a clip out of recordings: the one door to the media engine.

cut = prepare(candidates, interval, directory)      # reads the indexes only
if not cut.plan.gaps:
    report = cut.render(directory / "clip.mp4", ThumbnailOptions((300, 640)))
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import EngineFailed, MediaError, NoFrames, UnreadableRecording, UnsupportedMedia
from clipline.contract.interval import Interval
from clipline.contract.modes import CutMode, HevcMode
from clipline.media.encoder import can_splice
from clipline.media.index import RecordingIndex, Window, read_index
from clipline.media.intake import SNIFF_BYTES, sniff, take_in
from clipline.media.limits import MediaLimits
from clipline.media.plan import Plan, PlanOptions, make_plan
from clipline.media.ranges import ByteSource, Fetch
from clipline.media.report import details
from clipline.media.spans import BlackSpan
from clipline.media.splice import (
    UnreadableSource,
    clip_form,
    encode_sound,
    encode_spans,
    naming_source,
    needed_ranges,
    sample_reader,
    write_clip,
)
from clipline.media.still import picture_at
from clipline.media.stopwatch import Stopwatch
from clipline.media.thumbnails import write_thumbnails
from clipline.media.timeline import Source
from clipline.media.verify import verify
from clipline.media.video import configuration, rotation, with_described_sets, within_pixels

THUMBNAIL_AT = Fraction(1, 4)
"""How far into the clip the thumbnail picture is shown."""

INDEXES_AT_A_TIME = 4
NO_RECORDING = "no recording"
"""The reason of a gap that nothing else explains."""


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
    framesCopied, framesEncoded, method, why, audio (method, why), notes, bytesRead,
    sizeInBytes, durationInMs, width, height."""


def prepare(
    candidates: Sequence[Candidate],
    interval: Interval,
    directory: Path,
    *,
    gap_policy: GapPolicy = GapPolicy.FAIL,
    tolerance_ms: int = 1000,
    mode: CutMode = CutMode.EXACT,
    hevc_mode: HevcMode = HevcMode.H264,
    missing: Sequence[tuple[Interval, str]] = (),
    limits: MediaLimits = MediaLimits(),  # noqa: B008 - frozen
    stopwatch: Stopwatch | None = None,
) -> Cut:
    """Read the indexes of ``candidates`` and plan the clip of ``interval``.

    A recording that can't be read counts as a gap that names the reason; so does what ``missing``
    says about a span. ``directory`` takes temporary files. Of ``limits`` those of pixels and of the output
    hold. Raises NoFrames where nothing of the interval is there.
    """
    stopwatch = stopwatch or Stopwatch()
    stopwatch.begin("index")
    ordered = sorted(candidates, key=lambda one: (one.start_ms, one.source.name))
    with ThreadPoolExecutor(INDEXES_AT_A_TIME, thread_name_prefix="index") as pool:
        indexes = list(
            pool.map(partial(_try_index, interval=interval, directory=directory, limits=limits), ordered)
        )
    readable: list[tuple[Candidate, RecordingIndex]] = []
    unreadable: list[str] = []
    for index in indexes:
        if isinstance(index, MediaError):
            unreadable.append(str(index))
        else:
            readable.append(index)
    if not readable:
        raise NoFrames("; ".join(unreadable) or f"no recording covers {interval}")

    def gap_reason(gap: Interval) -> str:
        reasons = [reason for span, reason in missing if span & gap]
        return "; ".join(reasons + unreadable) or NO_RECORDING

    options = PlanOptions(gap_policy, tolerance_ms, mode, gap_reason)
    return Cut(readable, interval, directory, stopwatch, options, hevc_mode, limits)


def _try_index(
    candidate: Candidate, interval: Interval, directory: Path, limits: MediaLimits
) -> tuple[Candidate, RecordingIndex] | MediaError:
    """A recording and its index. What is no MP4 has its samples in a file of ``directory`` from here on."""
    source = candidate.source
    window = Window(
        Fraction(interval.start_ms - candidate.start_ms, 1000),
        Fraction(interval.end_ms - candidate.start_ms, 1000),
    )
    try:
        try:
            index = read_index(source, window)
        except UnreadableRecording:
            head = source.read(0, min(SNIFF_BYTES, source.size_bytes))
            container = sniff(head)
            if container in (None, "mp4"):
                raise
            taken, index = take_in(source, container, directory, window)
            # Its beginning was read by read_index and for sniff as well.
            index = replace(index, bytes_read=index.bytes_read + 2 * len(head))
            candidate = replace(candidate, source=taken)
        video = index.video

        def read_sample(number: int) -> bytes:
            ((offset, size),) = video.locate(number, number + 1)
            return candidate.source.read(offset, size)

        video = with_described_sets(video, read_sample)
        try:
            index = replace(index, video=within_pixels(video, limits.pixels))
        except UnsupportedMedia as error:
            raise UnsupportedMedia(f"{source.name}: {error}") from None
    except (UnreadableRecording, UnsupportedMedia) as error:
        return error
    return candidate, index


class Cut:
    """A planned cut. Made by ``prepare``."""

    def __init__(
        self,
        readable: Sequence[tuple[Candidate, RecordingIndex]],
        interval: Interval,
        directory: Path,
        stopwatch: Stopwatch,
        options: PlanOptions,
        hevc_mode: HevcMode,
        limits: MediaLimits,
    ) -> None:
        self._bytes = [candidate.source for candidate, _ in readable]
        self._interval = interval
        self._directory = directory
        self._stopwatch = stopwatch
        self._options = options
        self._hevc_mode = hevc_mode
        self._limits = limits
        self._audio: Mapping[str, Any] = {}
        self._bytes_read = sum(index.bytes_read for _, index in readable)
        self._notes = [
            f"{candidate.source.name}: {note}" for candidate, index in readable for note in index.notes
        ]
        sources = [Source(candidate.source.name, candidate.start_ms, index) for candidate, index in readable]
        self._sources = _mark_copyable(sources, make_plan(sources, interval, options), hevc_mode)
        self.plan = make_plan(self._sources, interval, options)
        """As far as the indexes tell; ``render`` refines what is copied once the footage is there."""

    def render(self, output: Path, thumbnails: ThumbnailOptions | None = None) -> CutReport:
        """Make the clip at ``output``, which must not exist, and its thumbnails beside it.

        The file is verified against the plan. Where a splice fails, the clip is made again without
        copying, and ``why`` in the report says so. Where the footage of a recording turns out not to decode,
        the clip is made again without that recording, which becomes a gap with that reason; under
        GapPolicy.FAIL, or where nothing is left, UnreadableRecording is raised. EngineFailed is raised where
        the clip would be larger than the limit.
        """
        with ExitStack() as stack:
            fetches: dict[int, Fetch] = {}
            pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="thumbnails"))
            encode_all: str | None = None
            while True:
                try:
                    plan = self._fetch_and_refine(stack, fetches, encode_all)
                    pictures = None
                    if thumbnails is not None:
                        pictures = pool.submit(_make_thumbnails, plan, fetches, thumbnails, output)
                    self._make(plan, fetches, output)
                    self._stopwatch.begin("thumbnails")
                    made = pictures.result() if pictures else {}
                    break
                except UnreadableSource as error:
                    self._leave_out(error)
                except (UnreadableRecording, EngineFailed):
                    raise
                except MediaError as error:
                    if encode_all or not plan.frames_copied:
                        raise
                    encode_all = f"the splice failed: {error}"
                output.unlink(missing_ok=True)
            self._stopwatch.end()
        form = clip_form(plan, self._hevc_mode)
        found = details(plan, form, self._options, output, self._bytes_read)
        return CutReport(output, made, found | {"audio": self._audio, "notes": self._notes})

    def _fetch_and_refine(self, stack: ExitStack, fetches: dict[int, Fetch], encode_all: str | None) -> Plan:
        self._stopwatch.begin("fetch")
        if not fetches:
            self._fetch(stack, self.plan, fetches)
        plan = self._refine(fetches, encode_all)
        if plan.decoded != self.plan.decoded:  # a sync sample was no IDR picture, or it is planned anew
            self._fetch(stack, plan, fetches)
        return plan

    def _leave_out(self, error: UnreadableSource) -> None:
        """Plan without the recording from now on. Raises ``error`` where there may be no gap."""
        if self._options.gap_policy is GapPolicy.FAIL:
            raise error
        left = self._sources[error.source]
        span = Interval(
            left.start_ms, max(math.ceil(left.wall_ms(left.index.video.end_pts)), left.start_ms + 1)
        )
        known, reason = self._options.gap_reason, str(error)

        def gap_reason(gap: Interval) -> str:
            if not span & gap:
                return known(gap)
            others = known(gap)
            return reason if others == NO_RECORDING else f"{reason}; {others}"

        self._sources[error.source] = replace(left, left_out=reason)
        self._options = replace(self._options, gap_reason=gap_reason)
        try:
            make_plan(self._sources, self._interval, self._options)
        except NoFrames:
            raise error from None

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
            sets = configuration(video)
            read = sample_reader(video, fetches[number], partial(self._read_more, number))

            def ask(question: Callable[[bytes], bool], sample: int) -> bool:
                with naming_source(number, source.name):
                    return question(read(sample))

            return replace(
                source,
                can_begin_copy=partial(ask, sets.can_begin_copy),
                can_begin_decoding=partial(ask, sets.can_begin_decoding),
                leans_on_before=partial(ask, sets.leans_on_before),
            )

        sources = [checked(number, source) for number, source in enumerate(self._sources)]
        return make_plan(sources, self._interval, self._options, encode_all=encode_all)

    def _read_more(self, number: int, offset: int, size: int) -> bytes:
        self._bytes_read += size
        return self._bytes[number].read(offset, size)

    def _make(self, plan: Plan, fetches: Mapping[int, Fetch], output: Path) -> None:
        self._stopwatch.begin("encode")
        form = clip_form(plan, self._hevc_mode)
        with encode_spans(plan, form, fetches, self._directory) as encoded:
            sound = encode_sound(plan, fetches)
            self._audio = {"method": plan.audio.method, "why": [*plan.audio.why, *sound.why]}
            self._stopwatch.begin("write")
            write_clip(plan, form, fetches, encoded, sound, output, self._limits.output_bytes)
        self._stopwatch.begin("verify")
        verify(output, plan)


def _mark_copyable(sources: Sequence[Source], plan: Plan, hevc_mode: HevcMode) -> list[Source]:
    """The sources, each with the reason why its pictures must be encoded, if one is known.

    Recordings whose parameter sets differ from those of most frames are encoded to match.
    """
    forms = [(configuration(one.index.video), rotation(one.index.video)) for one in sources]
    reasons = [can_splice(sets, hevc_mode) for sets, _ in forms]
    frames: Counter[int] = Counter()
    for span, times in zip(plan.spans, plan.span_pts, strict=True):
        if not isinstance(span, BlackSpan) and not reasons[span.source]:
            # Of equal recordings the first one counts for all.
            frames[forms.index(forms[span.source])] += len(times)
    reference = forms[frames.most_common(1)[0][0]] if frames else None
    differs = "its parameters differ from the other recordings'"
    return [
        replace(source, encode_why=why or (None if form == reference else differs))
        for source, form, why in zip(sources, forms, reasons, strict=True)
    ]


def _make_thumbnails(
    plan: Plan, fetches: Mapping[int, Fetch], options: ThumbnailOptions, output: Path
) -> dict[int, Path]:
    frame, source = picture_at(plan, fetches, plan.end_pts * THUMBNAIL_AT)
    video = source.index.video
    return write_thumbnails(
        frame, options.widths, options.picture_format, output.parent, stem=output.stem,
        sample_aspect=configuration(video).sequence.sample_aspect, rotation=rotation(video),
    )  # fmt: skip
