"""How much of a recording is read, and in how many requests."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from media.conftest import MakeFootage
from media.truth import CountingSource, Recorded, expected_numbers, record, show

from clipline.contract.errors import MediaError, Unavailable, UnreadableRecording
from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, CutReport, ThumbnailOptions, prepare
from clipline.media.footage import Footage
from clipline.media.index import read_index
from clipline.media.ranges import PART_BYTES, LocalSource

MOST_READ = Fraction(115, 100)
"""Bytes read over the coded pictures of the groups touched, their audio and the index."""


@dataclass(frozen=True)
class Needed:
    """What a clip has to read at least, in bytes."""

    pictures: int
    audio: int
    index: int

    @property
    def total(self) -> int:
        return self.pictures + self.audio + self.index


def needed(recorded: Recorded, interval: Interval) -> Needed:
    """Counted from FFmpeg's packets."""
    begin, end = interval.start_ms - recorded.start_ms, interval.end_ms - recorded.start_ms
    pictures: list[tuple[Fraction, int, bool]] = []
    audio: list[tuple[Fraction, int]] = []
    with av.open(str(recorded.path)) as container:
        for packet in container.demux():
            if not packet.size:
                continue
            time_ms = packet.pts * Fraction(packet.time_base) * 1000
            if packet.stream.type == "audio":
                audio.append((time_ms, packet.size))
            else:
                pictures.append((time_ms, packet.size, packet.is_keyframe))
    keyframes = [time for time, _, is_keyframe in pictures if is_keyframe]
    first = max(bisect_right(keyframes, begin) - 1, 0)
    stop = bisect_left(keyframes, end)
    until = keyframes[stop] if stop < len(keyframes) else Fraction(10**9)
    touched = 0
    group = -1
    for _, size, is_keyframe in pictures:  # in decode order
        group += is_keyframe
        touched += size if first <= group and keyframes[group] < until else 0
    times = [time for time, _ in audio]
    sounds = audio[max(bisect_right(times, begin) - 1, 0) : bisect_left(times, end)]
    every = sum(size for _, size, _ in pictures) + sum(size for _, size in audio)
    return Needed(touched, sum(size for _, size in sounds), recorded.path.stat().st_size - every)


def cut_remotely(
    recordings: list[Recorded], interval: Interval, directory: Path
) -> tuple[CutReport, list[CountingSource]]:
    sources = [CountingSource(one.path) for one in recordings]
    candidates = [Candidate(source, one.start_ms) for source, one in zip(sources, recordings, strict=True)]
    report = prepare(candidates, interval, directory).render(
        directory / "clip.mp4", ThumbnailOptions((160, 320))
    )
    return report, sources


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Forty seconds, dense enough that the index weighs little."""
    footage = Footage(width=640, height=360, duration_s=40, crf=None, bit_rate=3_000_000, moov_first=True)
    (recorded,) = record(tmp_path_factory.mktemp("long"), footage)
    return recorded


@pytest.mark.parametrize("start_ms", [0, 900, 14_000, 25_300, 33_999])
@pytest.mark.parametrize("length_ms", [1_000, 6_000])
def test_only_what_the_clip_is_made_of_is_read(
    start_ms: int, length_ms: int, long_recording: Recorded, tmp_path: Path
) -> None:
    begin = long_recording.start_ms + start_ms
    interval = Interval(begin, begin + length_ms)
    report, (source,) = cut_remotely([long_recording], interval, tmp_path)
    assert [frame.number for frame in show(report.clip)] == expected_numbers([long_recording], interval)
    assert report.details["bytesRead"] == source.bytes_read
    assert source.bytes_read <= MOST_READ * needed(long_recording, interval).total
    assert len(source.reads) <= 5


@pytest.mark.parametrize("kind", ["plain", "b-frames", "b-frames-ntsc", "baseline-ntsc", "open-gop"])
def test_over_a_border_too(kind: str, footage: MakeFootage, tmp_path: Path) -> None:
    recordings = list(footage(kind)[:2])
    border = recordings[1].start_ms
    interval = Interval(border - 3_300, border + 3_700)
    report, sources = cut_remotely(recordings, interval, tmp_path)
    assert report.details["bytesRead"] == sum(source.bytes_read for source in sources)
    total = sum(needed(one, interval).total for one in recordings)
    assert report.details["bytesRead"] <= MOST_READ * total
    assert all(len(source.reads) <= 6 for source in sources)


def test_cost_does_not_grow_with_how_far_in_the_clip_lies(long_recording: Recorded, tmp_path: Path) -> None:
    reads = []
    for at_ms in (4_000, 34_000):
        begin = long_recording.start_ms + at_ms
        (tmp_path / str(at_ms)).mkdir()
        _, (source,) = cut_remotely([long_recording], Interval(begin, begin + 4_000), tmp_path / str(at_ms))
        reads.append(source)
    assert len(reads[0].reads) == len(reads[1].reads)
    assert abs(reads[0].bytes_read - reads[1].bytes_read) < reads[0].bytes_read // 4


@pytest.mark.parametrize("kind", ["plain", "b-frames"])
def test_the_index_costs_two_requests_wherever_it_stands(kind: str, footage: MakeFootage) -> None:
    recorded = footage(kind)[0]
    with recorded.path.open("rb") as file:
        head = file.read(64)
    assert (b"moov" in head) == (kind == "b-frames")
    source = CountingSource(recorded.path)
    index = read_index(source)
    assert len(source.reads) <= 2
    assert index.bytes_read == source.bytes_read
    assert source.bytes_read < 40_000


@pytest.mark.parametrize("kind", ["plain", "b-frames"])
def test_what_is_told_of_each_sample_is_packed(kind: str, footage: MakeFootage) -> None:
    index = read_index(LocalSource(footage(kind)[0].path))
    assert index.audio is not None
    for track in (index.video, index.audio):
        tables = (
            track.sizes,
            track.decode_times,
            track.pts,
            track.chunk_first,
            track.chunk_offsets,
            track.shown,
        )
        assert {type(table) for table in tables} <= {array, range}
        assert len(track.entry.body.obj) < 1000, "the sample entry holds on to the whole index"


def test_recordings_out_of_reach_of_the_clip_are_not_read_beyond_their_index(
    footage: MakeFootage, tmp_path: Path
) -> None:
    recordings = list(footage("plain"))
    begin = recordings[1].start_ms + 3_000
    _, sources = cut_remotely(recordings, Interval(begin, begin + 2_000), tmp_path)
    assert all(len(sources[place].reads) <= 2 for place in (0, 2))


class SlowSource(CountingSource):
    """Counts how many reads run at a time, and how large they are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        self._running = 0
        self.most_at_a_time = 0

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._running += 1
            self.most_at_a_time = max(self.most_at_a_time, self._running)
        threading.Event().wait(0.02)
        try:
            return super().read(offset, length)
        finally:
            with self._lock:
                self._running -= 1


