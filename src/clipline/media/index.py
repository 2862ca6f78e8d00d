"""The sample table of a recording: which frame lies where, and when it is shown.

Read from the ``moov`` box, wherever it stands: two requests for a file of any length; in a fragmented
MP4 from the ``moof`` boxes that matter as well. Times are integers in the track's own ``timescale``
(ticks a second), on the movie timeline: zero is its zero after the edit list (``edits``), or the
earliest start where that is far away (``zero``), so that the wall time of a frame is the recording's
start plus its presentation time.
"""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil

from clipline.contract.errors import MediaError, UnreadableRecording, UnsupportedMedia
from clipline.media.boxes import Box, parse_boxes, parse_header
from clipline.media.edits import Placed, place
from clipline.media.fragment_reader import FragmentedTrack, FragmentReader, Selection
from clipline.media.fragments import Fragment, join
from clipline.media.limits import MediaLimits
from clipline.media.movie import Movie, MovieTrack
from clipline.media.ranges import ByteSource
from clipline.media.sample_table import Samples, shifted
from clipline.media.skim import CountedSource, Skimmer
from clipline.media.zero import time_zero

MAX_MOOV_BYTES = 64 * 1024 * 1024
"""A day of 60 frames a second has an index of about 60 MB; a larger claim is a broken file."""

_FIRST_READ_BYTES = 8 * 1024
_MOST_HEADERS = 32
"""How many boxes may stand behind the first read and before the index: each costs a request."""

_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"wide", b"skip"})


@dataclass(frozen=True, eq=False)
class Track:
    """One track's samples, in decode order. A sample is one coded picture, or one audio frame."""

    entry: Box
    """The sample entry of ``stsd``: codec and parameters."""
    timescale: int
    """Ticks a second."""
    sizes: Sequence[int]
    """Bytes of each sample."""
    decode_times: Sequence[int]
    """Ticks on the movie timeline."""
    pts: Sequence[int]
    """Presentation time of each sample, ticks on the movie timeline."""
    end_pts: int
    """When the last sample shown stops being shown, ticks."""
    sync: Sequence[int] | None
    """Sample numbers (from 0) of the sync samples; None: every sample is one."""
    chunk_first: Sequence[int]
    """Number of the first sample of each chunk, and the number of samples at the end."""
    chunk_offsets: Sequence[int]
    """Byte offset of each chunk."""
    header: bytes
    """The ``tkhd`` box's matrix, width and height: 44 bytes that a copy keeps."""
    hidden: frozenset[int] = frozenset()
    """Sample numbers that the edit list leaves out, beyond those whose time lies outside ``[0, end_pts)``."""
    most_pixels: int = MediaLimits.pixels
    """A decoder of the track refuses larger pictures, whatever the samples say."""

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def shown(self) -> Sequence[int]:
        """Sample numbers in presentation order, without those before or after the edit list's part."""
        pts = self.pts
        if self.in_order:
            shown = range(bisect_left(pts, 0), bisect_left(pts, self.end_pts))
            if not self.hidden:
                return shown
            return array("I", (number for number in shown if number not in self.hidden))
        order = sorted(range(len(pts)), key=pts.__getitem__)
        return array("I", (n for n in order if 0 <= pts[n] < self.end_pts and n not in self.hidden))

    @cached_property
    def in_order(self) -> bool:
        """Whether samples are decoded in the order they are shown in."""
        return isinstance(self.pts, range) or all(map(operator.lt, self.pts, self.pts[1:]))

    def locate(self, first: int, stop: int) -> list[tuple[int, int]]:
        """(byte offset, size) of each sample in ``[first, stop)``."""
        places: list[tuple[int, int]] = []
        chunk = bisect_right(self.chunk_first, first) - 1
        chunk_stop = self.chunk_first[chunk + 1] if first < stop else stop
        offset = self.chunk_offsets[chunk] + sum(self.sizes[self.chunk_first[chunk] : first])
        for number, size in enumerate(self.sizes[first:stop], first):
            if number == chunk_stop:
                chunk += 1
                offset, chunk_stop = self.chunk_offsets[chunk], self.chunk_first[chunk + 1]
            places.append((offset, size))
            offset += size
        return places

    @property
    def end_s(self) -> Fraction:
        """When the track's last sample stops being shown, seconds on the movie timeline."""
        return Fraction(self.end_pts, self.timescale)


