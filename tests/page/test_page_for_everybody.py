"""By keyboard alone, for screen readers, on a phone, with a token, without a network, with nothing yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from page.conftest import Opened, Served, put, serving
from page.test_page import READY, first_number
from playwright.sync_api import expect

MOST_BYTES = 200_000
DARK_AND_LIGHT = pytest.mark.parametrize("colours", ["light", "dark"])


def serious(one: Opened) -> list[str]:
    """What axe finds that keeps people out. The page's policy would not let axe's script in."""
    results = Axe().run(one.page)
    return [
        f"{found['id']}: {found['help']} ({found['nodes'][0]['html'][:200]})"
        for found in results.response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


@DARK_AND_LIGHT
def test_nothing_keeps_people_out(served: Served, open_page: Callable[..., Opened], colours: str) -> None:
    one = open_page(served.link, color_scheme=colours, bypass_csp=True)
    one.page.wait_for_selector("html[data-ready]", state="attached")
    assert serious(one) == []
    one.request(4100, 6100)
    one.wait_for(READY)
    assert serious(one) == []
    one.page.click("#share")
    one.page.get_by_role("button", name="Make the link").click()
    link = one.page.locator("#share-link").input_value()
    assert serious(one) == []
    one.page.keyboard.press("Escape")
    one.request(10_000, 20_000)
    one.wait_for("CLIP_NOT_AVAILABLE")
    one.page.click("#found summary")
    assert serious(one) == []
    one.page.click("#help")
    assert serious(one) == []
    shared = open_page(link, color_scheme=colours, bypass_csp=True)
    expect(shared.page.locator("video")).to_be_visible()
    assert serious(shared) == []


def test_with_the_keyboard_alone(at_home: Opened) -> None:
    page = at_home.page
    keys = page.keyboard
    for _ in range(30):
        keys.press("Tab")
        if page.evaluate("document.activeElement.id") == "timeline":
            break
    expect(page.locator("#timeline")).to_be_focused()
    keys.press("Home")
    for _ in range(3):
        keys.press(".")
    expect(page.locator("#cursor-time")).to_contain_text("13:00:00.120")
    keys.press("i")
    for _ in range(4):
        keys.press("Shift+ArrowRight")
    keys.press("o")
    value = page.locator("#timeline").get_attribute("aria-valuetext") or ""
    assert "recorded; shown are" in value
    keys.press("Enter")
    at_home.wait_for(READY)
    assert at_home.number_on_screen() == first_number(120)
    page.evaluate("document.activeElement.blur()")
    keys.press(".")
    expect(page.locator("#frame-position")).to_contain_text("frame 2 of")
    assert at_home.number_on_screen() == first_number(120) + 1
    keys.press("Escape")
    expect(page.locator("#stage img")).to_be_visible()
    keys.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keyboard and mouse")
    keys.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)  # the browser closes it a moment later
    keys.press("/")
    expect(page.locator("#search")).to_be_focused()


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_on_a_phone(served: Served, open_page: Callable[..., Opened]) -> None:
    one = open_page(served.link, **PHONE)
    one.page.wait_for_selector("html[data-ready]", state="attached")
    box = one.page.locator("#timeline").bounding_box()
    assert box is not None
    one.page.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + 50)
    one.page.get_by_role("button", name="Start at the cursor").tap()
    one.page.locator("#request").tap()
    one.page.wait_for_selector("#clip:not([data-status=CLIP_PENDING])", timeout=30_000)
    wide = one.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390


def test_the_first_load_is_small(served: Served, open_page: Callable[..., Opened]) -> None:
    sizes: dict[str, int] = {}
    one = open_page("about:blank")
    one.page.on("response", lambda answer: sizes.setdefault(answer.url, _size(answer)))
    one.go(served.link)
    expect(one.page.locator("#stage img")).to_be_visible()
    own = {url: size for url, size in sizes.items() if "/frame?" not in url and "/events" not in url}
    assert all(url.startswith(served.url) for url in one.requests if not url.startswith(("blob:", "about:")))
    assert 0 < sum(own.values()) < MOST_BYTES
    assert len(own) > 15


def _size(answer: Any) -> int:
    return 0 if answer.url.endswith("/events") else int(answer.headers.get("content-length", 0))


def test_with_a_token(footage: list[Path], tmp_path: Path, open_page: Callable[..., Opened]) -> None:
    put(footage, tmp_path / "recordings" / "pier", 0)
    # Any address but those that are called loopback everywhere asks for one.
    with serving(tmp_path / "recordings", tmp_path / "data", "127.0.0.2") as running:
        one = open_page(running.url, expects=("401: ",), bypass_csp=True)
        expect(one.page.locator("#token")).to_be_visible()
        assert serious(one) == []
        one.page.fill("#token", "wrong")
        one.page.keyboard.press("Enter")
        expect(one.page.locator("#error")).to_contain_text("not the token")
        token = running.link.partition("token=")[2]
        one.page.fill("#token", token)
        one.page.keyboard.press("Enter")
        one.page.wait_for_selector("html[data-ready]", state="attached")
        expect(one.page.locator("#camera option:checked")).to_have_text("pier")
        linked = open_page(running.link)
        linked.page.wait_for_selector("html[data-ready]", state="attached")
        assert "token" not in linked.page.url


def test_with_nothing_yet(footage: list[Path], tmp_path: Path, open_page: Callable[..., Opened]) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    with serving(recordings, tmp_path / "data") as running:
        one = open_page(running.link, bypass_csp=True)
        expect(one.page.locator("#stage")).to_contain_text(str(recordings))
        assert serious(one) == []
        put(footage, recordings / "reef", 0)
        expect(one.page.locator("#stage img")).to_be_visible(timeout=15_000)
        expect(one.page.locator("#camera option:checked")).to_have_text("reef")


def test_a_disk_that_goes(served: Served, open_page: Callable[..., Opened], tmp_path: Path) -> None:
    at_home = open_page(served.link, expects=("404: ",))
    expect(at_home.page.locator("#stage img")).to_be_visible()
    served.recordings.rename(tmp_path / "elsewhere")
    expect(at_home.page.locator("#banners")).to_contain_text("there is no such folder", timeout=15_000)
    (tmp_path / "elsewhere").rename(served.recordings)
    expect(at_home.page.locator("#banners")).to_be_empty(timeout=30_000)


def test_without_a_connection(served: Served, open_page: Callable[..., Opened]) -> None:
    one = open_page(served.link, expects=("ERR_INTERNET_DISCONNECTED",))
    one.page.wait_for_selector("html[data-ready]", state="attached")
    one.page.context.set_offline(True)
    one.choose(1000, 2000)
    one.page.click("#request")
    expect(one.page.locator("#interval-notes")).to_contain_text("does not answer")
    one.page.context.set_offline(False)
    one.page.click("#request")
    one.wait_for(READY)
