"""The harness itself: mutations are of the level they claim and depend on their name alone; it can fail."""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from fuzz import child
from fuzz.boxes import mutate_boxes, mutate_elements
from fuzz.carriers import Fit, Mp4Carrier
from fuzz.cases import LEVELS, make_case, names
from fuzz.child import HANG, run_case
from fuzz.ebml import Ebml
from fuzz.mp4 import Mp4
from fuzz.packets import mpeg_crc, mutate_packets, split_packets
from fuzz.raw import mutate_raw
from fuzz.sources import KINDS, Source, make_sources
from fuzz.tree import Edit, moved
from fuzz.units import join, mutate_units, split
from media import judge
from media.judge import CARRIED_OVER, ERROR, RIGHT, Asked
from media.likeness import coded_pictures

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import ConfigurationError, UnreadableRecording
from clipline.contract.interval import Interval
from clipline.contract.modes import CutMode
from clipline.media.cut import Candidate, CutReport, ThumbnailOptions, prepare
from clipline.media.ranges import LocalSource

SEEDS = 40


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    return make_sources(tmp_path_factory.mktemp("sources"))


def asked(source: Source, mode: CutMode = CutMode.EXACT) -> Asked:
    """From the middle of a group of pictures into another one."""
    begin_ms = source.recordings[-1][1] - (600 if len(source.recordings) > 1 else -300)
    return Asked(Interval(begin_ms, begin_ms + 1_000), GapPolicy.FAIL, mode)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", CutMode)
def test_sound_recordings_are_cut_right(
    kind: str, mode: CutMode, sources: dict[str, Source], tmp_path: Path
) -> None:
    source = sources[kind]
    assert source.codec == ("hevc" if "hevc" in kind else "h264")
    assert judge.outcome(source.recordings, asked(source, mode), source.frames, tmp_path) == RIGHT


