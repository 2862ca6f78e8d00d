"""Recordings in MPEG-TS and Matroska become what the engine cuts: samples in a file, and their index.

    source, index = take_in(source, "mpegts", directory, Window(from_s, to_s))

Time zero of a recording is the earliest start of its picture and its sound in MPEG-TS, and zero in
Matroska, unless that start is over 10 s (live recordings count from elsewhere): then it is that.

A transport stream is read once from front to end, since only so is it sure that its clock never jumps;
of Matroska only the window's clusters, the head and the tail, where the file has cues.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.gather import Spool
from clipline.media.index import RecordingIndex, Window
from clipline.media.matroska import take_in_matroska
from clipline.media.ranges import ByteSource, LocalSource
from clipline.media.taking import Intake, Unit, demux
from clipline.media.transport import PacketReader, find_grid
from clipline.media.untrusted import open_untrusted

SNIFF_BYTES = 8 * 1024
"""How much of a file's beginning ``sniff`` wants to see."""

_WRAP = 1 << 33
"""Ticks after which a transport stream's timestamps begin anew, 26.5 hours (ISO/IEC 13818-1, 2.4.3.7)."""
_MOST_APART = _WRAP // 8
"""Of times that follow each other; one further off is damaged, and says nothing of those behind it."""


def sniff(head: bytes) -> str | None:
    """``mp4``, ``mpegts`` or ``matroska``, by the first bytes of a file; None where it is none of them."""
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"styp"}:
        return "mp4"
    return "mpegts" if find_grid(head) else None


def take_in(
    source: ByteSource, container: str, directory: Path, window: Window | None
) -> tuple[ByteSource, RecordingIndex]:
    """(the samples of a recording in a new file of ``directory``, their index).

    Samples that no frame of ``window`` needs may be left out. Raises UnreadableRecording and
    UnsupportedMedia as ``read_index`` does.
    """
    spool = Spool(directory)
    try:
        if container == "mpegts":
            index = _take_in_transport(source, spool, window)
        elif container == "matroska":
            index = take_in_matroska(source, spool, window)
        else:
            raise ValueError(f"there is no container {container!r}")
        spool.close()
        return LocalSource(spool.path, source.name), index
    except (UnreadableRecording, UnsupportedMedia) as error:
        spool.close(remove=True)
        raise type(error)(f"{source.name}: {error}") from None
    except BaseException:
        spool.close(remove=True)
        raise


def _take_in_transport(source: ByteSource, spool: Spool, window: Window | None) -> RecordingIndex:
    grid = find_grid(source.read(0, min(SNIFF_BYTES, source.size_bytes)))
    if grid is None:
        raise UnreadableRecording("it is no MPEG transport stream")
    reader = PacketReader(source, grid)
    with open_untrusted(reader, "mpegts") as container:
        intake = Intake(container, spool, window)
        for unit in intake.begin(_transport_units(intake, reader), far_only=False):
            intake.add(unit)
        whole = intake.pictures.complete or reader.is_whole(intake.video.id)
        return intake.finish(reader.bytes_read, last_is_whole=whole)


def _transport_units(intake: Intake, reader: PacketReader) -> Iterator[Unit]:
    """The packets of a transport stream, times unwrapped; damaged are those that a loss lies in.

    What a packet reaches over is known when the next one of its stream comes.
    """
    near: int | None = None
    held: dict[int, list[Unit]] = {}
    places: dict[int, int] = {}
    losses_seen: dict[int, int] = {}

    def let_go(stream: Any, stop: int | None) -> Iterator[Unit]:
        losses = reader.losses.get(stream.id, [])
        seen = losses_seen.get(stream.id, 0)
        damaged = False
        while seen < len(losses) and (stop is None or losses[seen].before < stop):
            damaged = damaged or losses[seen].before >= places.get(stream.index, 0)
            seen += 1
        losses_seen[stream.id] = seen
        for unit in held.pop(stream.index, ()):
            yield unit._replace(damaged=damaged)

    streams = [intake.video] if intake.audio is None else [intake.video, intake.audio]
    for packet in demux(intake.container, streams):
        stream, pts, decode_time = packet.stream, packet.pts, None
        if pts is not None:
            ahead = None if packet.dts is None else (pts - packet.dts) % _WRAP
            if near is not None:
                pts += round(Fraction(near - pts, _WRAP)) * _WRAP
            if near is None or abs(pts - near) < _MOST_APART:
                near = pts
            # A picture that is decoded after it is shown has a decode time that makes no sense.
            decode_time = None if ahead is None or ahead > _WRAP // 2 else pts - ahead
        if packet.pos is not None and packet.pos >= 0 and packet.pos != places.get(stream.index):
            yield from let_go(stream, packet.pos)
            places[stream.index] = packet.pos
        unit = Unit(stream is intake.video, pts, 0, bytes(packet), packet.is_keyframe, False, decode_time)
        held.setdefault(stream.index, []).append(unit)
    for stream in streams:
        yield from let_go(stream, None)
