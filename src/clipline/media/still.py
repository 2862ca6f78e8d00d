"""One picture of a clip, decoded from its recording."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from fractions import Fraction

import av

from clipline.media.decoder import decode
from clipline.media.plan import Plan
from clipline.media.ranges import Fetch
from clipline.media.spans import BlackSpan, CopySpan
from clipline.media.splice import naming_source, sample_reader
from clipline.media.timeline import Source


def picture_at(plan: Plan, fetches: Mapping[int, Fetch], pts: Fraction) -> tuple[av.VideoFrame, Source]:
    """The camera's picture that is shown at ``pts`` (or the first one, where black is shown till then)."""
    shown = [
        (time, span, place)
        for span, times in zip(plan.spans, plan.span_pts, strict=True)
        if not isinstance(span, BlackSpan)
        for place, time in enumerate(times)
    ]
    before = [entry for entry in shown if entry[0] <= pts]
    _, span, place = max(before or shown[:1], key=lambda entry: entry[0])
    source = plan.sources[span.source]
    video = source.index.video
    first = span.first
    if isinstance(span, CopySpan):
        number = span.samples[place]
        syncs = range(len(video)) if video.sync is None else video.sync
        for sync in reversed(syncs[: bisect_right(syncs, number)]):
            if sync <= span.first or (
                video.pts[sync] <= video.pts[number] and source.can_begin_decoding(sync)
            ):
                first = max(sync, span.first)
                break
    else:
        number = span.frames[place]
    read = sample_reader(video, fetches[span.source])
    with naming_source(span.source, source.name):
        return next(decode(video, first, number + 1, [number], read)), source
