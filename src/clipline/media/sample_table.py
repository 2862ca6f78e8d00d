"""The sample table of a track, ``stbl``: what lies where, and when (ISO/IEC 14496-12, section 8)."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain, islice, pairwise, repeat

from clipline.contract.errors import UnreadableRecording
from clipline.media.audio_groups import group
from clipline.media.boxes import Box

MAX_SAMPLES = 10_000_000


@dataclass(frozen=True, eq=False)
class Samples:
    """A track's samples, in decode order. Times are media times: ticks before any edit list.

    An hour has 100,000 samples and more: what is told of each is a range or packed in an array, since a
    list of numbers takes ten times as much memory.
    """

    sizes: Sequence[int]
    """Bytes."""
    durations: Sequence[int]
    decode_times: Sequence[int]
    pts: Sequence[int]
    sync: Sequence[int] | None
    """Sample numbers (from 0) of the sync samples; None: every sample is one."""
    chunk_first: Sequence[int]
    """Number of the first sample of each chunk, and the number of samples at the end."""
    chunk_offsets: Sequence[int]
    """Byte offset of each chunk."""
    descriptions: frozenset[int]
    """Numbers (from 1) of the sample descriptions that are used."""
    missing_from: int | None = None
    """The earliest presentation time of the samples that a file which was cut off lacks."""

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def end(self) -> int:
        """When the last sample stops being shown, be it that one is missing before."""
        if isinstance(self.pts, range) and self.pts:
            end = self.pts[-1] + self.durations[-1]
        else:
            end = max(map(operator.add, self.pts, self.durations), default=0)
        return end if self.missing_from is None else min(end, self.missing_from)

    def select(self, numbers: Sequence[int]) -> Samples:
        """Only these, in order; each becomes a chunk of its own. All must be sync samples."""
        offsets = array(
            "Q",
            (
                offset
                for (first, stop), start in zip(pairwise(self.chunk_first), self.chunk_offsets, strict=False)
                for offset in accumulate(self.sizes[first : stop - 1], initial=start)
            ),
        )
        return replace(
            self,
            sizes=array("I", map(self.sizes.__getitem__, numbers)),
            durations=packed_times(map(self.durations.__getitem__, numbers)),
            decode_times=packed_times(map(self.decode_times.__getitem__, numbers)),
            pts=packed_times(map(self.pts.__getitem__, numbers)),
            sync=None,
            chunk_first=range(len(numbers) + 1),
            chunk_offsets=array("Q", map(offsets.__getitem__, numbers)),
        )


def packed_times(times: Iterable[int]) -> array[int]:
    """``times`` in 8 bytes each. Raises UnreadableRecording where one does not fit."""
    try:
        return array("q", times)
    except OverflowError:
        raise UnreadableRecording("it has a time that no clock shows, beyond 64 bits") from None


def shifted(times: Sequence[int], shift: int) -> Sequence[int]:
    """``times``, each later by ``shift``."""
    if not shift:
        return times
    if isinstance(times, range):
        return range(times.start + shift, times.stop + shift, times.step)
    return packed_times(map(operator.add, times, repeat(shift)))


def parse_samples(table: Box, size_bytes: int, frame_bytes: int = 0) -> Samples:
    """The samples of ``stbl``, which lie in a file of ``size_bytes``. Raises UnreadableRecording.

    With ``frame_bytes`` they are single samples of sound of that size, and read as frames of many.
    """
    if frame_bytes:
        return _grouped_samples(table, size_bytes, frame_bytes)
    sizes = _sizes(table, size_bytes)
    durations, decode_times = _decode_times(table, len(sizes))
    chunk_first, chunk_offsets, descriptions = _chunks(table, len(sizes))
    if chunk_offsets:
        last = chunk_offsets.index(max(chunk_offsets))
        _check_end(chunk_offsets[last] + sum(sizes[chunk_first[last] : chunk_first[last + 1]]), size_bytes)
    return Samples(
        sizes, durations, decode_times, _presentation_times(table, decode_times), _sync(table, len(sizes)),
        chunk_first, chunk_offsets, descriptions,
    )  # fmt: skip


def _grouped_samples(table: Box, size_bytes: int, frame_bytes: int) -> Samples:
    _, count = table.need("stsz").unpack("II", 4)
    if count * frame_bytes > size_bytes:
        raise CutOff(f"it is cut off: it tells of {count * frame_bytes} bytes of audio, has {size_bytes}")
    chunk_first, chunk_offsets, descriptions = _chunks(table, count)
    sizes, durations, times, firsts, offsets = group(
        table, frame_bytes, chunk_first, chunk_offsets, size_bytes
    )
    if offsets:
        last = max(range(len(offsets)), key=offsets.__getitem__)
        _check_end(offsets[last] + sum(sizes[firsts[last] : firsts[last + 1]]), size_bytes)
    decode_times = packed_times(times)
    return Samples(
        array("I", sizes), packed_times(durations), decode_times, decode_times, None,
        array("I", firsts), offsets, descriptions,
    )  # fmt: skip


class CutOff(UnreadableRecording):
    """Samples lie beyond the end of the file: no fault of one track alone."""


def _check_end(end: int, size_bytes: int) -> None:
    if end > size_bytes:
        raise CutOff(f"it is cut off: its index points to byte {end}, the file has {size_bytes}")


def _sizes(table: Box, size_bytes: int) -> Sequence[int]:
    """``stsz``, section 8.7.3.2, or ``stz2``, 8.7.3.3."""
    compact = table.find("stz2")
    if compact is not None:
        width, count = compact.unpack("II", 4)
        _check_count(compact, count)
        return _compact_sizes(compact, width & 0xFF, count)
    box = table.need("stsz")
    uniform, count = box.unpack("II", 4)
    _check_count(box, count)
    if not uniform:
        return box.table("I", 12, count)
    _check_end(uniform * count, size_bytes)
    return array("I", [uniform]) * count


def _check_count(box: Box, count: int) -> None:
    if count > MAX_SAMPLES:
        raise UnreadableRecording(f"the {box.kind} box claims {count} samples")


def _compact_sizes(box: Box, width: int, count: int) -> Sequence[int]:
    if width in (8, 16):
        return box.table("B" if width == 8 else "H", 12, count)
    if width != 4:
        raise UnreadableRecording(f"the stz2 box has sizes of {width} bits; 4, 8 or 16 are possible")
    pairs = box.table("B", 12, (count + 1) // 2)
    return array("B", chain.from_iterable((pair >> 4, pair & 15) for pair in pairs))[:count]


def _decode_times(table: Box, count: int) -> tuple[Sequence[int], Sequence[int]]:
    """``stts``, section 8.6.1.2: (duration, decode time) of each sample."""
    box = table.need("stts")
    (entries,) = box.unpack("I", 4)
    numbers = box.table("I", 8, entries * 2)
    if entries == 1 and numbers[0] >= count and numbers[1]:
        delta = numbers[1]
        return array("I", [delta]) * count, range(0, count * delta, delta)
    durations = array("I", islice(_expanded(numbers[::2], numbers[1::2]), count))
    if len(durations) != count:
        raise UnreadableRecording(f"the stts box times {len(durations)} samples of {count}")
    return durations, packed_times(islice(accumulate(durations, initial=0), count))


def _expanded(runs: Iterable[int], values: Iterable[int]) -> Iterable[int]:
    """Each of ``values`` as often as ``runs`` say."""
    return chain.from_iterable(map(repeat, values, runs))


def _presentation_times(table: Box, decode_times: Sequence[int]) -> Sequence[int]:
    """``ctts``, section 8.6.1.3; offsets are read as signed in either version, as players do."""
    box = table.find("ctts")
    if box is None:
        return decode_times
    (entries,) = box.unpack("I", 4)
    numbers = box.table("i", 8, entries * 2)
    offsets = chain(_expanded(numbers[::2], numbers[1::2]), repeat(0))
    return packed_times(map(operator.add, decode_times, offsets))


def _sync(table: Box, count: int) -> Sequence[int] | None:
    """``stss``, section 8.6.2."""
    box = table.find("stss")
    if box is None:
        return None
    (entries,) = box.unpack("I", 4)
    numbers = box.table("I", 8, entries)
    if any(a >= b for a, b in pairwise(numbers)) or (numbers and not 1 <= numbers[0] <= numbers[-1] <= count):
        raise UnreadableRecording("the stss box lists samples that are not there")
    return array("I", (number - 1 for number in numbers))


def _chunks(table: Box, count: int) -> tuple[Sequence[int], array[int], frozenset[int]]:
    """``stsc`` and ``stco`` or ``co64``, sections 8.7.4 and 8.7.5.

    (first sample of each chunk, offset of each chunk, numbers of the sample descriptions used)
    """
    box = table.find("stco")
    code = "I"
    if box is None:
        box, code = table.need("co64"), "Q"
    (chunks,) = box.unpack("I", 4)
    offsets = box.table(code, 8, chunks)
    runs_box = table.need("stsc")
    (entries,) = runs_box.unpack("I", 4)
    numbers = runs_box.table("I", 8, entries * 3)
    firsts, counts = numbers[::3], numbers[1::3]
    firsts.append(chunks + 1)
    lengths = list(map(operator.sub, firsts[1:], firsts))
    if firsts[0] != 1 or min(lengths, default=1) < 1 or min(counts, default=1) < 1:
        raise UnreadableRecording("the stsc box does not fit the chunks")
    held = sum(map(operator.mul, counts, lengths))
    if held != count:
        raise UnreadableRecording(f"the chunks hold {held} samples of {count}")
    chunk_first: Sequence[int]
    if entries == 1:
        chunk_first = range(0, count + 1, counts[0])
    else:
        chunk_first = array("I", accumulate(_expanded(lengths, counts), initial=0))
    return chunk_first, offsets, frozenset(numbers[2::3])
