"""Which fragments of a file are read: all, or those that a window of time needs.

Where the file says where its fragments lie, the first is read (it tells where time begins), those that
the window touches with one following, before them back to a sync sample, and the last (it tells where
the track ends). Whether enough was read is decided by the times that the fragments themselves have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

from clipline.contract.errors import MediaError, UnreadableRecording, UnsupportedMedia
from clipline.media.fragment_map import Span, find_spans
from clipline.media.fragments import Defaults, Fragment, join, parse_fragment
from clipline.media.ranges import COALESCE_BYTES, REQUESTS_AT_A_TIME
from clipline.media.sample_table import MAX_SAMPLES, Samples
from clipline.media.skim import MOST_READ_BYTES, CountedSource, Skimmer, load, walk


@dataclass(frozen=True, eq=False)
class FragmentedTrack:
    """What ``moov`` says of a track whose samples are in fragments."""

    identifier: int
    timescale: int
    shift: int
    """From media time to the movie timeline, ticks."""
    before: Samples
    """Samples that ``moov`` lists itself."""
    defaults: Defaults

    def media_ticks(self, movie_s: Fraction) -> int:
        """The first tick of media time that is not before ``movie_s``."""
        return math.ceil(movie_s * self.timescale) - self.shift


@dataclass(frozen=True, eq=False)
class Selection:
    """Fragments that follow each other, and those at the end of the file."""

    fragments: Sequence[Fragment] = ()
    from_first: bool = True
    """Whether nothing comes before them but what ``moov`` lists."""
    tail: Sequence[Fragment] = ()
    """Those with the last samples of the video; none where ``fragments`` hold them."""
    ends: str | None = None
    """Why the file can't be read beyond them, if it goes on."""


@dataclass(frozen=True, eq=False)
class _Loaded:
    fragments: Sequence[Fragment]
    stop: int
    """Where the last box ends: the span's end, or its boxes do not fill it."""
    ends: str | None


