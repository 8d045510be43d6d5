"""The rate that labels of a sample give, and how far annotators agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.clustered import by_query, clustered_interval
from hf_hardneg.evaluation.label_cases import (
    IRRELEVANT,
    RELEVANT,
    LabelCase,
    LabelCases,
    side_of,
    word_of,
)
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.hashing import exact_keys
from hf_hardneg.rates import Rate, wilson

__all__ = ["cohens_kappa", "label_rate"]

METHOD = "labels"


def cohens_kappa(a: Sequence[Any], b: Sequence[Any]) -> float | None:
    """Return the agreement of two annotators beyond chance, 1 for full agreement, 0 for chance.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", Educational and
    Psychological Measurement 20 (1960), 37-46; worked out by scikit-learn.

    Args:
        a: one annotator's labels, of the same cases and in the same order as
        b: those of the other.

    Returns:
        Kappa; ``None`` where it is not defined: no cases, or both gave one and the same label to
        all, so that agreement by chance is certain.

    Raises:
        ParameterError: the two are not of the same length.
    """
    if len(a) != len(b):
        raise ParameterError(f"cohens_kappa: {len(a)} labels against {len(b)}; expected as many.")
    if not len(a) or len({*a, *b}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(list(a), list(b)))


def label_rate(labels: Labels) -> Rate:
    """Return the rate of false negatives that labels of a sample give.

    Each negative weighs what the draw gave it, 1 / probability of having been drawn; the rate is
    the ratio sum(w y) / sum(w) (J. Hajek's form of the estimator of D. G. Horvitz and D. J.
    Thompson, "A generalization of sampling without replacement from a finite universe", Journal
    of the American Statistical Association 47 (1952), 663-685). y is 1 for ``false_negative``, 0
    for ``true_negative``, and a number is taken as the probability that it is.

    - Several annotators of one negative: y is the mean over those who decided, so that a split
      of two counts half. If one annotator labelled a negative several times, the last line counts.
    - ``unsure`` by all who looked: left out of the rate, counted, and ``details`` says the least
      and the greatest rate that they allow.
    - ``bad_query`` by any annotator, at any pair of a query: all pairs of that query are left out
      and counted, controls too. To a query that cannot be answered no document is relevant or
      irrelevant; the rate is one of usable queries.
    - Picked by hand (stratum ``hand-picked``): nobody drew it, so it says nothing of those that
      were not looked at. Never in the rate, in the sensitivity or in the agreement; ``details``
      counts these negatives and those of them that are called false. Only ``bad_query`` counts
      wherever it was said: the query is bad at its drawn negatives too.
    - Not labelled: left out, counted.
    - Controls, known positives mixed in: never in the rate. The share of them that the annotators
      call relevant is their sensitivity.

    The interval is the wider of two at each end, a bootstrap over queries and Wilson's with the
    effective number of cases, so that no false negative found still has an upper limit above 0;
    see :func:`~hf_hardneg.evaluation.clustered.clustered_interval`. It does not contain the
    annotators' own errors.

    Args:
        labels: what :meth:`Labels.read` returned.

    Returns:
        The rate; ``None`` where no negative that was drawn has a label that decides. ``details``
        has the counts, sensitivity on controls, and Cohen's kappa of every two annotators with a
        negative in common.
    """
    found = LabelCases.of(labels)
    weighted = any(row.weight is not None for row in found.latest if not row.control)
    details: dict[str, Any] = {
        "lines": len(labels),
        "negatives": found.negatives,
        "decided": len(found.decided),
        "unsure": len(found.unsure),
        "bad_query": len(found.bad_query),
        "bad_queries": len({case.query for case in found.bad_query}),
        "not_labelled": len(found.not_labelled),
        "disagreed": sum(len(set(map(side_of, case.values))) > 1 for case in found.decided),
        "labelled_again": found.labelled_again,
        "weighted": weighted,
        "hand_picked": {
            "negatives": len(found.hand_picked),
            "called_false": found.called_false_by_hand,
            "bad_queries": len(found.bad_by_hand),
        },
        "controls": _controls(found.controls, found.bad_queries),
        "agreement": _agreement(found.latest),
    }
    assumed = _assumed(details)
    if not found.decided:
        why = _why(details)
        return Rate(METHOD, None, None, None, 0, assumed=assumed, why=why, details=details)
    return _rate(found.decided, found.unsure, assumed, details)


def _why(details: dict[str, Any]) -> str:
    """Say why there is no rate."""
    picked = details["hand_picked"]
    if not picked["negatives"]:
        return "no negative has a label that decides"
    return (
        f"no negative that was drawn has a label that decides. {picked['negatives']:,} were picked "
        f"by hand, {picked['called_false']:,} of which are called false, and from these nothing "
        "follows for the others. Judge a drawn sample: hf-hardneg sample draws one"
    )


def _controls(every: list[Label], bad_queries: frozenset[str]) -> dict[str, Any]:
    """Say how many of the known positives annotators call relevant, and who."""
    rows = [row for row in every if row.pair[0] not in bad_queries]
    words = [(row.annotator, word_of(row)) for row in rows if row.label is not None]
    decided = [(who, word) for who, word in words if word in (RELEVANT, IRRELEVANT)]
    found = Counter(who for who, word in decided if word == RELEVANT)
    seen = Counter(who for who, _ in decided)
    hits, n = sum(found.values()), len(decided)
    low, high = wilson(hits, n)
    return {
        "labelled": len(words),
        "of_bad_queries": len(every) - len(rows),
        "decided": n,
        "sensitivity": hits / n if n else None,
        "low": low,
        "high": high,
        "by_annotator": {who: found[who] / seen[who] for who in sorted(seen)},
    }


def _agreement(rows: list[Label]) -> list[dict[str, Any]]:
    """Return Cohen's kappa of every two annotators who labelled a case in common."""
    by_annotator: dict[str, dict[tuple[tuple[str, str], bool], str]] = {}
    for row in rows:
        if row.label is not None:
            by_annotator.setdefault(row.annotator, {})[row.pair, row.control] = word_of(row)
    found = []
    for a, b in combinations(sorted(by_annotator), 2):
        shared = sorted(by_annotator[a].keys() & by_annotator[b].keys())
        if not shared:
            continue
        left, right = ([by_annotator[who][case] for case in shared] for who in (a, b))
        same = sum(one == other for one, other in zip(left, right, strict=True))
        found.append(
            {
                "annotators": [a, b],
                "n": len(shared),
                "same": same / len(shared),
                "kappa": cohens_kappa(left, right),
            }
        )
    return found


