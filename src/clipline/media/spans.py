"""Which frames of a stretch are copied and which encoded anew: pure, from the sample table.

A copy begins at an IDR picture, where a decoder can begin. What is asked before the first such picture
is decoded from the IDR picture before it and encoded anew. At the end a copy stops where no picture is
needed that is not asked; the few B-frames behind that, whose reference lies beyond the end, are
encoded anew as well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from clipline.contract.errors import UnsupportedMedia
from clipline.media.index import Track
from clipline.media.timeline import Source

MOST_REORDERED = 16
"""Pictures that are decoded before one that is shown before them (H.264, max_dec_frame_buffering)."""


@dataclass(frozen=True, eq=False)
class CopySpan:
    """Samples ``[first, stop)`` in decode order but for ``left_out``, byte for byte."""

    source: int
    first: int
    stop: int
    left_out: frozenset[int] = frozenset()
    """Pictures that lean on what came before the first one; they are encoded anew."""

    @property
    def samples(self) -> Sequence[int]:
        """Sample numbers in decode order."""
        if not self.left_out:
            return range(self.first, self.stop)
        return [number for number in range(self.first, self.stop) if number not in self.left_out]


@dataclass(frozen=True, eq=False)
class EncodeSpan:
    """Frames decoded from ``[first, stop)`` and encoded anew, beginning with an IDR picture."""

    source: int
    first: int
    """A sample that a decoder can begin at."""
    stop: int
    frames: Sequence[int]
    """Sample numbers of the frames to encode, in presentation order."""
    why: str


@dataclass(frozen=True, eq=False)
class BlackSpan:
    """One black picture that stands for a gap."""


Span = CopySpan | EncodeSpan | BlackSpan


def choose_spans(
    number: int, source: Source, frames: Sequence[int], encode_all: str | None
) -> list[CopySpan | EncodeSpan]:
    """Copy and encode for ``frames`` (sample numbers in presentation order) of source ``number``.

    ``encode_all``: why nothing may be copied.
    """
    video = source.index.video
    wanted = set(frames)
    stop = max(wanted) + 1
    why = encode_all or source.encode_why
    begin = None if why else _first_copyable(source, stop, wanted)
    if begin is None:
        why = why or "no IDR picture among the frames asked"
        return [EncodeSpan(number, _decoder_entry(source, frames), stop, frames, why)]
    left_out = _left_out(source, begin, stop, wanted)
    head = [frame for frame in frames if frame < begin or frame in left_out]
    copy_stop = _closed_end(video, begin, stop, wanted | left_out)
    tail = [frame for frame in frames if frame >= copy_stop and frame not in left_out]
    spans: list[CopySpan | EncodeSpan] = []
    if head:
        why = "frames before the first IDR picture"
        spans.append(EncodeSpan(number, _decoder_entry(source, head), max(head) + 1, head, why))
    spans.append(CopySpan(number, begin, copy_stop, left_out))
    if tail:
        why = "B-frames that need a picture beyond the end"
        spans.append(EncodeSpan(number, _decoder_entry(source, tail), stop, tail, why))
    return spans


def snap_to_keyframe(source: Source, frames: Sequence[int]) -> Sequence[int]:
    """``frames``, and those before them that a copy from the last IDR picture on begins with.

    In presentation order. ``frames`` alone where nothing can be copied.
    """
    if source.encode_why:
        return frames
    video = source.index.video
    pts_of = video.pts.__getitem__
    first_pts = pts_of(frames[0])
    stop = min(frames[0] + 1 + MOST_REORDERED, len(video))
    for begin in reversed(_syncs(video, 0, min(frames) + 1)):
        if pts_of(begin) <= first_pts and source.can_begin_copy(begin):
            before = (number for number in range(begin, stop) if pts_of(begin) <= pts_of(number) < first_pts)
            return [*sorted(before, key=pts_of), *frames]
    return frames


def _syncs(video: Track, first: int, stop: int) -> Sequence[int]:
    """Sync samples among ``[first, stop)``."""
    if video.sync is None:
        return range(first, stop)
    return video.sync[bisect_left(video.sync, first) : bisect_left(video.sync, stop)]


def _first_copyable(source: Source, stop: int, wanted: set[int]) -> int | None:
    """The first picture among the frames wanted where a copy can begin."""
    for number in _syncs(source.index.video, min(wanted), stop):
        if number in wanted and source.can_begin_copy(number):
            return number
    return None


def _left_out(source: Source, begin: int, stop: int, wanted: set[int]) -> frozenset[int]:
    """Samples behind ``begin`` that are shown before it and lean on what came before, or are not wanted.

    No picture that is shown after ``begin`` needs them (ITU-T H.265, section 3.1, leading picture).
    """
    video = source.index.video
    found = []
    for number in range(begin + 1, stop):
        if video.pts[number] > video.pts[begin]:
            break
        if number not in wanted or source.leans_on_before(number):
            found.append(number)
    return frozenset(found)


def _decoder_entry(source: Source, frames: Sequence[int]) -> int:
    """The last sample to begin decoding at that is neither decoded nor shown after any of ``frames``.

    Where no sample is known for one, the first sync sample: a decoder shows from where on it is right.
    """
    video = source.index.video
    earliest_pts = video.pts[frames[0]]
    syncs = _syncs(video, 0, min(frames) + 1)
    for number in reversed(syncs):
        if video.pts[number] <= earliest_pts and source.can_begin_decoding(number):
            return number
    if not syncs:
        raise UnsupportedMedia(f"{source.name} has no keyframe before the frames asked")
    return syncs[0]


def _closed_end(video: Track, begin: int, stop: int, wanted: set[int]) -> int:
    """How far a copy from ``begin`` goes: all of it is asked, and all of it is shown before the rest."""
    copy_stop = begin
    while copy_stop < stop and copy_stop in wanted:
        copy_stop += 1
    if copy_stop == stop:
        return stop
    rest = min((video.pts[number] for number in range(copy_stop, stop) if number in wanted), default=None)
    while rest is not None and copy_stop > begin + 1:
        latest = max(video.pts[begin:copy_stop])
        if latest < rest:
            break
        copy_stop -= 1
        rest = min(rest, video.pts[copy_stop])
    return copy_stop
