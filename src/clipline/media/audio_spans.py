"""What the audio track of a clip is made of: frames copied, encoded anew, and silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, eq=False)
class CopiedSound:
    """Frames ``[first, stop)`` of a source, byte for byte."""

    source: int
    first: int
    stop: int
    begin_s: Fraction
    """Output time of the first frame, as of all spans; it may lie before 0."""
    ends_s: Fraction
    """When the last one ends."""


@dataclass(frozen=True, eq=False)
class SoundPiece:
    """What to decode: frames ``[first, stop)`` of a source, heard in ``[from_s, until_s)`` of the clip."""

    source: int
    first: int
    stop: int
    zero_s: Fraction
    """Output time of the source's own zero."""
    from_s: Fraction
    until_s: Fraction


@dataclass(frozen=True, eq=False)
class EncodedSound:
    """``frames`` new AAC frames made of ``pieces``, silent where none of them sounds."""

    begin_s: Fraction
    frames: int
    pieces: Sequence[SoundPiece]


@dataclass(frozen=True, eq=False)
class SilentSound:
    """``frames`` frames of silence."""

    begin_s: Fraction
    frames: int


AudioSpan = CopiedSound | EncodedSound | SilentSound
