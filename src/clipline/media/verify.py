"""The finished file, read back with FFmpeg's own demuxer and decoder, against the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from clipline.contract.errors import VerificationFailed
from clipline.media.plan import Plan


def verify(path: Path, plan: Plan) -> None:
    """Raises VerificationFailed where the file is not what the plan promised.

    Checked: the number of frames and every presentation time, decode times that increase, audio that
    spans the same time as the video to within two audio frames, and that the pictures at each joint
    decode undamaged.
    """
    expected = sorted(time for times in plan.span_pts for time in times)
    try:
        with path.open("rb") as file, av.open(file, "r", format="mp4", buffer_size=1 << 20) as container:
            _check(container, plan, expected)
    except (av.FFmpegError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise VerificationFailed(f"the clip does not read back: {error}") from error


def _check(container: av.container.InputContainer, plan: Plan, expected: list[int]) -> None:
    video = container.streams.video[0]
    if video.time_base is None or 1 / video.time_base != plan.timescale:
        raise VerificationFailed(f"the clip's time base is {video.time_base}, planned 1/{plan.timescale}")
    joints = _joints(plan)
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = video.codec_context.extradata
    decoder.thread_count = 1
    times: list[int] = []
    audio_times: list[tuple[int, int]] = []
    last_decode: dict[int, int] = {}
    pictures = 0
    number = 0
    for packet in container.demux():
        if not packet.size:
            continue
        if packet.dts is None or packet.pts is None:
            raise VerificationFailed(f"sample {number} of the clip has no time")
        if packet.dts <= last_decode.get(packet.stream_index, packet.dts - 1):
            raise VerificationFailed(f"decode times do not increase at {packet.dts * packet.time_base} s")
        last_decode[packet.stream_index] = packet.dts
        if packet.stream_index != video.index:
            audio_times.append((packet.pts, packet.duration or 0))
            continue
        times.append(packet.pts)
        if number in joints:
            pictures += _decode(decoder, packet)
        number += 1
    pictures += _decode(decoder, None)
    if sorted(times) != expected:
        raise VerificationFailed(
            f"the clip has {len(times)} frames, planned {len(expected)}; or their times differ"
        )
    if pictures != len(joints):
        raise VerificationFailed(f"{pictures} of {len(joints)} pictures at the joints decode")
    if bool(audio_times) != bool(plan.audio):
        raise VerificationFailed("the clip's audio is missing")


def _joints(plan: Plan) -> set[int]:
    """Numbers, in decode order, of the first picture of each span, and the one that leans on it."""
    joints: set[int] = set()
    at = 0
    for times in plan.span_pts:
        joints.add(at)
        # The next picture decoded leans on the first one only where nothing is reordered.
        if len(times) > 1 and list(times) == sorted(times):
            joints.add(at + 1)
        at += len(times)
    return joints


def _decode(decoder: av.VideoCodecContext, packet: av.Packet[Any] | None) -> int:
    frames = decoder.decode(packet)
    if any(frame.is_corrupt for frame in frames):
        raise VerificationFailed("a picture at a joint is damaged")
    return len(frames)
