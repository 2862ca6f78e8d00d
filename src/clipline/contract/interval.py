"""Half-open intervals ``[start, end)`` of wall time, in integer milliseconds since the epoch, UTC.

    a          |-------|
    b  touches         |----|     no instant in common: ``a & b`` is None
    b  overlaps    |-------|      ``a & b`` is the part in both
    b  within    |---|            ``a & b == b``, ``b in a``

Leap seconds do not exist here, as in POSIX time; daylight saving does not exist in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]00:?00)", re.ASCII)

LATEST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: the last instant that ISO 8601 writes with four digits of year."""


@dataclass(frozen=True, order=True)
class Interval:
    """``[start_ms, end_ms)``; an interval is never empty and never negative."""

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"the end ({self.end_ms}) must come after the start ({self.start_ms})")

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms

    def __and__(self, other: Interval) -> Interval | None:
        start, end = max(self.start_ms, other.start_ms), min(self.end_ms, other.end_ms)
        return Interval(start, end) if start < end else None

    def __contains__(self, other: Interval) -> bool:
        return self.start_ms <= other.start_ms and other.end_ms <= self.end_ms

    def minus(self, others: Iterable[Interval]) -> tuple[Interval, ...]:
        """The parts of this interval that none of ``others`` (in any order) covers, in order."""
        left, at = [], self.start_ms
        for other in sorted(others):
            if other.start_ms >= self.end_ms:
                break
            if other.start_ms > at:
                left.append(Interval(at, other.start_ms))
            at = max(at, other.end_ms)
        if at < self.end_ms:
            left.append(Interval(at, self.end_ms))
        return tuple(left)

    def __str__(self) -> str:
        return f"{iso(self.start_ms)} to {iso(self.end_ms)}"


def iso(instant_ms: int) -> str:
    """``2018-09-16T16:00:17.000Z`` for milliseconds since the epoch."""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_instant(text: str) -> int:
    """Milliseconds since the epoch, from ISO 8601 in UTC or from a string of digits.

    Digits past the millisecond are cut off. Raises ValueError that says what is expected.
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,15}", text, re.ASCII) and int(text) <= LATEST_MS:
        return int(text)
    if match := _ISO.fullmatch(text):
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError as error:
            raise ValueError(f"{text!r} is no instant: {error}") from None
        return to_ms(moment) + int((match[7] or "0").ljust(3, "0")[:3])
    raise ValueError(
        f"{text[:100]!r} is no instant: write ISO 8601 in UTC, as in 2018-09-16T16:00:17.000Z, "
        "or milliseconds since the epoch"
    )


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
