"""A judge that errs looks at chosen negatives, and its errors are taken out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.checks import at_least, one_of, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.evaluation.judge_correction import (
    LEAST_SEPARATION,
    Correction,
    JudgedSample,
    corrected,
)
from hf_hardneg.evaluation.judge_sample import (
    Pairs,
    deep_candidates,
    known_positives,
    random_documents,
    sample_negatives,
)
from hf_hardneg.evaluation.rates import Rate
from hf_hardneg.filters.cross_encoder import CrossEncoderDenoiser
from hf_hardneg.hashing import mix
from hf_hardneg.mined_set import MinedSet

__all__ = ["judge_rate"]

METHOD = "judge"
CALIBRATIONS = ("random", "pool")
FEWEST = 20
FOLD_SALT = 0x464F4C44
AT_ONCE = 8_192

Judge = Callable[[Sequence[str], Sequence[str]], Any]


def judge_rate(
    mined: MinedSet,
    judge: Any,  # noqa: ANN401
    *,
    sample: int = 1000,
    corpus: Corpus,
    seed: int = 0,
    threshold: float | None = None,
    calibrate_on: str = "random",
    pool: Dataset | None = None,
) -> Rate:
    """Let a judge look at a sample of negatives, and correct its share for its own errors.

    The judge calls a document relevant when its score is at least a threshold. Its sensitivity
    ``se`` is the share of known positives it calls relevant, its specificity ``sp`` the share of
    documents taken for irrelevant that it does not. Of the apparent rate p in the sample the
    rate is (p + sp - 1) / (se + sp - 1), kept between 0 and 1.

    The threshold is chosen by cross-fitting: queries fall into two halves by hash, each half is
    judged with the threshold that separates the OTHER half's known positives from its irrelevant
    documents best (largest se + sp - 1), so that neither ``se`` nor ``sp`` is measured on what
    chose the threshold. The interval is a percentile bootstrap: queries are drawn anew with all
    that was judged for them, thresholds as they are.

    What has to hold, and mostly does not quite: the judge errs on chosen negatives as it does on
    the two calibration samples. Random documents are much easier than hard negatives, so ``sp``
    comes out too high and the rate too high with it. ``calibrate_on="pool"`` takes candidates
    from the deeper half of each query's list instead: harder, but some of them are relevant, which
    makes ``sp`` and the rate too low. The two are no bounds, only errors of opposite sign. A judge
    that took part in the choice of these negatives must not judge them.

    Sources: W. J. Rogan, B. Gladen, "Estimating prevalence from the results of a screening test",
    American Journal of Epidemiology 107 (1978), 71-76. W. J. Youden, "Index for rating diagnostic
    tests", Cancer 3 (1950), 32-35.

    Args:
        mined: the mined set, with its positives.
        judge: a cross-encoder's name, path, or the loaded one (scores on the sigmoid scale, each
            pair kept in the cache), or a callable that takes a list of queries and one of documents
            and returns a score a pair, higher for more relevant.
        sample: negatives that are looked at, at least 1, drawn by hash and stratified by rank in
            proportion; as many known positives and irrelevant documents at most are beside them.
        corpus: the documents.
        seed: of the draws, not negative.
        threshold: on the judge's scale; default: cross-fitted.
        calibrate_on: ``random`` or ``pool``.
        pool: what ``miner.retrieve`` returned; needed for ``pool``.

    Returns:
        The rate, ``n`` negatives looked at; ``None``, with the reason, where the judge cannot
        tell: it separates too badly (the lower 95% limit of se + sp - 1 is below 0.2), gives one
        score to all, there are fewer than 20 positives or irrelevant documents, or it finds
        fewer among the negatives than its false alarms alone would make.

    Raises:
        ParameterError: a parameter out of range.
        ColumnError: the mined set has no positives.
        ModelError: the judge cannot be loaded, or gives scores that are no numbers.
    """
    whole_number("judge_rate", "sample", sample, 1)
    whole_number("judge_rate", "seed", seed, 0)
    one_of("judge_rate", "calibrate_on", calibrate_on, CALIBRATIONS)
    if threshold is not None:
        at_least("judge_rate", "threshold", threshold, -np.inf)
    if calibrate_on == "pool" and pool is None:
        raise ParameterError(
            "judge_rate: calibrate_on='pool' needs pool=, what miner.retrieve(dataset) returned."
        )
    mined = mined.joined(corpus)
    negatives, details = sample_negatives(mined, sample, seed)
    positives, known = known_positives(mined, sample, seed)
    if calibrate_on == "pool" and pool is not None:
        others = deep_candidates(mined, pool, corpus, sample, seed, known)
    else:
        others = random_documents(mined, corpus, sample, seed, known)
    details |= {
        "asked": sample, "positives": len(positives), "irrelevant": len(others),
        "calibrate_on": calibrate_on,
    }  # fmt: skip
    assumed = _assumed(mined, calibrate_on, len(negatives), sample)
    why = _too_few(negatives, positives, others)
    if why:
        return Rate(METHOD, None, None, None, 0, assumed=assumed, why=why, details=details)
    scores = _scores(judge, negatives, positives, others)
    return _rate((negatives, positives, others), scores, threshold, seed, assumed, details)


def _too_few(negatives: Pairs, positives: Pairs, others: Pairs) -> str:
    if not len(negatives):
        return "there are no negatives with a text"
    for pairs, what in ((positives, "known positives"), (others, "irrelevant documents")):
        if len(pairs) < FEWEST:
            return (
                f"the judge's errors cannot be measured on {len(pairs)} {what}; at least {FEWEST} "
                "are needed"
            )
    return ""


def _assumed(mined: MinedSet, calibrate_on: str, taken: int, asked: int) -> tuple[str, ...]:
    irrelevant = {
        "random": "The judge takes chosen negatives for relevant as rarely by mistake as random "
        "documents. It does so more often: the rate is too high for that.",
        "pool": "Candidates from the deeper half of the pool are all irrelevant and as hard as "
        "chosen negatives. Some are relevant, which makes the rate too low; the others are easier, "
        "which makes it too high.",
    }
    said = [
        "The judge finds false negatives as often as it finds known positives.",
        irrelevant[calibrate_on],
        "The judge had no part in choosing these negatives.",
    ]
    if taken < asked:
        said.append(f"All {taken:,} negatives with a text were judged; {asked:,} were asked for.")
    return (*said, *mined.notes)


# -- scoring -------------------------------------------------------------------------------------


def _scores(judge: Any, *parts: Pairs) -> list[NDArray[np.float64]]:  # noqa: ANN401
    """Return the judge's scores of several lists of pairs."""
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


