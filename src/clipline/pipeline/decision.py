"""The status table as one function: no I/O, no clock.

First asked is when the first message of the request was sent; age is first asked minus the clip's end
(0 if negative). Rows are checked in this order:

    CLIP_TOO_LONG        longer than VIDEO_MAX_LEN
    CLIP_OUT_OF_RANGE    age beyond OUT_OF_RANGE_LIMIT
    CLIP_AVAILABLE       the interval is covered
    CLIP_NOT_AVAILABLE   not covered, age beyond SQS_RETRY_LIMIT
    CLIP_PENDING         not covered, now is before max(first asked, end) + SQS_RETRY_LIMIT
    CLIP_RETRY_TIMEOUT   not covered after that

CLIP_INVALID_REQUEST comes before all of them, from parsing and from the camera API; FATAL_ERROR from
the last permitted attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipline.contract.coverage import Gap, GapPolicy
from clipline.contract.interval import Interval
from clipline.contract.result import Status


@dataclass(frozen=True)
class Limits:
    """Milliseconds, as the settings give them in seconds."""

    retry_ms: int
    """SQS_RETRY_LIMIT."""
    out_of_range_ms: int
    """OUT_OF_RANGE_LIMIT; 0 is no limit."""
    max_length_ms: int
    """VIDEO_MAX_LEN."""
    gap_policy: GapPolicy = GapPolicy.FAIL


@dataclass(frozen=True)
class Decision:
    """A status and, where it is no clip, why in one sentence."""

    status: Status
    reason: str | None = None
    partial: bool = False
    """Available with gaps that GAP_POLICY fills."""


def decide_before_reading(interval: Interval, first_asked_ms: int, limits: Limits) -> Decision | None:
    """What the request alone decides; None: look at the recordings."""
    if interval.duration_ms > limits.max_length_ms:
        return Decision(
            Status.TOO_LONG,
            f"the clip would last {_seconds(interval.duration_ms)} s, "
            f"longer than the {_seconds(limits.max_length_ms)} s allowed",
        )
    age_ms = max(first_asked_ms - interval.end_ms, 0)
    if limits.out_of_range_ms and age_ms > limits.out_of_range_ms:
        return Decision(
            Status.OUT_OF_RANGE,
            f"the clip ended {_seconds(age_ms)} s before it was first asked for, "
            f"more than the {_seconds(limits.out_of_range_ms)} s that recordings are kept in reach",
        )
    return None


def decide(
    interval: Interval,
    gaps: Sequence[Gap],
    first_asked_ms: int,
    now_ms: int,
    limits: Limits,
    *,
    anything_there: bool,
    camera: str,
) -> Decision:
    """What the coverage decides. ``gaps``: those beyond the tolerance; ``anything_there``: part of the
    interval is covered."""
    early = decide_before_reading(interval, first_asked_ms, limits)
    if early is not None:
        return early
    if not gaps:
        return Decision(Status.AVAILABLE)
    missing = describe(interval, gaps, camera, anything_there=anything_there)
    age_ms = max(first_asked_ms - interval.end_ms, 0)
    if age_ms > limits.retry_ms:
        final = Decision(Status.NOT_AVAILABLE, missing)
    elif now_ms < max(first_asked_ms, interval.end_ms) + limits.retry_ms:
        return Decision(Status.PENDING, missing)
    else:
        final = Decision(
            Status.RETRY_TIMEOUT, f"{missing}, {_seconds(limits.retry_ms)} s after it was to be expected"
        )
    if anything_there and limits.gap_policy is not GapPolicy.FAIL:
        return Decision(Status.AVAILABLE, partial=True)
    return final


def describe(interval: Interval, gaps: Sequence[Gap], camera: str, *, anything_there: bool) -> str:
    """What is missing, in one sentence that also says what is known of why."""
    reasons = sorted({gap.reason for gap in gaps} - {"no recording"})
    why = f" ({'; '.join(reasons)})" if reasons else ""
    if not anything_there:
        return f"no recording of camera {camera} covers {interval}{why}"
    first = gaps[0].span
    others = len(gaps) - 1
    more = f" and {others} more gap{'s' if others > 1 else ''}" if others else ""
    return f"the recordings of camera {camera} leave a gap from {first}{more}{why}"


def _seconds(duration_ms: int) -> str:
    """``300`` or ``300.001``: exact, since a limit may be passed by a millisecond."""
    return f"{duration_ms // 1000}.{duration_ms % 1000:03d}".rstrip("0").rstrip(".")
