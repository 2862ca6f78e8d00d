"""Whether a clip shows what its recordings show, damage and all, as FFmpeg decodes both."""

from __future__ import annotations

import contextlib
import io
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

NEAR_MS = 2
"""Times closer than that are the same: some are told in whole milliseconds."""
ENCODED_DB = 44
"""Of pictures that were encoded anew against those they were made of, at least. Small ones made of HEVC have
44.8 in the worst case."""
MOST_REORDERED = 16
FAR_FROM_ZERO_S = 10
"""Where a recording's clock begins later, it is another's: its time counts from its earliest start."""
_SCALED_DB = 16
"""By how much less a picture may be alike that two scalers made."""
_BESIDE_MEMORY_DB = 6
"""By how much less a part of a picture may be alike beside memory, whose noise its filters reach into."""
_MACROBLOCK = 16
_TREE_BLOCK = 64
"""Pixels to the side, at most (H.265, section 7.4.3.2.1)."""
_TIMES_AS_WRITTEN = {"correct_ts_overflow": "0"}
"""Option of FFmpeg's demuxers: a damaged time must not move all others."""
_AS_WRITTEN = {"advanced_editlist": "0", **_TIMES_AS_WRITTEN}
"""And of the one for MP4."""
BLACK = 40
"""Luma that no pixel of a black picture has."""

UNSEEN = "FFmpeg can't read the recording, so nothing can be compared"

Picture = tuple[Fraction, np.ndarray]
"""(when it is shown, luma)"""


@dataclass(frozen=True)
class Coded:
    """A coded picture, and what FFmpeg makes of it."""

    time: Fraction
    """When it is shown, seconds on the recording's timeline."""
    slices: tuple[bytes, ...]
    """Its NAL units with picture in them."""
    luma: np.ndarray | None
    """None: it does not decode."""
    tainted: bool
    """It is damaged, or leans on one that may be: what a decoder shows in its place depends on what it has
    shown before."""
    other: np.ndarray | None = None
    """Of HEVC, decoded once more: where pixels differ, memory is shown that FFmpeg decodes nothing into."""


