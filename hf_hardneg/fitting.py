"""Fitting stages to the candidates of all rows, before the first row is decided."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.plan import Plan
from hf_hardneg.pool import candidates_of
from hf_hardneg.selection import Rules, sampler_keys, surviving
from hf_hardneg.single_positives import by_positive, one_positive_a_row
from hf_hardneg.strategy import Strategy
from hf_hardneg.tally import pool_positive_scores

__all__ = ["fitted"]

BATCH = 2_500

Batch = tuple[Queries, Candidates]


@dataclass(frozen=True)
class PoolRows:
    """The candidates of all rows of a pool, as a stage sees them that is to be fitted.

    Attributes:
        plan: reads the rows.
        pool: the pool.
        sources: names of its retrievers.
        rules: what is decided before the stage, all of it fitted.
    """

    plan: Plan
    pool: Dataset
    sources: tuple[str, ...]
    rules: Rules

    @property
    def seed(self) -> int:
        """The seed of the miner."""
        return self.plan.seed

    def positive_scores(self) -> NDArray[np.float32]:
        """Return the scores of all positives, shape (positives,)."""
        return pool_positive_scores(self.pool)

    def retrieved(self) -> Iterator[tuple[Queries, Candidates]]:
        """Yield all candidates, positives among them."""
        reader = self.plan.reader
        for table in self.pool.with_format("arrow").iter(BATCH):
            if by_positive(self.plan.rules):
                table = one_positive_a_row(table, reader.columns)
            queries = reader.queries(table)
            yield queries, candidates_of(table, queries, reader.corpus, self.sources)

    def left(self) -> Iterator[tuple[Queries, Candidates]]:
        """Yield what the stages before leave."""
        yield from _read_ahead(
            (queries, candidates.keep(surviving(queries, candidates, self.rules)))
            for queries, candidates in self.retrieved()
        )

    def orders(self) -> Iterator[tuple[Queries, Candidates, NDArray[np.float64]]]:
        """Yield what the stages before leave, with the sampler's keys."""
        for queries, candidates in self.left():
            yield (
                queries,
                candidates,
                sampler_keys(queries, candidates, self.rules, candidates.filled),
            )


def _read_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the batches in their order, reading the next while the last is worked on."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def fitted(plan: Plan, pool: Dataset, sources: tuple[str, ...]) -> Plan:
    """Return the plan with every stage fitted that needs it.

    Row filters are fitted first, then the sampler, whose keys a filter may ask for, then the
    filters in their order, each to what those before it leave, then vetoes and diversity.

    Args:
        plan: what is mined.
        pool: the candidates of all rows.
        sources: names of its retrievers.
    """
    strategy = plan.strategy
    done = Strategy(strategy.retriever, sampler=strategy.sampler)

    def rows() -> PoolRows:
        so_far = replace(plan, strategy=done)
        return PoolRows(plan, pool, sources, so_far.rules)

    for row_filter in strategy.row_filters:
        done = replace(done, row_filters=(*done.row_filters, row_filter.fitted(rows())))
    done = replace(done, sampler=strategy.sampler.fitted(rows()))
    for rule in strategy.filters:
        done = replace(done, filters=(*done.filters, rule.fitted(rows())))
    vetoes = tuple(stage.fitted(rows()) for stage in strategy.vetoes)
    diversity = tuple(stage.fitted(rows()) for stage in strategy.diversity)
    return replace(plan, strategy=replace(done, vetoes=vetoes, diversity=diversity))
