"""Settings: where they come from, which wins, and what is said about a wrong one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clipline.contract.errors import ConfigurationError
from clipline.settings import Settings, load_settings, local_settings

NEEDED = {
    "CAM_SERVICES_URL": "https://cameras.example.com",
    "CLIP_URL": "https://clips.example.com",
    "S3_BUCKET_ORIGIN": "rewinds",
    "S3_BUCKET_DESTINATION": "clips",
    "AWS_SQS_QUEUE_URL": "https://sqs.example.com/queue",
    "AWS_SNS_TOPIC": "arn:aws:sns:us-west-1:123456789012:clips",
}

Load = Callable[..., Settings]


@pytest.fixture
def load(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Settings from the environment, which holds what is needed, with changes; None leaves one out."""

    def load(
        env_file: Path | None = None, overrides: dict[str, str] | None = None, **changes: str | None
    ) -> Settings:
        for name, value in (NEEDED | changes).items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        return load_settings(env_file, overrides)

    return load


def test_defaults(load: Load) -> None:
    settings = load()
    assert (settings.sqs_retry_limit, settings.sqs_timeout) == (900, 60)
    assert (settings.out_of_range_limit, settings.video_max_len) == (259_200, 300)
    assert (settings.gap_policy, settings.gap_tolerance_ms, settings.max_receive_count) == ("fail", 1000, 5)
    assert settings.thumbnail_sizes == (300, 640, 1500, 3000)
    assert (settings.timestamp_format, settings.old_file_format) == ("%Y%m%dT%H%M%S%f", False)
    assert (settings.recording_key, settings.clip_key) == ("{dir}/{name}", "{cameraId}/{clipId}.mp4")
    assert settings.notify_pending is False


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_missing_is_named(load: Load, name: str, value: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(**{name: value})
    assert str(caught.value) == f"{name} is missing (set it in the environment)"


def test_everything_that_is_wrong_is_named_at_once(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / ".env", CLIP_URL=None, SQS_TIMEOUT="soon", VIDEO_MAX_LEN="0")
    for part in (
        "CLIP_URL is missing",
        "SQS_TIMEOUT is 'soon'",
        "VIDEO_MAX_LEN is '0'",
        "copy one of the .env.sample",
    ):
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SQS_RETRY_LIMIT", "15 minutes", "integer"),
        ("SQS_RETRY_LIMIT", "-1", "greater than or equal to 0"),
        ("SQS_TIMEOUT", "901", "less than or equal to 900"),
        ("SQS_TIMEOUT", "1.5", "integer"),
        ("OUT_OF_RANGE_LIMIT", "-1", "greater than or equal to 0"),
        ("OUT_OF_RANGE_LIMIT", "NaN", "integer"),
        ("VIDEO_MAX_LEN", "0", "greater than or equal to 1"),
        ("VIDEO_MAX_LEN", "1e400", "integer"),
        ("GAP_TOLERANCE_MS", "60001", "less than or equal to 60000"),
        ("MAX_RECEIVE_COUNT", "0", "greater than or equal to 1"),
        ("WORKER_CONCURRENCY", "65", "less than or equal to 64"),
        ("GAP_POLICY", "freeze", "'fail', 'skip', 'hold' or 'black'"),
        ("THUMBNAIL_FORMAT", "gif", "'png', 'jpg' or 'webp'"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("OLD_FILE_FORMAT", "maybe", "boolean"),
        ("NOTIFY_PENDING", "2", "boolean"),
        ("THUMBNAIL_SIZES", "300 wide", "integer"),
        ("THUMBNAIL_SIZES", "0", "widths from 1 to 8192 pixels"),
        ("THUMBNAIL_SIZES", "300 -640", "widths from 1 to 8192 pixels"),
        ("THUMBNAIL_SIZES", "8193", "widths from 1 to 8192 pixels"),
        ("THUMBNAIL_SIZES", "300.5", "integer"),
        ("THUMBNAIL_SIZES", "[]", "integer"),
        ("THUMBNAIL_SIZES", '{"a": 1}', "integer"),
        ("RECORDING_KEY", "{dir}/fixed.mp4", "expected {name} in it"),
        ("RECORDING_KEY", "{dir}/{nmae}", "expected {name} in it"),
        ("RECORDING_KEY", "/{name}", "without a slash at its head"),
        ("RECORDING_KEY", "../{name}", "without '..'"),
        ("RECORDING_KEY", "./{name}", "without '..'"),
        ("CLIP_KEY", "clips//{clipId}.mp4", "without '..'"),
        ("THUMBNAIL_KEY", "a/./{clipId}_{size}.png", "without '..'"),
        ("S3_BUCKET_ORIGIN_DIR", "rewinds/../secret", "without '.', '..'"),
        ("METRICS_PORT", "65536", "less than or equal to 65535"),
        ("CLIP_KEY", "{cameraId}.mp4", "expected {clipId} in it"),
        ("CLIP_KEY", "{clipId}/{user}.mp4", "no fields but {cameraId}, {clipId}"),
        ("THUMBNAIL_KEY", "{clipId}.png", "expected {clipId} and {size} in it"),
        ("TIMESTAMP_FORMAT", "%H%M", "a strptime format that can be read back"),
        ("TIMESTAMP_FORMAT", "yesterday", "a strptime format that can be read back"),
    ],
)  # fmt: skip
def test_a_malformed_value_gives_one_line(load: Load, name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} is ")
    assert value.split()[-1].strip("[]{}") in message
    assert expected in message
    assert message.endswith("(set it in the environment)")
    assert len(message.splitlines()) == 1
    assert "pydantic" not in message.lower()


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("300 640 1500 3000", (300, 640, 1500, 3000)),
        ("300,640", (300, 640)),
        (" 300, 640 ,\t1500 ", (300, 640, 1500)),
        ("[300, 640]", (300, 640)),
        ("[300,640,]", (300, 640)),
        ("640", (640,)),
        ("640 300 640", (640, 300)),
        ("1 8192", (1, 8192)),
    ],
)
def test_notations_of_thumbnail_sizes(load: Load, text: str, widths: tuple[int, ...]) -> None:
    assert load(THUMBNAIL_SIZES=text).thumbnail_sizes == widths


