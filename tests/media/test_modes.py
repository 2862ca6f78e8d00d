"""The ways to make a clip that can be asked for, and what each says that it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media.boxes import read_movie
from media.conftest import MakeFootage
from media.patched import edit_list, patch, replaced
from media.structure import avcc
from media.truth import (
    START_MS,
    Recorded,
    audio_packets,
    expected_numbers,
    record,
    show,
    video_packets,
    wall_of,
)

from clipline.contract.interval import Interval
from clipline.contract.modes import CutMode
from clipline.media.cut import Candidate, CutReport, ThumbnailOptions, prepare
from clipline.media.encoder import beside, make_encoder
from clipline.media.footage import Footage
from clipline.media.overlay import frame_number
from clipline.media.parameter_sets import parse_avcc
from clipline.media.ranges import LocalSource


def cut(recordings: Sequence[Recorded], interval: Interval, directory: Path, mode: CutMode) -> CutReport:
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one in recordings]
    planned = prepare(candidates, interval, directory, mode=mode)
    return planned.render(directory / "clip.mp4", ThumbnailOptions((160,)))


@pytest.fixture(params=["plain", "b-frames", "baseline-ntsc"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def asked(recordings: Sequence[Recorded], start_ms: int = 2_900, end_ms: int = 7_450) -> Interval:
    return Interval(recordings[0].start_ms + start_ms, recordings[0].start_ms + end_ms)


def test_exact_is_the_default(kind: str, footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage(kind)
    report = cut(recordings, asked(recordings), tmp_path, CutMode.EXACT)
    assert report.details["method"] == "copy+encode"


def test_encode_copies_nothing(kind: str, footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage(kind)
    interval = asked(recordings)
    report = cut(recordings, interval, tmp_path, CutMode.ENCODE)
    expected = expected_numbers(recordings, interval)
    assert [frame.number for frame in show(report.clip)] == expected
    assert report.details["method"] == "encode"
    assert report.details["why"] == ["asked for"]
    assert report.details["framesCopied"] == 0
    sync = read_movie(report.clip).video.sync
    assert sync is not None
    assert len(sync) == 3, "a keyframe every two seconds"


@pytest.mark.parametrize("start_ms", [2_900, 11_000])
def test_keyframe_begins_before(kind: str, start_ms: int, footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage(kind)
    interval = asked(recordings, start_ms, start_ms + 4_400)
    report = cut(recordings, interval, tmp_path, CutMode.KEYFRAME)
    expected = expected_numbers(recordings, interval)
    begin = max(number for number in recordings[0].keyframes if number <= expected[0])
    shown = show(report.clip)
    assert [frame.number for frame in shown] == list(range(begin, expected[-1] + 1))
    assert shown[0].time_s == 0
    assert report.details["method"].startswith("keyframe:copy")
    assert report.details["firstFrameTimestampInMs"] == round(wall_of(recordings, begin))
    assert report.details["coverage"][0]["startTimestampInMs"] == round(wall_of(recordings, begin))
    source = {number: data for one in recordings for number, data in one.packets.items()}
    clip = list(video_packets(report.clip).values())
    assert clip[0] == source[begin], "its first picture is the camera's, byte for byte"
    if recordings[0].footage.audio:
        assert abs(min(audio_packets(report.clip))) < Fraction(1, 40)


def test_editlist_hides_what_was_not_asked(kind: str, footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage(kind)
    interval = asked(recordings)
    report = cut(recordings, interval, tmp_path, CutMode.EDITLIST)
    expected = expected_numbers(recordings, interval)
    assert [frame.number for frame in show(report.clip)] == expected, "FFmpeg obeys the edit list"
    begin = max(number for number in recordings[0].keyframes if number <= expected[0])
    with av.open(str(report.clip), options={"ignore_editlist": "1"}) as container:
        all_of_it = [frame_number(frame) for frame in container.decode(video=0)]
    assert all_of_it == list(range(begin, expected[-1] + 1)), "what it hides is in the file"
    assert report.details["method"].startswith("editlist:copy")
    assert report.details["framesCopied"] >= expected[0] - begin
    assert report.details["firstFrameTimestampInMs"] == round(wall_of(recordings, expected[0]))


def test_an_interval_that_begins_with_a_keyframe_needs_no_edit(footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage("plain")
    interval = asked(recordings, 2_000, 5_000)
    report = cut(recordings, interval, tmp_path, CutMode.EDITLIST)
    assert report.details["method"] == "editlist:copy"
    assert [frame.number for frame in show(report.clip)] == expected_numbers(recordings, interval)
    assert read_movie(report.clip).video.edits[0][1] == 0


def test_what_cannot_be_copied_is_encoded_in_every_mode(footage: MakeFootage, tmp_path: Path) -> None:
    recordings = [replace(one, path=one.path) for one in footage("open-gop")]
    interval = asked(recordings, 12_100, 14_000)  # its only IDR picture lies before
    for mode in CutMode:
        directory = tmp_path / str(mode)
        directory.mkdir()
        report = cut(recordings[1:], interval, directory, mode)
        shown = [frame.number for frame in show(report.clip)]
        assert shown[-1] == expected_numbers(recordings, interval)[-1]


def test_a_keyframe_that_the_recording_hides_begins_a_copy(tmp_path: Path) -> None:
    """The recording was trimmed in the middle of a group by an edit list."""
    footage = Footage(width=320, height=180, duration_s=6, gop_s=1, frame_rate=Fraction(25))
    (whole,) = record(tmp_path / "source", footage)
    video = read_movie(whole.path).video
    trimmed = patch(
        whole, replaced("moov/trak0/edts", edit_list((4_000, video.edits[0][1] + 13 * video.timescale // 25)))
    )
    report = cut([trimmed], Interval(START_MS + 80, START_MS + 2_000), tmp_path, CutMode.EDITLIST)
    assert [frame.number for frame in show(report.clip)] == list(range(15, 63))
    assert report.details["framesEncoded"] == 0
    assert report.details["framesCopied"] == 63


def test_encoded_pictures_stay_baseline_beside_reordered_ones(footage: MakeFootage) -> None:
    """B-frames, which would make the reorder depths equal, are not in that profile."""
    (entry, *_) = (read_movie(one.path).video for one in footage("baseline-ntsc"))
    sets = parse_avcc(avcc(entry))
    made = make_encoder(beside(sets, Fraction(30), 0, reordered=True), 10)
    assert made.configuration.sequence.profile == sets.sequence.profile == 66


def test_what_is_shown_when_a_keyframe_clip_begins_is_no_gap(footage: MakeFootage, tmp_path: Path) -> None:
    """The picture before the keyframe is on show until then, though the clip begins with the keyframe."""
    recordings = footage("plain")
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one in recordings]
    interval = asked(recordings, start_ms=1_980)
    planned = prepare(candidates, interval, tmp_path, mode=CutMode.KEYFRAME, tolerance_ms=5)
    assert not planned.plan.gaps
    report = planned.render(tmp_path / "clip.mp4")
    assert [frame.number for frame in show(report.clip)] == expected_numbers(recordings, interval)
