"""What cross-encoding is expected to take, from a few pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.pair_cost import Predict, cross_encode_phase, pair_times
from hf_hardneg.workload import Advice, Nearest, Phase, Workload

__all__ = ["Asking", "cross_encoding"]

FEWEST_PAIRS, MOST_PAIRS = 64, 512


@dataclass(frozen=True)
class Asking:
    """How candidates are asked about.

    Attributes:
        wanted: how many have to survive.
        threshold: below which a candidate does.
        most: how many of a query may be asked about.
        positives: whether the positives are scored too.
    """

    wanted: int
    threshold: float
    most: int
    positives: bool

    def count(self, scores: NDArray[np.float32]) -> float:
        """Return how many candidates of a query are asked about.

        In turn, until enough have survived; beyond those with a score here, as many survive as
        among these.
        """
        survivors = np.flatnonzero(scores < self.threshold)
        if len(survivors) >= self.wanted:
            number = float(survivors[self.wanted - 1] + 1)
        else:
            share = (len(survivors) + 1) / (len(scores) + 2)
            number = len(scores) + (self.wanted - len(survivors)) / share
        return min(number, self.most) + self.positives


def cross_encoding(
    name: str,
    predict: Predict,
    asking: Asking,
    work: Workload,
    nearest: Nearest,
    corpus: Corpus,
) -> tuple[Phase, ...]:
    """Return the phases of loading the model and scoring pairs.

    Args:
        name: of the veto.
        predict: scores pairs.
        asking: how it is asked.
        work: the whole job.
        nearest: candidates that are no known positives. Where the corpus is large they are those
            of a part of it, and so easier ones.
        corpus: where their texts are.
    """
    times = pair_times(name, predict, work, nearest, corpus)
    most = int(min(max(2 * work.budget / times.each, FEWEST_PAIRS), MOST_PAIRS))
    counts = _counts(predict, asking, times.pairs, most)
    asked = float(np.mean(counts))
    advice = []
    if asked > asking.wanted:
        fewest = times.each * asking.wanted * len(work.queries)
        text = f"ask about {asking.wanted} candidates at most: keep_top_k={asking.wanted}"
        advice.append(Advice(text, lambda: fewest))
    why = f"as with {len(counts)} of them"
    return times.load, cross_encode_phase(name, asked, work, times, why, *advice)


def _counts(
    predict: Predict, asking: Asking, pairs: Sequence[tuple[str, str]], most: int
) -> list[float]:
    """Return how many candidates are asked about, for some of the queries."""
    places: dict[str, list[int]] = {}
    for place, (query, _) in enumerate(pairs):
        places.setdefault(query, []).append(place)
    chosen = list(places.values())[:: max(len(pairs) // most, 1)]
    scores = predict([pairs[place] for own in chosen for place in own])
    ends = np.cumsum([len(own) for own in chosen])
    return [asking.count(part) for part in np.split(scores, ends[:-1])]
