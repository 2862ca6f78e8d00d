"""What making one clip may take."""

from __future__ import annotations

from dataclasses import dataclass

from clipline.contract.errors import EngineFailed

MIB = 1024 * 1024


@dataclass(frozen=True)
class MediaLimits:
    """Limits of one clip. ``pixels`` and ``output_bytes`` hold everywhere, the others where each clip has a
    process of its own."""

    pixels: int = 8192 * 4320
    """Width times height of a recording's pictures. The default is the largest format that cameras are sold
    with (8K, DCI)."""
    output_bytes: int = 4096 * MIB
    """Of the clip; of any other file that is written on the way too, or of the largest recording if that
    is larger, since bytes from afar lie in the spool where they lie in the recording."""
    memory_bytes: int = 2048 * MIB
    """What the process may allocate: private memory it can write to; mapped files are not counted."""
    cpu_s: int = 3600
    """CPU time of all threads."""
    time_s: int = 3600
    """From the beginning of the process to its end, waiting for recordings' bytes included."""


def too_large(what: str, most_bytes: int) -> EngineFailed:
    """The error of a file beyond the limit; ``what`` is it and how large."""
    return EngineFailed(
        f"{what}, more than {most_bytes // MIB} MiB are not allowed", hint="MEDIA_OUTPUT_LIMIT_MIB"
    )
