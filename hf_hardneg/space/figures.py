"""Drawings as SVG: what stands where; the template draws it in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hf_hardneg.inspection.overview_parts import Scores
from hf_hardneg.pages import number, percent

__all__ = ["Bar", "Histogram", "Tick", "histogram"]

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 44
ACROSS, UPWARDS = 6, 4
"""Ticks of the two axes, about."""
ROUND = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25)
"""Shares from tick to tick."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where, and what stands beside it."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its corner, size and what a pointer is told."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Scores of positives and negatives over the same axis; heights are shares of each side.

    Attributes:
        positives, negatives: bars.
        across, upwards: ticks.
        said: the drawing in a sentence, for whoever does not see it.
    """

    positives: tuple[Bar, ...]
    negatives: tuple[Bar, ...]
    across: tuple[Tick, ...]
    upwards: tuple[Tick, ...]
    said: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def histogram(scores: Scores) -> Histogram | None:
    """Return the drawing of the scores; ``None`` where there are none on either side."""
    if len(scores.edges) < 2:
        return None
    sides = [_shares(scores.positive_counts), _shares(scores.negative_counts)]
    most = max((share for side in sides for share in side), default=0.0)
    if most <= 0:
        return None
    high = _round_up(most)
    low, end = scores.edges[0], scores.edges[-1]

    def x(value: float) -> float:
        return LEFT + (value - low) / (end - low) * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - share / high * (HEIGHT - BOTTOM - TOP)

    def bars(shares: Sequence[float], what: str) -> tuple[Bar, ...]:
        found = []
        for place, share in enumerate(shares):
            first, last = scores.edges[place], scores.edges[place + 1]
            title = f"{percent(share)} of the {what} from {first:.4g} to {last:.4g}"
            width = x(last) - x(first)
            found.append(Bar(x(first), y(share), width, y(0) - y(share), title))
        return tuple(bar for bar in found if bar.height > 0)

    return Histogram(
        bars(sides[0], "positives"),
        bars(sides[1], "negatives"),
        tuple(Tick(x(value), f"{value:.4g}") for value in _round_values(low, end)),
        tuple(
            Tick(y(high * k / UPWARDS), f"{100 * high * k / UPWARDS:.3g}%")
            for k in range(UPWARDS + 1)
        ),
        _said(scores),
    )


def _parts(high: float) -> list[float]:
    return [high * part / UPWARDS for part in range(UPWARDS + 1)]


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _round_up(share: float) -> float:
    """Return the share at the upper end of the axis, no less than this one."""
    return next(one * UPWARDS for one in ROUND if one * UPWARDS >= min(share, 1.0))


def _round_values(low: float, high: float) -> list[float]:
    """Return round values from ``low`` to ``high``, about :data:`ACROSS` of them."""
    rough = (high - low) / ACROSS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough)
    first = math.ceil(low / step)
    return [place * step for place in range(first, math.floor(high / step) + 1)]


def _said(scores: Scores) -> str:
    parts = []
    for what, side in (("positives", scores.positives), ("negatives", scores.negatives)):
        if side is not None and side.mean is not None:
            parts.append(f"{number(side.count)} {what}, mean score {side.mean:.4g}")
    return "Histogram of the retriever's scores: " + "; ".join(parts) + "."
