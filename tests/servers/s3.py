"""Starts `weed mini` of SeaweedFS: a real S3 server on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_READY_S = 60
_STOP_S = 10
_TRIES = 3
_PORTS = [
    (service, kind) for service in ("master", "volume", "filer", "s3", "admin") for kind in ("", "grpc")
]


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    endpoint: str
    access_key: str = "clipline-test"
    secret_key: str = "clipline-secret"

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes any AWS client use this server for S3, and nothing of this machine's configuration."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def find() -> str | None:
    """`weed` beside this Python, else on the path."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def running(executable: str, directory: Path) -> Iterator[S3Server]:
    """A fresh server on free ports of loopback, with its files in ``directory``; stopped at the end."""
    keys = S3Server("")
    credentials = [{"accessKey": keys.access_key, "secretKey": keys.secret_key}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config = directory / "s3.json"
    config.write_text(
        json.dumps({"identities": [{"name": "test", "credentials": credentials, "actions": actions}]})
    )
    for number in range(_TRIES):
        ports = _free_ports()
        data = directory / f"data{number}"
        data.mkdir()
        command = [
            executable, "-logtostderr=true", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}",
            f"-s3.config={config}", "-master.telemetry=false", "-webdav=false", "-admin.ui=false",
            "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-volume.max=2000",  # every bucket takes some; as many as the disk would hold were too few
            *(f"-{service}.port{'.' * bool(kind)}{kind}={port}" for (service, kind), port in ports.items()),
        ]  # fmt: skip
        with (directory / "weed.log").open("ab") as log:
            environment = {
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(directory),
                "TMPDIR": str(directory),
            }
            process = subprocess.Popen(
                command, cwd=directory, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            server = S3Server(f"http://127.0.0.1:{ports['s3', '']}")
            if _becomes_ready(process, server.endpoint):
                yield server
                return
        finally:
            _stop(process)
    raise RuntimeError(f"weed does not start: see {directory / 'weed.log'}")


def _free_ports() -> dict[tuple[str, str], int]:
    """Different ones: all are held until the last is found."""
    with ExitStack() as stack:
        listeners = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in _PORTS}
        return {name: listener.getsockname()[1] for name, listener in listeners.items()}


def _becomes_ready(process: subprocess.Popen[bytes], endpoint: str) -> bool:
    """Whether S3 answers at the port it was told; it takes another one silently when that is busy."""
    end = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{endpoint}/healthz", timeout=2):
                return True
        except urllib.error.HTTPError as error:
            if error.code in (403, 404):
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        process.send_signal(kind)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            continue
        return
