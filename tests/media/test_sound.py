"""The sound of every ordinary recording: copied or encoded, without a hole, and in step."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from media.sounds import CLICK_MS, PICTURES, Sound, clicks_s, recorded
from media.truth import START_MS, Recorded, audio_packets, expected_numbers, make_clip, show, wall_of

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.media.cut import CutReport

IN_ONE = Interval(START_MS + 700, START_MS + 3_400)
OVER_ALL = Interval(START_MS + 700, START_MS + 11_000)
EXACT_S = Fraction(2, 1000)


def check(
    recordings: Sequence[Recorded], interval: Interval, directory: Path, *, late_s: Fraction = EXACT_S
) -> CutReport:
    """Cut, and see that clicks sound within ``late_s`` of their wall time, and that there is no hole."""
    report = make_clip(recordings, interval, directory)
    expected = expected_numbers(recordings, interval)
    assert [frame.number for frame in show(report.clip)] == expected
    first_ms = wall_of(recordings, expected[0])
    for at in clicks_s(report.clip):
        off_ms = (first_ms + at * 1000) % CLICK_MS
        assert min(off_ms, CLICK_MS - off_ms) <= late_s * 1000, f"the click at {float(at)} s"
    with av.open(str(report.clip)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.options = {"err_detect": "explode"}
        frames = list(container.decode(stream))
    frame_s = max(Fraction(frame.samples, frame.sample_rate) for frame in frames)
    times = sorted(audio_packets(report.clip))
    assert abs(max(times[0], 0)) <= frame_s
    assert max((after - before for before, after in pairwise(times)), default=0) <= 2 * frame_s
    duration_s = Fraction(report.details["durationInMs"], 1000)
    assert times[-1] + 2 * frame_s >= duration_s
    return report


COPIED = {
    "aac": Sound(),
    "aac-8k": Sound(rate=8_000),
    "aac-44k-stereo": Sound(rate=44_100, layout="stereo"),
    "opus": Sound("libopus"),
    "mp3": Sound("libmp3lame", layout="stereo"),
    "ac3": Sound("ac3", layout="stereo"),
    "flac": Sound("flac"),
    "alac": Sound("alac"),
}
ENCODED = {
    "mu-law": Sound("pcm_mulaw", 8_000, container="mov"),
    "a-law": Sound("pcm_alaw", 8_000, container="mov"),
    "pcm-le": Sound("pcm_s16le", 48_000, container="mov"),
    "pcm-be": Sound("pcm_s16be", 16_000, "stereo", container="mov"),
    "pcm-24": Sound("pcm_s24le", 48_000, container="mov"),
    "pcm-mp4": Sound("pcm_s16le", 48_000),
}


@pytest.mark.parametrize("kind", COPIED)
def test_what_mp4_carries_is_copied(kind: str, tmp_path: Path) -> None:
    (one,) = recorded(tmp_path / "source", [COPIED[kind]])
    # Encoders delay: AAC's edit list makes up for it, MP3's is heard in the recording as well.
    source = clicks_s(one.path)
    report = check([one], IN_ONE, tmp_path, late_s=Fraction(30, 1000))
    assert report.details["audio"] == {"method": "copy", "why": []}
    assert set(audio_packets(report.clip).values()) <= set(audio_packets(one.path).values())
    first_s = (wall_of([one], expected_numbers([one], IN_ONE)[0]) - one.start_ms) / 1000
    heard = [at for at in clicks_s(report.clip) if at > Fraction(1, 10)]
    assert len(heard) >= 4
    for at in heard:
        assert min(abs(at + first_s - other) for other in source) <= Fraction(1, 1000)


@pytest.mark.parametrize("kind", ENCODED)
def test_what_it_does_not_carry_becomes_aac(kind: str, tmp_path: Path) -> None:
    sound = ENCODED[kind]
    (one,) = recorded(tmp_path / "source", [sound])
    report = check([one], IN_ONE, tmp_path)
    assert report.details["audio"]["method"] == "encode"
    assert "none that MP4 players take" in report.details["audio"]["why"][0]
    assert len(clicks_s(report.clip)) >= 5
    with av.open(str(report.clip)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.layout.name) == (
            "aac",
            sound.rate,
            sound.layout,
        )


MIXED: dict[str, tuple[list[Sound | None], str]] = {
    "missing in the middle": ([Sound(), None, Sound()], "copy+encode"),
    "missing at the head": ([None, Sound(), Sound()], "copy+encode"),
    "missing at the tail": ([Sound(), Sound(), None], "copy+encode"),
    "late": ([Sound(begin_s=Fraction(3, 2)), Sound(), Sound()], "copy+encode"),
    "ends early": ([Sound(), Sound(end_s=Fraction(5, 2)), Sound()], "copy+encode"),
    "stereo": ([Sound(), Sound(layout="stereo"), Sound()], "copy+encode"),
    "another rate": ([Sound(), Sound(rate=44_100), Sound()], "copy+encode"),
    "G.711 in between": ([Sound(), Sound("pcm_mulaw", 8_000, container="mov"), Sound()], "copy+encode"),
    "Opus first": ([Sound("libopus"), Sound(), Sound()], "copy+encode"),
    "most is Opus": ([Sound("libopus"), Sound("libopus"), Sound(rate=16_000)], "encode"),
    "Opus with a hole": ([Sound("libopus"), None, Sound("libopus")], "copy+encode"),
    "MP3 joined": ([Sound("libmp3lame")] * 3, "encode"),
    "G.711 with a hole": ([Sound("pcm_alaw", 8_000, container="mov"), None, None], "encode"),
}


@pytest.mark.parametrize("case", MIXED)
def test_a_track_without_holes(case: str, tmp_path: Path) -> None:
    sounds, method = MIXED[case]
    recordings = recorded(tmp_path / "source", sounds)
    # MP3 encoders delay by 1105 samples, which the recording does not make up for.
    late_s = Fraction(30, 1000) if "MP3" in case else EXACT_S
    report = check(recordings, OVER_ALL, tmp_path, late_s=late_s)
    assert report.details["audio"]["method"] == method
    assert report.details["audio"]["why"]
    assert len(clicks_s(report.clip)) >= 6


def test_drift_does_not_add_up_over_twelve_joins(tmp_path: Path) -> None:
    from dataclasses import replace

    footage = replace(PICTURES, duration_s=Fraction(19, 15))
    recordings = recorded(tmp_path / "source", [Sound()] * 13, footage)
    interval = Interval(START_MS + 300, START_MS + 16_000)
    report = check(recordings, interval, tmp_path, late_s=Fraction(512, 48_000) + EXACT_S)
    assert report.details["audio"]["method"] == "copy"
    frames = len(audio_packets(report.clip))
    counted_s = Fraction(frames * 1024, 48_000)
    assert abs(counted_s - Fraction(report.details["durationInMs"], 1000)) <= Fraction(2 * 1024, 48_000)


def test_a_last_frame_that_hardly_sounds_makes_nothing_late(tmp_path: Path) -> None:
    """Of the last Opus frame 6.5 ms sound, and at its time the next recording begins."""
    recordings = recorded(tmp_path / "source", [Sound("libopus")] * 3)
    report = check(recordings, OVER_ALL, tmp_path)
    assert report.details["audio"]["method"] == "copy"


@pytest.mark.parametrize("policy", [GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK])
def test_a_gap_is_silent(policy: GapPolicy, tmp_path: Path) -> None:
    first, _, third = recorded(tmp_path / "source", [Sound(), None, Sound()])
    report = make_clip([first, third], OVER_ALL, tmp_path, gap_policy=policy)
    times = sorted(audio_packets(report.clip))
    assert max(after - before for before, after in pairwise(times)) <= Fraction(2 * 1024, 48_000)
    gap = (Fraction(33, 10), Fraction(73, 10))
    inside = [at for at in clicks_s(report.clip) if gap[0] + Fraction(1, 20) < at < gap[1] - Fraction(1, 20)]
    assert bool(inside) == (policy is GapPolicy.SKIP)


def test_audio_that_can_not_be_decoded_is_left_out(tmp_path: Path) -> None:
    (one,) = recorded(tmp_path / "source", [Sound("pcm_mulaw", 8_000, container="mov")])
    one.path.write_bytes(one.path.read_bytes().replace(b"ulaw", b"QDM2"))
    report = make_clip([one], IN_ONE, tmp_path)
    assert audio_packets(report.clip) == {}
    assert report.details["audio"]["method"] == "none"
    assert "'QDM2'" in report.details["audio"]["why"][0]