def _rate(
    decided: list[LabelCase],
    unsure: list[LabelCase],
    assumed: tuple[str, ...],
    details: dict[str, Any],
) -> Rate:
    values = np.array([case.value for case in decided])
    weights = np.array([case.weight for case in decided])
    _, [hits, cases] = by_query(
        exact_keys(case.query for case in decided), weights * values, weights
    )
    kish = float(weights.sum() ** 2 / (weights @ weights))
    clustered = clustered_interval(hits, cases, len(decided), kish=kish)
    open_weight = sum(case.weight for case in unsure)
    whole = float(weights.sum()) + open_weight
    details |= {
        **clustered.details(),
        "kish_n": kish,
        "unsure_as_true_negatives": float(hits.sum()) / whole,
        "unsure_as_false_negatives": (float(hits.sum()) + open_weight) / whole,
    }
    return Rate(
        METHOD,
        clustered.rate,
        clustered.low,
        clustered.high,
        len(decided),
        assumed=assumed,
        details=details,
    )


def _assumed(details: dict[str, Any]) -> tuple[str, ...]:
    said = ["The labels are right, and a number is the probability that the document is relevant."]
    if not details["weighted"]:
        said.append("The lines have no weights: each negative was as likely to be drawn as others.")
    if details["unsure"]:
        said.append(
            f"The {details['unsure']:,} negatives that annotators are unsure of are like the "
            "others; details has the rate with all of them false, and with none."
        )
    if details["bad_query"]:
        said.append(
            f"All {details['bad_query']:,} negatives of {details['bad_queries']:,} queries that an "
            "annotator calls bad are left out: the rate is one of usable queries."
        )
    picked = details["hand_picked"]
    if picked["negatives"]:
        said.append(
            f"{picked['negatives']:,} negatives that were picked by hand are left out, "
            f"{picked['called_false']:,} of which are called false: nobody drew them."
        )
    if picked["bad_queries"]:
        said.append(
            f"{picked['bad_queries']:,} of the queries that are left out were called bad while "
            "browsing, not in the sample."
        )
    if details["not_labelled"]:
        said.append(
            f"The {details['not_labelled']:,} negatives without a label are like the others."
        )
    if details["disagreed"]:
        said.append(
            f"Annotators disagree on {details['disagreed']:,} negatives; each counts with the "
            "mean of its labels."
        )
    return tuple(said)
