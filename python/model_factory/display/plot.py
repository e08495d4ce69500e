"""Small plots as inline SVG: axes with labels, lines, points and bars; no library needed.

Numbers flow in, an ``<svg>`` element flows out. Invariant: every text is escaped, and a point that is not
finite is left out of the drawing.

    >>> unit = Axis("recall", 0.0, 1.0)
    >>> "<svg" in draw("Precision and recall", unit, Axis("precision", 0.0, 1.0), [Line([(0, 1), (1, 0)])])
    True
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_factory.display.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Axis", "Bars", "Line", "draw", "scale"]

WIDTH, HEIGHT = 340, 264
LEFT, RIGHT, TOP, BOTTOM = 58, 18, 30, 42

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """An axis with its label and its ends."""

    label: str
    low: float
    high: float

    def ticks(self) -> list[float]:
        """About five round numbers between the ends."""
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [place * step for place in range(first, last + 1)]

    def share(self, value: float) -> float:
        """Where a value lies between the ends: 0 to 1."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Line:
    """Points that are joined, and marked where asked."""

    points: Sequence[Point]
    colour: str = "var(--blue)"
    dashed: bool = False
    marked: bool = False
    name: str = ""


@dataclass(frozen=True)
class Bars:
    """A bar from zero for each point."""

    points: Sequence[Point]
    colour: str = "var(--blue)"
    name: str = ""


def scale(label: str, values: Iterable[float | None], *, from_zero: bool = True) -> Axis:
    """Give an axis around the values, with round ends."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = low + 1.0
    step = _round_step((high - low) / 5)
    return Axis(label, math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)


def draw(title: str, across: Axis, up: Axis, marks: Sequence[Line | Bars], *, note: str = "") -> str:
    """Give the plot as an ``<svg>`` element."""
    drawn = "".join(_mark(mark, across, up) for mark in marks)
    legend = _legend([mark for mark in marks if mark.name])
    label = escape(f"{title}: {up.label} by {across.label}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f'<text class="title" x="{LEFT}" y="14">{escape(title)}</text>'
        f'<text class="note" x="{WIDTH - RIGHT}" y="14" text-anchor="end">{escape(note)}</text>'
        f"{_axes(across, up)}{drawn}{legend}</svg>"
    )


def _round_step(raw: float) -> float:
    """Give the next of 1, 2, 2.5, 5 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def _axes(across: Axis, up: Axis) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in up.ticks():
        y = _y(up, tick)
        parts.append(
            f'<path d="M{LEFT} {y:.1f}H{right}" stroke="currentColor" stroke-opacity=".12"/>'
            f'<text class="note" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.10g}</text>'
        )
    for tick in across.ticks():
        x = _x(across, tick)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="currentColor" '
            f'stroke-opacity=".5"/>'
            f'<text class="note" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:.10g}</text>'
        )
    middle = TOP + (bottom - TOP) / 2
    return (
        "".join(parts)
        + f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="currentColor" stroke-opacity=".5"/>'
        + _text(f'x="{(LEFT + right) / 2}" y="{HEIGHT - 8}"', across.label)
        + _text(f'transform="translate(12 {middle}) rotate(-90)"', up.label)
    )


def _text(place: str, label: str) -> str:
    return f'<text {place} text-anchor="middle">{escape(label)}</text>'


def _mark(mark: Line | Bars, across: Axis, up: Axis) -> str:
    points = [point for point in mark.points if all(math.isfinite(value) for value in point)]
    if isinstance(mark, Bars):
        return _bars(mark, points, across, up)
    places = [f"{_x(across, x):.1f},{_y(up, y):.1f}" for x, y in points]
    dash = ' stroke-dasharray="4 4" stroke-opacity=".5"' if mark.dashed else ""
    line = (
        f'<polyline points="{" ".join(places)}" fill="none" stroke="{mark.colour}" stroke-width="1.8" '
        f'stroke-linejoin="round"{dash}/>'
    )
    if not mark.marked:
        return line
    centres = [place.split(",") for place in places]
    dots = (f'<circle cx="{x}" cy="{y}" r="2.8" fill="{mark.colour}"/>' for x, y in centres)
    return line + "".join(dots)


def _bars(mark: Bars, points: Sequence[Point], across: Axis, up: Axis) -> str:
    wide = 0.62 * (WIDTH - LEFT - RIGHT) / max(1.0, across.high - across.low)
    zero = _y(up, 0.0)
    return "".join(
        f'<rect x="{_x(across, x) - wide / 2:.1f}" y="{_y(up, y):.1f}" width="{wide:.1f}" '
        f'height="{zero - _y(up, y):.1f}" fill="{mark.colour}" rx="1.5"/>'
        for x, y in points
    )


def _legend(marks: Sequence[Line | Bars]) -> str:
    parts, x = [], LEFT + 6.0
    for mark in marks:
        parts.append(
            f'<rect x="{x:.0f}" y="{TOP - 9}" width="10" height="3" fill="{mark.colour}"/>'
            f'<text class="note" x="{x + 14:.0f}" y="{TOP - 4}">{escape(mark.name)}</text>'
        )
        x += 26 + 6.2 * len(mark.name)
    return "".join(parts)
