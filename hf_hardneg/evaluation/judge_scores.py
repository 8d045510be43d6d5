"""What a judge scores, and from which score on it calls a document relevant."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import ModelError
from hf_hardneg.evaluation.judge_sample import Pairs
from hf_hardneg.filters.cross_encoder import CrossEncoderDenoiser
from hf_hardneg.hashing import mix

__all__ = ["Judge", "Scored", "best_threshold", "calls", "cross_fitted", "scores_of"]

FOLD_SALT = 0x464F4C44
AT_ONCE = 8_192

Judge = Callable[[Sequence[str], Sequence[str]], Any]
"""From queries and documents, as many, to a score a pair."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Pairs and the judge's scores of them."""

    pairs: Pairs
    scores: NDArray[np.float64]

    def only(self, chosen: NDArray[np.bool_]) -> Scored:
        """Return those that are chosen, without their texts."""
        keys, weights = self.pairs.query_keys[chosen], self.pairs.weights[chosen]
        return Scored(Pairs([], [], keys, weights), self.scores[chosen])

    def halves(self, seed: int) -> NDArray[np.int64]:
        """Return in which half of the queries each pair is, 0 or 1, by a hash."""
        bit = mix(seed, FOLD_SALT, self.pairs.query_keys) & np.uint64(1)
        return bit.astype(np.int64)


def scores_of(judge: Any, *parts: Pairs) -> list[NDArray[np.float64]]:  # noqa: ANN401
    """Return the judge's scores of several lists of pairs.

    Args:
        judge: a callable, or a cross-encoder's name, path, or the loaded one.
        parts: the pairs.

    Raises:
        ModelError: the model cannot be loaded, or scores that are not one finite number a pair.
    """
    if callable(judge) and not hasattr(judge, "predict"):
        ask: Judge = judge
    else:
        model = os.fspath(judge) if isinstance(judge, os.PathLike) else judge
        encoder = CrossEncoderDenoiser(model)

        def ask(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
            return encoder.score(list(queries), list(documents))

    return [_asked(ask, pairs) for pairs in parts]


def _asked(ask: Judge, pairs: Pairs) -> NDArray[np.float64]:
    found = []
    for start in range(0, len(pairs), AT_ONCE):
        stop = start + AT_ONCE
        queries, documents = pairs.queries[start:stop], pairs.documents[start:stop]
        scores = np.asarray(ask(queries, documents), dtype=np.float64)
        if scores.shape != (len(queries),) or not np.isfinite(scores).all():
            raise ModelError(
                f"the judge gave an array of shape {scores.shape} for {len(queries)} pairs, "
                f"{int((~np.isfinite(scores)).sum())} of them not finite; expected one number a "
                "pair."
            )
        found.append(scores)
    return np.concatenate(found)


def best_threshold(positives: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the threshold with the largest se + sp - 1, halfway between two scores.

    Of several that are as good, the middle one. Infinite where no threshold does better than to
    call nothing relevant.

    Source: W. J. Youden, "Index for rating diagnostic tests", Cancer 3 (1950), 32-35.
    """
    scores = np.unique(np.concatenate([positives, others]))
    if len(scores) < 2:
        return float("inf")
    cuts = (scores[1:] + scores[:-1]) / 2
    hit = 1 - np.searchsorted(np.sort(positives), cuts) / len(positives)
    alarm = 1 - np.searchsorted(np.sort(others), cuts) / len(others)
    gain = hit - alarm
    if gain.max() <= 0:
        return float("inf")
    best = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(cuts[best[len(best) // 2]])


def cross_fitted(positives: Scored, others: Scored, seed: int) -> tuple[float, float]:
    """Return the threshold for each half of the queries, chosen on the other half.

    Where a half has no positive or no other document, all of both are taken.
    """
    return _fitted(positives, others, seed, 1), _fitted(positives, others, seed, 0)


def _fitted(positives: Scored, others: Scored, seed: int, half: int) -> float:
    sides = [own.scores[own.halves(seed) == half] for own in (positives, others)]
    if not all(map(len, sides)):
        sides = [positives.scores, others.scores]
    return best_threshold(*sides) if all(map(len, sides)) else float("inf")


def calls(scored: Scored, limits: tuple[float, float], seed: int) -> NDArray[np.bool_]:
    """Return which pairs the judge calls relevant, each by the threshold of its half."""
    return np.asarray(scored.scores >= np.array(limits)[scored.halves(seed)])
