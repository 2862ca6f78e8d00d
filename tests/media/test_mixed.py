"""Recordings of one clip that differ from each other: the odd one is encoded to match, never garbage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from media.boxes import read_movie
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

from clipline.contract.interval import Interval
from clipline.media.footage import Footage

BASE = Footage(width=640, height=360, duration_s=4)
INTERVAL = Interval(START_MS + 900, START_MS + 6_500)


def pair(directory: Path, first: Footage, **changes: Any) -> list[Recorded]:
    """A recording of four seconds, and one after it that differs by ``changes``."""
    second = replace(first, first_number=first.frames, **changes)
    start_ms = START_MS + round(first.frames * 1000 / first.frame_rate)
    return [
        *record(directory / "first", first),
        *record(directory / "second", second, start_ms=start_ms),
    ]


def check(recordings: Sequence[Recorded], directory: Path) -> Any:
    report = make_clip(recordings, INTERVAL, directory)
    expected = expected_numbers(recordings, INTERVAL)
    shown = show(report.clip)
    assert [frame.number for frame in shown] == expected
    first_ms = wall_of(recordings, expected[0])
    for frame in shown:
        assert frame.number is not None
        late_s = frame.time_s - (wall_of(recordings, frame.number) - first_ms) / 1000
        assert abs(late_s) < Fraction(1, 5000)
    assert len({(frame.picture.width, frame.picture.height) for frame in shown}) == 1
    assert len(read_movie(report.clip).video.entries) == 1
    return report


CHANGES: dict[str, dict[str, Any]] = {
    "smaller": {"width": 320, "height": 180},
    "larger": {"width": 1280, "height": 720},
    "another shape": {"width": 480, "height": 360},
    "another profile": {"profile": "main"},
    "baseline": {"profile": "baseline"},
    "b-frames": {"b_frames": 2, "options": (("b_strategy", "0"),)},
    "another rate": {"frame_rate": Fraction(25)},
    "ntsc": {"frame_rate": Fraction(30000, 1001)},
    "no colour tags": {"colour_tagged": False},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_second_is_encoded_to_match(change: str, tmp_path: Path) -> None:
    recordings = pair(tmp_path, BASE, **CHANGES[change])
    report = check(recordings, tmp_path)
    packets = {number: data for one in recordings for number, data in one.packets.items()}
    expected = expected_numbers(recordings, INTERVAL)
    in_clip = dict(zip(expected, video_packets(report.clip).values(), strict=True))
    copied = [number for number in expected if in_clip[number] == packets[number]]
    assert len(copied) == report.details["framesCopied"]
    assert copied, "what most frames have in common is copied"


def test_the_majority_decides(tmp_path: Path) -> None:
    recordings = pair(
        tmp_path, replace(BASE, width=320, height=180, duration_s=1), width=640, height=360, duration_s=6
    )
    report = check(recordings, tmp_path)
    assert (report.details["width"], report.details["height"]) == (640, 360)
    assert any("differ" in why for why in report.details["why"])


def test_sound_begins_with_the_recording_that_has_it(tmp_path: Path) -> None:
    recordings = pair(tmp_path, replace(BASE, audio=False), audio=True)
    report = check(recordings, tmp_path)
    times = audio_packets(report.clip)
    assert abs(min(times)) < Fraction(1, 40), "silence comes before it"
    first_ms = wall_of(recordings, 27)
    walls = {
        data: recordings[1].start_ms + at * 1000 for at, data in audio_packets(recordings[1].path).items()
    }
    copied = {at: data for at, data in times.items() if data in walls}
    assert abs(min(copied) - Fraction(3_100, 1000)) < Fraction(1, 20)
    assert len(copied) == sum(at >= min(copied) for at in times)
    assert all(abs(at - (walls[data] - first_ms) / 1000) < Fraction(1, 500) for at, data in copied.items())


def test_sound_ends_with_the_recording_that_has_it(tmp_path: Path) -> None:
    recordings = pair(tmp_path, BASE, audio=False)
    report = check(recordings, tmp_path)
    times = audio_packets(report.clip)
    of_first = set(audio_packets(recordings[0].path).values())
    copied = [at for at, data in times.items() if data in of_first]
    assert abs(max(copied) - Fraction(3_100, 1000)) < Fraction(1, 20)
    assert abs(max(times) - Fraction(5_600, 1000)) < Fraction(1, 20), "silence follows"


def _with_other_sound(path: Path, rate: int) -> None:
    """Give a recording an audio track of another sample rate."""
    silent = path.with_suffix(".silent.mp4")
    path.rename(silent)
    with av.open(str(silent)) as source, av.open(str(path), "w", format="mp4") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        audio = target.add_stream("aac", rate=rate, layout="stereo")
        assert isinstance(audio, av.AudioStream)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                target.mux(packet)
        for number in range(rate * 4 // 1024):
            frame = av.AudioFrame("fltp", "stereo", 1024)
            frame.sample_rate, frame.pts, frame.time_base = rate, number * 1024, Fraction(1, rate)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            target.mux(audio.encode(frame))
        target.mux(audio.encode(None))
    silent.unlink()


def test_sound_of_another_form_is_encoded_to_match_not_played_as_garbage(tmp_path: Path) -> None:
    recordings = pair(tmp_path, BASE, audio=False)
    _with_other_sound(recordings[1].path, 44_100)
    report = check(recordings, tmp_path)
    of_first = set(audio_packets(recordings[0].path).values())
    sounds = audio_packets(report.clip)
    assert sum(data in of_first for data in sounds.values()) > 3 * 48_000 // 1024 - 2
    assert report.details["audio"]["method"] == "copy+encode"
    with av.open(str(report.clip)) as container:
        container.streams.audio[0].codec_context.options = {"err_detect": "explode"}
        assert sum(frame.samples for frame in container.decode(audio=0)) > 5.5 * 48_000


def test_the_same_camera_with_other_bit_rates_is_one_sound(tmp_path: Path) -> None:
    recordings = pair(tmp_path, BASE, duration_s=5)
    report = check(recordings, tmp_path)
    of_second = set(audio_packets(recordings[1].path).values())
    assert set(audio_packets(report.clip).values()) & of_second
