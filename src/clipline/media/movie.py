"""The ``moov`` box: what it says of the two tracks that a clip is made of (ISO/IEC 14496-12, section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from clipline.contract.errors import MediaError, UnreadableRecording, UnsupportedMedia
from clipline.media.audio_groups import constant_size
from clipline.media.boxes import Box
from clipline.media.edits import Part, read_parts
from clipline.media.fragments import Defaults, read_defaults
from clipline.media.sample_table import CutOff, Samples, parse_samples

VIDEO_ENTRIES = frozenset({"avc1", "avc3", "hvc1", "hev1"})
"""Sample entries of video that can be cut."""

_HOLDERS = {
    "edts": "trak", "elst": "edts", "mdia": "trak", "mdhd": "mdia", "minf": "mdia", "stbl": "minf",
    **dict.fromkeys(("stsd", "stts", "ctts", "stss", "stsc", "stsz", "stz2", "stco", "co64"), "stbl"),
}  # fmt: skip
"""The box that each stands in (section 6.2.3, table 1)."""

_SECONDS_1904_TO_1970 = 2_082_844_800
_PLAUSIBLE_S = 946_684_800  # 2000
_LATEST_S = 1 << 32

_ENCRYPTED = frozenset({"encv", "enca", "drms", "drmi"})


@dataclass(frozen=True, eq=False)
class MovieTrack:
    """One ``trak``, before its samples are put on the movie timeline."""

    identifier: int
    timescale: int
    """Ticks a second."""
    entries: Sequence[Box]
    """Sample entries of ``stsd``."""
    samples: Samples
    """Those that ``moov`` itself lists; in a fragmented file mostly none."""
    parts: Sequence[Part]
    header: bytes
    """The ``tkhd`` box's matrix, width and height: 44 bytes."""
    defaults: Defaults | None
    """For samples in fragments; None: the track has none."""

    def entry(self, descriptions: frozenset[int]) -> Box:
        """The sample entry of samples that use ``descriptions``, numbered from 1."""
        if len(descriptions) > 1:
            used = " and ".join(f"{number} ({self._entry(number).kind})" for number in sorted(descriptions))
            raise UnsupportedMedia(f"its samples use several sample descriptions, {used}; one can be cut")
        return self._entry(*descriptions) if descriptions else self._entry(1)

    def _entry(self, number: int) -> Box:
        if not 1 <= number <= len(self.entries):
            raise UnreadableRecording(
                f"its samples use sample description {number}, the stsd box has {len(self.entries)}"
            )
        return self.entries[number - 1]


@dataclass(frozen=True, eq=False)
class Movie:
    """What ``moov`` says."""

    moov: Box
    size_bytes: int
    """Of the whole file."""

    def __post_init__(self) -> None:
        if self.moov.find("cmov"):
            raise UnsupportedMedia("its index is compressed (cmov), which can't be read")

    @cached_property
    def fragmented(self) -> bool:
        """Whether samples may follow in fragments (section 8.8.1)."""
        return self.moov.find("mvex") is not None

    def created_ms(self) -> int | None:
        """creation_time of ``mvhd`` (section 8.2.2), milliseconds since 1970; None where it is not set.

        Cameras that don't know the time write 0, or count from 1970.
        """
        header = self.moov.need("mvhd")
        version, _ = header.version_and_flags()
        (created_s,) = header.unpack("Q" if version == 1 else "I", 4)
        since_1970_s = int(created_s) - _SECONDS_1904_TO_1970
        return since_1970_s * 1000 if _PLAUSIBLE_S <= since_1970_s < _LATEST_S else None

    def video(self) -> MovieTrack:
        """The first video track that can be cut. Raises UnsupportedMedia where there is none."""
        traks = self._traks(b"vide")
        if not traks:
            raise UnreadableRecording("it has no video track with a picture in it")
        kinds = [_entry_kinds(trak) for trak in traks]
        chosen = next((n for n, found in enumerate(kinds) if VIDEO_ENTRIES.intersection(found)), None)
        if chosen is None:
            if _ENCRYPTED.intersection(*kinds):
                raise UnsupportedMedia("its video is encrypted; footage in the clear can be cut")
            raise UnsupportedMedia(
                f"its video is {', '.join(map(repr, kinds[0]))}; "
                f"{', '.join(map(repr, sorted(VIDEO_ENTRIES)))} can be cut"
            )
        return self._track(traks[chosen])

    def audio(self) -> tuple[MovieTrack | None, list[str]]:
        """The first audio track that can be read, and what is wrong with those before it."""
        notes: list[str] = []
        try:
            traks = self._traks(b"soun")
        except MediaError as error:
            return None, [f"its audio can't be read: {error}"]
        for trak in traks:
            try:
                if _ENCRYPTED.intersection(_entry_kinds(trak)):
                    raise UnsupportedMedia("it is encrypted")
                return self._track(trak), notes
            except CutOff:
                raise
            except MediaError as error:
                notes.append(f"its audio can't be read: {error}")
        return None, notes

    def _traks(self, handler: bytes) -> list[Box]:
        return [
            trak
            for trak in self.moov.children()
            if trak.kind == "trak" and bytes(trak.need("mdia", "hdlr").body[8:12]) == handler
        ]

    def _track(self, trak: Box) -> MovieTrack:
        _check_places(trak)
        header = trak.need("tkhd")
        version, _ = header.version_and_flags()
        (identifier,) = header.unpack("I", 20 if version == 1 else 12)
        header.unpack("44x", 32)
        timescale = _timescale(trak.need("mdia", "mdhd"))
        information = trak.need("mdia", "minf")
        _check_references(information)
        table = information.need("stbl")
        movie_timescale = _timescale(self.moov.need("mvhd"))
        entries = [entry.copy() for entry in table.need("stsd").children(8)]
        frame_bytes = constant_size(table, entries[0]) if entries else 0
        return MovieTrack(
            identifier,
            timescale,
            entries,
            parse_samples(table, self.size_bytes, frame_bytes),
            read_parts(trak, movie_timescale, timescale, fragmented=self.fragmented),
            bytes(header.body[-44:]),
            read_defaults(self.moov).get(identifier),
        )


def _check_places(box: Box) -> None:
    """Boxes that tell of samples stand where they belong: some readers find them elsewhere as well."""
    kinds = [child.kind for child in box.children()]
    for kind in kinds:
        if _HOLDERS.get(kind, box.kind) != box.kind:
            raise UnreadableRecording(f"its {kind} box stands in a {box.kind} box")
    if box.kind == "edts" and kinds and "elst" not in kinds:
        raise UnreadableRecording("its edts box holds no elst box")
    for child in box.children():
        if child.kind in _HOLDERS.values():
            _check_places(child)


def _entry_kinds(trak: Box) -> list[str]:
    return [entry.kind for entry in trak.need("mdia", "minf", "stbl", "stsd").children(8)]


def _timescale(header: Box) -> int:
    """Of ``mvhd`` (section 8.2.2) or ``mdhd`` (8.4.2)."""
    version, _ = header.version_and_flags()
    (timescale,) = header.unpack("I", 20 if version == 1 else 12)
    if not timescale:
        raise UnreadableRecording(f"the {header.kind} box has a timescale of 0")
    return timescale


def _check_references(information: Box) -> None:
    """``dref``, section 8.7.2: samples must lie in the file itself."""
    references = information.find("dinf", "dref")
    for reference in references.children(8) if references else ():
        _, flags = reference.version_and_flags()
        if not flags & 1:
            raise UnsupportedMedia("its footage lies in another file; footage in the file itself can be cut")
