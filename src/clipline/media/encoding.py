"""What the encoders of H.264 and HEVC have in common: how pictures are described to them, and black ones."""

from __future__ import annotations

from fractions import Fraction

import av
from av.codec.context import Flags

from clipline.contract.errors import UnsupportedMedia
from clipline.media.parameter_sets import SequenceParameters

_FULL_RANGE = 2


def encoder_context(
    codec: str, sequence: SequenceParameters, frame_rate: Fraction, pixel_format: str
) -> av.VideoCodecContext:
    """A context of FFmpeg's encoder ``codec`` for pictures as ``sequence`` says, not yet opened."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = sequence.width, sequence.height, pixel_format
    context.framerate = frame_rate
    context.time_base = 1 / frame_rate
    context.flags |= Flags.global_header
    if sequence.sample_aspect is not None:
        context.sample_aspect_ratio = sequence.sample_aspect
    colour = sequence.colour
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    context.colorspace = colour.matrix
    if colour.full_range:
        context.color_range = _FULL_RANGE
    return context


def open_encoder(context: av.VideoCodecContext) -> None:
    """Raises UnsupportedMedia where there can be no such pictures: of a level that does not exist, say."""
    try:
        context.open()
    except (av.FFmpegError, ValueError) as error:
        raise UnsupportedMedia(f"no pictures like its own can be encoded: {error}") from error


def black_picture(context: av.VideoCodecContext) -> av.VideoFrame:
    """A black picture for the encoder of ``context``."""
    pixel_format = str(context.pix_fmt)
    frame = av.VideoFrame(context.width, context.height, pixel_format)
    is_wide = pixel_format.endswith("10le")
    luma = 0 if context.color_range == _FULL_RANGE else 16
    for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
        pixel = (value << 2).to_bytes(2, "little") if is_wide else bytes([value])
        plane.update(pixel * (plane.buffer_size // len(pixel)))
    return frame