@dataclass(frozen=True, eq=False)
class RecordingIndex:
    """What a recording holds."""

    video: Track
    audio: Track | None
    bytes_read: int
    """What reading the index cost."""
    notes: Sequence[str] = ()
    """What of the recording is left out, and why."""
    holes: Sequence[tuple[int, int]] = ()
    """``[from, to)`` in the video's ticks: shown there are pictures that did not survive."""
    audio_why: str | None = None
    """Why ``audio`` is None though there is an audio track."""
    created_ms: int | None = None
    """When it was made, as the file itself says: milliseconds since the epoch, UTC."""

    @property
    def length_ms(self) -> int:
        """How long the picture lasts, in milliseconds, rounded up."""
        return ceil(self.video.end_s * 1000)


@dataclass(frozen=True)
class Window:
    """The part of a recording that will be cut, ``[from_s, to_s)`` in seconds on its timeline."""

    from_s: Fraction
    to_s: Fraction


def read_index(source: ByteSource, window: Window | None = None) -> RecordingIndex:
    """Read a recording's index.

    With ``window``, a fragmented recording that says where its fragments lie gives only the samples that
    a cut of the window needs: a run that is numbered from 0, begins with or before a sync sample at or
    before the window (where there is one), and goes on beyond its end. ``end_pts`` of the video is that
    of the whole track all the same; that of the audio is the run's.

    Raises UnreadableRecording for bytes that are no sound MP4, and UnsupportedMedia for one that
    can't be cut (encrypted, several sample descriptions, other codecs).
    """
    try:
        return _read(CountedSource(source), window)
    except (UnreadableRecording, UnsupportedMedia) as error:
        raise type(error)(f"{source.name}: {error}") from None


def _read(source: CountedSource, window: Window | None) -> RecordingIndex:
    moov, skimmer, stop = _read_moov(source)
    movie = Movie(moov, source.size_bytes)
    video = movie.video()
    audio, notes = movie.audio()
    selection, zero = Selection(), None
    if movie.fragmented:
        tracks = [track for track in (video, audio) if track is not None]
        selection, zero = _read_fragments(source, skimmer, stop, tracks, window)
    picture = _Footage.of(video, selection, source.size_bytes)
    sound = None
    if audio is not None:
        try:
            sound = _Footage.of(audio, selection, source.size_bytes, is_audio=True)
        except MediaError as error:
            notes.append(f"its audio can't be read: {error}")
    if selection.ends:
        notes.append(selection.ends)
    if sound is not None and not len(sound.samples):
        sound = None
    if zero is None:
        zero = time_zero(one.start_s for one in (picture, sound) if one and len(one.samples))
    track = picture.track(zero)
    if not track.shown:
        raise UnreadableRecording("; ".join(["it has no video track with a picture in it", *notes]))
    audio_why = notes[0] if notes and sound is None else None
    return RecordingIndex(
        track, sound.track(zero) if sound else None, source.bytes_read, tuple(notes), audio_why=audio_why,
        created_ms=movie.created_ms(),
    )  # fmt: skip


def _read_fragments(
    source: CountedSource, skimmer: Skimmer, start: int, tracks: Sequence[MovieTrack], window: Window | None
) -> tuple[Selection, Fraction | None]:
    """(fragments, the recording's zero where it can't be told from them)"""
    fragmented = [
        FragmentedTrack(
            track.identifier, track.timescale, track.parts[0].shift, track.samples, track.defaults
        )
        for track in tracks
        if track.defaults is not None
    ]
    reader = FragmentReader(source, skimmer, start, fragmented)
    if window is None or len(fragmented) < len(tracks) or any(len(track.parts) > 1 for track in tracks):
        return reader.all(), None
    zero = Fraction(0)

    def on_the_movie_timeline(first: Sequence[Fragment]) -> tuple[Fraction, Fraction]:
        nonlocal zero
        starts = []
        for track in tracks:
            try:
                footage = _Footage.of(track, Selection(first), source.size_bytes)
            except MediaError:
                continue  # told when all of it has been read
            if len(footage.samples):
                starts.append(footage.start_s)
        zero = time_zero(starts)
        return window.from_s + zero, window.to_s + zero

    selection = reader.within(on_the_movie_timeline)
    return selection, None if selection.from_first else zero


