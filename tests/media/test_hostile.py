"""Recordings of every container, cut short and mutated: a typed error or the right clip, in time."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from media import judge
from media.judge import UNSEEN, Asked
from media.truth import START_MS, Recorded, expected_numbers, record, show

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import UnreadableRecording
from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, Cut, ThumbnailOptions, prepare
from clipline.media.footage import Footage
from clipline.media.ranges import LocalSource

SMALL = Footage(width=320, height=180, duration_s=4, gop_s=1, moov_first=True)
FRAGMENTS = (("movflags", "frag_keyframe+empty_moov+default_base_moof+global_sidx"),)
QUIET = (("x265-params", "log-level=none"),)
KINDS = {
    "mp4": SMALL,
    "fragmented": replace(SMALL, moov_first=False, muxer_options=FRAGMENTS),
    "mpegts": replace(SMALL, container="mpegts", moov_first=False),
    "matroska": replace(SMALL, container="matroska", moov_first=False),
    "hevc": replace(
        SMALL, encoder="libx265", preset="ultrafast", options=(("x265-params", "log-level=none"),)
    ),
}
INTERVAL = Interval(START_MS + 1_300, START_MS + 2_900)
MUTATIONS = 40
MOST_UNSEEN = 1
"""Of the mutations of one kind, recordings that FFmpeg itself gives up and that are cut all the same."""
SECONDS_FOR_ONE = 20
"""On a busy machine; one takes a fraction of a second."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    return {kind: record(tmp_path_factory.mktemp(kind), one)[0] for kind, one in KINDS.items()}


def truncations(data: bytes) -> list[bytes]:
    """Cut short all over the file, and densely at its two ends."""
    size = len(data)
    stops = {size * n // 40 for n in range(40)} | set(range(0, 64, 8)) | set(range(size - 64, size, 8))
    return [data[:stop] for stop in sorted(stops)]


def mutations(data: bytes, seed: int) -> list[bytes]:
    """Bytes changed anywhere, and more often where lengths, counts and names stand."""
    dice = random.Random(seed)
    heads = [
        at
        for name in (b"moov", b"trak", b"stsd", b"avcC", b"hvcC", b"stsz", b"stco", b"stsc", b"stts", b"moof",
                     b"trun", b"tfdt", b"tfhd", b"sidx", b"mdhd", b"elst", b"\x1f\x43\xb6\x75",
                     b"\x16\x54\xae\x6b",
                     b"\0\0\1\x67", b"\0\0\1\x68", b"\0\0\1\x65", b"\0\0\1\xe0")
        if (at := data.find(name)) >= 0
    ]  # fmt: skip
    made = []
    for _ in range(MUTATIONS):
        changed = bytearray(data)
        for _ in range(dice.choice((1, 1, 2, 8))):
            at = dice.randrange(len(data))
            if heads and dice.random() < 0.7:
                at = min(max(dice.choice(heads) + dice.randrange(-4, 40), 0), len(data) - 1)
            changed[at] = dice.choice((0, 255, dice.randrange(256), changed[at] ^ 1 << dice.randrange(8)))
        made.append(bytes(changed))
    return made


def outcome(data: bytes, recorded: Recorded, directory: Path) -> str:
    """What becomes of a recording that was changed to ``data``; see ``judge.KNOWN``."""
    path = directory / f"hostile{recorded.path.suffix}"
    path.write_bytes(data)
    walls = [START_MS + time_s * 1000 for time_s in recorded.file_times_s]
    frames = list(zip(walls, recorded.numbers, strict=True))
    return judge.outcome([(path, START_MS)], Asked(INTERVAL, GapPolicy.HOLD), frames, directory)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["truncated", "mutated"])
def test_hostile_files_give_a_typed_error_or_the_right_clip(
    kind: str, way: str, sound: dict[str, Recorded], tmp_path: Path
) -> None:
    """In a process of its own, which a crash or a hang would show in."""
    one = sound[kind]
    told = tmp_path / "outcomes"
    command = [sys.executable, __file__, kind, way, str(one.path), str(tmp_path), str(told)]
    run = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=SECONDS_FOR_ONE * 10,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    outcomes = json.loads(told.read_text())
    assert "error" in outcomes
    assert not {what: places for what, places in outcomes.items() if what not in judge.KNOWN}
    assert len(outcomes.get(UNSEEN, [])) <= MOST_UNSEEN
    if way == "truncated":
        assert outcomes.keys() <= {"error", "right"}


