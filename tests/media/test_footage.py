"""Sample footage: its pictures, its numbers, its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media.boxes import read_movie
from media.truth import START_MS, show, video_packets

from clipline.contract.errors import MediaError
from clipline.contract.recording import NameFormat
from clipline.media.footage import Footage, make_recording, make_sample
from clipline.media.overlay import NUMBER_BITS, frame_number, strip_row, text_rows
from clipline.media.scene import Scene

TINY = Footage(width=320, height=180, duration_s=2)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(320, 180, "pier")


def _with_strip(number: int, width: int = 320, height: int = 180) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    row = strip_row(number, width)
    plane = frame.planes[0]
    plane.update(row.ljust(plane.line_size, b"\0") * height)
    for chroma in frame.planes[1:]:
        chroma.update(b"\x80" * chroma.buffer_size)
    return frame


@given(st.integers(0, (1 << NUMBER_BITS) - 1))
def test_any_number_is_read_back(number: int) -> None:
    assert frame_number(_with_strip(number)) == number


@given(st.integers(0, (1 << NUMBER_BITS) - 1), st.integers(4, 35))
def test_a_flipped_cell_is_noticed(number: int, cell: int) -> None:
    frame = _with_strip(number)
    plane = frame.planes[0]
    data = bytearray(plane)
    left, right = cell * 320 // 40, (cell + 1) * 320 // 40
    for row in range(frame.height):
        at = row * plane.line_size
        data[at + left : at + right] = bytes(251 - value for value in data[at + left : at + right])
    plane.update(bytes(data))
    with pytest.raises(MediaError, match="check"):
        frame_number(frame)


@pytest.mark.parametrize("level", [16, 120, 235])
def test_a_plain_picture_carries_no_number(level: int) -> None:
    frame = av.VideoFrame(320, 180, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([level]) * plane.buffer_size)
    with pytest.raises(MediaError, match="no strip"):
        frame_number(frame)


@pytest.mark.parametrize("number", [-1, 1 << NUMBER_BITS])
def test_numbers_beyond_the_strip_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="16777215"):
        strip_row(number, 320)


@pytest.mark.parametrize("size", [(160, 90), (402, 302), (640, 360), (1280, 720), (1920, 1080)])
def test_numbers_survive_coarse_encoding(size: tuple[int, int], tmp_path: Path) -> None:
    footage = Footage(*size, duration_s=Fraction(1, 2), crf=30, audio=False, first_number=11_184_810)
    make_recording(tmp_path / "coarse.mp4", START_MS, footage)
    shown = show(tmp_path / "coarse.mp4")
    assert [frame.number for frame in shown] == list(range(11_184_810, 11_184_825))
    if size[0] >= 640:
        for width in (640, 300):
            for form in ("yuv420p", "rgb24"):
                small = shown[7].picture.reformat(width, width * 9 // 16, form)
                assert frame_number(small) == 11_184_817


@pytest.mark.parametrize("size", [(159, 90), (160, 88), (161, 90), (640, 361)])
def test_sizes_that_can_not_be_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 160x90"):
        Scene(*size, "pier")


def test_the_picture_tells_time_and_camera(scene: Scene) -> None:
    frame = scene.draw(5, START_MS + Fraction(100, 3))
    plane = frame.planes[0]
    luma = bytes(plane)

    def holds(rows: Sequence[bytes]) -> bool:
        lines = [luma[at : at + 320] for at in range(0, len(luma), plane.line_size)]
        return any(
            all(row in lines[top + offset] for offset, row in enumerate(rows))
            for top in range(180 - len(rows))
        )

    assert holds(text_rows("pier", 1))
    assert holds(text_rows("2018-09-16 16:00:17.066Z", 1))
    assert not holds(text_rows("2018-09-16 16:00:17.067Z", 1))


def test_the_scene_moves_and_is_the_same_for_the_same_time(scene: Scene) -> None:
    def luma(ms: int) -> bytes:
        return bytes(scene.draw(1, START_MS + ms).planes[0])

    one, later = luma(0), luma(1000)
    changed = sum(a != b for a, b in zip(one, later, strict=True))
    assert changed > len(one) // 10
    assert one == luma(0)


def test_a_sample_goes_on_from_file_to_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    footage = replace(TINY, frame_rate=Fraction(30000, 1001))
    paths = make_sample(
        tmp_path / "deep" / "er", camera="north-pier", start_ms=START_MS, recordings=3, footage=footage,
        on_progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    starts = []
    for path in paths:
        named = NameFormat().start_ms(path.name)
        assert named is not None
        assert path.name.startswith("north-pier.")
        starts.append(named[0] - START_MS)
    assert starts == [0, 59 * 1001 // 30, 118 * 1001 // 30]
    numbers = [frame.number for path in paths for frame in show(path)]
    assert numbers == list(range(177))
    assert seen == [(done, 177) for done in range(1, 178)]
    assert sorted(tmp_path.glob("**/*.mp4")) == sorted(paths)
    assert list(tmp_path.glob("**/.*")) == []


def test_a_recording_is_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    footage = Footage(
        width=320,
        height=180,
        duration_s=4,
        frame_rate=Fraction(25),
        gop_s=1,
        b_frames=2,
        profile="main",
        moov_first=True,
    )
    make_recording(path, START_MS, footage)
    movie = read_movie(path)
    assert movie.order.index("moov") < movie.order.index("mdat")
    assert movie.audio is not None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.profile, stream.average_rate) == ("Main", 25)
        packets = [packet for packet in container.demux(stream) if packet.size]
    times = sorted(packet.pts * Fraction(packet.time_base) for packet in packets)
    assert times == [Fraction(number, 25) for number in range(100)]
    keys = sorted(packet.pts * Fraction(packet.time_base) for packet in packets if packet.is_keyframe)
    assert keys == [0, 1, 2, 3]


def test_the_same_call_makes_the_same_pictures(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_recording(tmp_path / name, START_MS, replace(TINY, duration_s=1))
    assert video_packets(tmp_path / "a.mp4") == video_packets(tmp_path / "b.mp4")


def test_nothing_is_left_of_a_recording_that_fails(tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_recording(tmp_path / "a.mp4", START_MS, TINY, on_progress=stop)
    with pytest.raises(MediaError, match=r"a\.mp4"):
        make_recording(tmp_path / "a.mp4", START_MS, replace(TINY, profile="high10nonsense"))
    assert list(tmp_path.iterdir()) == []
