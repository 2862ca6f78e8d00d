"""What kinds of footage are made of, each drawn at random: structure, rates, codecs, containers.

A kind is a function from dice to a set of recordings. Whatever it does not vary itself stays plain, so
that a failing kind says what is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from frame_truth.specs import FootageSet, Pairs, Sound, Spec

Dice = random.Random
Change = Callable[[Dice], dict[str, Any]]

_EPOCH_MS = 1_537_113_617_033
MOST_FRAMES = 2_700
"""Of a set; its luma is kept in memory: 620 MB at 640x360."""
SLOW_FRAMES = 1_200
"""The same where encoding is slow, or a pixel takes two bytes."""

NTSC = tuple(Fraction(rate * 1000, 1001) for rate in (24, 30, 60))
_RATES = (Fraction(12), Fraction(15), Fraction(20), Fraction(25), Fraction(30), NTSC[1])


def _timescale(rate: Fraction) -> int:
    """As FFmpeg chooses it: the rate's numerator, doubled until it is fine enough."""
    scale = rate.numerator
    while scale < 10_000:
        scale *= 2
    return scale


def _durations_s(dice: Dice, rate: Fraction, most_frames: int) -> list[int]:
    """Of two to four recordings, 8 to 70 s each, most of them short."""
    count = dice.choice((2, 2, 2, 3, 3, 4))
    durations = [min(70, 8 + int(dice.expovariate(1 / 9))) for _ in range(count)]
    while sum(durations) * rate > most_frames and max(durations) > 8:
        durations[durations.index(max(durations))] -= 1
    while sum(durations) * rate > most_frames and len(durations) > 2:
        durations.pop()
    return durations


def _plain(dice: Dice, rate: Fraction, group_s: Fraction | None = None) -> dict[str, Any]:
    """An H.264 recording as most cameras make it."""
    group_s = group_s or Fraction(dice.choice((4, 6, 8, 10, 12, 16)), 4)
    group = max(round(group_s * rate), 1)
    return {
        "options": (("preset", "ultrafast"), ("crf", str(dice.randint(22, 30))), ("profile", "high")),
        "parameters": _join(
            keyint=group, min_keyint=group, scenecut=0, bframes=0, ref=1, cabac=1, dct8x8=1,
        ),
    }  # fmt: skip


def _join(**parameters: Any) -> Pairs:
    names = {"dct8x8": "8x8dct"}
    return tuple((names.get(name, name.replace("_", "-")), str(value)) for name, value in parameters.items())


def _with(pairs: Pairs, **changes: Any) -> Pairs:
    return tuple((dict(pairs) | dict(_join(**changes))).items())


def _sound(dice: Dice) -> Sound | None:
    if dice.random() < 0.4:
        return None
    return Sound(rate=dice.choice((48_000, 44_100, 16_000)), layout=dice.choice(("mono", "stereo")))


def make_footage(
    kind: str,
    dice: Dice,
    change: Callable[[Dice, dict[str, Any]], dict[str, Any]] = lambda _dice, spec: spec,
    *,
    rate: Fraction | None = None,
    most_frames: int = MOST_FRAMES,
    each: Callable[[Dice, int, Spec], Spec] = lambda _dice, _place, spec: spec,
    offsets: Callable[[Dice], int] = lambda _dice: 0,
    **set_changes: Any,
) -> FootageSet:
    """A set of alike recordings, changed by ``change`` all together and by ``each`` one by one."""
    rate = rate or dice.choice(_RATES)
    settings = _plain(dice, rate) | {
        "rate": rate,
        "timescale": _timescale(rate),
        "sound": _sound(dice),
        "muxer_options": dice.choice(((), (("movflags", "faststart"),))),
    }
    settings = change(dice, settings)
    specs = []
    for place, seconds in enumerate(_durations_s(dice, settings["rate"], most_frames)):
        # Not whole seconds: cameras end a file at a frame, wherever that is.
        frames = int(seconds * settings["rate"]) + dice.randrange(0, 8)
        spec = Spec(frames=frames, seed=dice.randrange(1 << 20), **settings)
        specs.append(each(dice, place, spec))
    offsets_ms = [0] + [offsets(dice) for _ in specs[1:]]
    start_ms = _EPOCH_MS + dice.randrange(86_400_000)
    return FootageSet(kind, tuple(specs), tuple(offsets_ms), start_ms, **set_changes)