def test_large_clips_are_read_in_several_requests_at_a_time(long_recording: Recorded, tmp_path: Path) -> None:
    source = SlowSource(long_recording.path)
    begin = long_recording.start_ms
    cut = prepare([Candidate(source, begin)], Interval(begin + 100, begin + 39_900), tmp_path)
    report = cut.render(tmp_path / "clip.mp4")
    assert report.details["framesCopied"] > 1000
    assert max(length for _, length in source.reads) <= PART_BYTES
    assert source.most_at_a_time >= 2
    assert list(tmp_path.glob("spool-*")) == []


class FailingSource(CountingSource):
    """Answers the index, then fails."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(path)
        self._error = error

    def read(self, offset: int, length: int) -> bytes:
        if len(self.reads) >= 2:
            raise self._error
        return super().read(offset, length)


@pytest.mark.parametrize(
    "error",
    [Unavailable("read", "recordings/a.mp4", "timed out"), UnreadableRecording("a.mp4 ends at byte 7")],
)
def test_a_store_that_fails_midway_is_heard(error: Exception, footage: MakeFootage, tmp_path: Path) -> None:
    recorded = footage("plain")[0]
    source = FailingSource(recorded.path, error)
    begin = recorded.start_ms + 2_500
    cut = prepare([Candidate(source, recorded.start_ms)], Interval(begin, begin + 3_000), tmp_path)
    with pytest.raises(type(error)) as caught:
        cut.render(tmp_path / "clip.mp4", ThumbnailOptions((160,)))
    assert error in (caught.value, caught.value.__cause__)


def test_a_local_recording_reads_like_a_remote_one(footage: MakeFootage, tmp_path: Path) -> None:
    recorded = footage("b-frames")[0]
    interval = Interval(recorded.start_ms + 2_500, recorded.start_ms + 7_000)
    clips: list[Any] = []
    for place, source in enumerate((LocalSource(recorded.path), CountingSource(recorded.path))):
        directory = tmp_path / str(place)
        directory.mkdir()
        report = prepare([Candidate(source, recorded.start_ms)], interval, directory).render(
            directory / "clip.mp4"
        )
        clips.append((report.clip.read_bytes(), report.details["bytesRead"]))
    assert clips[0] == clips[1]


def test_a_missing_file_is_an_unreadable_recording(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRecording, match=r"gone\.mp4"):
        LocalSource(tmp_path / "gone.mp4")


def test_reading_what_was_not_fetched_is_an_error_not_a_wait(footage: MakeFootage, tmp_path: Path) -> None:
    from clipline.media.ranges import ByteRange, Fetch

    source = CountingSource(footage("plain")[0].path)
    with Fetch(source, [ByteRange(100, 200)], tmp_path) as fetch:
        assert fetch.read(120, 30) == source.read(120, 30)
        with pytest.raises(MediaError, match="were not fetched"):
            fetch.read(190, 11)