def _run(kind: str, way: str, path: Path, directory: Path, told: Path) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # threads hide damage each time otherwise
    recorded = Recorded(path, START_MS, KINDS[kind])
    data = path.read_bytes()
    outcomes: dict[str, list[int]] = {}
    for place, one in enumerate(truncations(data) if way == "truncated" else mutations(data, len(kind))):
        outcomes.setdefault(outcome(one, recorded, directory), []).append(place)
    told.write_text(json.dumps(outcomes))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Recorded]:
    return record(tmp_path_factory.mktemp("three"), replace(SMALL, duration_s=3), recordings=3)


def _spoil(one: Recorded, directory: Path, how: str) -> Recorded:
    data = bytearray(one.path.read_bytes())
    if how == "empty":
        data.clear()
    elif how == "truncated":
        del data[len(data) // 2 :]
    elif how == "index":
        at = data.index(b"stsz")
        data[at : at + 40] = bytes(40)
    else:
        mdat = data.index(b"mdat") + 4
        data[mdat:] = random.Random(1).randbytes(len(data) - mdat)
    path = directory / one.path.name
    path.write_bytes(data)
    return replace(one, path=path)


ACROSS = Interval(START_MS + 1_500, START_MS + 7_500)


def _prepare(recordings: Sequence[Recorded], directory: Path, policy: GapPolicy) -> Cut:
    candidates = [Candidate(LocalSource(one.path), one.start_ms) for one in recordings]
    return prepare(candidates, ACROSS, directory, gap_policy=policy)


@pytest.mark.parametrize("how", ["empty", "truncated", "index", "pictures"])
@pytest.mark.parametrize("policy", [GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK])
def test_one_spoiled_recording_leaves_the_rest_of_the_clip(
    how: str, policy: GapPolicy, three: Sequence[Recorded], tmp_path: Path
) -> None:
    spoiled = _spoil(three[1], tmp_path, how)
    cut = _prepare([three[0], spoiled, three[2]], tmp_path, policy)
    report = cut.render(tmp_path / "clip.mp4", ThumbnailOptions((64,)))
    numbers = [frame.number for frame in show(report.clip) if frame.number is not None]
    assert numbers == expected_numbers([three[0], three[2]], ACROSS)
    assert report.details["partial"]
    (gap,) = [part for part in report.details["coverage"] if "gap" in part]
    assert spoiled.path.name in gap["gap"]
    assert (gap["startTimestampInMs"], gap["endTimestampInMs"]) == (START_MS + 3_000, START_MS + 6_000)
    assert report.thumbnails[64].stat().st_size
    last = show(report.clip)[-1].time_s
    lasts = Fraction(6) if policy is not GapPolicy.SKIP else Fraction(3)
    assert lasts - Fraction(1, 10) < last < lasts


def test_without_leave_for_gaps_spoiled_pictures_are_an_error(
    three: Sequence[Recorded], tmp_path: Path
) -> None:
    spoiled = _spoil(three[1], tmp_path, "pictures")
    cut = _prepare([three[0], spoiled, three[2]], tmp_path, GapPolicy.FAIL)
    with pytest.raises(UnreadableRecording, match=spoiled.path.name):
        cut.render(tmp_path / "clip.mp4")


def test_nothing_left_is_an_error(three: Sequence[Recorded], tmp_path: Path) -> None:
    spoiled = _spoil(three[1], tmp_path, "pictures")
    cut = _prepare([spoiled], tmp_path, GapPolicy.HOLD)
    with pytest.raises(UnreadableRecording, match=spoiled.path.name):
        cut.render(tmp_path / "clip.mp4")


if __name__ == "__main__":
    _run(*sys.argv[1:3], *map(Path, sys.argv[3:]))  # type: ignore[arg-type]
