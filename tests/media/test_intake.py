"""Recordings in MPEG-TS and Matroska: every frame by its number, samples as FFmpeg sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media.truth import (
    START_MS,
    Recorded,
    audio_packets,
    expected_numbers,
    make_clip,
    record,
    show,
    video_packets,
    wall_of,
)

from clipline.contract.errors import UnsupportedMedia
from clipline.contract.interval import Interval
from clipline.media.cut import CutReport
from clipline.media.footage import Footage
from clipline.media.index import Track, Window
from clipline.media.intake import sniff, take_in
from clipline.media.ranges import LocalSource

_SMALL = Footage(width=320, height=180, duration_s=6)
_B_FRAMES = {"b_frames": 3, "options": (("b_strategy", "0"),)}
_NTSC = Fraction(30000, 1001)

KINDS = {
    "ts": replace(_SMALL, container="mpegts"),
    "ts-b-frames": replace(_SMALL, container="mpegts", **_B_FRAMES),
    "ts-ntsc": replace(_SMALL, container="mpegts", frame_rate=_NTSC, **_B_FRAMES),
    "ts-mp3": replace(_SMALL, container="mpegts", audio_codec="libmp3lame"),
    "ts-opus": replace(_SMALL, container="mpegts", audio_codec="libopus"),
    "ts-ac3": replace(_SMALL, container="mpegts", audio_codec="ac3"),
    "ts-silent": replace(_SMALL, container="mpegts", audio=False),
    "mkv": replace(_SMALL, container="matroska"),
    "mkv-b-frames": replace(_SMALL, container="matroska", **_B_FRAMES),
    "mkv-ntsc": replace(_SMALL, container="matroska", frame_rate=_NTSC, **_B_FRAMES),
    "mkv-mp3": replace(_SMALL, container="matroska", audio_codec="libmp3lame"),
    "mkv-opus": replace(_SMALL, container="matroska", audio_codec="libopus"),
}
"""Two recordings of each."""

Make = Callable[[str], Sequence[Recorded]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    cache: dict[str, Sequence[Recorded]] = {}

    def of_kind(kind: str) -> Sequence[Recorded]:
        if kind not in cache:
            cache[kind] = record(tmp_path_factory.mktemp(kind), KINDS[kind], recordings=2)
        return cache[kind]

    return of_kind


def check(recordings: Sequence[Recorded], interval: Interval, report: CutReport) -> None:
    """Every frame by its number and time."""
    expected = expected_numbers(recordings, interval)
    shown = show(report.clip)
    assert [frame.number for frame in shown] == expected
    first_ms = wall_of(recordings, expected[0])
    for frame in shown:
        assert frame.number is not None
        late_s = frame.time_s - (wall_of(recordings, frame.number) - first_ms) / 1000
        assert abs(late_s) < Fraction(1, 5000)


def converted(recorded: Recorded) -> dict[int, bytes]:
    """The picture of each number, its units as FFmpeg's own MP4 muxer writes them, without sets."""
    packets = recorded.packets
    if recorded.footage.container != "mpegts":
        return packets
    return {number: lengths(data) for number, data in packets.items()}


def lengths(data: bytes) -> bytes:
    """Independent of the code under test: start codes looked for one by one."""
    units, at = [], 0
    while (found := data.find(b"\0\0\1", at)) >= 0:
        stop = data.find(b"\0\0\1", found + 3)
        unit = data[found + 3 : stop if stop >= 0 else len(data)].rstrip(b"\0")
        if unit[0] & 31 not in (7, 8, 9):
            units.append(len(unit).to_bytes(4, "big") + unit)
        at = found + 3
    return b"".join(units)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "span", [(1_300, 5_200), (0, 1_000), (4_500, 7_900)], ids=["inside", "head", "border"]
)
def test_every_frame_is_right(kind: str, span: tuple[int, int], made: Make, tmp_path: Path) -> None:
    recordings = made(kind)
    interval = Interval(START_MS + span[0], START_MS + span[1])
    report = make_clip(recordings, interval, tmp_path)
    check(recordings, interval, report)
    pictures = {number: data for one in recordings for number, data in converted(one).items()}
    expected = expected_numbers(recordings, interval)
    in_clip = dict(zip(expected, video_packets(report.clip).values(), strict=True))
    copied = [number for number in expected if in_clip[number] == pictures[number]]
    assert len(copied) == report.details["framesCopied"] > 0
    assert bool(audio_packets(report.clip)) == KINDS[kind].audio


