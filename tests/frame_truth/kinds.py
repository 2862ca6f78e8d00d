"""Kinds of footage, each drawn at random: structure, rates, codecs, containers, joins."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from fractions import Fraction

from frame_truth.ingredients import (
    NTSC,
    SLOW_FRAMES,
    Dice,
    aac,
    b_frames,
    chroma_422,
    deep_footage,
    fragmented,
    full_range,
    g711,
    hevc,
    in_band,
    interlaced_footage,
    intra,
    irregular,
    irregular_keys,
    jitter_footage,
    late_start,
    long_group,
    make_footage,
    matroska_footage,
    mixed_codec,
    mixed_rate,
    mixed_size,
    mixed_sound,
    mixed_structure,
    mp3,
    one_keyframe,
    open_group_footage,
    opus,
    partial_sound,
    pcm,
    profiles,
    rotated,
    short_group,
    time_base,
    transport_stream,
)
from frame_truth.specs import FootageSet

from clipline.contract.coverage import GapPolicy

_LATER = (GapPolicy.FAIL, GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK)

KINDS: Mapping[str, Callable[[str, Dice], FootageSet]] = {
    "plain": lambda kind, dice: make_footage(kind, dice, profiles),
    "b-frames": lambda kind, dice: make_footage(kind, dice, b_frames),
    "open-gop": lambda kind, dice: make_footage(kind, dice, open_group_footage),
    "long-gop": lambda kind, dice: make_footage(kind, dice, long_group),
    "one-keyframe": lambda kind, dice: make_footage(kind, dice, one_keyframe, most_frames=SLOW_FRAMES),
    "short-gop": lambda kind, dice: make_footage(kind, dice, short_group),
    "intra": lambda kind, dice: make_footage(kind, dice, intra),
    "irregular-gop": lambda kind, dice: make_footage(kind, dice, irregular, each=irregular_keys),
    "full-range": lambda kind, dice: make_footage(kind, dice, full_range),
    "rates": lambda kind, dice: make_footage(
        kind, dice, dice.choice((profiles, b_frames)),
        rate=dice.choice((*map(Fraction, (5, 7, 10, 24, 50, 60)), *NTSC)),
    ),
    "variable-rate": lambda kind, dice: make_footage(kind, dice, jitter_footage),
    "time-bases": lambda kind, dice: make_footage(kind, dice, time_base),
    "late-start": lambda kind, dice: make_footage(kind, dice, late_start),
    "rotated": lambda kind, dice: make_footage(kind, dice, rotated),
    "in-band": lambda kind, dice: make_footage(kind, dice, in_band),
    "sound-partial": lambda kind, dice: make_footage(kind, dice, aac, each=partial_sound),
    "sound-mp3": lambda kind, dice: make_footage(kind, dice, mp3),
    "sound-opus": lambda kind, dice: make_footage(kind, dice, opus),
    "sound-g711": lambda kind, dice: make_footage(kind, dice, g711),
    "sound-pcm": lambda kind, dice: make_footage(kind, dice, pcm),
    "sound-mixed": lambda kind, dice: make_footage(kind, dice, each=mixed_sound),
    "mixed-size": lambda kind, dice: make_footage(kind, dice, each=mixed_size, most_frames=1_600),
    "mixed-structure": lambda kind, dice: make_footage(kind, dice, each=mixed_structure),
    "mixed-rate": lambda kind, dice: make_footage(kind, dice, each=mixed_rate, most_frames=1_600),
    "mixed-codec": lambda kind, dice: make_footage(kind, dice, each=mixed_codec, most_frames=SLOW_FRAMES),
    "overlaps": lambda kind, dice: make_footage(
        kind, dice, dice.choice((profiles, b_frames)),
        offsets=lambda d: -d.choice((1, 15, 40, 333, 1_500, 5_000)),
    ),
    "duplicates": lambda kind, dice: make_footage(kind, dice, b_frames, duplicate=dice.randrange(2)),
    "small-holes": lambda kind, dice: make_footage(
        kind, dice, dice.choice((profiles, b_frames)), offsets=lambda d: d.choice((1, 2, 20, 400, 900))
    ),
    "gaps": lambda kind, dice: make_footage(
        kind, dice, dice.choice((profiles, b_frames)), policies=_LATER,
        offsets=lambda d: d.choice((0, 20, 1_100, 2_500, 6_000)), tolerance_ms=dice.choice((0, 100, 1_000)),
    ),
    "fragmented": lambda kind, dice: make_footage(kind, dice, fragmented),
    "mpeg-ts": lambda kind, dice: make_footage(kind, dice, transport_stream),
    "matroska": lambda kind, dice: make_footage(kind, dice, matroska_footage),
    "interlaced": lambda kind, dice: make_footage(kind, dice, interlaced_footage),
    "10-bit": lambda kind, dice: make_footage(kind, dice, deep_footage, most_frames=SLOW_FRAMES),
    "4:2:2": lambda kind, dice: make_footage(kind, dice, chroma_422, most_frames=SLOW_FRAMES),
    "hevc": lambda kind, dice: make_footage(kind, dice, hevc, most_frames=SLOW_FRAMES),
    "hevc-10-bit": lambda kind, dice: make_footage(
        kind, dice, lambda d, spec: hevc(d, spec, deep=True), most_frames=SLOW_FRAMES
    ),
    "hevc-open-gop": lambda kind, dice: make_footage(
        kind, dice, lambda d, spec: hevc(d, spec, open_group=True), most_frames=SLOW_FRAMES
    ),
}  # fmt: skip


def draw_set(kind: str, seed: str, number: int) -> FootageSet:
    """The ``number``-th set of ``kind`` under ``seed``: the same wherever it is drawn."""
    return KINDS[kind](kind, random.Random(f"{seed}/{kind}/{number}"))
