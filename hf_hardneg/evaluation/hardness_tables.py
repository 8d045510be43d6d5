"""Tables of the hardness of a mined set, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from hf_hardneg.distributions import Distribution
from hf_hardneg.evaluation.reuse import Reuse
from hf_hardneg.evaluation.text_profile import TextProfile
from hf_hardneg.score_hardness import ScoreHardness

__all__ = ["tables_of"]

NAME_LENGTH = 60
QUANTILES = ("5%", "median", "95%")
PLACES = (1, 3, 5)
"""Of these among the quantiles of a distribution."""


def tables_of(
    scores: ScoreHardness | None, reuse: Reuse, texts: TextProfile | None
) -> Iterator[Table]:
    """Yield the tables of what there is."""
    if scores is not None:
        yield scores.table()
        yield _spreads(
            "Scores",
            {
                "positives": scores.positive_scores,
                "negatives": scores.negative_scores,
                "relative to the positive": scores.relative,
                "margin": scores.margins,
                "softmax weight": scores.weights,
            },
        )
    yield _reused(reuse)
    if texts is not None:
        yield _spreads(
            "Texts",
            {
                "words of a positive": texts.positive_words,
                "words of a negative": texts.negative_words,
                "query words in a positive": texts.positive_overlap,
                "query words in a negative": texts.negative_overlap,
            },
        )


def _plain(title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    return table


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _reused(reuse: Reuse) -> Table:
    table = _plain(f"Documents, told apart by {reuse.told_apart_by}")
    table.add_row("negatives", f"{reuse.negatives:,}")
    table.add_row("different documents", f"{reuse.distinct:,}")
    table.add_row("Gini coefficient of their uses", _shown(reuse.gini, ".3f"))
    if reuse.gini_of_corpus is not None:
        table.add_row("  of the whole corpus", _shown(reuse.gini_of_corpus, ".3f"))
    for name, count in reuse.most_reused:
        short = name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}..."
        table.add_row(Text(f"used most: {short}"), f"{count:,}")
    return table


def _spreads(title: str, parts: dict[str, Distribution]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("n", "mean", *QUANTILES):
        table.add_column(name, justify="right")
    for name, part in parts.items():
        own = part.quantiles
        cells = ["-"] * len(PLACES) if own is None else [f"{own[place]:.3g}" for place in PLACES]
        mean = "-" if part.mean is None else f"{part.mean:.3g}"
        table.add_row(name, f"{part.count:,}", mean, *cells)
    return table
