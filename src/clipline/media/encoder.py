"""Encoding pictures anew: to stand beside a camera's own in one track, or as a clip of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import av
from av.codec.context import Flags
from av.video.frame import PictureType

from clipline.contract.errors import UnsupportedMedia
from clipline.contract.modes import HevcMode
from clipline.media.encoding import black_picture, encoder_context, open_encoder
from clipline.media.fit import canvas_of
from clipline.media.hevc_encoder import HevcEncoder, splice_obstacle
from clipline.media.hevc_video import HevcVideo
from clipline.media.parameter_sets import AvcConfiguration, SequenceParameters, parse_avcc
from clipline.media.video import VideoConfiguration, VideoSets

_PROFILES = {
    # Profile equal to the source's: some decoders take no other (players.md, measured with OpenH264).
    66: ("baseline", "8x8dct=0:weightp=0"),
    77: ("main", "8x8dct=0:weightp=0"),
    100: ("high", "8x8dct=1:weightp=0"),
}
_BASELINE, _HIGH = 66, 100

_ENTROPY = {66: (0, 0), 77: (1, 1), 100: (0, 1)}
"""cabac of a short and of a long run. Without it a High profile head takes 0.26 s of CPU instead of 0.40 s
(40 pictures of 1080p) and is a sixth larger, a hundredth of a clip; Main profile demands it."""

_SHORT_RUN = {"preset": "ultrafast", "qp": "13"}
"""The same for every block, so that no rate control saves where it shows: 51 dB on noisy 1080p footage; with
16 random cuts had pictures at 43.7 dB, with 14 at 44.7 dB (frame_truth/regressions.py)."""

_LONG_RUN = {"preset": "superfast", "qp": "13"}
"""For runs whose size matters. With crf 17 a random cut had pictures at 42.5 dB."""

LONG_RUN_FRAMES = 300
KEYFRAME_EVERY_S = 2
"""In a run of its own; a run that is spliced has one keyframe in ten seconds."""


def can_splice(found: VideoConfiguration, hevc_mode: HevcMode) -> str | None:
    """Why no encoded pictures can stand beside those of ``found`` in one track; None: they can."""
    if isinstance(found, HevcVideo):
        if hevc_mode is not HevcMode.SPLICE:
            return f"its video is HEVC, and the HEVC mode is {hevc_mode}"
        return splice_obstacle(found)
    sequence = found.sequence
    if (sequence.chroma, sequence.bit_depth) != (1, 8):
        return f"its video has {sequence.bit_depth} bits in chroma format {sequence.chroma}"
    if not sequence.progressive:
        return "its video is interlaced"
    if sequence.profile not in _PROFILES:
        return f"its video has profile {sequence.profile}"
    return None


@dataclass(frozen=True)
class EncoderFormat:
    """What encoded pictures must be."""

    codec: str
    """FFmpeg's name."""
    sequence: SequenceParameters
    """The source's."""
    frame_rate: Fraction
    rotation: int = 0
    """By how many degrees, clockwise, players turn the track's pictures."""
    beside: VideoConfiguration | None = None
    """What the pictures refer to that they stand beside; None: they stand alone."""
    beside_reordered: bool = False
    """Whether those wait for their turn: they are decoded in another order than they are shown in."""

    @property
    def keyframe_every(self) -> int:
        """Frames from one keyframe to the next."""
        seconds = KEYFRAME_EVERY_S if self.beside is None else 5 * KEYFRAME_EVERY_S
        return max(round(seconds * self.frame_rate), 1)


def beside(
    sets: VideoConfiguration, frame_rate: Fraction, rotation: int, *, reordered: bool
) -> EncoderFormat:
    """Of pictures that stand in one track with those that refer to ``sets``; ``reordered``: these wait."""
    return EncoderFormat(sets.codec, sets.sequence, frame_rate, rotation, sets, reordered)


def free_standing(
    sets: VideoConfiguration, frame_rate: Fraction, rotation: int, hevc_mode: HevcMode
) -> EncoderFormat:
    """Of a clip of which nothing is copied: what players take everywhere, H.264 of 8 bits in 4:2:0.

    HEVC stays HEVC, and ten bits stay ten, where the mode is not ``h264``.
    """
    sequence = sets.sequence
    width, height = max(sequence.width & ~1, 2), max(sequence.height & ~1, 2)
    plain = replace(sequence, chroma=1, crop=(0, 0, 0, 0), width=width, height=height)
    if sets.codec == "hevc" and hevc_mode is not HevcMode.H264:
        return EncoderFormat("hevc", plain, frame_rate, rotation)
    profile = sequence.profile if sets.codec == "h264" and sequence.profile in _PROFILES else _HIGH
    return EncoderFormat("h264", replace(plain, profile=profile, bit_depth=8), frame_rate, rotation)


