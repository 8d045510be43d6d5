"""Another decision over the candidates of a mined set: what would be chosen, and what it is worth.

The same filters and the same engine as in mining decide; see
:class:`~hf_hardneg.inspection.sliders.Sliders` for what may be changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.checks import whole_number
from hf_hardneg.errors import FormatError, PoolError, listing
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.inspection.decision_rates import hidden_rate, labelled_rate
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.pool_batch import PoolBatch, pool_batch, pool_of
from hf_hardneg.inspection.set_rules import MODEL, SetRules, set_rules
from hf_hardneg.inspection.slider_engine import SliderEngine
from hf_hardneg.inspection.sliders import Sliders, check_threshold, strategy_string
from hf_hardneg.inspection.views import CHOSEN
from hf_hardneg.rates import Rate, bootstrap_ratio, wilson

__all__ = ["Decision", "Estimate", "Figures", "RowDecision", "decide"]

AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of some rows.

    Attributes:
        value: of the rows that were looked at; ``None`` where there is nothing to take it from.
        low, high: 95% for all rows of the set: Wilson's interval of a share, a bootstrap over rows
            of a mean. ``None`` where the rows were picked and are no sample; equal to ``value``
            where they are all there are.
        n: how many cases it is taken from.
        of: what these are.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    of: str = "rows"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was chosen, for some rows.

    Attributes:
        rows: how many.
        negatives: of all of them.
        a_row: negatives a row: the yield.
        short: share of rows with fewer than asked for, the empty ones among them.
        empty: rows without any.
        mean_rank: of the negatives among the candidates, from 1.
    """

    rows: int
    negatives: int
    a_row: Estimate
    short: Estimate
    empty: int
    mean_rank: Estimate


