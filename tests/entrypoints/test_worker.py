import json
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from clipline.adapters.sqlite_queue import SqliteQueue
from clipline.contract.result import Status
from clipline.entrypoints.worker import Worker
from clipline.pipeline.job import Outcome

CLIP = {
    "cameraId": "1111111111111",
    "startTimestampInMs": 1_537_119_363_000,
    "endTimestampInMs": 1_537_119_423_000,
}
PATIENCE_S = 60


def until(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.005)
    return value


@pytest.fixture
def start_worker(environment, tmp_path):
    """Starts `clipline worker` on the folder `data`; what still runs at the end is killed."""
    running = []

    def start(*arguments):
        log = (tmp_path / f"worker-{len(running)}.log").open("wb")
        command = [
            sys.executable,
            "-m",
            "clipline",
            "worker",
            "--data",
            "data",
            "--visibility",
            "3",
            *arguments,
        ]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log)
        running.append(process)
        log.close()
        text = tmp_path / f"worker-{len(running) - 1}.log"
        until(
            lambda: "worker started" in text.read_text() or process.poll() is not None, "the worker to start"
        )
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def queue(data):
    with SqliteQueue(data / "queue.sqlite") as queue:
        yield queue


def left(queue):
    """How many messages are on the queue, in whatever state."""
    depth = queue.depth()
    return depth.visible + depth.in_flight + depth.delayed + depth.dead


def notifications(data):
    path = data / "notifications.jsonl"
    return [json.loads(line)["message"] for line in path.read_text().splitlines()] if path.exists() else []


def assert_clean(data, queue, clip_ids):
    """Each clip there once, nothing left over."""
    expected = {
        f"1111111111111/{clip_id}{suffix}"
        for clip_id in clip_ids
        for suffix in (".mp4", "_300.png", "_640.png", "_1500.png", "_3000.png")
    }
    there = {str(path.relative_to(data / "clips")) for path in (data / "clips").rglob("*") if path.is_file()}
    ours = ("_clipline/ledger.sqlite", "_clipline/incoming/.lock")
    assert {name for name in there if not name.startswith(ours)} == expected
    assert list((data / "work").iterdir()) == []
    assert left(queue) == 0
    told = notifications(data)
    assert {(one["clipId"], one["status"]) for one in told} == {
        (clip_id, "CLIP_AVAILABLE") for clip_id in clip_ids
    }
    assert len({json.dumps(one, sort_keys=True) for one in told}) == len(clip_ids)


@pytest.mark.parametrize("delay_s", [0, 0.4, 1.2])
def test_a_worker_killed_in_mid_clip_leaves_nothing_and_loses_nothing(data, queue, start_worker, delay_s):
    queue.send(json.dumps(CLIP | {"clipId": "killed", "retryTimestamps": []}))
    victim = start_worker()
    until(lambda: list((data / "work").glob("clipline-job-*")), "the clip to be begun")
    time.sleep(delay_s)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    clip = data / "clips" / "1111111111111" / "killed.mp4"
    size_before = clip.stat().st_size if clip.exists() else None
    worker = start_worker()
    until(lambda: notifications(data) and not left(queue), "the clip")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    assert size_before in (None, clip.stat().st_size)
    assert_clean(data, queue, ["killed"])


def test_a_message_that_is_worked_on_stays_hidden(queue, tmp_path):
    """For twice as long as it would by itself, while another slot is free to receive it."""
    receive_counts = []

    def handle(message, _observe):
        receive_counts.append(message.receive_count)
        time.sleep(4)
        return Outcome(Status.AVAILABLE)

    settings = SimpleNamespace(worker_concurrency=2, clip_download_dest=tmp_path / "work", disk_reserve_mib=0)
    services = SimpleNamespace(queue=queue, destination=SimpleNamespace(sweep=lambda: None))
    generator = SimpleNamespace(handle=handle, bury=lambda _: 0)
    app = SimpleNamespace(generator=generator, services=services, dead_letters=queue, settings=settings)
    queue.send("long work")
    Worker(app, lambda _: None, visibility_s=2).run(threading.Event(), until_idle=True)
    assert receive_counts == [1]
    assert left(queue) == 0


