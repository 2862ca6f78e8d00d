"""A short soak of each stack, and whether the check can fail; `make soak` kills hundreds of times."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import boto3
import pytest
from media.truth import Recorded
from servers.ministack import Ministack
from servers.s3 import S3Server
from soak import deaths
from soak.household import Household
from soak.invariant import check
from soak.nursery import Nursery
from soak.run import MOST_RECEIVES, nursery, soak
from soak.stacks import CAMERA, Stack, aws_shaped, one_machine
from soak.traffic import Traffic, make_footage, store_all

SEED = os.environ.get("CLIPLINE_TEST_SEED", "20180916")
KILLS = 8

pytestmark = pytest.mark.timeout(900)  # what does not settle is to be told, not cut off


@pytest.fixture(scope="module")
def processes() -> Iterator[Nursery]:
    with nursery() as opened:
        yield opened


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recorded]:
    return make_footage(tmp_path_factory.mktemp("footage") / "recordings")


@contextmanager
def soaked(stack: Stack, processes: Nursery, recordings: list[Recorded]) -> Iterator[Traffic]:
    """Killed, settled and found to be right; the camera service still answers."""
    store_all(stack, recordings)
    traffic = Traffic(stack, recordings, SEED)
    for kind in ("plain", "unreadable"):
        traffic.ask(kind)
    with Household(stack, processes, 2, Random(SEED)) as household:
        report = soak(household, traffic, KILLS, lambda _: None)
        assert report.wrong == []
        assert report.kills.total() >= KILLS
        assert report.findings.frames > 0
        yield traffic


def test_on_one_machine_and_that_the_check_can_fail(
    tmp_path: Path, processes: Nursery, recordings: list[Recorded]
) -> None:
    with (
        one_machine(tmp_path / "stack", most_receives=MOST_RECEIVES) as stack,
        soaked(stack, processes, recordings) as traffic,
    ):
        for due in spoil(stack, traffic.asked[0].clip_id):
            found = check(stack, traffic.asked).wrong
            assert any(due in one for one in found), (due, found)


def test_beside_the_services_of_aws(
    tmp_path: Path,
    processes: Nursery,
    recordings: list[Recorded],
    s3_server: S3Server,
    ministack: Ministack,
) -> None:
    servers = {**s3_server.environment, "AWS_ENDPOINT_URL": ministack.url}
    with (
        aws_shaped(tmp_path / "stack", servers, most_receives=MOST_RECEIVES) as stack,
        soaked(stack, processes, recordings) as traffic,
    ):
        clip_id = traffic.asked[0].clip_id
        stack.app.services.destination.delete(f"{CAMERA}/{clip_id}.mp4")
        boto3.client("s3").create_multipart_upload(Bucket=stack.app.services.destination.name, Key="half")
        found = check(stack, traffic.asked).wrong
        assert [one.partition(": ")[0] for one in found] == [clip_id, "unfinished upload"]


def test_messages_that_kill_their_workers(
    tmp_path: Path, processes: Nursery, recordings: list[Recorded]
) -> None:
    kills: Counter[str] = Counter()
    with one_machine(tmp_path / "stack", most_receives=deaths.MOST_RECEIVES) as stack:
        store_all(stack, recordings)
        assert deaths.die_and_return(stack, processes, recordings, kills) == []
    assert kills["engine.encode"] >= deaths.MOST_RECEIVES


def test_a_process_that_is_left_is_found() -> None:
    with pytest.raises(RuntimeError, match="processes are left"), nursery(1) as opened:
        stranger = subprocess.Popen(["/bin/sleep", "60"], env={"PYTHONPATH": opened.mark})
    stranger.kill()
    stranger.wait()


def spoil(stack: Stack, clip_id: str) -> Iterator[str]:
    """One thing after the other; after each, what the check has to say of it."""
    store = stack.app.services.destination
    clip, thumbnail = f"{CAMERA}/{clip_id}.mp4", f"{CAMERA}/{clip_id}_160.png"
    data, _ = store.get(clip, most_bytes=1 << 24)
    store.put(clip, data[: len(data) // 2], "video/mp4")
    yield f"{clip} shows frames"
    store.delete(clip)
    yield f"{clip}: "
    store.put(thumbnail, b"no picture", "image/png")
    yield f"{thumbnail} can't be opened"
    store.put("stray", b"", "text/plain")
    yield "a stray object: stray"
    stack.app.services.queue.send("left", delay_s=900)
    yield "1 messages are left"
    stack.app.dead_letters.forget(stack.letters()[0].message)
    yield "is not among the dead letters"
    (stack.app.settings.clip_download_dest / "left").mkdir()
    yield "the work directory holds left"
    ours = [one for one in stack.told if one["clipId"] == clip_id]
    others = [one for one in stack.told if one["clipId"] != clip_id]
    stack.told.append({**ours[0], "reason": "another one"})
    yield f"{clip_id}: one event was told in different words"
    stack.told = others + others[:1] * (len(stack.told) - len(others))
    yield f"{clip_id}: nobody was told"
    stack.catalog.clips.put(clip_id, {**ours[0], "reason": "another one"}, 0)
    yield f"{clip_id}: the camera API says"
