"""Damage that a decoder patches over in silence: what leans on it is not encoded, and is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from fuzz.carriers import Fit, carrier
from fuzz.units import join, split
from media.memory import InMemory
from media.truth import START_MS, Recorded, expected_numbers, make_clip, record, show

from clipline.contract.errors import UnreadableRecording
from clipline.contract.interval import Interval
from clipline.media.footage import Footage
from clipline.media.transport import PacketReader, find_grid

PLAIN = Footage(width=320, height=180, frame_rate=Fraction(20), duration_s=3, gop_s=1)
REORDERED = replace(PLAIN, b_frames=2, options=(("b_strategy", "0"),))
HEVC = replace(PLAIN, encoder="libx265", preset="ultrafast", options=(("x265-params", "log-level=none"),))
WITHIN_A_GROUP = Interval(START_MS + 300, START_MS + 800)
"""Nothing of it can be copied."""
Change = Callable[[list[bytes]], dict[int, bytes]]


def changed(recorded: Recorded, change: Change) -> Recorded:
    """With other coded pictures, given all of them in decode order."""
    data = recorded.path.read_bytes()
    one = carrier(str(recorded.path), data, "mp4")
    path = recorded.path.with_suffix(".changed.mp4")
    fit = Fit(sizes=True, table=True, offsets=True)
    path.write_bytes(one.rebuild(change(list(one.pictures)), one.record, fit))
    return replace(recorded, path=path)


def spoiled(picture: bytes) -> bytes:
    """Its last unit lacks the rest."""
    *units, last = split(picture, 4)
    return join([*units, last[: len(last) // 2]], 4)


def test_a_reference_picture_that_is_missing(tmp_path: Path) -> None:
    """One repeats instead: FFmpeg puts a picture in the missing one's place, and marks none as damaged."""
    (sound,) = record(tmp_path, PLAIN)
    lost = changed(sound, lambda pictures: {4: pictures[3]})
    with pytest.raises(UnreadableRecording, match="one is missing"):
        make_clip([lost], WITHIN_A_GROUP, tmp_path)
    behind = Interval(START_MS + 1_000, START_MS + 2_000)
    clip = make_clip([lost], behind, tmp_path).clip
    assert [frame.number for frame in show(clip)] == expected_numbers([sound], behind)


def test_a_damaged_picture_that_is_shown_after_those_that_lean_on_it(tmp_path: Path) -> None:
    """Decoded are pictures 0, 3, 1, 2, 6, 4, 5: picture 4 is shown before it is known that 6 is damaged."""
    (sound,) = record(tmp_path, REORDERED)
    damaged = changed(sound, lambda pictures: {4: spoiled(pictures[4])})
    third, fourth = (Interval(START_MS + at_ms, START_MS + at_ms + 1) for at_ms in (150, 200))
    clip = make_clip([damaged], third, tmp_path).clip
    assert [frame.number for frame in show(clip)] == [3]
    clip.unlink()
    with pytest.raises(UnreadableRecording, match="damaged"):
        make_clip([damaged], fourth, tmp_path)


def test_hevc_whose_damage_the_decoder_finds(tmp_path: Path) -> None:
    (sound,) = record(tmp_path, HEVC)
    damaged = changed(sound, lambda pictures: {2: spoiled(pictures[2])})
    with pytest.raises(UnreadableRecording, match="do not decode"):
        make_clip([damaged], WITHIN_A_GROUP, tmp_path)


def test_a_sample_that_holds_two_pictures(tmp_path: Path) -> None:
    (sound,) = record(tmp_path, PLAIN)
    two = changed(sound, lambda pictures: {4: pictures[4] + pictures[5]})
    with pytest.raises(UnreadableRecording, match="holds two pictures"):
        make_clip([two], WITHIN_A_GROUP, tmp_path)


def test_a_slice_that_nothing_leans_on_before_those_that_do(tmp_path: Path) -> None:
    """Were it taken for the whole picture, that would not be decoded, and nobody would know."""
    (sound,) = record(tmp_path, PLAIN)

    def with_another(pictures: list[bytes]) -> dict[int, bytes]:
        units = split(pictures[4], 4)
        harmless = bytes([units[-1][0] & 0x1F]) + units[-1][1:]
        return {4: join([harmless, *units], 4)}

    with pytest.raises(UnreadableRecording, match="holds two pictures"):
        make_clip([changed(sound, with_another)], WITHIN_A_GROUP, tmp_path)


def test_a_loss_between_packets_whatever_the_counter_behind_it() -> None:
    for counter in range(16):

        def packets(*counters: int) -> bytes:
            return b"".join(bytes([0x47, 0, 17, 0x10 | one % 16]) + bytes(184) for one in counters)

        data = packets(*range(6)) + b"junk" * 50 + packets(*range(counter, counter + 6))
        grid = find_grid(data)
        assert grid is not None
        reader = PacketReader(InMemory(data), grid)
        while reader.read(1000):
            pass
        assert len(reader.losses[17]) == 1, counter
