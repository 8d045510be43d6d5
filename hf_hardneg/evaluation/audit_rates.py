"""The rates of false negatives that an audit is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import CorpusError, HardNegError
from hf_hardneg.evaluation.audit_labels import labels_of_set, took_part
from hf_hardneg.evaluation.false_negatives import judge_rate, judged_rate, label_rate
from hf_hardneg.evaluation.judgements import Judgements
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.hashing import EMPTY_TEXT_KEY, among, mix, text_keys
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.rates import Rate

__all__ = ["SAMPLE", "rate_by_labels", "rates_of"]

SAMPLE = 1_000
ENOUGH = 100
"""Different documents that the set must have for each negative of a query, where its own documents
stand for a corpus: so at most one of a hundred drawn at random is one of the query's negatives."""
MOST = 20_000
SALT = 0x4F574E


def rates_of(
    mined: MinedSet,
    *,
    judgements: Judgements | None = None,
    labels: Labels | None = None,
    judge: Any = None,  # noqa: ANN401
    sample: int = SAMPLE,
    seed: int = 0,
    strategy: str = "",
) -> list[Rate]:
    """Return the rate of false negatives by each thing that is given to tell it by.

    Args:
        mined: the set; where it was joined with a corpus, that is used.
        judgements: see :func:`~hf_hardneg.evaluation.judged.judged_rate`.
        labels: see :func:`~hf_hardneg.evaluation.label_rate.label_rate`. Those that are of no
            negative of this set are left out and counted: with the weights of the draw the rest is
            a sample of this set. With a judge as well, its errors are measured on them.
        judge: see :func:`~hf_hardneg.evaluation.judge.judge_rate`. Without a corpus the random
            documents are drawn from those of the set.
        sample: negatives that the judge looks at.
        seed: of its draws.
        strategy: that the set was mined with, where the set does not say it: labels that took
            part in choosing it give no rate, see
            :func:`~hf_hardneg.evaluation.audit_labels.took_part`.

    Raises:
        QueryError: judgements or labels of other queries or documents.
        CorpusError: a judge, and a set with too few documents to do without a corpus.
        HardNegError: as the functions named above.
    """
    rates: list[Rate] = []
    if judgements is not None:
        rates.append(judged_rate(mined, judgements, mined.corpus))
    if labels is not None:
        labels, rate = _by_labels(mined, labels, strategy)
        rates.append(rate)
    if judge is not None:
        rates.append(_judged_by(mined, judge, labels, sample, seed))
    return rates


def rate_by_labels(mined: MinedSet, labels: Labels, strategy: str = "") -> Rate:
    """Return the rate that labels give, as :func:`rates_of`; one that cannot be had says why.

    Args:
        mined: the set.
        labels: of negatives of the set, or of a pool that holds it.
        strategy: that the set was mined with.
    """
    try:
        return _by_labels(mined, labels, strategy)[1]
    except HardNegError as error:
        return _unknown(str(error), labels)


def _unknown(why: str, labels: Labels) -> Rate:
    return Rate("labels", None, None, None, 0, why=why, details={"lines": len(labels)})


def _by_labels(mined: MinedSet, labels: Labels, strategy: str) -> tuple[Labels | None, Rate]:
    """Return the labels that a judge's errors can be measured on, and the rate."""
    if why := took_part(mined, labels, strategy):
        return None, _unknown(why, labels)
    own, said = labels_of_set(mined, labels)
    rate = label_rate(own)
    return own, replace(rate, assumed=(*rate.assumed, said))


def _judged_by(mined: MinedSet, judge: Any, labels: Labels | None, sample: int, seed: int) -> Rate:  # noqa: ANN401
    if mined.corpus is not None:
        return judge_rate(
            mined, judge, sample=sample, corpus=mined.corpus, seed=seed, labels=labels
        )
    corpus = _own_documents(mined, seed)
    rate = judge_rate(mined, judge, sample=sample, corpus=corpus, seed=seed, labels=labels)
    beside = set(mined.joined(corpus).notes) - set(mined.notes)
    said = [one for one in rate.assumed if one not in beside]
    if labels is None:
        said.append(
            f"Random documents are drawn from {len(corpus):,} different ones of the set itself, no "
            "corpus being given."
        )
    return replace(rate, assumed=tuple(said))


def _own_documents(mined: MinedSet, seed: int) -> Corpus:
    """Return a corpus of the set's own texts, of at most :data:`MOST`, drawn by a hash."""
    missing = [name for name in ("positives", "negatives") if not mined.has(name)]
    if missing:
        raise CorpusError(
            f"a judge reads texts, and {mined.name} has none of its {missing[0]}. Give the corpus "
            "(--corpus)."
        )
    keys, widest = _keys(mined)
    if len(keys) < ENOUGH * widest:
        raise CorpusError(
            f"a judge's false alarms are measured on random documents, and {mined.name} has "
            f"{len(keys):,} different ones, fewer than {ENOUGH} for each of the {widest:,} "
            "negatives of a query: too many would be negatives of the same query. Give the corpus "
            "(--corpus)."
        )
    order = np.argsort(mix(seed, SALT, keys), kind="stable")
    return Corpus(_texts(mined, np.sort(keys[order[:MOST]])))


def _keys(mined: MinedSet) -> tuple[NDArray[np.uint64], int]:
    """Return the keys of all texts, and the greatest number of negatives of a query."""
    keys, queries, counts = [], [], []
    for batch in mined.batches():
        offsets, negatives = batch.keys("negatives")
        queries.append(text_keys(batch.queries()))
        counts.append(np.diff(offsets))
        keys.append(np.unique(np.concatenate([negatives, batch.keys("positives")[1]])))
    _, place = np.unique(np.concatenate(queries), return_inverse=True)
    widest = int(np.bincount(place, weights=np.concatenate(counts)).max())
    every = np.unique(np.concatenate(keys))
    return every[every != EMPTY_TEXT_KEY], widest


def _texts(mined: MinedSet, wanted: NDArray[np.uint64]) -> list[dict[str, str]]:
    """Return each wanted text once, in an order that has nothing to do with that of the rows."""
    found: dict[int, str] = {}
    for batch in mined.batches():
        for name in ("positives", "negatives"):
            texts, (_, keys) = batch.texts(name).flat, batch.keys(name)
            for place in np.flatnonzero(among(wanted, keys)).tolist():
                key, text = int(keys[place]), texts[place]
                found[key] = min(text, found.get(key, text))  # of several spellings one
    return [{"_id": f"{key:016x}", "text": found[key]} for key in sorted(found)]
