"""Checks for the formats that name documents and queries by id."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from hf_hardneg.errors import CorpusError, FormatError
from hf_hardneg.formats.mined_row import Document, MinedRow

__all__ = ["TEXT_FORMATS", "QueryNumbers", "numbered_documents", "rows_with_document_ids"]

TEXT_FORMATS = ("flagembedding", "tevatron", "pylate-contrastive", "jsonl")
"""The formats that carry the texts themselves, and need no document ids."""


def numbered_documents(
    documents: Iterable[Document], numbers: dict[str, int]
) -> Iterator[tuple[int, Document]]:
    """Yield (position, document), and note each id's position in ``numbers`` as it goes by.

    Raises:
        CorpusError: an id is empty or comes twice, or a text is not a string.
    """
    for number, document in enumerate(documents):
        where = f"Document {number + 1} (id {document.id!r})"
        if not isinstance(document.id, str) or not isinstance(document.text, str):
            raise CorpusError(
                f"{where}: the id is {type(document.id).__name__} and the text "
                f"{type(document.text).__name__}. Expected strings. Convert or drop the document."
            )
        if not document.id:
            raise CorpusError(f"{where}: the id is empty. Expected a name. Give it an id.")
        if document.id in numbers:
            raise CorpusError(
                f"{where}: has the id of document {numbers[document.id] + 1}. Expected every id "
                "once. Remove the repeated document, or give it another id."
            )
        numbers[document.id] = number
        yield number, document


def rows_with_document_ids(
    rows: Iterable[MinedRow], format_name: str, known: Container[str] | None = None
) -> Iterator[MinedRow]:
    """Yield the rows, once all their documents are sure to be found by id.

    Args:
        rows: the mined rows.
        format_name: the format's name, for the message.
        known: the ids of the corpus; ``None`` where the format is written without a corpus.

    Raises:
        FormatError: an id is empty (the text is not in the corpus), or is not in ``known``. Some
            trainers turn an unknown id into an empty text without stopping.
    """
    for row in rows:
        if not row.query_id:
            raise FormatError(
                f"The query {row.query[:80]!r} has an empty id. The format {format_name!r} names "
                "queries by id. Give the query an id."
            )
        for kind, ids in (("positive", row.positive_ids), ("negative", row.negative_ids)):
            for place, document_id in enumerate(ids, start=1):
                if not document_id:
                    _refuse_unnamed(f"Query {row.query_id!r}, {kind} {place}", format_name)
                if known is not None and document_id not in known:
                    raise FormatError(
                        f"Query {row.query_id!r}, {kind} {place}: the id {document_id!r} is not "
                        "among the documents given. Expected the corpus that was mined. Pass all "
                        "of its documents."
                    )
        yield row


class QueryNumbers:
    """Numbers query ids in the order in which they first come, and refuses contradictions."""

    def __init__(self) -> None:
        """Start without queries."""
        self._seen: dict[str, tuple[int, int]] = {}

    def add(self, row: MinedRow) -> tuple[int, bool]:
        """Return the number of the row's query, and whether it is new.

        Raises:
            FormatError: the id came before with another text.
        """
        fingerprint = hash(row.query)  # the text itself would hold every query in memory
        count = len(self._seen)
        number, earlier = self._seen.setdefault(row.query_id, (count, fingerprint))
        if earlier != fingerprint:
            raise FormatError(
                f"The query id {row.query_id!r} stands for two texts; the second is "
                f"{row.query[:80]!r}. Expected one text for an id. Give each query its own id."
            )
        return number, len(self._seen) > count


def _refuse_unnamed(where: str, format_name: str) -> None:
    raise FormatError(
        f"{where}: has no document id, because its text is not a document of the corpus. The "
        f"format {format_name!r} names documents by id. Add the text to the corpus, or choose a "
        f"format that carries the texts: {', '.join(TEXT_FORMATS)}."
    )
