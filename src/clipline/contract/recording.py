"""One recording: its object key, its wall-clock span, and the time that its file name tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from clipline.contract.interval import Interval, to_ms

DEFAULT_TIMESTAMP_FORMAT = "%Y%m%dT%H%M%S%f"
DEFAULT_RECORDING_KEY = "{dir}/{name}"

ALIAS = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_-])?", re.ASCII)
"""What a camera's alias may look like. It becomes part of object keys, file names and URLs."""

SAFE_NAME = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
"""What a recording's file name may look like: no separators, no control characters, no broken text."""


_LONGEST_KEY = 1024
"""Bytes that S3 allows; characters are no more."""


@dataclass(frozen=True)
class NameFormat:
    """How file names tell when a recording starts.

    New names end in milliseconds (``cam.stream.20181031T025200051.mp4``), old ones in seconds
    (``cam.20180815T140019.mp4``). The time is the last part of the name between dots, in UTC.
    """

    timestamp_format: str = DEFAULT_TIMESTAMP_FORMAT
    """strptime notation; ``%f`` stands for three digits of milliseconds."""
    old: bool = False
    """Names carry no milliseconds: ``%f`` is left out."""

    def start_ms(self, name: str) -> tuple[int, bool] | None:
        """(milliseconds since the epoch, whether the name is exact to the millisecond), or None."""
        stamp = PurePosixPath(name).stem.rpartition(".")[2]
        seconds_format = self.timestamp_format.replace("%f", "")
        if not self.old and self.timestamp_format != seconds_format:
            moment = _parse(stamp, self.timestamp_format)
            if moment and stamp == self._print(moment):
                return to_ms(moment), True
        moment = _parse(stamp, seconds_format)
        # strptime takes fewer digits than it prints: %f would read the 19 of :19 as 1.9 s, and 1430
        # would be three past two. A time that does not print as it was read is of another format.
        if moment and stamp == moment.strftime(seconds_format):
            return to_ms(moment), False
        return None

    def name(self, alias: str, start_ms: int) -> str:
        """The file name of a recording of camera ``alias``, the other way round."""
        return f"{alias}.{self._print(_moment(start_ms))}.mp4"

    def _print(self, moment: datetime) -> str:
        milliseconds = "" if self.old else f"{moment.microsecond // 1000:03d}"
        return moment.strftime(self.timestamp_format.replace("%f", milliseconds))


def _moment(instant_ms: int) -> datetime:
    return datetime.fromtimestamp(instant_ms // 1000, UTC).replace(microsecond=instant_ms % 1000 * 1000)


def _parse(stamp: str, timestamp_format: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, timestamp_format).replace(tzinfo=UTC)
    except (ValueError, re.error):  # a format that names a field twice makes no regular expression
        return None


@dataclass(frozen=True)
class Recording:
    """A recording as it was announced; what its file really holds is known once it is opened."""

    name: str
    """The file name, the last path part of its URL."""
    span: Interval
    """The wall time that it claims to show."""
    alias: str
    told_key: str = ""
    """Where the camera API says that it lies; empty where it says nothing."""

    def key(self, template: str, directory: str) -> str:
        """The object key under a RECORDING_KEY template such as ``{dir}/{alias}/%Y/%m/%d/{name}``.

        ``{key}`` stands for what the camera API told, or for the name where it told nothing.
        """
        start = _moment(self.span.start_ms)
        values = {
            "{dir}": directory,
            "{alias}": self.alias,
            "{name}": self.name,
            "{key}": self.told_key or self.name,
        }
        key = re.sub(
            r"%[a-zA-Z]|{(?:dir|alias|name|key)}",
            lambda field: values.get(field[0]) or ("" if field[0] in values else start.strftime(field[0])),
            template,
        )
        return re.sub("/{2,}", "/", key).strip("/")


def announced(
    recording_url: str, alias: str, start_ms: int, end_ms: int, names: NameFormat, told_key: str = ""
) -> Recording:
    """The recording that an entry of the camera API announces.

    It starts at ``start_ms``, or at the time in its name where that is exact to the millisecond and
    less than a second off. Of the URL only the last path part is used; no host in it is contacted.
    Raises ValueError on a URL without a usable name, on an empty span and on a key that climbs.
    """
    try:
        name = unquote(urlsplit(recording_url).path).rpartition("/")[2]
    except ValueError:  # brackets that hold no IPv6 address
        name = ""
    if not SAFE_NAME.fullmatch(name) or name in {".", ".."}:
        raise ValueError(f"recordingUrl {recording_url[:200]!r} does not end in a file name")
    match names.start_ms(name):
        case (named_ms, True) if abs(named_ms - start_ms) < 1000:
            start_ms = named_ms
    parts = told_key.split("/") if told_key else []
    if len(told_key) > _LONGEST_KEY or any(
        part in {".", ".."} or not SAFE_NAME.fullmatch(part) for part in parts
    ):
        raise ValueError(f"key {told_key[:200]!r} is none: expected names, separated by single slashes")
    return Recording(name, Interval(start_ms, end_ms), alias, told_key)
