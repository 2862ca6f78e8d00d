"""A recording of another container on its way into samples: packets in, pictures and sounds out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from typing import Any, NamedTuple

import av

from clipline.contract.errors import MediaError, UnreadableRecording, UnsupportedMedia
from clipline.media.annexb import AvcSamples, HevcSamples, split_annexb
from clipline.media.decoder import decode
from clipline.media.gather import REORDER_DEPTH, Coded, Pictures, Sounds, Spool, clock_set_back, tidy
from clipline.media.index import RecordingIndex, Track, Window
from clipline.media.parameter_sets import parse_avcc, split_units
from clipline.media.sample_entries import audio_form
from clipline.media.zero import FAR_FROM_ZERO_S

_AHEAD_PACKETS = 2_000
_USUAL_RATE = Fraction(25)
_TIMED_FOR_ONE_UNTIMED = 10
"""A picture without a time among so many with one tells of a loss; more of them are how it was recorded."""


class Unit(NamedTuple):
    """A packet of the container."""

    video: bool
    pts: int | None
    """Ticks of its stream, as the container has it."""
    duration: int
    data: bytes
    keyframe: bool
    damaged: bool = False
    decode_time: int | None = None
    """As ``pts``, where the container has it."""


@dataclass
class Intake:
    """One recording on its way in."""

    container: av.container.InputContainer
    spool: Spool
    window: Window | None
    notes: list[str] = field(default_factory=list)
    sounds: Sounds | None = None
    _audio_tries: int = 50
    _timed: int = 0
    _untimed: int = 0
    _decode_time: int | None = None
    """Of the last picture."""

    def __post_init__(self) -> None:
        videos = [one for one in self.container.streams.video if not one.disposition & _ATTACHED_PICTURE]
        if not videos:
            raise UnreadableRecording("it has no video stream")
        self.video = videos[0]
        self.audio = next(iter(self.container.streams.audio), None)
        for more, name in ((videos[1:], "video"), (self.container.streams.audio[1:], "audio")):
            if more:
                self.notes.append(f"of its {len(more) + 1} {name} streams the first is used")
        self.samples, self.annexb = self._make_samples()
        base = time_base(self.video)
        self.timescale = base.denominator
        self._ticks = base.numerator
        self.zero_s = Fraction(0)

    def _make_samples(self) -> tuple[AvcSamples | HevcSamples, bool]:
        """(what makes samples, whether the container has byte streams)."""
        codec = codec_name(self.video)
        if codec not in ("h264", "hevc"):
            raise UnsupportedMedia(f"its video is {codec}; H.264 and HEVC can be cut")
        record = bytes(self.video.codec_context.extradata or b"")
        if codec == "h264":
            samples = AvcSamples()
            if record[:1] != b"\1":
                return samples, True
            configuration = parse_avcc(record)
            samples.begin_with(configuration)
            self._length_bytes = configuration.length_bytes
            return samples, False
        hevc = HevcSamples(record)
        self._length_bytes = hevc.length_bytes
        return hevc, not hevc.has_record

    def begin(self, units: Iterator[Unit], far_only: bool) -> Iterator[Unit]:
        """Find time zero in the first packets of ``units``, and give them all."""
        ahead: list[Unit] = []
        starts: list[Fraction] = []
        pictures = sounds = 0
        for unit in units:
            ahead.append(unit)
            if unit.pts is not None:
                stream = self.video if unit.video else self.audio
                assert stream is not None
                # Pictures are reordered. Audio is not: a time before its first one is a damaged one.
                if unit.video or not sounds:
                    starts.append(unit.pts * time_base(stream))
                pictures, sounds = pictures + unit.video, sounds + (not unit.video)
            if (pictures > REORDER_DEPTH and (sounds or self.audio is None)) or len(ahead) > _AHEAD_PACKETS:
                break
        if not pictures:
            raise UnreadableRecording("it has no picture with a time")
        if not far_only or min(starts) > FAR_FROM_ZERO_S:
            self.zero_s = min(starts)
        self.pictures = Pictures(self.spool, self._in_ticks(Fraction(self.timescale)), self.timescale)
        return chain(ahead, units)

    def _in_ticks(self, rate: Fraction) -> tuple[Fraction, Fraction] | None:
        return None if self.window is None else (self.window.from_s * rate, self.window.to_s * rate)

    def ticks(self, pts: int) -> int:
        """A time of the video stream on the movie timeline."""
        return pts * self._ticks - round(self.zero_s * self.timescale)

    def add(self, unit: Unit) -> None:
        """Take the next packet."""
        if unit.video:
            self._add_picture(unit)
            tidy(self.spool, self.pictures, self.sounds)
        else:
            self._add_sound(unit)

    def _add_picture(self, unit: Unit) -> None:
        if unit.pts is None:
            self._untimed += not unit.damaged
            if self._untimed * _TIMED_FOR_ONE_UNTIMED > max(self._timed, 2 * _TIMED_FOR_ONE_UNTIMED):
                raise UnreadableRecording("it has pictures without a time of their own")
            self.pictures.lose()
            return
        self._timed += 1
        if unit.decode_time is not None:
            if self._decode_time is not None and unit.decode_time < self._decode_time:
                raise clock_set_back(self.ticks(self._decode_time), self.timescale)
            self._decode_time = unit.decode_time
        pts, duration = self.ticks(unit.pts), unit.duration * self._ticks
        damaged, sample, group = unit.damaged, b"", (False, False)
        if not damaged and not self.pictures.complete:
            try:
                sample, has_picture = self.samples.sample(self.units(unit.data))
                damaged = not has_picture
                if has_picture and not self.samples.follows:
                    self.pictures.lose()
                # FFmpeg's mark alone would do to tell what is none: it is set on every recovery point.
                if unit.keyframe and self.samples.ready and has_picture:
                    group = self.samples.begins_group(sample)
            except UnreadableRecording:
                damaged = True
        changed, self.samples.changed = self.samples.changed, False
        self.pictures.add(Coded(sample, pts, duration, *group, damaged, changed))

    def units(self, data: bytes) -> Iterator[bytes]:
        """The NAL units of a packet."""
        return split_annexb(data) if self.annexb else split_units(data, self._length_bytes)

    def _add_sound(self, unit: Unit) -> None:
        if self.audio is None:
            return
        base = time_base(self.audio)
        if self.sounds is None:
            context = self.audio.codec_context
            codec = codec_name(self.audio)
            try:
                if context is None:
                    raise UnsupportedMedia(f"its audio is {codec}, which can't be cut")
                private, channels = bytes(context.extradata or b""), context.layout.nb_channels
                form = audio_form(codec, private, unit.data, context.rate, channels)
            except UnsupportedMedia as error:
                self.notes.append(f"{error}: it is left out")
                self.audio = None
                return
            except UnreadableRecording as error:
                self._audio_tries -= 1
                if not self._audio_tries:
                    self.notes.append(f"{error}: its audio is left out")
                    self.audio = None
                return
            self.sounds = Sounds(self.spool, form, self._in_ticks(Fraction(form.rate)))
        rate = self.sounds.form.rate
        if unit.damaged:
            self.sounds.skip()
            return
        time = None if unit.pts is None else (unit.pts * base - self.zero_s) * rate
        try:
            self.sounds.add(unit.data, time, base * rate)
        except UnsupportedMedia as error:
            self.notes.append(f"{error}: from there on it is left out")
            self.audio = None

    def finish(self, bytes_read: int, *, last_is_whole: bool = True) -> RecordingIndex:
        """The index of what was taken in."""
        if self.pictures.first is not None and not last_is_whole and not self._last_decodes():
            self.pictures.drop_last()
            self.notes.append("its last picture is cut off")
        video, holes = self._track()
        if holes:
            lost_s = float(sum(Fraction(stop - start, self.timescale) for start, stop in holes))
            self.notes.append(f"pictures of {lost_s:.3f} s are lost: bytes are missing or damaged")
        if self.sounds is not None and self.sounds.dropped:
            self.notes.append(f"{self.sounds.dropped} frames of its audio are lost")
        audio = self.sounds.finish() if self.sounds is not None else None
        return RecordingIndex(video, audio, bytes_read, tuple(self.notes), tuple(holes))

    def _track(self) -> tuple[Track, list[tuple[int, int]]]:
        if not self.samples.ready:
            raise UnreadableRecording("its video has no parameter sets")
        rate = self.video.average_rate or _USUAL_RATE
        return self.pictures.finish(*self.samples.entry(), round(self.timescale / rate))

    def _last_decodes(self) -> bool:
        """Whether the last picture kept is all there: only decoding it can tell."""
        video, _ = self._track()
        last = len(video) - 1
        entry = video.sync[-1] if video.sync else 0

        def read(number: int) -> bytes:
            ((offset, size),) = video.locate(number, number + 1)
            return self.spool.read(offset, size)

        try:
            return len(list(decode(video, entry, last + 1, [last], read))) == 1
        except MediaError:
            return False


_ATTACHED_PICTURE = av.stream.Disposition.attached_pic


def codec_name(stream: Any) -> str:
    context = stream.codec_context
    return "of an unknown kind" if context is None else str(context.codec.canonical_name)


def time_base(stream: Any) -> Fraction:
    base: Fraction | None = stream.time_base
    if not base:
        raise UnreadableRecording("a stream of it has no time base")
    return base


def demux(container: av.container.InputContainer, streams: Iterable[Any]) -> Iterator[av.Packet[Any]]:
    for packet in container.demux(*streams):
        if packet.size:  # the last one, of size 0, only says that there are no more
            yield packet
