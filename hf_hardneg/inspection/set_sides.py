"""What each of two compared sets has by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hf_hardneg.errors import HardNegError, QueryError
from hf_hardneg.evaluation.audit_labels import labels_of_set, took_part
from hf_hardneg.evaluation.label_rate import METHOD, label_rate
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.pair_counts import PairCounts, PairTally
from hf_hardneg.inspection.set_pair import (
    BATCH,
    SetPair,
)
from hf_hardneg.rates import Rate
from hf_hardneg.score_hardness import ScoreHardness, ScoreTally
from hf_hardneg.strategy import parse

__all__ = ["Side", "same_scale", "sides_of"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of two sets.

    Attributes:
        name: of the set.
        rows: of the set.
        queries: different ones.
        only: of these, those that the other set does not have.
        unnamed: rows left out, whose query has no id or no text.
        negatives: different ones of the queries that both have.
        elsewhere: those of the queries that the other set does not have.
        repeated: negatives that stand a second time for their query; they count once.
        nameless: negatives left out, that have no id or no text.
        mean_rank: of ``negatives``, among the candidates, from 1; ``None`` without ranks.
        ranked: how many of them have a rank.
        hardness: by the set's own scores, over all its rows; ``None`` without scores.
        rates: shares of false negatives: those of its report, then that of labels.
    """

    name: str
    rows: int
    queries: int
    only: int
    unnamed: int
    negatives: int
    elsewhere: int
    repeated: int
    nameless: int
    mean_rank: float | None
    ranked: int
    hardness: ScoreHardness | None
    rates: tuple[Rate, ...]


def sides_of(
    pair: SetPair, counts: PairCounts, tallies: tuple[PairTally, PairTally], labels: Labels | None
) -> tuple[Side, Side]:
    """Return what each set has by itself.

    Args:
        pair: the sets.
        counts: of the queries that both have.
        tallies: what was counted of each.
        labels: for a rate of each; ``None`` without.
    """
    rates = [own.report.false_negatives if own.report else [] for own in (pair.a, pair.b)]
    if labels is not None:
        extra = [
            int((own - counts.both).sum()) + tally.elsewhere
            for own, tally in zip((counts.of_a, counts.of_b), tallies, strict=True)
        ]
        judged = _label_rates(pair, labels, extra)
        rates = [[*own, one] for own, one in zip(rates, judged, strict=True)]
    made = []
    for own, index, numbers, tally, shares in (
        (pair.a, pair.index_a, counts.of_a, tallies[0], rates[0]),
        (pair.b, pair.index_b, counts.of_b, tallies[1], rates[1]),
    ):
        queries = len(index.first[0])
        made.append(
            Side(
                own.name,
                len(own),
                queries,
                queries - len(counts.both),
                index.unnamed,
                int(numbers.sum()),
                tally.elsewhere,
                tally.repeated,
                tally.nameless,
                tally.ranks / tally.ranked if tally.ranked else None,
                tally.ranked,
                _hardness(own),
                tuple(shares),
            )
        )
    return made[0], made[1]


def _hardness(own: InspectedSet) -> ScoreHardness | None:
    """Return the hardness that the report has or, without one, that of the rows' own scores."""
    if own.report is not None:
        return own.report.hardness
    mined = own.mined
    if not (mined.has("negative_scores") and mined.has("positive_scores")):
        return None
    tally = ScoreTally()
    for batch in mined.batches(BATCH):
        tally.add(*batch.numbers("positive_scores"), *batch.numbers("negative_scores"))
    return tally.result()


def _label_rates(pair: SetPair, labels: Labels, extra: Sequence[int]) -> list[Rate]:
    """Return the rate that labels give for each set.

    Labels that were drawn from one of the two say nothing of what only the other has, and labels
    that took part in choosing a set say nothing of it.

    Args:
        pair: the sets.
        labels: of negatives.
        extra: negatives of each that the other has not, those of queries of its own among them.
    """
    found: list[tuple[Labels, str] | Rate] = []
    for own in (pair.a, pair.b):
        try:
            if why := took_part(own.mined, labels, own.strategy):
                raise QueryError(why)
            found.append(labels_of_set(own.mined, labels))
        except QueryError as error:
            found.append(Rate(METHOD, None, None, None, 0, why=str(error)))
    drawn = [set() if isinstance(one, Rate) else _drawn(one[0]) for one in found]
    rates = []
    for place, one in enumerate(found):
        if isinstance(one, Rate):
            rates.append(one)
        elif extra[place] and not drawn[place] - drawn[1 - place]:
            why = (
                f"{extra[place]:,} negatives are in this set and not in the other, and none of "
                "them is labelled. Draw labels from this set, or from a pool that holds both"
            )
            rates.append(Rate(METHOD, None, None, None, 0, why=why))
        else:
            rate = label_rate(one[0])
            rates.append(replace(rate, assumed=(one[1], *rate.assumed)))
    return rates


def _drawn(labels: Labels) -> set[tuple[str, str]]:
    return {row.pair for row in labels if not row.control and not row.hand_picked}


def same_scale(a: InspectedSet, b: InspectedSet) -> bool | None:
    """Return whether one retriever gave the scores of both, whatever its depth."""
    heads = []
    for own in (a, b):
        try:
            parsed = parse(own.strategy)
        except HardNegError:
            return None
        calls = [*parsed.retrievers, *parsed.joiners]
        heads.append(
            [(one.name, {**one.arguments, "top_k": 0 if len(calls) == 1 else
                         one.arguments.get("top_k")}) for one in calls]
        )  # fmt: skip
    return heads[0] == heads[1]
