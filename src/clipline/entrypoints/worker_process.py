"""``clipline worker``: a worker with its log, its metrics and its end."""

from __future__ import annotations

from clipline.entrypoints.local import with_camera_api
from clipline.entrypoints.log import log_libraries, make_logger
from clipline.entrypoints.telemetry.compose import for_worker, metrics_served
from clipline.entrypoints.worker import Worker, stop_on_signals
from clipline.settings import Settings
from clipline.wiring import application


def run_worker(given: Settings, *, visibility_s: int, until_idle: bool) -> None:
    """Take requests from the queue until SIGTERM or SIGINT, or until nothing comes. Logs to standard error.

    ``visibility_s`` is how long a message stays hidden when this process dies. Raises ConfigurationError
    where a setting is wrong, or the address for metrics can't be listened on.
    """
    logger = make_logger(given.log_level)
    log_libraries(logger)
    with (
        stop_on_signals() as stop,
        with_camera_api(given, logger.info) as settings,
        application(settings, serves=True, warn=logger.warning) as wired,
    ):
        telemetry, metrics = for_worker(settings, logger)
        worker = Worker(
            wired,
            telemetry.handled,
            observe=telemetry.stage,
            begun=telemetry.begun,
            on_queue_error=telemetry.queue_failed,
            visibility_s=visibility_s,
        )
        with metrics_served(settings, metrics, worker.since_turn_s) as url:
            fields = {"concurrency": settings.worker_concurrency, "queue": settings.aws_sqs_queue_url}
            if url:
                fields |= {"metrics": f"{url}/metrics", "health": f"{url}/health"}
            logger.info("worker started", extra=fields)
            worker.run(stop, until_idle=until_idle)
            logger.info("worker stopped")
