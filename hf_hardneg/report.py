"""What happened to each row: a report as an object, as JSON, and as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.distributions import Distribution, distribution, edges
from hf_hardneg.rates import Rate
from hf_hardneg.score_hardness import ScoreHardness
from hf_hardneg.tally import Totals, totals_of

__all__ = ["Distribution", "Report", "StageCount", "report_of", "short_strategy"]

BAR = 40
LONG, TITLE_WIDTH = 60, 60
LONG_VALUE = re.compile(rf"'(?:[^'\\]|\\.){{{LONG + 20},}}'")
NOT_ESTIMATED = (
    "False negatives: not estimated. With deeper judgements, --judgements FILE does it; where "
    "queries have several positives, --hidden-positives; docs/false-negatives.md has all four ways."
)
QUANTILE_NAMES = ("lowest", "5%", "25%", "median", "75%", "95%", "highest")


@dataclass(frozen=True, slots=True)
class StageCount:
    """What one stage did to the slots that reached it.

    For a veto, ``asked`` is the number of candidates it was asked about; it is ``None`` for a
    filter, which sees all of them.
    """

    stage: str
    dropped: int
    promoted: int = 0
    asked: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What was kept, what was dropped, and why.

    Attributes:
        strategy: the strategy string.
        num_negatives: negatives asked for.
        seed: the seed.
        rows_in: rows of the input; where each positive of a row is decided by itself
            (``against="own"``), the rows that this makes, and a note says so.
        rows_out: rows of the output.
        rows_dropped: input rows without any output row: underfilled ones, and those that a row
            filter drops.
        slots_retrieved: candidates retrieved.
        stages: what each stage took out, in order.
        slots_unused: candidates that were left when enough were chosen.
        slots_chosen: negatives.
        slots_filled: negatives that are fill: random documents, or ones that no veto was asked
            about.
        underfilled: number of rows by number of negatives, for rows that have fewer than asked.
        negative_scores, positive_scores: on the retriever's scale.
        seconds: by stage, of the processes that could be timed; no part of the result.
        corpus: size and fingerprint of the corpus, and documents without a text.
        notes: what a reader should know.
        rows_flagged: rows by the row filter that flagged them.
        rows_rejected: rows that a row filter left out.
        strata: negatives by stratum, where the sampler has strata.
        hardness: the negatives' scores beside those of their positives, on the retriever's scale;
            ``None`` where no negative has a score beside a positive with one.
        mean_rank: of the negatives among the candidates, from 1; ``None`` where ``hardness`` is.
        false_negatives: rates that were estimated for this set; empty where none was.
    """

    strategy: str
    num_negatives: int
    seed: int
    rows_in: int
    rows_out: int
    rows_dropped: int
    slots_retrieved: int
    stages: list[StageCount]
    slots_unused: int
    slots_chosen: int
    slots_filled: int
    underfilled: dict[int, int]
    negative_scores: Distribution
    positive_scores: Distribution
    seconds: dict[str, float] = field(default_factory=dict)
    corpus: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows_flagged: dict[str, int] = field(default_factory=dict)
    rows_rejected: int = 0
    strata: dict[str, int] = field(default_factory=dict)
    hardness: ScoreHardness | None = None
    mean_rank: float | None = None
    false_negatives: list[Rate] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        values = asdict(self)
        values["underfilled"] = {str(key): value for key, value in self.underfilled.items()}
        values["false_negatives"] = [rate.to_dict() for rate in self.false_negatives]
        return values

    def to_json(self) -> str:
        """Return the report as JSON; it never holds NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Report:
        """Return the report that :meth:`to_dict` made."""
        values = dict(values)
        values["stages"] = [StageCount(**stage) for stage in values["stages"]]
        values["underfilled"] = {int(key): value for key, value in values["underfilled"].items()}
        for name in ("negative_scores", "positive_scores"):
            values[name] = Distribution(**values[name])
        if values.get("hardness") is not None:
            values["hardness"] = ScoreHardness.from_dict(values["hardness"])
        rates = values.get("false_negatives", ())
        values["false_negatives"] = [Rate.from_dict(rate) for rate in rates]
        return cls(**values)

    def histogram(self) -> Table:
        """Return the score histograms of positives and negatives for a terminal."""
        return _histogram(self)

    def __str__(self) -> str:
        """Return the tables as text."""
        console = Console(file=StringIO(), width=100, color_system=None)
        console.print(self.__rich__())
        stream = console.file
        return stream.getvalue() if isinstance(stream, StringIO) else ""

    def __rich__(self) -> Group:
        """Return the tables for a terminal."""
        parts: list[Any] = [_overview(self), _flow(self), _scores(self)]
        if self.hardness is not None:
            parts.append(_hardness(self.hardness, self.mean_rank))
        parts.append(_false_negatives(self.false_negatives))
        if self.seconds:
            parts.append(_times(self))
        return Group(*parts, *(Text(f"Note: {note}") for note in self.notes))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def short_strategy(strategy: str) -> str:
    """Return a strategy string with long values, such as a fitted model, by their beginnings."""
    return LONG_VALUE.sub(_cut, strategy)


def _cut(value: re.Match[str]) -> str:
    """Return a long quoted value, such as a fitted model, by its beginning; JSON has all of it."""
    return f"{value.group()[:LONG]}…{value.group()[-1]}"


def _overview(report: Report) -> Table:
    # No markup: a path may hold brackets.
    title = Text(f"Mined with {short_strategy(report.strategy)}")
    table = Table(title=title, title_justify="left", show_header=False, min_width=TITLE_WIDTH)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("rows in", f"{report.rows_in:,}")
    table.add_row("rows out", f"{report.rows_out:,}")
    for name, rows in report.rows_flagged.items():
        table.add_row(f"rows flagged by {name}", f"{rows:,} ({_share(rows, report.rows_in)})")
    if report.rows_rejected:
        table.add_row("  left out for that", f"{report.rows_rejected:,}")
    if report.rows_dropped > report.rows_rejected:
        left_out = report.rows_dropped - report.rows_rejected
        table.add_row("input rows left out (underfilled)", f"{left_out:,}")
    table.add_row(f"negatives ({report.num_negatives} asked a row)", f"{report.slots_chosen:,}")
    if report.slots_filled:
        table.add_row("of these fill", f"{report.slots_filled:,}")
    for name, slots in report.strata.items():
        table.add_row(f"of these {name}", f"{slots:,} ({_share(slots, report.slots_chosen)})")
    short = sum(report.underfilled.values())
    table.add_row("rows with fewer", f"{short:,} ({_share(short, report.rows_in)})")
    for count, rows in sorted(report.underfilled.items()):
        table.add_row(f"  with {count}", f"{rows:,}")
    return table


def _flow(report: Report) -> Table:
    table = Table(title="Candidates", title_justify="left")
    table.add_column("stage")
    vetoes = any(stage.asked is not None for stage in report.stages)
    for name in ("asked", "promoted", "dropped", "left") if vetoes else ("dropped", "left"):
        table.add_column(name, justify="right")
    left = report.slots_retrieved
    blank = [""] * (3 if vetoes else 1)
    table.add_row("retrieved", *blank, f"{left:,}")
    for stage in report.stages:
        left -= stage.dropped + stage.promoted
        asked = "" if stage.asked is None else f"{stage.asked:,}"
        promoted = "" if stage.asked is None else f"{stage.promoted:,}"
        extra = [asked, promoted] if vetoes else []
        table.add_row(stage.stage, *extra, f"{stage.dropped:,}", f"{left:,}")
    table.add_row("chosen", *blank, f"{report.slots_chosen - report.slots_filled:,}")
    table.add_row("not needed", *blank, f"{report.slots_unused:,}")
    return table


def _scores(report: Report) -> Table:
    table = Table(title="Scores", title_justify="left")
    parts = (report.positive_scores, report.negative_scores)
    for name in ("", "positives", "negatives"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("n", *(f"{part.count:,}" for part in parts))
    if any(part.missing for part in parts):
        table.add_row("without a score", *(f"{part.missing:,}" for part in parts))
    table.add_row("mean", *("-" if part.mean is None else f"{part.mean:.4g}" for part in parts))
    for place, name in enumerate(QUANTILE_NAMES):
        values = ("-" if p.quantiles is None else f"{p.quantiles[place]:.4g}" for p in parts)
        table.add_row(name, *values)
    return table


def _hardness(hardness: ScoreHardness, mean_rank: float | None) -> Table:
    table = hardness.table()
    if mean_rank is not None:
        table.add_row("mean rank among the candidates", f"{mean_rank:.1f}")
    return table


def _false_negatives(rates: Sequence[Rate]) -> Table | Text:
    if not rates:
        return Text(NOT_ESTIMATED)
    table = Table(title="False negatives, with 95% intervals", title_justify="left")
    table.add_column("estimated by")
    for name in ("rate", "from", "to", "n"):
        table.add_column(name, justify="right")
    for rate in rates:
        ends = ("-" if end is None else f"{end:.1%}" for end in (rate.rate, rate.low, rate.high))
        table.add_row(Text(rate.method), *ends, Text(f"{rate.n:,} {rate.of}"))
        if rate.why:
            table.add_row(Text(f"  {rate.why}"))
    return table


def _histogram(report: Report) -> Table:
    table = Table(title="Score histogram, share of each", title_justify="left")
    for name in ("from", "positives", "", "negatives", ""):
        table.add_column(name, justify="right" if name == "from" else "left", no_wrap=True)
    positives, negatives = report.positive_scores, report.negative_scores
    edges = positives.bin_edges or negatives.bin_edges
    for place, edge in enumerate(edges[:-1]):
        cells: list[str] = []
        for part in (positives, negatives):
            count = part.bin_counts[place] if part.bin_counts else 0
            share = count / part.count if part.count else 0.0
            cells += [f"{share:6.1%}", "█" * round(share * BAR)]
        table.add_row(f"{edge:.3g}", *cells)
    return table


def _times(report: Report) -> Table:
    table = Table(title="Seconds", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, seconds in report.seconds.items():
        table.add_row(name, f"{seconds:.2f}")
    return table


def _stage_counts(names: list[str], totals: NDArray[np.int64]) -> list[StageCount]:
    by_name = dict(zip(names, totals.tolist(), strict=True))
    counts = []
    for name in names:
        kind, _, stage = name.partition(":")
        if kind == "drop":
            counts.append(
                StageCount(
                    stage,
                    by_name[name],
                    by_name.get(f"promote:{stage}", 0),
                    by_name.get(f"ask:{stage}"),
                )
            )
    return counts


def report_of(
    mined: Dataset,
    *,
    strategy: str,
    num_negatives: int,
    seed: int,
    rows_in: int | None = None,
    rows_out: int | None = None,
    needed: int = 0,
    dropping: Sequence[str] = (),
    seconds: Mapping[str, float] | None = None,
    corpus: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    totals: Totals | None = None,
) -> Report:
    """Make the report of a mined set from the columns that mining wrote.

    Args:
        mined: has the columns ``hard_negative_trace``, ``hard_negative_scores`` and
            ``hard_negative_positive_scores``.
        strategy: the strategy string it was mined with.
        num_negatives: negatives asked for.
        seed: the seed.
        rows_in: rows of the input; default: the rows of ``mined``.
        rows_out: rows of the output; default: the rows of ``mined``.
        needed: rows with fewer negatives than this are not in the output.
        dropping: names of the row filters whose flagged rows are not in the output.
        seconds: by stage.
        corpus: what to say of the corpus.
        notes: what a reader should know.
        totals: of ``mined`` with its hardness, where they are there already.

    Raises:
        ColumnError: the columns are not there.
    """
    totals = totals or totals_of(mined, dropping, hardness=True)
    hardness, mean_rank = _hardness_of(totals)
    by_name = dict(zip(totals.names, totals.trace.tolist(), strict=True))
    bins = edges(totals.negatives, totals.positives)
    short = totals.counts[(totals.counts < num_negatives) & ~totals.rejected]
    values, rows = np.unique(short, return_counts=True)
    return Report(
        strategy=strategy,
        num_negatives=num_negatives,
        seed=seed,
        rows_in=len(mined) if rows_in is None else rows_in,
        rows_out=len(mined) if rows_out is None else rows_out,
        rows_dropped=int(np.count_nonzero((totals.counts < needed) | totals.rejected)),
        slots_retrieved=by_name.get("retrieved", 0),
        stages=_stage_counts(totals.names, totals.trace),
        slots_unused=by_name.get("unused", 0),
        slots_chosen=int(totals.counts.sum()),
        slots_filled=totals.filled,
        underfilled=dict(zip(values.tolist(), rows.tolist(), strict=True)),
        negative_scores=distribution(totals.negatives, bins),
        positive_scores=distribution(totals.positives, bins),
        seconds=dict(seconds or {}),
        corpus=dict(corpus or {}),
        notes=list(notes),
        rows_flagged=totals.flagged,
        rows_rejected=int(np.count_nonzero(totals.rejected)),
        strata=totals.strata,
        hardness=hardness,
        mean_rank=mean_rank,
    )


def _hardness_of(totals: Totals) -> tuple[ScoreHardness | None, float | None]:
    """Return how hard the negatives are; documents drawn at random have ranks that say nothing."""
    hardness = None if totals.hardness is None else totals.hardness.result()
    if hardness is None or not hardness.compared:
        return None, None
    ranks, ranked = totals.ranks
    return hardness, ranks / ranked if ranked else None
