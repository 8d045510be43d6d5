"""Drawings of results, as SVG whose bytes depend on the figures alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.results import Figure

__all__ = ["draw_growth"]

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
