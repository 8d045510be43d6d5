"""The drawing of a comparison: false-negative rate against gain, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from hf_hardneg.errors import MissingExtraError
from hf_hardneg.evaluation.comparison import ComparisonTable

__all__ = ["Point", "draw", "points_of", "require_matplotlib"]

MEASURE = "MRR@10"
INCHES = (7.2, 4.8)
FAINT = "#666666"
COLOURS = ("#0072b2", "#d55e00", "#00805b", "#a3447f", "#000000", "#8c510a", "#5e3c99", "#51707f")
"""Told apart on white by colour-blind eyes; a point, its bars and its name have one of them."""
LABEL_HEIGHT, LABEL_WIDTH = 0.045, 0.011
"""Of a line of text, and of a letter of it, as shares of the panel."""
TRIES = 24


@dataclass(frozen=True, slots=True)
class Point:
    """A strategy in the drawing.

    Attributes:
        label: its name.
        rate: of false negatives, as a share.
        rate_ends: its interval, low and high; ``None`` where there is none: no bar is drawn.
        gain: over the first strategy.
        gain_ends: its interval, likewise.
    """

    label: str
    rate: float
    rate_ends: tuple[float, float] | None
    gain: float
    gain_ends: tuple[float, float] | None


def points_of(table: ComparisonTable) -> list[Point]:
    """Return the strategies that have both a rate and a gain; the first one's gain is 0."""
    points = []
    for place, one in enumerate(table.strategies):
        trained, rate = table.training_of(one.strategy), one.rate
        if trained is None or rate is None or rate.rate is None:
            continue
        gain = trained.measures[MEASURE].gain
        if gain is None and place:
            continue  # the first one failed: there is nothing to gain over
        mean, low, high = (0.0, None, None) if gain is None else (gain.mean, gain.low, gain.high)
        points.append(
            Point(one.strategy, rate.rate, _ends(rate.low, rate.high), mean, _ends(low, high))
        )
    return points


def _ends(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def require_matplotlib() -> None:
    """Refuse work that ends with a drawing where none can be made.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plots", "the drawing of a comparison") from error


def draw(table: ComparisonTable) -> str | None:
    """Return the drawing as SVG, the same bytes for the same table; ``None`` without points.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    points = points_of(table)
    if not points:
        return None
    require_matplotlib()
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    settings: Any = {
        "svg.hashsalt": "hf-hardneg compare",
        "svg.fonttype": "none",
        "font.size": 10,
        "text.parse_math": False,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        panel = figure.add_subplot()
        panel.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        for place, point in enumerate(points):
            _bars(panel, point, _colour(place))
        panel.margins(0.08, 0.12)
        panel.set_xlim(left=max(panel.get_xlim()[0], -0.002))
        _label(panel, points)
        panel.xaxis.set_major_formatter(PercentFormatter(1.0))
        panel.grid(alpha=0.25)
        method = table.strategies[0].rate
        panel.set_xlabel(
            f"false negatives ({method.method}), 95% interval" if method else "false negatives"
        )
        first = table.strategies[0].strategy
        panel.set_ylabel(f"gain in {MEASURE} over {first}, 95% interval")
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _lengths(value: float, ends: tuple[float, float] | None) -> list[list[float]] | None:
    """Return how far a bar reaches to either side; ``None`` for no bar, not one of no length."""
    return None if ends is None else [[max(value - ends[0], 0)], [max(ends[1] - value, 0)]]


def _bars(panel: Any, point: Point, colour: str) -> None:  # noqa: ANN401
    panel.errorbar(
        [point.rate],
        [point.gain],
        xerr=_lengths(point.rate, point.rate_ends),
        yerr=_lengths(point.gain, point.gain_ends),
        fmt="o",
        markersize=6,
        color=colour,
        ecolor=colour,
        elinewidth=0.8,
        capsize=3,
        alpha=0.9,
    )


def _label(panel: Any, points: Sequence[Point]) -> None:  # noqa: ANN401
    """Write the names beside the points, each where it covers neither a name nor a point."""
    places = [panel.transAxes.inverted().transform(panel.transData.transform((p.rate, p.gain)))
              for p in points]  # fmt: skip
    taken = [(x - 0.012, y - 0.02, x + 0.012, y + 0.02) for x, y in places]
    order = sorted(range(len(points)), key=lambda place: -places[place][1])
    for number in order:
        point, (x, y), colour = points[number], places[number], _colour(number)
        box = _free_box(x, y, LABEL_WIDTH * len(point.label), taken)
        taken.append(box)
        panel.annotate(
            point.label,
            xy=(point.rate, point.gain),
            xytext=(box[0], box[1]),
            textcoords="axes fraction",
            fontsize=9,
            va="bottom",
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "relpos": (0.0 if box[0] > x else 1.0, 0.5),
            },
        )


def _free_box(
    x: float, y: float, width: float, taken: Sequence[tuple[float, float, float, float]]
) -> tuple[float, float, float, float]:
    """Return the nearest place for a label, to the right or the left, that covers nothing."""
    boxes = []
    for number in range(TRIES):
        rise = (number + 1) // 2 * LABEL_HEIGHT * (1 if number % 2 else -1) + 0.012
        for left in (x + 0.02, x - 0.02 - width):
            boxes.append((left, y + rise, left + width, y + rise + LABEL_HEIGHT))
    inside = [box for box in boxes if box[0] >= 0 and box[2] <= 1 and box[1] >= 0 and box[3] <= 1]
    free = [box for box in inside if not any(_overlap(box, other) for other in taken)]
    return (free or inside or boxes)[0]


def _overlap(
    one: tuple[float, float, float, float], two: tuple[float, float, float, float]
) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