class FragmentReader:
    """Reads the fragments of one file. ``tracks``: video first."""

    def __init__(
        self, source: CountedSource, skimmer: Skimmer, start: int, tracks: Sequence[FragmentedTrack]
    ) -> None:
        """``skimmer`` stands at byte ``start``, where ``moov`` ends."""
        self._source, self._skimmer, self._start = source, skimmer, start
        self._tracks = tracks
        self._defaults: Mapping[int, Defaults] = {track.identifier: track.defaults for track in tracks}
        self._spans: Sequence[Span] = ()
        self._loaded: dict[int, _Loaded] = {}
        self._samples = 0

    def all(self) -> Selection:
        """Every fragment, however many requests that takes."""
        found = self._load_one(self._skimmer, Span(self._start, self._source.size_bytes, Fraction(0), True))
        return Selection(found.fragments, ends=found.ends)

    def within(self, window: Callable[[Sequence[Fragment]], tuple[Fraction, Fraction]]) -> Selection:
        """What a window of time needs; all, where the file does not say where that is.

        ``window`` is asked with the first fragments, and answers in seconds on the movie timeline.
        """
        timescales = {track.identifier: track.timescale for track in self._tracks}
        self._spans = find_spans(self._source, self._skimmer, self._start, timescales)
        if len(self._spans) == 1:
            return self.all()
        try:
            self._loaded[0] = self._load_one(self._skimmer, self._spans[0])
            from_s, to_s = window(self._loaded[0].fragments)
            return self._select(from_s, to_s)
        except _Misled:
            return self.all()

    def _select(self, from_s: Fraction, to_s: Fraction) -> Selection:
        """Raises _Misled where the file is not as its own map says, or can't be read in parts."""
        last = len(self._spans) - 1
        self._check([0])
        first, stop = self._guess(from_s, to_s)
        self._load({*range(first, stop), last})
        step = 1
        while first and not self._early_enough(first, stop, from_s):
            first, step = max(first - step, 0), step * 2
            self._load(range(first, stop))
        while stop <= last and not self._late_enough(stop, to_s):
            stop += 1
            self._load([stop - 1])
        run = self._fragments(first, stop)
        if first and self._all_sync(run):
            raise _Misled  # flags that nobody filled in: no telling where a decoder can begin
        tail_first = last
        while tail_first >= stop and not self._has_video(self._fragments(tail_first, last + 1)):
            tail_first -= 1
            self._load([tail_first])
        tail = self._fragments(max(tail_first, stop), last + 1)
        return Selection(run, first == 0, tail, self._loaded[last].ends if last in self._loaded else None)

    def _guess(self, from_s: Fraction, to_s: Fraction) -> tuple[int, int]:
        """Spans ``[first, stop)`` by the times that the map gives, which may all be off by the same."""
        video = self._tracks[0]
        starts = [
            Fraction(run.decode_time, video.timescale)
            for fragment in self._loaded[0].fragments
            for run in fragment.runs.get(video.identifier, ())[:1]
            if run.decode_time is not None
        ]
        shift = Fraction(video.shift, video.timescale)
        if starts:
            shift += starts[0] - self._spans[0].begin_s
        begins = [span.begin_s + shift for span in self._spans]
        early = [n for n, span in enumerate(self._spans) if begins[n] <= from_s and span.has_sync]
        late = [n for n, begin in enumerate(begins) if begin >= to_s]
        first = early[-1] if early else 0
        return first, max(late[0] if late else len(begins) - 1, first) + 1

    def _early_enough(self, first: int, stop: int, from_s: Fraction) -> bool:
        video = self._tracks[0]
        fragments = self._fragments(first, stop)
        samples = join(None, fragments, video.identifier, self._source.size_bytes)
        sync = range(len(samples)) if samples.sync is None else samples.sync
        begin = video.media_ticks(from_s)  # the first frame asked is none before it
        if not any(samples.pts[number] <= begin for number in sync):
            return False
        for track in self._tracks[1:]:
            # Where the earliest span has none of its samples, there are none before the window.
            times = [
                run.decode_time
                for fragment in self._loaded[first].fragments
                for run in fragment.runs.get(track.identifier, ())[:1]
                if run.decode_time is not None
            ]
            if times and times[0] > track.media_ticks(from_s):
                return False
        return True

    def _late_enough(self, stop: int, to_s: Fraction) -> bool:
        """Whether the last span begins after the window, in each of the tracks that it has samples of."""
        for track in self._tracks:
            try:
                samples = join(
                    None, self._loaded[stop - 1].fragments, track.identifier, self._source.size_bytes
                )
            except MediaError:
                continue  # told when all of it has been read
            if track is self._tracks[0] and not samples.pts:
                return False
            if samples.pts and min(samples.pts) < track.media_ticks(to_s):
                return False
        return True

    def _all_sync(self, fragments: Iterable[Fragment]) -> bool:
        video = self._tracks[0].identifier
        runs = [run for fragment in fragments for run in fragment.runs.get(video, ())]
        return (
            all(len(run.sync) == len(run.sizes) for run in runs) and sum(len(run.sizes) for run in runs) > 1
        )

    def _has_video(self, fragments: Sequence[Fragment]) -> bool:
        return any(self._tracks[0].identifier in fragment.runs for fragment in fragments)

    def _fragments(self, first: int, stop: int) -> list[Fragment]:
        return [fragment for number in range(first, stop) for fragment in self._loaded[number].fragments]

    def _load(self, numbers: Iterable[int]) -> None:
        wanted = sorted(set(numbers) - self._loaded.keys())
        groups: list[list[int]] = []
        for number in wanted:
            group = groups[-1] if groups else []
            small = self._spans[number].stop - self._spans[number].start <= COALESCE_BYTES
            together = group and group[-1] == number - 1 and small
            if together and self._spans[number].stop - self._spans[group[0]].start <= MOST_READ_BYTES:
                group.append(number)
            else:
                groups.append([number])
        if len(groups) > 1 and self._source.local_path is None:
            with ThreadPoolExecutor(REQUESTS_AT_A_TIME, thread_name_prefix="fragments") as pool:
                found = list(pool.map(self._load_group, groups))
        else:
            found = list(map(self._load_group, groups))
        for group, loaded in zip(groups, found, strict=True):
            self._loaded |= dict(zip(group, loaded, strict=True))
        self._check(wanted)

    def _check(self, numbers: Iterable[int]) -> None:
        """Raises _Misled where boxes do not fill a span, or a fragment says no time."""
        for number in numbers:
            found = self._loaded[number]
            misled = found.stop != self._spans[number].stop and number + 1 < len(self._spans)
            if misled or not all(fragment.timed for fragment in found.fragments):
                raise _Misled

    def _load_group(self, group: Sequence[int]) -> list[_Loaded]:
        skimmer = Skimmer(self._source)
        if len(group) > 1:
            start = self._spans[group[0]].start
            skimmer.fetch(start, self._spans[group[-1]].stop - start)
        return [self._load_one(skimmer, self._spans[number]) for number in group]

    def _load_one(self, skimmer: Skimmer, span: Span) -> _Loaded:
        """The fragments of ``span``, up to where the file ends or what follows can't be read."""
        fragments: list[Fragment] = []
        size_bytes = self._source.size_bytes
        at = span.start
        other_movie = False
        try:
            for place in walk(skimmer, span.start, span.stop):
                other_movie = other_movie or place.kind == "moov"
                if place.kind == "moof":
                    if other_movie:
                        raise UnsupportedMedia(
                            f"another movie begins before byte {place.offset}; one in a file can be cut"
                        )
                    moof = load(skimmer, place)
                    skimmer.expect(len(moof.body))
                    fragments.append(parse_fragment(moof, place.offset, self._defaults, size_bytes))
                    self._samples += fragments[-1].samples
                    if self._samples > MAX_SAMPLES:
                        raise UnsupportedMedia(f"it has more than {MAX_SAMPLES} samples")
                at = place.stop
        except UnreadableRecording as error:
            return _Loaded(fragments, at, f"its footage ends at byte {at}: {error}")
        ends = f"its footage is cut off at byte {size_bytes}" if at > size_bytes else None
        return _Loaded(fragments, at, ends)


class _Misled(Exception):
    """The file is not as its own map says, or its fragments can't be read one without the other."""
