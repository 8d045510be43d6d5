"""Held-out queries with their judgements: what a trained model is scored on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from hf_hardneg.beir import (
    default_split,
    join_judgements,
    queries_file,
    read_qrels,
    read_queries,
    split_names,
)
from hf_hardneg.cache import content_hash
from hf_hardneg.columns import QueryColumns, find_columns
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, FormatError, QueryError, listing
from hf_hardneg.evaluation.judgements import grades_from
from hf_hardneg.hashing import text_keys

__all__ = ["HeldOut", "held_out_of", "held_out_split", "load_held_out", "seen_queries"]

SPLITS = ("dev", "test")
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class HeldOut:
    """Queries that no model was trained on, with their judgements.

    Attributes:
        ids: of the queries.
        texts: of the queries, in the same order.
        judgements: grades by document id, by query id; a grade above 0 is relevant.
        notes: what was left out.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    judgements: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return a hash of the queries and all their judgements."""
        judged = [sorted(self.judgements[name].items()) for name in self.ids]
        return content_hash(list(self.ids), list(self.texts), judged)

    def check(self, corpus: Corpus) -> None:
        """Refuse queries none of whose relevant documents is in the corpus.

        Raises:
            QueryError: names some of them.
        """
        lost = []
        for name in self.ids:
            relevant = [doc for doc, grade in self.judgements[name].items() if grade > 0]
            if not (corpus.rows_of_ids(relevant) >= 0).any():
                lost.append(name)
        if lost:
            raise QueryError(
                f"{len(lost):,} of {len(self.ids):,} held-out queries have no relevant document "
                f"in the corpus, for example {listing(map(repr, lost), 3)}. Give the corpus that "
                "they were judged on."
            )


def held_out_split(folder: Path, training: str | None) -> str:
    """Return the split of a BEIR folder that scores are taken on: dev, else test.

    Args:
        folder: in BEIR layout.
        training: the split that is mined and trained on; ``None`` for the default.

    Raises:
        QueryError: there is none beside it.
    """
    names = split_names(folder)
    used = default_split(folder, training).stem
    found = next((name for name in SPLITS if name in names and name != used), None)
    if found is None:
        raise QueryError(
            f"{folder} has no held-out split: it has {listing(names)}, and {used!r} is trained "
            "on. Name other queries with --eval-queries."
        )
    return found


def load_held_out(
    source: str | os.PathLike[str] | Dataset,
    *,
    qrels: str | os.PathLike[str] | None = None,
    split: str | None = None,
    corpus: Corpus | None = None,
    columns: QueryColumns | None = None,
) -> HeldOut:
    """Load held-out queries.

    Args:
        source: a folder in BEIR layout, a file of queries that ``qrels`` judges, or a data set of
            queries with their positives, each of which has the grade 1.
        qrels: a file of judgements, BEIR or TREC.
        split: of the BEIR folder, where no file of judgements is given.
        corpus: gives ids to positives that a data set holds as texts alone.
        columns: names of the columns of a data set, where they are unusual.

    Raises:
        FormatError: a file is missing or malformed, or a grade is no whole number. (A document that
            is judged twice for a query has the higher grade.)
        QueryError: a judged query has no text, no query has a positive, or an id stands twice.
    """
    if isinstance(source, Dataset):
        return _of_rows(source, corpus, columns or QueryColumns())
    path = Path(source).expanduser()
    queries = queries_file(path) if path.is_dir() else path if path.is_file() else None
    if queries is None:
        raise QueryError(
            f"the held-out queries {str(source)!r} are neither a folder in BEIR layout nor a file."
        )
    if qrels is None and not path.is_dir():
        raise QueryError(
            f"the held-out queries {str(source)!r} have no judgements. Give them as a file "
            "(--eval-qrels), or give a folder in BEIR layout."
        )
    judged = default_split(path, split) if qrels is None else Path(qrels).expanduser()
    if not judged.is_file():
        raise FormatError(f"the file of judgements {str(judged)!r} does not exist.")
    return _of_files(queries, judged)


def _of_files(queries: Path, qrels: Path) -> HeldOut:
    texts, judgements = read_queries(queries), list(read_qrels(qrels))
    return held_out_of(texts, judgements, str(queries), str(qrels), short=qrels.name)


def held_out_of(
    queries: Mapping[str, str],
    judged: Sequence[tuple[str, str, float]],
    queries_name: str,
    qrels_name: str,
    *,
    short: str = "",
) -> HeldOut:
    """Return held-out queries of texts by id and of judgements, (query, document, grade).

    The names are those of :func:`hf_hardneg.beir.join_judgements`.

    Raises:
        FormatError: a grade is no whole number.
        QueryError: a judged query has no text, or no query has a positive.
    """
    found, notes = join_judgements(queries, judged, queries_name, qrels_name, short=short)
    ids, texts = list(map(str, found["query_id"])), list(map(str, found["query"]))
    grades = grades_from(judged, qrels_name)
    judgements = {name: grades[name] for name in ids}
    return HeldOut(ids, texts, judgements, tuple(notes))


def _of_rows(rows: Dataset, corpus: Corpus | None, asked: QueryColumns) -> HeldOut:
    found = find_columns(rows.column_names, asked)
    texts = [str(text) for text in rows[found.query][:]]
    ids = [f"{row}" for row in range(len(texts))]
    if found.query_id is not None:
        ids = [str(name) for name in rows[found.query_id][:]]
    if len(set(ids)) < len(ids):
        raise QueryError("an id of the held-out queries stands twice; expected one row a query.")
    if found.positive_ids is not None:
        documents = [_listed(value) for value in rows[found.positive_ids][:]]
    elif corpus is None:
        raise ColumnError(
            "the held-out queries have positives as texts alone; expected ids of documents, or a "
            "corpus to look them up in."
        )
    else:
        documents = [_ids_of(_listed(value), corpus) for value in rows[found.positive][:]]
    judgements = {name: dict.fromkeys(own, 1) for name, own in zip(ids, documents, strict=True)}
    return HeldOut(ids, texts, judgements)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _ids_of(texts: list[str], corpus: Corpus) -> list[str]:
    rows = corpus.rows_of_keys(text_keys(texts))
    return corpus.ids(rows[rows >= 0])


def seen_queries(held_out: HeldOut, training: Dataset, column: str) -> list[str]:
    """Return the ids of held-out queries that are training queries, texts normalised.

    Args:
        held_out: the queries.
        training: the rows that are trained on, read in batches.
        column: of its queries.
    """
    own = text_keys(held_out.texts)
    seen = np.zeros(len(own), dtype=bool)
    for batch in training.select_columns([column]).with_format(None).iter(ROWS_AT_ONCE):
        seen |= np.isin(own, text_keys(batch[column]))
    return [held_out.ids[place] for place in np.flatnonzero(seen).tolist()]
