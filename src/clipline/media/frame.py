"""The frame of a recording at an instant, as scrubbing shows it: found by the index, read by range, decoded.

    number = choose_frame(index.video, at_pts, exact=False)
    coded = load_frame(source, index.video, number)
    jpeg = draw(coded, 640)

Loading and drawing are apart, since drawing runs in a process that reads no files (``isolation.frames``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from clipline.contract.errors import UnreadableRecording
from clipline.media.decoder import ReadSample, decode
from clipline.media.fit import turn
from clipline.media.index import Track
from clipline.media.limits import MediaLimits
from clipline.media.ranges import ByteSource
from clipline.media.thumbnails import encode_picture
from clipline.media.video import configuration, rotation, with_described_sets, within_pixels

MOST_CODED_BYTES = 64 * 1024 * 1024
"""From the keyframe to the frame: a group of ten seconds of 4K at 50 Mbit/s."""


@dataclass(frozen=True, eq=False)
class CodedFrame:
    """A frame with what it takes to decode it, and nothing else of its recording."""

    track: Track
    """The samples from a keyframe to the frame, numbered from 0; without places in a file."""
    wanted: int
    """The frame's number among them."""
    samples: Sequence[bytes]

    @property
    def pts(self) -> int:
        """When it is shown, ticks on the recording's timeline."""
        return self.track.pts[self.wanted]


def choose_frame(video: Track, at_pts: int, *, exact: bool) -> int:
    """The number of the keyframe nearest to ``at_pts``, or with ``exact`` of the frame on show then.

    Before the first frame that is the first one. Raises UnreadableRecording where no keyframe is shown.
    """
    if exact:
        shown = video.shown
        return shown[max(bisect_right(shown, at_pts, key=video.pts.__getitem__) - 1, 0)]
    return _nearest_keyframe(video, at_pts)


def load_frame(
    source: ByteSource, video: Track, number: int, *, most_pixels: int = MediaLimits.pixels
) -> CodedFrame:
    """Frame ``number`` of a recording's video, with what comes before it from a keyframe on.

    Raises UnreadableRecording and UnsupportedMedia where it can't be decoded, and what ``source`` raises.
    """

    def read(one: int) -> bytes:
        ((offset, size),) = video.locate(one, one + 1)
        return source.read(offset, size)

    described = within_pixels(with_described_sets(video, read), most_pixels)
    first = _beginning(described, number, read)
    samples = _read_samples(source, described, first, number + 1)
    return CodedFrame(_excerpt(described, first, number + 1), number - first, samples)


def draw(coded: CodedFrame, width: int) -> bytes:
    """The frame as a JPEG file ``width`` pixels wide, or as wide as it is if that is less.

    It is turned as the recording says; the height keeps the displayed aspect ratio. Raises what ``decode``
    and ``encode_picture`` do.
    """
    track = coded.track
    (frame,) = decode(track, 0, len(track), [coded.wanted], coded.samples.__getitem__)
    aspect = Fraction(frame.width, frame.height) * (configuration(track).sequence.sample_aspect or 1)
    degrees = rotation(track)
    if degrees:
        frame = turn(frame, degrees)
        aspect = 1 / aspect if degrees % 180 else aspect
    width = min(width, max(frame.width, round(frame.height * aspect)))
    return encode_picture(frame, width, max(round(width / aspect), 1), "jpg")


def _nearest_keyframe(video: Track, at_pts: int) -> int:
    if video.sync is None:
        numbers: Sequence[int] = video.shown
    else:
        numbers = [
            number
            for number in video.sync
            if 0 <= video.pts[number] < video.end_pts and number not in video.hidden
        ]
    if not numbers:
        raise UnreadableRecording("none of its keyframes is shown")
    after = bisect_left(numbers, at_pts, key=video.pts.__getitem__)
    return min(numbers[max(after - 1, 0) : after + 1], key=lambda number: abs(video.pts[number] - at_pts))


def _beginning(video: Track, wanted: int, read: ReadSample) -> int:
    """The last sample from which a decoder comes to ``wanted``."""
    syncs = range(len(video)) if video.sync is None else video.sync
    before = bisect_right(syncs, wanted)
    if before and syncs[before - 1] == wanted:
        return wanted
    sets = configuration(video)
    for number in reversed(syncs[:before]):
        if video.pts[number] <= video.pts[wanted] and sets.can_begin_decoding(read(number)):
            return number
    raise UnreadableRecording("no keyframe comes before the frame")


def _read_samples(source: ByteSource, video: Track, first: int, stop: int) -> list[bytes]:
    """In one read, with what lies between them: sound, mostly."""
    places = video.locate(first, stop)
    begin = min(offset for offset, _ in places)
    end = max(offset + size for offset, size in places)
    if end - begin > MOST_CODED_BYTES:
        raise UnreadableRecording(
            f"the frame ends {end - begin} bytes behind its keyframe, expected at most {MOST_CODED_BYTES}"
        )
    data = memoryview(source.read(begin, end - begin))
    return [bytes(data[offset - begin : offset - begin + size]) for offset, size in places]


def _excerpt(video: Track, first: int, stop: int) -> Track:
    return replace(
        video,
        sizes=list(video.sizes[first:stop]),
        decode_times=list(video.decode_times[first:stop]),
        pts=list(video.pts[first:stop]),
        sync=(0,),
        chunk_first=(0, stop - first),
        chunk_offsets=(0,),
        hidden=frozenset(),
    )
