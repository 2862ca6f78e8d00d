"""A recording whose index reads and whose pictures do not: found out in the middle of the work."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline.rig import LONG_CLIP, RETRY_DELAY_MS, RETRY_MS, START_MS, Rig, body, recording
from pipeline.test_generate import frames

from clipline.adapters.storage import open_store
from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.contract.result import Status

SPOILED = recording(1)
FILLED = [GapPolicy.HOLD, GapPolicy.SKIP, GapPolicy.BLACK]


@pytest.fixture
def folder(rig: Rig, origin: Path, tmp_path: Path) -> Path:
    """Two recordings in storage; noise in place of the second one's pictures."""
    folder = tmp_path / "spoiled"
    shutil.copytree(origin, folder)
    path = folder / "cam" / SPOILED.name
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    assert begin < end
    data[begin:end] = random.Random(1).randbytes(end - begin)
    path.write_bytes(data)
    rig.services = replace(rig.services, origin=open_store(f"file:{folder}"))
    rig.cameras.announced = [recording(0), SPOILED]
    rig.clock.ms = LONG_CLIP.end_ms + 5_000
    return folder


@pytest.mark.parametrize("policy", GapPolicy)
def test_it_is_waited_for(policy: GapPolicy, rig: Rig, folder: Path, origin: Path) -> None:
    """As for any gap: it may still be written, or be put right."""
    rig.set(gap_policy=policy)
    assert rig.ask(body(LONG_CLIP)).status is Status.PENDING
    assert SPOILED.name in rig.cameras.puts[-1]["reason"]
    assert rig.stored() == set()
    assert rig.queue.depth().delayed == 1
    shutil.copy(origin / "cam" / SPOILED.name, folder / "cam" / SPOILED.name)
    rig.wait(RETRY_DELAY_MS)
    assert rig.deliver().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")
    assert rig.published.messages[0]["partial"] is False
    assert frames(rig) == 180


@pytest.mark.parametrize("policy", FILLED)
def test_once_waiting_is_over_the_rest_is_a_partial_clip(policy: GapPolicy, rig: Rig, folder: Path) -> None:
    rig.set(gap_policy=policy)
    rig.ask(body(LONG_CLIP))
    assert rig.deliver_last().status is Status.AVAILABLE
    rig.assert_settled("CLIP_AVAILABLE")
    metadata = rig.published.messages[0]
    assert metadata["partial"] is True
    (gap,) = [part for part in metadata["coverage"] if "gap" in part]
    assert SPOILED.name in gap["gap"]
    assert gap["filledWith"] == str(policy)
    assert (gap["startTimestampInMs"], gap["endTimestampInMs"]) == (START_MS + 4_000, LONG_CLIP.end_ms)
    assert metadata["durationInMs"] == (3_000 if policy is GapPolicy.SKIP else 6_000)
    assert frames(rig) == 90 + (policy is GapPolicy.BLACK)


def test_without_leave_for_gaps_it_is_no_clip(rig: Rig, folder: Path) -> None:
    rig.ask(body(LONG_CLIP))
    assert rig.deliver_last().status is Status.RETRY_TIMEOUT
    rig.assert_settled("CLIP_RETRY_TIMEOUT")
    assert SPOILED.name in rig.published.messages[0]["reason"]


@pytest.mark.parametrize("policy", GapPolicy)
def test_where_nothing_is_left_there_is_no_clip(policy: GapPolicy, rig: Rig, folder: Path) -> None:
    rig.set(gap_policy=policy)
    interval = Interval(START_MS + 5_000, START_MS + 7_000)
    rig.clock.ms = interval.end_ms + RETRY_MS + 1
    assert rig.ask(body(interval)).status is Status.NOT_AVAILABLE
    rig.assert_settled("CLIP_NOT_AVAILABLE")
    assert SPOILED.name in rig.published.messages[0]["reason"]
