"""How hard, how varied and how long the negatives of a mined set are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.text import Text

from hf_hardneg.arrow import flat_list
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import FormatError
from hf_hardneg.evaluation.hardness_tables import tables_of
from hf_hardneg.evaluation.reuse import Reuse, ReuseCounts, gini
from hf_hardneg.evaluation.set_scores import PairScorer, pair_scorer, scorer_name
from hf_hardneg.evaluation.text_profile import TextProfile, TextTally
from hf_hardneg.hashing import exact_keys
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.score_hardness import TEMPERATURE, ScoreHardness, ScoreTally

__all__ = ["Hardness", "hardness_of"]

MOST_REUSED = 5


@dataclass(frozen=True, slots=True)
class Hardness:
    """What the negatives of a mined set are like. Everything is counted, nothing judged.

    Attributes:
        rows: of the set.
        negatives: of all rows.
        filled: negatives that are fill; they are in all figures, as they are in training.
        scorer: whose scores these are; ``None`` without scores.
        scores: hardness by scores, ``None`` without scores.
        reuse: how negatives are spread over documents.
        texts: lengths and words in common with the query; ``None`` without texts.
        notes: what a reader should know.
    """

    rows: int
    negatives: int
    filled: int
    scorer: str | None
    scores: ScoreHardness | None
    reuse: Reuse
    texts: TextProfile | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "reuse": self.reuse.to_dict(), "notes": list(self.notes)}

    def to_json(self) -> str:
        """Return the same as JSON; it never holds NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def __rich__(self) -> Group:
        """Return tables for a terminal."""
        tables = tables_of(self.scores, self.reuse, self.texts)
        return Group(*tables, *(Text(f"Note: {note}") for note in self.notes))


def hardness_of(
    mined: MinedSet,
    corpus: Corpus | None = None,
    *,
    model: Any = None,  # noqa: ANN401
    against: str = "min",
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> Hardness:
    """Describe the negatives of a mined set.

    Documents are told apart by their normalised texts, so that a text under two ids is one
    document; by their ids where the set has no texts. Scores are those of the set, or those of a
    model where one is given: a set is as hard as the model that is to be trained finds it.

    Args:
        mined: the set.
        corpus: gives texts to a set of ids; and the documents that are never used are counted.
        model: whose scores are used instead of the set's: an embedding model by name or path,
            loaded, or an encoder; a loaded ``CrossEncoder``; or a function of two lists, queries
            and documents, to one score a pair.
        against: which of several positives a row is measured against: ``min``, ``max``, ``mean``
            of their scores.
        temperature: of the softmax.
        seed: of the choice of rows whose texts are looked at, where there are many.

    Raises:
        FormatError: not one score a negative or a positive.
        ParameterError: a parameter out of range.
        ModelError: the model cannot be had.
    """
    mined = mined if corpus is None else mined.joined(corpus)
    scorer = None if model is None else _checked(pair_scorer(model), mined)
    scores, texts = ScoreTally(against, temperature), TextTally(len(mined), seed)
    reuse, by_text = ReuseCounts(), mined.has("negatives")
    scored = scorer is not None or (mined.has("negative_scores") and mined.has("positive_scores"))
    negatives = filled = 0
    for batch in mined.batches():
        _, keys = _document_keys(batch, by_text)
        negatives += len(keys)
        filled += _filled(batch)
        reuse.add(keys)
        if scored:
            scores.add(*(_scored(batch, scorer) if scorer else _own_scores(batch, mined.name)))
        texts.add(batch)
    return Hardness(
        rows=len(mined),
        negatives=negatives,
        filled=filled,
        scorer=(scorer_name(model) if scorer else "the set's own") if scored else None,
        scores=scores.result() if scored else None,
        reuse=_reuse(mined, reuse, by_text, corpus),
        texts=texts.result(),
        notes=(*mined.notes, *scores.notes(), *texts.notes(), *_notes(scored, filled)),
    )


def _checked(scorer: PairScorer, mined: MinedSet) -> PairScorer:
    missing = [name for name in ("positives", "negatives") if not mined.has(name)]
    if missing:
        raise FormatError(
            f"{mined.name} has no texts of its {' and '.join(missing)}, which a model needs to "
            "score them. Give the corpus that the ids belong to."
        )
    return scorer


def _document_keys(
    batch: MinedBatch, by_text: bool
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    if by_text:
        return batch.keys("negatives")
    ids = batch.texts("negative_ids")
    return ids.offsets, exact_keys(ids.flat)


def _filled(batch: MinedBatch) -> int:
    if not batch.has("negative_filled"):
        return 0
    return int(flat_list(batch.table["negative_filled"])[1].true_count)


def _own_scores(
    batch: MinedBatch, where: str
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    """Return offsets and scores of positives and negatives as the set has them."""
    parts: list[NDArray[Any]] = []
    for kind in ("positive", "negative"):
        offsets, scores = batch.numbers(f"{kind}_scores")
        for name in (f"{kind}s", f"{kind}_ids"):
            if batch.has(name) and not np.array_equal(flat_list(batch.table[name])[0], offsets):
                raise FormatError(
                    f"{where} has, in rows {batch.start:,} to {batch.start + len(batch) - 1:,}, "
                    f"another number of {kind} scores than of {kind}s. Scores of another mining "
                    "were left in it: mine again, or measure with a model."
                )
        parts += [offsets, scores]
    return parts[0], parts[1], parts[2], parts[3]


def _scored(
    batch: MinedBatch, scorer: PairScorer
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    queries = batch.queries()
    lists = [batch.texts("positives"), batch.texts("negatives")]
    rows = np.arange(len(batch))
    lines = np.concatenate([np.repeat(rows, np.diff(own.offsets)) for own in lists])
    found = scorer(queries, lines, [*lists[0].flat, *lists[1].flat])
    cut = len(lists[0].flat)
    return lists[0].offsets, found[:cut], lists[1].offsets, found[cut:]


def _reuse(mined: MinedSet, tally: ReuseCounts, by_text: bool, corpus: Corpus | None) -> Reuse:
    keys, counts = tally.counts()
    unused = None
    if corpus is not None:
        whole = np.unique(corpus.document_keys) if by_text else np.zeros(len(corpus))
        unused = max(len(whole) - len(keys), 0)
    most = tally.most_used(MOST_REUSED)
    names = _names(mined, set(most), by_text)
    return Reuse(
        negatives=int(counts.sum()),
        distinct=len(keys),
        gini=gini(counts),
        gini_of_corpus=None if unused is None else gini(counts, unused),
        most_reused=tuple((names[key], count) for key, count in most.items()),
        told_apart_by="text" if by_text else "id",
    )


def _names(mined: MinedSet, wanted: set[int], by_text: bool) -> dict[int, str]:
    """Return what documents are called: the least of their ids, else of their texts.

    All rows are looked at: which of two ids of one text stands first must not decide.
    """
    name = "negative_ids" if mined.has("negative_ids") else "negatives"
    keys = np.array(sorted(wanted), dtype=np.uint64)
    found: dict[int, str] = {}
    for batch in mined.batches():
        own = _document_keys(batch, by_text)[1]
        places = np.flatnonzero(np.isin(own, keys))
        names = batch.texts(name).flat
        for key, place in zip(own[places].tolist(), places.tolist(), strict=True):
            found[key] = min(found.get(key, names[place]), names[place])
    return found


def _notes(scored: bool, filled: int) -> Iterator[str]:
    if not scored:
        yield (
            "there are no scores of negatives and positives: give a model to be told how hard the "
            "negatives are for it."
        )
    if filled:
        yield f"{filled:,} negatives are fill, and are in all figures."
