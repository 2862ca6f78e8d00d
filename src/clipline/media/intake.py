"""Recordings in MPEG-TS and Matroska become what the engine cuts: samples in a file, and their index.

    source, index = take_in(source, "mpegts", directory, Window(from_s, to_s))

Time zero of a recording is the container's earliest start in MPEG-TS, and zero in Matroska, unless the
earliest start is over 10 s (live recordings count from elsewhere): then it is that.

A transport stream is read once from front to end, since only so is it sure that its clock never jumps;
of Matroska only the window's clusters, the head and the tail, where the file has cues.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av

from clipline.contract.errors import MediaError, UnreadableRecording, UnsupportedMedia
from clipline.media.annexb import AvcSamples, HevcSamples, split_annexb
from clipline.media.decoder import decode
from clipline.media.gather import REORDER_DEPTH, Coded, Pictures, Sounds, Spool, tidy
from clipline.media.index import RecordingIndex, Track, Window
from clipline.media.parameter_sets import parse_avcc, split_units
from clipline.media.ranges import ByteSource, LocalSource
from clipline.media.sample_entries import audio_form
from clipline.media.transport import PacketReader, find_grid
from clipline.media.untrusted import BlockReader, open_untrusted

SNIFF_BYTES = 8 * 1024
"""How much of a file's beginning ``sniff`` wants to see."""

_WRAP = 1 << 33
"""Ticks after which a transport stream's timestamps begin anew, 26.5 hours (ISO/IEC 13818-1, 2.4.3.7)."""
_FAR_S = 10
_AHEAD_PACKETS = 2_000
_USUAL_RATE = Fraction(25)
_SOUND_LAG_S = 5
"""How far behind its picture audio may stand in a Matroska file."""
_MARGIN_S = 1


def sniff(head: bytes) -> str | None:
    """``mp4``, ``mpegts`` or ``matroska``, by the first bytes of a file; None where it is none of them."""
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"styp"}:
        return "mp4"
    return "mpegts" if find_grid(head) else None


def take_in(
    source: ByteSource, container: str, directory: Path, window: Window | None
) -> tuple[ByteSource, RecordingIndex]:
    """(the samples of a recording in a new file of ``directory``, their index).

    Samples that no frame of ``window`` needs may be left out. Raises UnreadableRecording and
    UnsupportedMedia as ``read_index`` does.
    """
    spool = Spool(directory)
    try:
        if container == "mpegts":
            index = _take_in_transport(source, spool, window)
        elif container == "matroska":
            index = _take_in_matroska(source, spool, window)
        else:
            raise ValueError(f"there is no container {container!r}")
        spool.close()
        return LocalSource(spool.path, source.name), index
    except (UnreadableRecording, UnsupportedMedia) as error:
        spool.close(remove=True)
        raise type(error)(f"{source.name}: {error}") from None
    except BaseException:
        spool.close(remove=True)
        raise


class _Unit(NamedTuple):
    """A packet of the container."""

    video: bool
    pts: int | None
    """Ticks of its stream, as the container has it."""
    duration: int
    data: bytes
    keyframe: bool
    damaged: bool = False


