"""Sums and scores over the columns that mining wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.arrow import flat_list
from hf_hardneg.cache import content_hash
from hf_hardneg.errors import ColumnError, listing
from hf_hardneg.score_hardness import ScoreTally
from hf_hardneg.stages import (
    FILLED,
    FLAGS,
    POSITIVE_SCORES,
    RANKS,
    SCORES,
    STRATA,
    TRACE,
    rejected,
)

__all__ = ["Totals", "pool_positive_scores", "totals_of"]

BATCH = 20_000


@dataclass(slots=True)
class Totals:
    """Sums over the batches of a mined set.

    Attributes:
        names: of the columns of ``trace``.
        trace: sums of the trace, shape (names,).
        counts: negatives of each row, shape (rows,).
        negatives, positives: all scores.
        filled: negatives that are fill.
        rejected: which rows a row filter leaves out, shape (rows,).
        flagged: rows by the name of the row filter that flagged them.
        strata: negatives by stratum.
        hardness: gathered scores of negatives beside those of their positives, if asked for.
        ranks: sum of the ranks of the negatives that have one, and how many these are.
    """

    names: list[str]
    trace: NDArray[np.int64]
    counts: NDArray[np.int64]
    negatives: NDArray[np.float32]
    positives: NDArray[np.float32]
    filled: int
    rejected: NDArray[np.bool_]
    flagged: dict[str, int]
    strata: dict[str, int]
    hardness: ScoreTally | None = None
    ranks: tuple[int, int] = (0, 0)

    @property
    def mark(self) -> str:
        """A hash by which a report knows the rows it is about again, saved and loaded or not."""
        hasher = xxhash.xxh3_128()
        for values in (self.trace, self.counts.astype(np.int64), self.negatives):
            hasher.update(values.tobytes())
        return content_hash(self.names, hasher.hexdigest())


def totals_of(mined: Dataset, dropping: Sequence[str] = (), *, hardness: bool = False) -> Totals:
    """Read the columns that mining wrote, a bounded batch at a time.

    Args:
        mined: a mined set.
        dropping: names of the row filters whose flagged rows are left out.
        hardness: gather also what is needed to say how hard the negatives are.
    """
    if not isinstance(mined, Dataset):
        raise ColumnError(
            f"a report is about one Dataset, and this is of type {type(mined).__name__}. For a "
            "DatasetDict make one for each of its splits."
        )
    missing = [name for name in (TRACE, SCORES, POSITIVE_SCORES) if name not in mined.column_names]
    if missing:
        raise ColumnError(
            f"a report needs the columns {listing(missing)}, which mining adds; this data set has "
            f"{listing(mined.column_names)}. Report on what miner.mine(...) or "
            "dataset.map(miner, batched=True) returned."
        )
    names: list[str] = []
    total = np.zeros(0, np.int64)
    counts, negatives, positives, filled = [], [], [], 0
    out: list[NDArray[np.bool_]] = []
    flagged: Counter[str] = Counter()
    strata: Counter[str] = Counter()
    scored, ranks, ranked = ScoreTally() if hardness else None, 0, 0
    wanted = (TRACE, SCORES, POSITIVE_SCORES, FILLED, FLAGS, STRATA, RANKS)
    columns = [name for name in wanted if name in mined.column_names]
    for table in mined.with_format("arrow").select_columns(columns).iter(BATCH):
        offsets, pairs = flat_list(table[TRACE])
        width = int(offsets[1]) if len(offsets) > 1 else 0
        names = names or pairs.field("stage").slice(0, width).to_pylist()
        slots = pairs.field("slots").to_numpy().reshape(-1, width).astype(np.int64)
        total = slots.sum(axis=0) if not len(total) else total + slots.sum(axis=0)
        own, scores = flat_list(table[SCORES])
        counts.append(np.diff(own))
        negatives.append(_floats(scores))
        beside, known = flat_list(table[POSITIVE_SCORES])
        positives.append(_floats(known))
        if scored is not None:
            scored.add(beside, positives[-1], own, negatives[-1])
            if RANKS in columns:
                own_ranks = _floats(flat_list(table[RANKS])[1])
                ranks += int(np.nansum(own_ranks, dtype=np.float64))
                ranked += int(np.count_nonzero(own_ranks > 0))
        if FILLED in columns:
            filled += int(
                np.count_nonzero(flat_list(table[FILLED])[1].to_numpy(zero_copy_only=False))
            )
        if FLAGS in columns:
            flagged += _counted(table[FLAGS])
            out.append(rejected(table[FLAGS], dropping))
        if STRATA in columns:
            strata += _counted(table[STRATA])
    sizes = _joined(counts, np.int64)
    return Totals(
        names, total, sizes, _joined(negatives, np.float32), _joined(positives, np.float32),
        filled, _joined(out, np.bool_) if out else np.zeros(len(sizes), np.bool_),
        dict(sorted(flagged.items())), dict(sorted(strata.items())), scored, (ranks, ranked),
    )  # fmt: skip


def _counted(lists: pa.ChunkedArray) -> Counter[str]:
    """Return how often each name stands in lists of names; fill has none."""
    counts = pc.value_counts(flat_list(lists)[1]).to_pylist()
    return Counter({pair["values"]: pair["counts"] for pair in counts if pair["values"]})


def _floats(values: pa.Array) -> NDArray[np.float32]:
    floats: NDArray[np.float32] = values.to_numpy(zero_copy_only=False).astype(np.float32)
    return floats


def _joined(parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def pool_positive_scores(pool: Dataset) -> NDArray[np.float32]:
    """Return the scores of all positives of a pool, shape (positives,), ``nan`` where unknown."""
    name = "candidate_positive_scores"
    tables = pool.with_format("arrow").select_columns([name]).iter(BATCH)
    return _joined([_floats(flat_list(table[name])[1]) for table in tables], np.float32)
