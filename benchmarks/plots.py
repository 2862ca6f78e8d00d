"""Line charts as SVG, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _PANEL_HEIGHT = 720, 260
_LEFT, _RIGHT, _HEAD, _FOOT = 64, 24, 62, 44
"""Pixels around a panel's axes; the head holds titles and legend of the first."""
_LEGEND = 200
"""Pixels for the name of each series."""
_COLOURS = ("#0072b2", "#d55e00", "#009e73")
"""Told apart by the colour-blind (Okabe and Ito), and dark enough for white paper."""
_DARK_COLOURS = ("#56b4e9", "#e69f00", "#2fc99b")
_MARKS = ("circle", "square", "diamond")

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #222 } .title { font-size: 16px; font-weight: 600 }
.page { fill: #fff } .grid { stroke: #ddd } .axis { stroke: #777 } .line { fill: none; stroke-width: 2 }
"""
_DARK_STYLE = "text { fill: #ddd } .page { fill: #16181c } .grid { stroke: #3a3d44 } .axis { stroke: #999 }"


@dataclass(frozen=True)
class Series:
    """One line: a name, and a value for each place on the horizontal axis."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One pair of axes; the vertical one begins at 0."""

    label: str
    """Of the vertical axis, with its unit."""
    series: Sequence[Series]


def chart(title: str, subtitle: str, label: str, ticks: Sequence[str], panels: Sequence[Panel]) -> str:
    """``panels`` one below the other; ``ticks`` name places at equal distances on their horizontal axis."""
    height = _HEAD + len(panels) * _PANEL_HEIGHT
    styles = [_STYLE, _colour_rules(_COLOURS)]
    dark = f"@media (prefers-color-scheme: dark) {{ {_DARK_STYLE} {_colour_rules(_DARK_COLOURS)} }}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{''.join(styles)}{dark}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
        _text(16, 24, title, "title"),
        _text(16, 44, subtitle),
    ]
    for place, panel in enumerate(panels):
        parts += _panel(panel, ticks, label, _HEAD + place * _PANEL_HEIGHT)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, ticks: Sequence[str], label: str, top: int) -> list[str]:
    begin, end = top + 40, top + _PANEL_HEIGHT - _FOOT
    right = _WIDTH - _RIGHT
    step = _step(max(value for one in panel.series for value in one.values))
    most = step * math.ceil(max(value for one in panel.series for value in one.values) / step)

    def x(place: int) -> float:
        room = _WIDTH - _LEFT - _RIGHT - 40
        return _LEFT + 20 + (room * place / (len(ticks) - 1) if len(ticks) > 1 else room / 2)

    def y(value: float) -> float:
        return end - (end - begin) * value / most

    parts = [_text(16, top + 18, panel.label)]
    for line in range(round(most / step) + 1):
        at = y(line * step)
        kind = "grid" if line else "axis"
        parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(_LEFT - 8, at + 4, f"{line * step:g}", anchor="end"))
    parts += [_text(x(place), end + 18, tick, anchor="middle") for place, tick in enumerate(ticks)]
    parts.append(_text((_LEFT + right) / 2, end + 36, label, anchor="middle"))
    legend = right - _LEGEND * len(panel.series)
    for number, one in reversed(list(enumerate(panel.series))):
        points = [(x(place), y(value)) for place, value in enumerate(one.values)]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
        parts.append(f'<polyline class="line stroke{number}" points="{path}"/>')
        parts += [_mark(number, across, down) for across, down in points]
        at = legend + _LEGEND * number
        parts += [_mark(number, at, top + 14), _text(at + 12, top + 18, one.name)]
    return parts


def _colour_rules(colours: Sequence[str]) -> str:
    return " ".join(
        f".stroke{number} {{ stroke: {colour} }} .fill{number} {{ fill: {colour} }}"
        for number, colour in enumerate(colours)
    )


def _step(most: float) -> float:
    """Between grid lines: 1, 2 or 5 times a power of ten, four to eight of them."""
    power = 10.0 ** math.floor(math.log10(most / 4)) if most > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if most / (factor * power) <= 6)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _mark(number: int, x: float, y: float) -> str:
    """Series differ in form too, for those who do not see the colour."""
    colour = f'class="fill{number}"'
    if _MARKS[number] == "circle":
        return f'<circle {colour} cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    turn = "" if _MARKS[number] == "square" else f' transform="rotate(45 {x:.1f} {y:.1f})"'
    return f'<rect {colour} x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"{turn}/>'
