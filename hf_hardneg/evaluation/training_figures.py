"""Means over seeds with their intervals, and differences to the first strategy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.compare_figures import MEASURES, paired_test
from hf_hardneg.evaluation.comparison import Gain, Measured
from hf_hardneg.evaluation.significance import why_no_interval
from hf_hardneg.evaluation.training import Outcome
from hf_hardneg.rates import CONFIDENCE

__all__ = ["measured", "t_interval"]


def t_interval(
    values: Sequence[float], confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return Student's interval of a mean, ``None`` where the values do not tell it.

    That is a single value, or values that are all the same: what does not vary over the seeds says
    nothing of how sure the mean is, and the formula would say that it is certain.

    ``mean ± t(n - 1) * s / sqrt(n)``, where s is the standard deviation with n - 1: Student, "The
    probable error of a mean", Biometrika 6 (1908). It takes the seeds for independent draws from
    a normal distribution; with three of them it is wide, as it should be.

    Args:
        values: one for each seed.
        confidence: of the interval, between 0 and 1.
    """
    number, own = len(values), np.asarray(values, np.float64)
    if why_no_interval(own):
        return None
    from scipy.stats import t  # half a second

    half = float(t.ppf(0.5 + confidence / 2, number - 1)) * own.std(ddof=1) / np.sqrt(number)
    return float(own.mean() - half), float(own.mean() + half)


def measured(
    runs: Sequence[Outcome], first: Sequence[Outcome] | None, *, seed: int = 0
) -> dict[str, Measured]:
    """Return all measures of an entry.

    Args:
        runs: one for each seed, in the order of the seeds; one alone for the start model.
        first: the runs of the first strategy; ``None`` for the first itself, or without one.
        seed: of the test.
    """
    return {name: _measured(name, runs, first, seed) for name in MEASURES}


def _measured(
    name: str, runs: Sequence[Outcome], first: Sequence[Outcome] | None, seed: int
) -> Measured:
    own = _means(name, runs)
    low, high = t_interval(own) or (None, None)
    gain = None
    if first is not None:
        differences = np.asarray(own) - np.asarray(_means(name, first))
        below, above = t_interval(differences.tolist()) or (None, None)
        p = paired_test(_by_query(name, first), _by_query(name, runs), seed=seed)
        gain = Gain(float(differences.mean()), below, above, p)
    return Measured(float(np.mean(own)), low, high, own, gain)


def _means(name: str, runs: Sequence[Outcome]) -> list[float]:
    """Return the mean over the queries for each seed."""
    return [float(run.values[name].mean()) for run in runs]


def _by_query(name: str, runs: Sequence[Outcome]) -> NDArray[np.float64]:
    """Return the mean over the seeds for each query."""
    return np.asarray(np.mean([run.values[name] for run in runs], axis=0), np.float64)
