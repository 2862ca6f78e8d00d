"""Frames at an instant: the right one, drawn in this process and in one that reads nothing."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media.truth import Recorded, record

from clipline.contract.errors import EngineFailed, Unavailable, UnreadableRecording, UnsupportedMedia
from clipline.media.footage import Footage
from clipline.media.frame import choose_frame, load_frame
from clipline.media.index import read_index
from clipline.media.isolation.frames import Drawer, InProcessDrawer, IsolatedDrawer
from clipline.media.isolation.spawn import Template
from clipline.media.limits import MediaLimits
from clipline.media.overlay import frame_number
from clipline.media.ranges import LocalSource

PLAIN = Footage(width=640, height=360, duration_s=4, gop_s=1)
KINDS = {
    "plain": PLAIN,
    "b-frames": replace(PLAIN, b_frames=3, profile="high", options=(("x264-params", "b-adapt=0"),)),
    "open-gop": replace(PLAIN, b_frames=3, options=(("x264-params", "open-gop=1:b-adapt=0"),)),
    "fragmented": replace(PLAIN, muxer_options=(("movflags", "frag_keyframe+delay_moov+default_base_moof"),)),
    "hevc": replace(
        PLAIN, encoder="libx265", preset="ultrafast", options=(("x265-params", "log-level=none"),)
    ),
}


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    started = Template()
    started.start()
    yield started
    started.stop()


@pytest.fixture(params=["in-process", "isolated"])
def drawer(request: pytest.FixtureRequest, template: Template) -> Iterator[Drawer]:
    with ExitStack() as stack:
        if request.param == "isolated":
            yield stack.enter_context(IsolatedDrawer(template, MediaLimits(), 1))
        else:
            yield InProcessDrawer()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("plain"), PLAIN, recordings=1)[0]


def drawn(drawer: Drawer, path: Path, at_s: Fraction, *, exact: bool, width: int = 640) -> av.VideoFrame:
    source = LocalSource(path)
    video = read_index(source).video
    number = choose_frame(video, int(at_s * video.timescale), exact=exact)
    coded = load_frame(source, video, number)
    assert coded.pts == video.pts[number]
    jpeg = drawer.draw(coded, width, wait_s=0)
    with av.open(io.BytesIO(jpeg)) as container:
        (frame,) = container.decode(video=0)
    return frame


@pytest.mark.parametrize("kind", KINDS)
def test_the_frame_on_show_and_the_nearest_keyframe(kind: str, drawer: Drawer, tmp_path: Path) -> None:
    (recorded,) = record(tmp_path, KINDS[kind], recordings=1)
    if kind == "open-gop":  # frame 29 comes after the keyframe that is shown after it
        video = read_index(LocalSource(recorded.path)).video
        assert choose_frame(video, int(Fraction(29, 30) * video.timescale), exact=True) == 30
    first, rate = recorded.footage.first_number, recorded.footage.frame_rate
    for frame in (0, 1, 14, 16, 29, 30, 31, 89, 119):
        shown_s = Fraction(frame) / rate
        for at_s in (shown_s, shown_s + Fraction(99, 100) / rate):
            assert frame_number(drawn(drawer, recorded.path, at_s, exact=True)) == first + frame
        keyframe = min((0, 30, 60, 90), key=lambda one: abs(one - frame))
        assert frame_number(drawn(drawer, recorded.path, shown_s, exact=False)) == first + keyframe


def test_a_frame_is_never_blown_up_and_keeps_its_shape(drawer: Drawer, plain: Recorded) -> None:
    for width, size in ((160, (160, 90)), (640, (640, 360)), (1920, (640, 360))):
        frame = drawn(drawer, plain.path, Fraction(1), exact=False, width=width)
        assert (frame.width, frame.height) == size


def test_before_the_first_frame_and_after_the_last(drawer: Drawer, plain: Recorded) -> None:
    numbers = plain.numbers
    for at_s, number in ((Fraction(-5), numbers[0]), (Fraction(100), numbers[-1])):
        assert frame_number(drawn(drawer, plain.path, at_s, exact=True)) == number


def test_a_damaged_frame_is_an_error_and_the_next_one_is_drawn(
    drawer: Drawer, plain: Recorded, tmp_path: Path
) -> None:
    video = read_index(LocalSource(plain.path)).video
    ((offset, size),) = video.locate(30, 31)
    data = bytearray(plain.path.read_bytes())
    data[offset + 40 : offset + size] = bytes(size - 40)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)

    with pytest.raises(UnreadableRecording):
        drawn(drawer, path, Fraction(1), exact=False)
    assert frame_number(drawn(drawer, path, Fraction(2), exact=False)) == plain.numbers[60]


def test_pictures_with_too_many_pixels_are_refused(plain: Recorded) -> None:
    source = LocalSource(plain.path)
    with pytest.raises(UnsupportedMedia, match="640x360"):
        load_frame(source, read_index(source).video, 0, most_pixels=640 * 359)


def test_a_child_that_dies_fails_one_frame_alone(plain: Recorded, template: Template) -> None:
    with IsolatedDrawer(template, MediaLimits(), 1) as drawer:
        drawn(drawer, plain.path, Fraction(0), exact=False)
        (child,) = [child for child in drawer.children() if child is not None]
        os.kill(child, signal.SIGKILL)
        with pytest.raises(EngineFailed, match="draws frames failed"):
            drawn(drawer, plain.path, Fraction(0), exact=False)
        assert frame_number(drawn(drawer, plain.path, Fraction(0), exact=False)) == plain.numbers[0]


def test_who_can_not_wait_is_told_to_come_back(plain: Recorded, template: Template) -> None:
    source = LocalSource(plain.path)
    coded = load_frame(source, read_index(source).video, 0)
    with IsolatedDrawer(template, MediaLimits(), 1) as drawer, drawer.child(0):
        with pytest.raises(Unavailable, match="others are drawn"):
            drawer.draw(coded, 640, wait_s=0.01)
