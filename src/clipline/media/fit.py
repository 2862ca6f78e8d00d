"""Pictures of one camera setting made to fit a clip of another: turned, scaled, framed in black."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.reformatter import VideoReformatter

from clipline.media.parameter_sets import SequenceParameters

_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}
"""Names that FFmpeg's scaler has for matrix_coefficients (ITU-T H.264, table E-5)."""

_RANGES = {False: (1, "limited"), True: (2, "full")}
"""AVColorRange, and the name that FFmpeg's scale filter has for it, by whether it is full."""

_TURNS = {0: "", 90: "transpose=clock", 180: "hflip,vflip", 270: "transpose=cclock"}

_MOST_DISTORTION_PX = 2
"""A shape that is off by no more fills the picture: sizes are rounded to whole blocks by many cameras."""


@dataclass(frozen=True)
class Canvas:
    """What pictures of a clip are like."""

    width: int
    """Pixels, even."""
    height: int
    pixel_format: str
    """FFmpeg's name."""
    sample_aspect: Fraction
    """Width of a pixel over its height."""
    rotation: int
    """By how many degrees, clockwise, players turn them."""
    matrix: int
    """matrix_coefficients; 2 where it is not said."""
    full_range: bool
    """Whether luma goes from 0 to the highest value, not from 16/255 to 235/255 of it."""


def canvas_of(sequence: SequenceParameters, pixel_format: str, rotation: int) -> Canvas:
    return Canvas(
        sequence.width, sequence.height, pixel_format, sequence.sample_aspect or Fraction(1), rotation,
        sequence.colour.matrix, sequence.colour.full_range,
    )  # fmt: skip


class Fitter:
    """Makes pictures that were taken for ``source`` fit ``target``; what fits already passes untouched."""

    def __init__(self, source: Canvas, target: Canvas) -> None:
        self._target = target
        self._source = source
        self._reformatter = VideoReformatter()  # a frame's own is not safe to use from several threads
        self._graphs: dict[tuple[int, int, str], _Filter] = {}

    def fit(self, frame: av.VideoFrame) -> av.VideoFrame:
        source, target = self._source, self._target
        turn = (source.rotation - target.rotation) % 360
        filters = [_TURNS[turn]] if turn else []
        size = (frame.width, frame.height)
        width, height = content_size(size, source.sample_aspect, target, turned=turn % 180 != 0)
        convert = ""
        if source.matrix != target.matrix and {source.matrix, target.matrix} <= set(_MATRICES):
            convert = (
                f":in_color_matrix={_MATRICES[source.matrix]}:out_color_matrix={_MATRICES[target.matrix]}"
            )
        framed = (width, height) != (target.width, target.height)
        if not filters and not convert and not framed:
            form = (frame.width, frame.height, frame.format.name, source.full_range)
            if form == (target.width, target.height, target.pixel_format, target.full_range):
                return frame
            # Unless it is told the ranges, it takes the source's for the target's too.
            return self._reformatter.reformat(
                frame, target.width, target.height, target.pixel_format,
                src_color_range=_RANGES[source.full_range][0], dst_color_range=_RANGES[target.full_range][0],
            )  # fmt: skip
        convert += f":in_range={_RANGES[source.full_range][1]}:out_range={_RANGES[target.full_range][1]}"
        filters.append(f"scale={width}:{height}:flags=bicubic{convert}")
        if framed:
            filters.append(f"pad={target.width}:{target.height}:(ow-iw)/2:(oh-ih)/2:black")
        filters.append(f"format={target.pixel_format}")
        key = (frame.width, frame.height, frame.format.name)
        if key not in self._graphs:
            self._graphs[key] = _Filter(frame, ",".join(filters))
        return self._graphs[key].run(frame)


def content_size(
    size: tuple[int, int], sample_aspect: Fraction, target: Canvas, *, turned: bool = False
) -> tuple[int, int]:
    """How large a picture of ``size`` (width, height in pixels) is shown in ``target``, its shape kept."""
    shape = Fraction(*size) * sample_aspect
    if turned:
        shape = 1 / shape
    shape /= target.sample_aspect
    width = min(round(target.height * shape), target.width)
    height = min(round(target.width / shape), target.height)
    if max(target.width - width, target.height - height) <= _MOST_DISTORTION_PX:
        return target.width, target.height
    return max(width & ~1, 2), max(height & ~1, 2)


def turn(frame: av.VideoFrame, degrees: int) -> av.VideoFrame:
    """``frame`` turned clockwise by 90, 180 or 270 degrees."""
    return _Filter(frame, _TURNS[degrees]).run(frame)


def another(frame: av.VideoFrame) -> av.VideoFrame:
    """The same picture, its pixels shared, in a frame of its own.

    PyAV's scaler writes to the colour fields of the frame that it reads, and puts them back when it has
    done: threads that share a frame lose its colour.
    """
    return _Filter(frame, "null").run(frame)


class _Filter:
    """A chain of FFmpeg's filters for pictures of one form."""

    def __init__(self, frame: av.VideoFrame, chain: str) -> None:
        self._graph = av.filter.Graph()
        links = [self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )]  # fmt: skip
        for step in chain.split(","):
            name, _, arguments = step.partition("=")
            links.append(self._graph.add(name, arguments or None))
        links.append(self._graph.add("buffersink"))
        self._graph.link_nodes(*links).configure()
        self._source, self._sink = links[0], links[-1]

    def run(self, frame: av.VideoFrame) -> av.VideoFrame:
        self._source.push(frame)
        fitted = self._sink.pull()
        assert isinstance(fitted, av.VideoFrame)
        return fitted
