"""The figures of a comparison, each by one small function: the place where estimators join.

Every figure of :func:`~hf_hardneg.evaluation.compare.compare` that another module may know better
comes from here: the false-negative rates (:data:`ESTIMATORS`), hardness (:func:`hardness`), the
scores of a ranking (:func:`ranking_values`) and the paired test (:func:`paired_test`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import HardNegError, ParameterError, did_you_mean, listing
from hf_hardneg.evaluation.false_negatives import hidden_positive_rate, judged_rate
from hf_hardneg.evaluation.hardness import Hardness
from hf_hardneg.evaluation.judgements import Judgements
from hf_hardneg.evaluation.significance import randomisation_test
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.rates import Rate

if TYPE_CHECKING:
    from hf_hardneg.evaluation.held_out import HeldOut

__all__ = [
    "ESTIMATORS",
    "MEASURES",
    "Case",
    "Diversity",
    "HardnessFigures",
    "check_estimators",
    "corpus_of",
    "diversity",
    "hardness",
    "paired_test",
    "ranking_values",
    "rate_of",
    "usual_estimators",
]

MEASURES = {"MRR@10": "RR@10", "nDCG@10": "nDCG@10"}
"""What is reported, and what ir-measures calls it."""
DEPTH = 10


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
    """Return the rate by judgements; a file that names relevant documents alone is complete.

    The interval is that of a bootstrap over queries: strategies are compared for other queries
    like these, and negatives of one query go together.
    """
    if case.judgements is None or not case.mined.has("query_id"):
        why = "there are no judgements" if case.judgements is None else "the queries have no ids"
        return Rate("judged", None, None, None, 0, why=why)
    shallow = Judgements(case.judgements).relevant_only
    rate = judged_rate(case.mined, Judgements(case.judgements, complete=shallow), case.corpus)
    if rate.rate is None:
        return rate
    ends = [rate.details[name] for name in ("bootstrap", "wilson_effective")]
    return replace(rate, low=min(low for low, _ in ends), high=max(high for _, high in ends))


def _hidden(case: Case) -> Rate:
    """Return the rate by hidden positives."""
    return hidden_positive_rate(case.miner, case.dataset, seed=case.seed)


ESTIMATORS: dict[str, Callable[[Case], Rate]] = {"judged": _judged, "hidden": _hidden}
"""By name. The first that was asked for stands in the table and in the drawing."""


def rate_of(name: str, case: Case) -> Rate:
    """Return a rate of false negatives; an estimator that fails says why and loses nothing."""
    try:
        return ESTIMATORS[name](case)
    except HardNegError as error:
        return Rate(name, None, None, None, 0, why=str(error))


def corpus_of(miner: OfflineMiner) -> Corpus:
    """Return the documents of a miner that knows the positives of a data set."""
    corpus = miner.corpus
    if corpus is None:
        raise TypeError("the miner has no corpus; miner.knowing(dataset) has one")
    return corpus


def usual_estimators(judgements: object) -> tuple[str, ...]:
    """Return the estimators that are taken when none is named."""
    return ("hidden",) if judgements is None else ("judged",)


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
        relative: mean of ``1 - (s+ - s) / |s+|``, with ``s+`` the lowest score of its row's
            positives: ``s / s+`` where that is above 0; ``None`` where nothing was scored.
        harder: share of these that score more than that positive.
        mean_rank: mean rank among the candidates, from 1; ``None`` where it is not known.
        n: negatives that ``relative`` and ``harder`` are taken from.
    """

    relative: float | None
    harder: float | None
    mean_rank: float | None
    n: int


def hardness(mined: MinedSet, described: Hardness) -> HardnessFigures:
    """Return the hardness of a mined set; negatives and positives without a score do not count.

    Args:
        mined: the set.
        described: what :func:`~hf_hardneg.evaluation.hardness.hardness_of` says of it.
    """
    scores = described.scores
    relative = None if scores is None else scores.relative.mean
    ranks = ranked = 0
    for batch in mined.batches():
        if batch.has("negative_ranks"):
            _, values = batch.numbers("negative_ranks")
            ranks += int(values[values > 0].sum(dtype=np.int64))
            ranked += int(np.count_nonzero(values > 0))
    return HardnessFigures(
        relative=relative,
        harder=None if scores is None else scores.harder,
        # Documents drawn at random have ranks too, which say nothing.
        mean_rank=ranks / ranked if ranked and relative is not None else None,
        n=0 if scores is None else scores.compared,
    )


@dataclass(frozen=True, slots=True)
class Diversity:
    """How many different documents are negatives, told apart by their normalised texts.

    Attributes:
        negatives: all negatives.
        documents: different documents among them.
        most_reused: how often the most frequent one is a negative.
    """

    negatives: int
    documents: int
    most_reused: int


def diversity(described: Hardness) -> Diversity:
    """Return how many different documents are negatives.

    Args:
        described: what :func:`~hf_hardneg.evaluation.hardness.hardness_of` says of the set.
    """
    reuse = described.reuse
    most = reuse.most_reused[0][1] if reuse.most_reused else 0
    return Diversity(reuse.negatives, reuse.distinct, most)


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

    Args:
        first: one value a query.
        other: one value a query, in the same order.
        seed: of the draws.
    """
    return randomisation_test(first, other, seed=seed).p
