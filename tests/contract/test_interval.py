"""Half-open intervals against sets of milliseconds; instants as people and services write them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clipline.contract.interval import LATEST_MS, Interval, iso, parse_instant, to_ms

EARLIEST_MS = -62_135_596_800_000
"""0001-01-01T00:00:00.000Z."""

intervals = st.builds(
    lambda start, length: Interval(start, start + length), st.integers(0, 40), st.integers(1, 15)
)


def instants_of(*intervals: Interval) -> set[int]:
    return {at for one in intervals for at in range(one.start_ms, one.end_ms)}


@given(intervals, intervals)
@example(Interval(0, 5), Interval(5, 9))
def test_and_within_and_touching(a: Interval, b: Interval) -> None:
    both = instants_of(a) & instants_of(b)
    assert (instants_of(a & b) if a & b else set()) == both  # type: ignore[arg-type]
    assert a & b == b & a
    assert (b in a) == (instants_of(b) <= instants_of(a))


@given(intervals, st.lists(intervals, max_size=5))
def test_minus(a: Interval, others: list[Interval]) -> None:
    left = a.minus(others)
    assert instants_of(*left) == instants_of(a) - instants_of(*others)
    # In order, and no two of them touch.
    assert all(one.end_ms < following.start_ms for one, following in itertools.pairwise(left))


@pytest.mark.parametrize("end_ms", [5, 4, -5])
def test_no_interval_is_empty(end_ms: int) -> None:
    with pytest.raises(ValueError, match=f"the end \\({end_ms}\\) must come after the start \\(5\\)"):
        Interval(5, end_ms)


def test_an_interval_prints_as_two_instants() -> None:
    assert str(Interval(1_534_305_591_000, 1_534_305_611_007)) == (
        "2018-08-15T03:59:51.000Z to 2018-08-15T04:00:11.007Z"
    )
    assert Interval(10, 25).duration_ms == 15


@given(st.integers(EARLIEST_MS, LATEST_MS))
@example(EARLIEST_MS)
@example(LATEST_MS)
@example(-1)
def test_iso_and_back(instant_ms: int) -> None:
    assert parse_instant(iso(instant_ms)) == instant_ms


@given(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))))
    .filter(lambda moment: 1 < moment.year < 9999)
)  # fmt: skip
def test_a_datetime_is_rounded_down(moment: datetime) -> None:
    assert iso(to_ms(moment)) == moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


@pytest.mark.parametrize(
    ("text", "instant_ms"),
    [
        ("2018-09-16T16:00:17.000Z", 1_537_113_617_000),
        ("2018-09-16T16:00:17Z", 1_537_113_617_000),
        ("2018-09-16 16:00:17Z", 1_537_113_617_000),
        ("2018-09-16T16:00:17.033Z", 1_537_113_617_033),
        ("2018-09-16T16:00:17.0339999Z", 1_537_113_617_033),
        ("2018-09-16T16:00:17.5Z", 1_537_113_617_500),
        ("2018-09-16T16:00:17+00:00", 1_537_113_617_000),
        ("2018-09-16T16:00:17-0000", 1_537_113_617_000),
        (" 1537113617033\n", 1_537_113_617_033),
        ("0", 0),
        (str(LATEST_MS), LATEST_MS),
        ("2016-12-31T23:59:59.999Z", 1_483_228_799_999),
        ("2020-02-29T00:00:00Z", 1_582_934_400_000),
    ],
)
def test_instants(text: str, instant_ms: int) -> None:
    assert parse_instant(text) == instant_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "-1",
        "1e12",
        "²",
        "٣",
        str(LATEST_MS + 1),
        "9" * 5000,
        "2018-09-16",
        "2018-09-16T16:00:17",
        "2018-09-16T16:00:17+02:00",
        "2018-09-16T16:00:17.Z",
        "2018-02-30T00:00:00Z",
        "2018-09-16T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "２018-09-16T16:00:17Z",
    ],
)
def test_no_instants(text: str) -> None:
    with pytest.raises(ValueError, match="is no instant: ") as caught:
        parse_instant(text)
    assert len(str(caught.value)) < 250


@given(st.text(alphabet="0123456789-:TZ. +", max_size=30))
def test_any_text_is_an_instant_or_a_value_error(text: str) -> None:
    try:
        assert EARLIEST_MS <= parse_instant(text) <= LATEST_MS
    except ValueError as error:
        assert "is no instant" in str(error)  # noqa: PT017
