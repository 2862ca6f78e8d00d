"""A tiny clip, made once in the template: what is loaded or worked out on first use is there then."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av

from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, ThumbnailOptions, prepare
from clipline.media.ranges import LocalSource

_RATE = 25
_SECONDS = 4


def warm_up() -> None:
    """Cut a clip whose head is encoded, out of black pictures. Without a place to write nothing happens."""
    with suppress(OSError), tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        recording = directory / "recording.mp4"
        _record(recording)
        cut = prepare([Candidate(LocalSource(recording), 0)], Interval(500, 3500), directory)
        cut.render(directory / "clip.mp4", ThumbnailOptions((32, 64)))


def _record(path: Path) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=_RATE, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 128, 64, "yuv420p"
        video.codec_context.gop_size = _RATE
        for number in range(_RATE * _SECONDS):
            picture = av.VideoFrame(128, 64, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, _RATE)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
