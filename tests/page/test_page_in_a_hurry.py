"""Answers that come late, events that go missing, views without end: the page shows what is so now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from page.conftest import Opened, Served, put
from playwright.sync_api import Route, expect

from clipline.camera_service.catalog import Catalog


def test_a_late_picture_does_not_hide_that_nothing_was_recorded(at_home: Opened) -> None:
    page = at_home.page
    expect(page.locator(".readout")).to_contain_text("exact frame")
    held: list[Route] = []
    page.route("**/frame?*", lambda route: held.append(route))
    at_home.hover(1000)
    while not held:
        page.wait_for_timeout(20)
    at_home.hover(15_000)
    expect(page.locator("#stage")).to_contain_text("Nothing was recorded here")
    with page.expect_response("**/frame?*"):
        held[0].continue_()
    page.unroute("**/frame?*")
    page.wait_for_timeout(300)
    expect(page.locator("#stage")).to_contain_text("Nothing was recorded here")
    expect(page.locator("#stage img")).to_be_hidden()
    at_home.hover(1000)
    expect(page.locator("#stage img")).to_be_visible()


def test_the_clip_that_was_chosen_last_is_shown(at_home: Opened) -> None:
    page = at_home.page
    for start_ms in (500, 1500):
        at_home.request(start_ms, start_ms + 400)
        at_home.wait_for("CLIP_AVAILABLE")
    page.click("#back")
    first, second = (one.get_attribute("data-clip") for one in page.locator("#clips a").all())
    held: list[Route] = []
    page.route(f"**/clips/{first}/state", lambda route: held.append(route))
    page.click(f"#clips [data-clip='{first}']")
    while not held:
        page.wait_for_timeout(20)
    page.click(f"#clips [data-clip='{second}']")
    expect(page.locator("#clip")).to_have_attribute("data-clip", second or "")
    held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#clip")).to_have_attribute("data-clip", second or "")


def test_zooming_out_as_far_as_it_goes(at_home: Opened) -> None:
    page = at_home.page
    page.focus("#timeline")
    for _ in range(40):
        page.keyboard.press("-")
    page.wait_for_timeout(500)
    assert page.locator(".toast").count() == 0
    page.keyboard.press("0")
    at_home.hover(1000)
    expect(page.locator("#stage img")).to_be_visible()


def test_what_happened_while_the_connection_was_lost_is_seen(
    served: Served, open_page: Callable[..., Opened], footage: list[Path]
) -> None:
    one = open_page("about:blank", expects=("502",))
    page = one.page
    page.route("**/events", lambda route: route.fulfill(status=502))  # as a proxy does meanwhile
    page.goto(served.link)
    page.wait_for_selector("html[data-ready]", state="attached")
    expect(page.locator("#connection")).to_contain_text("Connection lost")
    put(footage, served.recordings / "pier", 4)
    expect(page.locator("#found summary")).to_have_text("Found 3 recordings of 1 camera")
    assert page.request.get(f"{served.url}/status").ok
    page.wait_for_timeout(5000)
    page.unroute("**/events")
    expect(page.locator("#connection")).to_be_empty(timeout=10_000)
    expect(page.locator("#found summary")).to_have_text("Found 4 recordings of 1 camera")


def test_what_another_process_deletes_goes_from_the_page(served: Served, at_home: Opened) -> None:
    at_home.request(500, 900)
    at_home.wait_for("CLIP_AVAILABLE")
    at_home.page.click("#back")
    with Catalog(served.recordings.parent / "data" / "catalog.sqlite") as elsewhere:
        for clip in elsewhere.clips.stored():
            elsewhere.clips.delete(clip.clip_id)
    expect(at_home.page.locator("#clips-empty")).to_be_visible()
