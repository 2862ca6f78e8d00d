"""The status table: each row with its boundaries, the order of rows, and an independent restatement."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipline.contract.coverage import Gap, GapPolicy
from clipline.contract.interval import Interval
from clipline.contract.request import parse_request
from clipline.contract.result import Status
from clipline.pipeline.decision import Decision, Limits, decide, decide_before_reading

END_MS = 1_534_305_611_000
INTERVAL = Interval(END_MS - 20_000, END_MS)
RETRY_MS, RANGE_MS, LONGEST_MS = 900_000, 259_200_000, 300_000
LIMITS = Limits(RETRY_MS, RANGE_MS, LONGEST_MS)
MISSING = (Gap(INTERVAL),)


def status(
    asked_ms: int,
    now_ms: int,
    *,
    interval: Interval = INTERVAL,
    gaps: tuple[Gap, ...] = MISSING,
    limits: Limits = LIMITS,
    anything_there: bool = False,
) -> Decision:
    """``asked_ms`` and ``now_ms`` are counted from the clip's end."""
    end_ms = interval.end_ms
    return decide(
        interval, gaps, end_ms + asked_ms, end_ms + now_ms, limits,
        anything_there=anything_there, camera="test",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked_ms", "now_ms", "gaps", "expected"),
    [
        # Covered: available, whatever the time within reach.
        (0, 0, (), Status.AVAILABLE),
        (RANGE_MS, RANGE_MS, (), Status.AVAILABLE),
        (RETRY_MS + 1, 10 * RANGE_MS, (), Status.AVAILABLE),
        (-10_000, -10_000, (), Status.AVAILABLE),
        # Age beyond OUT_OF_RANGE_LIMIT, covered or not.
        (RANGE_MS + 1, RANGE_MS + 1, (), Status.OUT_OF_RANGE),
        (RANGE_MS + 1, RANGE_MS + 1, MISSING, Status.OUT_OF_RANGE),
        # Not covered, age beyond SQS_RETRY_LIMIT.
        (RANGE_MS, RANGE_MS, MISSING, Status.NOT_AVAILABLE),
        (RETRY_MS + 1, RETRY_MS + 1, MISSING, Status.NOT_AVAILABLE),
        # A clock that is five minutes off makes no difference to the age.
        (RETRY_MS + 1, RETRY_MS - 300_000, MISSING, Status.NOT_AVAILABLE),
        (RETRY_MS, RETRY_MS + 300_000, MISSING, Status.PENDING),
        # Not covered, up to SQS_RETRY_LIMIT after it was first asked for.
        (RETRY_MS, RETRY_MS, MISSING, Status.PENDING),
        (RETRY_MS, 2 * RETRY_MS - 1, MISSING, Status.PENDING),
        (RETRY_MS, 2 * RETRY_MS, MISSING, Status.RETRY_TIMEOUT),
        (0, RETRY_MS - 1, MISSING, Status.PENDING),
        (0, RETRY_MS, MISSING, Status.RETRY_TIMEOUT),
        # Asked for before it ended: the time runs from its end.
        (-3_600_000, -3_600_000, MISSING, Status.PENDING),
        (-3_600_000, RETRY_MS - 1, MISSING, Status.PENDING),
        (-3_600_000, RETRY_MS, MISSING, Status.RETRY_TIMEOUT),
    ],
)
def test_rows(asked_ms: int, now_ms: int, gaps: tuple[Gap, ...], expected: Status) -> None:
    decision = status(asked_ms, now_ms, gaps=gaps)
    assert decision.status is expected
    assert (decision.reason is None) == (expected is Status.AVAILABLE)
    assert not decision.partial


@pytest.mark.parametrize("gaps", [(), MISSING])
def test_too_long_comes_first(gaps: tuple[Gap, ...]) -> None:
    longest = Interval(END_MS - LONGEST_MS, END_MS)
    longer = Interval(END_MS - LONGEST_MS - 1, END_MS)
    assert status(0, 0, interval=longest, gaps=gaps).status is not Status.TOO_LONG
    assert status(0, 0, interval=longer, gaps=gaps).status is Status.TOO_LONG
    assert status(2 * RANGE_MS, 2 * RANGE_MS, interval=longer, gaps=gaps).status is Status.TOO_LONG
    before = decide_before_reading(longer, END_MS, LIMITS)
    assert before is not None
    assert before.reason == "the clip would last 300.001 s, longer than the 300 s allowed"


def test_an_out_of_range_limit_of_0_is_no_limit() -> None:
    unlimited = replace(LIMITS, out_of_range_ms=0)
    assert decide_before_reading(INTERVAL, END_MS + 1000 * RANGE_MS, unlimited) is None
    assert status(1000 * RANGE_MS, 1000 * RANGE_MS, limits=unlimited).status is Status.NOT_AVAILABLE
    assert status(1000 * RANGE_MS, 1000 * RANGE_MS, limits=unlimited, gaps=()).status is Status.AVAILABLE


@pytest.mark.parametrize("policy", list(GapPolicy))
@pytest.mark.parametrize("anything_there", [False, True])
@pytest.mark.parametrize(
    ("asked_ms", "now_ms", "without"),
    [
        (0, 0, Status.PENDING),
        (0, RETRY_MS, Status.RETRY_TIMEOUT),
        (RETRY_MS + 1, RETRY_MS + 1, Status.NOT_AVAILABLE),
        (RANGE_MS + 1, RANGE_MS + 1, Status.OUT_OF_RANGE),
    ],
)
def test_gap_policies(
    policy: GapPolicy, anything_there: bool, asked_ms: int, now_ms: int, without: Status
) -> None:
    gap = (Gap(Interval(END_MS - 5000, END_MS)),)
    decision = status(
        asked_ms, now_ms, gaps=gap, limits=replace(LIMITS, gap_policy=policy), anything_there=anything_there
    )  # fmt: skip
    filled = (
        policy is not GapPolicy.FAIL
        and anything_there
        and without in (Status.NOT_AVAILABLE, Status.RETRY_TIMEOUT)
    )
    assert decision.status is (Status.AVAILABLE if filled else without)
    assert decision.partial == filled


