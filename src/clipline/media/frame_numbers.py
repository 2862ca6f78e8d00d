"""Whether H.264 pictures follow each other, as far as their frame_num tells (ITU-T H.264, section 7.4.3).

It goes up by one at each reference picture, so that a decoder sees when one is missing. FFmpeg puts
another picture in its place, and says nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from clipline.contract.errors import UnreadableRecording, UnsupportedMedia
from clipline.media.bits import BitReader, unescape
from clipline.media.parameter_sets import SequenceParameters

_SLICE, _IDR_SLICE = 1, 5
"""NAL unit types, table 7-1."""


class FrameNumbers:
    """Looks at the first slice of each picture, in decode order."""

    def __init__(self, sequence_of: Callable[[int], SequenceParameters | None], *, fields: bool) -> None:
        """``sequence_of`` gives the sequence parameters of a picture parameter set, by its id.

        ``fields``: whether a field may be a picture of its own.
        """
        self._sequence_of = sequence_of
        self._fields = fields
        self._reference_number: int | None = None
        """``frame_num`` of the last reference picture; None: it isn't known."""

    def follows(self, unit: bytes, *others: bytes) -> bool:
        """Whether the picture that begins with the slice ``unit`` follows the one before it.

        ``others``: its other slices. Raises UnreadableRecording where they are of another picture,
        UnsupportedMedia for a field that is a picture of its own, where there may be none.
        """
        bits = BitReader(unescape(unit[1:24]))
        bits.ue()  # first_mb_in_slice
        bits.ue()  # slice_type
        sequence = self._sequence_of(bits.ue())
        if sequence is None:
            return True
        if any(_is_of_another(unit, other, sequence) for other in others):
            raise UnreadableRecording("a sample holds two pictures")
        number = bits.u(sequence.frame_num_bits)
        if not self._fields and not sequence.progressive and bits.flag():
            raise UnsupportedMedia("its video has fields as pictures of their own (PAFF), not cut yet")
        if not sequence.counts_frames:
            return True
        before = self._reference_number
        follows = True
        if unit[0] & 31 != _IDR_SLICE and before is not None:
            # A picture that marks all references as unused (operation 5) counts as number 0.
            # One that repeats the number before it skips none, though no encoder should write it.
            follows = number in {before, (before + 1) % (1 << sequence.frame_num_bits), 1}
        if unit[0] & 0x60 or not follows:
            self._reference_number = number
        return follows


def _is_of_another(unit: bytes, other: bytes, sequence: SequenceParameters) -> bool:
    """Whether two slices in one sample begin two pictures, or one alone is of an IDR picture (7.4.1.2.4).

    Of two fields each begins with the first macroblock, and the first alone may be of an IDR picture.
    Extended profile's data partitions (2 to 4) are let pass.
    """
    kinds = {unit[0] & 31, other[0] & 31}
    first_again = other[1:2] >= b"\x80"  # first_mb_in_slice is 0
    return sequence.progressive and kinds <= {_SLICE, _IDR_SLICE} and (len(kinds) == 2 or first_again)
