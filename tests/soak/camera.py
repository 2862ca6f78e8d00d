"""The camera service as a process of its own, on a port that stays the same, with points at which it dies."""

from __future__ import annotations

import signal
from pathlib import Path

from soak.points import Killer, Plan, Watched

from clipline.camera_service.api import create_app
from clipline.camera_service.catalog import Catalog
from clipline.entrypoints.server import serve_in_thread
from clipline.entrypoints.worker import stop_on_signals


def serve(plan: Plan, last_words: Path, root: Path, *, catalog: Path, port: int) -> None:
    """Answer until SIGTERM."""
    with stop_on_signals() as stop, Catalog(catalog) as opened:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        killer = Killer(plan, last_words, root)
        watched = Watched(opened, killer, lambda method, _: f"server.{method}")
        with serve_in_thread(create_app(watched), port=port):  # type: ignore[arg-type]
            stop.wait()