def test_levels_have_their_shares_and_meet_every_kind() -> None:
    every = [name.split("/")[:2] for name in names(len(KINDS) * 60)]
    counts = Counter(level for level, _ in every)
    assert counts == {level: len(every) * share // 20 for level, share in LEVELS.items()}
    assert {tuple(one) for one in every} == {(level, kind) for level in LEVELS for kind in KINDS}


def test_a_case_depends_on_its_name_and_seed_alone(sources: dict[str, Source]) -> None:
    some = list(names(400))[::7]
    first = [make_case("1", name, sources) for name in some]
    again = [make_case("1", name, sources) for name in reversed(some)]
    assert first == again[::-1]
    assert all(one != make_case("2", one.name, sources) for one in first)


def test_every_case_differs_from_the_sound_recordings(sources: dict[str, Source]) -> None:
    for name in names(240):
        case, source = make_case("1", name, sources), sources[name.split("/")[1]]
        assert [data for _, _, data in case.recordings] != list(source.data), name
        assert case.about


@pytest.mark.parametrize("kind", ["mp4", "b-frames", "fragmented", "edit-list", "hevc"])
def test_a_mutation_of_boxes_leaves_most_of_the_footage(kind: str, sources: dict[str, Source]) -> None:
    data, told = sources[kind].data[0], set()
    for seed in range(SEEDS):
        made = mutate_boxes(random.Random(seed), data)
        if made is not None and made[0] != data:
            told.add(made[1].split(" ")[0])
    assert len(told) > 12, "boxes of many kinds"


def test_mutations_of_elements_and_packets(sources: dict[str, Source]) -> None:
    for kind, mutate in (("matroska", mutate_elements), ("mpegts", mutate_packets)):
        data = sources[kind].data[0]
        made = [one for seed in range(SEEDS) if (one := mutate(random.Random(seed), data)) is not None]
        assert len({told for _, told in made}) > SEEDS // 2


def test_parts_fill_the_files_that_they_are_parsed_from(sources: dict[str, Source]) -> None:
    for kind, form, depth in (("b-frames", Mp4(), 6), ("fragmented", Mp4(), 6), ("matroska", Ebml(), 2)):
        data = sources[kind].data[0]
        root = form.parse(data)
        assert root.children[0].start == 0
        assert root.children[-1].stop == len(data)
        assert max(node.path.count("/") for node in root.walk()) >= depth
        assert form.rewrite(data, [], sizes=True, offsets=True) == data


@pytest.mark.parametrize("kind", ["mp4", "b-frames", "fragmented", "fragmented-b", "matroska", "hevc"])
def test_a_part_put_in_and_made_to_fit_changes_no_picture(
    kind: str, sources: dict[str, Source], tmp_path: Path
) -> None:
    source = sources[kind]
    form, more = (Ebml(), "EC") if kind == "matroska" else (Mp4(), "free")
    root = form.parse(source.data[0])
    inside = next(node for node in root.walk() if node.kind in {"moov", "1654AE6B"})
    made = form.rewrite(
        source.data[0], [Edit(inside.stop, 0, form.wrap(more, bytes(100)), inside)], sizes=True, offsets=True
    )
    path = tmp_path / source.recordings[0][0].name
    path.write_bytes(made)
    recordings = [(path, source.recordings[0][1])]
    assert judge.outcome(recordings, asked(source), source.frames, tmp_path) == RIGHT


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_put_back_and_made_to_fit_are_the_recording(
    kind: str, sources: dict[str, Source], tmp_path: Path
) -> None:
    source, fit = sources[kind], Fit(sizes=True, table=True, offsets=True)
    one = source.carriers[0]
    as_they_are = dict(enumerate(one.pictures))
    assert one.rebuild(as_they_are, one.record, fit) == source.data[0]
    for picture in one.pictures:
        units = split(picture, one.length_bytes)
        assert split(join(units, one.length_bytes), one.length_bytes) == units
    longer = one.pictures[3] + (join([b"\x0c\xff\x80"], one.length_bytes) if source.codec == "h264" else b"")
    path = tmp_path / source.recordings[0][0].name
    path.write_bytes(one.rebuild({3: longer}, one.record, fit))
    slices = [picture.slices for picture in coded_pictures(source.recordings[0][0])]
    assert [picture.slices for picture in coded_pictures(path)] == slices


def test_a_mutation_of_units_leaves_the_boxes_around_them(sources: dict[str, Source]) -> None:
    source = sources["mp4"]
    one = source.carriers[0]
    assert isinstance(one, Mp4Carrier)
    same_boxes = 0
    for seed in range(SEEDS):
        data, told = mutate_units(random.Random(seed), one, source.codec)
        kinds = [node.kind for node in Mp4().parse(data).walk()]
        same_boxes += kinds == [node.kind for node in Mp4().parse(source.data[0]).walk()]
        assert "picture" in told or "record" in told
    assert same_boxes > SEEDS * 0.7, "but for those whose sizes are left wrong"


def test_raw_mutations_are_of_every_sort(sources: dict[str, Source]) -> None:
    data, other = sources["mp4"].data[0], sources["mpegts"].data[0]
    made = [mutate_raw(random.Random(seed), data, other)[0] for seed in range(SEEDS)]
    assert any(len(one) < len(data) for one in made)
    assert any(len(one) > len(data) for one in made)
    assert any(len(one) == len(data) != one for one in made)
    assert any(other[-1000:] == one[-1000:] for one in made)


def test_offsets_move_with_what_lies_before_them() -> None:
    edits = [Edit(10, 0, b"abc"), Edit(20, 5, b"")]
    assert [moved(edits, at) for at in (9, 10, 11, 20, 25, 30)] == [9, 13, 14, 23, 23, 28]


def test_checksums_are_those_of_the_standard(sources: dict[str, Source]) -> None:
    table = split_packets(sources["mpegts"].data[0])[1]
    section = table[5 : 5 + 3 + (int.from_bytes(table[6:8], "big") & 0xFFF)]
    assert mpeg_crc(section[:-4]).to_bytes(4, "big") == section[-4:]


# The judge


def clip_of(source: Source, wanted: Asked, directory: Path) -> CutReport:
    candidates = [Candidate(LocalSource(path), start_ms) for path, start_ms in source.recordings]
    cut = prepare(candidates, wanted.interval, directory, gap_policy=wanted.policy)
    return cut.render(directory / "clip.mp4", ThumbnailOptions((64,)))


def test_another_stretch_of_the_recording_is_wrong(sources: dict[str, Source], tmp_path: Path) -> None:
    """A clip from half a second later, said to be from where it was asked."""
    source = sources["mp4"]
    wanted = asked(source)
    late = replace(wanted, interval=Interval(wanted.interval.start_ms + 500, wanted.interval.end_ms + 500))
    report = clip_of(source, late, tmp_path)
    details = {
        **report.details,
        "firstFrameTimestampInMs": report.details["firstFrameTimestampInMs"] - 500,
        "coverage": [
            {
                **part,
                "startTimestampInMs": part["startTimestampInMs"] - 500,
                "endTimestampInMs": part["endTimestampInMs"] - 500,
            }
            for part in report.details["coverage"]
        ],
    }
    told = judge.judge(report.clip, details, source.recordings, wanted, source.frames)
    assert told.startswith("another picture")


def test_a_clip_that_lacks_pictures_and_does_not_say_so_is_wrong(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    source = sources["mp4"]
    wanted = asked(source)
    short = replace(wanted, interval=Interval(wanted.interval.start_ms, wanted.interval.end_ms - 300))
    report = clip_of(source, short, tmp_path)
    part = {**report.details["coverage"][0], "endTimestampInMs": wanted.interval.end_ms}
    told = judge.judge(
        report.clip, {**report.details, "coverage": [part]}, source.recordings, wanted, source.frames
    )
    assert "is missing" in told


def test_a_clip_of_another_recording_is_wrong(sources: dict[str, Source], tmp_path: Path) -> None:
    wanted = asked(sources["mp4"])
    report = clip_of(sources["hevc"], wanted, tmp_path)
    frames = [(wall, number + 1000) for wall, number in sources["mp4"].frames]
    told = judge.judge(report.clip, report.details, sources["two"].recordings[1:], wanted, frames)
    assert told not in judge.KNOWN or told == judge.UNSEEN
    told = judge.judge(report.clip, report.details, sources["edit-list"].recordings, wanted, frames)
    assert told not in judge.KNOWN or told == judge.UNSEEN


def test_damage_that_the_recording_has_is_carried_over(sources: dict[str, Source], tmp_path: Path) -> None:
    """One picture's payload is another's: the clip shows just that."""
    source = sources["mp4"]
    one = source.carriers[0]
    data = one.rebuild({20: one.pictures[21]}, one.record, Fit(sizes=True, table=True, offsets=True))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    begin_ms = source.recordings[0][1] + 1_490
    wanted = Asked(Interval(begin_ms, begin_ms + 500), GapPolicy.HOLD)
    recordings = [(path, source.recordings[0][1])]
    assert judge.outcome(recordings, wanted, source.frames, tmp_path) == CARRIED_OVER
    assert judge.outcome(recordings[:0], wanted, source.frames, tmp_path) == ERROR


# The bounds


def verdict_of(engine: object, sources: dict[str, Source], monkeypatch: pytest.MonkeyPatch) -> child.Verdict:
    monkeypatch.setattr(judge, "outcome", engine)
    return run_case("1", "units/mp4/0", sources)


def test_an_error_that_is_none_of_media_is_a_failure(
    sources: dict[str, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (ValueError("x"), MemoryError(), ConfigurationError("x"), RecursionError()):

        def fails(*_: object, error: BaseException = error) -> NoReturn:
            raise error

        verdict = verdict_of(fails, sources, monkeypatch)
        assert verdict.failed
        assert type(error).__name__ in verdict.outcome
        assert "picture" in verdict.about or "record" in verdict.about


def test_a_crash_a_hang_and_a_hunger_are_failures(
    sources: dict[str, Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> NoReturn:
        faulthandler.disable()  # a traceback would look like a crash of the tests
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError

    crashed = verdict_of(crash, sources, monkeypatch)
    assert crashed.outcome == "killed by SIGSEGV"
    assert "MemoryError" in verdict_of(lambda *_: bytes(3 << 30), sources, monkeypatch).outcome
    monkeypatch.setattr(child, "WALL_S", 0.5)
    hangs = verdict_of(lambda *_: time.sleep(20), sources, monkeypatch)
    assert hangs.outcome == HANG
    assert hangs.spent_s < 5


def test_a_typed_error_is_none(sources: dict[str, Source], tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.write_bytes(b"")
    source = sources["mp4"]
    assert judge.outcome([(path, 0)], asked(source), source.frames, tmp_path) == ERROR
    assert issubclass(UnreadableRecording, judge.MediaError)
