import json
from pathlib import Path

import av
import pytest

START, END = "2018-09-16T17:36:31.500Z", "2018-09-16T17:36:34.100Z"
FIXTURES = Path(__file__).parents[1] / "contract" / "fixtures"


@pytest.fixture
def files(sample_recordings):
    return sorted(str(path) for path in sample_recordings.iterdir())


def one_line(result):
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_cut_prints_the_result_metadata(clipline, files, tmp_path):
    result = clipline(
        "cut",
        "--start",
        START,
        "--end",
        END,
        "--output",
        "clip.mp4",
        "--thumbnails",
        "thumbs",
        "--json",
        *files,
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["status"] == "CLIP_AVAILABLE"
    assert [Path(part["recording"]).name for part in document["coverage"]] == [
        Path(file).name for file in files
    ]
    assert document["framesCopied"] + document["framesEncoded"] == 78
    assert 0 < document["bytesRead"] < sum(Path(file).stat().st_size for file in files) / 2
    assert {"index", "fetch", "encode", "write", "verify", "thumbnails"} <= set(document["timingsInMs"])
    assert document["firstFrameTimestampInMs"] == 1_537_119_391_500
    for width in (300, 640, 1500, 3000):
        with av.open(str(tmp_path / "thumbs" / f"clip_{width}.png")) as picture:
            assert picture.streams.video[0].width == width
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "thumbs"]


def test_cut_takes_a_recordings_start_after_an_at_and_milliseconds(clipline, files, tmp_path):
    (tmp_path / "camera.mp4").symlink_to(files[0])
    result = clipline(
        "cut", "--start", "1000", "--end", "2000", "-o", "c.mp4", "--json", "camera.mp4@1970-01-01T00:00:00Z"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["framesCopied"] + json.loads(result.stdout)["framesEncoded"] == 30


def test_cut_over_a_gap_fails_unless_told_otherwise(clipline, files, tmp_path):
    arguments = (
        "cut",
        "--start",
        "2018-09-16T17:36:30Z",
        "--end",
        "2018-09-16T17:36:40Z",
        "-o",
        "c.mp4",
        files[0],
    )
    result = clipline(*arguments)
    assert result.returncode == 4
    assert "2018-09-16T17:36:32.200Z" in one_line(result)
    assert list(tmp_path.iterdir()) == []
    result = clipline(*arguments, "--gap-policy", "skip", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["partial"] is True


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"--start": "yesterday"}, "--start: 'yesterday' is no instant"),
        ({"--end": START}, "does not come after --start"),
        ({"--output": "nowhere/c.mp4"}, "the folder of --output"),
        ({"--sizes": "big"}, "--sizes is 'big', expected widths"),
        ({"--thumbnail-format": "gif"}, "'gif' is not one of 'png', 'jpg', 'webp'"),
        ({"file": "missing.20180916T173533000.mp4"}, "there is no recording missing.20180916T173533000.mp4"),
        ({"file": "pyproject.mp4"}, "write pyproject.mp4@2018-09-16T16:00:17.000Z"),
        ({"file": "a.mp4@never"}, "recording a.mp4@never"),
    ],
)
def test_cut_says_in_one_line_which_argument_is_wrong(clipline, files, changed, expected):
    options = {"--start": START, "--end": END, "--output": "c.mp4"} | changed
    file = options.pop("file", files[0])
    result = clipline("cut", *[text for pair in options.items() for text in pair], file)
    assert result.returncode == 2
    assert expected in one_line(result)


def test_cut_names_what_is_no_recording(clipline, tmp_path):
    (tmp_path / "cam.20180916T173533000.mp4").write_text("#EXTM3U\n/etc/passwd\n" * 20)
    result = clipline("cut", "--start", START, "--end", END, "-o", "c.mp4", "cam.20180916T173533000.mp4")
    assert result.returncode == 4
    assert "cam.20180916T173533000.mp4" in one_line(result)
    assert not (tmp_path / "c.mp4").exists()


def test_cut_replaces_a_file_only_when_told_to(clipline, files, tmp_path):
    (tmp_path / "c.mp4").write_text("mine")
    arguments = ("cut", "--start", START, "--end", END, "-o", "c.mp4", *files)
    result = clipline(*arguments)
    assert result.returncode == 2
    assert "--overwrite" in one_line(result)
    assert (tmp_path / "c.mp4").read_text() == "mine"
    assert clipline(*arguments, "--overwrite").returncode == 0
    assert (tmp_path / "c.mp4").stat().st_size > 10_000


def test_an_unknown_option_is_wrong_usage(clipline):
    result = clipline("cut", "--nonsense")
    assert result.returncode == 2
    assert "--nonsense" in one_line(result)
    assert "clipline cut --help" in one_line(result)
    assert "Missing argument 'RECORDING...'" in one_line(clipline("cut"))


def event(**changes):
    document = json.loads((FIXTURES / "sqs_event.json").read_text())
    document["Records"][0]["attributes"] |= changes
    return document


