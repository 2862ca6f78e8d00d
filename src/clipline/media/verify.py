"""The finished file, read back, against the plan: by our own reader and by FFmpeg, which have to agree."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from clipline.contract.errors import MediaError, VerificationFailed
from clipline.media.decoder import make_decoder, make_packet
from clipline.media.index import RecordingIndex, Track, read_index
from clipline.media.parameter_sets import PPS, SPS
from clipline.media.plan import Plan
from clipline.media.ranges import LocalSource
from clipline.media.video import configuration

_INDEX_ONLY = {"probesize": "32", "codec_whitelist": "none"}
"""The index tells all that is asked; otherwise FFmpeg decodes pictures to find out more."""

_MAPPED_FRAMES = 128
"""After so many the pages that were looked at are let go: those of a mapped file count as memory."""

_AUDIO_SLACK_S = Fraction(1, 100)
"""Silence before the audio is told in ticks of the video."""


def verify(path: Path, plan: Plan) -> None:
    """Raises VerificationFailed where the file is not what the plan promised.

    Checked: that every sample lies within the file, where FFmpeg sees it too; the number of frames and
    every presentation time; decode times that increase and are never after presentation; audio that
    goes from the first picture to the last without a hole of a frame; and that the pictures at each joint
    decode undamaged. Other pictures are not decoded; that they consist of NAL units is checked.
    """
    clip = LocalSource(path)
    try:
        index = read_index(clip)
        _check_times(index, plan)
        _check_audio(index, plan)
        with av.open(f"file:{path}", "r", format="mp4", container_options=_INDEX_ONLY) as container:
            places = index.video.locate(0, len(index.video))
            _compare("video", index.video, places, container.streams.video[0], clip)
            if (audio := index.audio) is not None:
                _compare("audio", audio, audio.locate(0, len(audio)), container.streams.audio[0], clip)
        _check_joints(index.video, plan, clip)
        _check_units(path, index.video, places)
    except VerificationFailed:
        raise
    except (MediaError, av.FFmpegError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise VerificationFailed(f"the clip does not read back: {error}") from error


def _check_times(index: RecordingIndex, plan: Plan) -> None:
    video = index.video
    if video.timescale != plan.timescale:
        raise VerificationFailed(f"the clip's time base is 1/{video.timescale}, planned 1/{plan.timescale}")
    expected = [time for times in plan.span_pts for time in times]
    if list(video.pts) != expected:
        raise VerificationFailed(
            f"the clip has {len(video)} frames, planned {len(expected)}; or their times differ"
        )
    if video.end_pts < plan.end_pts:
        raise VerificationFailed(f"the clip ends at tick {video.end_pts}, planned {plan.end_pts}")
    for track in (video, index.audio):
        if track is None:
            continue
        if any(later <= earlier for earlier, later in pairwise(track.decode_times)):
            raise VerificationFailed("decode times do not increase")
        if any(shown < decoded for shown, decoded in zip(track.pts, track.decode_times, strict=True)):
            raise VerificationFailed("a sample is decoded after it is shown")


def _check_audio(index: RecordingIndex, plan: Plan) -> None:
    audio = index.audio
    if (audio is not None) != bool(plan.audio.spans):
        raise VerificationFailed("the clip's audio is missing" if audio is None else "the clip has audio")
    if audio is None:
        return
    planned = [time for times in plan.audio.times(plan.sources) for time in times]
    if len(audio) != len(planned):
        raise VerificationFailed(f"the clip has {len(audio)} audio frames, planned {len(planned)}")
    slack = math.floor(audio.timescale * _AUDIO_SLACK_S)
    for time, expected in zip(audio.pts, planned, strict=True):
        if abs(time - expected) > slack:
            raise VerificationFailed(f"a frame of the clip's audio is at tick {time}, planned {expected}")
    longest = 2 * audio.timescale * plan.audio.longest_s + slack
    hole = max((after - before for before, after in pairwise(audio.pts)), default=0)
    if hole > longest:
        raise VerificationFailed(f"the clip's audio has a hole of {hole} ticks")
    end = Fraction(plan.end_pts * audio.timescale, plan.timescale)
    if audio.pts[0] > longest or audio.pts[-1] + longest < end:
        raise VerificationFailed("the clip's audio does not last from the first picture to the last")


def _compare(
    name: str, track: Track, places: Sequence[tuple[int, int]], stream: Any, clip: LocalSource
) -> None:
    """FFmpeg sees each sample where we do, (offset, size), and the same time after the first."""
    begin = track.decode_times[0]
    ours = [(time - begin, place) for time, place in zip(track.decode_times, places, strict=True)]
    entries = stream.index_entries
    begin = entries[0].timestamp if len(entries) else 0
    theirs = [(entry.timestamp - begin, (entry.pos, entry.size)) for entry in entries]
    # FFmpeg leaves out what begins only after the edit list's end: the last frame of some audio.
    beyond = [time for time, _ in ours[len(theirs) :]]
    if ours[: len(theirs)] != theirs or any(track.pts[0] + time < track.end_pts for time in beyond):
        raise VerificationFailed(f"FFmpeg reads {len(theirs)} {name} samples, or sees them elsewhere")
    last = max(offset + size for _, (offset, size) in ours)
    if last > clip.size_bytes:
        raise VerificationFailed(f"{name} samples reach to byte {last}, the clip has {clip.size_bytes}")


def _check_units(path: Path, video: Track, places: Sequence[tuple[int, int]]) -> None:
    """Each picture is a run of NAL units that fill it: an index that points elsewhere would show here.

    In H.264 none of them is a parameter set: those in samples have no place in an ``avc1`` track.
    """
    sets = configuration(video)
    length_bytes = sets.length_bytes
    unwanted = {SPS, PPS} if sets.codec == "h264" else set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, (offset, size) in enumerate(places):
            if number % _MAPPED_FRAMES == 0:
                data.madvise(mmap.MADV_DONTNEED)
            at = offset
            while at < offset + size:
                unit = at + length_bytes
                unit_bytes = int.from_bytes(data[at:unit], "big")
                at = unit + unit_bytes
                if not unit_bytes or at > offset + size or data[unit] & 0x80:
                    raise VerificationFailed(f"frame {number} of the clip is no coded picture")
                if data[unit] & 31 in unwanted:
                    raise VerificationFailed(f"frame {number} of the clip has a parameter set in it")


def _check_joints(video: Track, plan: Plan, clip: LocalSource) -> None:
    decoder = make_decoder(video)
    decoder.thread_count = 1
    joints = sorted(_joints(plan))
    pictures = 0
    for number in joints:
        ((offset, size),) = video.locate(number, number + 1)
        packet = make_packet(clip.read(offset, size))
        packet.pts, packet.dts = video.pts[number], video.decode_times[number]
        pictures += _decode(decoder, packet)
    pictures += _decode(decoder, None)
    if pictures != len(joints):
        raise VerificationFailed(f"{pictures} of {len(joints)} pictures at the joints decode")


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
