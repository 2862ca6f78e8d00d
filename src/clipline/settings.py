"""Settings: read once, from command-line flags, then the environment, then ``.env``."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from clipline.contract.coverage import GapPolicy
from clipline.contract.errors import ConfigurationError
from clipline.contract.modes import HevcMode
from clipline.contract.recording import DEFAULT_RECORDING_KEY, DEFAULT_TIMESTAMP_FORMAT, NameFormat
from clipline.contract.result import DEFAULT_CLIP_KEY, DEFAULT_THUMBNAIL_KEY
from clipline.media.limits import MediaLimits

DEFAULT_ENV_FILE = Path(".env")

_WIDEST_THUMBNAIL = 8192
_PROBE_MS = 1_540_954_320_051  # 2018-10-31T02:52:00.051Z, the example of a file name in the documentation
_DAY_S = 86_400


class Settings(BaseSettings):
    """All settings; the environment variable of a field is its name in capitals. Frozen."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=False
    )

    cam_services_url: str = Field(
        description="Where the camera API is. `folder:DIR` starts one on loopback for the recordings in DIR."
    )
    cam_services_token: SecretStr | None = Field(
        None, description="Sent to the camera API as `Authorization: Bearer ...`."
    )
    recordings_url: str = Field("", description="Where recordings are listed, if not at `CAM_SERVICES_URL`.")
    clip_url: str = Field(description="Where clips are published: the URL that keys are appended to.")

    s3_bucket_origin: str = Field(
        description="Where recordings are: a bucket, or a URL `s3://`, `file:`, `memory://`."
    )
    s3_bucket_origin_dir: str = Field("", description="The folder of recordings in that bucket.")
    recording_key: str = Field(
        DEFAULT_RECORDING_KEY,
        description="A recording's key: `{dir}`, `{name}`, `{alias}` and strftime fields of its start, "
        "or `{key}`: what `clipline serve` says of it.",
    )
    timestamp_format: str = Field(
        DEFAULT_TIMESTAMP_FORMAT, description="The time in recordings' names; `%f` is milliseconds."
    )
    old_file_format: bool = Field(False, description="True if those names carry no milliseconds.")

    s3_bucket_destination: str = Field(description="Where clips go: a bucket or a URL, as above.")
    clip_key: str = Field(DEFAULT_CLIP_KEY, description="A clip's key.")
    thumbnail_key: str = Field(DEFAULT_THUMBNAIL_KEY, description="A thumbnail's key.")
    thumbnail_sizes: Annotated[tuple[int, ...], NoDecode] = Field(
        (300, 640, 1500, 3000),
        description="Widths of thumbnails in pixels, separated by spaces or commas, or as JSON.",
    )
    thumbnail_format: Literal["png", "jpg", "webp"] = Field(
        "png", description="Format of thumbnails: `png`, `jpg` or `webp`."
    )

    aws_sqs_queue: str = Field("", description="ARN of the queue; only deployment needs it.")
    aws_sqs_queue_url: str = Field(
        description="URL of the queue of requests, or `sqlite:FILE` for a queue on this machine."
    )
    aws_sqs_dead_letter_queue_url: str = Field(
        "", description="URL of the dead-letter queue, if not the one of the queue's redrive policy."
    )
    aws_sns_topic: str = Field(
        description="ARN of the topic that results are published to, or `file:FILE` for JSON lines."
    )
    webhook_url: str = Field("", description="Results are POSTed there as well.")
    webhook_secret: SecretStr | None = Field(None, description="Key that signs what is POSTed.")
    notify_pending: bool = Field(False, description="Publish `CLIP_PENDING` too.")

    sqs_retry_limit: int = Field(
        900, ge=0, le=30 * _DAY_S, description="Seconds to go on asking for recordings that are missing."
    )
    sqs_timeout: int = Field(60, ge=0, le=900, description="Seconds between two attempts.")
    out_of_range_limit: int = Field(
        259_200,
        ge=0,
        le=3650 * _DAY_S,
        description="Seconds back that clips can be asked for; 0 is no limit.",
    )
    video_max_len: int = Field(300, ge=1, le=_DAY_S, description="Seconds that a clip may last.")
    gap_policy: GapPolicy = Field(
        GapPolicy.FAIL,
        description="What becomes of gaps once waiting is over: `fail`, `skip`, `hold` or `black`.",
    )
    gap_tolerance_ms: int = Field(
        1000, ge=0, le=60_000, description="Holes up to this many milliseconds count as covered."
    )
    hevc_mode: HevcMode = Field(
        HevcMode.H264,
        description="What becomes of HEVC recordings: `h264` (encoded anew), `splice` (copied), `hevc`.",
    )
    max_receive_count: int = Field(
        5, ge=1, le=1000, description="Deliveries of a message after which it is given up."
    )

    clip_download_dest: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()),
        description="Work directory; each job has its own directory in it, which is always removed.",
    )
    worker_concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=64,
        description="Clips that `clipline worker` makes at a time.",
    )
    worker_memory_limit_mib: int = Field(
        0,
        ge=0,
        le=1 << 24,
        description="MiB that a worker and all its clips may take together; 0 is no limit. Each clip's limit "
        "is its share, if `MEDIA_MEMORY_LIMIT_MIB` is not less.",
    )
    disk_reserve_mib: int = Field(
        512,
        ge=0,
        le=1 << 24,
        description="A worker receives nothing while less than so many MiB are free in its work directory.",
    )
    isolation: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether each clip is made in a process without credentials, network and other files: "
        "`on`, `off`, or `auto`: on for `clipline worker`.",
    )
    media_memory_limit_mib: int = Field(
        4096,
        ge=128,
        le=1_048_576,
        description="MiB of memory that making a clip may take; needs isolation.",
    )
    media_cpu_limit_s: int = Field(
        3600, ge=1, le=_DAY_S, description="Seconds of CPU time that making a clip may take; needs isolation."
    )
    media_time_limit_s: int = Field(
        3600, ge=1, le=_DAY_S, description="Seconds that making a clip may take; needs isolation."
    )
    media_pixel_limit: int = Field(
        MediaLimits.pixels,
        ge=1,
        le=16_384 * 16_384,
        description="Pixels that a recording's pictures may have, width times height.",
    )
    media_output_limit_mib: int = Field(4096, ge=1, le=1_048_576, description="MiB that a clip may have.")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Where `clipline worker` answers `GET /metrics` (Prometheus) and `/health`; 0 is off.",
    )
    metrics_host: str = Field("127.0.0.1", description="The address of that port.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="`debug`, `info`, `warning` or `error`."
    )

    @field_validator("thumbnail_sizes", mode="before")
    @classmethod
    def _split_sizes(cls, value: object) -> object:
        if isinstance(value, str):
            value = re.split(r"[\s,]+", value.strip().removeprefix("[").removesuffix("]").strip(" ,"))
        return value

    @field_validator("thumbnail_sizes")
    @classmethod
    def _check_sizes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or not all(1 <= width <= _WIDEST_THUMBNAIL for width in value):
            raise ValueError(f"expected widths from 1 to {_WIDEST_THUMBNAIL} pixels")
        return tuple(dict.fromkeys(value))

    @field_validator("thumbnail_format", "gap_policy", "hevc_mode", "isolation", "log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("recording_key", "clip_key", "thumbnail_key")
    @classmethod
    def _check_template(cls, value: str, info: Any) -> str:
        needed, known = {
            "recording_key": ({"name"}, {"dir", "alias", "name", "key"}),
            "clip_key": ({"clipId"}, {"cameraId", "clipId"}),
            "thumbnail_key": ({"clipId", "size"}, {"cameraId", "clipId", "size", "format"}),
        }[info.field_name]
        fields = set(re.findall(r"{([^{}]*)}", value))
        if not (needed <= fields or "key" in fields) or not fields <= known:
            raise ValueError(
                f"expected {' and '.join(f'{{{field}}}' for field in sorted(needed))} in it, "
                f"and no fields but {', '.join(f'{{{field}}}' for field in sorted(known))}"
            )
        # An empty {dir} leaves two slashes, which a recording's key has no more.
        bad = {".", ".."} if info.field_name == "recording_key" else {"", ".", ".."}
        if value.startswith("/") or bad & set(value.split("/")) or not value.isprintable():
            raise ValueError(
                "expected a key without a slash at its head and without '..', '.', '//' or control characters"
            )
        return value

    @field_validator("s3_bucket_origin_dir")
    @classmethod
    def _check_directory(cls, value: str) -> str:
        if {".", ".."} & set(value.split("/")) or not value.isprintable():
            raise ValueError("expected a folder of the bucket, without '.', '..' or control characters")
        return value

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = NameFormat(self.timestamp_format, self.old_file_format)
        written = names.name("camera", _PROBE_MS)
        read = names.start_ms(written)
        if read is None or read[0] // 1000 != _PROBE_MS // 1000:
            raise ValueError(
                f"TIMESTAMP_FORMAT is {self.timestamp_format!r}, expected a strptime format that can be read "
                f"back; it makes {written!r}"
            )
        return self


def load_settings(
    env_file: Path | None = DEFAULT_ENV_FILE, overrides: Mapping[str, str] | None = None
) -> Settings:
    """Settings out of ``overrides`` (variable names and values), the environment and ``env_file``.

    What the file says about AWS in general (AWS_PROFILE, AWS_ENDPOINT_URL, ...) is put into this process's
    environment, unless it is there already, so that it works as in any AWS tool. Raises
    ConfigurationError, one line, that names each wrong variable, its value and what is expected.
    """
    known = {name.upper() for name in Settings.model_fields}
    for name in overrides or {}:
        if name not in known:
            close = difflib.get_close_matches(name, known)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
            raise ConfigurationError(f"there is no setting {name}", hint=hint)
    if env_file is not None and env_file.is_file():
        for name, value in dotenv_values(env_file).items():
            if name.startswith("AWS_") and name not in known and value:
                os.environ.setdefault(name, value)
    flags: dict[str, Any] = {name.lower(): value for name, value in (overrides or {}).items()}
    try:
        return Settings(_env_file=env_file, **flags)  # type: ignore[call-arg, unused-ignore]
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise ConfigurationError(problems, hint=_where(env_file)) from None


def local_settings(data: Path, overrides: Mapping[str, str] | None = None) -> Settings:
    """Everything on this machine, in the folder ``data``; ``.env.sample_local`` says the same."""
    values = {
        "CAM_SERVICES_URL": f"folder:{data}/recordings",
        "CLIP_URL": f"file:{data}/clips",
        "S3_BUCKET_ORIGIN": f"file:{data}/recordings",
        "S3_BUCKET_DESTINATION": f"file:{data}/clips",
        "AWS_SQS_QUEUE_URL": f"sqlite:{data}/queue.sqlite",
        "AWS_SNS_TOPIC": f"file:{data}/notifications.jsonl",
        "CLIP_DOWNLOAD_DEST": f"{data}/work",
        "OUT_OF_RANGE_LIMIT": "0",
    }
    return load_settings(None, values | dict(overrides or {}))


def serve_settings(
    data: Path, recordings: str, url: str, token: str, overrides: Mapping[str, str]
) -> Settings:
    """What `clipline serve` makes clips by: recordings where they are, everything else in ``data``.

    ``recordings`` is a store's URL, ``url`` where this camera service is called, with ``token``.
    """
    values = {
        "CAM_SERVICES_URL": url,
        "CAM_SERVICES_TOKEN": token,
        "CLIP_URL": f"{url}/clips",
        "S3_BUCKET_ORIGIN": recordings,
        "RECORDINGS_URL": "",
        "RECORDING_KEY": "{key}",
        "SQS_TIMEOUT": "10",  # a retry costs two calls on this machine
        "THUMBNAIL_SIZES": "320 640 1280",
    }
    return local_settings(data, values | dict(overrides))


def _where(env_file: Path | None) -> str:
    if env_file is None:
        return "set it in the environment"
    if env_file.is_file():
        return f"set it in the environment or in {env_file}"
    return f"set it in the environment, or copy one of the .env.sample files to {env_file}"


def _describe(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]).upper() if problem["loc"] else ""
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{name} is missing"
    if not name:
        return str(message)
    expected = message[:1].lower() + message[1:]
    value = problem["input"]
    return f"{name} is {value!r}, {expected.replace('input should', 'it should')}"
