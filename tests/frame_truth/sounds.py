"""Whether a clip sounds as its recordings do, and when they do, by wall time.

Copied audio frames are known by their bytes. What was encoded anew is known by its loudness: footage
changes it at random every 25 ms, which survives any codec, so a shift of a few milliseconds shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BIN_MS = 4
"""Loudness is told for this long at a time."""
STEP_MS = 25
"""How long the footage keeps its loudness."""
_WINDOW = 150
"""Bins that are compared at a time."""
_MOST_LAG = 15
"""Bins to either side that a window is looked for at."""
_MARGIN = 30
"""Bins beside a change between sound and silence that are not judged: codecs' frames straddle it."""
_SILENT_DB, _LOUDER_DB = -55.0, 9.0
"""Below this nothing sounds; between mono and stereo, and codecs, loudness may differ by that much."""
_COPIED_OFF_MS = 2
"""Or an audio frame, where that is more: a join at which frames overlap is resolved within it."""


@dataclass(frozen=True, eq=False)
class Loudness:
    """The energy of a recording's sound up to each sample."""

    begin_ms: Fraction
    """Wall time (or a clip's own) of the first sample."""
    rate: int
    energy: NDArray[np.float64]
    """Summed from the first sample on, mean of the channels; one more entry than samples."""
    sounding: NDArray[np.int64]
    """Counts in the same way the samples for which there are audio frames at all."""

    def bins(self, from_ms: Fraction, count: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(mean energy, whether it sounds throughout) of ``count`` bins from ``from_ms`` on."""
        edges = (float(from_ms - self.begin_ms) + BIN_MS * np.arange(count + 1)) * self.rate / 1000
        edges = np.clip(np.round(edges), 0, len(self.energy) - 1).astype(np.int64)
        width = BIN_MS * self.rate / 1000
        mean = np.diff(self.energy[edges]) / width
        return mean, np.diff(self.sounding[edges]) >= width - 2


def loudness(path: Path, zero_ms: Fraction) -> Loudness | None:
    """Of a whole file, whose time zero is ``zero_ms``; None where it has no sound."""
    pieces: list[tuple[Fraction, NDArray[np.float64]]] = []
    rate = 0
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        for frame in container.decode(audio=0):
            rate = frame.sample_rate
            samples = frame.to_ndarray().astype(np.float64)
            if not frame.format.is_planar:
                samples = samples.reshape(-1, len(frame.layout.channels)).T
            scale = {"s16": 1 << 15, "s32": 1 << 31}.get(frame.format.name.rstrip("p"), 1)
            pieces.append((frame.pts * Fraction(frame.time_base), ((samples / scale) ** 2).mean(0)))
    if not pieces:
        return None
    begin_s = pieces[0][0]
    places = [round((time_s - begin_s) * rate) for time_s, _ in pieces]
    power = np.zeros(max(place + len(one) for place, (_, one) in zip(places, pieces, strict=True)))
    there = np.zeros(len(power), np.int64)
    for place, (_, one) in zip(places, pieces, strict=True):
        power[place : place + len(one)] = one
        there[place : place + len(one)] = 1
    return Loudness(
        zero_ms + begin_s * 1000, rate,
        np.concatenate(([0.0], power.cumsum())), np.concatenate(([0], there.cumsum())),
    )  # fmt: skip


@dataclass(frozen=True)
class Heard:
    """Where a recording sounds in a clip; milliseconds of the clip's time."""

    recording: Loudness | None
    from_ms: Fraction
    until_ms: Fraction
    zero_ms: Fraction
    """The wall time that the clip's time 0 stands for."""
    frames: Sequence[tuple[Fraction, Fraction, bytes]]
    """(begin, end, coded) of the recording's audio frames; wall time."""


def sound_faults(path: Path, heard: Sequence[Heard], end_ms: Fraction) -> Iterator[str]:
    """What is wrong with the sound of the clip at ``path``, which ends at ``end_ms``."""
    count = math.ceil(end_ms / BIN_MS)
    wanted, sounding = np.zeros(count), np.zeros(count, bool)
    for one in heard:
        first, stop = math.ceil(one.from_ms / BIN_MS), math.floor(one.until_ms / BIN_MS)
        if one.recording is None or stop <= first:
            continue
        mean, there = one.recording.bins(one.zero_ms + first * BIN_MS, min(stop, count) - first)
        wanted[first : min(stop, count)], sounding[first : min(stop, count)] = mean, there
        sounding[first : first + 1] = False  # a join, which frames of codecs straddle
    packets = _packets(path)
    if not packets:
        if sounding.any():
            yield f"it has no sound, {sounding.sum() * BIN_MS} ms of its recordings have"
        return
    yield from _packet_faults(packets, heard, end_ms)
    made = loudness(path, Fraction(0))
    if made is None:
        if end_ms >= max(end - begin for begin, end, _ in packets):  # FFmpeg shows no frame in part
            yield "its sound does not decode"
        return
    got, _ = made.bins(Fraction(0), count)
    most_lag = max(end - begin for begin, end, _ in packets) / BIN_MS
    yield from _loudness_faults(_decibels(wanted), sounding, _decibels(got), float(most_lag))


def _packets(path: Path) -> list[tuple[Fraction, Fraction, bytes]]:
    """(begin, end, coded) of each audio frame, milliseconds."""
    found = []
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        base = Fraction(container.streams.audio[0].time_base) * 1000
        for packet in container.demux(audio=0):
            if packet.size:
                begin = packet.pts * base
                found.append((begin, begin + (packet.duration or 0) * base, bytes(packet)))
    return found


def _packet_faults(
    packets: Sequence[tuple[Fraction, Fraction, bytes]], heard: Sequence[Heard], end_ms: Fraction
) -> Iterator[str]:
    longest = max(end - begin for begin, end, _ in packets)
    if abs(packets[0][0]) > longest + 1:
        yield f"its sound begins at {float(packets[0][0]):.1f} ms"
    if abs(packets[-1][1] - end_ms) > longest + 2:
        yield f"its sound ends at {float(packets[-1][1]):.1f} ms, its pictures at {float(end_ms):.1f} ms"
    for (begin, end, _), (following, _, _) in pairwise(packets):
        if following - end > longest / 2 + 11 or following <= begin:
            yield f"an audio frame at {float(end):.1f} ms is followed by one at {float(following):.1f} ms"
            break
    due: dict[bytes, list[Fraction]] = {}
    for one in heard:
        for begin, _, data in one.frames:
            due.setdefault(data, []).append(begin - one.zero_ms)
    for begin, _, data in packets:
        if data in due and len(data) > 32:  # silence repeats itself
            off = min((begin - at for at in due[data]), key=abs)
            if abs(off) >= max(longest, _COPIED_OFF_MS):
                yield f"the audio frame at {float(begin):.1f} ms is {float(off):+.1f} ms off"
                break


def _decibels(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nothing below -60 dB: an encoder may leave out a few milliseconds that are 24 dB below the rest."""
    return 10 * np.log10(np.maximum(energy, 1e-6))


def _loudness_faults(
    wanted: NDArray[np.float64], sounding: NDArray[np.bool_], got: NDArray[np.float64], most_lag: float
) -> Iterator[str]:
    if len(sounding) < 2 * _MARGIN + 1:
        return
    near = np.convolve(sounding, np.ones(2 * _MARGIN + 1), "same")
    inside = np.minimum(np.arange(len(sounding)), np.arange(len(sounding))[::-1]) >= _MARGIN
    silent = (near < 0.5) & inside
    if silent.any() and (loud := got[silent].max()) > _SILENT_DB:
        at = np.flatnonzero(silent)[got[silent].argmax()] * BIN_MS
        yield f"at {at} ms it sounds at {loud:.0f} dB, where no recording has sound"
    throughout = near > 2 * _MARGIN + 0.5
    first = 0
    while first + _WINDOW <= len(wanted):
        window = slice(first, first + _WINDOW)
        if throughout[window].all():
            if fault := _window_fault(wanted[window], got, first, most_lag):
                yield fault
                return
            first += 4 * _WINDOW
        first += _MARGIN


def _window_fault(
    wanted: NDArray[np.float64], got: NDArray[np.float64], first: int, most_lag: float
) -> str | None:
    off_db = abs(got[first : first + len(wanted)].mean() - wanted.mean())
    if off_db > _LOUDER_DB:
        return f"at {first * BIN_MS} ms it is {off_db:.0f} dB louder or lower than the recording"
    best, lag = -1.0, 0
    for shift in range(-_MOST_LAG, _MOST_LAG + 1):
        if first + shift < 0 or first + shift + len(wanted) > len(got):
            continue
        likeness = float(np.corrcoef(wanted, got[first + shift : first + shift + len(wanted)])[0, 1])
        if likeness > best:
            best, lag = likeness, shift
    if abs(lag) >= max(most_lag, 3) or best < 0.6:
        return f"at {first * BIN_MS} ms its sound is {lag * BIN_MS:+d} ms off (likeness {best:.2f})"
    return None
