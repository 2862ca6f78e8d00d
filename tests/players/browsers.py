"""Browsers that open the page with the player and call its functions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from players import marionette
from playwright.sync_api import sync_playwright

PAGE = Path(__file__).parent / "page"
Call = Callable[..., Any]


@dataclass(frozen=True)
class Browser:
    """A browser with the page open."""

    name: str
    version: str
    call: Call
    """A function of the page by its name, with its arguments; what it promises is awaited."""


def find_chromium() -> str | None:
    return shutil.which("chromium")


@contextmanager
def chromium(executable: str, page_url: str) -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        page = browser.new_page(viewport={"width": 800, "height": 600})
        page.goto(page_url)

        def call(function: str, *arguments: Any) -> Any:
            return page.evaluate(f"(all) => {function}(...all)", list(arguments))

        yield Browser("chromium", browser.version, call)
        browser.close()


@contextmanager
def firefox(executable: str, page_url: str, directory: Path) -> Iterator[Browser]:
    """Debian's Firefox, driven by Marionette."""
    with marionette.running(executable, directory) as window:
        window.open(page_url)
        yield Browser("firefox", window.version, window.call)
