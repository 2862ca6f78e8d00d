"""SQS events to test with, one kind for each row of the status table.

Needs the standard library alone: ``scripts/create_test_event.py`` runs this file where nothing is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

DEFAULT_CAMERA_ID = "1111111111111"
DEFAULT_CAMERA_ALIAS = "test"

LENGTH_S = 60
"""Of a clip, unless a length is given."""

KINDS = {
    "available": ("-a", "a clip that ended 20 minutes ago, which should be recorded by now (the default)"),
    "pending": ("-p", "a clip that has just ended, within SQS_RETRY_LIMIT, and is not recorded yet"),
    "not-available": ("-n", "a clip beyond SQS_RETRY_LIMIT, within OUT_OF_RANGE_LIMIT, not recorded then"),
    "out-of-range": ("-o", "a clip beyond OUT_OF_RANGE_LIMIT"),
    "too-long": ("-t", "a clip longer than VIDEO_MAX_LEN"),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_PROMISED = {
    # Of a clip that is available, nothing but the recordings can say so.
    "available": ("CLIP_PENDING", "CLIP_NOT_AVAILABLE"),
    "pending": ("CLIP_PENDING",),
    "not-available": ("CLIP_NOT_AVAILABLE",),
    "out-of-range": ("CLIP_OUT_OF_RANGE",),
    "too-long": ("CLIP_TOO_LONG",),
}


class Limits(NamedTuple):
    """Seconds, as in the settings of these names."""

    sqs_retry_limit: int = 900
    out_of_range_limit: int = 259_200
    """0 is no limit."""
    video_max_len: int = 300

    def __str__(self) -> str:
        return ", ".join(f"{name.upper()}={value}" for name, value in self._asdict().items())


def build_event(
    kind: str,
    *,
    camera_id: str,
    clip_id: str,
    now_ms: int,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    interval_ms: tuple[int, int] | None = None,
    notation: Literal["json", "literal"] = "json",
) -> dict[str, Any]:
    """An SQS event with one record, sent at ``now_ms``, that asks for a clip of one of ``KINDS``.

    ``interval_ms`` is [start, end) of the clip, milliseconds since the epoch, in place of the one that
    ``choose_interval`` finds. ``notation`` is the body's: strict JSON, or the literal in single quotes that
    older producers write. Raises ValueError as ``choose_interval`` does, and on instants out of all range.
    """
    start_ms, end_ms = interval_ms or choose_interval(kind, now_ms, limits)
    if not (0 <= start_ms <= _LATEST_MS and 0 <= end_ms <= _LATEST_MS):
        raise ValueError("the clip must lie between the years 1970 and 9999")
    request = {
        "clipId": clip_id,
        "retryTimestamps": [],
        "cameraId": camera_id,
        "startTimestampInMs": start_ms,
        "endTimestampInMs": end_ms,
    }
    body = json.dumps(request) if notation == "json" else ascii(request)
    return {
        "Records": [
            {
                "body": body,
                "receiptHandle": "MessageReceiptHandle",
                "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
                "eventSourceARN": "arn:aws:sqs:us-west-1:123456789012:MyQueue",
                "eventSource": "aws:sqs",
                "awsRegion": "us-west-1",
                "messageId": str(uuid.uuid4()),
                "attributes": {
                    "ApproximateFirstReceiveTimestamp": str(now_ms + 1),
                    "SenderId": "123456789012",
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": str(now_ms),
                },
                "messageAttributes": {"SentTimestamp": str(now_ms)},
            }
        ]
    }


def choose_interval(kind: str, now_ms: int, limits: Limits, length_s: int | None = None) -> tuple[int, int]:
    """[start, end) in milliseconds since the epoch of a clip of that kind, asked for at ``now_ms``.

    Raises ValueError where the limits, or the length, leave no clip of that kind.
    """
    retry_s, range_s, longest_s = limits
    recorded_s = min(1200, range_s or 1200)
    age_s = {
        "available": recorded_s,
        "pending": min(30, retry_s // 2, range_s or 30),
        "not-available": (retry_s + range_s + 1) // 2 if range_s else retry_s + 3600,
        "out-of-range": range_s + 3600,
        "too-long": recorded_s,
    }[kind]
    if length_s is None:
        length_s = longest_s + 60 if kind == "too-long" else min(LENGTH_S, longest_s)
    end_ms = now_ms - age_s * 1000
    start_ms = end_ms - length_s * 1000
    status = status_without_recordings(start_ms, end_ms, now_ms, limits)
    if status not in _PROMISED[kind]:
        raise ValueError(f"no clip of {length_s} s can be {kind}: it would be {status}, with {limits}")
    return start_ms, end_ms


def status_without_recordings(start_ms: int, end_ms: int, now_ms: int, limits: Limits) -> str:
    """What becomes of a clip that is asked for, and handled, at ``now_ms``, if nothing of it was recorded."""
    age_ms = max(now_ms - end_ms, 0)
    if end_ms <= start_ms:
        return "CLIP_INVALID_REQUEST"
    if end_ms - start_ms > limits.video_max_len * 1000:
        return "CLIP_TOO_LONG"
    if limits.out_of_range_limit and age_ms > limits.out_of_range_limit * 1000:
        return "CLIP_OUT_OF_RANGE"
    if age_ms > limits.sqs_retry_limit * 1000:
        return "CLIP_NOT_AVAILABLE"
    if now_ms < max(now_ms, end_ms) + limits.sqs_retry_limit * 1000:
        return "CLIP_PENDING"
    return "CLIP_RETRY_TIMEOUT"


def main(
    arguments: Sequence[str] | None = None,
    *,
    camera_id: str = DEFAULT_CAMERA_ID,
    camera_alias: str = DEFAULT_CAMERA_ALIAS,
    clip_id: str | None = None,
    program: str = "clipline event",
) -> int:
    """Write the event that ``arguments`` ask for, and say what to expect of it; returns the exit code.

    The camera and the clip are taken where the arguments name none; without a clip it is a new one.
    """
    now_us = time.time_ns() // 1000
    now_ms = now_us // 1000
    parser = _parser(program, camera_id, clip_id or str(now_us))
    given = parser.parse_args(arguments)
    limits = Limits(*(_limit(parser, name, default) for name, default in Limits()._asdict().items()))
    kind = given.kind or "available"
    try:
        interval_ms = _interval(given, kind, now_ms, limits)
        event = build_event(
            kind, camera_id=given.camera, clip_id=given.clip_id, now_ms=now_ms, limits=limits,
            interval_ms=interval_ms, notation=given.notation,
        )  # fmt: skip
    except ValueError as error:
        parser.error(str(error))
    text = json.dumps(event, indent=2) + "\n"
    try:
        if given.output == "-":
            sys.stdout.write(text)
        else:
            Path(given.output).write_text(text)
    except OSError as error:
        print(f"{program}: cannot write {given.output}: {error.strerror}", file=sys.stderr)
        return 1
    alias = f" ({camera_alias})" if given.camera == camera_id else ""
    print(
        f"Wrote {given.output}: clip {given.clip_id} of camera {given.camera}{alias}, "
        f"{_iso(interval_ms[0])} to {_iso(interval_ms[1])}. {_expected(kind, interval_ms, now_ms, limits)}",
        file=sys.stderr if given.output == "-" else sys.stdout,
    )
    return 0


def _interval(given: argparse.Namespace, kind: str, now_ms: int, limits: Limits) -> tuple[int, int]:
    if given.start is None and given.end is None:
        return choose_interval(kind, now_ms, limits, given.length)
    if given.start is not None and given.end is not None:
        if given.length is not None:
            raise ValueError("--start, --end and --length: expected two of them")
        return given.start, given.end
    length_ms = (LENGTH_S if given.length is None else given.length) * 1000
    return (
        (given.end - length_ms, given.end) if given.start is None else (given.start, given.start + length_ms)
    )


def _expected(kind: str, interval_ms: tuple[int, int], now_ms: int, limits: Limits) -> str:
    status = status_without_recordings(*interval_ms, now_ms, limits)
    if status in ("CLIP_INVALID_REQUEST", "CLIP_TOO_LONG", "CLIP_OUT_OF_RANGE"):
        return f"Expect {status}, with {limits}."
    if status == "CLIP_PENDING":
        until_ms = max(now_ms, interval_ms[1]) + limits.sqs_retry_limit * 1000
        status += f" until {_iso(until_ms)}"
    if kind == "available":
        return f"Expect CLIP_AVAILABLE if it was recorded, else {status}."
    return f"Expect {status}, unless it was recorded."


def _parser(program: str, camera_id: str, clip_id: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        usage="%(prog)s [-a | -p | -n | -o | -t] [options]",
        description="Write an SQS event, sent now, that asks for a clip.",
        epilog="SQS_RETRY_LIMIT, OUT_OF_RANGE_LIMIT and VIDEO_MAX_LEN are taken from the environment, in "
        f"seconds; without them, {Limits()}.",
    )
    kinds = parser.add_mutually_exclusive_group()
    for kind, (flag, text) in KINDS.items():
        kinds.add_argument(flag, f"--{kind}", dest="kind", action="store_const", const=kind, help=text)
    parser.add_argument("--camera", type=_id, default=camera_id, metavar="ID", help="its id (%(default)s)")
    parser.add_argument(
        "--clip-id", type=_id, default=clip_id, metavar="ID", help="a new one each time, if none is given"
    )
    parser.add_argument("--start", type=_instant, metavar="T", help="ISO 8601 in UTC, or milliseconds")
    parser.add_argument("--end", type=_instant, metavar="T", help="likewise")
    parser.add_argument("--length", type=_whole_seconds, metavar="S", help=f"in seconds ({LENGTH_S})")
    parser.add_argument(
        "--notation", choices=["json", "literal"], default="json", help="of the body (%(default)s)"
    )
    parser.add_argument(
        "--output", default="event.json", metavar="FILE", help="- is standard output (%(default)s)"
    )
    return parser


def _limit(parser: argparse.ArgumentParser, name: str, default: int) -> int:
    text = os.environ.get(name.upper()) or str(default)
    try:
        return _whole_seconds(text)
    except argparse.ArgumentTypeError as error:
        parser.error(f"{name.upper()} in the environment: {error}")


def _id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to 64 letters, digits, '_' or '-'")
    return text


def _whole_seconds(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r}: expected whole seconds")
    return int(text)


def _instant(text: str) -> int:
    """Milliseconds since the epoch; digits past the millisecond are cut off."""
    if re.fullmatch(r"\d{1,15}", text, re.ASCII) and int(text) <= _LATEST_MS:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() != timedelta(0) or moment < _EPOCH:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected ISO 8601 in UTC, as in 2018-09-16T16:00:17.000Z, or milliseconds"
        )
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _iso(instant_ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
