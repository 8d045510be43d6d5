"""The drawing of a card: how the scores of positives and negatives are spread."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from typing import Any

from hf_hardneg.distributions import Distribution
from hf_hardneg.errors import MissingExtraError, ParameterError
from hf_hardneg.report import Report

__all__ = ["SCORES", "draw_scores", "no_plot"]

SCORES = "hardneg/plots/scores.png"
"""Where the drawing lies, beside the card."""

INCHES = (7.0, 3.2)
DOTS = 160
POSITIVE, NEGATIVE = "#2166ac", "#b2182b"
SETTINGS: Any = {"font.size": 10, "text.parse_math": False}


def no_plot(report: Report) -> str:
    """Return why there is no drawing of the scores; empty where there can be one."""
    if not (report.negative_scores.bin_counts or report.positive_scores.bin_counts):
        return "the candidates of this strategy have no scores"
    if find_spec("matplotlib") is None:
        return "matplotlib, which draws it, was not installed where the card was made"
    return ""


def draw_scores(report: Report) -> bytes:
    """Return a PNG: the share of positives and of negatives by their score.

    Both are scores of the strategy's retriever. The same report gives the same bytes, with the
    same matplotlib and the same fonts.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ParameterError: the report has no scores.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "plots", "the drawing of a card")
    if missing := no_plot(report):
        raise ParameterError(f"there is nothing to draw: {missing}.")
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=INCHES, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        panel = figure.add_subplot()
        for name, part, colour in (
            ("positives", report.positive_scores, POSITIVE),
            ("negatives", report.negative_scores, NEGATIVE),
        ):
            _bars(panel, part, f"{name}, n = {part.count:,}", colour)
        panel.set_xlabel("score by the retriever")
        panel.set_ylabel("share of each")
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
        panel.grid(alpha=0.25)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
        panel.legend(frameon=False)
        out = BytesIO()
        figure.savefig(out, format="png", dpi=DOTS, metadata={"Software": None})
    return out.getvalue()


def _bars(panel: Any, part: Distribution, label: str, colour: str) -> None:  # noqa: ANN401
    if not part.count:
        return
    shares = [count / part.count for count in part.bin_counts]
    panel.stairs(shares, part.bin_edges, fill=True, color=colour, alpha=0.35)
    panel.stairs(shares, part.bin_edges, color=colour, linewidth=1.4, label=label)
