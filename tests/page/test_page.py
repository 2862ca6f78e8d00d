"""The page as people use it: from opening it to the number on the first picture of a clip."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from page.conftest import FRAME_RATE, START_MS, Opened, Served, put
from playwright.sync_api import expect

READY, PENDING = "CLIP_AVAILABLE", "CLIP_PENDING"


def first_number(start_ms: int) -> int:
    """Of the first frame at or after ``start_ms`` from START_MS on."""
    return -(-start_ms * FRAME_RATE // 1000)


def test_from_opening_the_page_to_the_first_picture(at_home: Opened) -> None:
    page = at_home.page
    assert page.locator("#camera").inner_text() == "pier"
    expect(page.locator("#found summary")).to_have_text("Found 3 recordings of 1 camera")
    expect(page.locator("#stage img")).to_be_visible()
    expect(page.locator(".readout")).to_contain_text("exact frame")

    at_home.request(4100, 8300)  # across the border of the first two
    at_home.wait_for(READY)
    assert at_home.number_on_screen() == first_number(4100)
    expect(page.locator("#frame-position")).to_contain_text(f"frame 1 of {round(4.2 * FRAME_RATE)}")
    expect(page.locator("#frame-position")).to_contain_text("13:00:04.100")
    expect(page.locator("#frame-position")).to_contain_text("UTC 12:00:04.100")
    for number in (1, 2, 3):
        page.click("#frame-ahead")
        expect(page.locator("#frame-position")).to_contain_text(f"frame {number + 1} of")
        assert at_home.number_on_screen() == first_number(4100) + number
    page.click("#frame-back")
    expect(page.locator("#frame-position")).to_contain_text("frame 3 of")
    assert at_home.number_on_screen() == first_number(4100) + 2

    page.locator("#position").evaluate("one => { one.value = 99; one.dispatchEvent(new Event('input')); }")
    expect(page.locator("#frame-position")).to_contain_text("frame 100 of")
    assert at_home.number_on_screen() == first_number(4100) + 99
    expect(page.locator("#cursor-time")).to_contain_text("13:00:07.4")  # the timeline goes along

    assert page.locator("#coverage li").count() == 2
    assert page.locator("#thumbnails img").evaluate_all("all => all.map(one => one.naturalWidth)") == [
        160,
        320,
    ]
    expect(page.locator(".facts")).to_contain_text(re.compile(r"\d+ copied \([\d.]+ %\), \d+ encoded"))
    row = page.locator("#clips a")
    expect(row).to_contain_text("Ready")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "pier_2026-11-25T12-00-04.100Z.mp4"

    page.click("[aria-label=Play]")
    page.wait_for_function("() => document.querySelector('video').ended", timeout=15_000)
    expect(page.locator("#frame-position")).to_contain_text("frame 126 of 126")
    page.click("#back")
    expect(page.locator("#stage img")).to_be_visible()


def test_a_clip_stays_open_when_the_page_is_reloaded(at_home: Opened) -> None:
    at_home.request(1000, 2000)
    at_home.wait_for(READY)
    at_home.page.reload()
    at_home.wait_for(READY)
    at_home.page.go_back()
    expect(at_home.page.locator("#stage img")).to_be_visible()


def test_stages_are_seen_while_they_happen(at_home: Opened) -> None:
    at_home.page.evaluate(
        "window.seen = new Set(); new MutationObserver(() => { for (const one of"
        " document.querySelectorAll('.steps .now')) seen.add(one.textContent) })"
        ".observe(document.body, {subtree: true, childList: true})"
    )
    at_home.request(500, 11_500)
    at_home.wait_for(READY)
    seen = at_home.page.evaluate("[...seen]")
    assert len(seen) >= 2
    assert set(seen) <= {
        "Queued", "Camera", "Recordings", "Index", "Fetch", "Encode", "Write", "Verify", "Thumbnails",
        "Store", "Tell",
    }  # fmt: skip


def test_scrubbing_shows_pictures_and_gaps(at_home: Opened) -> None:
    page = at_home.page
    for at_ms in range(500, 11_000, 500):
        at_home.hover(at_ms)
        time.sleep(0.03)
    expect(page.locator(".readout")).to_contain_text("exact frame")
    expect(page.locator(".readout")).to_contain_text("13:00:10.")
    asked = len([url for url in at_home.requests if "/frame?" in url])
    at_home.hover(15_000)  # the third recording is missing
    expect(page.locator("#stage")).to_contain_text("Nothing was recorded here")
    time.sleep(0.6)
    assert len([url for url in at_home.requests if "/frame?" in url]) == asked
    at_home.hover(20_000)
    expect(page.locator("#stage img")).to_be_visible()
    page.mouse.down()
    at_home.hover(22_000)
    page.mouse.up()
    expect(page.locator("#interval .length")).to_have_text(re.compile(r"2(\.\d+)? s|1\.9\d* s"))


def test_a_gap_is_told_before_and_after(at_home: Opened) -> None:
    at_home.choose(10_000, 20_000)
    notes = at_home.page.locator("#interval-notes")
    expect(notes).to_contain_text("6 s of it were not recorded (13:00:12.000 to 13:00:18.000)")
    at_home.page.click("#request")
    at_home.wait_for("CLIP_NOT_AVAILABLE")
    expect(at_home.page.locator("#clip .reason")).to_contain_text("gap from 2026-11-25T12:00:12.000Z")
    expect(at_home.page.locator("#clips a")).to_contain_text("Not recorded")
    expect(at_home.page.locator("#retry")).to_be_visible()


def test_a_pending_clip_becomes_available_when_its_recording_comes(
    recent: tuple[Served, int], open_page: Callable[..., Opened], footage: list[Path]
) -> None:
    served, start_ms = recent
    one = open_page(served.link)
    one.choose(22_000, 26_000, start_ms)
    expect(one.page.locator("#interval-notes")).to_contain_text("nothing has been recorded yet")
    one.page.click("#request")
    one.wait_for(PENDING)
    expect(one.page.locator("#waiting-for")).to_contain_text("Should be ready at")
    put(footage, served.recordings / "pier", 4, start_ms=start_ms)
    one.wait_for(READY)
    assert one.number_on_screen() == first_number(22_000)
    expect(one.page.locator("#found summary")).to_have_text("Found 5 recordings of 1 camera")


def test_cancelling_trying_again_and_deleting(
    recent: tuple[Served, int], open_page: Callable[..., Opened]
) -> None:
    served, start_ms = recent
    one = open_page(served.link)
    page = one.page
    one.request(24_500, 25_500, start_ms)
    one.wait_for(PENDING)
    page.click("#cancel")
    expect(page.locator("#clips a")).to_contain_text("Cancelled")
    page.click("#retry")
    one.wait_for(PENDING)
    page.click("#delete")
    page.click("#really-delete")
    expect(page.locator("#clips-empty")).to_contain_text("No clips yet")
    expect(page.locator("#stage img")).to_be_visible()


def test_wrong_times(at_home: Opened) -> None:
    page = at_home.page
    page.click("#request")
    expect(page.locator("#start-error")).to_contain_text("Choose what to cut")
    page.fill("#start-time", "yesterday")
    page.fill("#end-time", "13:00:61")
    page.click("#request")
    expect(page.locator("#start-error")).to_contain_text("2026-11-25 14:03:07.250")
    expect(page.locator("#end-error")).to_contain_text("no such time")
    expect(page.locator("#start-time")).to_be_focused()
    at_home.choose(5000, 4000)
    expect(page.locator("#end-error")).to_contain_text("after the start")
    at_home.choose(0, 400_000)
    expect(page.locator("#interval-notes")).to_contain_text("A clip may last 5 min")
    expect(page.locator("#request")).to_be_disabled()
    assert page.locator("#clips a").count() == 0


def test_times_are_read_in_the_zone_that_is_shown(at_home: Opened) -> None:
    page = at_home.page
    for zone, typed in (("local", "2026-11-25 13:00:01.250"), ("utc", "2026-11-25 12:00:01,25")):
        page.click(f"#zone-{zone}")
        page.fill("#start-time", typed)
        page.fill("#end-time", "2026-11-25T14:00:03+02:00")
        page.press("#end-time", "Tab")
        page.click("#zone-utc")
        expect(page.locator("#start-time")).to_have_value("2026-11-25 12:00:01.250")
        expect(page.locator("#end-time")).to_have_value("2026-11-25 12:00:03.000")


def test_what_is_copied_works_elsewhere(at_home: Opened, tmp_path: Path) -> None:
    page = at_home.page
    at_home.choose(4100, 8300)
    page.click("#copy-message")
    expect(page.locator(".toast")).to_contain_text("SQS message copied")
    message = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert (message["cameraId"], message["startTimestampInMs"]) == ("pier", START_MS + 4100)
    page.click("#copy-command")
    expect(page.locator(".toast").last).to_contain_text("Command copied")
    command = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert command[:2] == ["clipline", "cut"]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_sharing(at_home: Opened, open_page: Callable[..., Opened]) -> None:
    at_home.request(1000, 2000)
    at_home.wait_for(READY)
    at_home.page.click("#share")
    at_home.page.get_by_role("button", name="Make the link").click()
    link = at_home.page.locator("#share-link").input_value()
    shared = open_page(link, expects=("410: ",))
    expect(shared.page.locator("h1")).to_have_text("pier")
    shared.page.wait_for_function("() => document.querySelector('video').readyState >= 2")
    at_home.page.keyboard.press("Escape")
    at_home.page.click("#delete")
    at_home.page.click("#really-delete")
    expect(at_home.page.locator("#clips-empty")).to_be_visible()
    shared.page.reload()
    expect(shared.page.locator("#shared")).to_contain_text("has expired, or its clip was deleted")


def test_searching(at_home: Opened) -> None:
    page = at_home.page
    for start_ms in (1000, 10_000):
        at_home.request(start_ms, start_ms + 4000)
        page.wait_for_selector("#clip:not([data-status=CLIP_PENDING])")
        page.click("#back")
    assert page.locator("#clips a").count() == 2
    page.fill("#search", "gap from")
    expect(page.locator("#clips a")).to_have_count(1)
    expect(page.locator("#clips a")).to_contain_text("Not recorded")
    page.fill("#search", "no such clip")
    expect(page.locator("#clips-empty")).to_contain_text("No clip is like that")
    page.fill("#search", "")
    page.select_option("#only-status", label="Ready")
    expect(page.locator("#clips a")).to_have_count(1)


def test_naming_and_adding_cameras(at_home: Opened) -> None:
    page = at_home.page
    page.click("#rename-camera")
    page.fill("#camera-title", "North pier")
    page.keyboard.press("Enter")
    expect(page.locator("#camera option:checked")).to_have_text("North pier")
    page.click("#add-camera")
    page.fill("#camera-alias", "roof")
    page.keyboard.press("Enter")
    expect(page.locator("#camera option:checked")).to_have_text("roof")
    expect(page.locator("#stage")).to_contain_text("No recordings yet")
