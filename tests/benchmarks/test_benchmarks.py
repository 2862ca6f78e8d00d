"""The benchmarks run: on footage of a few seconds here. What they measure is no matter of tests."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import cut
import measure
import plots
import profile_cut
import sweeps
import ways
from footage import RATE, Kind, recordings
from touched import read_packets

SMALL = Kind(320, 180, 200_000, duration_s=12, encoded_s=4)
CLIP_S = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return recordings(SMALL, 2, tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture
def own_data(monkeypatch, tmp_path):
    """Temporary directories elsewhere than beside the real footage."""
    monkeypatch.setattr(cut, "DATA", tmp_path)
    monkeypatch.setattr(measure, "DATA", tmp_path)


def test_a_start_over_the_border_is_measured_and_checked(made, own_data):
    packets = [read_packets(one.path) for one in made]
    chosen = [ways.OURS, ways.SNAPPED, ways.STEPS, ways.FLOOR, ways.ENCODED]
    if ways.SMARTCUT.exists():
        chosen.append(ways.SMART)
    checked = {way.name for way in chosen}
    start = cut.measure_all(chosen, made, packets, 9.517, clip_s=CLIP_S, first=2, checked=checked)
    assert start.border
    assert start.wrong[ways.OURS.name] == measure.Wrong(0, 0)
    assert start.wrong[ways.SNAPPED.name].stored > 0
    assert set(start.costs) == checked
    for cost in start.costs.values():
        assert cost.wall_s > 0
        assert cost.peak_mib > 1
        assert cost.bytes_read >= start.costs[ways.FLOOR.name].bytes_read > CLIP_S * SMALL.bit_rate / 8 / 2
    assert 0.5 < start.warm.bytes_read / start.bytes_touched <= 1.1
    lines = cut.report(ways.WAYS, [start]).splitlines()
    assert all(any(line.startswith(f"| {way.name} | 1 ") for line in lines) for way in chosen)


def test_the_first_versions_steps_and_ours_make_the_same_pictures(made, own_data):
    packets = [read_packets(one.path) for one in made]
    job = ways.make_job(made, packets, cut.interval_at(made, 7.001, 2))
    _, wrong = measure.measure(ways.MISSION, job, check=True)
    assert wrong.shown <= 1, "ffmpeg rounds the first time that it is asked for"


def test_numbers_say_which_picture_is_which(made):
    """The second recording begins elsewhere in the turn, so that a picture of the other one shows."""
    interval = cut.interval_at(made, 11.9, 0.2)
    found = [number for one in made for number in one.numbers_in(interval)]
    turn = SMALL.encoded_s * RATE
    assert found == [117, 118, 119, *(3 * SMALL.gop_s * RATE % turn + place for place in range(3))]
    packets = [read_packets(one.path) for one in made]
    assert [len(one.sample_ends) for one in packets] == [SMALL.duration_s * RATE] * 2


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ([5, 6, 7, 8], 0),
        ([5, 6, 7], 1),
        ([4, 5, 6, 7, 8], 1),
        ([5, 6, 6, 8], 2),
        ([5, None, 7, 8], 2),
        ([5, 7, 6, 8], 2),
        ([], 4),
    ],
)
def test_pictures_missing_doubled_damaged_or_out_of_order_count(found, wrong):
    assert measure._distance(found, [5, 6, 7, 8]) == wrong


def test_a_command_that_fails_ends_the_benchmark(capfd):
    with pytest.raises(SystemExit):
        measure.run([["sh", "-c", "echo no such camera >&2; exit 3"]])
    said = capfd.readouterr().err
    assert "no such camera" in said
    assert "ended with 3" in said


def test_bytes_read_are_counted(tmp_path):
    (tmp_path / "data").write_bytes(bytes(5_000_000))
    command = ["dd", f"if={tmp_path / 'data'}", f"of={tmp_path / 'copy'}", "bs=1M"]
    assert 5_000_000 <= measure.run([command]).bytes_read < 5_500_000


def test_each_sweep_is_drawn():
    names = [way.name for way in sweeps.WAYS]
    for sweep in sweeps.sweeps():
        points = [
            sweeps.Point(setting.label, dict.fromkeys(names, measure.Cost(0.1 * place, 1, 90, 10)))
            for place, setting in enumerate(sweep.settings, start=1)
        ]
        root = ElementTree.fromstring(sweeps.draw(sweep, points, 5))
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert texts[0] == sweep.title
        assert {setting.label for setting in sweep.settings} <= set(texts)
        assert len(sweeps.table(sweep, points).splitlines()) == 2 + 2 * len(points)


def test_grid_lines_are_round_numbers():
    assert [plots._step(most) for most in (0.6, 0.7, 1, 5, 137, 2000)] == [0.1, 0.2, 0.2, 1, 50, 500]


@pytest.mark.parametrize(
    ("library", "thread", "what"),
    [
        ("/x/av.libs/libx264-d6533a8d.so.165", "python", "encoding (x264)"),
        ("/x/av.libs/libavcodec-5e.so.62", "av:h264:df0", "decoding"),
        ("/x/av.libs/libavcodec-5e.so.62", "thumbnail_0", "compressing thumbnails"),
        ("/x/av/codec/context.abi3.so", "python", "PyAV and FFmpeg's other libraries"),
        ("[kernel.kallsyms]", "fetch_0", "kernel: bytes, memory, threads"),
        ("/usr/lib/libpython3.11.so.1.0", "python", "Python: our own, the standard library's, imports"),
    ],
)
def test_samples_are_put_down_to_what_they_were_spent_on(library, thread, what):
    assert profile_cut.classify(library, thread) == what