def test_reasons() -> None:
    expected = "no recording of camera test covers 2018-08-15T03:59:51.000Z to 2018-08-15T04:00:11.000Z"
    assert status(RETRY_MS + 1, RETRY_MS + 1).reason == expected
    assert status(0, RETRY_MS).reason == f"{expected}, 900 s after it was to be expected"
    gaps = (
        Gap(Interval(END_MS - 9000, END_MS - 5000)),
        Gap(Interval(END_MS - 2000, END_MS), "a.mp4 is empty"),
    )
    assert status(0, 0, gaps=gaps, anything_there=True).reason == (
        "the recordings of camera test leave a gap from 2018-08-15T04:00:02.000Z to 2018-08-15T04:00:06.000Z "
        "and 1 more gap (a.mp4 is empty)"
    )
    assert decide_before_reading(INTERVAL, END_MS + RANGE_MS + 1, LIMITS) == Decision(
        Status.OUT_OF_RANGE,
        "the clip ended 259200.001 s before it was first asked for, "
        "more than the 259200 s that recordings are kept in reach",
    )


def table(
    length_s: int,
    asked_s: int,
    now_s: int,
    covered: bool,
    part: bool,
    limits: tuple[int, int, int],
    fill: bool,
) -> str:
    """The status table in seconds from the clip's end, row by row from the last to the first."""
    retry_s, range_s, longest_s = limits
    answer = "CLIP_RETRY_TIMEOUT"
    waiting_ends_s = (asked_s if asked_s > 0 else 0) + retry_s
    if now_s < waiting_ends_s:
        answer = "CLIP_PENDING"
    if asked_s > retry_s:
        answer = "CLIP_NOT_AVAILABLE"
    if answer != "CLIP_PENDING" and part and fill:
        answer = "CLIP_AVAILABLE"
    if covered:
        answer = "CLIP_AVAILABLE"
    if range_s != 0 and asked_s > range_s:
        answer = "CLIP_OUT_OF_RANGE"
    if length_s > longest_s:
        answer = "CLIP_TOO_LONG"
    return answer


small = st.integers(0, 12)
signed = st.integers(-12, 25)
limits_in_seconds = st.tuples(small, small, st.integers(1, 12))


@given(
    length_s=st.integers(1, 12), asked_s=signed, now_s=signed, covered=st.booleans(), part=st.booleans(),
    limits=limits_in_seconds, policy=st.sampled_from(GapPolicy),
)  # fmt: skip
def test_the_table_told_another_way(
    length_s: int, asked_s: int, now_s: int, covered: bool, part: bool,
    limits: tuple[int, int, int], policy: GapPolicy,
) -> None:  # fmt: skip
    interval = Interval(END_MS - length_s * 1000, END_MS)
    gaps = () if covered else (Gap(interval),)
    retry_s, range_s, longest_s = limits
    decision = status(
        asked_s * 1000, now_s * 1000, interval=interval, gaps=gaps, anything_there=part or covered,
        limits=Limits(retry_s * 1000, range_s * 1000, longest_s * 1000, policy),
    )  # fmt: skip
    fill = policy is not GapPolicy.FAIL
    assert decision.status == table(length_s, asked_s, now_s, covered, part, limits, fill)
    assert decision.partial == (decision.status is Status.AVAILABLE and not covered)


@given(
    asked_s=signed, times_ms=st.lists(st.integers(-20_000, 60_000), min_size=2), part=st.booleans(),
    limits=limits_in_seconds, policy=st.sampled_from(GapPolicy),
)  # fmt: skip
def test_time_alone_ends_pending_and_changes_nothing_final(
    asked_s: int, times_ms: list[int], part: bool, limits: tuple[int, int, int], policy: GapPolicy
) -> None:
    retry_s, range_s, longest_s = limits
    edge_ms = (max(asked_s, 0) + retry_s) * 1000
    decisions = [
        status(
            asked_s * 1000, now_ms, anything_there=part, interval=Interval(END_MS - 5000, END_MS),
            limits=Limits(retry_s * 1000, range_s * 1000, longest_s * 1000, policy),
        )
        for now_ms in sorted({edge_ms - 1, edge_ms, *times_ms})
    ]  # fmt: skip
    pending = [decision.status is Status.PENDING for decision in decisions]
    assert pending == sorted(pending, reverse=True)
    assert len({decision for decision in decisions if decision.status.final}) == 1


def test_what_counts_is_when_it_was_first_asked_for() -> None:
    """Not when this message of the chain was sent, nor the one before it."""
    fields = {
        "clipId": "1", "cameraId": "1", "startTimestampInMs": INTERVAL.start_ms, "endTimestampInMs": END_MS,
        "retryTimestamps": [END_MS + 60_000, END_MS + 500_000],
    }  # fmt: skip
    sent_ms = END_MS + RETRY_MS + 50_000
    first_asked_ms = parse_request(json.dumps(fields)).first_asked_ms(sent_ms)
    for asked_ms, now_ms, expected in (
        (first_asked_ms, sent_ms, Status.PENDING),
        (first_asked_ms, END_MS + 60_000 + RETRY_MS, Status.RETRY_TIMEOUT),
        (sent_ms, sent_ms, Status.NOT_AVAILABLE),
    ):
        assert status(asked_ms - END_MS, now_ms - END_MS).status is expected
