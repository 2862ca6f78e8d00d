"""What comes from outside does not steer the terminal it is printed on."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from clipline.contract.errors import Unavailable
from clipline.contract.result import Status
from clipline.contract.text import printable
from clipline.entrypoints.clip_lines import print_cut
from clipline.entrypoints.doctor import Finding
from clipline.entrypoints.records import Handled
from clipline.entrypoints.report import print_finding, print_handled
from clipline.pipeline.job import Outcome

STEERING = "\x1b]0;title\x07\x1b[2J\x9b31m\r\n\u2028\u202e\ud800[red]"
COVERAGE = [
    {"startTimestampInMs": 0, "endTimestampInMs": 1, "recording": f"rec{STEERING}.mp4"},
    {"startTimestampInMs": 1, "endTimestampInMs": 2, "gap": f"gap{STEERING}", "filledWith": "black"},
]
METADATA = {
    "clipId": f"clip{STEERING}",
    "startTimestampInMs": 0,
    "endTimestampInMs": 2,
    "clip": {"url": f"https://host/{STEERING}", "key": f"key{STEERING}"},
    "thumbnail": {"url": f"https://host/{STEERING}", "key": f"key{STEERING}", "sizes": [300]},
    "firstFrameTimestampInMs": 0,
    "lastFrameTimestampInMs": 1,
    "framesCopied": 1,
    "framesEncoded": 1,
    "why": [f"why{STEERING}"],
    "width": 16,
    "height": 16,
    "durationInMs": 2,
    "sizeInBytes": 1,
    "bytesRead": 1,
    "audio": {"method": "copy", "why": [f"why{STEERING}"]},
    "notes": [f"note{STEERING}"],
    "coverage": COVERAGE,
    "timingsInMs": {"index": 1},
}


def assert_harmless(text):
    """Nothing but printable lines, and none that came from within a value."""
    assert text
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
    assert "\\x1b]0;title" in text.replace("\n", "").replace(" ", "")


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=400, color_system=None)


@pytest.mark.parametrize(
    "handled",
    [
        Handled("m", None, Outcome(Status.AVAILABLE, METADATA, timings_ms={"index": 1})),
        Handled("m", None, Outcome(Status.FATAL_ERROR, METADATA, f"reason{STEERING}")),
        Handled("m", None, Outcome(None, reason=f"reason{STEERING}")),
        Handled(f"m{STEERING}", None, error=Unavailable("GET", STEERING, STEERING)),
        Handled(f"m{STEERING}", None, error=RuntimeError(STEERING)),
    ],
)
def test_what_became_of_a_record(console, handled):
    print_handled(console, handled)
    assert_harmless(console.file.getvalue())


def test_what_a_cut_holds(capsys):
    print_cut(METADATA)
    assert_harmless(capsys.readouterr().out)


def test_what_doctor_found(console):
    print_finding(console, Finding("recordings", False, f"Found {STEERING}"))
    assert_harmless(console.file.getvalue())


def test_an_error_of_the_command_line(clipline, tmp_path):
    name = f"a{STEERING.replace(chr(0xD800), '').replace('/', '')}.mp4"
    for arguments in (["cut", "--start", "0", "--end", "1", "-o", "c.mp4", name], ["invoke", name], [name]):
        result = clipline(*arguments)
        (line,) = result.stderr.splitlines()
        assert line.startswith("clipline: ")
        assert_harmless(line)
    result = clipline("-v", "cut", "--start", "0", "--end", "1", "-o", "c.mp4", name)
    assert_harmless(result.stderr)


def test_a_file_name_that_is_no_text(clipline, sample_recordings, tmp_path):
    footage = sorted(sample_recordings.iterdir())[0]
    odd = tmp_path / "a\x1b[31m\udcff.mp4"
    odd.symlink_to(footage)
    arguments = ["cut", "--start", "0", "--end", "1000", "-o", "c\x1b[0m.mp4", f"{odd.name}@0"]
    result = clipline(*arguments)
    assert result.returncode == 0, result.stderr
    assert all(line.isprintable() for line in result.stdout.splitlines())
    assert "coverage" in result.stdout
    assert "a\\x1b[31m\\udcff.mp4" in result.stdout
    document = json.loads(clipline(*arguments, "--overwrite", "--json").stdout)
    assert document["clip"]["key"] == "c\x1b[0m.mp4"


@given(st.text(alphabet=st.characters(codec=None)))
def test_printable(text):
    shown = printable(text)
    assert shown.isprintable()
    assert text.isprintable() <= (shown == text)
    assert not any(0x80 <= ord(one) <= 0x9F for one in shown)
