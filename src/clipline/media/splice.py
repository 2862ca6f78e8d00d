"""From a plan to a file: encode what must be encoded, copy the rest byte for byte, index first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

from clipline.media.audio_codec import EncodedAudio, encode_audio
from clipline.media.codec import Encoder, EncoderFormat, configuration, decode
from clipline.media.index import Track
from clipline.media.mux import AUDIO_HEADER, Chunk, OutputTrack, file_head, visual_entry
from clipline.media.parameter_sets import AvcConfiguration
from clipline.media.plan import BlackSpan, CopySpan, EncodeSpan, Plan
from clipline.media.plan_audio import CopiedSound
from clipline.media.ranges import ByteRange, Fetch, runs
from clipline.media.sound import aac_entry, clip_entry

_VIDEO, _AUDIO = 0, 1


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


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the encoder made for one span."""

    samples: Sequence[bytes]
    configuration: AvcConfiguration


def encode_spans(plan: Plan, fetches: Mapping[int, Fetch]) -> dict[int, Encoded]:
    """Encode every span that is not copied; keys are places in ``plan.spans``."""
    reference = reference_source(plan)
    target = configuration(plan.sources[reference].index.video)
    copied = any(isinstance(span, CopySpan) for span in plan.spans)
    form = EncoderFormat(target.sequence, target.free_identifier() if copied else 0, _frame_rate(plan))
    encoded: dict[int, Encoded] = {}
    for place, span in enumerate(plan.spans):
        if isinstance(span, CopySpan):
            continue
        encoder = Encoder(form)
        if isinstance(span, BlackSpan):
            samples = encoder.encode([encoder.black()])
        else:
            video = plan.sources[span.source].index.video
            read = sample_reader(video, fetches[span.source])
            frames = decode(video, span.first, span.stop, span.frames, read)
            samples = encoder.encode(frames)
        encoded[place] = Encoded(samples, encoder.configuration)
    return encoded


def reference_source(plan: Plan) -> int:
    """The source whose parameters the clip has: the first that is copied, else the first."""
    copied = [span.source for span in plan.spans if isinstance(span, CopySpan)]
    others = [span.source for span in plan.spans if isinstance(span, EncodeSpan)]
    return (copied + others)[0]


def _frame_rate(plan: Plan) -> Fraction:
    """The usual distance between frames, as a rate; encoders take it for their timing fields."""
    times = sorted(chain.from_iterable(plan.span_pts))
    steps = sorted(b - a for a, b in pairwise(times) if b > a)
    step = steps[len(steps) // 2] if steps else max(plan.end_pts, 1)
    return Fraction(plan.timescale, step).limit_denominator(100_000)


class _Item(NamedTuple):
    """A sample on its way into the file: from a source, or from memory."""

    track: int
    size: int
    source: int
    """-1: encoded."""
    offset: int
    data: bytes = b""


def write_clip(
    plan: Plan,
    fetches: Mapping[int, Fetch],
    encoded: Mapping[int, Encoded],
    sound: EncodedAudio,
    output: Path,
) -> None:
    """Write the clip to ``output``."""
    items, tracks = _lay_out(plan, encoded, sound)
    chunks: list[Chunk] = []
    for item in items:
        if chunks and chunks[-1].track == item.track:
            last = chunks[-1]
            chunks[-1] = Chunk(last.track, last.samples + 1, last.size_bytes + item.size)
        else:
            chunks.append(Chunk(item.track, 1, item.size))
    with output.open("xb", buffering=0) as file:
        descriptor = file.fileno()
        _write_all(descriptor, file_head(tracks, chunks, int(plan.first_frame_ms)))
        at = 0
        while at < len(items):
            stop = at + 1
            while stop < len(items) and items[stop].source == items[at].source:
                stop += 1
            group = items[at:stop]
            if group[0].source < 0:
                _write_all(descriptor, b"".join(item.data for item in group))
            else:
                for offset, length in runs([(item.offset, item.size) for item in group]):
                    fetches[group[0].source].copy_to(descriptor, offset, length)
            at = stop


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _lay_out(
    plan: Plan, encoded: Mapping[int, Encoded], sound: EncodedAudio
) -> tuple[list[_Item], list[OutputTrack]]:
    """The samples in file order, and the tracks that index them."""
    video_sizes: list[int] = []
    video_pts: list[int] = []
    sync: list[int] = []
    items: list[_Item] = []
    audio_items, audio_track = _audio(plan, sound)
    audio_at = 0
    for place, (span, pts) in enumerate(zip(plan.spans, plan.span_pts, strict=True)):
        if isinstance(span, CopySpan):
            video = plan.sources[span.source].index.video
            places = video.locate(span.first, span.stop)
            span_items = [_Item(_VIDEO, size, span.source, offset) for offset, size in places]
            syncs = range(span.first, span.stop) if video.sync is None else video.sync
            before = len(video_sizes) - span.first
            sync += [before + number for number in syncs if span.first <= number < span.stop]
        else:
            span_items = [_Item(_VIDEO, len(data), -1, 0, data) for data in encoded[place].samples]
            sync.append(len(video_sizes))
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
        beside_own = [number for number, item in enumerate(sounds) if item.source == own >= 0]
        begin = beside_own[0] if beside_own else 0
        end = begin + next((n for n, at in enumerate(beside_own) if at != begin + n), len(beside_own))
        beside = sorted(span_items + sounds[begin:end], key=lambda item: item.offset)
        items += sounds[:begin] + beside + sounds[end:]
    reference = plan.sources[reference_source(plan)].index.video
    sets: AvcConfiguration | None = configuration(reference) if plan.frames_copied else None
    if encoded:
        made = {one.configuration for one in encoded.values()}
        if len(made) != 1:
            raise AssertionError("the encoder wrote other parameter sets for the same format")
        sets = sets + made.pop() if sets else made.pop()
    assert sets is not None
    entry = visual_entry(reference.entry, sets.pack())
    tracks = [
        OutputTrack(
            "vide", entry, plan.timescale, reference.header, video_sizes, video_pts, plan.end_pts, sync
        )
    ]
    if audio_items:
        tracks.append(audio_track)
    return items, tracks


def _audio(plan: Plan, sound: EncodedAudio) -> tuple[list[tuple[int, _Item]], OutputTrack]:
    """((output time, sample) of each audio frame, the track)."""
    audio = plan.audio
    items: list[tuple[int, _Item]] = []
    for place, (span, times) in enumerate(zip(audio.spans, audio.times(plan.sources), strict=True)):
        if isinstance(span, CopiedSound):
            places = _audio_of(plan, span.source).locate(span.first, span.stop)
            found = [_Item(_AUDIO, size, span.source, offset) for offset, size in places]
        else:
            found = [_Item(_AUDIO, len(data), -1, 0, data) for data in sound.packets[place]]
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
