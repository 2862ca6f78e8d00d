"""Footage as some cameras and recorders write it: exact all the same."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media.boxes import read_avcc, read_movie
from media.test_structure import avcc
from media.truth import START_MS, Recorded, expected_numbers, make_clip, plan_cut, record, show

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import NoFrames
from clipline.contract.interval import Interval
from clipline.media import decoder
from clipline.media.cut import ThumbnailOptions
from clipline.media.footage import Footage
from clipline.media.overlay import frame_number
from clipline.media.parameter_sets import split_units

SMALL = Footage(width=640, height=360, duration_s=6)


def at(start_ms: int, end_ms: int) -> Interval:
    return Interval(START_MS + start_ms, START_MS + end_ms)


def remux(recorded: Recorded, change) -> Recorded:
    """The recording again, ``change(place, packet)`` telling when a packet is shown (None: left out)."""
    path = recorded.path.with_suffix(".changed.mp4")
    with av.open(str(recorded.path)) as source, av.open(str(path), "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for place, packet in enumerate(packets):
            time_s = change(place)
            if time_s is None:
                continue
            packet.pts = packet.dts = round(time_s / packet.time_base)
            packet.stream = stream
            target.mux(packet)
    return replace(recorded, path=path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("interlaced", (("x264-params", "interlaced=1"),)),
        ("bottom field first", (("x264-params", "bff=1"),)),
        ("fake-interlaced", (("x264-params", "fake-interlaced=1"),)),
    ],
)
def test_interlaced_footage_is_encoded_anew(name: str, options, tmp_path: Path) -> None:
    (recorded,) = record(tmp_path / "source", replace(SMALL, options=options))
    report = make_clip([recorded], at(1_300, 4_700), tmp_path)
    assert [frame.number for frame in show(report.clip)] == expected_numbers([recorded], at(1_300, 4_700))
    assert report.details["why"] == ["its video is interlaced"]
    with av.open(str(recorded.path)) as source, av.open(str(report.clip)) as clip:
        before, after = next(source.decode(video=0)), next(clip.decode(video=0))
    assert after.interlaced_frame >= before.interlaced_frame, name


def test_repeated_parameter_sets_are_left_out(tmp_path: Path) -> None:
    footage = replace(SMALL, options=(("x264-params", "repeat-headers=1"),))
    (recorded,) = record(tmp_path / "source", footage)
    samples = list(recorded.packets.values())
    assert any(unit[0] & 31 == 7 for unit in split_units(samples[0], 4)), "the footage repeats them"
    report = make_clip([recorded], at(1_300, 5_700), tmp_path)
    assert [frame.number for frame in show(report.clip)] == expected_numbers([recorded], at(1_300, 5_700))
    assert report.details["method"] == "copy+encode"
    with av.open(str(report.clip)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                assert not {unit[0] & 31 for unit in split_units(bytes(packet), 4)} & {7, 8}
    _, sps, _, _ = read_avcc(avcc(read_movie(report.clip).video))
    assert len(sps) == 2


def test_parameter_sets_that_change_within_a_recording(tmp_path: Path) -> None:
    """The second half has another size: its sets stand in the samples alone. The clip is encoded whole."""
    repeated = (("x264-params", "repeat-headers=1"),)
    base = replace(SMALL, duration_s=4, audio=False, options=repeated)
    (first,) = record(tmp_path / "first", base)
    other = replace(base, width=320, height=180, first_number=120)
    (second,) = record(tmp_path / "second", other)
    path = tmp_path / "both.mp4"
    with av.open(str(path), "w", format="mp4") as target:
        at_s = Fraction(0)
        stream = None
        for one in (first, second):
            with av.open(str(one.path)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = round(at_s / packet.time_base)
                        packet.stream = stream
                        at_s += Fraction(1, 30)
                        target.mux(packet)
    both = Recorded(path, START_MS, replace(base, duration_s=8))
    report = make_clip([both], at(1_300, 6_700), tmp_path)
    assert [frame.number for frame in show(report.clip)] == list(range(39, 201))
    assert report.details["method"] == "encode"
    assert "parameter sets change" in report.details["why"][0]


def _turn(path: Path, degrees: int) -> None:
    """Write the rotation into the matrix of ``tkhd`` (version 0: at byte 40 of its content)."""
    data = bytearray(path.read_bytes())
    content = data.index(b"tkhd") + 4
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = (cosine, sine, 0, -sine, cosine, 0)
    struct.pack_into(">6i", data, content + 40, *(value << 16 for value in matrix))
    path.write_bytes(data)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_kept_and_thumbnails_are_turned(degrees: int, tmp_path: Path) -> None:
    (recorded,) = record(tmp_path / "source", SMALL)
    _turn(recorded.path, degrees)
    report = make_clip([recorded], at(1_300, 4_700), tmp_path, thumbnails=ThumbnailOptions((180,)))
    with av.open(str(recorded.path)) as source, av.open(str(report.clip)) as clip:
        turned = next(source.decode(video=0)).rotation
        frame = next(clip.decode(video=0))
    assert turned
    assert frame.rotation == turned
    with av.open(str(report.thumbnails[180])) as picture:
        thumbnail = next(picture.decode(video=0))
    assert (thumbnail.width, thumbnail.height) == ((180, 101) if degrees == 180 else (180, 320))
    assert [shown.number for shown in show(report.clip)] == expected_numbers([recorded], at(1_300, 4_700))


def test_a_recording_that_is_turned_otherwise_is_turned_back(tmp_path: Path) -> None:
    footage = replace(SMALL, duration_s=4)
    recordings = record(tmp_path / "source", footage, recordings=2)
    _turn(recordings[1].path, 180)
    report = make_clip(recordings, at(500, 6_000), tmp_path)
    with av.open(str(report.clip)) as container:
        pictures = list(container.decode(video=0))
    expected = expected_numbers(recordings, at(500, 6_000))
    flip = av.filter.Graph()
    source = flip.add_buffer(width=640, height=360, format=pictures[0].format, time_base=Fraction(1, 30))
    nodes = [source, flip.add("hflip"), flip.add("vflip"), flip.add("buffersink")]
    flip.link_nodes(*nodes).configure()
    numbers = []
    for place, picture in enumerate(pictures):
        if expected[place] >= 120:
            source.push(picture)
            picture = flip.pull()
        numbers.append(frame_number(picture))
    assert numbers == expected


def test_an_entry_without_a_keyframe_mark_is_found(tmp_path: Path) -> None:
    """One keyframe in the whole file: the clip is decoded from there."""
    (recorded,) = record(tmp_path / "source", replace(SMALL, gop_s=60))
    report = make_clip([recorded], at(4_300, 5_100), tmp_path)
    assert [frame.number for frame in show(report.clip)] == expected_numbers([recorded], at(4_300, 5_100))
    assert report.details["method"] == "encode"
    assert report.details["why"] == ["no IDR picture among the frames asked"]


PAUSE_S = Fraction(5, 2)


@pytest.fixture
def paused(tmp_path: Path) -> Recorded:
    """Four seconds, a pause of two and a half seconds, two seconds, all in one file."""
    (recorded,) = record(tmp_path / "source", replace(SMALL, audio=False))
    return remux(recorded, lambda place: Fraction(place, 30) + (PAUSE_S if place >= 105 else 0))


def test_a_hole_within_a_recording_is_a_gap(paused: Recorded, tmp_path: Path) -> None:
    planned = plan_cut([paused], at(1_300, 7_000), tmp_path)
    (gap,) = planned.plan.gaps
    assert abs(gap.span.start_ms - (START_MS + 3_500)) <= 20
    assert gap.span.end_ms == START_MS + 6_000
    assert "holds no picture there" in str(gap.reason)
    assert plan_cut([paused], at(1_300, 7_000), tmp_path, tolerance_ms=3_000).plan.gaps == []


@pytest.mark.parametrize("policy", [GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK])
def test_a_hole_within_a_recording_is_filled(policy: GapPolicy, paused: Recorded, tmp_path: Path) -> None:
    report = make_clip([paused], at(1_300, 7_000), tmp_path, gap_policy=policy)
    shown = show(report.clip)
    black = [None] if policy is GapPolicy.BLACK else []
    assert [frame.number for frame in shown] == [*range(39, 105), *black, *range(105, 135)]
    times = {frame.number: frame.time_s for frame in shown}
    after = 0 if policy is GapPolicy.SKIP else PAUSE_S
    assert abs(times[104] - Fraction(65, 30)) < Fraction(1, 1000)
    assert abs(times[105] - Fraction(66, 30) - after) < Fraction(1, 50)
    assert report.details["partial"] is True
    assert report.details["coverage"][1]["filledWith"] == str(policy)
    if policy is not GapPolicy.BLACK:
        assert report.details["framesCopied"] > 60, "a pause alone is no reason to encode"


def test_an_interval_within_the_hole_is_not_covered(paused: Recorded, tmp_path: Path) -> None:
    with pytest.raises(NoFrames) as caught:
        plan_cut([paused], at(4_000, 5_500), tmp_path)
    assert not caught.value.covered


def test_a_slow_camera_has_no_holes(tmp_path: Path) -> None:
    (recorded,) = record(tmp_path / "source", replace(SMALL, audio=False))
    slow = remux(recorded, lambda place: Fraction(place * 3, 2))
    planned = plan_cut([slow], at(1_000, 61_000), tmp_path)
    assert planned.plan.gaps == []
    report = planned.render(tmp_path / "clip.mp4")
    assert [frame.number for frame in show(report.clip)] == list(range(1, 41))


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN])
def test_a_lack_of_memory_or_threads_is_no_fault_of_the_recording(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would make a gap of sound footage."""

    def starved(*_: object) -> None:
        av.error.err_check(-number)

    monkeypatch.setattr(decoder, "_decode_all", starved)
    (recorded,) = record(tmp_path / "footage", Footage(width=320, height=180, duration_s=2))
    with pytest.raises(MemoryError):
        make_clip([recorded], Interval(START_MS + 500, START_MS + 900), tmp_path)
