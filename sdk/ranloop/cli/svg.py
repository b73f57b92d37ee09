"""Small plots as SVG text: lines, steps and dots in one pair of axes with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal

__all__ = ("Trace", "plot", "ticks")

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 8, 36  # margins
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Points of one colour; those that are no number are left out."""

    points: Points
    css_class: str
    kind: Literal["line", "dots"] = "line"


def plot(
    traces: Sequence[Trace],
    *,
    x_label: str,
    y_label: str,
    size: tuple[int, int] = (360, 220),
    x_names: Sequence[str] = (),
) -> str:
    """One plot; "" if no trace has a point.

    Args:
        traces: What is drawn, the first lowest.
        x_label: Below the axis.
        y_label: Beside the axis.
        size: Width and height in pixels.
        x_names: Names of x = 0, 1, … in place of numbers.
    """
    cleaned = [[p for p in trace.points if math.isfinite(p[0]) and math.isfinite(p[1])] for trace in traces]
    points = [point for line in cleaned for point in line]
    if not points:
        return ""
    width, height = size
    x_low, x_high = (-0.4, len(x_names) - 0.6) if x_names else _span([x for x, _ in points])
    y_low, y_high = _span([y for _, y in points])

    def x_px(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (width - _LEFT - _RIGHT)

    def y_px(y: float) -> float:
        return height - _BOTTOM - (y - y_low) / (y_high - y_low) * (height - _TOP - _BOTTOM)

    x_ticks = list(enumerate(x_names)) if x_names else ticks(x_low, x_high)
    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">']
    for y, text in ticks(y_low, y_high):
        parts.append(f'<path class="grid" d="M{_LEFT} {y_px(y):.1f}H{width - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y_px(y) + 4:.1f}" text-anchor="end">{text}</text>')
    for x, text in x_ticks:
        place = f'x="{x_px(x):.1f}" y="{height - _BOTTOM + 14}"'
        parts.append(f'<text {place} text-anchor="middle">{escape(text)}</text>')
    for trace, line in zip(traces, cleaned, strict=True):
        at = [(x_px(x), y_px(y)) for x, y in line]
        if trace.kind == "dots":
            parts += [f'<circle class="{trace.css_class}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in at]
        elif at:
            way = "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
            parts.append(f'<path class="{trace.css_class} line" d="M{way}"/>')
    middle = (height - _BOTTOM + _TOP) / 2
    parts.append(
        f'<text x="{(width + _LEFT) / 2:.0f}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text transform="translate(11 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text></svg>'
    )
    return "".join(parts)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis: the values, with some air."""
    low, high = min(values), max(values)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - air, high + air


_STEPS: Final = (1.0, 2.0, 5.0, 10.0)


def ticks(low: float, high: float, most: int = 5) -> list[tuple[float, str]]:
    """Round values from `low` to `high`, at most `most` of them, with their texts."""
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(size * factor for factor in _STEPS if (high - low) / (size * factor) <= most)
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(low / step), math.floor(high / step)
    return [(k * step, f"{k * step:,.{digits}f}") for k in range(first, last + 1)]
