"""Recordings that are not what they claim: a typed error or a gap with its reason, nothing else."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media.truth import START_MS, CountingSource, Recorded, expected_numbers, record, show

from clipline.contract.errors import MediaError, NoFrames, UnreadableRecording, UnsupportedMedia
from clipline.contract.interval import Interval
from clipline.media.bits import BitReader, unescape
from clipline.media.boxes import parse_boxes, parse_header
from clipline.media.cut import Candidate, CutReport, ThumbnailOptions, prepare
from clipline.media.footage import Footage
from clipline.media.index import read_index
from clipline.media.parameter_sets import (
    is_entry,
    is_idr,
    parse_avcc,
    parse_sps,
    pps_identifiers,
    split_units,
)
from clipline.media.ranges import LocalSource

SMALL = Footage(width=320, height=180, duration_s=6, moov_first=True)
INTERVAL = Interval(START_MS + 1_300, START_MS + 4_700)
MUTATIONS = 80


@pytest.fixture(scope="module", params=[True, False], ids=["moov-first", "moov-last"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    (recorded,) = record(tmp_path_factory.mktemp("sound"), replace(SMALL, moov_first=request.param))
    return recorded


def cut(path: Path, directory: Path) -> CutReport:
    candidates = [Candidate(LocalSource(path), START_MS)]
    return prepare(candidates, INTERVAL, directory).render(directory / "clip.mp4", ThumbnailOptions((64,)))


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"\0",
    "text": b"this is not a recording\n" * 50,
    "html": b"<!doctype html><html><body>403 Forbidden</body></html>",
    "xml": b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
    "concat list": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "playlist": b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://127.0.0.1:9/secret.ts\n",
    "session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(500),
    "transport stream": (b"G" + bytes(187)) * 100,
    "matroska": b"\x1aE\xdf\xa3" + bytes(500),
    "only a file type": b"\0\0\0\x18ftypisom\0\0\x02\0isomavc1",
    "an endless box": b"\0\0\0\0ftypisom" + bytes(100),
    "a box of no size": b"\0\0\0\x04ftyp" + bytes(100),
    "a huge moov": b"\0\0\0\x10ftypisom\0\0\0\0" + b"\x7f\xff\xff\xffmoov" + bytes(100),
    "an endless chain": b"\0\0\0\x08free" * 20_000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_recording_is_named_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pier.20180916T160017033.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableRecording) as caught:
        read_index(LocalSource(path))
    assert str(caught.value).startswith(path.name)
    with pytest.raises(NoFrames, match=r"pier\.20180916T160017033\.mp4"):
        cut(path, tmp_path)
    assert not (tmp_path / "clip.mp4").exists()


def test_a_chain_of_boxes_does_not_cost_a_request_each(tmp_path: Path) -> None:
    path = tmp_path / "chain.mp4"
    path.write_bytes(HOSTILE["an endless chain"])
    source = CountingSource(path)
    with pytest.raises(UnreadableRecording, match="more than 32"):
        read_index(source)
    assert len(source.reads) <= 33


@pytest.mark.parametrize("part", [Fraction(n, 12) for n in range(1, 12)], ids=str)
def test_a_recording_cut_off_anywhere_is_unreadable(part: Fraction, sound: Recorded, tmp_path: Path) -> None:
    data = sound.path.read_bytes()
    path = tmp_path / "truncated.mp4"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(UnreadableRecording, match=r"truncated\.mp4"):
        read_index(LocalSource(path))


@pytest.mark.parametrize("missing_bytes", [1, 100, 2_000])
def test_so_is_one_that_lacks_its_last_bytes(missing_bytes: int, sound: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "truncated.mp4"
    path.write_bytes(sound.path.read_bytes()[:-missing_bytes])
    with pytest.raises(UnreadableRecording, match=r"truncated\.mp4"):
        read_index(LocalSource(path))


def _mutate(data: bytes, dice: random.Random, where: range) -> bytes:
    mutated = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        at = dice.choice(where)
        mutated[at] = dice.choice((0, 255, dice.randrange(256), mutated[at] ^ 1 << dice.randrange(8)))
    return bytes(mutated)


@pytest.mark.parametrize("seed", range(MUTATIONS))
def test_a_mutated_index_gives_the_right_clip_or_a_typed_error(
    seed: int, sound: Recorded, tmp_path: Path
) -> None:
    data = sound.path.read_bytes()
    moov = data.index(b"moov") - 4
    where = range(moov, moov + int.from_bytes(data[moov : moov + 4], "big"))
    path = tmp_path / "mutated.mp4"
    path.write_bytes(_mutate(data, random.Random(seed), where))
    try:
        report = cut(path, tmp_path)
    except MediaError:
        return
    assert [frame.number for frame in show(report.clip)] == expected_numbers([sound], INTERVAL)


@pytest.mark.parametrize("seed", range(20))
def test_mutated_footage_gives_a_clip_or_a_typed_error(seed: int, sound: Recorded, tmp_path: Path) -> None:
    data = sound.path.read_bytes()
    mdat = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4 if data.index(b"moov") > mdat else len(data)
    path = tmp_path / "mutated.mp4"
    path.write_bytes(_mutate(data, random.Random(seed), range(mdat, end)))
    try:
        report = cut(path, tmp_path)
    except MediaError:
        return
    assert report.details["framesCopied"] + report.details["framesEncoded"] == 102


def test_footage_replaced_by_noise_is_an_error_not_a_clip(sound: Recorded, tmp_path: Path) -> None:
    data = bytearray(sound.path.read_bytes())
    mdat = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4 if data.index(b"moov") > mdat else len(data)
    data[mdat:end] = random.Random(1).randbytes(end - mdat)
    path = tmp_path / "noise.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError):
        cut(path, tmp_path)


KINDS_NOT_CUT: dict[str, tuple[Footage, str]] = {
    "hevc": (replace(SMALL, encoder="libx265", options=(("x265-params", "log-level=none"),)), "hev1|hvc1"),
    "interlaced": (replace(SMALL, options=(("x264-params", "interlaced=1"),)), "interlaced"),
}


@pytest.mark.parametrize("kind", KINDS_NOT_CUT)
def test_sound_footage_of_another_kind_is_unsupported(kind: str, tmp_path: Path) -> None:
    footage, words = KINDS_NOT_CUT[kind]
    (recorded,) = record(tmp_path / "source", replace(footage, duration_s=3))
    with pytest.raises(UnsupportedMedia, match=words) as caught:
        cut(recorded.path, tmp_path)
    assert "\n" not in str(caught.value)


_PARSERS: dict[str, Callable[[bytes], object]] = {
    "boxes": lambda data: [list(box.children()) for box in parse_boxes(memoryview(data))],
    "header": parse_header,
    "avcC": parse_avcc,
    "sps": parse_sps,
    "sps body": lambda data: parse_sps(b"\x67" + data),
    "pps": pps_identifiers,
    "units": lambda data: list(split_units(data, 4)),
    "idr": lambda data: is_idr(data, 4),
    "entry": lambda data: is_entry(b"\0\0\0\x40\x06" + data.ljust(63, b"\x80"), 4),
    "bits": lambda data: [BitReader(unescape(data)).ue(), BitReader(data).se()],
}


@pytest.mark.parametrize("parser", _PARSERS)
@given(data=st.binary(max_size=200))
def test_parsers_raise_nothing_but_media_errors(parser: str, data: bytes) -> None:
    with contextlib.suppress(MediaError):
        _PARSERS[parser](data)


class _Bytes:
    """A recording in memory."""

    name = "memory.mp4"
    local_path = None

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


@given(
    kind=st.sampled_from([b"ftyp", b"moov", b"mdat", b"free", b"moof"]),
    size=st.integers(0, 2**32 - 1),
    rest=st.binary(max_size=400),
)
def test_any_bytes_after_a_box_header_raise_nothing_but_media_errors(
    kind: bytes, size: int, rest: bytes
) -> None:
    with pytest.raises(MediaError):
        read_index(_Bytes(size.to_bytes(4, "big") + kind + rest))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(where=st.floats(0, 1, exclude_max=True), patch=st.binary(min_size=1, max_size=12))
def test_any_patch_of_the_index_raises_nothing_but_media_errors(
    where: float, patch: bytes, sound: Recorded
) -> None:
    data = bytearray(sound.path.read_bytes())
    moov = data.index(b"moov") - 4
    at = moov + int(where * int.from_bytes(data[moov : moov + 4], "big"))
    data[at : at + len(patch)] = patch
    with contextlib.suppress(MediaError):
        read_index(_Bytes(bytes(data)))
