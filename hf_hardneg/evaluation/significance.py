"""Is the difference between two rankings more than chance? A paired randomisation test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_hardneg.checks import whole_number
from hf_hardneg.errors import ParameterError
from hf_hardneg.rates import bootstrap_ratio

__all__ = ["REPEATS", "Comparison", "randomisation_test"]

REPEATS = 10_000
NUMBERS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two rankings of the same queries, by one measure.

    Attributes:
        before, after: the means.
        difference: ``after - before``, the mean over queries.
        low, high: the 95% interval of the difference, by drawing queries anew.
        p: of the two-sided randomisation test: how often signs drawn at random give a mean
            difference at least as large, in either direction.
        n: queries.
        better, worse: queries whose value rose or fell; the others are equal.
        exact: whether all ``2**n`` signs were tried, and not a sample of them.
        measure: its name, where it is known.
    """

    before: float
    after: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    better: int
    worse: int
    exact: bool
    measure: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Return it in a line."""
        name = f"{self.measure}: " if self.measure else ""
        return (
            f"{name}{self.before:.4f} to {self.after:.4f}, difference {self.difference:+.4f} "
            f"({self.low:+.4f} to {self.high:+.4f}), p = {self.p:.3g}, n = {self.n:,} queries"
        )


def randomisation_test(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    measure: str = "",
) -> Comparison:
    """Compare two rankings by one value a query.

    If the two were the same, each query's two values could stand the other way round: the sign of
    its difference is drawn at random, and p is the share of draws whose mean difference is at
    least as far from 0 as the real one. Where there are no more than ``repeats`` ways to set the
    signs, all are tried and p is exact; otherwise p is ``(hits + 1) / (repeats + 1)``, never 0.
    One p-value is for one question: nothing is corrected for several.

    The order of the queries decides which signs are drawn: give them sorted by id.

    Source: M. Smucker, J. Allan, B. Carterette, "A comparison of statistical significance tests
    for information retrieval evaluation", CIKM 2007. The signs are those of
    ``scipy.stats.permutation_test`` with ``permutation_type="samples"``; of its two-sided tests it
    takes twice the smaller tail, so here the statistic is the size of the mean difference and the
    test is of its upper tail. The interval is the percentile bootstrap of the mean difference.

    Args:
        a: values before, shape (queries,), finite.
        b: values after, of the same queries in the same order.
        seed: of the signs and of the bootstrap.
        repeats: random signs, at least 1.
        measure: name of the measure, to be shown.

    Raises:
        ParameterError: different shapes, no query, or a value that is not finite.
    """
    before, after = _values("a", a), _values("b", b)
    if before.shape != after.shape:
        raise ParameterError(
            f"randomisation_test: {len(before)} values before and {len(after)} after; expected "
            "one value for each of the same queries."
        )
    whole_number("randomisation_test", "seed", seed, 0)
    whole_number("randomisation_test", "repeats", repeats, 1)
    differences = after - before
    p, exact = _p_value(differences, seed, repeats)
    low, high = bootstrap_ratio(differences, np.ones(len(differences)), seed=seed)
    return Comparison(
        before=float(before.mean()),
        after=float(after.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        p=p,
        n=len(differences),
        better=int(np.count_nonzero(differences > 0)),
        worse=int(np.count_nonzero(differences < 0)),
        exact=exact,
        measure=measure,
    )


def _values(name: str, given: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(given, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ParameterError(
            f"randomisation_test: {name} has shape {values.shape}"
            f"{'' if np.isfinite(values).all() else ' and values that are not finite'}; expected "
            "one finite value for each of one or more queries."
        )
    return values


def _p_value(differences: NDArray[np.float64], seed: int, repeats: int) -> tuple[float, bool]:
    """Return p, and whether it is exact."""
    n = len(differences)
    if n == 1:  # either sign is as far from 0; scipy wants two observations
        return 1.0, True
    from scipy.stats import permutation_test  # half a second

    found = permutation_test(
        (differences,),
        _size_of_mean,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=repeats,
        batch=max(NUMBERS_AT_ONCE // n, 1),
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue), 2**n <= repeats


def _size_of_mean(differences: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    size: NDArray[np.float64] = np.abs(differences.mean(axis=axis))
    return size
