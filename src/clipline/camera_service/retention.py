"""How long clips and recordings are kept: by age, by space, and never by accident.

    plan = Retention(clips_ms=30 * DAY_MS).plan(catalog, now_ms)
    print(plan)              # what would go: a dry run ends here
    plan.carry_out(...)

Nothing is removed unless it was asked for. What goes is the oldest: of clips by when they were asked for
last, of recordings by when they end. Clips that are not there yet stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clipline.camera_service.catalog import Catalog, StoredRecording
from clipline.camera_service.clip_desk import ClipDesk
from clipline.camera_service.clip_records import ClipRecord
from clipline.contract.errors import CliplineError
from clipline.contract.result import Status
from clipline.pipeline.ports import ObjectStore

DAY_MS = 86_400_000
_UNITS_MS = {"h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
_UNITS_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_AT_A_TIME = 500


@dataclass(frozen=True)
class Plan:
    """What is to go."""

    clips: Sequence[ClipRecord]
    recordings: Sequence[StoredRecording]

    @property
    def clip_bytes(self) -> int:
        """Of the clips' objects, as far as known."""
        return sum(clip.size_bytes or 0 for clip in self.clips)

    @property
    def recording_bytes(self) -> int:
        return sum(recording.size_bytes for recording in self.recordings)

    def __str__(self) -> str:
        return (
            f"{len(self.clips)} clips with {_megabytes(self.clip_bytes)}, "
            f"{len(self.recordings)} recordings with {_megabytes(self.recording_bytes)}"
        )

    def carry_out(
        self,
        catalog: Catalog,
        desk: ClipDesk,
        origin: ObjectStore,
        on_error: Callable[[str, CliplineError | OSError], None],
    ) -> None:
        """Remove it all. ``on_error`` is told what could not be removed, by name; the rest goes on."""
        for clip in self.clips:
            try:
                desk.delete(clip.clip_id)
            except CliplineError as error:
                on_error(f"clip {clip.clip_id}", error)
        for begin in range(0, len(self.recordings), _AT_A_TIME):
            gone = []
            for recording in self.recordings[begin : begin + _AT_A_TIME]:
                try:
                    _remove(origin, recording.key)
                except (CliplineError, OSError) as error:
                    on_error(f"recording {recording.key}", error)
                else:
                    gone.append((recording.alias, recording.name))
            catalog.change(gone=gone)


@dataclass(frozen=True)
class Retention:
    """What is kept; None keeps everything."""

    clips_ms: int | None = None
    clips_bytes: int | None = None
    recordings_ms: int | None = None
    recordings_bytes: int | None = None

    def __bool__(self) -> bool:
        """Whether anything may ever go."""
        limits = (self.clips_ms, self.clips_bytes, self.recordings_ms, self.recordings_bytes)
        return any(limit is not None for limit in limits)

    def plan(self, catalog: Catalog, now_ms: int) -> Plan:
        """What is too old or too much at ``now_ms`` (milliseconds since the epoch)."""
        return Plan(self._clips(catalog, now_ms), self._recordings(catalog, now_ms))

    def _clips(self, catalog: Catalog, now_ms: int) -> Sequence[ClipRecord]:
        going: dict[str, ClipRecord] = {}
        if self.clips_ms is not None:
            finished = catalog.clips.finished_before(now_ms - self.clips_ms)
            going |= {clip.clip_id: clip for clip in finished}
        if self.clips_bytes is not None:
            stored = [clip for clip in catalog.clips.stored() if clip.clip_id not in going]
            left_bytes = sum(clip.size_bytes or 0 for clip in stored)
            for clip in stored:
                if left_bytes <= self.clips_bytes:
                    break
                left_bytes -= clip.size_bytes or 0
                going[clip.clip_id] = clip
        return [clip for clip in going.values() if clip.status != Status.PENDING]

    def _recordings(self, catalog: Catalog, now_ms: int) -> Sequence[StoredRecording]:
        too_old: Sequence[StoredRecording] = []
        if self.recordings_ms is not None:
            too_old = catalog.oldest(now_ms - self.recordings_ms)
        if self.recordings_bytes is None:
            return too_old
        left_bytes = catalog.recorded_bytes() - sum(one.size_bytes for one in too_old)
        if left_bytes <= self.recordings_bytes:
            return too_old
        going = list(too_old)
        for recording in catalog.oldest()[len(too_old) :]:
            if left_bytes <= self.recordings_bytes:
                break
            left_bytes -= recording.size_bytes
            going.append(recording)
        return going


def parse_age(text: str) -> int:
    """Milliseconds of ``30d``, ``12h`` or ``2w``. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,6})([hdw])", text.strip(), re.ASCII)
    if match is None or not int(match[1]):
        raise ValueError(f"{text!r}: expected a number of hours, days or weeks, as in 12h, 30d or 2w")
    return int(match[1]) * _UNITS_MS[match[2]]


def parse_space(text: str) -> int:
    """Bytes of ``50GB``, ``2TB`` or ``500GiB``. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,9}) ?([MGT]i?B)", text.strip(), re.ASCII)
    if match is None:
        raise ValueError(f"{text!r}: expected a number with MB, GB, TB, MiB, GiB or TiB, as in 50GB")
    return int(match[1]) * _UNITS_BYTES[match[2]]


def _remove(origin: ObjectStore, key: str) -> None:
    path = origin.local_path(key)
    if path is None:
        origin.delete(key)
    else:  # a folder of recordings is others': no lock is left in it
        path.unlink(missing_ok=True)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
