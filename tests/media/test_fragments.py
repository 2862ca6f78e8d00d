"""Fragmented recordings: the index against FFmpeg's packets, a window of it, and clips cut from them."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media.truth import CountingSource, Recorded, expected_numbers, make_clip, record, show

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.contract.interval import Interval
from clipline.media.footage import Footage
from clipline.media.index import Track, Window, read_index
from clipline.media.ranges import LocalSource

SMALL = Footage(width=320, height=180, duration_s=6, options=(("b_strategy", "0"),))
MUXERS = {
    "mfra": (("movflags", "frag_keyframe+empty_moov"),),
    "default-base": (("movflags", "frag_keyframe+empty_moov+default_base_moof"),),
    "hybrid": (("movflags", "frag_keyframe"),),
    "sidx": (("movflags", "frag_keyframe+empty_moov+dash+global_sidx+skip_trailer"),),
    "a-sidx-each": (("movflags", "frag_keyframe+empty_moov+dash"),),
    "edit-list": (("movflags", "frag_keyframe+delay_moov"),),
    "half-seconds": (("movflags", "empty_moov+default_base_moof"), ("frag_duration", "500000")),
    "separate": (("movflags", "frag_keyframe+empty_moov+separate_moof"),),
    "bare": (("movflags", "frag_keyframe+delay_moov+skip_trailer"),),
}


@pytest.fixture(scope="module", params=[(kind, b) for kind in MUXERS for b in (0, 2)], ids=str)
def fragmented(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    kind, b_frames = request.param
    footage = replace(SMALL, b_frames=b_frames, muxer_options=MUXERS[kind])
    return record(tmp_path_factory.mktemp("fragmented"), footage)[0]


def packets(path: Path, kind: str) -> list[tuple[int, int, int, int, bool]]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(p.pts, p.dts, p.pos, p.size, p.is_keyframe) for p in container.demux(stream) if p.size]


def samples(track: Track) -> list[tuple[int, int, int, int, bool]]:
    sync = set(range(len(track)) if track.sync is None else track.sync)
    places = track.locate(0, len(track))
    return [(track.pts[n], track.decode_times[n], *places[n], n in sync) for n in range(len(track))]


def test_every_sample_is_found_where_ffmpeg_finds_it(fragmented: Recorded) -> None:
    index = read_index(LocalSource(fragmented.path))
    assert index.audio is not None
    assert samples(index.video) == packets(fragmented.path, "video")
    assert samples(index.audio) == packets(fragmented.path, "audio")


@pytest.mark.parametrize(("begin", "end"), [(0, 1), (Fraction(5, 2), 3), (5, 6), (7, 9)])
def test_a_window_holds_what_a_cut_needs(begin: Fraction, end: Fraction, fragmented: Recorded) -> None:
    whole = read_index(LocalSource(fragmented.path))
    source = CountingSource(fragmented.path)
    part = read_index(source, Window(Fraction(begin), Fraction(end)))
    assert part.bytes_read == source.bytes_read
    assert part.video.end_pts == whole.video.end_pts
    for some, every in ((part.video, whole.video), (part.audio, whole.audio)):
        assert some is not None
        assert every is not None
        held, all_samples = samples(some), samples(every)
        first = all_samples.index(held[0])
        assert held == all_samples[first : first + len(held)]
        wanted = [one for one in all_samples if begin <= Fraction(one[0], every.timescale) < end]
        assert set(wanted) <= set(held)


def test_a_recorder_that_crashed_leaves_what_it_wrote(fragmented: Recorded, tmp_path: Path) -> None:
    data = fragmented.path.read_bytes()
    path = tmp_path / "crashed.mp4"
    moof = data.rindex(b"moof") - 4
    mdat = moof + int.from_bytes(data[moof : moof + 4], "big")
    path.write_bytes(data[: mdat + int.from_bytes(data[mdat : mdat + 4], "big") // 2])
    index = read_index(LocalSource(path))
    kept = samples(index.video)
    assert kept == samples(read_index(LocalSource(fragmented.path)).video)[: len(kept)]
    assert len(kept) > 100
    assert index.notes


@pytest.mark.parametrize("kind", ["edit-list", "bare"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_clips_hold_exactly_the_frames_asked(kind: str, b_frames: int, tmp_path: Path) -> None:
    footage = replace(SMALL, b_frames=b_frames, audio=False, muxer_options=MUXERS[kind])
    recordings = record(tmp_path / "source", footage, recordings=2)
    for at_ms, length_ms in ((700, 1_900), (4_900, 2_400)):
        begin = recordings[0].start_ms + at_ms
        interval = Interval(begin, begin + length_ms)
        directory = tmp_path / str(at_ms)
        directory.mkdir()
        report = make_clip(recordings, interval, directory)
        assert [frame.number for frame in show(report.clip)] == expected_numbers(recordings, interval)


@pytest.mark.timeout(120)
def test_mutations_raise_nothing_but_typed_errors(fragmented: Recorded, tmp_path: Path) -> None:
    data = fragmented.path.read_bytes()
    places = [at for at in range(len(data)) if data[at : at + 4] in {b"moov", b"moof", b"sidx", b"mfra"}]
    path = tmp_path / "mutated.mp4"
    for seed in range(40):
        dice = random.Random(seed)
        mutated = bytearray(data)
        for _ in range(dice.choice((1, 2, 8))):
            at = min(dice.choice(places) - 4 + dice.randrange(700), len(data) - 1)
            mutated[at] = dice.choice((0, 255, dice.randrange(256)))
        path.write_bytes(mutated)
        for window in (None, Window(Fraction(2), Fraction(3))):
            with contextlib.suppress(UnreadableRecording, UnsupportedMedia):
                read_index(LocalSource(path), window)
