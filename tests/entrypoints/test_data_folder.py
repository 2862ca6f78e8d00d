"""The folder of a server: whose it is, and its secrets."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from clipline.contract.errors import ConfigurationError
from clipline.entrypoints.data_folder import DataFolder


def test_a_second_server_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data") as first:
        with (
            pytest.raises(ConfigurationError, match=f"in use by process {os.getpid()}"),
            DataFolder(tmp_path / "data"),
        ):
            pass
        first.announce("http://127.0.0.1:8640")
        with (
            pytest.raises(ConfigurationError, match=r"in use by http://127.0.0.1:8640"),
            DataFolder(tmp_path / "data"),
        ):
            pass
    with DataFolder(tmp_path / "data"):
        pass


def test_a_server_that_was_killed_leaves_the_folder_free(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from clipline.entrypoints.data_folder import DataFolder; "
        "DataFolder(pathlib.Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == -9
    assert (tmp_path / "serve.lock").read_text().startswith("process ")
    with DataFolder(tmp_path):
        pass


def test_secrets_stay_the_same_and_are_their_owners_alone(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as first:
        token, key = first.token(), first.share_key()
        assert token.encode() != key
        assert len(token) >= 32
    with DataFolder(tmp_path) as second:
        assert (second.token(), second.share_key()) == (token, key)
    for name in ("token", "share.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_an_empty_secret_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    with DataFolder(tmp_path) as folder:
        assert len(folder.token()) >= 32


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="--data"), DataFolder(tmp_path / "file" / "data"):
        pass
