"""Thumbnails: which picture, how large, in which format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media.conftest import MakeFootage
from media.truth import START_MS, Recorded, expected_numbers, make_clip, record, wall_of

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import MediaError
from clipline.contract.interval import Interval
from clipline.media.cut import ThumbnailOptions
from clipline.media.footage import Footage
from clipline.media.overlay import frame_number
from clipline.media.scene import Scene
from clipline.media.thumbnails import CONTENT_TYPES, write_thumbnails

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff", "webp": b"RIFF"}


def picture(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def number_at_a_quarter(recordings: Sequence[Recorded], interval: Interval) -> int:
    """The frame that is shown when a quarter of the clip has passed."""
    expected = expected_numbers(recordings, interval)
    first_ms = wall_of(recordings, expected[0])
    end_ms = recordings[-1].end_ms
    if expected[-1] + 1 in {number for one in recordings for number in one.numbers}:
        end_ms = wall_of(recordings, expected[-1] + 1)
    at_ms = first_ms + (end_ms - first_ms) / 4
    return max(number for number in expected if wall_of(recordings, number) <= at_ms)


@pytest.mark.parametrize("picture_format", ["png", "jpg", "webp"])
def test_sizes_names_and_formats(picture_format: str, footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage("plain")
    interval = Interval(START_MS + 1_000, START_MS + 3_000)
    options = ThumbnailOptions((300, 640, 1500, 333), picture_format)
    report = make_clip(recordings, interval, tmp_path, thumbnails=options)
    assert set(report.thumbnails) == {300, 640, 1500, 333}
    for width, path in report.thumbnails.items():
        assert path == tmp_path / f"clip_{width}.{picture_format}"
        assert path.read_bytes().startswith(MAGIC[picture_format])
        shown = picture(path)
        assert shown.width == width
        assert abs(shown.height - Fraction(width * 9, 16)) <= Fraction(1, 2)
        assert frame_number(shown) == number_at_a_quarter(recordings, interval)
    assert CONTENT_TYPES[picture_format].startswith("image/")


@pytest.mark.parametrize("kind", ["plain", "b-frames", "b-frames-ntsc", "baseline-ntsc", "open-gop"])
@pytest.mark.parametrize(
    "span", [(1_300, 2_500), (2_000, 11_000), (4_900, 9_100), (11_000, 25_000), (5_010, 5_020)]
)
def test_it_is_the_picture_at_a_quarter(
    kind: str, span: tuple[int, int], footage: MakeFootage, tmp_path: Path
) -> None:
    recordings = footage(kind)
    interval = Interval(START_MS + span[0], START_MS + span[1])
    if not expected_numbers(recordings, interval):
        interval = Interval(interval.start_ms, interval.start_ms + 40)
    report = make_clip(recordings, interval, tmp_path, thumbnails=ThumbnailOptions((320,)))
    assert frame_number(picture(report.thumbnails[320])) == number_at_a_quarter(recordings, interval)


def test_where_black_is_shown_it_is_the_first_real_picture(footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage("plain")[:1]
    interval = Interval(START_MS - 6_000, START_MS + 2_000)
    report = make_clip(
        recordings, interval, tmp_path, gap_policy=GapPolicy.BLACK, thumbnails=ThumbnailOptions((320,))
    )
    assert frame_number(picture(report.thumbnails[320])) == 0


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    footage = Footage(width=480, height=360, duration_s=2, audio=False, options=(("aspect", "4:3"),))
    recordings = record(tmp_path / "source", footage)
    interval = Interval(START_MS + 500, START_MS + 1_500)
    report = make_clip(recordings, interval, tmp_path, thumbnails=ThumbnailOptions((320,)))
    shown = picture(report.thumbnails[320])
    assert (shown.width, shown.height) == (320, 180)
    with av.open(str(report.clip)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_colours_are_those_of_the_scene(tmp_path: Path) -> None:
    """The corner of the sand and the sky, within what coding and scaling leave of them."""
    footage = Footage(width=1280, height=720, duration_s=Fraction(1, 3), audio=False)
    for tagged in (True, False):
        directory = tmp_path / str(tagged)
        recordings = record(directory, replace(footage, colour_tagged=tagged))
        interval = Interval(START_MS, START_MS + 300)
        report = make_clip(recordings, interval, directory, thumbnails=ThumbnailOptions((640,)))
        shown = picture(report.thumbnails[640]).reformat(format="rgb24")
        plane = shown.planes[0]
        data = bytes(plane)
        red, green, blue = data[340 * plane.line_size + 3 * 300 :][:3]  # dry sand, by its RGB in the scene
        assert abs(red - 205) < 16
        assert abs(green - 178) < 16
        assert abs(blue - 135) < 16


def test_many_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    frame = Scene(640, 360, "pier").draw(77, START_MS)
    for _ in range(15):
        made = write_thumbnails(frame, (900, 800, 700, 640, 500, 320, 160), "jpg", tmp_path)
        assert [frame_number(picture(made[width])) for width in (900, 500, 320)] == [77, 77, 77]


def test_a_size_that_the_format_can_not_have_is_a_typed_error(tmp_path: Path) -> None:
    frame = Scene(160, 90, "pier").draw(1, START_MS)
    with pytest.raises(MediaError, match="17000x"):
        write_thumbnails(frame, (17_000,), "webp", tmp_path)


def test_colour_is_kept_by_every_width(tmp_path: Path) -> None:
    """PyAV's scaler takes it from the frame while it works."""
    frame = av.VideoFrame(1280, 720, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    frame.colorspace, frame.color_primaries, frame.color_trc = 1, 1, 1
    widths = (300, 301, 302, 640, 641, 642, 1500, 1501)
    for _ in range(3):
        for path in write_thumbnails(frame, widths, "png", tmp_path).values():
            assert b"cICP" in path.read_bytes()
