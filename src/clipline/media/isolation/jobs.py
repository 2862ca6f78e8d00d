"""A job as JSON, from the worker, which is trusted, to the child."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clipline.contract.coverage import GapPolicy
from clipline.contract.interval import Interval
from clipline.contract.modes import HevcMode
from clipline.media.cut import Candidate
from clipline.media.engine import CutJob
from clipline.media.limits import MediaLimits
from clipline.media.ranges import ByteSource

MakeSource = Callable[[int, str, int, Path | None], ByteSource]
"""Number, name, bytes, place on this disk."""


def spool_path(directory: Path, number: int) -> Path:
    """Where the worker puts bytes of recording ``number``, which has no place on this disk."""
    return directory / f"spool-{number}"


def pack_job(job: CutJob, limits: MediaLimits) -> dict[str, Any]:
    return {
        "recordings": [
            {
                "name": one.source.name,
                "size_bytes": one.source.size_bytes,
                "local_path": str(one.source.local_path.absolute()) if one.source.local_path else None,
                "start_ms": one.start_ms,
            }
            for one in job.candidates
        ],
        "interval": [job.interval.start_ms, job.interval.end_ms],
        "directory": str(job.directory.absolute()),
        "gap_policy": str(job.gap_policy),
        "tolerance_ms": job.tolerance_ms,
        "hevc_mode": str(job.hevc_mode),
        "missing": [[span.start_ms, span.end_ms, why] for span, why in job.missing],
        "limits": asdict(limits),
    }


def unpack_job(packed: dict[str, Any], make_source: MakeSource) -> tuple[CutJob, MediaLimits]:
    candidates = [
        Candidate(
            make_source(
                number,
                one["name"],
                one["size_bytes"],
                Path(one["local_path"]) if one["local_path"] else None,
            ),
            one["start_ms"],
        )
        for number, one in enumerate(packed["recordings"])
    ]
    job = CutJob(
        candidates,
        Interval(*packed["interval"]),
        Path(packed["directory"]),
        GapPolicy(packed["gap_policy"]),
        packed["tolerance_ms"],
        HevcMode(packed["hevc_mode"]),
        [(Interval(start_ms, end_ms), why) for start_ms, end_ms, why in packed["missing"]],
    )
    return job, MediaLimits(**packed["limits"])
