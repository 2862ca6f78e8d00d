"""From a plan to a file: encode what must be encoded, copy the rest byte for byte, index first."""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, chain, groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import av

from clipline.contract.errors import UnreadableRecording
from clipline.contract.modes import HevcMode
from clipline.media.audio_codec import EncodedAudio, encode_audio
from clipline.media.audio_spans import CopiedSound
from clipline.media.decoder import decode
from clipline.media.encoder import Encoder, EncoderFormat, beside, free_standing, make_encoder
from clipline.media.fit import Fitter, canvas_of
from clipline.media.index import Track
from clipline.media.limits import MediaLimits, too_large
from clipline.media.mux import AUDIO_HEADER, Chunk, OutputTrack, file_head, visual_entry
from clipline.media.parameter_sets import SequenceParameters
from clipline.media.plan import Plan
from clipline.media.ranges import ByteRange, Fetch, copy_bytes, runs
from clipline.media.sound import aac_entry, clip_entry
from clipline.media.spans import BlackSpan, CopySpan, EncodeSpan
from clipline.media.video import VideoConfiguration, VideoSets, configuration, rotation

_VIDEO, _AUDIO = 0, 1
_SPOOL, _MEMORY = -1, -2
"""In place of a source's number: the encoder's spool file, and bytes at hand."""


class UnreadableSource(UnreadableRecording):
    """The footage of one recording of a plan can't be read, though its index could."""

    def __init__(self, source: int, message: str) -> None:
        super().__init__(message)
        self.source = source
        """Its place in ``plan.sources``."""


@contextmanager
def naming_source(number: int, name: str) -> Iterator[None]:
    """What can't be read within is told as the fault of that recording."""
    try:
        yield
    except UnreadableSource:
        raise
    except UnreadableRecording as error:
        message = str(error)
        raise UnreadableSource(number, message if name in message else f"{name}: {message}") from error


def needed_ranges(plan: Plan) -> dict[int, list[ByteRange]]:
    """For each source the bytes that its part of the clip is made of."""
    places: dict[int, list[tuple[int, int]]] = {}

    def need(source: int, track: Track, first: int, stop: int) -> None:
        places.setdefault(source, []).extend(track.locate(first, stop))

    for span in plan.spans:
        if not isinstance(span, BlackSpan):
            need(span.source, plan.sources[span.source].index.video, span.first, span.stop)
    for number, first, stop in plan.audio.needs:
        need(number, _audio_of(plan, number), first, stop)
    return {
        source: [ByteRange(offset, offset + length) for offset, length in runs(sorted(pieces))]
        for source, pieces in places.items()
    }


def _audio_of(plan: Plan, source: int) -> Track:
    audio = plan.sources[source].index.audio
    assert audio is not None
    return audio


def encode_sound(plan: Plan, fetches: Mapping[int, Fetch]) -> EncodedAudio:
    """Encode what audio is not copied."""
    tracks = {source: _audio_of(plan, source) for source, _, _ in plan.audio.needs}
    readers = {source: sample_reader(track, fetches[source]) for source, track in tracks.items()}
    return encode_audio(plan.audio, tracks, readers)


def sample_reader(
    track: Track, fetch: Fetch, elsewhere: Callable[[int, int], bytes] | None = None
) -> Callable[[int], bytes]:
    """Reads one sample by its number; what was not fetched, by ``elsewhere(offset, size)``."""

    def read(number: int) -> bytes:
        ((offset, size),) = track.locate(number, number + 1)
        if elsewhere is not None and not fetch.holds(offset, size):
            return elsewhere(offset, size)
        return fetch.read(offset, size)

    return read


@dataclass(frozen=True)
class ClipForm:
    """What the clip's video track is."""

    reference: Track
    """The track whose form the clip has."""
    copied: VideoConfiguration | None
    """What copied pictures refer to; None: none are copied."""
    encoder: EncoderFormat
    """Of the pictures that are encoded."""

    @property
    def sequence(self) -> SequenceParameters:
        return self.copied.sequence if self.copied else self.encoder.sequence


def clip_form(plan: Plan, hevc_mode: HevcMode) -> ClipForm:
    """That of the first recording that is copied, else of the one with the most frames."""
    copied = [span.source for span in plan.spans if isinstance(span, CopySpan)]
    encoded = [span for span in plan.spans if isinstance(span, EncodeSpan)]
    source = copied[0] if copied else max(encoded, key=lambda span: len(span.frames)).source
    track = plan.sources[source].index.video
    sets = configuration(track)
    rate = _frame_rate(plan)
    if not copied:
        return ClipForm(track, None, free_standing(sets, rate, rotation(track), hevc_mode))
    return ClipForm(track, sets, beside(sets, rate, rotation(track), reordered=not track.in_order))


