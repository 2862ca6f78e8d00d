"""A finished clip that is not what the plan promised does not pass."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from media.conftest import MakeFootage
from media.truth import START_MS, expected_numbers, plan_cut, show

from clipline.contract.errors import VerificationFailed
from clipline.contract.interval import Interval
from clipline.media import cut as cut_module
from clipline.media.cut import Cut
from clipline.media.plan import Plan
from clipline.media.verify import verify

INTERVAL = Interval(START_MS + 1_300, START_MS + 6_700)


@pytest.fixture(params=["plain", "b-frames", "baseline-ntsc"])
def made(request: pytest.FixtureRequest, footage: MakeFootage, tmp_path: Path) -> tuple[Path, Plan, Cut]:
    """A clip that passes, its plan, and another cut of the same recordings."""
    recordings = footage(request.param)[:1]
    planned = plan_cut(recordings, INTERVAL, tmp_path)
    path = planned.render(tmp_path / "clip.mp4").clip
    verify(path, planned.plan)
    return path, planned.plan, planned


def _find(data: bytes, *path: str) -> int:
    """Where the content of a box begins."""
    at = 0
    for kind in path:
        at = data.index(kind.encode(), at) + 4
    return at


def _first_sample(data: bytearray) -> slice:
    begin = _find(data, "mdat")
    size = struct.unpack_from(">I", data, _find(data, "stsz") + 12)[0]
    return slice(begin, begin + size)


def cut_off(data: bytearray) -> None:
    del data[-5_000:]


def no_index(data: bytearray) -> None:
    at = data.index(b"moov")
    data[at : at + 4] = b"free"


def garbled_first_picture(data: bytearray) -> None:
    where = _first_sample(data)
    data[where] = data[where][:200] + bytes(range(256)) * ((where.stop - where.start) // 256 + 1)
    del data[where.stop : where.stop + 200 + 256 - (where.stop - where.start) % 256]


def emptied_first_picture(data: bytearray) -> None:
    where = _first_sample(data)
    data[where] = bytes(where.stop - where.start)


def broken_units_in_the_middle(data: bytearray) -> None:
    """The length before a coded picture in the copied part is wrong by one."""
    begin = _find(data, "stsz") + 12
    sizes = [size for (size,) in struct.iter_unpack(">I", data[begin : begin + 4 * 100])]
    at = _find(data, "mdat")
    chunks = _find(data, "stco") + 8
    (at,) = struct.unpack_from(">I", data, chunks)
    (per_chunk,) = struct.unpack_from(">I", data, _find(data, "stsc") + 12)
    at += sum(sizes[: min(per_chunk, 2) - 1])
    length = int.from_bytes(data[at : at + 4], "big")
    data[at : at + 4] = (length + 1).to_bytes(4, "big")


def a_frame_less(data: bytearray) -> None:
    """The last sample's entry in ``stsz`` and ``stsc`` no longer counts."""
    at = _find(data, "stsz") + 8
    (count,) = struct.unpack_from(">I", data, at)
    struct.pack_into(">I", data, at, count - 1)


def other_times(data: bytearray) -> None:
    at = _find(data, "stts") + 12
    (delta,) = struct.unpack_from(">I", data, at)
    struct.pack_into(">I", data, at, delta + 1)


def shifted_samples(data: bytearray) -> None:
    at = _find(data, "stco") + 8
    (offset,) = struct.unpack_from(">I", data, at)
    struct.pack_into(">I", data, at, offset + 1)


def lost_parameter_sets(data: bytearray) -> None:
    at = _find(data, "avcC")
    data[at + 8 : at + 20] = bytes(12)


def another_timescale(data: bytearray) -> None:
    at = _find(data, "mdhd") + 20
    struct.pack_into(">I", data, at, 90_001)


TAMPERING: list[Callable[[bytearray], None]] = [
    cut_off, no_index, garbled_first_picture, emptied_first_picture, broken_units_in_the_middle, a_frame_less,
    other_times, shifted_samples, lost_parameter_sets, another_timescale,
]  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERING, ids=lambda tamper: tamper.__name__)
def test_tampering_shows(tamper: Callable[[bytearray], None], made: tuple[Path, Plan, Cut]) -> None:
    path, plan, _ = made
    data = bytearray(path.read_bytes())
    tamper(data)
    assert bytes(data) != path.read_bytes()
    path.write_bytes(data)
    with pytest.raises(VerificationFailed) as caught:
        verify(path, plan)
    assert "\n" not in str(caught.value)


def test_another_clip_does_not_pass(footage: MakeFootage, tmp_path: Path) -> None:
    recordings = footage("plain")[:1]
    path = plan_cut(recordings, INTERVAL, tmp_path).render(tmp_path / "clip.mp4").clip
    shorter = Interval(INTERVAL.start_ms, INTERVAL.end_ms - 40)
    with pytest.raises(VerificationFailed, match="frames"):
        verify(path, plan_cut(recordings, shorter, tmp_path).plan)


def test_lost_sound_shows(footage: MakeFootage, tmp_path: Path) -> None:
    planned = plan_cut(footage("plain")[:1], INTERVAL, tmp_path)
    path = planned.render(tmp_path / "clip.mp4").clip
    path.write_bytes(path.read_bytes().replace(b"soun", b"text"))
    with pytest.raises(VerificationFailed, match="audio"):
        verify(path, planned.plan)


@pytest.fixture
def one_failure(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The first verification fails; the plans that were verified."""
    seen: list[Plan] = []

    def failing_once(path: Path, plan: Plan) -> None:
        seen.append(plan)
        if len(seen) == 1:
            raise VerificationFailed("a picture at a joint is damaged")
        verify(path, plan)

    monkeypatch.setattr(cut_module, "verify", failing_once)
    return seen


def test_a_splice_that_fails_is_encoded_whole_and_says_so(
    one_failure: list[Plan], footage: MakeFootage, tmp_path: Path
) -> None:
    recordings = footage("b-frames")[:1]
    report = plan_cut(recordings, INTERVAL, tmp_path).render(tmp_path / "clip.mp4")
    assert [plan.frames_copied > 0 for plan in one_failure] == [True, False]
    assert report.details["framesCopied"] == 0
    assert report.details["method"] == "encode"
    assert report.details["why"] == ["the splice failed: a picture at a joint is damaged"]
    assert [frame.number for frame in show(report.clip)] == expected_numbers(recordings, INTERVAL)
