"""Edit lists: which part of a track's media is shown, and when (ISO/IEC 14496-12, section 8.6.6).

    media     [ hidden |  part 1   | hidden |  part 2  | hidden )
    movie       (pause) [ part 1   ) (pause) [ part 2  )

Parts may leave media out and may wait for each other; none may go back, repeat, or run at another speed.
A sample belongs to the part that its presentation time lies in.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.boxes import Box
from clipline.media.sample_table import Samples, packed_times, shifted

_MOST_EDITS = 1000
_NORMAL_SPEED = 0x10000


@dataclass(frozen=True)
class Part:
    """Media ``[media_begin, media_stop)``, shown from ``begin`` on. In the track's ticks."""

    begin: int
    """On the movie timeline."""
    media_begin: int
    media_stop: int | None
    """None: to the end."""
    slack: int = 0
    """One tick of the movie: writers round an edit's duration to it."""

    @property
    def shift(self) -> int:
        return self.begin - self.media_begin


WHOLE = Part(0, 0, None)


@dataclass(frozen=True, eq=False)
class Placed:
    """Samples on the movie timeline."""

    decode_times: Sequence[int]
    pts: Sequence[int]
    end_pts: int
    hidden: frozenset[int]
    """Numbers of the samples in ``[0, end_pts)`` that are not shown all the same."""
    ticks: int = 1
    """How many ticks here are one tick of the track."""

    def select(self, numbers: Sequence[int]) -> Placed:
        """Only these samples, in order; none of them is hidden."""
        return replace(
            self,
            decode_times=packed_times(map(self.decode_times.__getitem__, numbers)),
            pts=packed_times(map(self.pts.__getitem__, numbers)),
            hidden=frozenset(),
        )


