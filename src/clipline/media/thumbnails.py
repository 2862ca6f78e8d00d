"""One picture of the clip in several widths."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import VideoReformatter

from clipline.contract.errors import MediaError
from clipline.media.fit import another, turn
from clipline.media.png import recompress

CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}

_ENCODERS = {
    "png": ("png", "rgb24", {"compression_level": "0", "pred": "sub"}),  # compressed by ``png``
    "jpg": ("mjpeg", "yuvj420p", {"qmin": "2", "qmax": "3"}),
    "webp": ("libwebp", "yuv420p", {"quality": "85", "compression_level": "2"}),
}
_ITU709 = 1
_UNSPECIFIED = 2


def write_thumbnails(
    frame: av.VideoFrame,
    widths: Sequence[int],
    picture_format: str,
    directory: Path,
    *,
    stem: str = "thumbnail",
    sample_aspect: Fraction | None = None,
    rotation: int = 0,
) -> dict[int, Path]:
    """Write ``frame`` in each of ``widths`` (pixels); the height keeps the displayed aspect ratio.

    ``sample_aspect`` is the width of a pixel over its height, 1 where it is None; ``rotation`` by how many
    degrees the picture is turned clockwise. Returns the file of each width,
    ``{directory}/{stem}_{width}.{format}``.
    """
    aspect = Fraction(frame.width, frame.height) * (sample_aspect or 1)
    if rotation:
        frame = turn(frame, rotation)
        aspect = 1 / aspect if rotation % 180 else aspect

    def write(width: int, own: av.VideoFrame) -> tuple[int, Path]:
        height = max(round(width / aspect), 1)
        path = directory / f"{stem}_{width}.{picture_format}"
        path.write_bytes(encode_picture(own, width, height, picture_format))
        return width, path

    # Largest first: the others fit in its shadow. FFmpeg lets go of the interpreter while it works.
    ordered = sorted(set(widths), reverse=True)
    with ThreadPoolExecutor(2, thread_name_prefix="thumbnail") as pool:
        return dict(pool.map(write, ordered, [another(frame) for _ in ordered]))


def encode_picture(frame: av.VideoFrame, width: int, height: int, picture_format: str) -> bytes:
    """``frame`` scaled to ``width`` x ``height`` pixels as a ``png``, ``jpg`` or ``webp`` file."""
    codec, pixel_format, options = _ENCODERS[picture_format]
    try:
        # Untagged footage of HD size is shown as BT.709 by players; the scaler would assume BT.601.
        matrix = _ITU709 if frame.colorspace == _UNSPECIFIED and frame.height >= 720 else None
        # A scaler of its own: a frame's is not safe to use from several threads.
        scaled = VideoReformatter().reformat(frame, width, height, pixel_format, src_colorspace=matrix)
        context = av.CodecContext.create(codec, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, pixel_format
        context.time_base = Fraction(1, 25)
        context.options = options
        scaled.pts, scaled.time_base = 0, context.time_base
        scaled.pict_type = 0
        packets = [*context.encode(scaled), *context.encode(None)]
        del scaled, context  # 15 MB for a picture 3000 pixels wide
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(f"a thumbnail of {width}x{height} as {picture_format}: {error}") from error
    (packet,) = packets
    return recompress(memoryview(packet)) if picture_format == "png" else bytes(packet)