@dataclass
class _Intake:
    """One recording on its way in."""

    container: av.container.InputContainer
    spool: Spool
    window: Window | None
    notes: list[str] = field(default_factory=list)
    sounds: Sounds | None = None
    _audio_tries: int = 50
    _damaged: int = 0

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
        base = _time_base(self.video)
        self.timescale = base.denominator
        self._ticks = base.numerator
        self.zero_s = Fraction(0)

    def _make_samples(self) -> tuple[AvcSamples | HevcSamples, bool]:
        """(what makes samples, whether the container has byte streams)."""
        context = self.video.codec_context
        codec = _codec_name(self.video)
        record = bytes(context.extradata or b"")
        if codec == "h264":
            samples = AvcSamples()
            if record[:1] != b"\1":
                return samples, True
            configuration = parse_avcc(record)
            samples.begin_with(configuration)
            self._length_bytes = configuration.length_bytes
            return samples, False
        if codec == "hevc":
            hevc = HevcSamples(record)
            self._length_bytes = hevc.length_bytes
            return hevc, not hevc.has_record
        raise UnsupportedMedia(f"its video is {codec}; H.264 and HEVC can be cut")

    def begin(self, units: Iterator[_Unit], far_only: bool) -> Iterator[_Unit]:
        """Find time zero in the first packets of ``units``, and give them all."""
        ahead: list[_Unit] = []
        starts: list[Fraction] = []
        pictures = sounds = 0
        for unit in units:
            ahead.append(unit)
            if unit.pts is not None:
                stream = self.video if unit.video else self.audio
                assert stream is not None
                starts.append(unit.pts * _time_base(stream))
                pictures, sounds = pictures + unit.video, sounds + (not unit.video)
            if (pictures > REORDER_DEPTH and (sounds or self.audio is None)) or len(ahead) > _AHEAD_PACKETS:
                break
        if not pictures:
            raise UnreadableRecording("it has no picture with a time")
        if not far_only or min(starts) > _FAR_S:
            self.zero_s = min(starts)
        self.pictures = Pictures(self.spool, self._in_ticks(Fraction(self.timescale)), self.timescale)
        return chain(ahead, units)

    def _in_ticks(self, rate: Fraction) -> tuple[Fraction, Fraction] | None:
        return None if self.window is None else (self.window.from_s * rate, self.window.to_s * rate)

    def ticks(self, pts: int) -> int:
        """A time of the video stream on the movie timeline."""
        return pts * self._ticks - round(self.zero_s * self.timescale)

    def add(self, unit: _Unit) -> None:
        """Take the next packet."""
        if unit.video:
            self._add_picture(unit)
            tidy(self.spool, self.pictures, self.sounds)
        else:
            self._add_sound(unit)

    def _add_picture(self, unit: _Unit) -> None:
        if unit.pts is None:
            if unit.damaged or self.pictures.first is None or self.pictures.complete:
                return
            raise UnreadableRecording("it has pictures without a time of their own")
        pts, duration = self.ticks(unit.pts), unit.duration * self._ticks
        damaged, sample, group = unit.damaged, b"", (False, False)
        if not damaged and not self.pictures.complete:
            try:
                sample, has_picture = self.samples.sample(self.units(unit.data))
                damaged = not has_picture
                # FFmpeg's mark alone would do to tell what is none: it is set on every recovery point.
                if unit.keyframe and self.samples.ready and has_picture:
                    group = self.samples.begins_group(sample)
            except UnreadableRecording:
                damaged = True
        self._damaged += damaged
        changed, self.samples.changed = self.samples.changed, False
        self.pictures.add(Coded(sample, pts, duration, *group, damaged, changed))

    def units(self, data: bytes) -> Iterator[bytes]:
        """The NAL units of a packet."""
        return split_annexb(data) if self.annexb else split_units(data, self._length_bytes)

    def _add_sound(self, unit: _Unit) -> None:
        if self.audio is None:
            return
        base = _time_base(self.audio)
        if self.sounds is None:
            context = self.audio.codec_context
            codec = _codec_name(self.audio)
            try:
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


def _codec_name(stream: Any) -> str:
    context = stream.codec_context
    return "of an unknown kind" if context is None else str(context.codec.canonical_name)


def _time_base(stream: Any) -> Fraction:
    base: Fraction | None = stream.time_base
    if not base:
        raise UnreadableRecording("a stream of it has no time base")
    return base


def _take_in_transport(source: ByteSource, spool: Spool, window: Window | None) -> RecordingIndex:
    grid = find_grid(source.read(0, min(SNIFF_BYTES, source.size_bytes)))
    if grid is None:
        raise UnreadableRecording("it is no MPEG transport stream")
    reader = PacketReader(source, grid)
    with open_untrusted(reader, "mpegts") as container:
        intake = _Intake(container, spool, window)
        for unit in intake.begin(_transport_units(intake, reader), far_only=False):
            intake.add(unit)
        whole = intake.pictures.complete or reader.is_whole(intake.video.id)
        return intake.finish(reader.bytes_read, last_is_whole=whole)


