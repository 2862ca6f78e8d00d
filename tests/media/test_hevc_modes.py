"""HEVC recordings under each HEVC mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import pytest
from media.truth import START_MS, Recorded, expected_numbers, record, show, video_packets

from clipline.contract.interval import Interval
from clipline.contract.modes import HevcMode
from clipline.media.cut import Candidate, CutReport, ThumbnailOptions, prepare
from clipline.media.footage import Footage
from clipline.media.ranges import LocalSource

QUIET = "log-level=none:scenecut=0"
SMALL = Footage(
    width=640, height=360, duration_s=5, gop_s=1, encoder="libx265", preset="ultrafast", audio=False,
    options=(("x265-params", f"{QUIET}:keyint=30:min-keyint=30:open-gop=0:bframes=0"),),
)  # fmt: skip
KINDS = {
    "closed": SMALL,
    "b-frames": replace(
        SMALL, options=(("x265-params", f"{QUIET}:keyint=30:min-keyint=30:open-gop=0:bframes=3"),)
    ),
    "open-gop": replace(
        SMALL,
        b_frames=3,
        options=(
            ("flags", "-cgop"),
            ("x265-params", f"{QUIET}:keyint=30:min-keyint=30:open-gop=1:bframes=3:b-adapt=0"),
        ),
    ),
    "main-10": replace(SMALL, pixel_format="yuv420p10le"),
}
INTERVAL = Interval(START_MS + 1_300, START_MS + 7_450)


@pytest.fixture(scope="module", params=KINDS)
def recordings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Sequence[Recorded]:
    return record(tmp_path_factory.mktemp(request.param), KINDS[request.param], recordings=2)


def cut(recordings: Sequence[Recorded], directory: Path, mode: HevcMode) -> CutReport:
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one in recordings]
    planned = prepare(candidates, INTERVAL, directory, hevc_mode=mode)
    return planned.render(directory / "clip.mp4", ThumbnailOptions((160,)))


@pytest.mark.parametrize("mode", HevcMode)
def test_every_mode_is_exact(mode: HevcMode, recordings: Sequence[Recorded], tmp_path: Path) -> None:
    report = cut(recordings, tmp_path, mode)
    expected = expected_numbers(recordings, INTERVAL)
    assert [frame.number for frame in show(report.clip)] == expected
    with av.open(str(report.clip)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        codec, tag, pixel_format = context.name, context.codec_tag, stream.format.name
    if mode is HevcMode.H264:
        assert (codec, tag, pixel_format) == ("h264", "avc1", "yuv420p")
        assert report.details["method"] == "encode"
        return
    assert (codec, tag) == ("hevc", "hvc1")
    assert pixel_format == recordings[0].footage.pixel_format
    if mode is HevcMode.HEVC:
        assert report.details["method"] == "encode"
        return
    assert report.details["method"] == "copy+encode", report.details["why"]
    source = {number: data for one in recordings for number, data in one.packets.items()}
    clip = dict(zip(expected, video_packets(report.clip).values(), strict=True))
    same = [number for number in expected if clip[number] == source[number]]
    assert len(same) > len(expected) // 2
