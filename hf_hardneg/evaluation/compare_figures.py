"""The figures of a comparison, each by one small function: the place where estimators join.

Every figure of :func:`~hf_hardneg.evaluation.compare.compare` that another module may know better
comes from here: the false-negative rates (:data:`ESTIMATORS`), hardness (:func:`hardness`), the
scores of a ranking (:func:`ranking_values`) and the paired test (:func:`paired_test`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ParameterError, did_you_mean, listing
from hf_hardneg.evaluation.rates import Rate, wilson
from hf_hardneg.hashing import exact_keys
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.miner import OfflineMiner

if TYPE_CHECKING:
    from hf_hardneg.evaluation.held_out import HeldOut

__all__ = [
    "ESTIMATORS",
    "MEASURES",
    "Case",
    "Diversity",
    "HardnessFigures",
    "check_estimators",
    "diversity",
    "hardness",
    "paired_test",
    "ranking_values",
]

MEASURES = {"MRR@10": "RR@10", "nDCG@10": "nDCG@10"}
"""What is reported, and what ir-measures calls it."""
DEPTH = 10
REPEATS = 10_000
FLIPS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Case:
    """What an estimator of false negatives may look at.

    Attributes:
        miner: the strategy.
        dataset: the queries that were mined.
        mined: what came out, with ids and texts.
        corpus: the documents.
        judgements: deeper ones than the known positives: grades by document id, by query id.
        seed: of whatever an estimator draws.
    """

    miner: OfflineMiner
    dataset: Dataset
    mined: MinedSet
    corpus: Corpus
    judgements: Mapping[str, Mapping[str, int]] | None
    seed: int


def _judged(case: Case) -> Rate:
    """Return the share of the negatives that judgements call relevant."""
    assumed = ("A document without a judgement is not relevant.",)
    if case.judgements is None or not case.mined.has("query_id"):
        why = "there are no judgements" if case.judgements is None else "the queries have no ids"
        return Rate("judged", None, None, None, 0, assumed=assumed, why=why)
    hits = cases = 0
    for batch in case.mined.batches():
        for query, names in zip(batch.query_ids(), batch.texts("negative_ids"), strict=True):
            judged = case.judgements.get(query, {})
            hits += sum(judged.get(name, 0) > 0 for name in names)
            cases += len(names)
    if not cases:
        return Rate("judged", None, None, None, 0, assumed=assumed, why="there are no negatives")
    low, high = wilson(hits, cases)
    return Rate("judged", hits / cases, low, high, cases, assumed=assumed)


ESTIMATORS: dict[str, Callable[[Case], Rate]] = {"judged": _judged}
"""By name. The first that was asked for stands in the table and in the drawing."""


def check_estimators(names: Sequence[str]) -> None:
    """Refuse a name that is no estimator.

    Raises:
        ParameterError: names those that there are.
    """
    for name in names:
        if name not in ESTIMATORS:
            raise ParameterError(
                f"estimators: {name!r} is not known.{did_you_mean(name, ESTIMATORS)} Known: "
                f"{listing(ESTIMATORS)}."
            )


@dataclass(frozen=True, slots=True)
class HardnessFigures:
    """How near the negatives come to the positives of their row, by the retriever's own score.

    Attributes:
        relative: mean of a negative's score over the lowest score of its row's positives, where
            that is above 0; ``None`` where nothing was scored.
        harder: share of these that score at least as much as that positive.
        mean_rank: mean rank among the candidates, from 1; ``None`` where it is not known.
        n: negatives that ``relative`` and ``harder`` are taken from.
    """

    relative: float | None
    harder: float | None
    mean_rank: float | None
    n: int


def hardness(mined: MinedSet) -> HardnessFigures:
    """Return the hardness of a mined set; negatives and positives without a score do not count."""
    ratios: list[NDArray[np.float64]] = []
    ranks, ranked = 0, 0
    for batch in mined.batches():
        if batch.has("negative_ranks"):
            _, values = batch.numbers("negative_ranks")
            ranks += int(values[values > 0].sum(dtype=np.int64))
            ranked += int(np.count_nonzero(values > 0))
        if batch.has("negative_scores") and batch.has("positive_scores"):
            ratios.append(_ratios(batch.numbers("negative_scores"), batch.numbers(
                "positive_scores")))  # fmt: skip
    every = np.concatenate(ratios) if ratios else np.empty(0)
    return HardnessFigures(
        relative=float(every.mean()) if len(every) else None,
        harder=float((every >= 1).mean()) if len(every) else None,
        # Documents drawn at random have ranks too, which say nothing.
        mean_rank=ranks / ranked if ranked and len(every) else None,
        n=len(every),
    )


def _ratios(
    negatives: tuple[NDArray[np.int64], NDArray[np.float32]],
    positives: tuple[NDArray[np.int64], NDArray[np.float32]],
) -> NDArray[np.float64]:
    """Return each negative's score over the lowest score of its row's positives."""
    offsets, scores = negatives
    own_offsets, own = positives
    lowest = np.full(len(offsets) - 1, np.nan)
    filled = np.flatnonzero(np.diff(own_offsets) > 0)
    if len(filled):
        known = np.where(np.isnan(own), np.inf, own.astype(np.float64))
        lowest[filled] = np.minimum.reduceat(known, own_offsets[:-1][filled])
    beside = np.repeat(lowest, np.diff(offsets))
    usable = np.isfinite(beside) & (beside > 0) & np.isfinite(scores)
    return np.asarray(scores[usable].astype(np.float64) / beside[usable])


@dataclass(frozen=True, slots=True)
class Diversity:
    """How many different documents are negatives.

    Attributes:
        negatives: all negatives.
        documents: different documents among them.
        most_reused: how often the most frequent one is a negative.
    """

    negatives: int
    documents: int
    most_reused: int


def diversity(mined: MinedSet) -> Diversity:
    """Return how many different documents are negatives; documents are told apart by their ids."""
    keys = [exact_keys(batch.texts("negative_ids").flat) for batch in mined.batches()]
    every = np.concatenate(keys) if keys else np.empty(0, np.uint64)
    _, counts = np.unique(every, return_counts=True)
    return Diversity(len(every), len(counts), int(counts.max(initial=0)))


def ranking_values(
    ranking: Mapping[str, Sequence[str]], held_out: HeldOut
) -> dict[str, NDArray[np.float64]]:
    """Return the measures of a ranking for every query, by ir-measures.

    Args:
        ranking: document ids, best first, by query id.
        held_out: the queries and their judgements.

    Returns:
        By the names of :data:`MEASURES`, one value a query, in the order of the queries.
    """
    import ir_measures

    measures = {ir_measures.parse_measure(own): name for name, own in MEASURES.items()}
    # Scores that say the order and nothing else: equal similarities would be ordered anew.
    run = {
        query: {name: float(DEPTH - place) for place, name in enumerate(names[:DEPTH])}
        for query, names in ranking.items()
    }
    place_of = {name: place for place, name in enumerate(held_out.ids)}
    values = {name: np.zeros(len(held_out.ids)) for name in MEASURES}
    qrels = {name: dict(held_out.judgements[name]) for name in held_out.ids}
    for metric in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[metric.measure]][place_of[metric.query_id]] = metric.value
    return values


def paired_test(first: NDArray[np.float64], other: NDArray[np.float64], *, seed: int = 0) -> float:
    """Return the two-sided p of a paired randomisation test of the mean difference.

    Under the null hypothesis the two values of a query could as well be swapped, so the signs of
    the differences are drawn anew: p is the share of draws, the observed one among them, whose
    mean difference is at least as large. Fisher's randomisation test as M. Smucker, J. Allan and
    B. Carterette compare it for rankings, CIKM 2007.

    Args:
        first: one value a query.
        other: one value a query, in the same order.
        seed: of the draws.
    """
    differences = np.asarray(other, np.float64) - np.asarray(first, np.float64)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    observed = abs(differences.sum())
    slack = 1e-12 * np.abs(differences).sum()
    rng, extreme, left = np.random.default_rng(seed), 0, REPEATS
    portion = max(FLIPS_AT_ONCE // len(differences), 1)
    while left:
        size = min(portion, left)
        signs = rng.integers(0, 2, size=(size, len(differences)), dtype=np.int8)
        sums = np.abs((2 * signs - 1) @ differences)
        extreme += int(np.count_nonzero(sums >= observed - slack))
        left -= size
    return (extreme + 1) / (REPEATS + 1)
