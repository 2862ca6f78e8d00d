"""Samples gathered from a container one by one: which are kept, where they lie, when they are shown.

    time          ...I  b P b P [I  b P b P I | asked ...... ) P P P P ...
    kept                         \\__________________________________/
                                 two groups before           until no picture to come is shown earlier

Kept are the groups that an exact cut of the window can need, in a spool file; of the rest of the recording
only what tells its end. Pictures that can't be decoded right are left out: those before the first picture
that a decoder may begin at, and those from a loss on until the next such picture.
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_left, bisect_right, insort
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.boxes import Box
from clipline.media.index import Track
from clipline.media.mux import decode_times
from clipline.media.sample_entries import AUDIO_HEADER, AudioForm

REORDER_DEPTH = 16
"""Most pictures that are decoded before one and shown after it (H.264, section A.3.1; H.265, A.4.2)."""

_GROUPS_BEFORE = 2
_SOUND_BEFORE_S = 1
"""Audio that begins that long before the first picture is kept."""
_WASTE_BYTES = 32 * 1024 * 1024
"""The spool is made smaller when that much of it is needed no more."""
_MOST_SET_BACK_S = 1
"""Audio times that jump back by less are jitter."""


class Spool:
    """Samples one behind the other in a new file of ``directory``."""

    def __init__(self, directory: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=directory, prefix="intake-")
        self.path = Path(name)
        self._file = os.fdopen(descriptor, "w+b", buffering=1024 * 1024)
        self.size_bytes = 0

    def append(self, data: bytes) -> int:
        """Where in the file ``data`` lies now."""
        offset = self.size_bytes
        self._file.write(data)
        self.size_bytes += len(data)
        return offset

    def read(self, offset: int, length: int) -> bytes:
        self._file.flush()
        return os.pread(self._file.fileno(), length, offset)

    def drop_before(self, offset: int) -> None:
        """Move what lies behind ``offset`` to the front."""
        kept = self.read(offset, self.size_bytes - offset)
        self._file.seek(0)
        self._file.truncate()
        self._file.write(kept)
        self.size_bytes = len(kept)

    def close(self, *, remove: bool = False) -> None:
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)


class Coded(NamedTuple):
    """A picture as a container gives it, its times in ticks on the movie timeline."""

    sample: bytes
    pts: int
    duration: int
    """0 where the container tells none."""
    is_entry: bool
    """Whether a decoder may begin here."""
    is_idr: bool
    damaged: bool
    changed: bool
    """Whether other parameter sets hold from here on."""


class _Sample(NamedTuple):
    pts: int
    size: int
    offset: int
    is_entry: bool = True


class Pictures:
    """The video of a recording. ``window`` is half-open, in ticks; None: all of it."""

    def __init__(self, spool: Spool, window: tuple[Fraction, Fraction] | None, timescale: int) -> None:
        self.timescale = timescale
        self.complete = False
        """Whether all that the window needs has been kept."""
        self._spool = spool
        self._window = window
        self._kept: list[_Sample] = []
        self._lost: list[int] = []
        """When pictures would have been shown that are left out because of a loss."""
        self._entries: list[int] = []
        """Places in what is kept of pictures to begin decoding at that are shown before the window."""
        self._latest: list[int] = []
        """The greatest presentation times so far, in order."""
        self._told_end = 0
        self._idr_pts: int | None = None
        self._decodable = False
        self._shown_from = 0
        self._changed = False
        self._behind = 0

    def add(self, coded: Coded) -> None:
        """Take the next picture in decode order.

        Raises UnreadableRecording where times run backwards, UnsupportedMedia where parameter sets change
        within the window.
        """
        pts = coded.pts
        self._check_time(coded)
        if coded.duration:
            self._told_end = max(self._told_end, pts + coded.duration)
        if self.complete:
            return
        self._changed = self._changed or coded.changed
        if coded.damaged:
            self._decodable = False
        elif coded.is_entry and not self._decodable:
            self._decodable, self._shown_from = True, pts
        if not self._decodable or pts < self._shown_from:
            self._lost.append(pts)
            return
        if self._changed:
            self._begin_anew(pts)
        if coded.is_entry and self._window is not None and pts <= self._window[0]:
            self._entries.append(len(self._kept))
            self._forget_groups()
        offset = self._spool.append(coded.sample)
        self._kept.append(_Sample(pts, len(coded.sample), offset, coded.is_entry))
        if self._window is not None and pts >= self._window[1]:
            self._behind += 1
            self.complete = self._behind > REORDER_DEPTH + 1

    def note_time(self, pts: int, duration: int) -> None:
        """A picture that is not kept: only the end of the recording is looked for."""
        insort(self._latest, pts)
        del self._latest[: -(REORDER_DEPTH + 2)]
        self._told_end = max(self._told_end, pts + duration if duration else 0)

    def _check_time(self, coded: Coded) -> None:
        pts, latest = coded.pts, self._latest
        idr = coded.is_idr and not coded.damaged
        full = len(latest) == REORDER_DEPTH + 2
        if (
            (full and pts <= latest[0])
            or (idr and latest and pts <= latest[-1])
            or (self._idr_pts is not None and pts < self._idr_pts)
        ):
            raise clock_set_back(latest[-1], self.timescale)
        if idr:
            self._idr_pts = pts
        insort(latest, pts)
        if full:
            del latest[0]

    def _begin_anew(self, pts: int) -> None:
        """Forget what was coded with other parameter sets, where nothing of it is asked."""
        self._changed = False
        if not self._kept:
            return
        if self._window is None or pts > self._window[0]:
            raise UnsupportedMedia(
                f"its video changes its parameter sets at {_seconds(pts, self.timescale)}, "
                "which can't be cut yet"
            )
        self._kept.clear()
        self._entries.clear()

    def _forget_groups(self) -> None:
        if len(self._entries) > _GROUPS_BEFORE:
            first = self._entries[-_GROUPS_BEFORE]
            del self._kept[:first]
            self._entries = [place - first for place in self._entries[-_GROUPS_BEFORE:]]

    @property
    def first(self) -> _Sample | None:
        """The first picture kept."""
        return self._kept[0] if self._kept else None

    def move(self, by: int) -> None:
        """The spool lost ``by`` bytes at its front."""
        self._kept = [one._replace(offset=one.offset - by) for one in self._kept]

    def drop_last(self) -> None:
        """The last picture kept is not whole."""
        self._lost.append(self._kept.pop().pts)
        if self._entries and self._entries[-1] == len(self._kept):
            self._entries.pop()

    def lose(self) -> None:
        """Bytes are missing behind the last picture, perhaps its own last ones."""
        if self._decodable and self._kept and not self.complete:
            self.drop_last()
        self._decodable = False

    def finish(self, entry: Box, header: bytes, usual_step: int) -> tuple[Track, list[tuple[int, int]]]:
        """(the track, ``[from, to)`` in ticks where pictures are lost among those that are shown).

        The last picture is shown as long as the container says, else as long as most of the last ones, else
        ``usual_step`` ticks. Raises UnreadableRecording where there is no picture to be shown.
        """
        if not self._kept:
            raise UnreadableRecording("it has no picture that a decoder may begin at")
        pts = [one.pts for one in self._kept]
        shown = sorted(pts)
        if any(a == b for a, b in pairwise(shown)):
            raise UnreadableRecording("it has two pictures at one time")
        steps = sorted(b - a for a, b in pairwise(self._latest) if b > a)
        end_pts = self._latest[-1] + (steps[len(steps) // 2] if steps else usual_step)
        if self._told_end > self._latest[-1]:
            end_pts = self._told_end
        holes: list[tuple[int, int]] = []
        for time in sorted(self._lost):
            if time <= shown[0] or (holes and time < holes[-1][1]):
                continue
            place = bisect_left(shown, time)
            if place == len(shown):
                if not self.complete:  # to the end of the recording
                    end_pts = min(end_pts, time)
                break
            holes.append((time, shown[place]))
        track = Track(
            entry, self.timescale, [one.size for one in self._kept], decode_times(pts, end_pts)[0], pts,
            end_pts, [place for place, one in enumerate(self._kept) if one.is_entry],
            range(len(pts) + 1), [one.offset for one in self._kept], header,
        )  # fmt: skip
        return track, holes


class Sounds:
    """The audio of a recording: frames at times that its container rounds to coarser ticks.

    A frame that comes where the one before it ends, to within the rounding, begins exactly there.
    """

    def __init__(self, spool: Spool, form: AudioForm, window: tuple[Fraction, Fraction] | None) -> None:
        self.form = form
        self.until_pts: int | None = None
        """When the last frame given ends, in samples."""
        self.dropped = 0
        """How many frames could not be placed."""
        self._spool = spool
        self._window = window
        self._kept: list[_Sample] = []

    def add(self, frame: bytes, time: Fraction | None, rounding: Fraction) -> None:
        """Take the next frame, which begins at ``time`` (in samples; None: after the one before it).

        Raises UnreadableRecording where times run backwards.
        """
        try:
            sample = self.form.strip(frame)
            length = self.form.frame_samples
            if length is None:
                assert self.form.samples_of is not None
                length = self.form.samples_of(sample)
        except UnreadableRecording:  # what a loss left of a frame
            self.skip()
            return
        expected = self.until_pts
        if time is None:
            if expected is None:
                self.dropped += 1
                return
            pts = expected
        elif expected is not None and abs(time - expected) <= rounding + 1:
            pts = expected
        else:
            pts = round(time)
        if self._kept and pts <= self._kept[-1].pts:
            if self._kept[-1].pts - pts > self.form.rate * _MOST_SET_BACK_S:
                raise UnreadableRecording(f"its audio's clock is set back at {_seconds(pts, self.form.rate)}")
            self.dropped += 1
            return
        self.until_pts = pts + length
        if self._window is None or pts < self._window[1]:
            self._kept.append(_Sample(pts, len(sample), self._spool.append(sample)))

    def skip(self) -> None:
        """A frame was lost: the next one has to say when it begins."""
        self.until_pts = None
        self.dropped += 1

    def forget_before(self, pts: int) -> None:
        """Forget frames that begin before ``pts``, in samples."""
        del self._kept[: bisect_right(self._kept, pts, key=lambda one: one.pts)]

    @property
    def first(self) -> _Sample | None:
        """The first frame kept."""
        return self._kept[0] if self._kept else None

    def move(self, by: int) -> None:
        """The spool lost ``by`` bytes at its front."""
        self._kept = [one._replace(offset=one.offset - by) for one in self._kept]

    def finish(self) -> Track | None:
        """The track, whose end is that of the last frame kept; None where there is none."""
        kept = self._kept
        if not kept:
            return None
        pts = [one.pts for one in kept]
        return Track(
            self.form.entry, self.form.rate, [one.size for one in kept], pts, pts, self._end_pts(),
            None, range(len(pts) + 1), [one.offset for one in kept], AUDIO_HEADER,
        )  # fmt: skip

    def _end_pts(self) -> int:
        last = self._kept[-1]
        if self.form.frame_samples is not None:
            return last.pts + self.form.frame_samples
        assert self.form.samples_of is not None
        return last.pts + self.form.samples_of(self._spool.read(last.offset, last.size))


def tidy(spool: Spool, pictures: Pictures, sounds: Sounds | None) -> None:
    """Drop from the spool, once that is worth it, what pictures have forgotten."""
    if pictures.first is None or pictures.first.offset < _WASTE_BYTES:
        return
    first = pictures.first
    offset = first.offset
    if sounds is not None:
        rate = sounds.form.rate
        sounds.forget_before(first.pts * rate // pictures.timescale - rate * _SOUND_BEFORE_S)
        if sounds.first is not None:
            offset = min(offset, sounds.first.offset)
            sounds.move(offset)
    spool.drop_before(offset)
    pictures.move(offset)


def clock_set_back(latest: int, timescale: int) -> UnreadableRecording:
    """Times go up to ``latest`` and begin anew before it."""
    return UnreadableRecording(
        f"its clock is set back at {_seconds(latest, timescale)}: which of its times are right can't be told"
    )


def _seconds(pts: int, timescale: int) -> str:
    return f"{pts / timescale:.3f} s"
