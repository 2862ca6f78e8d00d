"""Starts ministack: SQS, SNS, S3 and STS of AWS, spoken over HTTP by a server on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INSTALLED = Path(__file__).parents[2] / ".tools" / "ministack" / "bin" / "ministack"
_READY_S = 30
_STOP_S = 10
_TRIES = 3


@dataclass(frozen=True)
class Ministack:
    """A running server."""

    url: str
    environment: Mapping[str, str]
    """What makes any AWS client use this server and nothing else of this machine's configuration."""


def find() -> Path | None:
    """``$CLIPLINE_MINISTACK``, else the one in ``.tools``, which is apart because it pins botocore."""
    given = os.environ.get("CLIPLINE_MINISTACK")
    executable = Path(given) if given else INSTALLED
    return executable if executable.exists() else None


@contextmanager
def running(executable: Path, directory: Path) -> Iterator[Ministack]:
    """A fresh server on a free port of loopback, with its files in ``directory``; stopped at the end."""
    for _ in range(_TRIES):
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        with (directory / "ministack.log").open("ab") as log:
            process = subprocess.Popen(
                [executable],
                cwd=directory,
                env={
                    "PATH": f"{executable.parent}:{os.environ.get('PATH', os.defpath)}",
                    "HOME": str(directory),
                    "TMPDIR": str(directory),
                    "S3_DATA_DIR": str(directory / "s3"),
                    "BIND_HOST": "127.0.0.1",
                    "GATEWAY_PORT": str(port),
                    "LAMBDA_EXECUTOR": "local",
                    "LOG_LEVEL": "WARNING",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a function's workers end together with it
            )
        try:
            if _becomes_ready(process, url):
                yield Ministack(url, environment(url))
                return
        finally:
            _stop(process)
    raise RuntimeError(f"ministack does not start: see {directory / 'ministack.log'}")


def environment(url: str) -> Mapping[str, str]:
    """Settings of an AWS client that talks to ``url``."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _becomes_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether it answers; False when it ended, as it does when another process was faster at the port."""
    end = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/_ministack/ready", timeout=2) as response:
                if response.status == 200:
                    return True
        except OSError:
            time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