@dataclass(frozen=True, eq=False)
class _Footage:
    """A track's samples on the movie timeline."""

    source: MovieTrack
    samples: Samples
    placed: Placed
    end_pts: int

    @classmethod
    def of(
        cls, track: MovieTrack, selection: Selection, size_bytes: int, *, is_audio: bool = False
    ) -> _Footage:
        samples = track.samples
        if selection.fragments:
            before = samples if selection.from_first else None
            samples = join(before, selection.fragments, track.identifier, size_bytes)
        placed = place(samples, track.parts)
        end_pts = placed.end_pts
        if selection.tail and not is_audio:
            end_pts = place(join(None, selection.tail, track.identifier, size_bytes), track.parts).end_pts
        if is_audio and len(track.parts) > 1:
            # Pictures that are not shown may be needed by others; audio frames stand alone.
            kept = [number for number in range(len(samples)) if number not in placed.hidden]
            samples, placed = samples.select(kept), placed.select(kept)
        return cls(track, samples, placed, end_pts)

    @property
    def timescale(self) -> int:
        return self.source.timescale * self.placed.ticks

    @property
    def start_s(self) -> Fraction:
        return Fraction(min(self.placed.pts), self.timescale)

    def track(self, zero: Fraction) -> Track:
        """With times that count from ``zero``, seconds on the movie timeline."""
        shift = -round(zero * self.timescale)
        samples, placed = self.samples, self.placed
        return Track(
            self.source.entry(samples.descriptions),
            self.timescale,
            samples.sizes,
            shifted(placed.decode_times, shift),
            shifted(placed.pts, shift),
            self.end_pts + shift,
            samples.sync,
            samples.chunk_first,
            samples.chunk_offsets,
            self.source.header,
            placed.hidden,
        )


def _read_moov(source: CountedSource) -> tuple[Box, Skimmer, int]:
    """(``moov``, what stands at its end, where that is)"""
    size_bytes = source.size_bytes
    if size_bytes == 0:
        raise UnreadableRecording("the file is empty")
    head = source.read(0, min(_FIRST_READ_BYTES, size_bytes))
    if len(head) < 12 or head[4:8] not in _FIRST_BOXES:
        raise UnreadableRecording(f"it is no MP4 file: it begins with {head[:12]!r}")
    at = 0
    headers_left = _MOST_HEADERS
    while at < size_bytes:
        if at + 16 > len(head):
            if at >= _FIRST_READ_BYTES and size_bytes - at <= MAX_MOOV_BYTES and at > size_bytes // 2:
                # Behind the footage there is only the index: one read takes it whole.
                tail = source.read(at, size_bytes - at)
                for found in parse_boxes(memoryview(tail)):
                    at += found.size_bytes
                    if found.kind == "moov":
                        return found, Skimmer(source, tail, at=size_bytes - len(tail)), at
                break
            if not headers_left:
                raise UnreadableRecording(f"its index stands behind more than {_MOST_HEADERS} other boxes")
            headers_left -= 1
            header = source.read(at, min(16, size_bytes - at))
        else:
            header = head[at : at + 16]
        kind, header_bytes, box_bytes = parse_header(header)
        box_bytes = box_bytes or size_bytes - at
        if box_bytes < header_bytes or at + box_bytes > size_bytes:
            raise UnreadableRecording(
                f"the file is cut off: its {kind!r} box claims {box_bytes} bytes at byte {at}, "
                f"the file has {size_bytes}"
            )
        if kind == "moof":
            raise UnreadableRecording("its fragments come before any moov box, which would describe them")
        if kind == "moov":
            if box_bytes > MAX_MOOV_BYTES:
                raise UnreadableRecording(f"its index claims {box_bytes} bytes")
            data = head[at : at + box_bytes]
            if len(data) < box_bytes:
                data += source.read(at + len(data), box_bytes - len(data))
            return Box("moov", memoryview(data)[header_bytes:]), Skimmer(source, head), at + box_bytes
        at += box_bytes
    raise UnreadableRecording("it has no moov box: the recorder did not finish it")