def decode_all(path: Path) -> list[Picture]:
    """Every picture from the beginning on, however damaged; times in seconds on the recording's timeline."""
    pictures: list[Picture] = []
    zero = zero_s(path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        with contextlib.suppress(av.FFmpegError):  # what lies behind can't be read
            for packet in container.demux(stream):
                for frame in _decode(packet) or ():
                    if frame.pts is not None:
                        shown_s = frame.pts * Fraction(frame.time_base) - zero
                        pictures.append((shown_s, _luma(frame)))
    return sorted(pictures, key=lambda one: one[0])


def coded_pictures(
    path: Path, options: Mapping[str, str] | None = None, *, patient: bool = True
) -> list[Coded]:
    """Every picture that is to be shown, in the order in which they are, as FFmpeg reads the file.

    ``options``: of its demuxer. ``patient``: an H.264 decoder that otherwise learns how far pictures are
    reordered as it goes, and drops some, expects the worst from the beginning.
    """
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        codec = None if context is None else context.name
    if codec is None:
        return []
    found = _coded_pictures(path, codec, options or {}, patient=patient)
    if codec == "hevc":
        again = _coded_pictures(path, codec, options or {}, patient=patient, hold=True)
        found = [replace(one, other=two.luma) for one, two in zip(found, again, strict=True)]
    return found


def _coded_pictures(
    path: Path, codec: str, options: Mapping[str, str], *, patient: bool, hold: bool = False
) -> list[Coded]:
    """``hold``: the decoder gets new memory for each picture, which is zero."""
    packets: list[tuple[int | None, tuple[bytes, ...], bool]] = []
    lumas: dict[int, np.ndarray] = {}
    damaged: set[int | None] = set()
    held: list[av.VideoFrame] = []
    zero = zero_s(path)
    with av.open(str(path), options=dict(options)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        base = Fraction(stream.time_base)
        if codec == "hevc":  # it does not tell what it finds to be damaged otherwise
            context.options = {"err_detect": "explode"}
        elif patient:
            context.options = {"strict": "1"}
        length_bytes = _length_bytes(context)
        with contextlib.suppress(av.FFmpegError):  # what lies behind can't be read
            for packet in container.demux(stream):
                frames = _decode(packet)
                if packet.size and not packet.is_discard:
                    packets.append((packet.pts, *_slices(bytes(packet), codec, length_bytes)))
                if frames is None:
                    damaged.add(packet.pts)
                for frame in frames or ():
                    if frame.pts is not None:
                        lumas[frame.pts] = _luma(frame)
                        if frame.is_corrupt:
                            damaged.add(frame.pts)
                        if hold:
                            held.append(frame)
    found = []
    tainted = False
    for pts, slices, is_entry in packets:
        tainted = pts in damaged or (tainted and not is_entry)
        if pts is not None:
            found.append(Coded(pts * base - zero, slices, lumas.get(pts), tainted))
    return sorted(found, key=lambda one: one.time)


def _length_bytes(context: av.CodecContext) -> int:
    """Of the length before each unit; 0 in a byte stream."""
    record = bytes(context.extradata or b"")
    if context.name == "h264":
        return (record[4] & 3) + 1 if record[:1] == b"\1" and len(record) > 4 else 0
    return (record[21] & 3) + 1 if len(record) > 22 and any(record[:2]) else 0


def _slices(data: bytes, codec: str, length_bytes: int) -> tuple[tuple[bytes, ...], bool]:
    """(the units with picture in them, whether a decoder may begin anew there)"""
    units, at = [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1")], 0
    if length_bytes:
        units = []
        while at < len(data):
            size = int.from_bytes(data[at : at + length_bytes], "big")
            units.append(data[at + length_bytes : at + length_bytes + size].rstrip(b"\0"))
            at += length_bytes + size
    kinds = [(unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63) if unit else -1 for unit in units]
    pictures, entries = (range(1, 6), {5}) if codec == "h264" else (range(32), {19, 20})
    found = tuple(unit for unit, kind in zip(units, kinds, strict=True) if kind in pictures)
    return found, any(kind in entries for kind in kinds)


def zero_s(path: Path) -> Fraction:
    """The container's time that a recording's own time counts from: its picture and its sound begin then.

    By the times that the file has, none made up; of a transport stream without the packets marked as broken.
    """
    file = io.BytesIO(_unbroken(path.read_bytes()))
    with av.open(file, container_options={"fflags": "nofillin", **_TIMES_AS_WRITTEN}) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        starts: dict[int, Fraction] = {}
        pictures = 0
        with contextlib.suppress(av.FFmpegError):
            for packet in container.demux(*streams):
                if packet.pts is None:
                    continue
                time, index = packet.pts * Fraction(packet.time_base), packet.stream.index
                is_video = packet.stream.type == "video"
                # Of pictures one shown earlier may come later, which no sound does.
                starts[index] = min(time, starts.get(index, time)) if is_video else starts.get(index, time)
                pictures += is_video
                if pictures > MOST_REORDERED and len(starts) == len(streams):
                    break
        earliest = min(starts.values(), default=Fraction(0))
        far = container.format.name == "mpegts" or earliest > FAR_FROM_ZERO_S
    return earliest if far else Fraction(0)


def _unbroken(data: bytes) -> bytes:
    """A transport stream without the packets that say they are broken; any other file as it is."""
    if data[:1] != b"G" or data[188:189] != b"G":
        return data
    kept, at = [], 0
    while at < len(data):
        is_packet = data[at : at + 1] == b"G" and data[at + 188 : at + 189] in {b"G", b""}
        length = 188 if is_packet else 1
        if not (is_packet and data[at + 1] & 0x80):
            kept.append(data[at : at + length])
        at += length
    return b"".join(kept)


def _luma(frame: av.VideoFrame) -> np.ndarray:
    """Of a picture of 8 bits."""
    plane = frame.planes[0]
    return np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)[:, : plane.width]


def _decode(packet: av.Packet) -> list[av.VideoFrame] | None:
    try:
        return packet.decode()
    except av.FFmpegError:
        return None


def likeness_db(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR of the luma; infinite where both are the same."""
    if one.shape != other.shape:
        return 0.0
    if np.array_equal(one, other):  # be it that there are no pixels
        return float("inf")
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 10 * float(np.log10(255**2 / error))


def walls_ms(times_s: Sequence[Fraction], details: Mapping[str, Any]) -> list[Fraction]:
    """The wall time that each picture of a clip, shown at ``times_s``, is a picture of, by its ``details``.

    Where the beginning is missing, the first picture is held from then on, before its time.
    """
    first, *others = details["coverage"]
    filled = first.get("filledWith", "skip")
    first_ms = details["firstFrameTimestampInMs"]
    zero_ms = Fraction(first_ms if filled == "skip" else first["startTimestampInMs"])
    skipped = [part for part in others if part.get("filledWith") == "skip"]
    walls = []
    for time_s in times_s:
        at_ms = time_s * 1000
        walls.append(zero_ms + at_ms + sum(_lasts_ms(part) for part in skipped if _begins(part) <= at_ms))
    if walls and filled in {"hold", "fail"}:
        walls[0] = Fraction(first_ms)
    return walls


def _lasts_ms(part: Mapping[str, Any]) -> int:
    lasts: int = part["endTimestampInMs"] - part["startTimestampInMs"]
    return lasts


def _begins(part: Mapping[str, Any]) -> int:
    """In the clip, ms, at the earliest."""
    at: int = part["clipOffsetInMs"] - NEAR_MS
    return at


def departures(
    clip: Path, recordings: Sequence[tuple[Path, int]], details: Mapping[str, Any], *, whole: bool = False
) -> list[str]:
    """What of ``clip`` is other than in ``recordings``: (file, wall time of its beginning, ms).

    ``whole``: every picture that FFmpeg shows there, within what ``details`` say to be covered, is in the
    clip. Where an edit list leaves the first picture after zero FFmpeg moves it there, against the standard;
    without that correction it has a second say.
    """
    found = _departures(clip, recordings, details, _TIMES_AS_WRITTEN, whole=whole)
    return found and (_departures(clip, recordings, details, _AS_WRITTEN, whole=whole) and found)


def _departures(
    clip: Path,
    recordings: Sequence[tuple[Path, int]],
    details: Mapping[str, Any],
    options: Mapping[str, str],
    *,
    whole: bool,
) -> list[str]:
    theirs: list[tuple[Fraction, Coded]] = []
    named: dict[str, list[Fraction]] = {}
    for path, start_ms in recordings:
        with contextlib.suppress(av.FFmpegError, IndexError, OSError, ValueError):
            found = [(start_ms + one.time * 1000, one) for one in coded_pictures(path, options)]
            named[path.name] = [wall for wall, one in found if one.luma is not None]
            theirs += found
    covered = [part for part in details["coverage"] if "gap" not in part]
    if not all(named.get(part["recording"]) for part in covered):
        return [UNSEEN]
    theirs.sort(key=lambda one: one[0])
    times = [wall for wall, _ in theirs]
    ours = coded_pictures(clip, patient=False)
    walls = walls_ms([one.time for one in ours], details)
    blacks = [part for part in details["coverage"] if part.get("filledWith") == "black"]
    faults = []
    for picture, wall in zip(ours, walls, strict=True):
        if any(0 <= picture.time * 1000 - _begins(part) <= 2 * NEAR_MS for part in blacks) and _is_black(
            picture
        ):
            continue
        near = theirs[bisect_left(times, wall - NEAR_MS) : bisect_right(times, wall + NEAR_MS)]
        alike_db = max((_alike_db(picture, other) for _, other in near), default=None)
        if alike_db is None:
            faults.append(f"a picture at {_seconds(wall, recordings)}, where the recording has none")
        elif alike_db < ENCODED_DB:
            faults.append(f"another picture at {_seconds(wall, recordings)}, {alike_db:.1f} dB")
    if whole:
        faults += [
            f"the picture at {_seconds(wall, recordings)} is missing"
            for part in covered
            for wall in named[part["recording"]]
            if part["startTimestampInMs"] + NEAR_MS <= wall < part["endTimestampInMs"] - NEAR_MS
            and not any(abs(shown - wall) <= NEAR_MS for shown in walls)
        ]
    return faults


def _is_black(picture: Coded) -> bool:
    return picture.luma is not None and int(picture.luma.max()) < BLACK


def _alike_db(ours: Coded, theirs: Coded) -> float:
    """Infinite as well where both are the same coded picture, and what is shown of it is a matter of luck."""
    undefined = theirs.luma is None or theirs.tainted
    if theirs.other is not None and theirs.luma is not None and not np.array_equal(theirs.other, theirs.luma):
        undefined = True
    if undefined and ours.slices == theirs.slices:
        return float("inf")
    if ours.luma is None or theirs.luma is None:
        return 0.0
    if ours.luma.shape != theirs.luma.shape:
        return _fitted_db(ours.luma, theirs.luma)
    if theirs.other is None:
        return likeness_db(ours.luma, theirs.luma)
    defined = _same_blocks(theirs.luma, theirs.other)
    alike_db = likeness_db(ours.luma[defined], theirs.luma[defined])
    return alike_db if defined.all() else alike_db + _BESIDE_MEMORY_DB


def _fitted_db(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Of a picture that was made to fit another shape: scaled, by another scaler than ours, and framed."""
    (height, width), (rows, columns) = ours.shape, theirs.shape
    if max(abs(height - rows), abs(width - columns)) < _MACROBLOCK:  # FFmpeg crops as the sample entry says
        common = np.s_[: min(height, rows), : min(width, columns)]
        return likeness_db(ours[common], theirs[common])
    wide = min(round(height * columns / rows) & ~1, width)
    high = min(round(width * rows / columns) & ~1, height)
    left, top = (width - wide) // 2, (height - high) // 2
    content = ours[top : top + high, left : left + wide]
    if content.shape == theirs.shape:
        return likeness_db(content, theirs)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(theirs), "gray")
    scaled = frame.reformat(wide, high, interpolation="BICUBIC").to_ndarray()
    return likeness_db(content, scaled) + _SCALED_DB


def _same_blocks(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which pixels lie in coding tree blocks that are the same in both."""
    rows, columns = (-(-size // _TREE_BLOCK) for size in one.shape)
    differ = np.zeros((rows * _TREE_BLOCK, columns * _TREE_BLOCK), bool)
    differ[: one.shape[0], : one.shape[1]] = one != other
    same = ~differ.reshape(rows, _TREE_BLOCK, columns, _TREE_BLOCK).any(axis=(1, 3))
    whole: np.ndarray = same.repeat(_TREE_BLOCK, 0).repeat(_TREE_BLOCK, 1)
    return whole[: one.shape[0], : one.shape[1]]


def _seconds(wall_ms: Fraction, recordings: Sequence[tuple[Path, int]]) -> str:
    return f"{float(wall_ms - recordings[0][1]) / 1000:.3f} s"
