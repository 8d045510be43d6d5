"""Drop candidates that contain an answer of the question."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import regex
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ColumnError, ParameterError, QueryError, listing
from hf_hardneg.filters.base import Verdict, Veto

__all__ = ["AnswerFilter"]

TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")
"""A run of letters, digits and marks, or any one other sign but a space or control character."""


def tokens(text: str) -> str:
    """Return the tokens of a text in lower case, each with a space on either side.

    No token holds a space, so a run of tokens is contained in another exactly if its string is.
    """
    words = TOKEN.findall(unicodedata.normalize("NFD", text))
    return " " + "".join(f"{word.lower()} " for word in words)


class AnswerFilter(Veto):
    """Drops a candidate whose text contains one of the row's answer strings.

    For question answering: a passage that contains the answer may well be relevant, whether it
    was judged or not. V. Karpukhin et al., "Dense passage retrieval for open-domain question
    answering", EMNLP 2020, section 3.2, take only passages without the answer as BM25 negatives.
    What containing means is in the released code of the evaluation, and the same here: document
    and answer are normalised to Unicode NFD and cut into tokens (runs of letters, digits and
    marks, or single other signs that are neither space nor control character) in lower case; the
    document contains the answer if the answer's tokens stand in it as a consecutive run.
    So ``U.S.`` is the tokens ``u . s .`` and is not found in ``US``, ``art`` is not found in
    ``party``, and an accent counts: ``Beyonce`` is not found in ``Beyoncé``, while the composed
    and the decomposed ``é`` are the same.

    Differences from that code: an answer without a token, which would be found in every document,
    is an error and not a match; the title of a document, which a corpus puts before its text, is
    looked at too.

    A row without answers (an empty list, or nothing) keeps all its candidates. Empty answers are
    refused before any work. A column of structs such as that of SQuAD becomes plain columns by
    ``dataset.flatten()``.

    Args:
        answers_column: the column of the query data that holds the answers of each row, a text or
            a list of texts. The default is the name that DPR's own data has.
        promote: write what is dropped to the column ``promoted_ids``. DPR takes passages with the
            answer for positives in its distantly supervised data sets; many do not answer the
            question.

    Raises:
        ParameterError: ``answers_column`` is no name.
        ColumnError: the data has no such column.
        QueryError: an answer is empty, no text, or has no token.
    """

    name = "answer"
    source = "Karpukhin et al., EMNLP 2020"
    costs = "the text of each asked candidate"

    def __init__(self, *, answers_column: str = "answers", promote: bool = False) -> None:
        """Check the parameters."""
        if not isinstance(answers_column, str) or not answers_column:
            raise ParameterError(
                f"answer: answers_column={answers_column!r}; expected the name of a column."
            )
        self.answers_column = answers_column
        self.promote = self.promotes = promote

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the answers."""
        return (self.answers_column,)

    def judge(
        self,
        queries: Queries,
        candidates: Candidates,
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        corpus: Corpus,
    ) -> NDArray[np.int8]:
        """Look for the answers in each asked candidate; see :class:`Veto`."""
        rows, place = np.unique(candidates.rows[lines, slots], return_inverse=True)
        documents = [tokens(text) for text in corpus.texts(rows)]
        answers = {int(line): self._answers(queries, int(line)) for line in np.unique(lines)}
        found = [
            any(answer in documents[number] for answer in answers[line])
            for line, number in zip(lines.tolist(), place.tolist(), strict=True)
        ]
        bad = Verdict.PROMOTE if self.promote else Verdict.DROP
        return np.where(np.array(found, dtype=np.bool_), bad, Verdict.KEEP).astype(np.int8)

    def _answers(self, queries: Queries, line: int) -> Sequence[str]:
        """Return the answers of a row as strings of tokens."""
        if self.answers_column not in queries.further:
            raise ColumnError(
                f"answer: the queries come without the column {self.answers_column!r}; they have "
                f"{listing(queries.further)}. Mine data that has it by an OfflineMiner."
            )
        cut = []
        for answer in queries.further[self.answers_column][line]:
            cut.append(tokens(answer))
            if not cut[-1].strip():
                raise QueryError(
                    f"answer: {answer!r}, an answer of the query {queries.texts[line]!r}, has no "
                    "letter, digit or other visible sign, and would be found in every document. "
                    "Drop it from the data."
                )
        return cut
