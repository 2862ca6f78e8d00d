"""Drives a Firefox by Marionette, the protocol that it speaks itself: JSON with a length before it.

Debian has no geckodriver, and the Firefox that Playwright drives is one of its own.
Source: firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_READY_S = 60
_STOP_S = 10
_SCRIPT_S = 60
_PREFERENCES = {
    "marionette.port": 0,  # a free one, which the profile's MarionetteActivePort tells
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """One window of a running Firefox."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_READY_S)
        self._buffer = b""
        self._commands = 0
        self._receive()  # its greeting
        session = self._command("WebDriver:NewSession", {"capabilities": {}})
        self.version: str = session["capabilities"]["browserVersion"]
        self._command("WebDriver:SetTimeouts", {"script": _SCRIPT_S * 1000})

    def open(self, url: str) -> None:
        self._command("WebDriver:Navigate", {"url": url})

    def call(self, function: str, *arguments: Any) -> Any:
        """What a function of the page returns, or what it promises."""
        script = f"return {function}(...arguments)"
        return self._command(
            "WebDriver:ExecuteScript", {"script": script, "args": arguments, "sandbox": None}
        )["value"]

    def quit(self) -> None:
        self._command("Marionette:Quit", {"flags": ["eForceQuit"]})
        self._socket.close()

    def _command(self, name: str, parameters: dict[str, Any]) -> Any:
        self._commands += 1
        message = json.dumps([0, self._commands, name, parameters]).encode()
        self._socket.sendall(f"{len(message)}:".encode() + message)
        kind, number, error, result = self._receive()
        assert (kind, number) == (1, self._commands)
        if error is not None:
            raise RuntimeError(f"Firefox, {name}: {error['error']}: {error['message']}")
        return result

    def _receive(self) -> Any:
        while b":" not in self._buffer:
            self._read_more()
        length, _, rest = self._buffer.partition(b":")
        self._buffer = rest
        while len(self._buffer) < int(length):
            self._read_more()
        message, self._buffer = self._buffer[: int(length)], self._buffer[int(length) :]
        return json.loads(message)

    def _read_more(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise RuntimeError("Firefox hung up")
        self._buffer += data


def find() -> str | None:
    return shutil.which("firefox-esr") or shutil.which("firefox")


@contextmanager
def running(executable: str, directory: Path) -> Iterator[Firefox]:
    """A fresh Firefox without a screen, its profile in ``directory``; stopped at the end."""
    profile = directory / "profile"
    profile.mkdir()
    lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in _PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    command = [executable, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
    with (directory / "firefox.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        firefox = Firefox(_port(process, profile / "MarionetteActivePort"))
        yield firefox
        firefox.quit()
        process.wait(_STOP_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], file: Path) -> int:
    end = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < end:
        if file.exists() and (text := file.read_text().strip()):
            return int(text)
        time.sleep(0.05)
    raise RuntimeError(f"Firefox does not start: see {file.parent.with_name('firefox.log')}")