@dataclass(frozen=True, slots=True)
class RowDecision:
    """What would be chosen for one row.

    Attributes:
        pool_row: its number in the pool.
        number: of the row of the set that was asked for; ``None`` in a sample.
        query_id, query: of the row.
        chosen: ids of the documents that would be chosen, in the order of choice.
        added: of these, those that the set has not.
        removed: those that the set has and that would not be chosen.
        kept: those that both have.
        not_asked: of ``added``, those that a stage of the set was never asked about, and that it
            might have taken out.
    """

    pool_row: int
    number: int | None
    query_id: str
    query: str
    chosen: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    not_asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Another decision, and what it does.

    Attributes:
        sliders: what was decided by.
        rows: what would be chosen for each row.
        now: figures of what would be chosen.
        before: figures of what the set has, by its pool: fill of short rows is not among it.
        added, removed, kept: negatives of all rows.
        not_asked: of those that are added, how many a stage of the set was never asked about.
        rates: estimated shares of false negatives among what would be chosen, each with its
            interval or the reason why there is none; empty where the rows were picked.
        sampled: whether the rows are a sample, or all.
        strategy: a string that decides so; empty where it is not known how the set was mined.
        notes: what a reader should know.
    """

    sliders: Sliders
    rows: tuple[RowDecision, ...]
    now: Figures
    before: Figures
    added: int
    removed: int
    kept: int
    not_asked: int
    rates: tuple[Rate, ...] = ()
    sampled: bool = True
    strategy: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "rates": [rate.to_dict() for rate in self.rates]}


def decide(
    inspected: InspectedSet,
    rows: Sequence[int] | int,
    sliders: Sliders,
    *,
    labels: Labels | None = None,
    seed: int = 0,
) -> Decision:
    """Decide anew over candidates of a mined set.

    Known positives, the query's own text and empty texts are always left out. What a stage took
    out that no slider stands for stays out: a cross-encoder without scores in the pool, a
    near-duplicate. With the sliders of :func:`~hf_hardneg.inspection.sliders.own_sliders` the
    negatives are those of the set.

    Args:
        inspected: the set, with its pool.
        rows: numbers of rows of the set, from 0; or a number of rows, which are drawn from the
            pool by a hash of their queries.
        sliders: what to decide by.
        labels: labelled negatives, for a rate.
        seed: of the sample and of what is hidden.

    Raises:
        PoolError: there is no pool, or a row that was asked for is not in it.
        ParameterError: a slider out of range.
    """
    pool, rules = pool_of(inspected), set_rules(inspected)
    check_threshold(rules, sliders)
    sampler, why = rules.sampler(inspected.corpus is not None)
    engine = SliderEngine(rules, sliders, sampler)
    sampled = isinstance(rows, int)
    if isinstance(rows, int):
        size = whole_number("decide", "rows", rows, 1)
        numbers = pool.drawn(size, seed)
        asked: list[int | None] = [None] * len(numbers)
    else:
        numbers, asked = _pool_numbers(inspected, rows), list(rows)
    found: list[RowDecision] = []
    tallies = [_Tally(), _Tally()]
    batches = []
    for start in range(0, len(numbers), AT_ONCE):
        batch = pool_batch(pool, numbers[start : start + AT_ONCE], inspected.corpus)
        slots = engine.chosen(batch)
        own = batch.of([CHOSEN])
        tallies[0].add_slots(batch, slots)
        tallies[1].add_mask(batch, own)
        found += _rows(batch, slots, own, engine, asked[start : start + AT_ONCE])
        batches.append(batch)
    rates: tuple[Rate, ...] = ()
    if sampled:
        given = () if labels is None else (labelled_rate(inspected, engine, labels),)
        rates = (*given, hidden_rate(engine, batches, inspected.corpus, seed))
    whole = len(numbers) == len(pool)
    spread = None if not sampled else ("whole" if whole else "sample")
    not_asked = sum(len(row.not_asked) for row in found)
    return Decision(
        sliders,
        tuple(found),
        tallies[0].figures(sliders.num_negatives, spread, seed),
        tallies[1].figures(rules.num_negatives, spread, seed),
        added=sum(len(row.added) for row in found),
        removed=sum(len(row.removed) for row in found),
        kept=sum(len(row.kept) for row in found),
        not_asked=not_asked,
        rates=rates,
        sampled=sampled,
        strategy="" if rules.parsed is None else strategy_string(inspected, sliders),
        notes=tuple(_notes(rules, why, not_asked, inspected)),
    )


def _pool_numbers(inspected: InspectedSet, rows: Sequence[int]) -> NDArray[np.int64]:
    """Return the numbers in the pool of rows of the set."""
    found, pool = [], pool_of(inspected)
    for number in rows:
        if not 0 <= number < len(inspected):
            raise FormatError(
                f"{inspected.name} has no row {number:,}; expected one from 0 to "
                f"{len(inspected) - 1:,}."
            )
        batch = inspected.mined.at(number)
        name = batch.query_ids()[0] if batch.has("query_id") else ""
        positives = batch.texts("positive_ids").flat if batch.has("positive_ids") else []
        place = pool.of(name, batch.queries()[0], [one for one in positives if one])
        if place is None:
            raise PoolError(
                f"the pool of {inspected.name} has no candidates of row {number:,}. Give the pool "
                "of this set."
            )
        found.append(place)
    return np.array(found, dtype=np.int64)


def _rows(
    batch: PoolBatch,
    slots: NDArray[np.int64],
    own: NDArray[np.bool_],
    engine: SliderEngine,
    asked: Sequence[int | None],
) -> list[RowDecision]:
    """Return what is chosen for each row."""
    undecided, documents, found = engine.undecided(batch), batch.candidates.rows, []
    for line, number in enumerate(asked):
        taken = slots[line][slots[line] >= 0].tolist()
        before = np.flatnonzero(own[line]).tolist()

        def names(places: Sequence[int], line: int = line) -> tuple[str, ...]:
            return tuple(batch.ids[documents[line, place]] for place in places)

        added = [place for place in taken if not own[line, place]]
        found.append(
            RowDecision(
                int(batch.rows[line]),
                number,
                batch.query_ids[line],
                batch.queries.texts[line],
                names(taken),
                names(added),
                names([place for place in before if place not in taken]),
                names([place for place in taken if own[line, place]]),
                names([place for place in added if undecided[line, place]]),
            )
        )
    return found


class _Tally:
    """Counts and ranks of negatives, row by row."""

    def __init__(self) -> None:
        self._counts: list[NDArray[np.float64]] = []
        self._ranks: list[NDArray[np.float64]] = []

    def add_slots(self, batch: PoolBatch, slots: NDArray[np.int64]) -> None:
        chosen = np.zeros(batch.candidates.shape, dtype=np.bool_)
        lines, places = np.nonzero(slots >= 0)
        chosen[lines, slots[lines, places]] = True
        self.add_mask(batch, chosen)

    def add_mask(self, batch: PoolBatch, chosen: NDArray[np.bool_]) -> None:
        self._counts.append(chosen.sum(axis=1).astype(np.float64))
        ranks = np.where(chosen, batch.candidates.ranks, 0)
        self._ranks.append(ranks.sum(axis=1).astype(np.float64))

    def figures(self, n: int, spread: str | None, seed: int) -> Figures:
        """Return the figures, with intervals if the rows are a ``sample``, or the ``whole``."""
        counts = np.concatenate([np.zeros(0), *self._counts])
        ranks = np.concatenate([np.zeros(0), *self._ranks])
        rows, negatives = len(counts), int(counts.sum())
        short = int((counts < n).sum())

        def mean(hits: NDArray[np.float64], cases: NDArray[np.float64], of: str) -> Estimate:
            number = int(cases.sum())
            if not number:
                return Estimate(None, None, None, 0, of)
            value = float(hits.sum() / cases.sum())
            drawn = bootstrap_ratio(hits, cases, seed=seed) if spread == "sample" else None
            return _estimate(value, drawn, spread, number, of)

        share = short / rows if rows else None
        between = wilson(short, rows) if spread == "sample" and rows else None
        return Figures(
            rows,
            negatives,
            mean(counts, np.ones(rows), "rows"),
            _estimate(share, between, spread, rows, "rows"),
            int((counts == 0).sum()),
            mean(ranks, counts, "negatives"),
        )


def _estimate(
    value: float | None, between: tuple[float, float] | None, spread: str | None, n: int, of: str
) -> Estimate:
    if spread == "whole":
        return Estimate(value, value, value, n, of)
    low, high = between if between is not None else (None, None)
    return Estimate(value, low, high, n, of)


def _notes(rules: SetRules, why: str, not_asked: int, inspected: InspectedSet) -> list[str]:
    """Say what a reader should know of how it was decided."""
    notes = [why] if why else []
    if rules.parsed is None:
        notes.append(
            f"How the set was decided is not known ({rules.why}): what was taken out stays out, "
            "and the sliders take the candidates of the highest scores among the others."
        )
    recorded = [stage.name for stage in rules.recorded]
    if recorded:
        notes.append(f"What {listing(recorded)} took out stays out, whatever else changes.")
    if not_asked:
        asking = [*recorded, *(one.name for one in rules.stages if one.slider == MODEL)]
        notes.append(
            f"{not_asked:,} of the negatives that are added were never shown to "
            f"{listing(asking) or 'every stage'}, which might take some of them out."
        )
    if inspected.corpus is None:
        notes.append("The documents' texts are not known: copies under two ids count as two.")
    return notes
