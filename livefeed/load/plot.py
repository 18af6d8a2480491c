"""The figures as a picture: an SVG that is readable on light and on dark ground, without a plotting library.

Three panels: the rate over time, the latency (or the delay) over time, and the latency by percentiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from livefeed.load.fleet import Result
    from livefeed.load.histogram import Histogram
    from livefeed.load.summary import Setup

WIDTH, LEFT, RIGHT = 880, 84, 150
PANEL, GAP, TOP = 170, 52, 62

PERCENTILES = (0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100)
"""The percentiles of the last panel. Each nine has the same width."""

MAX_NINES = 4.0

MAX_MARKS = 6
"""The largest number of steps of a linear axis."""

_STYLE = (
    ":root{color-scheme:light dark}"
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}.head{font-weight:600}"
    ".right{text-anchor:end}.middle{text-anchor:middle}.faint{fill:#59636e}"
    ".ground{fill:#ffffff}.grid{stroke:#d1d9e0;stroke-width:1}.arriving{fill:#eef1f4}"
    "path{fill:none;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4}"
    ".c0{stroke:#0969da}.c1{stroke:#bc4c00}.c2{stroke:#1a7f37}.c3{stroke:#8250df}.c4{stroke:#bf3989}"
    ".c5{stroke:#0a7d84}.c6{stroke:#9a6700}.c7{stroke:#cf222e}.c8{stroke:#57606a}"
    "@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.faint{fill:#9198a1}.ground{fill:#0d1117}"
    ".grid{stroke:#3d444d}.arriving{fill:#1c222b}"
    ".c0{stroke:#58a6ff}.c1{stroke:#f0883e}.c2{stroke:#3fb950}.c3{stroke:#bc8cff}.c4{stroke:#f778ba}"
    ".c5{stroke:#39c5cf}.c6{stroke:#d29922}.c7{stroke:#ff7b72}.c8{stroke:#8c959f}}"
)

Curve = tuple[int, bool, list[tuple[float, float]]]
"""The colour of a curve, whether it is dashed, and its points."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The values of an axis, and where they are.

    :ivar lowest: the value at the beginning.
    :ivar highest: the value at the end.
    :ivar is_logarithmic: whether each power of ten has the same length.
    """

    lowest: float
    highest: float
    is_logarithmic: bool = False

    def part(self, value: float) -> float:
        """Gives the place of a value from 0 to 1."""
        if self.is_logarithmic:
            low, high = math.log10(self.lowest), math.log10(self.highest)
            return min(max((math.log10(max(value, self.lowest)) - low) / (high - low), 0), 1)
        return min(max((value - self.lowest) / (self.highest - self.lowest), 0), 1)

    def marks(self) -> list[float]:
        """Gives the values that are written at the axis."""
        if self.is_logarithmic:
            powers = range(round(math.log10(self.lowest)), round(math.log10(self.highest)) + 1)
            return [10.0**power for power in powers]
        power = 10.0 ** (math.floor(math.log10(self.highest)) - 1)
        step = next(power * factor for factor in (1, 2, 5, 10, 20) if self.highest / (power * factor) <= MAX_MARKS)
        return [index * step for index in range(int(self.highest / step * 1.0001) + 1)]


def linear(values: Sequence[float]) -> Axis:
    """Gives an axis from 0 to the largest value."""
    highest = max(values, default=0.0)
    return Axis(0.0, highest * 1.05 if highest > 0 else 1.0)


def logarithmic(values: Sequence[float]) -> Axis:
    """Gives an axis of whole powers of ten around the values that are above 0."""
    found = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    return Axis(10.0**low, 10.0 ** max(high, low + 1), is_logarithmic=True)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel.

    :ivar across: the axis of time or of percentiles.
    :ivar x_text: the text of a value of that axis.
    :ivar arriving: the end of the part in which watchers arrive, on that axis; 0 for none.
    """

    title: str
    across: Axis
    up: Axis
    curves: Sequence[Curve]
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    arriving: float = 0.0

    def drawn(self, top: int) -> str:
        """Gives the panel with its axes, at a height of the picture."""
        bottom, width = top + PANEL - 18, WIDTH - LEFT - RIGHT
        height = bottom - top - 8
        parts = [f'<text x="{LEFT}" y="{top}" class="head">{escape(self.title)}</text>']
        if self.arriving:
            wide = self.across.part(self.arriving) * width
            place = f'x="{LEFT}" y="{bottom - height}" width="{wide:.1f}" height="{height}"'
            parts.append(f'<rect class="arriving" {place}/>')
        for mark in self.up.marks():
            y = bottom - self.up.part(mark) * height
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + width}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="right faint" x="{LEFT - 8}" y="{y + 4:.1f}">{escape(self.y_text(mark))}</text>')
        for mark in self.across.marks():
            place = f'x="{LEFT + self.across.part(mark) * width:.1f}" y="{bottom + 18}"'
            parts += [f'<text class="middle faint" {place}>{escape(self.x_text(mark))}</text>']
        for colour, is_dashed, points in self.curves:
            places = [
                f"{LEFT + self.across.part(x) * width:.1f} {bottom - self.up.part(y) * height:.1f}" for x, y in points
            ]
            if places:
                parts.append(f'<path class="c{colour}{" dashed" * is_dashed}" d="M{"L".join(places)}"/>')
        return "".join(parts)


