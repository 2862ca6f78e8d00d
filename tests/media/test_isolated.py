"""The engine in child processes: the same clips and errors as in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from media.conftest import MakeFootage
from media.test_broken import HOSTILE
from media.truth import START_MS, Recorded, record

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import Conflict, NoFrames, NotFound, Unavailable, UnreadableRecording
from clipline.contract.interval import Interval
from clipline.media.cut import Candidate, CutReport, ThumbnailOptions
from clipline.media.engine import CutJob, Engine, InProcess
from clipline.media.footage import Footage
from clipline.media.isolation.engine import Isolated
from clipline.media.limits import MediaLimits
from clipline.media.ranges import ByteSource, LocalSource
from clipline.media.stopwatch import Stopwatch

SMALL = Footage(width=320, height=180, duration_s=4, gop_s=1)
FRAGMENTS = (("movflags", "frag_keyframe+empty_moov+default_base_moof+global_sidx"),)
KINDS = {
    "mp4": SMALL,
    "fragmented": replace(SMALL, moov_first=False, muxer_options=FRAGMENTS),
    "mpegts": replace(SMALL, container="mpegts", moov_first=False),
    "matroska": replace(SMALL, container="matroska", moov_first=False),
    "hevc": replace(
        SMALL, encoder="libx265", preset="ultrafast", options=(("x265-params", "log-level=none"),)
    ),
}
THUMBNAILS = ThumbnailOptions((64, 128))


class Afar:
    """A recording whose bytes have to be asked for; ``raises`` is what the reads from ``after`` on raise."""

    local_path = None

    def __init__(self, path: Path, raises: Exception | None = None, after: int = 0) -> None:
        self._file = LocalSource(path)
        self._raises = raises
        self._left = after
        self._lock = threading.Lock()
        self.name, self.size_bytes = self._file.name, self._file.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._left -= 1
            if self._raises is not None and self._left < 0:
                raise self._raises
        return self._file.read(offset, length)


def make(
    engine: Engine, sources: Sequence[ByteSource], starts: Sequence[int], interval: Interval, directory: Path,
    **options: Any,
) -> tuple[CutReport, list[tuple[str, bool]]]:  # fmt: skip
    """The report, and the stages: which began, and which ended."""
    directory.mkdir(exist_ok=True)
    stages: list[tuple[str, bool]] = []
    candidates = [Candidate(source, start) for source, start in zip(sources, starts, strict=True)]
    job = CutJob(candidates, interval, directory, **options)
    stopwatch = Stopwatch(lambda name, duration_ms: stages.append((name, duration_ms is not None)))
    with engine.prepare(job, stopwatch) as planned:
        gaps = planned.gaps
        report = planned.render(directory / "clip.mp4", THUMBNAILS)
    assert len(gaps) == sum("gap" in part for part in report.details["coverage"])
    return report, stages


def assert_same(
    isolated: Engine, sources: Sequence[ByteSource], starts: Sequence[int], interval: Interval, at: Path,
    **options: Any,
) -> None:  # fmt: skip
    """Byte for byte, report and stages included."""
    expected, expected_stages = make(InProcess(), sources, starts, interval, at / "in process", **options)
    found, stages = make(isolated, sources, starts, interval, at / "isolated", **options)
    assert found.clip.read_bytes() == expected.clip.read_bytes()
    assert found.details == expected.details
    assert {width: path.read_bytes() for width, path in found.thumbnails.items()} == {
        width: path.read_bytes() for width, path in expected.thumbnails.items()
    }
    assert stages == expected_stages
    left = {path.name for path in (at / "isolated").iterdir() if not path.name.startswith("intake-")}
    assert left == {"clip.mp4", "clip_64.png", "clip_128.png"}


@pytest.fixture(scope="module")
def isolated() -> Iterator[Isolated]:
    said: list[str] = []
    with Isolated(say=said.append) as engine:
        yield engine
    assert not said


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("plain"), SMALL)[0]


WITHIN = Interval(START_MS + 1_300, START_MS + 2_900)


@pytest.mark.parametrize("afar", [False, True], ids=["here", "afar"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_clip_as_in_this_process(
    kind: str, afar: bool, isolated: Isolated, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (one,) = record(tmp_path_factory.mktemp(kind), KINDS[kind])
    source: ByteSource = Afar(one.path) if afar else LocalSource(one.path)
    assert_same(isolated, [source], [START_MS], WITHIN, tmp_path)


@pytest.mark.parametrize("kind", ["b-frames", "baseline-ntsc", "open-gop"])
def test_the_same_clip_over_several_recordings(
    kind: str, footage: MakeFootage, isolated: Isolated, tmp_path: Path
) -> None:
    recordings = footage(kind)
    interval = Interval(START_MS + 10_100, START_MS + 26_050)
    sources = [LocalSource(recordings[0].path), Afar(recordings[1].path), LocalSource(recordings[2].path)]
    assert_same(isolated, sources, [one.start_ms for one in recordings], interval, tmp_path)


@pytest.mark.parametrize("policy", [GapPolicy.SKIP, GapPolicy.HOLD, GapPolicy.BLACK])
def test_the_same_clip_with_a_gap(
    policy: GapPolicy, footage: MakeFootage, isolated: Isolated, tmp_path: Path
) -> None:
    first, _, third = footage("plain")
    interval = Interval(START_MS + 11_000, START_MS + 25_000)
    missing = [(Interval(START_MS + 12_000, START_MS + 24_000), "it is announced but not in storage")]
    assert_same(
        isolated, [LocalSource(first.path), LocalSource(third.path)], [first.start_ms, third.start_ms],
        interval, tmp_path, gap_policy=policy, missing=missing,
    )  # fmt: skip


def failure(engine: Engine, source: ByteSource, directory: Path) -> Exception:
    directory.mkdir(exist_ok=True)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - compared by who calls
        make(engine, [source], [START_MS], WITHIN, directory)
    return caught.value


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_same_error_for_what_is_no_recording(kind: str, isolated: Isolated, tmp_path: Path) -> None:
    path = tmp_path / "recording.mp4"
    path.write_bytes(HOSTILE[kind])
    expected = failure(InProcess(), LocalSource(path), tmp_path / "one")
    found = failure(isolated, LocalSource(path), tmp_path / "two")
    assert (type(found), str(found)) == (type(expected), str(expected))


def test_an_interval_between_two_frames(isolated: Isolated, plain: Recorded, tmp_path: Path) -> None:
    between = Interval(START_MS + 1_001, START_MS + 1_002)
    with pytest.raises(NoFrames) as caught:
        make(isolated, [LocalSource(plain.path)], [START_MS], between, tmp_path)
    assert caught.value.covered


def test_pictures_that_do_not_decode(isolated: Isolated, plain: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    data = bytearray(plain.path.read_bytes())
    begin = data.index(b"mdat") + 4
    data[begin : begin + 100_000] = os.urandom(min(100_000, len(data) - begin))
    path.write_bytes(data)
    found = failure(isolated, LocalSource(path), tmp_path / "work")
    assert type(found) is UnreadableRecording
    assert "broken.mp4" in str(found)


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize(
    "error",
    [NotFound("read", "a", "gone"), Conflict("read", "a", "replaced"), Unavailable("read", "a", "503")],
    ids=lambda error: type(error).__name__,
)
def test_what_a_source_raises_arrives_as_that_object(
    error: Exception, after: int, isolated: Isolated, plain: Recorded, tmp_path: Path
) -> None:
    assert failure(isolated, Afar(plain.path, error, after), tmp_path / "work") is error


def test_a_source_that_finds_itself_unreadable_is_a_gap(
    isolated: Isolated, plain: Recorded, tmp_path: Path
) -> None:
    source = Afar(plain.path, UnreadableRecording("it was cut off meanwhile"))
    found = failure(isolated, source, tmp_path / "work")
    assert type(found) is NoFrames
    assert "it was cut off meanwhile" in str(found)


def test_a_local_file_that_is_gone_is_told_by_its_source(
    isolated: Isolated, plain: Recorded, tmp_path: Path
) -> None:
    class Gone(Afar):
        local_path = tmp_path / "gone.mp4"

    error = NotFound("read", "gone.mp4", "it is gone")
    assert failure(isolated, Gone(plain.path, error), tmp_path / "work") is error


def test_limits_in_both(isolated: Isolated, plain: Recorded, tmp_path: Path) -> None:
    limits = MediaLimits(pixels=320 * 180 - 1)
    expected = failure(InProcess(limits), LocalSource(plain.path), tmp_path / "one")
    with Isolated(limits) as engine:
        found = failure(engine, LocalSource(plain.path), tmp_path / "two")
    assert (type(found), str(found)) == (type(expected), str(expected))


def test_several_clips_at_once(isolated: Isolated, plain: Recorded, tmp_path: Path) -> None:
    expected, _ = make(InProcess(), [LocalSource(plain.path)], [START_MS], WITHIN, tmp_path / "expected")

    def one(number: int) -> bytes:
        source: ByteSource = Afar(plain.path) if number % 2 else LocalSource(plain.path)
        report, _ = make(isolated, [source], [START_MS], WITHIN, tmp_path / f"{number}")
        return report.clip.read_bytes()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(one, range(12))) == {expected.clip.read_bytes()}