def _group(spec: dict[str, Any], frames: int | str) -> None:
    least = frames if isinstance(frames, int) else 1
    spec["parameters"] = _with(spec["parameters"], keyint=frames, min_keyint=least)


def profiles(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    profile = dice.choice(("baseline", "main", "high"))
    changes: dict[str, Any] = {"ref": dice.randint(1, 4), "slices": dice.choice((1, 1, 2, 4))}
    if profile == "baseline":
        changes |= {"cabac": 0, "dct8x8": 0, "weightp": 0}
    else:
        changes |= {
            "cabac": dice.randint(0, 1),
            "dct8x8": int(profile == "high"),
            "weightp": dice.randint(0, 2),
        }
    return spec | {
        "options": (("preset", "ultrafast"), ("crf", str(dice.randint(20, 32))), ("profile", profile)),
        "parameters": _with(spec["parameters"], **changes),
    }


def b_frames(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    return spec | {
        "parameters": _with(
            spec["parameters"],
            bframes=dice.randint(1, 4),
            b_adapt=dice.choice((0, 0, 1)),
            b_pyramid=dice.choice(("none", "strict", "normal")),
            ref=dice.randint(1, 5),
            weightp=dice.randint(0, 2),
            weightb=dice.randint(0, 1),
        )
    }


def open_group_footage(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = b_frames(dice, spec)
    return spec | {"parameters": _with(spec["parameters"], open_gop=1)}


def long_group(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    _group(spec, round(dice.randint(10, 25) * spec["rate"]))
    return spec


def one_keyframe(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    _group(spec, "infinite")
    return spec


def short_group(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    _group(spec, max(round(dice.choice((Fraction(1), Fraction(1, 2), Fraction(1, 5))) * spec["rate"]), 2))
    return spec


def intra(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = profiles(dice, spec)
    _group(spec, 1)
    return spec


def irregular(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    _group(spec, "infinite")
    return spec | {"options": (*spec["options"], ("forced-idr", "1"))}


def irregular_keys(dice: Dice, _place: int, spec: Spec) -> Spec:
    count = max(int(spec.frames / spec.rate / 3), 1)
    return replace(spec, key_frames=tuple(sorted(dice.sample(range(1, spec.frames), count))))


def interlaced_footage(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((_profiles_without_baseline, b_frames))(dice, spec)
    order = dice.choice(("tff", "bff"))
    return spec | {"interlaced": True, "parameters": _with(spec["parameters"], **{order: 1})}


def _profiles_without_baseline(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    return spec | {"parameters": _with(spec["parameters"], ref=dice.randint(1, 4))}


def deep_footage(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((_profiles_without_baseline, b_frames))(dice, spec)
    options = (("preset", "ultrafast"), ("crf", "26"), ("profile", "high10"))
    return spec | {"pixel_format": "yuv420p10le", "options": options}


def chroma_422(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((_profiles_without_baseline, b_frames))(dice, spec)
    options = (("preset", "ultrafast"), ("crf", "26"), ("profile", "high422"))
    return spec | {"pixel_format": "yuv422p", "options": options}


def full_range(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    return dice.choice((profiles, b_frames))(dice, spec) | {"pixel_format": "yuvj420p"}


def hevc(dice: Dice, spec: dict[str, Any], *, deep: bool = False, open_group: bool = False) -> dict[str, Any]:
    group = round(dice.choice((1, 2, 3)) * spec["rate"])
    parameters = _join(
        keyint=group, min_keyint=group, scenecut=0, bframes=dice.randint(int(open_group), 4),
        b_pyramid=dice.randint(0, 1), open_gop=int(open_group), ref=dice.randint(1, 3), log_level="none",
        repeat_headers=dice.randint(0, 1), pools=1, frame_threads=1,
    )  # fmt: skip
    return spec | {
        "encoder": "libx265",
        "options": (("preset", "ultrafast"), ("crf", "28")),
        "parameters": parameters,
        "pixel_format": "yuv420p10le" if deep else "yuv420p",
    }


def jitter_footage(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    return spec | {
        "timing": dice.choice(("jitter", "drops")),
        "timescale": dice.choice((90_000, 1_000, 15_360)),
    }


def time_base(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    return spec | {"timescale": dice.choice((90_000, 1_000, 600, 10_240, 65_537, 1_000_000))}


def late_start(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    options = dict(spec["muxer_options"])
    if dice.random() < 0.5:
        options["movie_timescale"] = str(spec["timescale"])
    return spec | {
        "lead_ticks": dice.choice((285, 1, spec["timescale"] // 7, 2 * spec["timescale"])),
        "muxer_options": tuple(options.items()),
    }


def rotated(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    return profiles(dice, spec) | {"rotation": dice.choice((90, 180, 270))}


_FRAGMENTS = (
    "frag_keyframe+empty_moov",
    "frag_keyframe+empty_moov+default_base_moof",
    "frag_keyframe+delay_moov",
    "frag_keyframe",
    "frag_keyframe+empty_moov+skip_trailer",
    "dash+delay_moov+global_sidx",
    "dash+delay_moov",
    "empty_moov+frag_every_frame",
)


def fragmented(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    options = [("movflags", dice.choice(_FRAGMENTS))]
    if dice.random() < 0.3:
        options = [("movflags", "empty_moov+default_base_moof"), ("frag_duration", "700000")]
    return spec | {"muxer_options": tuple(options)}


def transport_stream(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames, open_group_footage))(dice, spec)
    return spec | {"container": "mpegts", "timescale": 90_000, "muxer_options": ()}


def matroska_footage(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    return spec | {"container": "matroska", "timescale": 1_000, "muxer_options": ()}


def in_band(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    spec = dice.choice((profiles, b_frames))(dice, spec)
    return spec | {"parameters": _with(spec["parameters"], repeat_headers=1, aud=dice.randint(0, 1))}


def aac(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    return profiles(dice, spec) | {
        "sound": Sound(
            rate=dice.choice((48_000, 44_100, 32_000, 16_000)), layout=dice.choice(("mono", "stereo"))
        )
    }


def partial_sound(dice: Dice, place: int, spec: Spec) -> Spec:
    assert spec.sound is not None
    match dice.randrange(4):
        case 0:
            return replace(spec, sound=None)
        case 1:
            return replace(spec, sound=replace(spec.sound, late_ms=dice.randint(30, 4_000)))
        case 2:
            return replace(spec, sound=replace(spec.sound, early_ms=dice.randint(30, 4_000)))
    return spec


def mp3(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    return profiles(dice, spec) | {"sound": Sound("libmp3lame", dice.choice((48_000, 44_100)), "stereo")}


def opus(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    return profiles(dice, spec) | {"sound": Sound("libopus", 48_000, dice.choice(("mono", "stereo")))}


def g711(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    sound = Sound(dice.choice(("pcm_mulaw", "pcm_alaw")), 8_000, "mono")
    return profiles(dice, spec) | {"container": "mov", "sound": sound}


def pcm(dice: Dice, spec: dict[str, Any]) -> dict[str, Any]:
    return profiles(dice, spec) | {"container": "mov", "sound": Sound("pcm_s16le", 16_000, "mono")}


def mixed_sound(dice: Dice, _place: int, spec: Spec) -> Spec:
    codecs = (Sound(), Sound(rate=44_100, layout="stereo"), Sound("libmp3lame", 48_000, "stereo"), None)
    return replace(spec, sound=dice.choice(codecs))


def mixed_size(dice: Dice, _place: int, spec: Spec) -> Spec:
    width, height = dice.choice(((640, 360), (640, 360), (768, 432), (854, 480), (640, 480)))
    return replace(spec, width=width, height=height)


def mixed_structure(dice: Dice, _place: int, spec: Spec) -> Spec:
    settings = dice.choice((profiles, b_frames, short_group, open_group_footage, full_range))(
        dice, _plain(dice, spec.rate) | {"rate": spec.rate}
    )
    del settings["rate"]
    return replace(spec, **settings)


def mixed_rate(dice: Dice, _place: int, spec: Spec) -> Spec:
    rate = dice.choice(_RATES)
    frames = min(int(spec.frames / spec.rate * rate), MOST_FRAMES // 3)
    timescale = dice.choice((_timescale(rate), 90_000))
    return replace(spec, rate=rate, timescale=timescale, frames=frames)


def mixed_codec(dice: Dice, place: int, spec: Spec) -> Spec:
    if dice.random() < 0.5:
        return spec
    frames = min(spec.frames, 400)
    settings = hevc(dice, {"rate": spec.rate})
    return replace(spec, frames=frames, **{name: value for name, value in settings.items() if name != "rate"})
