"""Cuts one clip with the engine and compares every picture of it with the one that is due."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from frame_truth.cuts import Asked
from frame_truth.expect import Due, Expectation, begin_at_keyframe, expect
from frame_truth.footage import Recorded, checksum, planes_of, read_number
from frame_truth.pictures import Plane
from frame_truth.sounds import Heard, sound_faults
from frame_truth.specs import Spec
from media.boxes import read_movie
from media.structure import Sample, faults

from clipline.contract.errors import CliplineError, NoFrames
from clipline.contract.modes import CutMode
from clipline.media.cut import Candidate, prepare
from clipline.media.parameter_sets import split_units
from clipline.media.ranges import LocalSource

LEAST_PSNR_DB = 45.0
LEAST_SCALED_DB = 28.0
"""Of a picture that was scaled to another size by someone else's scaler than ours."""
_SAME_SHAPE_PX = 2
"""A shape that is off by no more fills the picture."""
_MOST_TOLD = 4
"""Pictures of one clip that a report names one by one."""


@dataclass
class Verdict:
    """What became of one cut."""

    faults: list[str] = field(default_factory=list)
    frames: int = 0
    copied: int = 0
    encoded: int = 0
    wrong: int = 0
    missing: int = 0
    doubled: int = 0
    worst_psnr_db: float = math.inf
    empty: bool = False
    """No frame lies in the interval, and the engine said so."""
    cut_s: float = 0.0


def check_cut(recordings: Sequence[Recorded], asked: Asked, tolerance_ms: int, directory: Path) -> Verdict:
    """Cut and compare. What the engine raises is a fault, unless no frame lies in the interval."""
    verdict = Verdict()
    due = expect(recordings, asked.interval, asked.policy, tolerance_ms)
    clip = directory / "clip.mp4"
    clip.unlink(missing_ok=True)
    candidates = [Candidate(LocalSource(one.path, one.name), one.start_ms) for one in recordings]
    began = time.monotonic()
    try:
        cut = prepare(
            candidates, asked.interval, directory, gap_policy=asked.policy, tolerance_ms=tolerance_ms,
            mode=asked.mode, hevc_mode=asked.hevc_mode,
        )  # fmt: skip
        report = cut.render(clip)
    except NoFrames as error:
        verdict.empty = not due.pictures
        if due.pictures:
            verdict.faults.append(f"the engine sees no frames, {len(due.pictures)} are due: {error}")
            verdict.missing = len(due.pictures)
        return verdict
    except (CliplineError, AssertionError, av.FFmpegError, ValueError, LookupError, ArithmeticError,
            TypeError, AttributeError, OSError) as error:  # fmt: skip
        verdict.faults.append(f"the engine raises {type(error).__name__}: {error}")
        return verdict
    finally:
        verdict.cut_s = time.monotonic() - began
    if not due.pictures:
        verdict.faults.append("no frame lies in the interval, yet there is a clip")
        return verdict
    if len(cut.plan.gaps) != due.gaps:
        verdict.faults.append(f"{len(cut.plan.gaps)} gaps are told, {due.gaps} are due")
    if asked.mode is CutMode.KEYFRAME:
        due = begin_at_keyframe(due, recordings, report.details["firstFrameTimestampInMs"])
    hides = asked.mode is CutMode.EDITLIST
    _Clip(clip, recordings, due, report.details, verdict, hides=hides).check()
    return verdict


