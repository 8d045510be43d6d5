"""What scoring pairs with a cross-encoder is expected to take, from a few of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.stage_inputs import Documents
from hf_hardneg.workload import Advice, Nearest, Phase, Workload, seconds_by_length, timed

__all__ = ["PairTimes", "Predict", "cross_encode_phase", "pair_times"]

RECORD = 12
"""Bytes of a score on disk."""

Predict = Callable[[list[tuple[str, str]]], NDArray[np.float32]]


@dataclass(frozen=True)
class PairTimes:
    """What a trial has shown.

    Attributes:
        load: the phase of loading the model, which is done.
        pairs: of a query and a document that is near to it.
        each: seconds that a pair takes, all processes together.
        number: pairs that were timed.
    """

    load: Phase
    pairs: list[tuple[str, str]]
    each: float
    number: int


def pair_times(
    name: str, predict: Predict, work: Workload, nearest: Nearest, corpus: Documents
) -> PairTimes:
    """Load the model and time some pairs.

    Args:
        name: of the stage.
        predict: scores pairs.
        work: the whole job.
        nearest: candidates that are no known positives, at least one. Where the corpus is large
            they are those of a part of it, and so easier ones.
        corpus: where their texts are.
    """
    load = timed(lambda: predict([("a", "b")]))
    texts = corpus.texts([row for _, row in nearest])
    pairs = [(query, text) for (query, _), text in zip(nearest, texts, strict=True)]
    lengths = np.array([len(query) + len(text) for query, text in pairs], dtype=np.int64)
    seconds, number = seconds_by_length(
        lambda places: predict([pairs[place] for place in places]), lengths, work.budget
    )
    phase = Phase(f"{name}: load the model", load, basis="done")
    return PairTimes(phase, pairs, seconds / len(pairs) / work.processes, number)


def cross_encode_phase(
    name: str, asked: float, work: Workload, times: PairTimes, why: str, *advice: Advice
) -> Phase:
    """Return the phase of scoring so many pairs of each query.

    Args:
        name: of the stage.
        asked: pairs of a query; a pair is scored once, however many rows have its query.
        work: the whole job.
        times: of the trial.
        why: where the number of pairs is from.
        advice: other ways.
    """
    queries = len(work.queries)
    basis = f"{times.number:,} pairs; {asked:.1f} a query, {why}"
    disk = int(RECORD * asked * queries)
    return Phase(
        f"{name}: cross-encode", times.each * asked * queries, 0, disk, basis, tuple(advice)
    )