def _frame_rate(plan: Plan) -> Fraction:
    """The usual distance between frames, as a rate; encoders take it for their timing fields."""
    times = sorted(chain.from_iterable(plan.span_pts))
    steps = sorted(b - a for a, b in pairwise(times) if b > a)
    step = steps[len(steps) // 2] if steps else max(plan.end_pts, 1)
    return Fraction(plan.timescale, step).limit_denominator(100_000)


@dataclass(frozen=True, eq=False)
class EncodedSpan:
    """Where the coded pictures of one span lie in the spool."""

    offset: int
    sizes: Sequence[int]
    sync: Sequence[int]
    """Places of the IDR pictures."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the encoder made, in a spool file."""

    descriptor: int
    spans: Mapping[int, EncodedSpan]
    """By their place in ``plan.spans``."""
    configuration: VideoSets | None
    """None: nothing was encoded."""


@contextmanager
def encode_spans(
    plan: Plan, form: ClipForm, fetches: Mapping[int, Fetch], directory: Path
) -> Iterator[Encoded]:
    """Encode every span that is not copied; memory stays flat however many frames that are."""
    spans: dict[int, EncodedSpan] = {}
    made: set[VideoSets] = set()
    with tempfile.TemporaryFile(dir=directory, prefix="encoded-", buffering=0) as spool:
        at = 0
        for place, span in enumerate(plan.spans):
            if isinstance(span, CopySpan):
                continue
            encoder = make_encoder(form.encoder, plan.frames_encoded)
            sizes: list[int] = []
            sync: list[int] = []
            for data, is_idr in encoder.encode(_pictures(plan, span, encoder, fetches)):
                _write_all(spool.fileno(), data)
                if is_idr:
                    sync.append(len(sizes))
                sizes.append(len(data))
            made.add(encoder.configuration)
            spans[place] = EncodedSpan(at, sizes, sync)
            at += sum(sizes)
        if len(made) > 1:
            raise AssertionError("the encoder wrote other parameter sets for the same format")
        yield Encoded(spool.fileno(), spans, made.pop() if made else None)


def _pictures(
    plan: Plan, span: EncodeSpan | BlackSpan, encoder: Encoder, fetches: Mapping[int, Fetch]
) -> Iterable[av.VideoFrame]:
    """The pictures of a span, as they are to be encoded."""
    if isinstance(span, BlackSpan):
        return [encoder.black()]
    video = plan.sources[span.source].index.video
    own = canvas_of(configuration(video).sequence, "", rotation(video))
    read = sample_reader(video, fetches[span.source])
    return _fitted(plan, span, Fitter(own, encoder.canvas), read)


def _fitted(
    plan: Plan, span: EncodeSpan, fitter: Fitter, read: Callable[[int], bytes]
) -> Iterator[av.VideoFrame]:
    source = plan.sources[span.source]
    with naming_source(span.source, source.name):
        for frame in decode(source.index.video, span.first, span.stop, span.frames, read):
            yield fitter.fit(frame)


class _Item(NamedTuple):
    """A sample on its way into the file."""

    track: int
    size: int
    source: int
    """Of the bytes behind ``front``, or ``_SPOOL``; ``_MEMORY`` where ``front`` is all."""
    offset: int
    front: bytes = b""


def write_clip(
    plan: Plan,
    form: ClipForm,
    fetches: Mapping[int, Fetch],
    encoded: Encoded,
    sound: EncodedAudio,
    output: Path,
    most_bytes: int = MediaLimits.output_bytes,
) -> None:
    """Write the clip to ``output``. Raises EngineFailed where it is too large, before anything is written."""
    items, tracks = _lay_out(plan, form, fetches, encoded, sound)
    size_bytes = sum(item.size for item in items)
    if size_bytes > most_bytes:
        raise too_large(f"the clip would have {size_bytes} bytes", most_bytes)
    chunks: list[Chunk] = []
    for track, group in groupby(items, key=lambda item: item.track):
        sizes = [item.size for item in group]
        chunks.append(Chunk(track, len(sizes), sum(sizes)))
    with output.open("xb", buffering=0) as file:
        descriptor = file.fileno()
        _write_all(descriptor, file_head(tracks, chunks, int(plan.first_frame_ms)))
        for source, offset, length, front in _pieces(items):
            _write_all(descriptor, front)
            if source == _SPOOL:
                copy_bytes(encoded.descriptor, descriptor, offset, length)
            elif source >= 0:
                with naming_source(source, plan.sources[source].name):
                    fetches[source].copy_to(descriptor, offset, length)


def _pieces(items: Iterable[_Item]) -> Iterator[tuple[int, int, int, bytes]]:
    """(source, offset, length, what comes before it) of long runs."""
    source, offset, length, front = _MEMORY, 0, 0, b""
    for item in items:
        body = item.size - len(item.front)
        if not item.front and (item.source, item.offset) == (source, offset + length):
            length += body
            continue
        yield source, offset, length, front
        source, offset, length, front = item.source, item.offset, body, item.front
    yield source, offset, length, front


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _lay_out(
    plan: Plan, form: ClipForm, fetches: Mapping[int, Fetch], encoded: Encoded, sound: EncodedAudio
) -> tuple[list[_Item], list[OutputTrack]]:
    """The samples in file order, and the tracks that index them."""
    video_sizes: list[int] = []
    video_pts: list[int] = []
    sync: list[int] = []
    items: list[_Item] = []
    audio_items, audio_track = _audio(plan, sound)
    audio_at = 0
    for place, (span, pts) in enumerate(zip(plan.spans, plan.span_pts, strict=True)):
        before = len(video_sizes)
        if isinstance(span, CopySpan):
            span_items, span_sync = _copied_items(plan, span, fetches)
        else:
            made = encoded.spans[place]
            offsets = accumulate(made.sizes, initial=made.offset)
            places = zip(made.sizes, offsets, strict=False)
            span_items = [_Item(_VIDEO, size, _SPOOL, at) for size, at in places]
            span_sync = made.sync
        sync += [before + number for number in span_sync]
        video_sizes += [item.size for item in span_items]
        video_pts += pts
        until = min(plan.span_pts[place + 1]) if place + 1 < len(plan.spans) else None
        audio_stop = audio_at
        while audio_stop < len(audio_items) and (
            until is None or audio_items[audio_stop][0] * plan.timescale < until * audio_track.timescale
        ):
            audio_stop += 1
        sounds = [item for _, item in audio_items[audio_at:audio_stop]]
        audio_at = audio_stop
        # In the source's own order, so that video and audio that lie side by side go in one copy. Audio
        # from elsewhere stays before or behind: a track's samples lie in the order of their times.
        own = span_items[0].source
        beside_it = [number for number, item in enumerate(sounds) if item.source == own >= 0]
        begin = beside_it[0] if beside_it else 0
        end = begin + next((n for n, at in enumerate(beside_it) if at != begin + n), len(beside_it))
        beside = sorted(span_items + sounds[begin:end], key=lambda item: item.offset)
        items += sounds[:begin] + beside + sounds[end:]
    sets: list[VideoSets] = [one for one in (form.copied, encoded.configuration) if one is not None]
    entry = visual_entry(form.reference.entry, form.sequence, _together(sets))
    header = form.reference.header
    tracks = [OutputTrack("vide", entry, plan.timescale, header, video_sizes, video_pts, plan.end_pts, sync)]
    if audio_items:
        tracks.append(audio_track)
    return items, tracks


def _together(sets: Sequence[VideoSets]) -> VideoSets:
    first = sets[0]
    for other in sets[1:]:
        assert type(other).codec == first.codec, "one track holds pictures of one codec"
        first = first + other  # type: ignore[operator]
    return first


def _copied_items(
    plan: Plan, span: CopySpan, fetches: Mapping[int, Fetch]
) -> tuple[list[_Item], Sequence[int]]:
    """The samples of a span, and which of them are sync samples."""
    video = plan.sources[span.source].index.video
    places = video.locate(span.first, span.stop)
    if span.left_out:
        places = [places[number - span.first] for number in span.samples]
    items = [_Item(_VIDEO, size, span.source, offset) for offset, size in places]
    samples = span.samples
    syncs = range(len(samples)) if video.sync is None else sync_places(samples, video.sync)
    sets = configuration(video)
    read = sample_reader(video, fetches[span.source])
    for place in syncs:
        with naming_source(span.source, plan.sources[span.source].name):
            front, skipped = sets.sync_front(read(samples[place]), begins=place == 0)
        if not skipped and not place:
            break  # a recorder repeats parameter sets before every keyframe or before none
        _, size, source, offset, _ = items[place]
        items[place] = _Item(_VIDEO, size - skipped + len(front), source, offset + skipped, front)
    return items, syncs


def sync_places(samples: Sequence[int], sync: Sequence[int]) -> Sequence[int]:
    """Places in ``samples`` of those that ``sync`` lists; both are in order."""
    known = set(sync[bisect_left(sync, samples[0]) : bisect_left(sync, samples[-1] + 1)])
    return [place for place, number in enumerate(samples) if number in known]


def _audio(plan: Plan, sound: EncodedAudio) -> tuple[list[tuple[int, _Item]], OutputTrack]:
    """((output time, sample) of each audio frame, the track)."""
    audio = plan.audio
    items: list[tuple[int, _Item]] = []
    for place, (span, times) in enumerate(zip(audio.spans, audio.times(plan.sources), strict=True)):
        if isinstance(span, CopiedSound):
            places = _audio_of(plan, span.source).locate(span.first, span.stop)
            found = [_Item(_AUDIO, size, span.source, offset) for offset, size in places]
        else:
            found = [_Item(_AUDIO, len(data), _MEMORY, 0, data) for data in sound.packets[place]]
        items += zip(times, found, strict=True)
    if audio.entry_source is not None:
        track = _audio_of(plan, audio.entry_source)
        entry, header = clip_entry(track.entry), track.header
    else:
        entry, header = aac_entry(audio.format) if audio.format else b"", AUDIO_HEADER
    return items, OutputTrack(
        "soun", entry, audio.timescale, header,
        [item.size for _, item in items], [time for time, _ in items], audio.end,
    )  # fmt: skip
