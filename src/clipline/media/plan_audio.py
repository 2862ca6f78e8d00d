"""Which audio to copy, to encode, or to leave silent: pure, from the sample tables.

    recordings   [AAC AAC AAC AAC][ G.711        ]    (hole)    [AAC AAC AAC
    plan          copy             encode          silence       copy

A clip's track has one form, that of most of its audio. Where it is AAC, everything else is encoded to fit,
holes with silence: the track goes from the first picture to the last without a pause. Some players
(Chromium) count audio frames and do not look at their times, so a pause would put them out of step.

Each copied run is shown at its own wall time, so that nothing adds up for players that go by times; how
many frames stand before it differs by less than half a frame from what its time says, so that nothing adds
up for those that count.

The frame that sounds while the first picture appears comes along, trimmed by the edit list; one more before
it, which would make its beginning perfect, does not: it would save a fade-in of at most 21 ms (1024
samples at 48 kHz), at the price of a second frame of delay in every player that ignores edit lists of audio.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from clipline.media.audio_spans import AudioSpan, CopiedSound, EncodedSound, SilentSound, SoundPiece
from clipline.media.index import Track
from clipline.media.sound import AAC_FRAME, AudioFormat, aac_target, audio_format
from clipline.media.timeline import Source, Stretch

_OPUS_SILENCE_S = Fraction(1, 50)
_LONGEST_PACKET_S = Fraction(120, 1000)
"""Of Opus, RFC 6716, section 3.2; of the others whose frames do not tell their length, more than any has."""

_WARM_UP_S = Fraction(1, 10)
"""Decoded and dropped before what is wanted: Opus converges in 80 ms (RFC 7845, section 4.6), MP3 frames lean
on up to nine before them, AAC on one."""

_JITTER_S = Fraction(1, 100)
"""Recorders stamp audio by their clocks; a smaller step is no hole."""

LEAD_IN, LEAD_OUT = 2, 1
"""Frames that are encoded before and after a run: real sound, so that windows that overlap match."""


@dataclass(frozen=True, eq=False)
class AudioPlan:
    """The audio track of a clip, frame by frame."""

    format: AudioFormat | None
    """None: the clip has no audio."""
    entry_source: int | None
    """The source whose sample entry the track has; None: an entry of our own."""
    timescale: int
    frame_s: Fraction
    """How long each encoded or silent frame lasts."""
    longest_s: Fraction
    """How long the longest frame lasts, copied ones included."""
    spans: Sequence[AudioSpan]
    why: Sequence[str]
    """Why not everything is copied, or there is no audio."""

    @property
    def needs(self) -> list[tuple[int, int, int]]:
        """(source, first, stop) of the frames to read."""
        found = []
        for span in self.spans:
            pieces = span.pieces if isinstance(span, EncodedSound) else [span]
            found += [(one.source, one.first, one.stop) for one in pieces if not isinstance(one, SilentSound)]
        return found

    @property
    def method(self) -> str:
        """``copy``, ``copy+encode``, ``encode`` or ``none``."""
        copied = [isinstance(span, CopiedSound) for span in self.spans]
        if not copied:
            return "none"
        return "copy" if all(copied) else "copy+encode" if any(copied) else "encode"

    def times(self, sources: Sequence[Source]) -> list[Sequence[int]]:
        """For each span the time of each of its frames, ticks of ``timescale``."""
        return [self._times(sources, span) for span in self.spans]

    @property
    def end(self) -> int:
        """When the last frame ends, ticks; 0 where there is none."""
        if not self.spans:
            return 0
        span = self.spans[-1]
        if not isinstance(span, CopiedSound):
            return round((span.begin_s + span.frames * self.frame_s) * self.timescale)
        return round(span.ends_s * self.timescale)

    def _times(self, sources: Sequence[Source], span: AudioSpan) -> Sequence[int]:
        begin = span.begin_s * self.timescale
        if not isinstance(span, CopiedSound):
            return _scaled(range(span.frames), begin, self.frame_s * self.timescale)
        track = sources[span.source].index.audio
        assert track is not None
        scale = Fraction(self.timescale, track.timescale)
        return _scaled(track.pts[span.first : span.stop], begin - track.pts[span.first] * scale, scale)


def _scaled(times: Sequence[int], shift: Fraction, scale: Fraction) -> list[int]:
    """``times * scale + shift``, rounded to whole ticks: one product and one sum each, in integers."""
    down = math.lcm(scale.denominator, shift.denominator)
    up = scale.numerator * (down // scale.denominator)
    plus = shift.numerator * (down // shift.denominator) + down // 2
    return [(time * up + plus) // down for time in times]


@dataclass(frozen=True, eq=False)
class _Part:
    """A run of audio frames without a hole, and where in the clip they sound."""

    source: int
    track: Track
    format: AudioFormat
    first: int
    stop: int
    zero_s: Fraction
    ends_s: Fraction
    """When the last frame ends."""
    until_s: Fraction
    """When what follows takes over, if that is earlier."""

    def at_s(self, number: int) -> Fraction:
        """Output time of a frame."""
        return self.zero_s + Fraction(self.track.pts[number], self.track.timescale)

    def piece(self, from_s: Fraction, until_s: Fraction) -> SoundPiece | None:
        """What of it sounds in a window."""
        from_s, until_s = max(from_s, self.at_s(self.first)), min(until_s, self.until_s)
        if from_s >= until_s:
            return None
        pts, timescale = self.track.pts, self.track.timescale
        sounding = bisect_right(pts, (from_s - self.zero_s) * timescale) - 1
        stop = bisect_left(pts, (until_s - self.zero_s) * timescale)
        begin = sounding
        if not self.format.frame_bytes:
            begin = min(bisect_left(pts, (from_s - self.zero_s - _WARM_UP_S) * timescale), sounding - 1)
        return SoundPiece(self.source, max(begin, 0), stop, self.zero_s, from_s, until_s)


def plan_audio(
    sources: Sequence[Source], stretches: Sequence[Stretch], zeros_ms: Sequence[Fraction], end_s: Fraction
) -> AudioPlan:
    """The audio of ``stretches``, each of which has its zero of output time at wall time ``zeros_ms``.

    ``end_s`` is the clip's end, where its last picture stops being shown.
    """
    why: list[str] = []
    parts = _find_parts(sources, stretches, zeros_ms, why)
    if not parts:
        return AudioPlan(None, None, 1, Fraction(1), Fraction(1), [], why)
    seconds: dict[AudioFormat, Fraction] = {}
    for part in parts:
        sounds_s = part.until_s - part.at_s(part.first)
        seconds[part.format] = seconds.get(part.format, Fraction(0)) + sounds_s
    reference = max(seconds, key=seconds.__getitem__)
    if reference.encodable:
        return _made(parts, reference, end_s, why)
    if len(seconds) == 1 and reference.copyable:
        plan = _made(parts, reference, end_s, why)
        filled = any(isinstance(span, SilentSound) for span in plan.spans)
        if reference.codec == "opus" or not filled:
            # MP3 frames lean on bytes of those before them: after a join the first ones would be noise.
            if reference.codec != "mp3float" or len(plan.spans) == 1:
                return plan
            why.append(f"audio {reference.kind!r} can't be joined without encoding it")
        else:
            why.append(f"audio {reference.kind!r} can't be filled up with silence without encoding it")
    return _made(parts, aac_target(reference), end_s, why)


def _find_parts(
    sources: Sequence[Source], stretches: Sequence[Stretch], zeros_ms: Sequence[Fraction], why: list[str]
) -> list[_Part]:
    parts: list[_Part] = []
    for position, (stretch, zero_ms) in enumerate(zip(stretches, zeros_ms, strict=True)):
        source = sources[stretch.source]
        track = source.index.audio
        if track is None:
            if source.index.audio_why:
                why.append(f"the audio of {source.name} is left out: {source.index.audio_why}")
            continue
        form = audio_format(track.entry)
        if not form.codec:
            why.append(f"the audio of {source.name} is left out: it is {form.kind!r}, which can't be decoded")
            continue
        zero_s = (source.start_ms - zero_ms) / 1000
        until_s = (stretch.following_ms - zero_ms) / 1000
        if position + 1 < len(stretches):
            until_s = max(until_s, (stretches[position + 1].begin_ms - zeros_ms[position + 1]) / 1000)
        from_s = (stretch.first_ms - zero_ms) / 1000
        if parts:
            from_s = max(from_s, parts[-1].until_s)
        first = max(bisect_right(track.pts, (from_s - zero_s) * track.timescale) - 1, 0)
        stop = bisect_left(track.pts, math.ceil((until_s - zero_s) * track.timescale))
        whole = _Part(stretch.source, track, form, first, stop, zero_s, until_s, until_s)
        parts += [part for part in _split(whole) if part.until_s > from_s]
    return parts


def _split(whole: _Part) -> list[_Part]:
    """Parts of ``whole`` between its holes."""
    track, first, stop = whole.track, whole.first, whole.stop
    if first >= stop:
        return []
    lasts = _frame_ticks(whole)
    jitter = math.ceil(_JITTER_S * track.timescale)
    pts = track.pts
    steps = map(operator.sub, pts[first + 1 : stop], pts[first:stop])
    holes = [
        number
        for number, (step, ticks) in enumerate(zip(steps, lasts, strict=False), first + 1)
        if step > ticks and step > ticks + max(ticks // 2, jitter)
    ]
    found = []
    for begin, end in pairwise([first, *holes, stop]):
        ends = pts[end - 1] + lasts[end - 1 - first]
        if end == stop < len(track) and pts[stop] < ends + jitter:
            ends = pts[stop]
        ends_s = whole.zero_s + Fraction(ends, track.timescale)
        found.append(replace(whole, first=begin, stop=end, ends_s=ends_s, until_s=min(ends_s, whole.until_s)))
    return found


def _frame_ticks(whole: _Part) -> Sequence[int]:
    """How long each frame of a part sounds, ticks; at most, where the codec does not tell."""
    track, form = whole.track, whole.format
    sizes = track.sizes[whole.first : whole.stop]
    if form.frame_bytes:
        return [size // form.frame_bytes * track.timescale // form.rate for size in sizes]
    one_s = form.lasts_s(0)
    if one_s is not None:
        return [math.floor(one_s * track.timescale)] * len(sizes)
    steps = [after - before for before, after in pairwise(track.pts)]
    usual = Counter(steps).most_common(1)[0][0] if steps else track.end_pts - track.pts[0]
    longest = max(usual, math.floor(_LONGEST_PACKET_S * track.timescale))
    following = track.pts[whole.first + 1 : whole.stop + 1]
    if whole.stop == len(track):
        following = [*following, track.end_pts]
    frames = zip(track.pts[whole.first : whole.stop], following, strict=True)
    return [after - before if after - before <= longest else usual for before, after in frames]


def _made(parts: Sequence[_Part], target: AudioFormat, end_s: Fraction, why: Sequence[str]) -> AudioPlan:
    if target.codec == "aac":
        frame_s = Fraction(AAC_FRAME, target.rate)
    elif target.codec == "opus":
        frame_s = _OPUS_SILENCE_S
    else:
        frame_s = Fraction(max(_frame_ticks(parts[0])), parts[0].track.timescale)
    copied = [part for part in parts if part.format == target]
    longest_s = max(
        (Fraction(max(_frame_ticks(part)), part.track.timescale) for part in copied), default=frame_s
    )
    entry = copied[0] if copied else None
    spans = _Layout(parts, target, frame_s).lay_out(end_s)
    reasons = list(why)
    if any(isinstance(span, EncodedSound) for span in spans):
        others = [part.format for part in parts if part.format != target]
        for kind, copyable in dict.fromkeys((form.kind, form.copyable) for form in others):
            reasons.append(
                f"audio {kind!r} differs from the rest of the clip's" if copyable
                else f"audio {kind!r} is none that MP4 players take"
            )  # fmt: skip
    if any(isinstance(span, SilentSound) for span in spans):
        reasons.append("silence where no recording has audio")
    return AudioPlan(
        entry.format if entry else target,
        entry.source if entry else None,
        entry.track.timescale if entry else target.rate,
        frame_s, max(frame_s, longest_s), spans, list(dict.fromkeys(reasons)),
    )  # fmt: skip


class _Layout:
    """Puts copied runs at their wall times, and fills what lies between them with whole frames."""

    def __init__(self, parts: Sequence[_Part], target: AudioFormat, frame_s: Fraction) -> None:
        self._parts = parts
        self._target = target
        self._frame_s = frame_s
        self._spans: list[AudioSpan] = []

    def lay_out(self, end_s: Fraction) -> list[AudioSpan]:
        half_s = self._frame_s / 2
        ended_s: Fraction | None = None  # by the times of the frames
        counted_s = last_s = Fraction(0)  # by counting them; the last frame's beginning
        for part in self._parts:
            if part.format != self._target:
                continue
            first = part.first
            begin_s = part.at_s(first)
            if ended_s is None:
                frames = max(self._frames(begin_s), 0)
                self._fill(begin_s - frames * self._frame_s, frames)
                counted_s = begin_s
            else:
                while first < part.stop and part.at_s(first) < counted_s - half_s:
                    first += 1
                if first == part.stop:
                    continue
                half_last_s = min(half_s, (ended_s - last_s) / 2)
                if part.at_s(first) < last_s + half_last_s:
                    without_s = counted_s - (ended_s - last_s)
                    if self._frames(part.at_s(first) - without_s) == 0 and self._drop_last_frame(last_s):
                        counted_s, ended_s, last_s = without_s, last_s, last_s - self._frame_s
                frames = self._frames(part.at_s(first) - counted_s)
                begin_s = part.at_s(first)
                off_s = begin_s - ended_s - frames * self._frame_s
                if frames > 0:
                    self._fill(ended_s + off_s / 2, frames)
                else:
                    begin_s = max(begin_s, last_s + half_last_s)
                counted_s += frames * self._frame_s
            shift_s = begin_s - part.at_s(first)
            counted_s += part.ends_s - part.at_s(first)
            last_s, ended_s = part.at_s(part.stop - 1) + shift_s, part.ends_s + shift_s
            self._spans.append(CopiedSound(part.source, first, part.stop, begin_s, ended_s))
        if ended_s is None:
            self._fill(Fraction(0), max(self._frames(end_s), 1))
        else:
            self._fill(ended_s, max(self._frames(end_s - ended_s), 0))
        return self._spans

    def _drop_last_frame(self, begins_s: Fraction) -> bool:
        """Leave out the last frame, of which less than half sounds before the next run takes over: recordings
        end with such a frame, and with it everything after the join would be late."""
        span = self._spans[-1]
        if not isinstance(span, CopiedSound) or span.stop - span.first < 2:
            return False
        self._spans[-1] = replace(span, stop=span.stop - 1, ends_s=begins_s)
        return True

    def _frames(self, time_s: Fraction) -> int:
        """Whole frames nearest to a time."""
        return math.floor(time_s / self._frame_s + Fraction(1, 2))

    def _fill(self, begin_s: Fraction, frames: int) -> None:
        """Encoded frames where something sounds that is not copied, silent ones elsewhere."""
        sounding = [False] * frames
        for part in self._parts:
            if part.format != self._target:
                first = max(math.floor((part.at_s(part.first) - begin_s) / self._frame_s), 0)
                stop = min(math.ceil((part.until_s - begin_s) / self._frame_s), frames)
                sounding[first:stop] = [True] * (stop - first)
        place = 0
        while place < frames:
            stop = place + 1
            while stop < frames and sounding[stop] == sounding[place]:
                stop += 1
            at_s = begin_s + place * self._frame_s
            if sounding[place]:
                window = (at_s - LEAD_IN * self._frame_s, begin_s + (stop + LEAD_OUT) * self._frame_s)
                pieces = [piece for part in self._parts if (piece := part.piece(*window))]
                self._spans.append(EncodedSound(at_s, stop - place, pieces))
            else:
                self._spans.append(SilentSound(at_s, stop - place))
            place = stop