def _transport_units(intake: _Intake, reader: PacketReader) -> Iterator[_Unit]:
    """The packets of a transport stream, times unwrapped; damaged are those that a loss lies in.

    What a packet reaches over is known when the next one of its stream comes.
    """
    near: int | None = None
    held: dict[int, list[_Unit]] = {}
    places: dict[int, int] = {}
    losses_seen: dict[int, int] = {}

    def let_go(stream: Any, stop: int | None) -> Iterator[_Unit]:
        losses = reader.losses.get(stream.id, [])
        seen = losses_seen.get(stream.id, 0)
        damaged = False
        while seen < len(losses) and (stop is None or losses[seen].before < stop):
            damaged = damaged or losses[seen].before >= places.get(stream.index, 0)
            seen += 1
        losses_seen[stream.id] = seen
        for unit in held.pop(stream.index, ()):
            yield unit._replace(damaged=damaged)

    streams = [intake.video] if intake.audio is None else [intake.video, intake.audio]
    for packet in _demux(intake.container, streams):
        stream, pts = packet.stream, packet.pts
        if pts is not None:
            if near is not None:
                pts += round(Fraction(near - pts, _WRAP)) * _WRAP
            near = pts
        if packet.pos is not None and packet.pos >= 0 and packet.pos != places.get(stream.index):
            yield from let_go(stream, packet.pos)
            places[stream.index] = packet.pos
        unit = _Unit(stream is intake.video, pts, 0, bytes(packet), packet.is_keyframe)
        held.setdefault(stream.index, []).append(unit)
    for stream in streams:
        yield from let_go(stream, None)


def _demux(container: av.container.InputContainer, streams: Iterable[Any]) -> Iterator[av.Packet[Any]]:
    for packet in container.demux(*streams):
        if packet.size:  # the last one, of size 0, only says that there are no more
            yield packet


def _take_in_matroska(source: ByteSource, spool: Spool, window: Window | None) -> RecordingIndex:
    file = BlockReader(source)
    for seek in (True, False):
        file.seek(0)
        with open_untrusted(file, "matroska") as container:
            intake = _Intake(container, spool, window)
            units = intake.begin(_matroska_units(intake), far_only=True)
            jumps = window is not None and container.duration is not None
            if jumps and seek:
                if not _seek_before(intake):
                    continue  # a seek to the beginning would miss audio that stands before the first picture
                units = _matroska_units(intake)
            for unit in units:
                intake.add(unit)
                if jumps and _has_window(intake, unit):
                    _find_end(intake)
                    break
            return intake.finish(file.bytes_read)
    raise AssertionError("without a seek it is read from the beginning")


def _matroska_units(intake: _Intake) -> Iterator[_Unit]:
    streams = [intake.video] if intake.audio is None else [intake.video, intake.audio]
    for packet in _demux(intake.container, streams):
        yield _Unit(
            packet.stream is intake.video, packet.pts, packet.duration or 0, bytes(packet), packet.is_keyframe
        )


def _seek_before(intake: _Intake) -> bool:
    """Go to where two groups, and a second, lie before the window. False: none is found."""
    container, window = intake.container, intake.window
    assert window is not None
    base = _time_base(intake.video)
    target = round((window.from_s + intake.zero_s) / base)
    entries = 0
    while target > 0:
        try:
            container.seek(target, stream=intake.video, backward=True, any_frame=False)
        except av.FFmpegError:
            return False
        first = next((unit for unit in _matroska_units(intake) if unit.video), None)
        if first is None or first.pts is None or first.pts > target:
            break
        sample, _ = intake.samples.sample(intake.units(first.data))
        entries += intake.samples.begins_group(sample)[0]
        if entries > 1 and first.pts * base <= window.from_s + intake.zero_s - _MARGIN_S:
            container.seek(first.pts, stream=intake.video, backward=True, any_frame=False)
            return True
        target = first.pts - 1
    return False


def _has_window(intake: _Intake, unit: _Unit) -> bool:
    """Whether all of the window, its audio as well, has been taken in."""
    if not intake.pictures.complete or unit.pts is None:
        return False
    assert intake.window is not None
    stream = intake.video if unit.video else intake.audio
    assert stream is not None
    late_s = unit.pts * _time_base(stream) - intake.zero_s - intake.window.to_s
    return intake.audio is None or late_s > (_SOUND_LAG_S if unit.video else 0)


def _find_end(intake: _Intake) -> None:
    """See when the recording ends: its last cluster tells."""
    container = intake.container
    assert container.duration is not None
    target = round(Fraction(container.duration, av.time_base) / _time_base(intake.video))
    container.seek(target, stream=intake.video, backward=True, any_frame=False)
    for unit in _matroska_units(intake):
        if unit.video and unit.pts is not None:
            intake.pictures.note_time(intake.ticks(unit.pts), unit.duration)
