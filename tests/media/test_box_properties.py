"""Any bytes and any numbers in boxes: a value with its invariants, or a typed error."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import accumulate, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from media.memory import InMemory

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.audio_groups import constant_size
from clipline.media.boxes import Box, box, full_box, pack_table, parse_boxes, parse_header
from clipline.media.edits import Part, place, read_parts
from clipline.media.fragment_map import find_spans
from clipline.media.fragments import Defaults, join, parse_fragment, read_defaults
from clipline.media.movie import Movie
from clipline.media.sample_table import Samples, parse_samples
from clipline.media.skim import Skimmer
from clipline.media.sound import audio_format

SIZE_BYTES = 100_000
"""Of the file that tables are said to lie in."""

u32 = st.one_of(
    st.integers(0, 40), st.sampled_from([255, 1 << 16, 1 << 31, (1 << 32) - 1]), st.integers(0, (1 << 32) - 1)
)
small = st.integers(0, 12)
KINDS = ("stts", "ctts", "stss", "stsc", "stsz", "stz2", "stco", "co64")


# Boxes


@given(
    st.lists(
        st.tuples(st.text(st.characters(max_codepoint=255), min_size=4, max_size=4), st.binary(max_size=40)),
        max_size=6,
    )
)
def test_boxes_that_are_written_are_read(boxes: list[tuple[str, bytes]]) -> None:
    data = b"".join(box(kind, body) for kind, body in boxes)
    found = list(parse_boxes(memoryview(data)))
    assert [(one.kind, bytes(one.body)) for one in found] == boxes
    assert sum(one.size_bytes for one in found) == len(data)


@given(st.binary(max_size=80))
def test_any_bytes_as_boxes(data: bytes) -> None:
    """What is read lies one after the other within the bytes."""
    at = 0
    with suppress(UnreadableRecording):
        for one in parse_boxes(memoryview(data)):
            assert one.size_bytes >= 8
            at += one.size_bytes
            assert at <= len(data)
    with suppress(UnreadableRecording):
        _, header_bytes, _ = parse_header(data)
        assert header_bytes in (8, 16)


@given(st.sampled_from("BHIQ"), st.lists(st.integers(0, 255), max_size=20), u32)
def test_tables_hold_what_they_promise_or_are_refused(code: str, numbers: list[int], count: int) -> None:
    body = pack_table(code, numbers)
    assert list(Box("stco", memoryview(body)).table(code, 0, len(numbers))) == numbers
    try:
        assert len(Box("stco", memoryview(body)).table(code, 0, count)) == count <= len(numbers)
    except UnreadableRecording:
        assert count > len(numbers)


# Sample tables


@st.composite
def sample_tables(draw: st.DrawFn) -> Box:
    """``stbl`` that makes sense but for a number or two, or none."""
    count = draw(small)
    wrong = draw(st.dictionaries(st.sampled_from(KINDS), st.tuples(st.integers(0, 9), u32), max_size=2))
    runs = draw(st.lists(st.integers(1, 5), max_size=4))
    per_chunk = draw(st.integers(1, 4))
    chunks = -(-count // per_chunk)
    if chunks * per_chunk != count:
        count = chunks * per_chunk
    uniform = draw(st.sampled_from([0, 0, 7]))
    tables: dict[str, list[int]] = {
        "stts": [len(runs) + 1, *(value for run in runs for value in (run, 40)), count, 20],
        "stsz": [
            uniform,
            count,
            *([] if uniform else draw(st.lists(st.integers(0, 200), min_size=count, max_size=count))),
        ],
        "stsc": [1, 1, per_chunk, 1],
        "stco": [
            chunks,
            *draw(st.lists(st.integers(0, SIZE_BYTES - 3000), min_size=chunks, max_size=chunks)),
        ],
    }
    if draw(st.booleans()):
        tables["ctts"] = [1, count, draw(u32)]
    if draw(st.booleans()):
        tables["stss"] = [1, 1]
    for kind, (at, value) in wrong.items():
        if kind in tables and at < len(tables[kind]):
            tables[kind][at] = value
    boxes = [
        full_box(kind, 0, 0, struct.pack(f">{len(numbers)}I", *numbers)) for kind, numbers in tables.items()
    ]
    left_out = draw(st.sampled_from([None, *range(len(boxes))]))
    return Box("stbl", memoryview(b"".join(one for n, one in enumerate(boxes) if n != left_out)))


def check_samples(samples: Samples, size_bytes: int) -> None:
    count = len(samples)
    assert count <= max(size_bytes, 10_000_000)
    assert len(samples.durations) == len(samples.decode_times) == len(samples.pts) == count
    assert samples.chunk_first[0] == 0
    assert samples.chunk_first[-1] == count
    assert all(a <= b for a, b in pairwise(samples.chunk_first))
    assert len(samples.chunk_offsets) == len(samples.chunk_first) - 1
    for (first, stop), offset in zip(pairwise(samples.chunk_first), samples.chunk_offsets, strict=True):
        assert offset + sum(samples.sizes[first:stop]) <= size_bytes
    if samples.sync is not None:
        assert all(0 <= number < count for number in samples.sync)
        assert list(samples.sync) == sorted(set(samples.sync))


@settings(max_examples=300)
@given(sample_tables())
def test_any_sample_table_fits_the_file_or_is_refused(table: Box) -> None:
    with suppress(UnreadableRecording):
        check_samples(parse_samples(table, SIZE_BYTES), SIZE_BYTES)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=60)), max_size=7), st.integers(0, 6))
def test_any_bytes_as_sample_tables(boxes: list[tuple[str, bytes]], frame_bytes: int) -> None:
    table = Box("stbl", memoryview(b"".join(box(kind, body) for kind, body in boxes)))
    with suppress(UnreadableRecording):
        check_samples(parse_samples(table, SIZE_BYTES, frame_bytes), SIZE_BYTES)


# Edit lists


edits = st.lists(
    st.tuples(u32, st.integers(-2, 3000), st.sampled_from([0x10000, 0x10000, 0, -1])), max_size=5
)


@given(edits, st.integers(1, 90_000), st.integers(1, 90_000), st.booleans(), u32)
def test_any_edit_list_has_parts_in_order_or_is_refused(
    entries: list[tuple[int, int, int]], movie_timescale: int, timescale: int, fragmented: bool, count: int
) -> None:
    body = b"".join(struct.pack(">Iii", *entry) for entry in entries)
    for claimed in (len(entries), count):
        trak = Box("trak", memoryview(box("edts", full_box("elst", 0, 0, struct.pack(">I", claimed), body))))
        with suppress(UnreadableRecording, UnsupportedMedia):
            parts = read_parts(trak, movie_timescale, timescale, fragmented=fragmented)
            assert parts
            assert all(part.media_stop is not None for part in parts[:-1])
            assert all(a.media_begin <= b.media_begin + a.slack for a, b in pairwise(parts))


def test_an_edit_list_that_other_readers_find_elsewhere_is_refused() -> None:
    empty = full_box("elst", 0, 0, struct.pack(">IIii", 0, 40, 0, 0x10000))
    trak = Box("trak", memoryview(box("edts", empty)))
    with pytest.raises(UnreadableRecording, match="claims no edits, and holds some"):
        read_parts(trak, 1000, 1000, fragmented=False)
    list_of_one = full_box("elst", 0, 0, struct.pack(">IIii", 1, 40, 0, 0x10000))
    handler = box("hdlr", bytes(8) + b"vide")
    described = full_box("stsd", 0, 0, struct.pack(">I", 1), box("avc1", bytes(78)))

    def trak_of(in_trak: bytes, in_media: bytes = b"", in_table: bytes = b"") -> bytes:
        table = box("minf", box("stbl", described + in_table))
        return box("trak", in_trak, box("mdia", handler, table, in_media))

    for misplaced in (
        trak_of(box("edts", box("free", list_of_one))),
        trak_of(list_of_one),
        trak_of(b"", box("edts", list_of_one)),
        trak_of(b"", b"", list_of_one),
    ):
        movie = Movie(Box("moov", memoryview(misplaced)), SIZE_BYTES)
        with pytest.raises(UnreadableRecording, match=r"edts|elst"):
            movie.video()


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(-30, 60)), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 60)), min_size=1, max_size=4),
)
def test_samples_are_placed_once_or_refused(
    timing: list[tuple[int, int]], waits: list[tuple[int, int, int]]
) -> None:
    """(duration, composition offset) of samples; (pause, media left out, media shown) of parts."""
    durations = [duration for duration, _ in timing]
    decode_times = list(accumulate(durations[:-1], initial=0))
    pts = [time + offset for time, (_, offset) in zip(decode_times, timing, strict=True)]
    count = len(timing)
    samples = Samples(
        [1] * count, durations, decode_times, pts, None, range(count + 1), range(count), frozenset({1})
    )
    parts, at, media = [], 0, 0
    for pause, left_out, shown in waits:
        at, media = at + pause, media + left_out
        parts.append(Part(at, media, media + shown))
        at, media = at + shown, media + shown
    with suppress(UnsupportedMedia, UnreadableRecording):
        placed = place(samples, parts)
        assert len(placed.pts) == len(placed.decode_times) == count
        assert all(0 <= number < count for number in placed.hidden)
        shown_at = [
            time for number, time in enumerate(placed.pts)
            if 0 <= time < placed.end_pts and number not in placed.hidden
        ]  # fmt: skip
        begin, stop = parts[0].begin * placed.ticks, (parts[-1].begin + waits[-1][2]) * placed.ticks
        assert all(begin <= time < stop for time in shown_at)


# Fragments


@st.composite
def track_runs(draw: st.DrawFn) -> bytes:
    flags = draw(st.integers(0, 0xFFF))
    count = draw(st.one_of(small, u32))
    fields = draw(st.lists(u32, max_size=50))
    return full_box(
        "trun", draw(st.sampled_from([0, 1])), flags, struct.pack(f">{1 + len(fields)}I", count, *fields)
    )


@st.composite
def track_fragments(draw: st.DrawFn) -> bytes:
    header = full_box(
        "tfhd",
        0,
        draw(st.integers(0, 0x2003F)),
        struct.pack(">9I", draw(st.sampled_from([1, 1, 2, 3])), *draw(st.lists(u32, min_size=8, max_size=8))),
    )
    time = full_box("tfdt", draw(st.sampled_from([0, 1])), 0, struct.pack(">II", draw(small), draw(u32)))
    runs = draw(st.lists(track_runs(), max_size=3))
    parts = [
        header,
        *draw(st.sampled_from([[time], []])),
        *runs,
        *draw(st.sampled_from([[], [], [box("senc", b"")]])),
    ]
    return box("traf", *parts)


defaults = st.builds(Defaults, small, small, st.integers(0, 300), u32)


@settings(max_examples=300)
@given(st.lists(track_fragments() | st.binary(max_size=30), max_size=3), defaults, st.integers(0, SIZE_BYTES))
def test_any_fragment_lies_in_the_file_or_is_refused(
    trafs: list[bytes], default: Defaults, offset: int
) -> None:
    moof = Box("moof", memoryview(b"".join(trafs)))
    with suppress(UnreadableRecording, UnsupportedMedia):
        fragment = parse_fragment(moof, offset, {1: default, 2: default}, SIZE_BYTES)
        assert fragment.runs.keys() | fragment.trouble.keys() <= {1, 2}
        for track in fragment.runs:
            for run in fragment.runs[track]:
                assert len(run.sizes) == len(run.durations) > 0
                assert run.offset >= 0
                assert all(0 <= number < len(run.sizes) for number in run.sync)
            with suppress(UnreadableRecording, UnsupportedMedia):
                samples = join(None, [fragment], track, SIZE_BYTES)
                check_samples(samples, SIZE_BYTES)
                assert all(a < b for a, b in pairwise(samples.decode_times)) or 0 in samples.durations


@given(st.lists(st.binary(max_size=40).map(lambda body: box("trex", body)), max_size=3))
def test_any_bytes_as_defaults(boxes: list[bytes]) -> None:
    with suppress(UnreadableRecording):
        read_defaults(Box("moov", memoryview(box("mvex", *boxes))))


@st.composite
def segment_indexes(draw: st.DrawFn) -> bytes:
    """Those of a file that is filled with ``free`` boxes behind them, right or wrong."""
    entries = draw(st.lists(st.tuples(st.sampled_from([100, 200, 0, 1 << 31 | 100]), small, u32), max_size=5))
    count = draw(st.sampled_from([len(entries), 0, 65535]))
    body = struct.pack(
        ">IIIIHH", draw(small), draw(small), draw(small), draw(st.sampled_from([0, 0, 8])), 0, count
    )
    return full_box(
        "sidx", draw(st.sampled_from([0, 0, 1])), 0, body, *(struct.pack(">III", *entry) for entry in entries)
    )


@given(
    st.lists(segment_indexes() | st.binary(max_size=30), max_size=3), st.binary(max_size=60), st.booleans()
)
def test_spans_fill_the_file_whatever_it_says(indexes: list[bytes], tail: bytes, at_end: bool) -> None:
    data = b"".join(indexes) + box("free", bytes(92)) * 4
    if at_end:
        mfra = box("tfra", tail)
        data += box("mfra", mfra, full_box("mfro", 0, 0, struct.pack(">I", 8 + len(mfra) + 16)))
    source = InMemory(data)
    spans = find_spans(source, Skimmer(source), 0, {1: 1000, 2: 48_000})
    assert spans[0].start == 0
    assert spans[-1].stop == len(data)
    assert all(a.stop == b.start for a, b in pairwise(spans))
    assert all(span.start < span.stop for span in spans) or not data


# The whole index


@given(st.binary(max_size=300))
def test_any_bytes_as_a_movie(data: bytes) -> None:
    with suppress(UnreadableRecording, UnsupportedMedia):
        movie = Movie(Box("moov", memoryview(data)), SIZE_BYTES)
        _ = movie.fragmented
        movie.audio()
        movie.video()


@given(
    st.sampled_from(["mp4a", "Opus", "ac-3", "alaw", "sowt", "lpcm", "in24", "fLaC", ".mp3", "enca", "????"]),
    st.sampled_from([0, 1, 2, 3]),
    st.binary(max_size=120),
    st.sampled_from(["isom", "qt  "]),
)
@example(
    "lpcm",
    2,
    bytes(6) + struct.pack(">HHhHI", 1, 16, 0, 0, 0) + struct.pack(">IdIIII", 72, float("inf"), 1, 0, 16, 0),
    "qt  ",
)
def test_any_bytes_as_an_audio_sample_entry(kind: str, version: int, rest: bytes, brand: str) -> None:
    """It is never an error: what is broken has no codec, and is left out of the clip."""
    entry = Box(kind, memoryview(bytes(6) + struct.pack(">HH", 1, version) + rest))
    found = audio_format(entry)
    assert found.rate >= 0
    assert 0 <= found.channels <= 8
    assert found.frame_bytes >= 0
    table = Box("stbl", memoryview(full_box("stsz", 0, 0, struct.pack(">II", 1, 5))))
    assert constant_size(table, entry) in (0, found.frame_bytes)
