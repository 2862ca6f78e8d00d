"""Matroska recordings: the window by their cues, head and tail."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av

from clipline.media.gather import Spool
from clipline.media.index import RecordingIndex, Window
from clipline.media.ranges import ByteSource
from clipline.media.taking import Intake, Unit, demux, time_base
from clipline.media.untrusted import BlockReader, open_untrusted

_SOUND_LAG_S = 5
"""How far behind its picture audio may stand in a Matroska file."""
_MARGIN_S = 1


def take_in_matroska(source: ByteSource, spool: Spool, window: Window | None) -> RecordingIndex:
    file = BlockReader(source)
    for seek in (True, False):
        file.seek(0)
        with open_untrusted(file, "matroska") as container:
            intake = Intake(container, spool, window)
            units = intake.begin(_matroska_units(intake), far_only=True)
            jumps = window is not None and container.duration is not None
            if jumps and seek:
                if not _seek_before(intake):
                    continue  # a seek to the beginning would miss audio that stands before the first picture
                units = _matroska_units(intake)
            for unit in units:
                intake.add(unit)
                if jumps and _has_window(intake, unit):
                    _find_end(intake)
                    break
            return intake.finish(file.bytes_read)
    raise AssertionError("without a seek it is read from the beginning")


def _matroska_units(intake: Intake) -> Iterator[Unit]:
    streams = [intake.video] if intake.audio is None else [intake.video, intake.audio]
    for packet in demux(intake.container, streams):
        yield Unit(
            packet.stream is intake.video, packet.pts, packet.duration or 0, bytes(packet), packet.is_keyframe
        )


def _seek_before(intake: Intake) -> bool:
    """Go to where two groups, and a second, lie before the window. False: none is found."""
    container, window = intake.container, intake.window
    assert window is not None
    base = time_base(intake.video)
    target = round((window.from_s + intake.zero_s) / base)
    entries = 0
    while target > 0:
        try:
            container.seek(target, stream=intake.video, backward=True, any_frame=False)
        except av.FFmpegError:
            return False
        first = next((unit for unit in _matroska_units(intake) if unit.video), None)
        if first is None or first.pts is None or first.pts > target:
            break
        sample, _ = intake.samples.sample(intake.units(first.data))
        entries += intake.samples.begins_group(sample)[0]
        if entries > 1 and first.pts * base <= window.from_s + intake.zero_s - _MARGIN_S:
            container.seek(first.pts, stream=intake.video, backward=True, any_frame=False)
            return True
        target = first.pts - 1
    return False


def _has_window(intake: Intake, unit: Unit) -> bool:
    """Whether all of the window, its audio as well, has been taken in."""
    if not intake.pictures.complete or unit.pts is None:
        return False
    assert intake.window is not None
    stream = intake.video if unit.video else intake.audio
    assert stream is not None
    late_s = unit.pts * time_base(stream) - intake.zero_s - intake.window.to_s
    return intake.audio is None or late_s > (_SOUND_LAG_S if unit.video else 0)


def _find_end(intake: Intake) -> None:
    """See when the recording ends: its last cluster tells."""
    container = intake.container
    assert container.duration is not None
    target = round(Fraction(container.duration, av.time_base) / time_base(intake.video))
    container.seek(target, stream=intake.video, backward=True, any_frame=False)
    for unit in _matroska_units(intake):
        if unit.video and unit.pts is not None:
            intake.pictures.note_time(intake.ticks(unit.pts), unit.duration)