def test_invoke_handles_the_example_of_the_requirements(clipline, data, tmp_path):
    """The sample footage is of the time and the camera that this event asks for."""
    (tmp_path / "event.json").write_text(json.dumps(event()))
    result = clipline("invoke", "--data", "data", "--json", "event.json")
    assert result.returncode == 0, result.stderr
    (document,) = json.loads(result.stdout)
    assert (document["status"], document["repeated"]) == ("CLIP_AVAILABLE", False)
    assert document["framesCopied"] + document["framesEncoded"] == 1800
    assert len(document["coverage"]) == 2
    assert (data / "clips" / "1111111111111" / "1111111111111.mp4").stat().st_size == document["sizeInBytes"]
    again = json.loads(clipline("invoke", "--data", "data", "--json", "event.json").stdout)[0]
    assert again["repeated"] is True
    assert again["eventId"] == document["eventId"]
    human = clipline("invoke", "--data", "data", "event.json").stdout
    assert "CLIP_AVAILABLE" in human
    assert "clip 1111111111111" in human


def test_invoke_of_several_records_exits_with_the_worst(clipline, data, tmp_path):
    one = event()["Records"][0]
    bad = one | {"messageId": "bad", "body": "{'clipId': '../etc'}"}
    malformed = one | {"messageId": "malformed", "attributes": {}}
    too_long = one | {"messageId": "long", "body": one["body"].replace("1537119423000", "1637119423000")}
    too_long["body"] = too_long["body"].replace("'clipId': '1111111111111'", "'clipId': '3'")
    (tmp_path / "event.json").write_text(json.dumps({"Records": [bad, one, malformed, too_long]}))
    result = clipline("invoke", "--data", "data", "--json", "event.json")
    documents = json.loads(result.stdout)
    assert result.returncode == 1
    assert "clipId" in documents[0]["reason"]
    assert documents[1]["status"] == "CLIP_AVAILABLE"
    assert "SentTimestamp" in documents[2]["error"]
    assert documents[3]["status"] == "CLIP_TOO_LONG"
    (tmp_path / "long.json").write_text(json.dumps({"Records": [one, too_long]}))
    assert clipline("invoke", "--data", "data", "long.json").returncode == 4


@pytest.mark.parametrize(
    ("content", "code", "expected"),
    [
        (None, 2, "make one with `clipline event`"),
        ("{", 1, "event.json is not JSON"),
        ("[]", 1, "the event has no list Records"),
        ('{"Records": [{}]}', 1, "Records[0] has no messageId"),
    ],
)
def test_invoke_says_what_is_wrong_with_the_event(clipline, tmp_path, content, code, expected):
    if content is not None:
        (tmp_path / "event.json").write_text(content)
    result = clipline("invoke", "--data", "data", "event.json")
    assert result.returncode == code
    assert expected in one_line(result)


def test_settings_that_are_missing_are_named_before_any_work(clipline, tmp_path):
    (tmp_path / "event.json").write_text(json.dumps(event()))
    line = one_line(clipline("invoke", "event.json"))
    assert "CAM_SERVICES_URL is missing" in line
    assert ".env" in line
    result = clipline("invoke", "--data", "data", "--set", "SQS_TIMEOUT=soon", "event.json")
    assert result.returncode == 2
    assert "SQS_TIMEOUT is 'soon'" in one_line(result)
    result = clipline("invoke", "--data", "data", "--set", "SQS_TIMOUT=1", "event.json")
    assert "did you mean SQS_TIMEOUT?" in one_line(result)


def test_event_and_invoke_go_together(clipline, tmp_path):
    assert clipline("event", "-p").returncode == 0
    result = clipline("invoke", "--data", "data", "event.json")
    assert result.returncode == 3, result.stdout + result.stderr
    assert "CLIP_PENDING" in result.stdout
    assert "back on the queue" in result.stdout


def test_doctor_finds_what_is_there_and_says_what_to_fix(clipline, data):
    result = clipline("doctor", "--data", "data")
    assert result.returncode == 0, result.stdout
    assert "Found 2 recordings of 1 camera" in result.stdout
    result = clipline("doctor", "--data", "data", "--set", "CAM_SERVICES_URL=http://127.0.0.1:9", "--json")
    assert result.returncode == 1
    (wrong,) = [finding for finding in json.loads(result.stdout) if not finding["fine"]]
    assert wrong["what"] == "camera API"


def test_demo_goes_from_footage_to_a_clip(clipline, data):
    result = clipline("demo", "--data", "data")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "CLIP_AVAILABLE" in result.stdout
    (clip,) = data.glob("clips/*/*.mp4")
    assert str(clip.relative_to(data.parent)) in result.stdout
    assert list((data / "work").iterdir()) == []
    assert json.loads((data / "notifications.jsonl").read_text())["message"]["status"] == "CLIP_AVAILABLE"
    assert json.loads((data / "event.json").read_text())["Records"]


def test_every_command_has_help(clipline):
    listed = clipline("--help").stdout
    for command in ("cut", "invoke", "worker", "event", "sample", "doctor", "demo"):
        assert command in listed
        result = clipline(command, "--help")
        assert result.returncode == 0
        assert len(result.stdout) > 200
