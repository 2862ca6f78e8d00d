"""How long clips and recordings are kept: by age, by space, and never by accident.

    plan = Retention(clips_ms=30 * DAY_MS).plan(catalog, now_ms)
    print(plan)              # what would go: a dry run ends here
    gone = plan.carry_out(...)

Nothing is removed unless it was asked for. What goes is the oldest: of clips by when they were asked for
last, of recordings by when they end. Clips that are not there yet stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipline.camera_service.catalog import Catalog, StoredRecording
from clipline.camera_service.clip_desk import ClipDesk
from clipline.camera_service.clip_records import ClipRecord
from clipline.contract.errors import CliplineError, Unavailable
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
        originals: Originals,
        on_error: Callable[[str, CliplineError | OSError], None],
    ) -> Plan:
        """Remove it all; returns what is gone. ``on_error`` is told what could not be removed, by name; the
        rest goes on."""
        clips, recordings = [], []
        for clip in self.clips:
            try:
                desk.expire(clip)
            except CliplineError as error:
                on_error(f"clip {clip.clip_id}", error)
            else:
                clips.append(clip)
        try:
            originals.check([recording.key for recording in self.recordings])
        except (CliplineError, OSError) as error:
            on_error("recordings", error)
            return Plan(clips, [])
        for begin in range(0, len(self.recordings), _AT_A_TIME):
            gone = []
            for recording in self.recordings[begin : begin + _AT_A_TIME]:
                try:
                    originals.remove(recording.key)
                except (CliplineError, OSError) as error:
                    on_error(f"recording {recording.key}", error)
                else:
                    gone.append(recording)
            catalog.change(gone=[(recording.alias, recording.name) for recording in gone])
            recordings += gone
        return Plan(clips, recordings)


class Originals:
    """Recordings where they lie: in ``store``, whose URL is ``url``."""

    def __init__(self, url: str, store: ObjectStore) -> None:
        self._store = store
        # A folder of recordings is others': nothing is left in it, not even for a moment.
        self._folder = Path(url.removeprefix("file:")) if url.startswith("file:") else None

    def check(self, keys: Sequence[str]) -> None:
        """Raises Unavailable where none of them is there (rather than all of them, their disk is gone), and
        OSError where that can't be told."""
        if self._folder and keys and not any((self._folder / key).is_file() for key in keys):
            raise Unavailable(
                "delete", "recordings", f"none of {len(keys):,} is in {self._folder}",
                hint="is it the right folder, and is its disk mounted?",
            )  # fmt: skip

    def remove(self, key: str) -> None:
        """One that is not there is no error."""
        if self._folder is None:
            self._store.delete(key)
        else:
            (self._folder / key).unlink(missing_ok=True)


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

    def plan(self, catalog: Catalog, now_ms: int, most: int = -1) -> Plan:
        """What is too old or too much at ``now_ms`` (milliseconds since the epoch); of recordings the oldest
        ``most``, each of which takes about a kilobyte here. -1: all."""
        return Plan(self._clips(catalog, now_ms), self._recordings(catalog, now_ms, most))

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

    def _recordings(self, catalog: Catalog, now_ms: int, most: int) -> Sequence[StoredRecording]:
        too_old: Sequence[StoredRecording] = []
        if self.recordings_ms is not None:
            too_old = catalog.oldest(now_ms - self.recordings_ms, most)
        if self.recordings_bytes is None:
            return too_old
        left_bytes = catalog.recorded_bytes() - sum(one.size_bytes for one in too_old)
        if left_bytes <= self.recordings_bytes:
            return too_old
        going = list(too_old)
        for recording in catalog.oldest(most=most)[len(too_old) :]:
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


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
