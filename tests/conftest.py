"""Real servers for the tests: started once, stopped at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from servers import ministack as ministack_server
from servers import s3

from clipline.adapters import aws
from clipline.settings import Settings

# How long an example takes says something of the machine, which others use as well.
settings.register_profile("clipline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clipline")


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ministack_server.Ministack]:
    """SQS, SNS, S3 and STS over HTTP."""
    executable = ministack_server.find()
    if executable is None:
        missing = (
            f"ministack is not installed in {ministack_server.INSTALLED}; CLIPLINE_MINISTACK may name another"
        )
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with ministack_server.running(executable, tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="module")
def aws_environment(ministack: ministack_server.Ministack) -> Iterator[ministack_server.Ministack]:
    """While a module's tests run, this process's environment points at ministack, and at nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in ministack.environment.items():
            patch.setenv(name, value)
        aws.session.cache_clear()
        yield ministack
        aws.session.cache_clear()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3Server]:
    """A real S3 server."""
    executable = s3.find()
    if executable is None:
        missing = "weed is not installed: `make test` installs it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with s3.running(executable, tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's settings, nor of AWS's."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
