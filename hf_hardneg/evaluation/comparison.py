"""What a comparison of strategies came to: one table, as an object, as JSON and for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.evaluation.compare_figures import MEASURES, Diversity, HardnessFigures
from hf_hardneg.rates import Rate

__all__ = [
    "ComparisonTable",
    "Gain",
    "Measured",
    "StrategyFigures",
    "Trained",
    "columns",
    "training_columns",
]

NONE = "-"
CHARACTER = ("hardness", "harder than positive", "mean rank", "documents", "most reused")
"""Columns that a terminal shows in a table of their own."""


@dataclass(frozen=True, slots=True)
class StrategyFigures:
    """What one strategy mined.

    Attributes:
        strategy: as it was asked for.
        canonical: with all parameters that differ from their defaults.
        pool: the part of it that retrieves; strategies with an equal one share the pool.
        rows: rows that were mined.
        rows_out: rows of the mined set; a row filter may leave some out.
        asked: negatives that were asked for.
        negatives: negatives that were found.
        rows_short: rows with fewer than asked, the empty ones among them.
        false_negatives: rates by estimator, the first that was asked for first.
        hardness: by the retriever's own score.
        diversity: different documents.
        calls: pairs that cross-encoders were asked about; one asked before has its score in the
            cache, and counts all the same.
        seconds: ``retrieve`` and ``choose``, when each was first made; ``retrieve`` is that of the
            pool, whoever shares it.
        notes: of its report.
        error: why there is nothing of all this.
        training_error: why it was not trained.
    """

    strategy: str
    canonical: str = ""
    pool: str = ""
    rows: int = 0
    rows_out: int = 0
    asked: int = 0
    negatives: int = 0
    rows_short: int = 0
    false_negatives: Mapping[str, Rate] = field(default_factory=dict)
    hardness: HardnessFigures | None = None
    diversity: Diversity | None = None
    calls: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    error: str = ""
    training_error: str = ""

    @property
    def share_found(self) -> float | None:
        """Negatives found over negatives asked for: the yield."""
        return self.negatives / self.asked if self.asked else None

    @property
    def rate(self) -> Rate | None:
        """The first of the false-negative rates."""
        return next(iter(self.false_negatives.values()), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        values["yield"] = self.share_found
        values["notes"] = list(self.notes)
        values["false_negatives"] = {
            name: rate.to_dict() for name, rate in self.false_negatives.items()
        }
        values["seconds"] = dict(self.seconds)
        return values


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference to the first strategy.

    Attributes:
        mean: over the seeds; runs of one seed are subtracted from each other.
        low, high: 95% by Student's t over the seeds; ``None`` with one seed, and where all seeds
            came to the same.
        p: two-sided, of a paired randomisation test over the held-out queries, whose values are
            means over the seeds.
    """

    mean: float
    low: float | None
    high: float | None
    p: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure over the seeds.

    Attributes:
        mean: over the seeds, of the mean over the held-out queries.
        low, high: 95% by Student's t over the seeds; ``None`` with one seed, and where all seeds
            came to the same.
        seeds: the value of each seed.
        gain: over the first strategy; ``None`` for the first itself.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: Sequence[float]
    gain: Gain | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """What training on a strategy's negatives came to.

    Attributes:
        name: the strategy, ``untrained`` or ``in-batch``.
        measures: by name, MRR@10 and nDCG@10.
        rows: of the training set.
        filled: random documents that stand for missing negatives, counted once a query.
        left_out: rows that were left out.
        steps: of each run.
        seconds: of all runs together, ``train`` and ``score``.
    """

    name: str
    measures: Mapping[str, Measured]
    rows: int
    filled: int
    left_out: int
    steps: int
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        for own in values["measures"].values():
            own["seeds"] = list(own["seeds"])
        return values