def test_sigterm_finishes_what_is_in_progress_and_takes_no_more(data, queue, start_worker):
    for number in range(4):
        queue.send(json.dumps(CLIP | {"clipId": f"clip{number}", "retryTimestamps": []}))
    worker = start_worker("--set", "WORKER_CONCURRENCY=1")
    until(lambda: list((data / "work").glob("clipline-job-*")), "the clip to be begun")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    done = {one["clipId"] for one in notifications(data)}
    assert len(done) == 1
    assert start_worker("--until-idle").wait(PATIENCE_S) == 0
    assert_clean(data, queue, [f"clip{number}" for number in range(4)])


def test_several_clips_at_once_and_a_message_that_can_never_work(data, queue, start_worker, tmp_path):
    queue.send("{'clipId': '../../etc/passwd'}")
    clip_ids = [f"clip{number}" for number in range(3)]
    for clip_id in clip_ids:
        queue.send(json.dumps(CLIP | {"clipId": clip_id, "retryTimestamps": []}))
    worker = start_worker("--until-idle", "--set", "WORKER_CONCURRENCY=3")
    assert worker.wait(PATIENCE_S) == 0
    (dead,) = queue.letters()
    assert "clipId" in dead.reason
    lines = [json.loads(line) for line in (tmp_path / "worker-0.log").read_text().splitlines()]
    assert {line["level"] for line in lines} == {"info"}
    handled = [line for line in lines if line["message"] == "handled"]
    assert sorted(line.get("clipId", "") for line in handled) == ["", *clip_ids]
    assert all(line["timingsInMs"] for line in handled if "clipId" in line)
    stages = [line for line in lines if line["message"] == "stage" and line["clipId"] == "clip0"]
    assert [line["stage"] for line in stages if line["stage"] in ("camera", "index", "notify")] == [
        "camera",
        "index",
        "notify",
    ]
    assert all((line["attempt"], line["delivery"]) == (0, 1) for line in stages)
    assert all(line["durationInMs"] >= 0 and line["messageId"] for line in stages)
    assert list((data / "work").iterdir()) == []


def test_a_worker_whose_disk_is_full_receives_nothing(data, queue, start_worker, tmp_path):
    queue.send(json.dumps(CLIP | {"clipId": "clip", "retryTimestamps": []}))
    worker = start_worker("--set", f"DISK_RESERVE_MIB={1 << 24}")
    log = tmp_path / "worker-0.log"
    line = until(
        lambda: next((one for one in log.read_text().splitlines() if "DISK_RESERVE_MIB" in one), None),
        "the worker to say so",
    )
    assert "MiB are free, expected" in json.loads(line)["error"]
    assert queue.depth().visible == 1
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    assert start_worker("--until-idle").wait(PATIENCE_S) == 0
    assert_clean(data, queue, ["clip"])


def test_a_worker_is_scraped_while_it_works(data, queue, start_worker):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    worker = start_worker("--set", f"METRICS_PORT={port}", "--set", "WORKER_CONCURRENCY=2")

    def get(path):
        return urllib3.request("GET", f"http://127.0.0.1:{port}{path}", retries=False, timeout=30)

    def samples():
        families = text_string_to_metric_families(get("/metrics").data.decode())
        every = [one for family in families for one in family.samples]
        return {(one.name, *sorted(one.labels.values())): one.value for one in every}

    assert get("/health").json()["status"] == "ok"
    assert samples()["clipline_worker_concurrency",] == 2
    queue.send(json.dumps(CLIP | {"clipId": "scraped", "retryTimestamps": []}))
    until(lambda: samples()["clipline_messages_in_progress",] == 1, "the clip to be begun")
    until(lambda: samples().get(("clipline_clips_total", "CLIP_AVAILABLE", "false")), "the clip")
    found = samples()
    assert found["clipline_stage_duration_seconds_count", "encode"] == 1
    assert found["clipline_message_age_seconds_count",] == 1
    assert found["clipline_frames_copied_total",] + found["clipline_frames_encoded_total",] == 1800
    assert found["clipline_bytes_read_total",] > 0
    assert found["clipline_messages_in_progress",] == 0
    assert get("/").status == 404
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0


def test_a_port_that_is_taken_is_named(clipline):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = clipline("worker", "--data", "data", "--set", f"METRICS_PORT={port}", "--until-idle")
    assert result.returncode == 2
    assert f"can't listen on 127.0.0.1 port {port}" in result.stderr.splitlines()[-1]
