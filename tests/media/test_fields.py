"""H.264 whose fields are pictures of their own (PAFF), which no encoder at hand writes: made by hand.

Each field is one I_PCM slice of one brightness, so that every picture tells its number.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media.truth import START_MS

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import NoFrames, UnreadableRecording
from clipline.contract.interval import Interval
from clipline.media.bits import BitWriter, escape
from clipline.media.cut import Candidate, CutReport, prepare
from clipline.media.ranges import LocalSource

START = b"\0\0\0\1"
SIDE = 64
"""Pixels; a field has half as many rows."""
MACROBLOCKS = SIDE // 16 * SIDE // 32
FRAMES, GROUP, RATE = 50, 10, 25
FRAME_NUM_BITS = 4


def luma(number: int) -> int:
    return 20 + 4 * number


def write(*fields: tuple[int, int] | int) -> BitWriter:
    """(value, bits), or a number in Exp-Golomb code."""
    bits = BitWriter()
    for field in fields:
        if isinstance(field, int):
            bits.ue(field)
        else:
            bits.u(*field)
    return bits


def sequence_set() -> bytes:
    """Main profile, level 3; ``frame_mbs_only_flag`` 0 (section 7.3.2.1.1)."""
    bits = write(
        0, FRAME_NUM_BITS - 4, 0, 4, 1, (0, 1), SIDE // 16 - 1, SIDE // 32 - 1,
        (0, 1), (0, 1), (1, 1), (0, 1), (0, 1),
    )  # fmt: skip
    return b"\x67\x4d\x00\x1e" + escape(bits.payload())


def picture_set() -> bytes:
    """CAVLC, the deblocking filter is told of in slices (section 7.3.2.2)."""
    bits = write(0, 0, (0, 1), (0, 1), 0, 0, 0, (0, 1), (0, 2), 0, 0, 0, (1, 1), (0, 1), (0, 1))
    return b"\x68" + escape(bits.payload())


def field(number: int, *, bottom: bool) -> bytes:
    """A field of frame ``number`` (sections 7.3.3 and 7.3.5)."""
    place = number % GROUP
    is_idr = not place and not bottom
    header: list[tuple[int, int] | int] = [0, 7, 0, (place, FRAME_NUM_BITS), (1, 1), (int(bottom), 1)]
    if is_idr:
        header.append(number // GROUP % 2)
    header.append((2 * place + bottom, 8))
    header += [(0, 1), (0, 1)] if is_idr else [(0, 1)]
    header += [0, 1]  # no change of the quantizer, no deblocking
    bits = write(*header)
    samples = bytes([luma(number)]) * 256 + bytes([128]) * 128
    for _ in range(MACROBLOCKS):
        bits.ue(25)
        bits.u(0, -bits._bits % 8)
        bits.u(int.from_bytes(samples, "big"), len(samples) * 8)
    return bytes([0x65 if is_idr else 0x61]) + escape(bits.payload())


def samples(*, together: bool) -> list[tuple[bytes, Fraction, bool]]:
    """(units, when they are shown, whether a keyframe), a frame's fields together or one by one."""
    made = []
    for number in range(FRAMES):
        fields = [field(number, bottom=bottom) for bottom in (False, True)]
        time_s = Fraction(number, RATE)
        units = [START + unit for unit in fields]
        if not number % GROUP:
            units[0] = START + sequence_set() + START + picture_set() + units[0]
        if together:
            made.append((b"".join(units), time_s, number % GROUP == 0))
        else:
            made.append((units[0], time_s, number % GROUP == 0))
            made.append((units[1], time_s + Fraction(1, 2 * RATE), False))
    return made


def write_recording(path: Path, container: str, *, together: bool) -> Path:
    stream_bytes = b"".join(data for data, _, _ in samples(together=together))
    with (
        av.open(io.BytesIO(stream_bytes), format="h264") as source,
        av.open(str(path), "w", format=container) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for data, time_s, is_keyframe in samples(together=together):
            packet = av.Packet(data)
            packet.time_base = Fraction(1, 2 * RATE)
            packet.pts = packet.dts = int(time_s / packet.time_base)
            packet.duration = 1 + together
            packet.is_keyframe = is_keyframe
            packet.stream = stream
            target.mux(packet)
    return path


def shown(path: Path) -> list[tuple[int, Fraction]]:
    """(number, time) of each frame; both fields of it have the same brightness."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            levels = bytes(frame.planes[0])[: frame.planes[0].line_size * SIDE]
            rows = [levels[at : at + SIDE] for at in range(0, len(levels), frame.planes[0].line_size)]
            lowest, highest = min(map(min, rows)), max(map(max, rows))
            assert highest - lowest <= 2
            found.append((round((lowest + highest - 40) / 8), frame.pts * Fraction(frame.time_base)))
    return found


def cut(path: Path, directory: Path) -> CutReport:
    interval = Interval(START_MS + 500, START_MS + 1_500)
    candidates = [Candidate(LocalSource(path), START_MS)]
    return prepare(candidates, interval, directory, gap_policy=GapPolicy.HOLD).render(directory / "clip.mp4")


def test_the_footage_is_what_it_claims(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "fields.mp4", "mp4", together=True)
    assert shown(path) == [(number, Fraction(number, RATE)) for number in range(FRAMES)]
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame


def test_both_fields_in_one_sample_are_encoded(tmp_path: Path) -> None:
    report = cut(write_recording(tmp_path / "fields.mp4", "mp4", together=True), tmp_path)
    first = 13  # of 25 in a second, after the first half
    assert shown(report.clip) == [(first + place, Fraction(place, RATE)) for place in range(25)]
    assert report.details["framesEncoded"] == 25
    assert report.details["why"] == ["its video is interlaced"]


REFUSED = {
    ("mp4", False): (UnreadableRecording, "do not decode"),
    ("matroska", False): (NoFrames, "PAFF"),
    ("matroska", True): (NoFrames, "PAFF"),
    ("mpegts", False): (NoFrames, "PAFF"),
    ("mpegts", True): (NoFrames, "PAFF"),
}


@pytest.mark.parametrize(("container", "together"), REFUSED)
def test_elsewhere_fields_are_refused(container: str, together: bool, tmp_path: Path) -> None:
    """Two samples would be shown as one."""
    error, reason = REFUSED[container, together]
    path = write_recording(tmp_path / f"fields.{container}", container, together=together)
    with pytest.raises(error, match=reason) as caught:
        cut(path, tmp_path)
    assert str(caught.value).startswith(path.name)
