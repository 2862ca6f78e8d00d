"""The file itself: what players were found to need of a clip that is partly copied, partly encoded."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from media.boxes import Movie, TrackBoxes, read_avcc, read_movie, walk
from media.conftest import KINDS, MakeFootage
from media.truth import (
    Recorded,
    audio_packets,
    expected_numbers,
    make_clip,
    record,
    show,
    video_packets,
    wall_of,
)

from clipline.contract.interval import Interval
from clipline.media.bits import BitReader, unescape
from clipline.media.footage import Footage
from clipline.media.parameter_sets import SequenceParameters, parse_sps, pps_identifiers, split_units

LEAST_PSNR_DB = 45
_CASES = {
    "mid-group": (1_300, 7_450),
    "one-frame-head": (1_966, 6_000),
    "from-an-idr": (2_000, 6_100),
    "inside-one-group": (4_500, 5_700),
    "over-a-border": (9_300, 15_200),
    "three-recordings": (11_300, 24_600),
}
"""Name: (start, end) in milliseconds after the first recording's start."""


@dataclass(frozen=True)
class Made:
    """A clip to look at."""

    kind: str
    recordings: Sequence[Recorded]
    expected: list[int]
    path: Path
    details: dict[str, Any]
    movie: Movie

    @cached_property
    def samples(self) -> dict[int, bytes]:
        """Frame number and coded picture, in the order in which they are shown."""
        return dict(zip(self.expected, video_packets(self.path).values(), strict=True))

    @cached_property
    def in_decode_order(self) -> list[bytes]:
        with av.open(str(self.path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    @cached_property
    def copied(self) -> list[int]:
        sources = {number: data for one in self.recordings for number, data in one.packets.items()}
        return [number for number, data in self.samples.items() if data == sources[number]]

    @cached_property
    def sets(self) -> tuple[list[bytes], list[bytes]]:
        """SPSs and PPSs."""
        _, sps, pps, _ = read_avcc(avcc(self.movie.video))
        return sps, pps


def avcc(video: TrackBoxes) -> bytes:
    """The ``avcC`` record of the one ``avc1`` entry."""
    ((kind, entry),) = video.entries
    assert kind == "avc1"
    return dict(walk(entry[78:]))["avcC"]


@pytest.fixture(scope="module", params=[f"{kind}/{case}" for kind in KINDS for case in _CASES])
def made(
    request: pytest.FixtureRequest, footage: MakeFootage, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    kind, case = request.param.split("/")
    recordings = footage(kind)
    start, end = (recordings[0].start_ms + at for at in _CASES[case])
    interval = Interval(start, end)
    report = make_clip(recordings, interval, tmp_path_factory.mktemp("structure"))
    expected = expected_numbers(recordings, interval)
    return Made(kind, recordings, expected, report.clip, dict(report.details), read_movie(report.clip))


def test_one_entry_and_a_whole_avcc_with_ids_of_its_own(made: Made) -> None:
    head, sps, pps, rest = read_avcc(avcc(made.movie.video))
    parsed = [parse_sps(unit) for unit in sps]
    assert len({one.identifier for one in parsed}) == len(parsed)
    assert len({pps_identifiers(unit)[0] for unit in pps}) == len(pps)
    assert {pps_identifiers(unit)[1] for unit in pps} == {one.identifier for one in parsed}
    assert head[0] == 1
    assert head[1] == parsed[0].profile
    assert head[2] & ~_all(one.constraints for one in parsed) == 0
    assert head[3] == max(one.level for one in parsed)
    assert head[4] & 3 == 3  # lengths of four bytes
    assert len(rest) == (4 if parsed[0].profile == 100 else 0)


def _all(numbers: Any) -> int:
    together = 255
    for number in numbers:
        together &= number
    return together


def test_sequence_parameters_agree(made: Made) -> None:
    parsed = [parse_sps(unit) for unit in made.sets[0]]
    (source,) = {_without_id(parse_sps(_source_sps(one))) for one in made.recordings}
    for one in parsed:
        assert one.fits(source) is None
        assert one.profile == source.profile
        assert one.sample_aspect == source.sample_aspect
        assert one.chroma_location == source.chroma_location


def _source_sps(recorded: Recorded) -> bytes:
    return read_avcc(avcc(read_movie(recorded.path).video))[1][0]


def _without_id(parameters: SequenceParameters) -> SequenceParameters:
    return replace(parameters, identifier=0)


def test_slices_refer_to_the_right_sets(made: Made) -> None:
    pps_ids = [pps_identifiers(unit)[0] for unit in made.sets[1]]
    source_ids = {
        pps_identifiers(unit)[0]
        for one in made.recordings
        for unit in read_avcc(avcc(read_movie(one.path).video))[2]
    }
    copied = set(made.copied)
    for number, sample in made.samples.items():
        for unit in split_units(sample, 4):
            kind = unit[0] & 31
            assert kind not in {7, 8, 9}, "a parameter set or delimiter stands in a sample"
            if kind in {1, 5}:
                identifier = _slice_pps(unit)
                assert identifier in pps_ids
                if copied:
                    assert (identifier in source_ids) == (number in copied)


def _slice_pps(unit: bytes) -> int:
    bits = BitReader(unescape(unit[1:40]))
    bits.ue()
    bits.ue()
    return bits.ue()


def test_runs_begin_with_idr_pictures_that_stss_lists(made: Made) -> None:
    samples = made.in_decode_order
    sync = made.movie.video.sync
    assert sync is not None
    assert sync[0] == 0
    idrs = [place for place, sample in enumerate(samples) if _is_idr(sample)]
    assert set(idrs) <= set(sync)
    copied = set(made.copied)
    by_data = {data: number for number, data in made.samples.items()}
    before: tuple[bool, int] | None = None
    idrs_of_run = 0
    for place, sample in enumerate(samples):
        number = by_data[sample]
        recording = next(i for i, one in enumerate(made.recordings) if number in one.numbers)
        run = (number in copied, recording)
        if run != before:
            assert place in idrs, f"a run begins at sample {place}, which is no IDR picture"
            idrs_of_run = 0
        idrs_of_run += place in idrs
        if number not in copied:
            assert idrs_of_run == 1 or not copied, "more than one only where nothing is copied"
            assert (place in sync) == (place in idrs)
        before = run


def _is_idr(sample: bytes) -> bool:
    return any(unit[0] & 31 == 5 for unit in split_units(sample, 4))


def test_times_are_strict_and_end_where_asked(made: Made) -> None:
    video = made.movie.video
    times = video.decode_times
    assert all(later > earlier for earlier, later in pairwise(times))
    assert all(offset >= 0 for offset in video.offsets)
    ((edit_duration, media_time),) = video.edits
    shown = sorted(time + offset for time, offset in zip(times, video.offsets, strict=True))
    assert shown[0] == media_time, "the edit list holds the reorder delay and nothing else"
    end = media_time + edit_duration * video.timescale // made.movie.timescale
    assert shown[-1] < end
    if set(video.offsets) == {0}:
        assert media_time == 0
    assert media_time <= 4 * max(video.decode_times[1] - video.decode_times[0], video.last_delta)
    following = made.expected[-1] + 1
    ends_ms = made.recordings[-1].end_ms
    if following in made.recordings[-1].numbers or following < made.recordings[-1].numbers.start:
        ends_ms = wall_of(made.recordings, following)
    asked_ms = ends_ms - wall_of(made.recordings, made.expected[0])
    assert abs(Fraction(edit_duration * 1000, made.movie.timescale) - asked_ms) < 2
    assert made.movie.duration == edit_duration
    assert video.movie_duration == edit_duration


def test_the_index_comes_first(made: Made) -> None:
    assert made.movie.order == ["ftyp", "moov", "mdat"]


def test_copied_and_encoded_add_up(made: Made) -> None:
    assert len(made.copied) == made.details["framesCopied"]
    assert len(made.expected) - len(made.copied) == made.details["framesEncoded"]


def test_every_picture_is_at_45_db_or_better(made: Made, tmp_path: Path) -> None:
    with av.open(str(made.path)) as container:
        shown = dict(zip(made.expected, container.decode(video=0), strict=True))
    encoded = [number for number in made.expected if number not in set(made.copied)][:24]
    copied = made.copied[:3] + made.copied[-3:]
    sources = source_pictures(made.recordings, {*encoded, *copied})
    for number in copied:
        assert _luma(shown[number]) == _luma(sources[number]), f"frame {number} is not the camera's"
    if encoded:
        worst = min(psnr([sources[n] for n in encoded], [shown[n] for n in encoded], tmp_path / "psnr.log"))
        assert worst >= LEAST_PSNR_DB


def source_pictures(recordings: Sequence[Recorded], numbers: set[int]) -> dict[int, av.VideoFrame]:
    """Decoded from the recordings by FFmpeg, from their beginnings."""
    found: dict[int, av.VideoFrame] = {}
    for one in recordings:
        wanted = numbers & set(one.numbers)
        with av.open(str(one.path)) as container:
            pictures = zip(one.numbers, container.decode(video=0), strict=False)
            while wanted:
                number, frame = next(pictures)
                if number in wanted:
                    found[number] = frame
                    wanted.remove(number)
    return found


def _luma(frame: av.VideoFrame) -> bytes:
    plane = frame.planes[0]
    data = bytes(plane)
    return b"".join(
        data[row * plane.line_size : row * plane.line_size + frame.width] for row in range(frame.height)
    )


def psnr(references: Sequence[av.VideoFrame], others: Sequence[av.VideoFrame], log: Path) -> list[float]:
    """Of the luma planes, decibels, by FFmpeg's filter."""
    graph = av.filter.Graph()
    first = references[0]
    form = {
        "width": first.width,
        "height": first.height,
        "format": first.format,
        "time_base": Fraction(1, 30),
    }
    left, right = graph.add_buffer(**form), graph.add_buffer(**form)
    compare, sink = graph.add("psnr", f"stats_file={log}"), graph.add("buffersink")
    left.link_to(compare, 0, 0)
    right.link_to(compare, 0, 1)
    compare.link_to(sink)
    graph.configure()
    for place, (one, other) in enumerate(zip(references, others, strict=True)):
        for frame, source in ((one, left), (other, right)):
            frame.pts, frame.time_base = place, Fraction(1, 30)
            source.push(frame)
    left.push(None)
    right.push(None)
    for _ in references:
        sink.pull()
    del compare, sink, left, right, graph  # which writes the log
    values = [float(value) for value in re.findall(r"psnr_y:(\S+)", log.read_text())]
    assert len(values) == len(references)
    return values


def test_sound_is_the_cameras_and_in_step(made: Made) -> None:
    """Whole audio frames of the recordings, each within one audio frame of where its wall time puts it."""
    if not made.recordings[0].footage.audio:
        assert made.movie.audio is None
        return
    audio = made.movie.audio
    assert audio is not None
    frame_s = Fraction(1024, audio.timescale)
    clip_sound = audio_packets(made.path)
    assert abs(min(clip_sound)) <= frame_s, "audio begins within one frame of the first picture"
    first_ms = wall_of(made.recordings, made.expected[0])
    wall_times: dict[bytes, Fraction] = {}
    for one in made.recordings:
        for time_s, data in audio_packets(one.path).items():
            wall_times[data] = one.start_ms + time_s * 1000
    for time_s, data in clip_sound.items():
        off_ms = time_s * 1000 - (wall_times[data] - first_ms)
        assert abs(off_ms) <= 1, f"the audio frame at {float(time_s)} s is {float(off_ms)} ms late"
    duration_s = Fraction(made.details["durationInMs"], 1000)
    ends_s = max(clip_sound) + frame_s
    assert abs(ends_s - duration_s) <= frame_s + Fraction(2, 1000)
    times = sorted(clip_sound)
    holes = [later - earlier for earlier, later in pairwise(times)]
    assert max(holes, default=frame_s) <= 2 * frame_s


def _noise(path: Path, frames: int) -> None:
    """A recording of pure noise, the hardest footage there is."""
    dice = random.Random(1)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast", "crf": "12", "g": "30", "sc_threshold": "0"}
        for number in range(frames):
            frame = av.VideoFrame(320, 180, "yuv420p")
            for plane in frame.planes:
                plane.update(dice.randbytes(plane.buffer_size))
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_noise_is_at_45_db_or_better_too(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    _noise(path, 60)
    recorded = Recorded(path, 0, Footage(width=320, height=180, duration_s=2, gop_s=1))
    report = make_clip([recorded], Interval(300, 1500), tmp_path)
    assert report.details["framesEncoded"] == 21
    with av.open(str(report.clip)) as container:
        clip = list(container.decode(video=0))
    sources = source_pictures([recorded], set(range(9, 30)))
    assert min(psnr([sources[n] for n in range(9, 30)], clip[:21], tmp_path / "psnr.log")) >= LEAST_PSNR_DB


@pytest.mark.parametrize("identifier", [0, 1, 5])
def test_a_source_that_uses_an_id_keeps_it(identifier: int, tmp_path: Path) -> None:
    footage = Footage(
        width=320, height=180, duration_s=4, audio=False, options=(("x264-params", f"sps-id={identifier}"),)
    )
    (recorded,) = record(tmp_path / "source", footage)
    report = make_clip([recorded], Interval(recorded.start_ms + 900, recorded.start_ms + 3_500), tmp_path)
    _, sps, _, _ = read_avcc(avcc(read_movie(report.clip).video))
    identifiers = [parse_sps(unit).identifier for unit in sps]
    assert identifiers[0] == identifier
    assert len(set(identifiers)) == 2
    assert [frame.number for frame in show(report.clip)] == list(range(27, 105))
