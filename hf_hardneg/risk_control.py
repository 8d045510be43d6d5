"""The cut that keeps a promise about false negatives, and what exactly is promised.

A decision (a cut, a margin, ...) gives each query up to ``n`` negatives, of which some are false.
The rate is what a mined set is judged by, the share of false ones among all negatives:
``E[false] / E[chosen]``, over queries. A target ``a`` is met exactly if ``E[z] <= 0`` for the
excess of a query::

    z = (false - a * chosen) / n        from -a to 1 - a

A query that gets nothing has ``z = 0``: it speaks neither for nor against a decision, so serving
fewer queries earns nothing by itself.

**Learn then test** (A. Angelopoulos, S. Bates, E. Candès, M. Jordan, L. Lei, "Learn then test:
calibrating predictive algorithms to achieve risk control", arXiv 2110.01052): a p-value for each
decision's hypothesis ``E[z] > 0``, tested at ``delta`` in an order that was fixed without the
calibration queries, up to the first that is not rejected (fixed sequence testing). With
probability at least ``1 - delta`` over the calibration queries, every decision that passed has a
rate of at most ``a``. Needs queries that are independent draws from those that will be mined, and
labels that are right. No form of the model and no monotone rate is needed.

**Conformal risk control** (A. Angelopoulos, S. Bates, A. Fisch, L. Lei, T. Schuster, "Conformal
risk control", arXiv 2208.02814): the laxest cut with ``(m R + 1) / (m + 1) <= a``, where ``R`` is
the mean loss of ``m`` queries. The loss ``false / n`` does not fall with every step towards a
stricter cut, so its upper envelope over all stricter cuts stands for it; the strictest chooses
nothing and loses nothing. Then the expected loss of a new query is at most ``a``, on average over
sets of calibration queries: a weaker promise that fewer queries can make.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import ParameterError

__all__ = [
    "betting_p_value", "conformal_place", "excess", "fewest_queries", "fixed_sequence",
    "hoeffding_bentkus", "normal_p_value", "tail_p_value",
]  # fmt: skip

BETS = 100

Floats = NDArray[np.float64]


def excess(false: Floats, chosen: Floats, target: float, n: int) -> Floats:
    """Return ``z`` of each query, the shape of ``false``.

    Args:
        false: false negatives of each query.
        chosen: its negatives, at most ``n``.
        target: the rate that shall be met, between 0 and 1.
        n: negatives asked for.
    """
    return np.asarray((false - target * chosen) / n, dtype=np.float64)


def betting_p_value(z: Floats, target: float) -> float:
    """Return a p-value for ``E[z] > 0``, valid for any number of queries.

    Somebody who bets a share ``b / (1 - a)`` of what they have on each query against
    ``E[z] > 0`` has after all of them ``K(b) = prod(1 - b z / (1 - a))``, on average at most the
    1 that they began with if the hypothesis holds. So is any mean over ``b`` in (0, 1], here half
    of it on ``b = 1`` and half spread evenly over 100 values, and by Markov's inequality
    ``min(1, 1 / mean K)`` is a p-value. The order of the queries has no influence.

    Source: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting",
    Journal of the Royal Statistical Society B, 2024; the weights of the bets are ours.

    Args:
        z: of each query, between ``-target`` and ``1 - target``, shape (queries,).
        target: the rate that is tested.
    """
    bets = np.arange(1, BETS + 1) / BETS / (1 - target)
    with np.errstate(divide="ignore"):  # the whole bet is lost: log 0
        capital = np.log1p(-np.minimum(bets[:, None] * z[None, :], 1.0)).sum(axis=1)
    weights = np.full(BETS, 0.5 / BETS)
    weights[-1] += 0.5
    total = float(np.logaddexp.reduce(capital + np.log(weights)))
    return float(np.exp(-max(total, 0.0)))


def hoeffding_bentkus(z: Floats, target: float) -> float:
    """Return the p-value of Hoeffding and Bentkus for ``E[z] > 0``.

    With the loss ``L = z + a`` in [0, 1], its mean ``R`` over ``m`` queries, and
    ``h(r, a) = r ln(r / a) + (1 - r) ln((1 - r) / (1 - a))``::

        min( exp(-m h(min(R, a), a)),  e P(Binomial(m, a) <= ceil(m R)) )

    Source: "Learn then test" (above), section on p-values for bounded losses. It knows nothing of
    the variance, so with five negatives a query it needs more queries than :func:`betting_p_value`.

    Args:
        z: of each query, shape (queries,).
        target: the rate that is tested.
    """
    from scipy.stats import binom  # half a second

    m = len(z)
    if not m:
        return 1.0
    mean = float(np.clip(np.mean(z) + target, 0.0, 1.0))
    low = min(mean, target)
    divergence = (1 - low) * math.log((1 - low) / (1 - target))
    if low > 0:
        divergence += low * math.log(low / target)
    # What rounding adds to a whole number must not take it one up.
    most = math.ceil(m * mean - 1e-9)
    return min(1.0, math.exp(-m * divergence), math.e * float(binom.cdf(most, m, target)))


def normal_p_value(z: Floats) -> float:
    """Return the one-sided p-value of the normal approximation for ``E[z] > 0``.

    For samples of labels whose weights have no known bound: right as queries grow many, and no
    statement about few. 1 where nothing varies: no evidence is not evidence. Never alone: with few
    labels and no false negative among them the spread is that of the draw, and the value is tiny
    at any target, see :func:`tail_p_value`.

    Args:
        z: of each query, labels weighted by 1 over their chance of being drawn, (queries,).
    """
    from scipy.stats import norm  # half a second

    if len(z) < 2 or not (spread := float(np.std(z, ddof=1))):
        return 1.0
    return float(norm.cdf(float(np.mean(z)) / (spread / math.sqrt(len(z)))))


def tail_p_value(rate: float, effective: float, target: float) -> float:
    """Return the chance of so low a rate in so many independent cases, if the target is the truth.

    ``P(Binomial(n, a) <= n r)``, by the incomplete beta function also where ``n r`` is no whole
    number. Ten labels that are all of true negatives give ``(1 - a)^10``: they speak against a
    rate of 20%, and say next to nothing of 1%.

    Source: as for intervals, E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data", Survey Methodology 24
    (1998), 193-201: the binomial with an effective number of cases. As a test it is ours.

    Args:
        rate: of the sample.
        effective: independent cases that would make the rate as sure as it is; 0 gives 1.
        target: the rate that is tested.
    """
    from scipy.special import betainc  # half a second

    hits = rate * effective
    return 1.0 if hits >= effective else float(betainc(effective - hits, hits + 1, 1 - target))


def fixed_sequence(p_values: Floats, delta: float) -> int:
    """Return how many decisions pass, tested in their order up to the first that does not.

    Args:
        p_values: in the order of testing, which must not depend on the calibration queries.
        delta: the chance that is taken of promising too much.
    """
    failed = np.flatnonzero(~(p_values <= delta))
    return int(failed[0]) if len(failed) else len(p_values)


def conformal_place(losses: Floats, target: float) -> int | None:
    """Return the place of the laxest cut that conformal risk control allows.

    Args:
        losses: ``false / n`` of each query under each cut, strictest first, (queries, cuts).
        target: the expected loss that shall be met.

    Returns:
        ``None`` where no cut will do: too few queries, or too much loss.
    """
    envelope = np.maximum.accumulate(losses, axis=1)
    queries = len(envelope)
    bound = (envelope.sum(axis=0) + 1) / (queries + 1)
    allowed = np.flatnonzero(bound <= target + 1e-12)
    return int(allowed[-1]) if len(allowed) else None


def fewest_queries(target: float, delta: float) -> int:
    """Return how many fully served queries can meet a target if none has a false negative.

    With fewer, :func:`betting_p_value` cannot be ``delta`` or less, whatever they show. No test
    needs fewer than ``ln(delta) / ln(1 - target)``.

    Raises:
        ParameterError: a value that is not between 0 and 1.
    """
    for name, value in (("target", target), ("delta", delta)):
        if not 0 < value < 1:
            raise ParameterError(f"risk: {name}={value!r}; expected a number between 0 and 1.")
    low = max(math.floor(math.log(delta) / math.log1p(-target)), 1)
    high = 2 * low + 1
    while _best_p_value(high, target) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _best_p_value(middle, target) <= delta else (middle, high)
    return low if _best_p_value(low, target) <= delta else high


def _best_p_value(queries: int, target: float) -> float:
    """Return the p-value of so many queries without a false negative."""
    return betting_p_value(np.full(queries, -target), target)
