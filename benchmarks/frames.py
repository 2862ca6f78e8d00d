"""How long the picture at a random instant of a 1080p recording takes, with nothing in any cache.

    python benchmarks/frames.py [--instants 100] [--width 640] [--seed N]

What is measured is from the question (camera, instant) to the JPEG, by the service's own ``Frames`` with its
decoding process, made anew for each instant so that it remembers neither indexes nor pictures; the
recording's pages are given back to the disk before. *nearest* is the nearest keyframe, *exact* the very
frame, *again* the nearest keyframe a second time.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cut import SEED
from footage import DATA, Kind, recordings

from clipline.adapters.storage import open_store
from clipline.camera_service.catalog import Camera, Catalog, StoredRecording
from clipline.camera_service.frames import Frames
from clipline.contract.interval import Interval
from clipline.media.isolation.frames import IsolatedDrawer
from clipline.media.isolation.spawn import Template
from clipline.media.limits import MediaLimits

MINUTES = 10


def drop_pages(path: Path) -> None:
    """Have the kernel forget the file's content, as far as it likes to."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--instants", type=int, default=100)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    (one,) = recordings(Kind(duration_s=MINUTES * 60), 1, DATA)
    template = Template()
    with tempfile.TemporaryDirectory() as directory, Catalog(Path(directory) / "catalog.sqlite") as catalog:
        stored = StoredRecording(
            "pier",
            one.path.name,
            one.path.name,
            Interval(one.start_ms, one.end_ms),
            one.path.stat().st_size,
            0,
        )
        catalog.change([Camera("pier", "pier", "pier")], [stored])
        store = open_store(f"file:{one.path.parent}")
        with IsolatedDrawer(template, MediaLimits(), 1) as drawer:
            took: dict[str, list[float]] = {"nearest": [], "exact": [], "again": []}

            def timed(what: str, frames: Frames, at_ms: int) -> Callable[[], None]:
                def ask() -> None:
                    began = time.perf_counter()
                    frames.at("pier", at_ms, width=given.width, exact=what == "exact")
                    took[what].append((time.perf_counter() - began) * 1000)

                return ask

            Frames(catalog, store, drawer).at("pier", one.start_ms, width=given.width, exact=False)
            for _ in range(given.instants):
                at_ms = draw.randrange(one.start_ms, one.end_ms)
                for what in ("nearest", "exact"):
                    frames = Frames(catalog, store, drawer)
                    drop_pages(one.path)
                    timed(what, frames, at_ms)()
                    if what == "nearest":
                        timed("again", frames, at_ms)()
    template.stop()
    print(
        f"{given.instants} instants of {MINUTES} minutes of 1080p, {given.width} pixels wide, milliseconds:"
    )
    for what, values in took.items():
        ordered = sorted(values)
        p95 = ordered[int(len(ordered) * 0.95)]
        print(
            f"  {what:8} median {statistics.median(ordered):6.1f}   p95 {p95:6.1f}   worst {ordered[-1]:6.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
