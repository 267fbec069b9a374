"""Plots as SVG, readable on a light and on a dark page; nothing is needed to make them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from harness.bench.figures import Figure

_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.quiet { fill: #57606a }
.grid { stroke: #d0d7de }
.page { fill: #ffffff }
.s0 { fill: #0969da; stroke: #0969da } .s1 { fill: #bc4c00; stroke: #bc4c00 }
.s2 { fill: #6639ba; stroke: #6639ba }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d }
  .page { fill: #0d1117 }
  .s0 { fill: #4493f8; stroke: #4493f8 } .s1 { fill: #f0883e; stroke: #f0883e }
  .s2 { fill: #ab7df8; stroke: #ab7df8 }
  .line { fill: none }
}
"""
_WIDTH = 720


@dataclass(frozen=True)
class Series:
    """Values under one name; of a plot all series have the same labels."""

    name: str
    values: Sequence[float]  # NaN: there is none of this


def of(part: str, figures: Sequence[Figure]) -> Mapping[str, str]:
    """The plots of a part's figures, by file name; most parts have none, and none has no values."""
    if all(figure.value is None for figure in figures):
        return {}
    if part == "exits":
        return {"exits.svg": _exits(figures)}
    if part == "scale":
        return {"scale.svg": _charts("Guests in one hypervisor", figures)}
    if part == "workers":
        return {"workers.svg": _charts("Machines at once", figures)}
    return {}


def _exits(figures: Sequence[Figure]) -> str:
    found: dict[str, dict[str, float]] = {}
    for figure in figures:
        where, _, name = figure.name.partition(", ")
        if figure.value is not None and name.startswith("trace off: ") and "(NOP)" not in name:
            found.setdefault(where, {})[name.removeprefix("trace off: ")] = figure.value
    labels = list(next(iter(found.values()), {}))
    series = [
        Series(where, [row.get(label, math.nan) for label in labels])
        for where, row in found.items()
    ]
    return bars(
        "An exit, from the guest's instruction to its next one (instructions)", labels, series
    )


def _charts(title: str, figures: Sequence[Figure]) -> str:
    found: dict[str, dict[str, float]] = {}
    for figure in figures:
        count, _, name = figure.name.partition(": ")
        if figure.value is None:
            continue
        found.setdefault(name, {})[count] = figure.value
    charts = []
    for name, row in found.items():
        unit = next(f.unit for f in figures if f.name.endswith(f": {name}"))
        charts.append((f"{name} ({unit})", list(row), Series(name, list(row.values()))))
    return lines(title, charts)


def bars(title: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """Horizontal bars, a group a label, on one linear scale."""
    left = 24 + 7.5 * max((len(label) for label in labels), default=0)  # a letter is 7.5 at most
    right, top, bar = 60, 64, 13
    group = bar * len(series) + 10
    most = max((value for s in series for value in s.values if value > 0), default=1)
    scale = (_WIDTH - left - right) / most
    body = [_text(16, 26, title, "title")]
    for index, one in enumerate(series):
        x = left + index * 110
        body.append(f'<rect class="s{index}" x="{x}" y="38" width="10" height="10"/>')
        body.append(_text(x + 16, 47, one.name))
    for row, label in enumerate(labels):
        y = top + row * group
        body.append(_text(left - 10, y + bar * len(series) / 2 + 4, label, "", "end"))
        for index, one in enumerate(series):
            value = one.values[row]
            if math.isnan(value):
                continue
            width, at = value * scale, y + index * bar
            size = f'width="{width:.1f}" height="{bar - 2}"'
            body.append(f'<rect class="s{index}" x="{left}" y="{at}" {size}/>')
            body.append(_text(left + width + 6, at + bar - 3, f"{value:.0f}", "quiet"))
    return _svg(top + group * len(labels) + 10, body)


def lines(title: str, charts: Sequence[tuple[str, Sequence[str], Series]]) -> str:
    """Small charts one below the other, each from 0, over the same kind of labels."""
    left, right, height = 70, 60, 120
    body = [_text(16, 26, title, "title")]
    # A label is at one place in all charts, also where a chart has no value for it.
    places = list(dict.fromkeys(label for _, labels, _ in charts for label in labels))
    step = (_WIDTH - left - right) / max(1, len(places) - 1)
    for number, (name, labels, series) in enumerate(charts):
        top = 52 + number * (height + 58)
        most = _round_up(max(series.values, default=1))
        body.append(_text(left, top - 6, name))
        for part in (0.0, 0.5, 1.0):
            y = top + height * (1 - part)
            body.append(f'<path class="grid" d="M{left} {y:.1f}H{_WIDTH - right}"/>')
            body.append(_text(left - 8, y + 4, f"{most * part:g}", "quiet", "end"))
        points = [
            (left + places.index(label) * step, top + height * (1 - value / most))
            for label, value in zip(labels, series.values, strict=True)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body.append(f'<polyline class="s0 line" points="{path}"/>')
        for (x, y), label, value in zip(points, labels, series.values, strict=True):
            body.append(f'<circle class="s0" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
            body.append(_text(x, y - 8 if y > top + 16 else y + 18, f"{value:.4g}", "", "middle"))
            body.append(_text(x, top + height + 18, label, "quiet", "middle"))
    return _svg(52 + len(charts) * (height + 58), body)


def _round_up(value: float) -> float:
    """The next number of one digit and zeros, so that an axis ends there."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / unit) * unit


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    name = f' class="{style}"' if style else ""
    return f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, body: Sequence[str]) -> str:
    inside = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'width="{_WIDTH}" height="{height:.0f}" role="img">\n<style>\n{_STYLE}</style>\n'
        f'<rect class="page" width="100%" height="100%"/>\n{inside}\n</svg>\n'
    )
