"""Workers and the camera service are killed, over and over, while requests come in; nothing may be lost.

make soak KILLS=300 SEED=1                     # half of them on each stack
make soak KILLS=20 STACK=one-machine
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from soak.check import WIDTHS, violations
from soak.orders import Archive, Order
from soak.stacks import Stack, drained, stack

from clipline.camera_service.catalog import Catalog

ROOT = Path(__file__).parents[2]
STACKS = ("one-machine", "aws")
_METHODS = (
    "ledger.read", "ledger.write", "destination.put_file", "queue.send", "queue.delete", "queue.dead_letter",
    "camera_api.alias", "camera_api.recordings", "camera_api.put_clip", "notifier.publish",
)  # fmt: skip
_STAGES = ("index", "fetch", "encode", "write", "verify", "thumbnails", "store")
POINTS = (
    *(f"{method} {when}" for method in _METHODS for when in ("before", "after")),
    "destination.put_file amid",
    *(f"stage.{name} before" for name in _STAGES),
)
RANDOM, SERVICE = "at random", "camera service"
IN_PROGRESS = 6
PATIENCE_S = 20
"""A worker whose point does not come is killed after that."""
MOST_RECEIVES = 100
DRAIN_S = 240


@dataclass
class Soak:
    """One stack, and what happened on it."""

    stack: Stack
    directory: Path
    dice: Random
    jobs: int
    marker: str = field(default_factory=lambda: f"soak-{uuid.uuid4().hex}")
    kills: Counter[str] = field(default_factory=Counter)
    orders: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.work = self.directory / "work"
        self.work.mkdir()
        self._log = self.directory / "points"
        self._log.touch()
        self.catalog = Catalog(self.directory / "catalog.sqlite")
        self.archive = Archive(self.stack, self.catalog, self.directory)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._workers: dict[subprocess.Popen[bytes], tuple[str, float]] = {}
        self._points = list(POINTS)

    def run(self, kills: int, progress: str) -> None:
        """Until there were ``kills``; then without any until nothing is left to do."""
        self._service = self._start_service()
        next_service, told = time.monotonic() + 5, 0.0
        try:
            while self.kills.total() < kills:
                while len(self._workers) < self.jobs:
                    self._start_worker()
                if self.stack.left() < IN_PROGRESS:
                    self._ask()
                self.archive.come_true()
                self._reap()
                if time.monotonic() >= next_service:
                    self._kill_service()
                    next_service = time.monotonic() + self.dice.uniform(8, 25)
                if time.monotonic() - told > 1:
                    told = time.monotonic()
                    print(
                        f"\r{progress}: {self.kills.total()} of {kills} kills, {len(self.orders)} requests ",
                        end="", file=sys.stderr, flush=True,
                    )  # fmt: skip
                time.sleep(0.02)
            self._drain()
        finally:
            for process in (*self._workers, self._service):
                process.kill()
                process.wait()
            self.catalog.close()

    def _drain(self) -> None:
        for process in self._workers:
            process.kill()
            process.wait()
        self._workers.clear()
        for _ in range(self.jobs):
            self._start_worker(calm=True)
        end = time.monotonic() + 10
        while time.monotonic() < end:  # the last late recordings
            self.archive.come_true()
            time.sleep(0.1)
        is_drained = drained(self.stack, DRAIN_S)
        for process in self._workers:
            process.send_signal(signal.SIGTERM)
        for process in self._workers:
            assert process.wait(60) == 0, "a worker does not stop"
        self._workers.clear()
        assert is_drained, f"{self.stack.left()} messages are still there after {DRAIN_S} s"
        # A worker that starts sweeps up after those that were killed; it was started before the last kill's
        # lock was gone, perhaps.
        self._start_worker(calm=True)
        time.sleep(3)
        (last,) = self._workers
        last.send_signal(signal.SIGTERM)
        assert last.wait(60) == 0
        self._workers.clear()

    def found(self) -> list[str]:
        """What is wrong, after the run."""
        with Catalog(self.directory / "catalog.sqlite") as catalog:
            return violations(self.stack, catalog, self.orders, self.work, self.marker)

    def _ask(self) -> None:
        order = self.archive.order(len(self.orders), self.dice)
        self.orders.append(order)
        for body in order.bodies:
            self.stack.queue.send(body)

    def _environment(self) -> Mapping[str, str]:
        # Whatever a worker starts inherits the paths, and so the marker.
        paths = [str(ROOT / "src"), str(ROOT / "tests"), f"/nowhere/{self.marker}"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **kept,
            **self.stack.environment(),
            "PYTHONPATH": os.pathsep.join(paths),
            "CAM_SERVICES_URL": f"http://127.0.0.1:{self._port}",
            "CLIP_DOWNLOAD_DEST": str(self.work),
            "RECORDING_KEY": "{name}",
            "THUMBNAIL_SIZES": " ".join(map(str, WIDTHS)),
            "SQS_TIMEOUT": "1",
            "SQS_RETRY_LIMIT": "600",
            "OUT_OF_RANGE_LIMIT": "0",
            "MAX_RECEIVE_COUNT": str(MOST_RECEIVES),
            "WORKER_CONCURRENCY": "2",
            "LOG_LEVEL": "error",
        }

    def _start_service(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "soak.camera_service",
            str(self.directory / "catalog.sqlite"),
            str(self._port),
        ]
        return subprocess.Popen(command, env=self._environment())

    def _kill_service(self) -> None:
        self._service.kill()
        self._service.wait()
        self.kills[SERVICE] += 1
        self._service = self._start_service()

    def _start_worker(self, *, calm: bool = False) -> None:
        """One that kills itself at the next point, or is killed at random."""
        chosen, patience_s = RANDOM, self.dice.uniform(2, 8)
        if calm:
            patience_s = 1e9
        elif self.dice.random() < 0.75:
            chosen, patience_s = self._points.pop(0), PATIENCE_S
            self._points.append(chosen)
        point, _, when = chosen.partition(" ")
        plan = {
            "point": None if chosen == RANDOM else point,
            "when": when,
            "nth": self.dice.choice((1, 1, 2, 3)),
            "log": str(self._log),
        }
        environment = {**self._environment(), "ISOLATION": self.dice.choice(("on", "off"))}
        with (self.directory / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "soak.worker", json.dumps(plan)], env=environment, stderr=log
            )
        self._workers[process] = chosen, time.monotonic() + patience_s

    def _reap(self) -> None:
        for process, (chosen, until) in list(self._workers.items()):
            if process.poll() is None and time.monotonic() < until:
                continue
            if process.poll() is None:
                chosen = RANDOM
                process.kill()
            assert process.wait() == -signal.SIGKILL, f"a worker ended with {process.returncode}"
            self.kills[chosen] += 1
            del self._workers[process]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", default="20180916")
    parser.add_argument("--stack", choices=(*STACKS, "both"), default="both")
    parser.add_argument("--jobs", type=int, default=3, help="workers at a time")
    options = parser.parse_args()
    names = STACKS if options.stack == "both" else (options.stack,)
    began, total, wrong = time.monotonic(), Counter[str](), 0
    for name in names:
        with ExitStack() as held:
            directory = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
            one = held.enter_context(stack(name, directory / "stack", MOST_RECEIVES))
            soak = Soak(one, directory, Random(f"{options.seed}:{name}"), options.jobs)
            soak.run(options.kills // len(names), name)
            found = soak.found()
            wrong += len(found)
            total += soak.kills
            print(
                f"\n{name}: {soak.kills.total()} kills, {len(soak.orders)} requests, {len(found)} violations"
            )
            print(*(f"    ! {what}" for what in found), sep="\n")
            kinds = Counter(order.kind for order in soak.orders)
            print("requests: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
            for point, count in sorted(soak.kills.items()):
                print(f"    {point:32}{count:5}")
            if missed := set(POINTS) - set(soak.kills):
                print(f"not killed at: {', '.join(sorted(missed))}")
    spent_s = time.monotonic() - began
    print(f"seed {options.seed}: {total.total()} kills, {wrong} violations, {spent_s:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
