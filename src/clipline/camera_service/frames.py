"""The picture of a camera at an instant, straight out of its recordings, with nothing prepared."""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from cachetools import LRUCache

from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.contract.errors import NotFound
from clipline.contract.interval import Interval, iso
from clipline.media.frame import choose_frame, load_frame
from clipline.media.index import Track, read_index
from clipline.media.isolation.frames import Drawer
from clipline.media.limits import MIB, MediaLimits
from clipline.pipeline.ports import ObjectStore
from clipline.pipeline.source import StoreSource

_Kept = TypeVar("_Kept")

WIDTHS = (160, 320, 640, 960, 1280, 1920)
"""In pixels. Few, so that pictures are found in the cache."""

_INDEX_CACHE_BYTES = 128 * MIB
_JPEG_CACHE_BYTES = 64 * MIB
_BYTES_A_SAMPLE = 28
"""Of an index: size, two times and the order of showing."""
_MOST_AT_ONCE = 8
"""Recordings of one camera that show the same instant."""


@dataclass(frozen=True)
class Picture:
    """A frame as a JPEG file."""

    jpeg: bytes
    shown_ms: int
    """From when on the recording shows it, milliseconds since the epoch, UTC."""
    recording: str
    """Name of the recording."""


class Frames:
    """Of the recordings in ``store``, which ``catalog`` knows. Safe to use from several threads.

    Indexes and pictures that were used last are kept, up to 192 MiB.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        drawer: Drawer,
        limits: MediaLimits | None = None,
        *,
        tolerance_ms: int = 1000,
    ) -> None:
        """Holes up to ``tolerance_ms`` show what came before them: they are no gaps in a clip either."""
        self._catalog = catalog
        self._store = store
        self._drawer = drawer
        self._limits = limits or MediaLimits()
        self._tolerance_ms = tolerance_ms
        self._lock = threading.Lock()
        self._indexes: LRUCache[Hashable, Track] = LRUCache(_INDEX_CACHE_BYTES, _index_bytes)
        self._pictures: LRUCache[Hashable, Picture] = LRUCache(
            _JPEG_CACHE_BYTES, lambda picture: len(picture.jpeg)
        )

    def at(self, camera_id: str, at_ms: int, *, width: int, exact: bool, wait_s: float = 5) -> Picture:
        """The keyframe nearest to ``at_ms`` in the recording that shows it, or the very frame on show then.

        ``width`` is rounded up to one of ``WIDTHS``. Raises NotFound for an unknown camera and where nothing
        was recorded, MediaError where the recording can't be shown, and Unavailable where there is too much
        to do.
        """
        camera = self._catalog.camera(camera_id)
        recording = self._recording(camera, at_ms)
        source = StoreSource(self._store, recording.key, recording.name)
        version = (recording.key, source.version)
        video = self._video(version, source)
        at_pts = math.floor(Fraction((at_ms - recording.span.start_ms) * video.timescale, 1000))
        number = choose_frame(video, at_pts, exact=exact)
        width = next((one for one in WIDTHS if one >= width), WIDTHS[-1])
        wanted = (version, recording.span.start_ms, number, width)
        with self._lock:
            picture = self._pictures.get(wanted)
        if picture is None:
            coded = load_frame(source, video, number, most_pixels=self._limits.pixels)
            jpeg = self._drawer.draw(coded, width, wait_s=wait_s)
            picture = Picture(jpeg, _wall_ms(recording, video, number), recording.name)
            with self._lock:
                _keep(self._pictures, wanted, picture)
        return picture

    def _recording(self, camera: Camera, at_ms: int) -> StoredRecording:
        found = self._catalog.recordings(camera.alias, Interval(at_ms, at_ms + 1), most=_MOST_AT_ONCE)
        if found:
            return found[0]  # the earlier one owns an overlap, as in clips
        around = Interval(max(at_ms - self._tolerance_ms, 0), at_ms + self._tolerance_ms + 1)
        near = self._catalog.recordings(camera.alias, around, most=_MOST_AT_ONCE)
        before = max((one for one in near if one.span.end_ms <= at_ms), key=_end_ms, default=None)
        after_ms = min((one.span.start_ms for one in near if one.span.start_ms > at_ms), default=None)
        if before is None or after_ms is None or after_ms - before.span.end_ms > self._tolerance_ms:
            raise NotFound("show", camera.name, f"nothing was recorded at {iso(at_ms)}")
        return before

    def _video(self, version: Hashable, source: StoreSource) -> Track:
        with self._lock:
            video = self._indexes.get(version)
        if video is None:
            video = read_index(source).video
            with self._lock:
                _keep(self._indexes, version, video)
        return video


def _end_ms(recording: StoredRecording) -> int:
    return recording.span.end_ms


def _wall_ms(recording: StoredRecording, video: Track, number: int) -> int:
    return recording.span.start_ms + math.floor(Fraction(video.pts[number] * 1000, video.timescale))


def _index_bytes(video: Track) -> int:
    return len(video) * _BYTES_A_SAMPLE + 1024


def _keep(cache: LRUCache[Hashable, _Kept], key: Hashable, value: _Kept) -> None:
    if cache.getsizeof(value) <= cache.maxsize:
        cache[key] = value
