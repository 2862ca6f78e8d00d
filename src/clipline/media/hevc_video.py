"""An HEVC track as the cut sees it: the answers that ``AvcConfiguration`` gives for H.264."""

from __future__ import annotations

from clipline.media.hevc import is_entry, splice_sample, units_of, with_sets
from clipline.media.hevc_sets import HevcConfiguration

_SLICES = range(32)
_TRAILING_AND_LEADING = range(16)
"""NAL unit types of which the even ones are not referred to (table 7-1)."""
_COMPLETE_ENTRIES = range(16, 21)
"""BLA and IDR pictures."""


class HevcVideo(HevcConfiguration):
    """The ``hvcC`` record, and what its samples allow."""

    def can_begin_copy(self, sample: bytes) -> bool:
        """Whether players can begin at ``sample`` after pictures that have nothing to do with it."""
        return is_entry(sample, self.length_bytes)

    def can_begin_decoding(self, sample: bytes) -> bool:
        """Whether a decoder that begins here gets every picture right that is shown from this one on."""
        return is_entry(sample, self.length_bytes)

    def leans_on_before(self, _sample: bytes) -> bool:
        """Whether a picture that is decoded after a keyframe and shown before it needs what came before.

        Those that don't (RADL) are treated alike: no picture that is kept refers to them (section 8.3.2).
        """
        return True

    def is_disposable(self, sample: bytes) -> bool:
        """Whether no other picture is decoded from this one: a sub-layer non-reference picture
        (section 7.4.2.2, table 7-1) of a track without temporal sub-layers."""
        slices = [(kind, unit) for kind, unit in units_of(sample, self.length_bytes) if kind in _SLICES]
        return bool(slices) and all(
            kind in _TRAILING_AND_LEADING and kind % 2 == 0 and unit[1] & 7 == 1 for kind, unit in slices
        )

    def sync_front(self, sample: bytes, *, begins: bool) -> tuple[bytes, int]:
        """(what stands in place of a sync sample's front, bytes of that front); ``begins``: a copy, with it.

        Firefox takes parameter sets only from samples (players.md). A CRA picture within a copy stays as
        it is: libde265 loses its leading pictures where sets stand before it (measured), and a decoder
        that plays on has them already.
        """
        if begins:
            return splice_sample(sample, self), len(sample)
        if not any(kind in _COMPLETE_ENTRIES for kind, _ in units_of(sample, self.length_bytes)):
            return b"", 0
        changed = with_sets(sample, self)
        behind = len(sample) - self._slices_at(sample)
        return changed[: len(changed) - behind], len(sample) - behind

    def _slices_at(self, sample: bytes) -> int:
        """Where the first slice's length field stands."""
        at = 0
        for kind, unit in units_of(sample, self.length_bytes):
            if kind in _SLICES:
                break
            at += self.length_bytes + len(unit)
        return at


def hevc_video(found: HevcConfiguration) -> HevcVideo:
    return HevcVideo(found.vps, found.sps, found.pps, found.length_bytes, found.sei)
