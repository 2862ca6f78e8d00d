"""SQS events to test with. Needs the standard library alone: ``scripts/create_test_event.py`` runs it where
nothing is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DEFAULT_CAMERA_ID = "1111111111111"

_LIMITS_S = {"SQS_RETRY_LIMIT": 900, "OUT_OF_RANGE_LIMIT": 259_200, "VIDEO_MAX_LEN": 300}
_STATUSES = {
    "available": "CLIP_AVAILABLE, if the camera was recorded then",
    "pending": "CLIP_PENDING, as long as it is not recorded yet",
    "not_available": "CLIP_NOT_AVAILABLE, unless it was recorded",
    "out_of_range": "CLIP_OUT_OF_RANGE",
    "too_long": "CLIP_TOO_LONG",
}


def build_event(
    *,
    camera_id: str,
    clip_id: str,
    interval_ms: tuple[int, int],
    now_ms: int,
    literal: bool = False,
) -> dict[str, Any]:
    """An SQS event with one record that was sent at ``now_ms``.

    ``interval_ms`` is [start, end) of the clip, milliseconds since the epoch. ``literal``: the body is in
    single quotes, as older producers write it, instead of strict JSON.
    """
    request = {
        "clipId": clip_id,
        "retryTimestamps": [],
        "cameraId": camera_id,
        "startTimestampInMs": interval_ms[0],
        "endTimestampInMs": interval_ms[1],
    }
    body = str(request) if literal else json.dumps(request)
    return {
        "Records": [
            {
                "body": body,
                "receiptHandle": "MessageReceiptHandle",
                "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
                "eventSourceARN": "arn:aws:sqs:us-west-1:123456789012:MyQueue",
                "eventSource": "aws:sqs",
                "awsRegion": "us-west-1",
                "messageId": f"test-{clip_id}",
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


def interval_of(kind: str, now_ms: int, length_s: int, limits_s: dict[str, int]) -> tuple[int, int]:
    """[start, end) of a clip of that kind, milliseconds since the epoch."""
    retry_s, range_s, longest_s = (limits_s[name] for name in _LIMITS_S)
    end_s = {
        "available": -retry_s - 300,
        "pending": -min(30, retry_s // 2),
        "not_available": -(retry_s + range_s) // 2 if range_s > retry_s else -2 * retry_s - 1,
        "out_of_range": -max(range_s, retry_s) - 3600,
        "too_long": -retry_s - 300,
    }[kind]
    if kind == "too_long":
        length_s = longest_s + 60
    end_ms = now_ms + end_s * 1000
    return end_ms - length_s * 1000, end_ms


def main(arguments: Sequence[str] | None = None, *, camera_id: str = DEFAULT_CAMERA_ID) -> int:
    """Write the event that ``arguments`` ask for; returns the exit code."""
    parser = _parser(camera_id)
    given = parser.parse_args(arguments)
    kind = given.kind or "available"
    now_ms = time.time_ns() // 1_000_000
    limits_s = {name: _limit(parser, name, default) for name, default in _LIMITS_S.items()}
    start_ms, end_ms = interval_of(kind, now_ms, given.length, limits_s)
    expected = _STATUSES[kind]
    if given.start is not None or given.end is not None:
        if given.start is None:
            start_ms, end_ms = given.end - given.length * 1000, given.end
        else:
            start_ms = given.start
            end_ms = start_ms + given.length * 1000 if given.end is None else given.end
        expected = "what the times make of it"
    event = build_event(
        camera_id=given.camera,
        clip_id=given.clip_id or str(now_ms),
        interval_ms=(start_ms, end_ms),
        now_ms=now_ms,
        literal=given.notation == "literal",
    )
    text = json.dumps(event, indent=2) + "\n"
    if given.output == "-":
        sys.stdout.write(text)
        return 0
    try:
        Path(given.output).write_text(text)
    except OSError as error:
        print(f"{parser.prog}: {given.output}: {error.strerror}", file=sys.stderr)
        return 1
    print(
        f"Wrote {given.output}: camera {given.camera}, {_iso(start_ms)} to {_iso(end_ms)}. Expect {expected}."
    )
    return 0


def _parser(camera_id: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clipline event" if "clipline" in Path(sys.argv[0]).name else Path(sys.argv[0]).name,
        description="Write an SQS event that asks for a clip, sent now.",
        epilog="SQS_RETRY_LIMIT, OUT_OF_RANGE_LIMIT and VIDEO_MAX_LEN are taken from the environment.",
    )
    kinds = parser.add_mutually_exclusive_group()
    for flag, kind, text in (
        ("-a", "available", "a clip that should be there (the default)"),
        ("-p", "pending", "a clip of just now, which may not be recorded yet"),
        ("-n", "not_available", "a clip of long ago, but in range; give the id of a camera that was off"),
        ("-o", "out_of_range", "a clip of too long ago"),
        ("-t", "too_long", "a clip that is too long"),
    ):
        name = f"--{kind.replace('_', '-')}"
        kinds.add_argument(flag, name, dest="kind", action="store_const", const=kind, help=text)
    parser.add_argument("--camera", default=camera_id, metavar="ID", help="its id (%(default)s)")
    parser.add_argument("--clip-id", metavar="ID", help="a new one each time, if none is given")
    parser.add_argument(
        "--length", type=_seconds, default=60, metavar="S", help="of the clip, seconds (%(default)s)"
    )
    parser.add_argument("--start", type=_instant, metavar="T", help="ISO 8601 in UTC, or milliseconds")
    parser.add_argument("--end", type=_instant, metavar="T", help="likewise")
    parser.add_argument(
        "--notation", choices=["json", "literal"], default="json", help="of the body (%(default)s)"
    )
    parser.add_argument("--output", default="event.json", metavar="FILE", help="- is standard output")
    return parser


def _limit(parser: argparse.ArgumentParser, name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        parser.error(f"{name} is {text!r}, expected a number of seconds")
    return int(text)


def _seconds(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return int(text)


def _instant(text: str) -> int:
    if re.fullmatch(r"\d{1,15}", text, re.ASCII):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no instant: write 2018-09-16T16:00:17.000Z, or milliseconds since the epoch"
        )
    return round(moment.timestamp() * 1000)


def _iso(instant_ms: int) -> str:
    moment = datetime.fromtimestamp(instant_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{instant_ms % 1000:03d}Z"
