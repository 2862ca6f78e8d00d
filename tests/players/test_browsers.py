"""Clips in Chromium and Firefox: what is on the screen after a seek and while playing, from its pixels."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from players import browsers, marionette
from players.browsers import Browser
from players.cases import CASES, Clip
from players.conftest import ClipOf, missing
from players.pictures import deviations, number, place_at
from servers.file_server import FileServer, serving

OFF_LEVELS, OFF_MEAN_LEVELS = 10, 2.5
"""Of 255: most a block may differ from FFmpeg's, most on average. Next pictures differ by 100 in a block."""
SHIFT_LEVELS = 1.0
"""Most that the mean of a colour may wander within a clip."""
AUDIO_FRAME_S = 1024 / 48_000
"""Firefox plays the last audio frame out, though the edit list ends within it."""
FAST = 4


@pytest.fixture(scope="module")
def server(clip_directory: Path) -> Iterator[FileServer]:
    with serving(browsers.PAGE, clip_directory) as running:
        yield running


# Of a module, not of the session: while Playwright is there, its event loop is in the way of others.
@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(
    request: pytest.FixtureRequest, server: FileServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    page = f"{server.url}/player.html"
    if request.param == "chromium":
        executable = browsers.find_chromium() or missing("chromium")
        opened = browsers.chromium(executable, page)
    else:
        executable = marionette.find() or missing("firefox-esr")
        opened = browsers.firefox(executable, page, tmp_path_factory.mktemp("firefox"))
    with opened as running:
        yield running


@pytest.mark.parametrize("name", CASES)
def test_what_is_on_the_screen_is_right(
    name: str, browser: Browser, server: FileServer, clip_of: ClipOf
) -> None:
    clip = clip_of(name)
    loaded = browser.call("load", f"{server.url}/{clip.path.name}")
    first = clip.shown[0]
    assert abs(loaded["duration"] - float(clip.duration_s)) < 0.001
    assert (loaded["width"], loaded["height"]) == (first.picture.width, first.picture.height)
    assert number(loaded["picture"]) == first.number
    _check_seeks(clip, browser)
    _check_play(clip, browser)
    assert clip.path.name in server.partial_of


def _check_seeks(clip: Clip, browser: Browser) -> None:
    """The first frames, the last, each joint and two either side, in any order."""
    count = len(clip.shown)
    near = {place for at in (0, count - 1, *clip.joints) for place in range(at - 2, at + 3)}
    places = sorted(near & set(range(count)))
    random.Random(clip.path.name).shuffle(places)
    result = browser.call("seek", [float(clip.middles_s[place]) for place in places])
    assert result["error"] is None
    assert result["events"] == []
    seen = result["seen"]
    assert [number(one) for one in seen] == [clip.numbers[place] for place in places]
    assert [place_at(clip, one["time"]) for one in seen] == places
    _check_pictures(clip, list(zip(places, seen, strict=True)))


def _check_play(clip: Clip, browser: Browser) -> None:
    """From the beginning to the end, joints and the end at single speed.

    How many pictures are left out, and how far the screen is behind the clock, is up to the machine: with
    ten processes waiting for two cores, either browser skips most, the last one too.
    """
    joints_s = [float(clip.times_s[at]) for at in (*clip.joints, -1)]
    slow = [[time_s - 0.15, time_s + 0.1] for time_s in joints_s]
    result = browser.call("play", slow, FAST)
    assert result["error"] is None
    assert result["events"] == []
    assert result["total"] > 0
    assert result["audible"] == clip.has_audio
    numbers = [number(one) for one in result["seen"]]
    places = [clip.numbers.index(one) for one in numbers]
    steps = [(place, one["time"]) for place, one in zip(places, result["seen"], strict=True)]
    back = [(one, other) for one, other in pairwise(steps) if other[0] < one[0]]
    assert back == [], f"of {steps} these step back: {back}, joints at {clip.joints}"
    assert abs(result["seen"][-1]["time"] - float(clip.duration_s)) < AUDIO_FRAME_S, "it ends elsewhere"
    assert len(set(places)) >= 3, "hardly anything is shown"
    _check_pictures(clip, list(zip(places, result["seen"], strict=True)))


def _check_pictures(clip: Clip, seen: list[tuple[int, dict[str, Any]]]) -> None:
    """The whole picture is right, not its number alone, and colours do not change at a joint."""
    off = deviations(clip, seen)
    for (place, _), levels in zip(seen, off, strict=True):
        assert max(map(abs, levels)) <= OFF_LEVELS, f"frame {clip.numbers[place]} looks wrong"
        assert sum(map(abs, levels)) / len(levels) <= OFF_MEAN_LEVELS
    for channel in range(3):
        means = [sum(levels[channel::3]) / len(levels[channel::3]) for levels in off]
        assert max(means) - min(means) <= SHIFT_LEVELS, "colours change within the clip"
