"""Whether a clip shows what its recording shows, damage and all, as FFmpeg decodes both."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from clipline.media.plan import Plan

_NEAR_S = Fraction(2, 1000)
ENCODED_DB = 44
"""Of pictures that were encoded anew against those they were made of, at least. Small ones made of HEVC have
44.8 in the worst case."""

UNSEEN = "FFmpeg can't read the recording, so nothing can be compared"

Picture = tuple[Fraction, np.ndarray]
"""(when it is shown, luma)"""


def decode_all(path: Path) -> list[Picture]:
    """Every picture from the beginning on, however damaged; times from the container's earliest start."""
    pictures: list[Picture] = []
    with av.open(str(path)) as container:
        zero_s = Fraction(0)
        if container.format.name == "mpegts":
            zero_s = min(one.start_time * Fraction(one.time_base) for one in container.streams)
        stream = container.streams.video[0]
        with contextlib.suppress(av.FFmpegError):  # what lies behind can't be read
            for packet in container.demux(stream):
                for frame in _decode(packet):
                    if frame.pts is not None:
                        shown_s = frame.pts * Fraction(frame.time_base) - zero_s
                        pictures.append((shown_s, _luma(frame)))
    return sorted(pictures, key=lambda one: one[0])


def _luma(frame: av.VideoFrame) -> np.ndarray:
    """Of a picture of 8 bits."""
    plane = frame.planes[0]
    return np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)[:, : plane.width]


def _decode(packet: av.Packet) -> list[av.VideoFrame]:
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def likeness_db(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR of the luma; infinite where both are the same."""
    if one.shape != other.shape:
        return 0.0
    if np.array_equal(one, other):
        return float("inf")
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 10 * float(np.log10(255**2 / error))


def departures(clip: Path, recording: Path, planned: Plan, start_ms: int) -> list[str]:
    """What of ``clip``, which is of ``recording`` alone, is other than there. ``start_ms``: of the recording.

    Where the beginning is missing, the first picture is held from then on, before its time.
    """
    covered = planned.parts[0]
    held = covered.recording is None
    begins_s = ((covered.span.start_ms if held else planned.first_frame_ms) - start_ms) / Fraction(1000)
    theirs = decode_all(recording)
    if not theirs:
        return [UNSEEN]
    times = [shown_s for shown_s, _ in theirs]
    found = []
    for shown_s, picture in decode_all(clip)[held:]:
        at_s = shown_s + begins_s
        place = bisect_left(times, at_s - _NEAR_S)
        if place == len(times) or times[place] > at_s + _NEAR_S:
            found.append(f"a picture at {float(at_s):.3f} s, where the recording has none")
        elif (db := likeness_db(picture, theirs[place][1])) < ENCODED_DB:
            found.append(f"another picture at {float(at_s):.3f} s, {db:.1f} dB")
    return found
