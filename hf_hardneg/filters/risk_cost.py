"""What the cross-encoder of the risk filter is expected to take."""

from __future__ import annotations

from hf_hardneg.pair_cost import Predict, cross_encode_phase, pair_times
from hf_hardneg.stage_inputs import VectorSource
from hf_hardneg.workload import Advice, Nearest, Phase, Workload

__all__ = ["scoring_all"]

SHALLOW = 30
"""Candidates a query that are named as another way, where there are more."""


def scoring_all(
    name: str, predict: Predict, source: VectorSource, work: Workload, nearest: Nearest
) -> tuple[Phase, ...]:
    """Return the phases of loading the model and scoring every candidate and every positive.

    Filters that stand before the stage can leave fewer candidates: this is the most there can be.

    Args:
        name: of the stage.
        predict: scores pairs.
        source: the retriever.
        work: the whole job.
        nearest: candidates to try it on, at least one.
    """
    times = pair_times(name, predict, work, nearest, source.corpus)
    depth = min(source.top_k, len(source.corpus))
    positives = sum(map(len, work.known.values())) / max(len(work.known), 1)
    advice = []
    fewer = max(SHALLOW, 2 * work.num_negatives)
    if depth > fewer:
        less = times.each * (fewer + positives) * len(work.queries)
        advice.append(Advice(f"retrieve {fewer} candidates a query", lambda: less))
    why = f"all {depth:,} candidates and the positives"
    scoring = cross_encode_phase(name, depth + positives, work, times, why, *advice)
    return times.load, scoring
