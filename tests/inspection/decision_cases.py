"""Mined sets with their pools, as they are inspected: of docstrings and of random collections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from datasets import Dataset

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.stdlib_docs import StdlibCollection, stdlib_collection

FEW = 150


@dataclass(frozen=True)
class Mined:
    """A mined set, and what it was made of."""

    inspected: InspectedSet
    miner: OfflineMiner
    pool: Dataset
    rows: Dataset
    mined: Dataset

    @property
    def negatives(self) -> list[list[str]]:
        """Return the ids of the set's own negatives, row by row."""
        return [list(names) for names in self.mined["hard_negative_ids"]]


@lru_cache(maxsize=1)
def docstrings() -> StdlibCollection:
    return stdlib_collection()


def docstring_rows(number: int = FEW) -> Dataset:
    """Return docstrings' summaries with the rest as positives; some summaries stand twice."""
    pairs = docstrings().pairs
    texts = dict(docstrings().documents)
    spread = pairs[:: max(len(pairs) // number, 1)][:number]
    return Dataset.from_dict(
        {
            "query_id": [pair.query_id for pair in spread],
            "query": [pair.query for pair in spread],
            "positive": [texts[pair.positive_id] for pair in spread],
            "positive_id": [pair.positive_id for pair in spread],
        }
    )


def docstring_corpus() -> Corpus:
    return Corpus(dict(docstrings().documents))


def mine(
    strategy: str,
    rows: Dataset,
    corpus: Any,
    *,
    texts: bool = True,
    num_negatives: int = 5,
    seed: int = 0,
    **options: Any,
) -> Mined:
    """Mine, and open the set as it is inspected; without ``texts`` the corpus is not known."""
    corpus = Corpus.of(corpus)
    miner = OfflineMiner(
        strategy, corpus=corpus, num_negatives=num_negatives, seed=seed, **options
    ).knowing(rows)
    pool = miner.retrieve(rows)
    mined = miner.select(pool)
    inspected = InspectedSet(
        "a set",
        MinedSet.of(mined),
        PoolRows(miner.outcomes(pool)),
        corpus if texts else None,
        miner.report(mined),
        miner.recipe(),
    )
    return Mined(inspected, miner, pool, rows, mined)


def again(case: Mined, strategy: str, num_negatives: int, **options: Any) -> list[list[str]]:
    """Return the negatives of another strategy over the same pool."""
    miner = OfflineMiner(
        strategy, corpus=case.miner.corpus, num_negatives=num_negatives, **options
    ).knowing(case.rows)
    return [list(names) for names in miner.select(case.pool)["hard_negative_ids"]]
