"""Drawings of results, as SVG whose bytes depend on the figures alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.results import Figure

__all__ = ["draw_growth", "draw_risk"]

COLOURS = ("#1e6fb8", "#c77700", "#2e7d32")
SIZES = {"documents": "queries", "queries": "documents"}
INCHES = (9.0, 6.2)


def draw_growth(figure: Figure, path: Path) -> None:
    """Draw seconds and peak memory against the number of documents and of queries."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    plain = FuncFormatter(lambda value, _: f"{value:,.10g}")
    with matplotlib.rc_context({"svg.hashsalt": "growth", "font.size": 10}):
        canvas, panels = pyplot.subplots(2, 2, figsize=INCHES, sharex="col", layout="constrained")
        for column, size in enumerate(SIZES):
            for line, unit in enumerate(("seconds", "peak memory, GiB")):
                panel = panels[line][column]
                for colour, side in zip(COLOURS, _sides(figure), strict=False):
                    _curve(panel, _points(figure, side, size, unit), size, side, colour)
                panel.set_xscale("log")
                panel.xaxis.set_major_formatter(plain)
                panel.grid(alpha=0.3)
                panel.set_ylabel(unit)
                if unit == "seconds":
                    panel.set_yscale("log")
                    panel.yaxis.set_major_formatter(plain)
                else:
                    panel.set_ylim(bottom=0)
                    panel.set_xlabel(f"{size}, {_fixed(figure, size):,} {SIZES[size]}")
        panels[0][0].legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, metadata={"Date": None})
        pyplot.close(canvas)


def _sides(figure: Figure) -> list[str]:
    return list(dict.fromkeys(str(run["side"]) for run in figure.runs))


def _fixed(figure: Figure, size: str) -> int:
    return int(figure.settings[f"{SIZES[size]}_while_{size}_grow"])


def _points(figure: Figure, side: str, size: str, unit: str) -> list[tuple[int, float]]:
    """Return (size, value), by rising size; of several repeats all."""
    runs = [run for run in figure.of(side) if run[SIZES[size]] == _fixed(figure, size)]
    if unit == "seconds":
        return sorted((run[size], run["seconds"]) for run in runs)
    return sorted((run[size], (run["peak_mib"] + run["imports_mib"]) / 1024) for run in runs)


def _curve(panel: Any, points: list[tuple[int, float]], size: str, side: str, colour: str) -> None:
    if points:
        panel.plot(*zip(*points, strict=True), marker="o", markersize=4, label=side, color=colour)


RULES = ("skip the top", "relative margin", "absolute margin", "percentile margin",
         "highest score")  # fmt: skip
RULE_COLOURS = ("#7a4b9d", "#c77700", "#2e7d32", "#a0522d", "#808080")
BLUES = ("#b9d7f0", "#7fb3e0", "#4a90cc", "#1e6fb8", "#0b3c68")


def draw_risk(figure: Figure, path: Path) -> None:
    """Draw false negatives against mean rank and against the share of rows served."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(", ".join(str(run["side"]).split(", ")[:2]) for run in figure.runs))
    labels = figure.settings["labels"]
    sides = [*((rule, colour, 1.2, "--") for rule, colour in zip(RULES, RULE_COLOURS, strict=True)),
             *((f"risk, {count} labels", colour, 1.8, "-")
               for count, colour in zip(labels, BLUES, strict=False))]  # fmt: skip
    with matplotlib.rc_context({"svg.hashsalt": "risk", "font.size": 9}):
        canvas, panels = pyplot.subplots(
            len(names), 2, figsize=(10, 3.1 * len(names)), layout="constrained", squeeze=False
        )
        for line, name in zip(panels, names, strict=True):
            for side, colour, width, style in sides:
                points = _summed(figure, f"{name}, {side}")  # none where it could not be fitted
                rates = [point["false"] / point["cases"] for point in points]
                for panel, of, over in zip(
                    line, ("ranks", "full"), ("chosen", "rows"), strict=True
                ):
                    values = [point[of] / point[over] for point in points]
                    panel.plot(values, rates, style, color=colour, lw=width, label=side)
            line[0].set(ylabel="false negatives, share", title=name)
            line[0].set_xlabel("mean rank of the negatives")
            line[1].set_xlabel("rows with all their negatives, share")
            for panel in line:
                panel.grid(alpha=0.3)
                panel.set_ylim(bottom=0)
        panels[0][1].legend(frameon=False, fontsize=7)
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, metadata={"Date": None})
        pyplot.close(canvas)


def _summed(figure: Figure, side: str) -> list[dict[str, float]]:
    """Return the points of a side that have negatives, counts of all repeats added up."""
    columns = [run["points"] for run in figure.of(side)]
    if not columns:
        return []
    length = min(len(one["value"]) for one in columns)
    added = [
        {name: float(sum(one[name][place] for one in columns)) for name in columns[0]}
        for place in range(length)
    ]
    return [point for point in added if point["cases"]]