class _Clip:
    """A clip as FFmpeg plays it, against what is due."""

    def __init__(
        self,
        path: Path,
        recordings: Sequence[Recorded],
        due: Expectation,
        details: Any,
        verdict: Verdict,
        *,
        hides: bool,
    ) -> None:
        self._path, self._recordings, self._due = path, recordings, due
        self._details, self._verdict, self._hides = details, verdict, hides
        self._told = 0

    def check(self) -> None:
        try:
            self._play()
        except (av.FFmpegError, AssertionError, ValueError, LookupError) as error:
            self._fault(f"it does not play: {type(error).__name__}: {error}")

    def _fault(self, text: str) -> None:
        self._verdict.faults.append(text)

    def _tell(self, place: int, text: str) -> None:
        """About one picture; after a few of them no more."""
        self._told += 1
        if self._told <= _MOST_TOLD:
            self._fault(f"picture {place}: {text}")

    def _play(self) -> None:
        packets: dict[int, bytes] = {}
        numbers: list[int | None] = []
        shown: dict[int, tuple[bool, int | None]] = {}
        with av.open(str(self._path)) as container:
            video = container.streams.video[0]
            video.codec_context.thread_count = 1
            video.codec_context.options = {"err_detect": "explode"}
            time_base = Fraction(video.time_base)
            for packet in container.demux(video):
                if packet.size:
                    packets[packet.pts] = bytes(packet)
                for frame in packet.decode():
                    place = len(numbers)
                    planes = self._content(place, list(planes_of(frame)))
                    shift = 2 if planes[0].dtype == np.uint16 else 0
                    number = read_number(planes[0] >> shift if shift else planes[0])
                    numbers.append(number)
                    if frame.is_corrupt:
                        self._tell(place, "it is damaged")
                    if place < len(self._due.pictures):
                        due = self._due.pictures[place]
                        self._check_time(place, due, frame.pts * time_base, time_base)
                        is_copied = self._check_picture(place, due, frame, planes, number, packets[frame.pts])
                        shown[frame.pts] = is_copied, due.recording
        self._check_numbers(numbers)
        movie = read_movie(self._path)
        end_s = Fraction(sum(duration for duration, _ in movie.video.edits), movie.timescale)
        self._check_details(sum(is_copied for is_copied, _ in shown.values()), end_s)
        hidden = (True, self._due.pictures[0].recording)  # by the edit list, which is copied
        samples = [Sample(data, *shown.get(pts, hidden)) for pts, data in packets.items()]
        for fault in faults(movie, samples, hides=self._hides):
            self._fault(fault)
        for fault in sound_faults(self._path, self._heard(), self._due.end_ms):
            self._fault(fault)

    def _content(self, place: int, planes: list[Plane]) -> list[Plane]:
        """What a picture shows without the black frame that one of another shape comes in."""
        if place >= len(self._due.pictures) or (number := self._due.pictures[place].recording) is None:
            return planes
        spec = self._recordings[number].spec
        height, width = planes[0].shape
        wide = min(round(height * spec.width / spec.height), width)
        high = min(round(width * spec.height / spec.width), height)
        if max(width - wide, height - high) <= _SAME_SHAPE_PX:
            return planes
        left, top = (width - wide) // 2 & ~1, (height - high) // 2 & ~1
        if (
            max(planes[0][: max(top - 2, 0)].max(initial=0), planes[0][:, : max(left - 2, 0)].max(initial=0))
            > 30
        ):
            self._tell(place, "its frame is not black")
        luma = planes[0][top : top + (high & ~1), left : left + (wide & ~1)]
        return [luma, *(plane[top // 2 :, left // 2 :] for plane in planes[1:])]

    def _heard(self) -> list[Heard]:
        found = []
        for stretch in self._due.stretches:
            one, zero = self._recordings[stretch.recording], stretch.zero_ms
            from_ms, until_ms = stretch.first_ms - zero, stretch.until_ms - zero
            found.append(Heard(one.loudness, from_ms, until_ms, zero, one.sounds))
        return found

    def _check_time(self, place: int, due: Due, time_s: Fraction, time_base: Fraction) -> None:
        off_s = time_s - due.time_ms / 1000
        if abs(off_s) > min(time_base, Fraction(1, 1000)):
            self._tell(place, f"it is shown at {float(time_s):.6f} s, {float(off_s) * 1000:+.3f} ms off")

    def _check_picture(
        self,
        place: int,
        due: Due,
        frame: av.VideoFrame,
        planes: list[Plane],
        number: int | None,
        coded: bytes,
    ) -> bool:
        """True where the picture is the camera's own bytes."""
        if due.recording is None:
            if int(planes[0].max()) > 30 or number is not None:
                self._tell(place, "it should be black")
            return False
        one = self._recordings[due.recording]
        wanted = one.first_number + due.place
        same_bytes = is_copy(coded, one.packets[due.place], one.spec)
        if number != wanted:
            self._verdict.wrong += 1
            self._tell(place, f"it carries number {number}, {wanted} is due")
            return same_bytes
        if same_bytes:
            if checksum(planes) != one.checksums[due.place]:
                self._verdict.wrong += 1
                self._tell(place, f"number {wanted} is copied, but decodes to other pixels")
            return True
        self._check_encoded(place, wanted, one, due.place, frame, planes)
        return False

    def _check_encoded(
        self,
        place: int,
        wanted: int,
        one: Recorded,
        source_place: int,
        frame: av.VideoFrame,
        planes: list[Plane],
    ) -> None:
        source = one.luma[source_place]
        luma, least = planes[0], LEAST_PSNR_DB
        full = frame.format.name.startswith("yuvj") or frame.color_range == 2
        was_full = one.spec.pixel_format.startswith("yuvj")
        scaled = source.shape != luma.shape
        adapted = scaled or source.dtype != luma.dtype or full != was_full
        if adapted:
            source = _adapt(source, was_full, luma, full)
        if scaled:
            least = LEAST_SCALED_DB
        peak = 1023 if luma.dtype == np.uint16 else 255
        quality = psnr_db(source, luma, peak)
        if not scaled:
            self._verdict.worst_psnr_db = min(self._verdict.worst_psnr_db, quality)
        if not adapted:
            small = np.stack([plane[::2, ::2] for plane in planes[1:]])
            if small.shape == one.chroma[source_place].shape:
                colour = psnr_db(one.chroma[source_place], small, peak)
                if colour < LEAST_PSNR_DB - 5:
                    self._verdict.wrong += 1
                    self._tell(place, f"number {wanted} is encoded, its colour at {colour:.1f} dB")
        if quality < least:
            self._verdict.wrong += 1
            self._tell(place, f"number {wanted} is encoded at {quality:.1f} dB")

    def _check_numbers(self, numbers: list[int | None]) -> None:
        due = [
            None if one.recording is None else self._recordings[one.recording].first_number + one.place
            for one in self._due.pictures
        ]
        shown, wanted = Counter(numbers), Counter(due)
        self._verdict.frames = len(numbers)
        self._verdict.missing += sum((wanted - shown).values())
        self._verdict.doubled += sum(1 for count in shown.values() if count > 1)
        if numbers != due:
            self._fault(
                f"{len(numbers)} pictures are shown, {len(due)} are due; "
                f"missing {list((wanted - shown).elements())[:6]}, "
                f"extra {list((shown - wanted).elements())[:6]}"
            )

    def _check_details(self, copied: int, end_s: Fraction) -> None:
        details, verdict, due = self._details, self._verdict, self._due
        verdict.copied, verdict.encoded = details["framesCopied"], details["framesEncoded"]
        pictures = sum(one.recording is not None for one in due.pictures)
        hidden = verdict.copied + verdict.encoded - pictures if self._hides else 0
        if copied + hidden != verdict.copied or verdict.copied + verdict.encoded != pictures + hidden:
            self._fault(
                f"{copied} pictures of {pictures} are the camera's bytes; "
                f"told: {verdict.copied} copied, {verdict.encoded} encoded"
            )
        for key, wall in (
            ("firstFrameTimestampInMs", due.first_wall_ms),
            ("lastFrameTimestampInMs", due.last_wall_ms),
        ):
            if wall is None or abs(details[key] - wall) > 1:
                self._fault(f"{key} is {details[key]}, the picture's wall time {wall}")
        if abs(details["durationInMs"] - due.end_ms) > 2:
            self._fault(f"durationInMs is {details['durationInMs']}, {float(due.end_ms):.2f} are due")
        if abs(end_s * 1000 - due.end_ms) > 2:
            self._fault(f"the last picture ends at {float(end_s) * 1000:.2f} ms, due {float(due.end_ms):.2f}")
        if details["partial"] != bool(due.gaps):
            self._fault(f"partial is {details['partial']} with {due.gaps} gaps")


def is_copy(coded: bytes, source: bytes, spec: Spec) -> bool:
    """Whether a picture of a clip is the camera's: its slices, without what a container or a splice adds."""
    if spec.encoder == "libx265":
        return coded == source or _hevc_slices(coded) == _hevc_slices(source)
    if spec.container != "mpegts":
        return coded == source or _without_sets(coded) == _without_sets(source)
    return [unit for unit in split_units(coded, 4) if unit[0] & 31 in range(1, 6)] == [
        unit for unit in re.split(b"\0{2,3}\1", source) if unit and unit[0] & 31 in range(1, 6)
    ]


def _without_sets(sample: bytes) -> list[bytes]:
    """Units of an H.264 sample without parameter sets, which a clip has in its sample entry alone."""
    return [unit for unit in split_units(sample, 4) if unit[0] & 31 not in (7, 8)]


def _hevc_slices(sample: bytes) -> list[tuple[int, bytes]]:
    """(NAL unit type, the rest) of an HEVC sample's slices; a splice turns CRA into BLA_N_LP."""
    kinds = [(unit[0] >> 1 & 63, unit[1:]) for unit in split_units(sample, 4) if unit]
    return [(18 if kind == 21 else kind, rest) for kind, rest in kinds if kind < 32]


def psnr_db(one: Plane, other: Plane, peak: int) -> float:
    off = np.subtract(one, other, dtype=np.int32).astype(np.float32).ravel()
    mean = float(np.dot(off, off)) / off.size
    return math.inf if mean == 0 else 10 * math.log10(peak * peak / mean)


def _adapt(source: Plane, source_full: bool, like: Plane, like_full: bool) -> Plane:
    """Luma in another range, and scaled to another size or depth by FFmpeg's scaler."""
    if source_full != like_full:
        unit = 4 if source.dtype == np.uint16 else 1
        levels = source.astype(np.float32) / unit
        levels = (levels - 16) * 255 / 219 if like_full else levels * 219 / 255 + 16
        source = np.clip(np.round(levels * unit), 0, 256 * unit - 1).astype(source.dtype)
    frame = av.VideoFrame.from_ndarray(source, "gray10le" if source.dtype == np.uint16 else "gray")
    height, width = like.shape
    form = "gray10le" if like.dtype == np.uint16 else "gray"
    return next(planes_of(frame.reformat(width, height, form, interpolation="BICUBIC")))