# -- threshold and rate --------------------------------------------------------------------------


def best_threshold(positives: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the threshold with the largest se + sp - 1, halfway between two scores.

    Of several that are as good, the middle one. Infinite where no threshold does better than to
    call nothing relevant.
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


def _thresholds(
    parts: tuple[Pairs, Pairs, Pairs],
    scores: list[NDArray[np.float64]],
    given: float | None,
    seed: int,
) -> tuple[list[NDArray[np.bool_]], list[float]]:
    """Return which pairs are called relevant, and the thresholds of the two halves."""
    if given is not None:
        return [own >= given for own in scores], [given, given]
    folds = [mix(seed, FOLD_SALT, pairs.query_keys) & np.uint64(1) for pairs in parts]
    limits = []
    for fold in (0, 1):
        positives, others = (scores[part][folds[part] != fold] for part in (1, 2))
        if not len(positives) or not len(others):
            positives, others = scores[1], scores[2]
        limits.append(best_threshold(positives, others))
    called = [
        own >= np.array(limits)[fold.astype(np.int64)]
        for own, fold in zip(scores, folds, strict=True)
    ]
    return called, limits


def _rate(
    parts: tuple[Pairs, Pairs, Pairs],
    scores: list[NDArray[np.float64]],
    threshold: float | None,
    seed: int,
    assumed: tuple[str, ...],
    details: dict[str, Any],
) -> Rate:
    n = len(parts[0])
    if len(np.unique(np.concatenate(scores))) < 2:
        why = "the judge gives every document the same score"
        return Rate(METHOD, None, None, None, n, assumed=assumed, why=why, details=details)
    called, limits = _thresholds(parts, scores, threshold, seed)
    samples = [
        JudgedSample(pairs.query_keys, own, pairs.weights)
        for pairs, own in zip(parts, called, strict=True)
    ]
    found = corrected(*samples, seed=seed)
    finite = [limit if np.isfinite(limit) else None for limit in limits]
    details |= {
        "thresholds": finite,
        "threshold_from": "given" if threshold is not None else "cross-fitted, largest se + sp - 1",
        **found.details(),
    }
    why = _cannot_tell(found)
    if why:
        return Rate(METHOD, None, None, None, n, assumed=assumed, why=why, details=details)
    return Rate(METHOD, found.rate, found.low, found.high, n, assumed=assumed, details=details)


def _cannot_tell(found: Correction) -> str:
    low = found.separation[1]
    if low < LEAST_SEPARATION:
        return (
            "the judge does not separate known positives from irrelevant documents well enough: "
            f"se + sp - 1 is {found.separation[0]:.2f}, its lower limit {low:.2f} is below "
            f"{LEAST_SEPARATION}"
        )
    if found.high is None or found.high <= 0:
        return (
            f"the judge calls {found.apparent[0]:.1%} of the negatives relevant, fewer than the "
            f"{1 - found.specificity[0]:.1%} that its false alarms alone would make: they do not "
            "hold for these negatives"
        )
    return ""
