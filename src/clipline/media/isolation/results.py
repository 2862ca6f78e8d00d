"""What a child says it made is looked at before it is believed: any byte of it may be hostile."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipline.contract.coverage import Gap
from clipline.contract.interval import Interval
from clipline.media.cut import CutReport, ThumbnailOptions
from clipline.media.limits import MediaLimits

_INTEGERS = (
    "firstFrameTimestampInMs", "lastFrameTimestampInMs", "framesCopied", "framesEncoded", "bytesRead",
    "sizeInBytes", "durationInMs", "width", "height",
)  # fmt: skip
_DETAILS = frozenset({*_INTEGERS, "coverage", "partial", "method", "why", "audio", "notes"})
_MOST = 1 << 53
"""Integers of JSON beyond it do not survive everywhere."""


class Unbelievable(Exception):
    """The child said something that the engine never says."""


def check(fine: bool, what: str) -> None:
    if not fine:
        raise Unbelievable(what)


def gaps(told: object) -> tuple[Gap, ...]:
    """Those that the plan has, out of ``[start_ms, end_ms, reason]``."""
    found = []
    check(isinstance(told, list), "gaps")
    assert isinstance(told, list)
    for one in told:
        check(isinstance(one, list) and len(one) == 3, "a gap")
        start_ms, end_ms, reason = one
        check(_is_integer(start_ms) and _is_integer(end_ms) and start_ms < end_ms, "a gap's times")
        check(isinstance(reason, str), "a gap's reason")
        found.append(Gap(Interval(start_ms, end_ms), reason))
    return tuple(found)


def report(
    told: Mapping[str, Any], output: Path, thumbnails: ThumbnailOptions, limits: MediaLimits
) -> CutReport:
    """The report, once the child is gone: until then it could change its files.

    Raises Unbelievable where keys, types or files are not those that were asked for.
    """
    details, widths = told.get("details"), told.get("thumbnails")
    check(isinstance(details, dict) and isinstance(widths, dict), "a report")
    assert isinstance(details, dict)
    assert isinstance(widths, dict)
    _check_details(details)
    check(details["sizeInBytes"] == _size_bytes(output, limits), "the clip's size")
    check(set(widths) == {str(width) for width in thumbnails.widths}, "widths of thumbnails")
    paths: dict[int, Path] = {}
    for width, name in widths.items():
        check(isinstance(name, str) and name not in ("", ".", "..") and "/" not in name, "a thumbnail's name")
        path = output.parent / name
        check(path.suffix == f".{thumbnails.picture_format}", "a thumbnail's name")
        check(path not in paths.values() and path != output, "a thumbnail's name")
        _size_bytes(path, limits)
        paths[int(width)] = path
    return CutReport(output, paths, details)


def _size_bytes(path: Path, limits: MediaLimits) -> int:
    try:
        found = path.lstat()
    except (OSError, ValueError):
        raise Unbelievable("a file is missing") from None
    # A hard link could be to a file outside that the child may only read.
    check(stat.S_ISREG(found.st_mode) and found.st_nlink == 1, "a file that is no file of its own")
    check(0 < found.st_size <= limits.output_bytes, "a file's size")
    return found.st_size


def _check_details(details: Mapping[str, Any]) -> None:
    check(set(details) == _DETAILS, "keys of the report")
    check(all(_is_integer(details[key]) for key in _INTEGERS), "numbers of the report")
    check(isinstance(details["partial"], bool) and isinstance(details["method"], str), "the report")
    check(_are_texts(details["why"]) and _are_texts(details["notes"]), "texts of the report")
    audio = details["audio"]
    check(isinstance(audio, dict) and set(audio) == {"method", "why"}, "the report on audio")
    check(isinstance(audio["method"], str) and _are_texts(audio["why"]), "the report on audio")
    check(isinstance(details["coverage"], list), "the coverage")
    for part in details["coverage"]:
        check(isinstance(part, dict), "the coverage")
        texts = {"recording"} if "recording" in part else {"gap", "filledWith"}
        integers = {"startTimestampInMs", "endTimestampInMs", "clipOffsetInMs"}
        check(set(part) == texts | integers, "keys of the coverage")
        check(all(isinstance(part[key], str) for key in texts), "texts of the coverage")
        check(all(_is_integer(part[key]) for key in integers), "times of the coverage")
        check(part["startTimestampInMs"] < part["endTimestampInMs"], "times of the coverage")


def _is_integer(value: object) -> bool:
    return type(value) is int and -_MOST < value < _MOST


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
