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
from media.boxes import Movie, read_avcc, read_movie
from media.conftest import KINDS, MakeFootage
from media.structure import Sample, avcc, faults, slice_pps
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
from clipline.media.footage import Footage
from clipline.media.parameter_sets import parse_sps, pps_identifiers, split_units

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
    def in_decode_order(self) -> list[Sample]:
        by_data = {data: number for number, data in self.samples.items()}
        copied = set(self.copied)
        with av.open(str(self.path)) as container:
            pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        found = []
        for data in pictures:
            number = by_data[data]
            recording = next(i for i, one in enumerate(self.recordings) if number in one.numbers)
            found.append(Sample(data, number in copied, recording))
        return found

    @cached_property
    def copied(self) -> list[int]:
        sources = {number: data for one in self.recordings for number, data in one.packets.items()}
        return [number for number, data in self.samples.items() if data == sources[number]]

    @cached_property
    def sets(self) -> tuple[list[bytes], list[bytes]]:
        """SPSs and PPSs."""
        _, sps, pps, _ = read_avcc(avcc(self.movie.video))
        return sps, pps


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


def test_it_has_all_that_players_need(made: Made) -> None:
    assert faults(made.movie, made.in_decode_order) == []


def test_the_profile_is_the_sources(made: Made) -> None:
    (source,) = {replace(parse_sps(_source_sps(one)), identifier=0) for one in made.recordings}
    for unit in made.sets[0]:
        one = parse_sps(unit)
        assert one.fits(source) is None
        assert one.profile == source.profile
        assert one.sample_aspect == source.sample_aspect
        assert one.chroma_location == source.chroma_location


def test_a_decoder_keeps_as_many_pictures_throughout(made: Made) -> None:
    """Where it changes, those that wait for their turn may be dropped (H.264, section C.4.4)."""
    if made.recordings[0].footage.b_frames and made.copied:
        parsed = [parse_sps(unit) for unit in made.sets[0]]
        assert len({(one.reference_frames, one.order_type) for one in parsed}) == 1


def _source_sps(recorded: Recorded) -> bytes:
    return read_avcc(avcc(read_movie(recorded.path).video))[1][0]


def test_copied_pictures_refer_to_the_sources_sets(made: Made) -> None:
    source_ids = {
        pps_identifiers(unit)[0]
        for one in made.recordings
        for unit in read_avcc(avcc(read_movie(one.path).video))[2]
    }
    for sample in made.in_decode_order:
        for unit in split_units(sample.data, 4):
            if sample.copied and unit[0] & 31 in {1, 5}:
                assert slice_pps(unit) in source_ids


def test_it_ends_where_asked(made: Made) -> None:
    ((edit_duration, _),) = made.movie.video.edits
    following = made.expected[-1] + 1
    ends_ms = made.recordings[-1].end_ms
    if following in made.recordings[-1].numbers or following < made.recordings[-1].numbers.start:
        ends_ms = wall_of(made.recordings, following)
    asked_ms = ends_ms - wall_of(made.recordings, made.expected[0])
    assert abs(Fraction(edit_duration * 1000, made.movie.timescale) - asked_ms) < 2


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
