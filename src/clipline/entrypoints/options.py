"""What several commands of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clipline.contract.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from clipline.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])
File = click.Path(path_type=Path)


def as_json(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(command)


def settings_options(command: Command) -> Command:
    """The three ways to say where settings come from."""
    for add in (
        click.option(
            "--set",
            "setting",
            multiple=True,
            metavar="NAME=VALUE",
            help="A setting that goes before all others.",
        ),
        click.option(
            "--data",
            type=File,
            metavar="DIR",
            help="No settings: everything on this machine, in DIR, as `demo` does.",
        ),
        click.option(
            "--env-file",
            type=File,
            default=Path(".env"),
            metavar="FILE",
            help="Settings; the environment goes before it.  [default: .env]",
        ),
    ):
        command = add(command)
    return command


def settings_of(env_file: Path, data: Path | None, setting: tuple[str, ...]) -> Settings:
    """What the three options say. Raises ConfigurationError."""
    from clipline.settings import load_settings, local_settings

    overrides = overrides_of(setting)
    if data is not None:
        return local_settings(data, overrides)
    if str(env_file) != ".env" and not env_file.is_file():
        raise ConfigurationError(f"--env-file: there is no file {env_file}")
    return load_settings(env_file, overrides)


def overrides_of(setting: tuple[str, ...]) -> dict[str, str]:
    """Settings by name, out of NAME=VALUE. Raises ConfigurationError."""
    overrides = {}
    for text in setting:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {text}: expected NAME=VALUE")
        overrides[name] = value
    return overrides


def console_of(*, stderr: bool = False) -> Console:
    """Standard output, or standard error."""
    from rich.console import Console

    return Console(stderr=stderr)
