"""Where recorders put their recordings, and what the place of a file tells: its camera, and when it starts.

A layout is a pattern: the path of a recording without its suffix, from any folder below the root on.

    %Y %m %d %H %M %S   year, month, day, hour, minute, second, as many digits as strftime prints
    %y %f %s %z         year of two digits, fraction of a second, seconds since 1970, offset (+0200 or Z)
    {camera}            the camera: part of a name, or of a folder's name
    {folder}            the camera: a folder; folders below it that are dates are passed over
    {path}              the camera: all folders from the root on
    *                   anything within a name

What a pattern names twice (the date in the folder and in the file's name) has to be the same. The first
pattern that fits is taken. Recordings that no pattern fits belong to the camera that their folder names;
when they start, the file itself has to tell.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import PurePosixPath

from clipline.contract.errors import ConfigurationError
from clipline.contract.interval import LATEST_MS, to_ms
from clipline.contract.recording import ALIAS, NameFormat

_NUMBERS = {
    "Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}", "y": r"\d{2}",
    "f": r"\d{1,9}", "s": r"\d{9,10}", "z": r"[+-]\d{2}:?\d{2}|Z",
}  # fmt: skip
_DATE = r"(?:\d{1,4}|\d{8}|\d{4}-\d\d(?:-\d\d)?)"
"""Folders by year, month, day or hour."""
_CAMERAS = {
    "camera": r"(?P<camera>[^/]+?)",
    "folder": rf"(?P<camera>(?!{_DATE}/)[^/]+)(?:/{_DATE})*",
    "path": r"(?P<camera>(?:[^/]+/)*?[^/]+)",
}
_DIGEST_DIGITS = 6
_LONGEST_ALIAS = 100


@dataclass(frozen=True)
class Layout:
    """One recorder's way."""

    recorder: str
    pattern: str
    utc: bool = False
    """Its times are UTC whatever the time zone of the others is."""


LAYOUTS = (
    # Frigate's documentation, "Recording": UTC since 0.11, by month and day before.
    Layout("Frigate", "%Y-%m-%d/%H/{camera}/%M.%S", utc=True),
    Layout("Frigate before 0.11", "%Y-%m/%d/%H/{camera}/%M.%S", utc=True),
    # mediamtx.yml: recordPath: ./recordings/%path/%Y-%m-%d_%H-%M-%S-%f, in local time.
    Layout("MediaMTX", "{path}/%Y-%m-%d_%H-%M-%S-%f"),
    Layout("MediaMTX with Unix time", "{path}/%s"),
    # FTP uploads lie in folders by date; on the card: RecM01_DST20230101_120000_120500_0_A1B2.mp4.
    Layout("Reolink", "{camera}/%Y/%m/%d/*_%Y%m%d%H%M%S"),
    Layout("Reolink, flat", "{camera}_0*_%Y%m%d%H%M%S"),
    Layout("Reolink, from the card", "{folder}/Rec?*_%Y%m%d_%H%M%S_*"),
    Layout("Reolink, from the card, summer time", "{folder}/Rec?*_DST%Y%m%d_%H%M%S_*"),
    # Exports of iVMS-4200 and of recorders' pages: camera, start and mostly end.
    Layout("Hikvision", "{folder}/*_%Y%m%d%H%M%S_*"),
    Layout("Hikvision, one file", "{folder}/*_%Y%m%d%H%M%S"),
    Layout("Hikvision, flat", "{camera}_%Y%m%d%H%M%S_*"),
    Layout("Hikvision, flat, one file", "{camera}_%Y%m%d%H%M%S"),
    # Blue Iris help, "Record": &CAM.%Y%m%d_%H%M%S
    Layout("Blue Iris", "{camera}.%Y%m%d_%H%M%S"),
    Layout("Blue Iris, with more", "{camera}.%Y%m%d_%H%M%S.*"),
)
"""In the order they are tried in, after our own names."""


@dataclass(frozen=True)
class Place:
    """What a recording's key tells."""

    camera: str
    """As the recorder calls it."""
    alias: str
    starts_ms: Sequence[int] = ()
    """When it starts; two where clocks were set back in between, none where that is not told."""