def _pixel_format(sequence: SequenceParameters) -> str:
    return "yuvj420p" if sequence.colour.full_range else "yuv420p"


def _buffering(form: EncoderFormat) -> str:
    """x264's options for what a decoder has to keep: no more than one picture, or as much as the source.

    Where the size of the picture buffer changes at an IDR picture, a decoder may drop those that wait for
    their turn (H.264, sections 7.4.3 and C.4.4, no_output_of_prior_pics_flag); OpenH264 does, and
    puts those in order by pic_order_cnt_type 0 alone (players.md). x264 writes that type where B-frames
    are allowed, which Baseline profile has none of. One reference frame is searched all the same.
    """
    if not form.beside_reordered or form.sequence.profile == _BASELINE:
        return "bframes=0"
    return f"bframes=1:b-adapt=0:dpb-size={form.sequence.reference_frames}"


class EncodedSample(NamedTuple):
    """One coded picture, its units with lengths of four bytes before them."""

    data: bytes
    is_idr: bool


class H264Encoder:
    """Encodes pictures of one run; the first one becomes an IDR picture, nothing is reordered."""

    def __init__(self, form: EncoderFormat, frames: int) -> None:
        """``frames`` is the length of the run, as far as it is known."""
        sequence = form.sequence
        self.canvas = canvas_of(sequence, _pixel_format(sequence), form.rotation)
        profile, tools = _PROFILES[sequence.profile]
        context = encoder_context("libx264", sequence, form.frame_rate, self.canvas.pixel_format)
        if not sequence.progressive:
            context.flags |= Flags.interlaced_dct
        identifier = form.beside.free_identifier() if isinstance(form.beside, AvcConfiguration) else 0
        is_long = frames > LONG_RUN_FRAMES
        parameters = (
            f"{tools}:cabac={_ENTROPY[sequence.profile][is_long]}:sps-id={identifier}:annexb=0:scenecut=0:open-gop=0:"
            f"keyint={form.keyframe_every}:min-keyint=1:{_buffering(form)}:"
            f"ref=1:stitchable=1:nal-hrd=none:aud=0:force-cfr=1:rc-lookahead=0"
        )
        if sequence.chroma_location is not None:
            parameters += f":chromaloc={sequence.chroma_location}"
        if form.beside is not None:
            parameters += f":level={max(sequence.level, 10)}"
        effort = _LONG_RUN if is_long else _SHORT_RUN
        context.options = {**effort, "profile": profile, "x264-params": parameters}
        open_encoder(context)
        self._context = context
        self._keyframe_every = form.keyframe_every
        self.configuration: VideoSets = parse_avcc(context.extradata or b"")
        misfit = self.configuration.sequence.fits(sequence)
        if misfit and form.beside is not None:
            raise UnsupportedMedia(f"encoded pictures do not fit beside the source's: {misfit}")

    def encode(self, frames: Iterable[av.VideoFrame]) -> Iterator[EncodedSample]:
        """One sample a frame, in order. Frames have the form of ``canvas``."""
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, self._context.time_base
            # x264 obeys what stands there, what the decoder left; and of its own it may write B-frames.
            frame.pict_type = PictureType.P if number % self._keyframe_every else PictureType.NONE
            yield from self._samples(frame)
        yield from self._samples(None)

    def _samples(self, frame: av.VideoFrame | None) -> Iterator[EncodedSample]:
        for packet in self._context.encode(frame):
            yield EncodedSample(bytes(packet), packet.is_keyframe)

    def black(self) -> av.VideoFrame:
        """A black picture of the right form."""
        return black_picture(self._context)


class SpanHevcEncoder:
    """``HevcEncoder`` with the interface of ``H264Encoder``."""

    def __init__(self, form: EncoderFormat) -> None:
        sets = form.beside if isinstance(form.beside, HevcVideo) else None
        self._encoder = HevcEncoder(form.sequence, form.frame_rate, sets, keyframe_every=form.keyframe_every)
        self.canvas = canvas_of(form.sequence, self._encoder.pixel_format, form.rotation)
        self.configuration: VideoSets = self._encoder.configuration
        self.black = self._encoder.black

    def encode(self, frames: Iterable[av.VideoFrame]) -> Iterator[EncodedSample]:
        return (EncodedSample(*made) for made in self._encoder.encode(frames))


Encoder = H264Encoder | SpanHevcEncoder


def make_encoder(form: EncoderFormat, frames: int) -> Encoder:
    """An encoder of one run; ``frames`` is how many the clip has encoded in all."""
    return SpanHevcEncoder(form) if form.codec == "hevc" else H264Encoder(form, frames)