@pytest.mark.parametrize(("name", "text", "value"), [
    ("GAP_POLICY", "HOLD", "hold"),
    ("THUMBNAIL_FORMAT", "WebP", "webp"),
    ("LOG_LEVEL", "WARNING", "warning"),
    ("OLD_FILE_FORMAT", "True", True),
    ("OLD_FILE_FORMAT", "false", False),
    ("OUT_OF_RANGE_LIMIT", "0", 0),
    ("CLIP_DOWNLOAD_DEST", "/var/work", Path("/var/work")),
    ("TIMESTAMP_FORMAT", "%Y-%m-%d-%H-%M-%S", "%Y-%m-%d-%H-%M-%S"),
    ("RECORDING_KEY", "{dir}/{alias}/%Y/%m/%d/{name}", "{dir}/{alias}/%Y/%m/%d/{name}"),
])  # fmt: skip
def test_values(load: Load, name: str, text: str, value: object) -> None:
    assert getattr(load(**{name: text}), name.lower()) == value


def test_overrides_come_before_the_environment_and_that_before_the_file(load: Load, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(
        "SQS_TIMEOUT=1\nSQS_RETRY_LIMIT=1\nVIDEO_MAX_LEN=1\nUNKNOWN=1\n# comment\nexport LOG_LEVEL='debug'\n"
    )
    settings = load(env_file, {"SQS_TIMEOUT": "3"}, SQS_TIMEOUT="2", SQS_RETRY_LIMIT="2")
    assert (settings.sqs_timeout, settings.sqs_retry_limit, settings.video_max_len) == (3, 2, 1)
    assert settings.log_level == "debug"


def test_an_empty_variable_is_no_variable(load: Load, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("SQS_TIMEOUT=7\n")
    assert load(env_file, SQS_TIMEOUT="").sqs_timeout == 7
    assert load(SQS_RETRY_LIMIT="").sqs_retry_limit == 900


def test_a_wrong_value_in_the_file_names_the_file(load: Load, tmp_path: Path) -> None:
    env_file = tmp_path / "camera.env"
    env_file.write_text("SQS_TIMEOUT=soon\n")
    with pytest.raises(
        ConfigurationError, match=r"^SQS_TIMEOUT is 'soon', .* \(set it in the environment or in "
    ) as caught:
        load(env_file)
    assert str(env_file) in str(caught.value)


def test_what_the_file_says_about_aws_reaches_the_environment_unless_it_is_there(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SQS_TIMEOUT"):
        monkeypatch.setenv(name, "to be removed again")  # so that it is, after the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    env_file = tmp_path / ".env"
    env_file.write_text(
        "AWS_PROFILE=clips\nAWS_REGION=us-west-1\nAWS_ENDPOINT_URL=\nAWS_SQS_QUEUE=arn:aws:sqs:test\nSQS_TIMEOUT=5\n"
    )
    settings = load(env_file)
    assert os.environ["AWS_PROFILE"] == "clips"
    assert os.environ["AWS_REGION"] == "eu-north-1"
    assert settings.aws_sqs_queue == "arn:aws:sqs:test"
    assert not os.environ.keys() & {"AWS_ENDPOINT_URL", "AWS_SQS_QUEUE", "SQS_TIMEOUT"}


def test_secrets_are_never_printed(load: Load) -> None:
    settings = load(CAM_SERVICES_TOKEN="hush-1", WEBHOOK_SECRET="hush-2")
    assert settings.cam_services_token is not None
    assert settings.cam_services_token.get_secret_value() == "hush-1"
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    with pytest.raises(ConfigurationError) as caught:
        load(CAM_SERVICES_TOKEN="hush-1", WEBHOOK_SECRET="hush-2", SQS_TIMEOUT="soon", CLIP_URL=None)
    assert "hush" not in str(caught.value)


def test_settings_do_not_change(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().sqs_timeout = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("SQS_TIMEOUTS", "did you mean SQS_TIMEOUT?"), ("COLOUR", "there are AWS_SNS_TOPIC, ")],
)  # fmt: skip
def test_an_override_of_no_setting_is_an_error(load: Load, name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(overrides={name: "1"})
    assert str(caught.value).startswith(f"there is no setting {name} (")
    assert hint in str(caught.value)


def test_a_malformed_override_is_named(load: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"^SQS_TIMEOUT is 'soon', "):
        load(overrides={"SQS_TIMEOUT": "soon"})


def test_everything_on_this_machine(no_settings: None) -> None:
    settings = local_settings(Path("data"), {"CLIP_URL": "https://clips.example.com"})
    assert settings.cam_services_url == "folder:data/recordings"
    assert settings.aws_sqs_queue_url == "sqlite:data/queue.sqlite"
    assert settings.clip_url == "https://clips.example.com"
    assert settings.out_of_range_limit == 0


@pytest.mark.parametrize("name", ["local", "sandbox", "staging", "prod"])
def test_the_samples_can_be_loaded(no_settings: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    sample = Path(__file__).parents[2] / f".env.sample_{name}"
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.setenv(variable, "there already")
    settings = load_settings(sample)
    if name == "local":
        local = local_settings(Path("data"))
        assert settings == local
    else:
        assert settings.clip_url == f"https://camclips.{name}.test.com"
        assert settings.s3_bucket_destination == f"cameras-service-clips-cdn-{name}"
        assert settings.aws_sns_topic == f"arn:aws:sns:test_{name}"
        assert settings.aws_sqs_queue == f"arn:aws:sqs:test-sqs-{name}"
        assert settings.aws_sqs_queue_url == f"https://sqs.test-sqs-{name}"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("CLIP_KEY", "\x1b[2J{clipId}"),
        ("THUMBNAIL_KEY", "{clipId}\n{size}"),
        ("RECORDING_KEY", "\u202e{name}"),
        ("S3_BUCKET_ORIGIN_DIR", "rewinds\x07"),
    ],
)
def test_a_key_holds_no_control_characters(load: Load, name: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is .*control characters"):
        load(**{name: key})
