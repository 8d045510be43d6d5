"""The pool that stands beside a mined set, for whoever wants to see why each negative was kept."""

from __future__ import annotations

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.corpus import Corpus
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.outputs import DOCUMENTS, POOL

__all__ = ["pool_files"]

READ_BATCH = 10_000


def pool_files(
    miner: OfflineMiner, pool: Dataset, *, num_proc: int | None = None, resume: bool = True
) -> dict[str, Dataset]:
    """Return what is written beside a mined set: its pool, and the documents that this names.

    Args:
        miner: that mined the set.
        pool: what ``miner.retrieve`` returned.
        num_proc: worker processes; no influence on the result.
        resume: use the finished parts of an interrupted run.

    Returns:
        Data sets by the name of their file: :data:`~hf_hardneg.outputs.POOL` with the columns of
        :data:`~hf_hardneg.outcomes.OUTCOME_FEATURES`, :data:`~hf_hardneg.outputs.DOCUMENTS` with
        ``id`` and ``text`` of its candidates and positives, in the order of the corpus.
    """
    outcomes = miner.outcomes(pool, num_proc=num_proc, resume=resume)
    corpus = miner.reader().corpus
    return {POOL: outcomes, DOCUMENTS: _documents(outcomes, corpus)}


def _documents(outcomes: Dataset, corpus: Corpus) -> Dataset:
    rows = _named(outcomes, corpus)
    if len(rows) == len(corpus):
        return corpus.to_dataset()
    return corpus.to_dataset().select(rows)


def _named(outcomes: Dataset, corpus: Corpus) -> NDArray[np.int64]:
    """Return the corpus rows that the pool names, in their order: a bit a document in memory."""
    seen = np.zeros(len(corpus), dtype=np.bool_)
    chosen = outcomes.select_columns(["candidate_ids", "positive_ids"]).with_format("arrow")
    for table in chosen.iter(READ_BATCH):
        for name in table.column_names:
            ids = flat_list(table[name])[1].drop_null().to_pylist()
            if ids:
                rows = corpus.rows_of_ids(ids)
                seen[rows[rows >= 0]] = True
    return np.flatnonzero(seen)
