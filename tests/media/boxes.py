"""A second reader of MP4 files, written for the tests: what it finds is compared with FFmpeg's view."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path


def walk(data: bytes) -> list[tuple[str, bytes]]:
    """(type, content) of the boxes that fill ``data``, without a byte left over."""
    found = []
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        assert size >= header
        assert at + size <= len(data)
        found.append((kind.decode("latin-1"), data[at + header : at + size]))
        at += size
    return found


def only(data: bytes, *path: str, skip: int = 0) -> bytes:
    """The content of the one box down ``path``."""
    for kind in path:
        matches = [content for name, content in walk(data[skip:]) if name == kind]
        assert len(matches) == 1, f"{len(matches)} {kind} boxes"
        data, skip = matches[0], 0
    return data


@dataclass(frozen=True)
class TrackBoxes:
    """What the boxes of one track say. Times in ticks."""

    handler: str
    timescale: int
    duration: int
    """``mdhd``"""
    movie_duration: int
    """``tkhd``, in the movie's ticks"""
    edits: list[tuple[int, int]]
    """(duration in the movie's ticks, media time)"""
    entries: list[tuple[str, bytes]]
    """Sample entries."""
    decode_times: list[int]
    last_delta: int
    offsets: list[int]
    """``ctts`` of each sample."""
    sizes: list[int]
    sync: list[int] | None
    """Numbers from 0."""


@dataclass(frozen=True)
class Movie:
    """A whole file."""

    order: list[str]
    """Types of the top-level boxes."""
    timescale: int
    duration: int
    tracks: list[TrackBoxes]

    @property
    def video(self) -> TrackBoxes:
        return next(track for track in self.tracks if track.handler == "vide")

    @property
    def audio(self) -> TrackBoxes | None:
        return next((track for track in self.tracks if track.handler == "soun"), None)


def read_movie(path: Path) -> Movie:
    top = walk(path.read_bytes())
    moov = dict(top)["moov"]
    version, header = _full(only(moov, "mvhd"))
    timescale, duration = struct.unpack_from(">IQ" if version else ">II", header, 16 if version else 8)
    tracks = [_read_track(content) for kind, content in walk(moov) if kind == "trak"]
    return Movie([kind for kind, _ in top], timescale, duration, tracks)


def _full(content: bytes) -> tuple[int, bytes]:
    """(version, what follows version and flags)"""
    return content[0], content[4:]


def _read_track(trak: bytes) -> TrackBoxes:
    version, header = _full(only(trak, "mdia", "mdhd"))
    timescale, duration = struct.unpack_from(">IQ" if version else ">II", header, 16 if version else 8)
    version, header = _full(only(trak, "tkhd"))
    (movie_duration,) = struct.unpack_from(">Q" if version else ">I", header, 24 if version else 16)
    table = only(trak, "mdia", "minf", "stbl")
    kinds = [kind for kind, _ in walk(table)]
    deltas = [delta for count, delta in _pairs(only(table, "stts")) for _ in range(count)]
    decode_times = [sum(deltas[:0])]
    for delta in deltas[:-1]:
        decode_times.append(decode_times[-1] + delta)
    offsets = [0] * len(deltas)
    if "ctts" in kinds:
        offsets = [offset for count, offset in _pairs(only(table, "ctts")) for _ in range(count)]
    sync = None
    if "stss" in kinds:
        _, body = _full(only(table, "stss"))
        sync = [number - 1 for (number,) in struct.iter_unpack(">I", body[4:])]
    _, body = _full(only(table, "stsz"))
    uniform, count = struct.unpack_from(">II", body)
    sizes = [uniform] * count if uniform else [size for (size,) in struct.iter_unpack(">I", body[8:])]
    edits = []
    if any(kind == "edts" for kind, _ in walk(trak)):
        version, body = _full(only(trak, "edts", "elst"))
        for entry in struct.iter_unpack(">QqI" if version else ">IiI", body[4:]):
            assert entry[2] == 0x10000
            edits.append((entry[0], entry[1]))
    return TrackBoxes(
        only(trak, "mdia", "hdlr")[8:12].decode(), timescale, duration, movie_duration, edits,
        walk(_full(only(table, "stsd"))[1][4:]), decode_times, deltas[-1], offsets, sizes, sync,
    )  # fmt: skip


def _pairs(content: bytes) -> list[tuple[int, int]]:
    _, body = _full(content)
    (count,) = struct.unpack_from(">I", body)
    pairs = list(struct.iter_unpack(">II", body[4:]))
    assert len(pairs) == count
    return pairs


def read_avcc(record: bytes) -> tuple[bytes, list[bytes], list[bytes], bytes]:
    """(the six bytes before the sets, SPSs, PPSs, what follows)"""
    at = 6
    sets: list[list[bytes]] = []
    counts = [record[5] & 31]
    for _ in range(2):
        units = []
        for _ in range(counts[-1]):
            (size,) = struct.unpack_from(">H", record, at)
            units.append(record[at + 2 : at + 2 + size])
            assert len(units[-1]) == size
            at += 2 + size
        sets.append(units)
        if len(sets) == 1:
            counts.append(record[at])
            at += 1
    return record[:6], sets[0], sets[1], record[at:]