def test_audio_is_the_cameras_and_in_step(made: Make, tmp_path: Path) -> None:
    for kind in ("ts-b-frames", "mkv"):
        (directory := tmp_path / kind).mkdir()
        recordings = made(kind)
        interval = Interval(START_MS + 4_500, START_MS + 7_900)
        report = make_clip(recordings, interval, directory)
        walls: dict[bytes, list[Fraction]] = {}
        for one in recordings:
            with av.open(str(one.path)) as container:
                zero_s = Fraction(0)
                if kind.startswith("ts"):
                    zero_s = min(stream.start_time * stream.time_base for stream in container.streams)
            for at_s, data in audio_packets(one.path).items():
                frame = data[7:] if kind.startswith("ts") else data
                walls.setdefault(frame, []).append(one.start_ms + (at_s - zero_s) * 1000)
        first_ms = wall_of(recordings, expected_numbers(recordings, interval)[0])
        times = audio_packets(report.clip)
        assert len(times) > 100
        for at_s, data in times.items():
            assert min(abs(at_s * 1000 - (wall - first_ms)) for wall in walls[data]) < 2


def test_a_transport_stream_is_followed_by_an_mp4(tmp_path: Path) -> None:
    first = record(tmp_path / "first", replace(_SMALL, container="mpegts"))
    later_ms = START_MS + 6_022  # its audio begins 21 ms before its pictures, so those end that late
    second = record(tmp_path / "second", replace(_SMALL, first_number=_SMALL.frames), start_ms=later_ms)
    recordings = [*first, *second]
    interval = Interval(START_MS + 4_500, START_MS + 7_900)
    report = make_clip(recordings, interval, tmp_path)
    check(recordings, interval, report)
    assert report.details["framesEncoded"] < 46, "both have the same parameter sets, and are copied"


def take(path: Path, directory: Path, window: Window | None = None) -> tuple[Track, list[str]]:
    source = LocalSource(path)
    container = sniff(source.read(0, min(8192, source.size_bytes)))
    assert container is not None
    _, index = take_in(source, container, directory, window)
    return index.video, list(index.notes)


def test_timestamps_that_wrap_around_midway(made: Make, tmp_path: Path) -> None:
    """Raw timestamps reach 2^33 three seconds into the recording."""
    source = made("ts-b-frames")[0]
    path = tmp_path / "wraps.ts"
    path.write_bytes(shift_timestamps(source.path.read_bytes(), (1 << 33) - 3 * 90_000))
    plain, _ = take(source.path, tmp_path)
    wrapped, notes = take(path, tmp_path)
    assert list(wrapped.pts) == list(plain.pts)
    assert wrapped.end_pts == plain.end_pts
    assert not notes


def shift_timestamps(data: bytes, by: int) -> bytes:
    """The stream with all its presentation and decode times moved, modulo 2^33."""
    shifted = bytearray(data)
    for at in range(0, len(data), 188):
        if not data[at + 1] & 0x40:
            continue
        start = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
        if data[start : start + 3] != b"\0\0\1":
            continue
        for place in range(2 if data[start + 7] & 0x40 else 1):
            field = start + 9 + place * 5
            a, b, c, d, e = data[field : field + 5]
            time = (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
            time = (time + by) % (1 << 33)
            shifted[field : field + 5] = bytes(
                [a & 0xF0 | time >> 29 & 0x0E | 1, time >> 22 & 255, time >> 14 & 0xFE | 1, time >> 7 & 255,
                 time << 1 & 0xFE | 1]
            )  # fmt: skip
    return bytes(shifted)


def test_a_codec_that_ffmpeg_does_not_know(made: Make, tmp_path: Path) -> None:
    data = made("mkv")[0].path.read_bytes()
    path = tmp_path / "unknown.mkv"
    path.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_UNKNOWN/CODEC"))
    with pytest.raises(UnsupportedMedia, match="its video is of an unknown kind"):
        take_in(LocalSource(path), "matroska", tmp_path, None)
    path.write_bytes(data.replace(b"A_AAC", b"A_XYZ"))
    _, index = take_in(LocalSource(path), "matroska", tmp_path, None)
    assert index.audio is None
    assert index.notes == ("its audio is of an unknown kind, which can't be cut: it is left out",)


def test_a_damaged_time_of_an_audio_frame_moves_no_picture(made: Make, tmp_path: Path) -> None:
    """Were it earlier than all others, and the earliest one time zero, every picture would be late."""
    recorded = made("ts")[0]
    data = bytearray(recorded.path.read_bytes())
    begins = [at for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x41\x01"]
    at = begins[2]
    data[at : at + 188] = shift_timestamps(bytes(data[at : at + 188]), -60_000)
    path = tmp_path / "damaged.ts"
    path.write_bytes(data)
    damaged = replace(recorded, path=path)
    interval = Interval(START_MS + 500, START_MS + 1_500)
    clip = make_clip([damaged], interval, tmp_path).clip
    assert [frame.number for frame in show(clip)] == expected_numbers([recorded], interval)
