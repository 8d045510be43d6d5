"""What labels say is relevant to which query, as keys that a stage can look candidates up by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import content_hash
from hf_hardneg.candidates import NO_ROW
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import FormatError, QueryError, listing
from hf_hardneg.hashing import exact_keys, mix, text_keys
from hf_hardneg.label_lines import Label, label_lines, latest_of, value_of

__all__ = ["LabelledPairs", "labelled_pairs_of", "read_marks"]

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs that labels call false negatives.

    Attributes:
        by_text: hashes of the query's normalised text and the document's, sorted.
        by_id: the same of the query's id and the document's text, where no text of the query is
            known, sorted.
        labelled: pairs that anybody decided on, controls not counted.
        called: of these the ones that are called false.
        elsewhere: of these the ones whose document the corpus does not have.
        bad_queries: queries that anybody calls bad.
        identity: hash of what the labels say, 16 hexadecimal digits.
    """

    by_text: Keys
    by_id: Keys
    labelled: int
    called: int
    elsewhere: int
    bad_queries: int
    identity: str

    def called_false(self, queries: Keys, ids: Keys | None, documents: Keys) -> NDArray[np.bool_]:
        """Return which documents are called false negatives of their query, shape (batch, k).

        Args:
            queries: keys of the normalised queries, shape (batch,).
            ids: keys of their ids, ``None`` where the data has none.
            documents: keys of the documents' normalised texts, shape (batch, k).
        """
        found = np.isin(mix(queries[:, None], documents), self.by_text)
        if ids is not None and len(self.by_id):
            found |= np.isin(mix(ids[:, None], documents), self.by_id)
        return found


def read_marks(owner: str, path: str | Path) -> list[Label]:
    """Return the last label of each annotator for each pair of a file, in the order of its lines.

    A pair that was drawn and picked by hand too is one pair here: the later label counts.

    Raises:
        FormatError: the file cannot be read, or holds no line; names the line.
    """
    rows = list(label_lines(Path(path).expanduser()))
    if not rows:
        raise FormatError(f"{owner}: {str(path)!r} holds no line; expected one JSON object a line.")
    last: dict[tuple[tuple[str, str], str], Label] = {}
    for row in latest_of(rows)[0]:
        if not row.control and row.label is not None:
            last.pop((row.pair, row.annotator), None)
            last[row.pair, row.annotator] = row
    bad_at_controls = [
        row for row in latest_of(rows)[0] if row.control and row.label == "bad_query"
    ]
    return [*last.values(), *bad_at_controls]


def labelled_pairs_of(
    owner: str, marks: Iterable[Label], corpus: Corpus, threshold: float
) -> LabelledPairs:
    """Return the pairs that are called false: by the mean of those who decided on them.

    A document is known by its id, and by its normalised text: a copy under another id is called
    false too. A query is known by its normalised text, or by its id where a label has no text.

    Args:
        owner: the stage, for messages.
        marks: what :func:`read_marks` returned.
        corpus: the documents.
        threshold: the least mean that is a false negative.

    Raises:
        QueryError: no document that is called false is one of the corpus.
    """
    marks = list(marks)
    values: dict[tuple[str, str], list[float]] = {}
    rows: dict[tuple[str, str], Label] = {}
    for row in marks:
        if not row.control and (value := value_of(row)) is not None:
            values.setdefault(row.pair, []).append(value)
            rows.setdefault(row.pair, row)
    called = sorted(pair for pair, own in values.items() if sum(own) / len(own) >= threshold)
    false = [rows[pair] for pair in called]
    lines, documents, lost = _documents(false, corpus)
    if len(false) and lost == len(false):
        raise QueryError(
            f"{owner}: none of the {lost:,} documents that are called false negatives is in the "
            f"corpus, for example {listing((repr(row.pair[1]) for row in false), limit=3)}. Give "
            "the labels of this corpus."
        )
    texts = np.array([bool(row.query) for row in false], dtype=np.bool_)[lines]
    by_text = mix(text_keys([row.query for row in false])[lines], documents)
    by_id = mix(exact_keys([row.query_id for row in false])[lines], documents)
    found = np.unique(by_text[texts]), np.unique(by_id[~texts])
    bad = {row.pair[0] for row in marks if row.label == "bad_query"}
    identity = content_hash(*(keys.tolist() for keys in found))[:16]
    return LabelledPairs(found[0], found[1], len(values), len(false), lost, len(bad), identity)


def _documents(rows: list[Label], corpus: Corpus) -> tuple[NDArray[np.int64], Keys, int]:
    """Return whose documents these are, their keys, and how many are not in the corpus.

    A document whose text in the corpus is another one (it has a title there) has two keys.
    """
    numbers = corpus.rows_of_ids([row.document_id for row in rows])
    texts = text_keys([row.document for row in rows])
    known = corpus.rows_of_keys(texts)
    lines, keys, lost = [], [], 0
    for place, row in enumerate(rows):
        own = set()
        if row.document_id and numbers[place] != NO_ROW:
            own.add(int(corpus.document_keys[numbers[place]]))
        if row.document and known[place] != NO_ROW:
            own.add(int(texts[place]))
        lost += not own
        for key in sorted(own):
            lines.append(place)
            keys.append(key)
    return np.array(lines, dtype=np.int64), np.array(keys, dtype=np.uint64), lost
