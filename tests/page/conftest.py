"""``clipline serve`` with real footage, and Debian's Chromium that has its page open."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import pytest
from players.browsers import find_chromium
from players.conftest import missing
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from clipline.contract.recording import NameFormat
from clipline.entrypoints.serve import ServeOptions, Server, server
from clipline.entrypoints.telemetry.watcher import Watcher
from clipline.media.footage import Footage, make_sample
from clipline.media.overlay import frame_number

START_MS = 1_795_608_000_000  # 2026-11-25T12:00:00Z
LENGTH_MS = 6000
FRAME_RATE = 30
FOOTAGE = Footage(width=640, height=360, duration_s=LENGTH_MS // 1000, gop_s=2)
SETTINGS = {"SQS_TIMEOUT": "1", "WORKER_CONCURRENCY": "1", "THUMBNAIL_SIZES": "160 320"}


@dataclass
class Served:
    """What runs, and where its recordings are."""

    server: Server
    recordings: Path
    problems: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def link(self) -> str:
        return self.server.link


FAILED_FETCH = "Failed to load resource"
"""Chromium says so of each answer of 400 and beyond, without its address."""


@contextmanager
def serving(recordings: Path, data: Path, host: str = "127.0.0.1") -> Iterator[Served]:
    """A server and its worker."""
    problems: list[str] = []
    given = ServeOptions(str(recordings), data, host, overrides=SETTINGS)
    stop = threading.Event()
    with server(given, Watcher(), lambda _: None, problems.append) as running:
        thread = threading.Thread(target=running.worker.run, args=(stop,))
        thread.start()
        try:
            assert running.watching.looked.wait(30)
            yield Served(running, recordings, problems)
        finally:
            stop.set()
            thread.join()


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five recordings, one after the other."""
    return make_sample(
        tmp_path_factory.mktemp("footage"), camera="pier", start_ms=START_MS, recordings=5, footage=FOOTAGE
    )


def put(footage: list[Path], folder: Path, *numbers: int, start_ms: int = START_MS) -> None:
    """Put those recordings there, the first of all named as if it began at ``start_ms``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        name = NameFormat().name("pier", start_ms + number * LENGTH_MS)
        shutil.copy2(footage[number], folder / name)


@pytest.fixture
def served(footage: list[Path], tmp_path: Path) -> Iterator[Served]:
    """The camera pier, whose third recording is missing, and so is the fifth yet."""
    recordings = tmp_path / "recordings"
    put(footage, recordings / "pier", 0, 1, 3)
    with serving(recordings, tmp_path / "data") as running:
        yield running


@pytest.fixture
def recent(footage: list[Path], tmp_path: Path) -> Iterator[tuple[Served, int]]:
    """The camera pier, whose four recordings end now; and when the first began."""
    recordings = tmp_path / "recordings"
    start_ms = int(time.time()) * 1000 - 4 * LENGTH_MS
    put(footage, recordings / "pier", 0, 1, 2, 3, start_ms=start_ms)
    with serving(recordings, tmp_path / "data") as running:
        yield running, start_ms


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Ends with its file: while it is there a loop runs in this thread, and another file may want its own."""
    executable = find_chromium()
    if executable is None:
        missing("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page, and what its console said."""

    page: Page
    said: list[str]
    requests: list[str]

    @property
    def state(self) -> str:
        return self.page.locator("#clip").get_attribute("data-status") or ""

    def go(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def hover(self, at_ms: float) -> None:
        """Over the timeline that shows all of ``served``, as it does at first; from START_MS on."""
        box = self.page.locator("#timeline").bounding_box()
        assert box is not None
        whole_ms, margin_ms = 4 * LENGTH_MS * 1.08, 4 * LENGTH_MS * 0.04
        self.page.mouse.move(box["x"] + box["width"] * (at_ms + margin_ms) / whole_ms, box["y"] + 60)

    def choose(self, start_ms: int, end_ms: int, since_ms: int = START_MS) -> None:
        """What to cut, in milliseconds since ``since_ms``, typed."""
        self.page.wait_for_selector("html[data-ready]", state="attached")
        self.page.fill("#start-time", str(since_ms + start_ms))
        self.page.press("#start-time", "Tab")  # leaving a field writes both as they were understood
        self.page.fill("#end-time", str(since_ms + end_ms))
        self.page.press("#end-time", "Tab")

    def request(self, start_ms: int, end_ms: int, since_ms: int = START_MS) -> None:
        self.choose(start_ms, end_ms, since_ms)
        self.page.click("#request")

    def wait_for(self, status: str) -> None:
        self.page.wait_for_selector(f"#clip[data-status={status}]", timeout=30_000)

    def number_on_screen(self) -> int:
        """What the picture in the player carries, read from a screenshot of it."""
        self.page.wait_for_function("() => document.querySelector('video').readyState >= 2")
        time.sleep(0.2)  # the browser presents the picture after it says so
        shot = self.page.locator("#stage video").screenshot()
        with av.open(BytesIO(shot)) as picture:
            return frame_number(next(picture.decode(video=0)))


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens pages; on its console none may have said anything, nor got an error, but for ``expects``."""
    opened: list[tuple[Opened, tuple[str, ...]]] = []
    contexts: list[BrowserContext] = []

    def open_one(url: str, *, expects: tuple[str, ...] = (), **options: Any) -> Opened:
        options = {"viewport": {"width": 1280, "height": 1300}, "timezone_id": "Europe/Berlin", **options}
        context = chromium.new_context(
            locale="en-GB", permissions=["clipboard-read", "clipboard-write"], **options
        )
        contexts.append(context)
        one = Opened(context.new_page(), [], [])
        one.page.on("console", lambda message: one.said.append(f"{message.type}: {message.text}"))
        one.page.on("pageerror", lambda error: one.said.append(f"error: {error}"))
        one.page.on("response", lambda answer: answer.status >= 400 and one.said.append(_told(answer)))
        one.page.on("request", lambda request: one.requests.append(request.url))
        opened.append((one, expects))
        one.page.goto(url)
        return one

    yield open_one
    for context in contexts:
        context.close()
    for one, expects in opened:
        said = [text for text in one.said if not any(part in text for part in (*expects, FAILED_FETCH))]
        assert not said


def _told(answer: Response) -> str:
    return f"{answer.status}: {answer.url}"


@pytest.fixture
def at_home(served: Served, open_page: Callable[..., Opened]) -> Opened:
    """The page itself, ready."""
    one = open_page(served.link)
    one.page.wait_for_selector("html[data-ready]", state="attached")
    return one
