"""GStreamer's decoders, run from its command line."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from players.pictures import number_in

DECODERS = {
    "openh264dec": "OpenH264, which shares no code with FFmpeg",
    "avdec_h264": "the FFmpeg of the distribution",
}
_LONGEST_S = 60
_PTS = re.compile(r"last-message = chain .*? pts: (\d+):(\d+):(\d+)\.(\d{9})")


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture that a decoder gave."""

    time_s: Fraction
    """Of its stream; an edit list may begin later than at 0."""
    i420: bytes
    """The three planes without padding."""


def find(decoder: str) -> bool:
    """Whether GStreamer is there, and ``decoder`` among its elements."""
    inspect = shutil.which("gst-inspect-1.0")
    wanted = (decoder, "qtdemux", "h264parse")
    return inspect is not None and all(
        subprocess.run([inspect, "--exists", name]).returncode == 0 for name in wanted
    )


def decode(path: Path, decoder: str, width: int, height: int) -> list[Decoded]:
    """All pictures of an MP4 (or, named ``.264``, of a bare H.264 stream), in the order of the decoder."""
    raw = path.with_suffix(f".{decoder}.i420")
    demuxer = [] if path.suffix == ".264" else ["!", "qtdemux"]
    command = [
        "gst-launch-1.0", "--verbose", "filesrc", f"location={path}", *demuxer, "!", "h264parse",
        "!", decoder, "!", "video/x-raw,format=I420", "!", "identity", "silent=false",
        "!", "filesink", f"location={raw}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S)
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr, done.stderr
    data = raw.read_bytes()
    raw.unlink()
    # Rows of planes are padded to four bytes, as GstVideoInfo says.
    sizes = [(width, height), (width // 2, height // 2), (width // 2, height // 2)]
    assert all(across % 4 == 0 for across, _ in sizes)
    size = sum(across * down for across, down in sizes)
    pictures = [data[at : at + size] for at in range(0, len(data), size)]
    times = [
        int(hours) * 3600 + int(minutes) * 60 + int(seconds) + Fraction(int(nano), 10**9)
        for hours, minutes, seconds, nano in _PTS.findall(done.stdout)
    ]
    if path.suffix == ".264":
        times = [Fraction(0)] * len(pictures)
    return [Decoded(time_s, picture) for time_s, picture in zip(times, pictures, strict=True)]


def i420(frame: av.VideoFrame) -> bytes:
    """The planes of a picture that FFmpeg decoded, without padding."""
    return b"".join(
        bytes(plane)[row * plane.line_size : row * plane.line_size + plane.width]
        for plane in frame.planes
        for row in range(plane.height)
    )


def number(picture: Decoded, width: int, height: int) -> int | None:
    """The frame number; None where the picture is black."""
    row = height - max(height // 36, 2) // 2
    return number_in(picture.i420[row * width : (row + 1) * width])