def plot(setup: Setup, result: Result) -> str:
    """Gives the SVG of a run."""
    colours = {str(kind): index for index, kind in enumerate(result.figures)}
    parts = [
        f'<text x="{LEFT}" y="26" class="title">{escape(setup.url)}</text>',
        f'<text x="{LEFT}" y="45" class="faint">{escape(_subtitle(setup, result))}</text>',
    ]
    parts += [panel.drawn(TOP + 16 + index * (PANEL + GAP)) for index, panel in enumerate(_panels(result, colours))]
    for kind, colour in colours.items():
        y = TOP + 40 + colour * 20
        parts.append(f'<path class="c{colour}" d="M{WIDTH - RIGHT + 16} {y - 4}h22"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 46}" y="{y}">{escape(kind)}</text>')
    height = TOP + 16 + 3 * (PANEL + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(_subtitle(setup, result))}"><style>{_STYLE}</style>'
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>{"".join(parts)}</svg>\n'
    )


def _panels(result: Result, colours: dict[str, int]) -> list[Panel]:
    points = result.points
    seconds = linear([point.at_s for point in points])
    arriving_s = max((point.at_s for point in points if not point.is_measured), default=0.0)
    rates: list[Curve] = [
        (colour, False, [(point.at_s, point.rates.get(kind, 0.0)) for point in points])
        for kind, colour in colours.items()
    ]
    times: list[Curve] = []
    for kind, colour in colours.items():
        times.append((colour, False, [(each.at_s, each.p50_ms[kind]) for each in points if kind in each.p50_ms]))
        times.append((colour, True, [(each.at_s, each.p99_ms[kind]) for each in points if kind in each.p99_ms]))
    spread: list[Curve] = [
        (colours[str(kind)], False, _spread(each.latency if each.latency.count else each.delay))
        for kind, each in result.figures.items()
    ]
    return [
        Panel("answers and deliveries per second", seconds, linear(_ys(rates)), rates, _seconds, _number, arriving_s),
        Panel(
            "p50 and p99 (dashed) of latency, or of delay",
            seconds,
            logarithmic(_ys(times)),
            times,
            _seconds,
            _milliseconds,
            arriving_s,
        ),
        Panel(
            "percentiles of latency, or of delay",
            Axis(0, MAX_NINES),
            logarithmic(_ys(spread)),
            spread,
            _percent,
            _milliseconds,
        ),
    ]


def _subtitle(setup: Setup, result: Result) -> str:
    loop = "closed loop" if setup.rate is None else f"open loop of {setup.rate:,.0f} requests/s"
    return f"{setup.connections:,} watchers, {loop}, measured for {result.measured_s:.1f} s"


def _ys(curves: Sequence[Curve]) -> list[float]:
    return [y for _, _, points in curves for _, y in points]


def _spread(histogram: Histogram) -> list[tuple[float, float]]:
    """Gives the durations of the percentiles in milliseconds, at the number of their nines."""
    nines = [MAX_NINES if percent == 100 else -math.log10(1 - percent / 100) for percent in PERCENTILES]  # noqa: PLR2004
    return [(min(x, MAX_NINES), y / 1e6) for x, y in zip(nines, histogram.percentiles(PERCENTILES), strict=False)]


def _seconds(value: float) -> str:
    return f"{value:g} s"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"


def _milliseconds(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms" if value >= 1 else f"{value * 1000:g} µs"  # noqa: PLR2004


def _percent(value: float) -> str:
    return f"{100 * (1 - 10**-value):.6g} %" if value < MAX_NINES else "99.99 %"
