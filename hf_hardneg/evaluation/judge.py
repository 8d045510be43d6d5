"""A judge that errs looks at chosen negatives, and its errors are taken out of what it finds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset

from hf_hardneg.checks import at_least, one_of, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.judge_correction import (
    LEAST_SEPARATION,
    Correction,
    JudgedSample,
    corrected,
)
from hf_hardneg.evaluation.judge_labels import labelled_pairs, standardised
from hf_hardneg.evaluation.judge_sample import (
    Pairs,
    deep_candidates,
    known_positives,
    random_documents,
    sample_negatives,
)
from hf_hardneg.evaluation.judge_scores import Scored, calls, cross_fitted, scores_of
from hf_hardneg.evaluation.label_cases import LabelCases
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.rates import Rate

__all__ = ["judge_rate"]

METHOD = "judge"
CALIBRATIONS = ("random", "pool", "labels")
CONSTANT = "the judge gives every document the same score"
HAND = "{:,} negatives that were picked by hand are left out of the labels: nobody drew them."
BAD_QUERIES = (
    "The {:,} queries that an annotator calls bad are left out of the labels, and not of the "
    "negatives that the judge looks at: which of these have a bad query, only labels tell."
)
FEWEST = 20


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
    labels: Labels | None = None,
) -> Rate:
    """Let a judge look at a sample of negatives, and take its errors out of what it finds.

    The judge calls a document relevant when its score is at least a threshold; p is the share of
    the sample that it calls relevant. What is made of p depends on what its errors are measured on.

    ``labels``: on labelled negatives of this mined set. The rate is p r1 + (1 - p) r0, see
    :func:`~hf_hardneg.evaluation.judge_labels.standardised`. This needs nothing of the judge, and
    is the only way of the three that gives a RATE.

    ``random``: sensitivity ``se`` on known positives, specificity ``sp`` on random documents of
    the same queries, and (p + sp - 1) / (se + sp - 1) of Rogan and Gladen. That is right if the
    judge errs on chosen negatives as on these two samples. It does not: negatives are chosen for
    being hard, so a judge takes them for relevant far more often than random documents, and the
    false ones among them stand nearer to the query than the average positive. Both errors make
    the corrected value too high, and it is returned as what it is, an UPPER LIMIT: ``rate`` is
    ``None``, ``low`` 0, ``high`` the upper end of the corrected value's interval, ``why`` says it
    in words. ``details["corrected"]`` has the value as the formula gives it.

    ``pool``: the same with candidates from the deeper half of each query's list for the random
    documents. They are harder, so the limit is nearer; but some of them are relevant, which
    pulls the other way. What comes out is no limit in either direction: ``low`` and ``high`` are
    ``None`` too, and the value stands in ``details["corrected"]`` alone.

    The threshold is chosen by cross-fitting: queries fall into two halves by hash, each half is
    judged with the threshold that separates the OTHER half's relevant and irrelevant documents
    best (largest se + sp - 1), so that no error is measured on what chose the threshold.
    Intervals are the wider of two at each end, a percentile bootstrap, for which queries are drawn
    anew with all that was judged for them, thresholds as they are, and one made of the score
    intervals of the shares; see :func:`~hf_hardneg.evaluation.judge_correction.corrected`.

    Sources: W. J. Rogan, B. Gladen, "Estimating prevalence from the results of a screening test",
    American Journal of Epidemiology 107 (1978), 71-76. W. J. Youden, "Index for rating diagnostic
    tests", Cancer 3 (1950), 32-35. A. Tenenbein, "A double sampling scheme for estimating from
    binomial data with misclassifications", Journal of the American Statistical Association 65
    (1970), 1350-1361.

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
        calibrate_on: ``random``, ``pool`` or ``labels``; ``labels`` where labels are given.
        pool: what ``miner.retrieve`` returned; needed for ``pool``.
        labels: of negatives of this mined set, drawn at random or with their weights; with texts.

    Returns:
        The rate or limit, ``n`` negatives looked at. Where the judge cannot tell, all three are
        ``None``, with the reason: it separates too badly (the lower 95% limit of se + sp - 1 is
        below 0.2), gives one score to all, there are fewer than 20 documents to measure it on, it
        calls more of the negatives relevant than of the known positives, or fewer than its false
        alarms alone would make.

    Raises:
        ParameterError: a parameter out of range.
        ColumnError: the mined set has no positives.
        FormatError: labels without texts.
        ModelError: the judge cannot be loaded, or gives scores that are no numbers.
    """
    whole_number("judge_rate", "sample", sample, 1)
    whole_number("judge_rate", "seed", seed, 0)
    calibrate_on = _checked(calibrate_on, threshold, pool, labels)
    mined = mined.joined(corpus)
    negatives, details = sample_negatives(mined, sample, seed)
    assumed = _assumed(mined, calibrate_on, len(negatives), sample)
    work = _Work(judge, negatives, threshold, seed, assumed, {**details, "asked": sample,
                 "calibrate_on": calibrate_on})  # fmt: skip
    if not len(negatives):
        return work.unknown("there are no negatives with a text")
    if labels is not None:
        return _with_labels(work, labels, corpus)
    positives, known = known_positives(mined, sample, seed)
    if pool is not None and calibrate_on == "pool":
        others = deep_candidates(mined, pool, corpus, sample, seed, known)
    else:
        others = random_documents(mined, corpus, sample, seed, known)
    return _with_documents(work, positives, others)


def _checked(
    calibrate_on: str, threshold: float | None, pool: Dataset | None, labels: Labels | None
) -> str:
    """Refuse parameters that do not go together; return what to calibrate on."""
    one_of("judge_rate", "calibrate_on", calibrate_on, CALIBRATIONS)
    if threshold is not None:
        at_least("judge_rate", "threshold", threshold, -np.inf)
    if calibrate_on == "pool" and pool is None:
        raise ParameterError(
            "judge_rate: calibrate_on='pool' needs pool=, what miner.retrieve(dataset) returned."
        )
    if calibrate_on == "labels" and labels is None:
        raise ParameterError("judge_rate: calibrate_on='labels' needs labels=, see Labels.read.")
    if calibrate_on == "pool" and labels is not None:
        raise ParameterError(
            "judge_rate: labels= are given with calibrate_on='pool'; expected one of the two."
        )
    return "labels" if labels is not None else calibrate_on


@dataclass(frozen=True, slots=True)
class _Work:
    """What every way of calibrating shares."""

    judge: Any
    negatives: Pairs
    threshold: float | None
    seed: int
    assumed: tuple[str, ...]
    details: dict[str, Any]

    def unknown(self, why: str, low: float | None = None, high: float | None = None) -> Rate:
        """Return that there is no rate, and why."""
        return Rate(
            METHOD, None, low, high, len(self.negatives), assumed=self.assumed, why=why,
            details=self.details,
        )  # fmt: skip


def _with_documents(work: _Work, positives: Pairs, others: Pairs) -> Rate:
    """Return the limit that known positives and documents taken for irrelevant give."""
    work.details.update(positives=len(positives), irrelevant=len(others))
    for pairs, what in ((positives, "known positives"), (others, "irrelevant documents")):
        if len(pairs) < FEWEST:
            return work.unknown(
                f"the judge's errors cannot be measured on {len(pairs)} {what}; at least {FEWEST} "
                "are needed"
            )
    parts = (work.negatives, positives, others)
    scores = scores_of(work.judge, *parts)
    if len(np.unique(np.concatenate(scores))) < 2:
        return work.unknown(CONSTANT)
    limits = _limits(work, Scored(positives, scores[1]), Scored(others, scores[2]))
    samples = [
        _sample(work, Scored(pairs, own), limits) for pairs, own in zip(parts, scores, strict=True)
    ]
    found = corrected(*samples, seed=work.seed)
    work.details.update(found.details())
    if why := _cannot_tell(found):
        return work.unknown(why)
    if work.details["calibrate_on"] == "pool":
        return work.unknown(
            f"the corrected value, {found.rate:.1%}, is neither a rate nor a limit: candidates of "
            "the pool are easier than chosen negatives, and some of them are relevant"
        )
    return work.unknown(
        f"an upper limit alone, at most {found.high:.1%}: the judge's false alarms are measured on "
        "random documents and are more frequent on hard negatives; labels of some negatives give "
        "a rate",
        0.0,
        found.high,
    )


def _with_labels(work: _Work, labels: Labels, corpus: Corpus) -> Rate:
    """Return the rate that the judge and labelled negatives give together."""
    labelled, values = labelled_pairs(labels, corpus)
    work.details.update(labelled=len(labelled))
    cases = LabelCases.of(labels)
    if cases.hand_picked:
        work.details.update(hand_picked=len(cases.hand_picked))
        work = replace(work, assumed=(*work.assumed, HAND.format(len(cases.hand_picked))))
    if bad := cases.bad_queries:
        work = replace(work, assumed=(*work.assumed, BAD_QUERIES.format(len(bad))))
    if len(labelled) < FEWEST:
        return work.unknown(
            f"{len(labelled)} negatives have a label that decides, those picked by hand not "
            f"counted; at least {FEWEST} are needed"
        )
    scores = scores_of(work.judge, work.negatives, labelled)
    if len(np.unique(np.concatenate(scores))) < 2:
        return work.unknown(CONSTANT)
    relevant = values >= 0.5
    whole = Scored(labelled, scores[1])
    limits = _limits(work, whole.only(relevant), whole.only(~relevant))
    samples = [_sample(work, own, limits) for own in (Scored(work.negatives, scores[0]), whole)]
    found = standardised(samples[0], samples[1], values, seed=work.seed)
    work.details.update(found.details())
    if found.rate is None:
        answer = "relevant" if not found.labelled[0] else "irrelevant"
        return work.unknown(
            f"the judge calls none of the labelled negatives {answer}; label_rate says what the "
            "labels tell alone"
        )
    return Rate(
        METHOD, found.rate, found.low, found.high, len(work.negatives), assumed=work.assumed,
        details=work.details,
    )  # fmt: skip


def _limits(work: _Work, positives: Scored, others: Scored) -> tuple[float, float]:
    """Return the thresholds of the two halves of the queries, and say where they come from."""
    limits = cross_fitted(positives, others, work.seed) if work.threshold is None else (
        work.threshold, work.threshold
    )  # fmt: skip
    work.details.update(
        thresholds=[limit if np.isfinite(limit) else None for limit in limits],
        threshold_from="cross-fitted" if work.threshold is None else "given",
    )
    return limits


def _sample(work: _Work, scored: Scored, limits: tuple[float, float]) -> JudgedSample:
    called = calls(scored, limits, work.seed)
    return JudgedSample(scored.pairs.query_keys, called, scored.pairs.weights)


def _assumed(mined: MinedSet, calibrate_on: str, taken: int, asked: int) -> tuple[str, ...]:
    of_documents = [
        "The judge finds false negatives at least as often as it finds known positives.",
        "It takes chosen negatives for relevant by mistake at least as often as random documents.",
        "The judge had no part in choosing these negatives.",
    ]
    said = {
        "labels": [
            "The labels are right, and of negatives drawn at random from this mined set, or with "
            "the weights of the draw."
        ],
        "random": of_documents,
        "pool": [
            of_documents[0],
            "Candidates from the deeper half of the pool are all irrelevant.",
            of_documents[2],
        ],
    }[calibrate_on]
    if taken < asked:
        said.append(f"All {taken:,} negatives with a text were judged; {asked:,} were asked for.")
    return (*said, *mined.notes)


def _cannot_tell(found: Correction) -> str:
    low = found.separation[1]
    if low < LEAST_SEPARATION:
        return (
            "the judge does not separate known positives from irrelevant documents well enough: "
            f"se + sp - 1 is {found.separation[0]:.2f}, its lower limit {low:.2f} is below "
            f"{LEAST_SEPARATION}"
        )
    if found.raw is None or found.raw[2] <= 0:
        return (
            f"the judge calls {found.apparent[0]:.1%} of the negatives relevant, fewer than the "
            f"{1 - found.specificity[0]:.1%} that its false alarms alone would make: they do not "
            "hold for these negatives"
        )
    if found.raw[0] > 1:
        return (
            f"the judge calls {found.apparent[0]:.1%} of the negatives relevant, and only "
            f"{found.sensitivity[0]:.1%} of the known positives: it is no measure of these"
        )
    return ""