class Layouts:
    """Reads keys by our own names, then by ``patterns``, then by the known recorders'."""

    def __init__(
        self, names: NameFormat | None = None, zone: tzinfo = UTC, patterns: Iterable[str] = ()
    ) -> None:
        """``zone`` is that of recorders that write local time, and of ``patterns``.

        Raises ConfigurationError for a pattern that is none.
        """
        self._names = names or NameFormat()
        self._known = [
            (compile_pattern(pattern), UTC if utc else zone)
            for pattern, utc in [
                *((pattern, False) for pattern in patterns),
                *((layout.pattern, layout.utc) for layout in LAYOUTS),
            ]
        ]
        self._folder = re.compile(rf"(?:.*/)?{_CAMERAS['folder']}/[^/]+")

    def read(self, key: str) -> Place | None:
        """None where it tells of no camera."""
        name = PurePosixPath(key).name
        own = self._names.start_ms(name)
        if own is not None and 0 <= own[0] <= LATEST_MS:
            return _place(self._by_folder(key) or name.partition(".")[0], [own[0]])
        stem = key.rpartition(".")[0]
        for pattern, zone in self._known:
            match = pattern.fullmatch(stem)
            starts_ms = _starts_ms(match, zone) if match else []
            if match and starts_ms:
                return _place(match["camera"], starts_ms)
        camera = self._by_folder(key)
        return _place(camera, []) if camera else None

    def _by_folder(self, key: str) -> str | None:
        match = self._folder.fullmatch(key)
        return match["camera"] if match else None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Raises ConfigurationError where it tells no camera or no time, or holds what is none of the fields."""
    seen: set[str] = set()
    parts = []
    text = pattern.removesuffix(".mp4")
    for piece in re.split(r"(%.|\{[^{}]*\}|\*|\?)", text):
        if not piece:
            continue
        field = piece[1:] if piece[0] == "%" else piece.strip("{}")
        if piece in ("*", "?"):
            parts.append("[^/]*?" if piece == "*" else "[^/]")
        elif piece[0] == "%" and field in _NUMBERS:
            parts.append(f"(?P={field})" if field in seen else f"(?P<{field}>{_NUMBERS[field]})")
            seen.add(field)
        elif piece[0] == "{" and field in _CAMERAS:
            parts.append("(?P=camera)" if "camera" in seen else _CAMERAS[field])
            seen.add("camera")
        elif piece[0] in "%{":
            raise ConfigurationError(
                f"the pattern {pattern!r} holds {piece}",
                hint="expected {camera}, {folder} or {path}, * and "
                + " ".join(f"%{one}" for one in _NUMBERS),
            )
        else:
            parts.append(re.escape(piece))
    year = "Y" if "Y" in seen else "y"
    if "camera" not in seen or not ("s" in seen or {year, "m", "d", "H", "M"} <= seen):
        raise ConfigurationError(
            f"the pattern {pattern!r} does not tell {'the camera' if 'camera' not in seen else 'the time'}",
            hint="expected something like {camera}/%Y-%m-%d/%H-%M-%S",
        )
    above = "" if "{path}" in text else "(?:.*/)?"
    return re.compile(above + "".join(parts), re.ASCII)


def alias_of(camera: str) -> str:
    """The alias of the camera that a recorder calls so: the same, where object keys and URLs may hold it."""
    if ALIAS.fullmatch(camera) and len(camera) <= _LONGEST_ALIAS:
        return camera
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", camera).strip("-")[:_LONGEST_ALIAS] or "camera"
    return f"{plain}-{hashlib.sha256(camera.encode('utf-8', 'surrogatepass')).hexdigest()[:_DIGEST_DIGITS]}"


def _place(camera: str, starts_ms: Sequence[int]) -> Place:
    return Place(camera, alias_of(camera), starts_ms)


def _starts_ms(match: re.Match[str], zone: tzinfo) -> list[int]:
    """Both instants where clocks were set back; none where there is no such date."""
    told = match.groupdict()
    if told.get("s"):
        return [int(told["s"]) * 1000]
    year = int(told.get("Y") or f"20{told['y']}")
    parts = [int(told.get(field) or 0) for field in "mdHMS"]
    try:
        moments = _moments(datetime(year, *parts, tzinfo=UTC), told.get("z"), zone)  # type: ignore[arg-type, misc, unused-ignore]
    except (ValueError, OverflowError):
        return []  # no such date, or beyond the years there are
    milliseconds = int((told.get("f") or "0").ljust(3, "0")[:3])
    return [
        found for found in sorted(to_ms(one) + milliseconds for one in moments) if 0 <= found <= LATEST_MS
    ]


def _moments(moment: datetime, offset: str | None, zone: tzinfo) -> set[datetime]:
    """What ``moment`` says, in UTC: by its offset, or in ``zone``. Raises OverflowError."""
    if offset is None:
        return {moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    if offset == "Z":
        return {moment}
    difference = timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
    return {moment + difference if offset[0] == "-" else moment - difference}