@dataclass(frozen=True)
class ComparisonTable:
    """Strategies side by side.

    Attributes:
        strategies: what each mined, in the order that was asked for.
        trained: what training on it came to: the baselines, then the strategies; empty without
            training.
        settings: all that the figures depend on.
        notes: what a reader should know.
    """

    strategies: Sequence[StrategyFigures]
    trained: Sequence[Trained]
    settings: Mapping[str, Any]
    notes: Sequence[str] = ()

    @property
    def failed(self) -> list[StrategyFigures]:
        """The strategies that could not be mined or trained."""
        return [one for one in self.strategies if one.error or one.training_error]

    def training_of(self, name: str) -> Trained | None:
        """Return what training came to, ``None`` where there was none."""
        return next((one for one in self.trained if one.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; times stand under ``seconds`` and nowhere else."""
        return {
            "settings": dict(self.settings),
            "strategies": [one.to_dict() for one in self.strategies],
            "trained": [one.to_dict() for one in self.trained],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """Return JSON; it never holds NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        """Return the tables as text."""
        console = Console(file=StringIO(), width=140, color_system=None)
        console.print(self.__rich__())
        stream = console.file
        return stream.getvalue() if isinstance(stream, StringIO) else ""

    def __rich__(self) -> Group:
        """Return the tables for a terminal."""
        rows = columns(self)
        parts: list[Any] = [
            _rich("Mined", [_without(row, CHARACTER) for row in rows]),
            _rich("What kind of negatives", [_only(row, ("strategy", *CHARACTER)) for row in rows]),
        ]
        if self.trained:
            trained = training_columns(self)
            common = [name for name in trained[0] if not name.startswith(tuple(MEASURES))]
            for measure in MEASURES:
                own = [name for name in trained[0] if name.startswith(measure)]
                order = [common[0], *own, *common[1:]]
                parts.append(_rich(f"Trained, {measure}", [_only(row, order) for row in trained]))
        for one in self.failed:
            parts.append(Text(f"{one.strategy}: {one.error or one.training_error}", style="red"))
        return Group(*parts, *(Text(f"Note: {note}") for note in self.notes))


def _without(row: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: cell for name, cell in row.items() if name not in names}


def _only(row: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: row[name] for name in names}


def _rich(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for name in rows[0]:
        first = name == "strategy"
        table.add_column(
            name,
            justify="left" if first else "right",
            overflow="fold",
            min_width=16 if first else None,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row.values()))
    return table


def columns(table: ComparisonTable) -> list[dict[str, str]]:
    """Return the rows of the table of what was mined, cells as they are shown."""
    return [_mined_row(one) for one in table.strategies]


def _mined_row(one: StrategyFigures) -> dict[str, str]:
    hard, diverse, rate = one.hardness, one.diversity, one.rate
    return {
        "strategy": one.strategy,
        "yield": _share(one.share_found),
        "short rows": NONE if one.error else f"{one.rows_short:,}",
        "false negatives": NONE if rate is None or rate.rate is None else f"{rate.rate:.2%}",
        "95%": _between(rate),
        "hardness": _number(hard.relative if hard else None),
        "harder than positive": _share(hard.harder if hard else None),
        "mean rank": NONE if hard is None or hard.mean_rank is None else f"{hard.mean_rank:.1f}",
        "documents": NONE if diverse is None else f"{diverse.documents:,}",
        "most reused": NONE if diverse is None else f"{diverse.most_reused:,}",
        "cross-encoder calls": NONE if one.error else f"{one.calls:,}",
        "seconds": NONE if one.error else f"{sum(one.seconds.values()):.1f}",
    }


def _between(rate: Rate | None) -> str:
    """Return the interval of a rate."""
    if rate is None or rate.rate is None or rate.low is None or rate.high is None:
        return NONE
    return f"{rate.low:.2%} to {rate.high:.2%}"


def training_columns(table: ComparisonTable) -> list[dict[str, str]]:
    """Return the rows of the table of trained models, cells as they are shown."""
    return [_trained_row(one) for one in table.trained]


def _trained_row(one: Trained) -> dict[str, str]:
    row = {"strategy": one.name, "rows": f"{one.rows:,}", "seeds": ""}
    for name in MEASURES:
        measured = one.measures[name]
        row["seeds"] = f"{len(measured.seeds)}"
        row[name] = _plus_minus(measured.mean, measured.high)
        gain = measured.gain
        row[f"{name} gain"] = NONE if gain is None else _plus_minus(gain.mean, gain.high, "+")
        row[f"{name} p"] = NONE if gain is None else f"{gain.p:.4f}"
    row["seconds"] = f"{sum(one.seconds.values()):.0f}"
    return row


def _plus_minus(mean: float, high: float | None, sign: str = "") -> str:
    """Return a mean with half of its interval."""
    shown = f"{mean:{sign}.4f}"
    return shown if high is None else f"{shown} ± {high - mean:.4f}"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