def read_parts(trak: Box, movie_timescale: int, timescale: int, *, fragmented: bool) -> list[Part]:
    """The parts of ``trak`` that are shown, at least one, in order.

    In a fragmented file the last one goes on to the end, whatever its duration: that was written before
    the fragments were there (FFmpeg and Chromium read it so too).
    """
    box = trak.find("edts", "elst")
    if box is None:
        return [WHOLE]
    version, _ = box.version_and_flags()
    (count,) = box.unpack("I", 4)
    if count > _MOST_EDITS:
        raise UnreadableRecording(f"the elst box claims {count} edits")
    layout, step = ("Qqi", 20) if version == 1 else ("Iii", 12)
    if not count and len(box.body) >= 8 + step:  # players read it all the same
        raise UnreadableRecording("the elst box claims no edits, and holds some")

    def ticks(movie_ticks: int) -> int:
        return round(Fraction(movie_ticks * timescale, movie_timescale))

    slack = -(-timescale // movie_timescale)
    at = 0  # in ticks of the movie, so that roundings do not add up
    parts: list[Part] = []
    for number in range(count):
        duration, media_time, rate = box.unpack(layout, 8 + number * step)
        if media_time == -1:
            at += duration
            continue
        if media_time < 0:
            raise UnreadableRecording(f"an edit begins {-media_time} ticks before its media")
        if rate != _NORMAL_SPEED:
            raise UnsupportedMedia(
                f"its edit list has a part at speed {rate / _NORMAL_SPEED:g}; 1 can be cut"
            )
        last = number + 1 == count
        if duration or last:
            # A duration of 0 means "to the end".
            stop = media_time + ticks(duration) if duration else None
            parts.append(Part(ticks(at), media_time, stop, slack))
        at += duration
    if not parts:
        return [Part(ticks(at), 0, None)]
    if fragmented:
        parts[-1] = replace(parts[-1], media_stop=None)
    return _in_order(parts)


def _in_order(parts: Sequence[Part]) -> list[Part]:
    """``parts``, those that follow each other closed up. Raises UnsupportedMedia where one goes back."""
    ordered = []
    for part, following in pairwise(parts):
        assert part.media_stop is not None
        if following.media_begin < part.media_stop - part.slack:
            raise UnsupportedMedia(
                f"its edit list goes back from media tick {part.media_stop} to {following.media_begin}; "
                "parts that go on or leave something out can be cut"
            )
        goes_on = following.media_begin <= part.media_stop + part.slack
        ordered.append(replace(part, media_stop=following.media_begin) if goes_on else part)
    return [*ordered, parts[-1]]


def place(samples: Samples, parts: Sequence[Part]) -> Placed:
    """``samples`` where ``parts`` put them."""
    return _place_one(samples, parts[0]) if len(parts) == 1 else _place_several(samples, parts)


def _place_one(samples: Samples, part: Part) -> Placed:
    pts = shifted(samples.pts, part.shift)
    end = samples.end + part.shift
    hidden: set[int] = set()
    if part.begin > 0 and min(pts, default=part.begin) < part.begin:
        hidden.update(number for number, time in enumerate(pts) if 0 <= time < part.begin)
    if part.media_stop is not None and end > (stop := part.media_stop + part.shift) + part.slack:
        end = _end(pts, samples.durations, stop, part.slack)
        if end > stop:
            hidden.update(number for number, time in enumerate(pts) if stop <= time < end)
    decode_times = shifted(samples.decode_times, part.shift)
    return Placed(decode_times, pts, end, frozenset(hidden))


def _end(pts: Sequence[int], durations: Sequence[int], stop: int, slack: int) -> int:
    """When the last sample that begins before ``stop`` ends: there at the latest, but for rounding."""
    ends = (time + lasts for time, lasts in zip(pts, durations, strict=True) if time < stop)
    end = max(ends, default=0)
    return end if end <= stop + slack else stop


def _place_several(samples: Samples, parts: Sequence[Part]) -> Placed:
    begins = [part.media_begin for part in parts]
    owners = [max(bisect_right(begins, time) - 1, 0) for time in samples.pts]
    shifts = [parts[owner].shift for owner in owners]
    pts = list(map(operator.add, samples.pts, shifts))
    shown: list[list[int]] = [[] for _ in parts]
    between: list[list[int]] = [[] for _ in parts]
    hidden: set[int] = set()
    for number, (time, owner) in enumerate(zip(samples.pts, owners, strict=True)):
        part = parts[owner]
        if part.media_begin <= time and (part.media_stop is None or time < part.media_stop):
            shown[owner].append(number)
        else:
            hidden.add(number)
            if time >= part.media_begin:
                between[owner].append(number)
    # What is left out between two parts has no time of its own on the movie timeline, and one of a
    # picture that is shown would make the two one. So it gets a tick between its neighbours.
    for owner, numbers in enumerate(between):
        before = [number for one in shown[: owner + 1] for number in one]
        after = [number for one in shown[owner + 1 :] for number in one]
        if not (numbers and before and after):
            continue
        low = max(pts[number] for number in before)
        room = min(pts[number] for number in after) - low
        if room < 1:
            raise UnsupportedMedia(f"its edit list shows two samples at once, at tick {low}")
        if room < 2:
            return _place_in_half_ticks(samples, parts)
        for number in numbers:
            pts[number] = low + 1
    ends = [pts[number] + samples.durations[number] for one in shown for number in one]
    end = max(ends, default=0)
    last = parts[-1]
    if last.media_stop is not None and end > last.media_stop + last.shift + last.slack:
        end = last.media_stop + last.shift
    decode_times = packed_times(map(operator.add, samples.decode_times, shifts))
    return Placed(decode_times, packed_times(pts), end, frozenset(hidden))


def _place_in_half_ticks(samples: Samples, parts: Sequence[Part]) -> Placed:
    def doubled(times: Sequence[int]) -> list[int]:
        return [2 * time for time in times]

    finer = replace(
        samples,
        durations=doubled(samples.durations),
        decode_times=doubled(samples.decode_times),
        pts=doubled(samples.pts),
        missing_from=None if samples.missing_from is None else 2 * samples.missing_from,
    )
    finer_parts = [
        Part(
            2 * part.begin,
            2 * part.media_begin,
            None if part.media_stop is None else 2 * part.media_stop,
            2 * part.slack,
        )
        for part in parts
    ]
    return replace(_place_several(finer, finer_parts), ticks=2)
