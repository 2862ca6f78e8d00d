"""MP4 as other recorders write it: edit lists, sample tables and fragments of rare forms, by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from media.boxes import read_movie, walk
from media.patched import Change, box, edit_list, full_box, packed, patch, replaced, rewrite
from media.truth import START_MS, Recorded, make_clip, plan_cut, record, show

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import NoFrames
from clipline.contract.interval import Interval
from clipline.media.footage import Footage
from clipline.media.index import Window, read_index
from clipline.media.ranges import LocalSource

RATE = 25
STEP_S = Fraction(1, RATE)
SMALL = Footage(width=320, height=180, duration_s=6, gop_s=1, frame_rate=Fraction(RATE))
B_FRAMES = replace(SMALL, b_frames=2, options=(("b_strategy", "0"),))
EDTS, STBL = "moov/trak0/edts", "moov/trak0/mdia/minf/stbl"
WHOLE = Interval(START_MS, START_MS + 12_000)
MOVIE_TICKS = 1000
"""A second, in the movie's ticks."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("plain"), SMALL)[0]


@pytest.fixture(scope="module")
def reordered(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """With B-frames."""
    return record(tmp_path_factory.mktemp("reordered"), B_FRAMES)[0]


@dataclass(frozen=True)
class Edit:
    """In frames; ``media`` None: nothing is shown."""

    lasts: int
    media: int | None
    speed: float = 1

    @property
    def shown(self) -> range:
        """Numbers of the frames shown."""
        return range(0) if self.media is None else range(self.media, self.media + self.lasts)


def write_edits(recorded: Recorded, edits: Sequence[Edit], version: int = 0) -> Recorded:
    video = read_movie(recorded.path).video
    delay = video.edits[0][1]  # of the reordering: the media time of frame 0
    written = [
        (
            round(edit.lasts * STEP_S * MOVIE_TICKS),
            -1 if edit.media is None else delay + round(edit.media * STEP_S * video.timescale),
            edit.speed,
        )
        for edit in edits
    ]
    return patch(recorded, replaced(EDTS, edit_list(*written, version=version)))


def expected_times(edits: Sequence[Edit]) -> dict[int, Fraction]:
    """When each frame is shown, seconds on the movie timeline."""
    times, at_s = {}, Fraction(0)
    for edit in edits:
        times |= {number: at_s + place * STEP_S for place, number in enumerate(edit.shown)}
        at_s += edit.lasts * STEP_S
    return times


def check(path: Path, expected: dict[int, Fraction]) -> None:
    """The frames expected, in order, each as far behind the first as it must be."""
    frames = show(path)
    assert [frame.number for frame in frames] == list(expected)
    first_s = next(iter(expected.values()))
    for frame in frames:
        assert frame.number is not None
        assert abs(frame.time_s - (expected[frame.number] - first_s)) < Fraction(1, 1000)


EDITS = {
    "late start": [Edit(40, None), Edit(150, 0)],
    "starts late in two edits": [Edit(10, None), Edit(15, None), Edit(150, 0)],
    "begins within a group": [Edit(100, 33)],
    "ends early": [Edit(90, 0)],
    "a short pause": [Edit(60, 0), Edit(20, None), Edit(90, 60)],
    "a pause": [Edit(60, 0), Edit(50, None), Edit(90, 60)],
    "a jump": [Edit(40, 0), Edit(60, 80)],
    "a jump within a group": [Edit(47, 0), Edit(60, 66)],
    "a pause over a jump": [Edit(47, 0), Edit(40, None), Edit(60, 66)],
    "late, paused and jumping": [Edit(20, None), Edit(30, 5), Edit(45, None), Edit(30, 48), Edit(40, 90)],
}


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("kind", ["plain", "reordered"])
def test_edits_are_obeyed(name: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    edits = EDITS[name]
    edited = write_edits(request.getfixturevalue(kind), edits, version=len(name) % 2)
    expected = expected_times(edits)
    report = make_clip([edited], WHOLE, tmp_path, gap_policy=GapPolicy.HOLD)
    times = list(expected.values())
    late_s = times[0] if times[0] * 1000 > 1000 else Fraction(0)
    if late_s:  # the head is filled: the first picture is held from the beginning on
        frames = show(report.clip)
        assert [frame.number for frame in frames] == list(expected)
        assert frames[0].time_s == 0
        assert abs(frames[1].time_s - times[1]) < Fraction(1, 1000)
    else:
        check(report.clip, expected)
    if all(edit.media is not None for edit in edits[1:]):  # FFmpeg doesn't obey pauses inside
        assert [frame.number for frame in show(edited.path)] == list(expected)
    longest = max(b - a for a, b in pairwise(times))
    gaps = [part for part in report.details["coverage"] if "gap" in part]
    assert len(gaps) == 1 + bool(late_s) + (longest > Fraction(11, 10))
    assert report.details["framesCopied"] > 0, report.details["why"]


@pytest.mark.parametrize("policy", [GapPolicy.SKIP, GapPolicy.BLACK])
def test_a_pause_is_a_gap_within_the_recording(
    policy: GapPolicy, reordered: Recorded, tmp_path: Path
) -> None:
    edited = write_edits(reordered, EDITS["a pause"])
    interval = Interval(START_MS + 1_300, START_MS + 5_600)
    planned = plan_cut([edited], interval, tmp_path, policy)
    (gap,) = planned.plan.gaps
    assert abs(gap.span.start_ms - (START_MS + 2_400)) <= 20, "by a usual step after the last picture"
    assert gap.span.end_ms == START_MS + 4_400
    frames = show(planned.render(tmp_path / "clip.mp4").clip)
    black = [None] if policy is GapPolicy.BLACK else []
    assert [frame.number for frame in frames] == [*range(33, 60), *black, *range(60, 90)]
    late_s = frames[-1].time_s - (29 + 27) * STEP_S
    if policy is GapPolicy.BLACK:
        assert abs(late_s - 2) < Fraction(1, 1000)
    else:  # the last picture before the pause is shown for as long as pictures usually are
        assert abs(late_s) < Fraction(1, 50)


REFUSED = {
    "twice as fast": ([Edit(30, 0), Edit(30, 30, 2)], "speed 2"),
    "slow motion": ([Edit(60, 0, 0.5)], "speed 0.5"),
    "a dwell": ([Edit(30, 0), Edit(30, 30, 0)], "speed 0"),
    "backwards": ([Edit(30, 60), Edit(30, 0)], "goes back"),
    "a repeat": ([Edit(30, 0), Edit(30, 0), Edit(60, 30)], "goes back"),
}


def refusal(recorded: Recorded, directory: Path) -> str:
    """Why the recording is not cut, told with its name."""
    with pytest.raises(NoFrames) as caught:
        make_clip([recorded], WHOLE, directory, gap_policy=GapPolicy.HOLD)
    assert not (directory / "clip.mp4").exists()
    assert str(caught.value).startswith(recorded.path.name)
    return str(caught.value)


@pytest.mark.parametrize("name", REFUSED)
def test_edits_that_cant_be_cut_are_named(name: str, plain: Recorded, tmp_path: Path) -> None:
    edits, reason = REFUSED[name]
    assert reason in refusal(write_edits(plain, edits), tmp_path)


def whole(recorded: Recorded, directory: Path) -> None:
    """Every frame from 1.3 s to 4.7 s, by number and time."""
    report = make_clip([recorded], Interval(START_MS + 1_300, START_MS + 4_700), directory)
    check(report.clip, {number: number * STEP_S for number in range(33, 118)})
    assert report.details["framesCopied"] > 0
    assert not report.details["notes"]


def test_compact_sample_sizes(plain: Recorded, tmp_path: Path) -> None:
    """``stz2`` of 16 bits for the pictures, of 8 for the audio."""

    def change(path: str, content: bytes) -> bytes | None:
        if not path.endswith("/stsz"):
            return None
        uniform, count = struct.unpack_from(">II", content, 4)
        assert not uniform
        sizes = struct.unpack_from(f">{count}I", content, 12)
        width, code = (8, "B") if max(sizes) < 256 else (16, "H")
        widths.append(width)
        return full_box("stz2", 0, struct.pack(">II", width, count), packed(code, sizes))

    widths: list[int] = []
    patched = patch(plain, change)
    assert widths == [16, 8]
    whole(patched, tmp_path)
    same_samples(patched.path, plain.path)


def same_samples(patched: Path, original: Path) -> None:
    """The index is that of the recording which was changed, and is what FFmpeg sees."""
    found, before = (read_index(LocalSource(path)) for path in (patched, original))
    for kind in ("video", "audio"):
        track, same = getattr(found, kind), getattr(before, kind)
        places = track.locate(0, len(track))
        assert list(track.sizes) == list(same.sizes)
        assert list(track.pts) == list(same.pts)
        with av.open(str(patched)) as container:
            packets = [one for one in container.demux(getattr(container.streams, kind)[0]) if one.size]
        assert [(one.pos, one.size) for one in packets] == places
        assert [one.pts for one in packets] == list(track.pts)


def test_compact_sample_sizes_of_four_bits() -> None:
    """Too small for real pictures: the table alone."""
    from clipline.media.boxes import parse_boxes
    from clipline.media.sample_table import _sizes

    sizes = [1, 15, 7, 9, 3]
    stz2 = full_box("stz2", 0, struct.pack(">II", 4, len(sizes)), bytes([0x1F, 0x79, 0x30]))
    (stbl,) = parse_boxes(memoryview(box("stbl", stz2)))
    assert list(_sizes(stbl, 1000)) == sizes


def test_negative_composition_offsets(reordered: Recorded, tmp_path: Path) -> None:
    """``ctts`` of version 1: pictures are decoded after their nominal time, and nothing is edited away."""

    def change(path: str, content: bytes) -> bytes | None:
        if path == EDTS:
            return edit_list((6 * MOVIE_TICKS, 0))
        if path != f"{STBL}/ctts":
            return None
        (count,) = struct.unpack_from(">I", content, 4)
        runs = list(struct.iter_unpack(">II", content[8:]))
        offsets = [(run, offset - delay) for run, offset in runs]
        assert min(offset for _, offset in offsets) < 0
        return full_box("ctts", 1, struct.pack(">I", count), *(struct.pack(">Ii", *one) for one in offsets))

    delay = read_movie(reordered.path).video.edits[0][1]
    patched = patch(reordered, change)
    whole(patched, tmp_path)
    same_samples(patched.path, reordered.path)


def wide_offsets(by: int) -> Change:
    """``co64`` in place of ``stco``, footage ``by`` bytes further behind."""

    def change(path: str, content: bytes) -> bytes | None:
        if not path.endswith("/stco"):
            return None
        offsets = [offset + by for (offset,) in struct.iter_unpack(">I", content[8:])]
        return full_box("co64", 0, content[4:8], packed("Q", offsets))

    return change


def test_offsets_of_64_bits(plain: Recorded, tmp_path: Path) -> None:
    patched = patch(plain, wide_offsets(0))
    whole(patched, tmp_path)
    same_samples(patched.path, plain.path)


def test_footage_beyond_four_gigabytes(plain: Recorded, tmp_path: Path) -> None:
    """A hole of 5 GB, which takes no room on disk, stands before the footage."""
    data = plain.path.read_bytes()
    hole = 5 << 30
    moved = rewrite(data, wide_offsets(hole))
    file_type = int.from_bytes(data[:4], "big")
    path = tmp_path / plain.path.name
    with path.open("wb") as file:
        file.write(moved[:file_type] + struct.pack(">I4sQ", 1, b"free", hole))
        file.seek(file_type + hole)
        file.write(moved[file_type:])
    assert path.stat().st_size > hole
    whole(replace(plain, path=path), tmp_path)


def second_description(plain: Recorded, chunk: int) -> Recorded:
    """Pictures from ``chunk`` on use a second sample entry, a copy of the first."""

    def change(path: str, content: bytes) -> bytes | None:
        if path == f"{STBL}/stsd":
            return full_box("stsd", 0, struct.pack(">I", 2), content[8:] * 2)
        if path != f"{STBL}/stsc":
            return None
        runs = list(struct.iter_unpack(">III", content[8:]))
        made = [run for run in runs if run[0] < chunk]
        samples = made[-1][1]
        made.append((chunk, samples, 2))
        made += [(first, count, 2) for first, count, _ in runs if first > chunk]
        return full_box("stsc", 0, struct.pack(">I", len(made)), *(struct.pack(">III", *run) for run in made))

    return patch(plain, change)


def test_several_sample_descriptions_are_named(plain: Recorded, tmp_path: Path) -> None:
    reason = refusal(second_description(plain, 3), tmp_path)
    assert "several sample descriptions, 1 (avc1) and 2 (avc1)" in reason


def test_a_description_that_no_sample_uses_is_no_matter(plain: Recorded, tmp_path: Path) -> None:
    patched = patch(
        plain,
        lambda path, content: (
            full_box("stsd", 0, struct.pack(">I", 2), content[8:], box("encv", bytes(78)))
            if path == f"{STBL}/stsd"
            else None
        ),
    )
    whole(patched, tmp_path)


def encrypted(scheme: bytes) -> Change:
    """The sample entry as an encrypted one has it (ISO/IEC 14496-12, section 8.12)."""

    def change(path: str, content: bytes) -> bytes | None:
        if path != f"{STBL}/stsd":
            return None
        ((_, entry),) = walk(content[8:])
        protection = box(
            "sinf",
            box("frma", b"avc1"),
            full_box("schm", 0, scheme, struct.pack(">I", 0x10000)),
            box("schi", full_box("tenc", 0, b"\0\0\1\x08", bytes(16))),
        )
        return full_box("stsd", 0, struct.pack(">I", 1), box("encv", entry, protection))

    return change


@pytest.mark.parametrize("scheme", [b"cenc", b"cbcs"])
def test_encrypted_pictures_are_named(scheme: bytes, plain: Recorded, tmp_path: Path) -> None:
    assert "its video is encrypted" in refusal(patch(plain, encrypted(scheme)), tmp_path)


def test_an_encrypted_recording_among_others_is_a_gap(plain: Recorded, tmp_path: Path) -> None:
    locked = replace(patch(plain, encrypted(b"cenc")), start_ms=START_MS + 6_000)
    interval = Interval(START_MS + 1_300, START_MS + 9_000)
    report = make_clip([plain, locked], interval, tmp_path, gap_policy=GapPolicy.SKIP)
    assert [frame.number for frame in show(report.clip)] == list(range(33, 150))
    (gap,) = [part for part in report.details["coverage"] if "gap" in part]
    assert gap["gap"] == f"{locked.path.name}: its video is encrypted; footage in the clear can be cut"


FRAGMENTS = {
    "mfra": "frag_keyframe+empty_moov",
    "sidx": "frag_keyframe+empty_moov+dash+global_sidx+skip_trailer",
    "bare": "frag_keyframe+delay_moov+skip_trailer",
}


@pytest.fixture(scope="module", params=FRAGMENTS)
def fragmented(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    options = (("movflags", FRAGMENTS[request.param]),)
    return record(tmp_path_factory.mktemp("fragmented"), replace(SMALL, muxer_options=options))[0]


def test_fragments_without_times_follow_each_other(fragmented: Recorded, tmp_path: Path) -> None:
    """``tfdt`` is taken out (another name: nothing moves), of the windows as of the whole."""
    data = fragmented.path.read_bytes()
    assert data.count(b"tfdt") > 5
    path = tmp_path / fragmented.path.name
    path.write_bytes(data.replace(b"tfdt", b"free"))
    patched = replace(fragmented, path=path)
    windows = [None, Window(Fraction(2), Fraction(3)), Window(Fraction(5), Fraction(7))]
    for window in windows:
        track, same = (read_index(LocalSource(one.path), window).video for one in (patched, fragmented))
        frames, before = ({track_of.pts[n] for n in track_of.shown} for track_of in (track, same))
        assert before <= frames, window
        assert track.end_pts == same.end_pts
    clips = []
    for one in (patched, fragmented):
        (directory := tmp_path / one.path.parent.name).mkdir()
        clips.append(show(make_clip([one], Interval(START_MS + 1_300, START_MS + 4_700), directory).clip))
    found, expected = ([(frame.number, frame.time_s) for frame in clip] for clip in clips)
    assert found == expected
    assert [number for number, _ in found] in (list(range(32, 117)), list(range(33, 118)))


def test_encrypted_fragments_are_named(fragmented: Recorded, tmp_path: Path) -> None:
    """The sample entry tells nothing, the fragments do: ``senc`` (ISO/IEC 23001-7, section 7.2)."""

    def change(path: str, content: bytes) -> bytes | None:
        return None if path != "moof/traf" else box("traf", content, full_box("senc", 0, bytes(4)))

    path = tmp_path / fragmented.path.name
    path.write_bytes(rewrite(fragmented.path.read_bytes(), change))
    assert "a fragment is encrypted" in refusal(replace(fragmented, path=path), tmp_path)
