"""Coalescing ranges, and fetching them: properties that hold for any ranges."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipline.contract.errors import UnreadableRecording
from clipline.media.ranges import ByteRange, Fetch, LocalSource, coalesce, runs

SIZE = 5_000
DATA = bytes(number * 7 % 251 for number in range(SIZE))

ranges = st.lists(
    st.tuples(st.integers(0, SIZE - 1), st.integers(1, 400)).map(
        lambda pair: ByteRange(pair[0], min(pair[0] + pair[1], SIZE))
    ),
    max_size=12,
)


class MemorySource:
    """Bytes elsewhere."""

    local_path: Path | None = None
    name = "memory.mp4"
    size_bytes = SIZE

    def __init__(self) -> None:
        self.reads: list[ByteRange] = []

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append(ByteRange(offset, offset + length))
        return DATA[offset : offset + length]


def _bytes_of(parts: Sequence[ByteRange]) -> set[int]:
    return {number for part in parts for number in range(part.start, part.stop)}


@given(ranges, st.integers(0, 300))
def test_coalesced_ranges_hold_all_in_order_and_apart(parts: list[ByteRange], within: int) -> None:
    merged = coalesce(parts, within)
    assert _bytes_of(parts) <= _bytes_of(merged)
    for earlier, later in itertools.pairwise(merged):
        assert earlier.stop + within < later.start
    starts, stops = {part.start for part in parts}, {part.stop for part in parts}
    for part in merged:
        assert part.start in starts
        assert part.stop in stops


@given(ranges)
def test_nothing_is_read_between_when_nothing_may_be(parts: list[ByteRange]) -> None:
    assert _bytes_of(coalesce(parts, 0)) == _bytes_of(parts)


@given(ranges)
def test_a_fetch_reads_each_byte_once_and_gives_what_was_there(parts: list[ByteRange]) -> None:
    source = MemorySource()
    with tempfile.TemporaryDirectory() as name, Fetch(source, parts, Path(name)) as fetch:
        for part in parts:
            length = part.stop - part.start
            assert fetch.holds(part.start, length)
            assert fetch.read(part.start, length) == DATA[part.start : part.stop]
        for part in parts:
            with (Path(name) / "copy").open("wb") as copy:
                fetch.copy_to(copy.fileno(), part.start, part.stop - part.start)
            assert (Path(name) / "copy").read_bytes() == DATA[part.start : part.stop]
        assert fetch.bytes_read == sum(read.stop - read.start for read in source.reads)
        assert len(_bytes_of(source.reads)) == fetch.bytes_read


@given(ranges, ranges)
def test_more_is_read_without_reading_anything_twice(parts: list[ByteRange], more: list[ByteRange]) -> None:
    source = MemorySource()
    with tempfile.TemporaryDirectory() as name, Fetch(source, parts, Path(name)) as fetch:
        fetch.want(more)
        for part in [*parts, *more]:
            assert fetch.read(part.start, part.stop - part.start) == DATA[part.start : part.stop]
        assert fetch.bytes_read == sum(read.stop - read.start for read in source.reads)
        assert len(_bytes_of(source.reads)) == fetch.bytes_read


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), max_size=20))
def test_runs_join_neighbours_and_keep_the_order(pieces: list[tuple[int, int]]) -> None:
    joined = runs(pieces)
    flat = [number for offset, length in pieces for number in range(offset, offset + length)]
    assert [number for offset, length in joined for number in range(offset, offset + length)] == flat
    assert all(a + n != b for (a, n), (b, _) in itertools.pairwise(joined))


def test_a_range_beyond_the_source_names_it(tmp_path: Path) -> None:
    with pytest.raises(UnreadableRecording, match=r"memory\.mp4 is cut off"):
        Fetch(MemorySource(), [ByteRange(0, SIZE + 1)], tmp_path)


def test_a_file_that_shrinks_meanwhile_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "shrinking.mp4"
    path.write_bytes(DATA)
    source = LocalSource(path)
    os.truncate(path, 100)
    with pytest.raises(UnreadableRecording, match=r"shrinking\.mp4"):
        source.read(50, 100)
    with Fetch(source, [ByteRange(0, SIZE)], tmp_path) as fetch:
        with pytest.raises(UnreadableRecording, match=r"shrinking\.mp4"):
            fetch.read(50, 100)
        with (tmp_path / "copy").open("wb") as copy, pytest.raises(UnreadableRecording, match="cut off"):
            fetch.copy_to(copy.fileno(), 50, 100)
