"""All formats that mined rows can be written in, and the function that writes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from hf_hardneg.errors import FormatError, ParameterError, did_you_mean, listing
from hf_hardneg.formats.beir import write_beir
from hf_hardneg.formats.colbert import write_colbert
from hf_hardneg.formats.flagembedding import write_flagembedding
from hf_hardneg.formats.jsonl import write_jsonl
from hf_hardneg.formats.mined_row import Document, MinedRow
from hf_hardneg.formats.pylate import write_pylate, write_pylate_contrastive
from hf_hardneg.formats.request import Tally, Writer, WriteRequest, Written
from hf_hardneg.formats.row_checks import checked_rows
from hf_hardneg.formats.tevatron import write_tevatron, write_tevatron_ids
from hf_hardneg.formats.trec import write_trec

__all__ = ["WRITERS", "Writer", "Written", "find_writer", "write_rows"]

_ALL = (
    Writer(
        "flagembedding",
        "FlagEmbedding JSONL: query, pos, neg, and scores where all are known",
        needs_corpus=False,
        write=write_flagembedding,
    ),
    Writer(
        "tevatron",
        "Tevatron JSONL with the passages in each line",
        needs_corpus=False,
        write=write_tevatron,
    ),
    Writer(
        "tevatron-ids",
        "Tevatron JSONL with document ids, and the corpus",
        needs_corpus=True,
        write=write_tevatron_ids,
    ),
    Writer(
        "colbert",
        "ColBERT triples and n-way lines, with collection.tsv and queries.tsv",
        needs_corpus=True,
        write=write_colbert,
    ),
    Writer(
        "pylate",
        "PyLate knowledge distillation: train, queries and documents",
        needs_corpus=True,
        write=write_pylate,
    ),
    Writer(
        "pylate-contrastive",
        "PyLate contrastive JSONL: query, positive, negative_1, negative_2, ...",
        needs_corpus=False,
        write=write_pylate_contrastive,
        needs_num_negatives=True,
    ),
    Writer(
        "beir",
        "BEIR corpus, queries and qrels, with hard_negatives.tsv",
        needs_corpus=True,
        write=write_beir,
    ),
    Writer(
        "trec",
        "TREC run of the negatives and qrels of the positives",
        needs_corpus=False,
        write=write_trec,
    ),
    Writer(
        "jsonl",
        "plain JSONL with list columns: texts, ids and scores",
        needs_corpus=False,
        write=write_jsonl,
    ),
)

WRITERS: dict[str, Writer] = {writer.name: writer for writer in _ALL}
"""The writers by name."""


def find_writer(name: str) -> Writer:
    """Return the writer of the format ``name``.

    Raises:
        FormatError: there is no such format.
    """
    if name not in WRITERS:
        raise FormatError(
            f"Unknown format {name!r}.{did_you_mean(name, WRITERS)} "
            f"Choose one of: {listing(WRITERS)}."
        )
    return WRITERS[name]


def write_rows(
    rows: Iterable[MinedRow],
    folder: Path,
    format: str,
    documents: Iterable[Document] | None = None,
    *,
    num_negatives: int | None = None,
) -> Written:
    """Write mined rows in the format of another trainer.

    Rows and documents are read once and never held, so both may be generators over millions.
    For formats by id, the ids of the documents and of the queries are held.

    Args:
        rows: the mined rows.
        folder: an existing folder. Files that are there already are never overwritten. After an
            error the folder may hold incomplete files: use one that is moved into place later.
        format: a name of :data:`WRITERS`.
        documents: the entire corpus, for the formats that name documents by id. Other formats do
            not read it.
        num_negatives: how many negatives each line has, for the formats of fixed width:
            ``pylate-contrastive`` must have it; ``pylate`` and the n-way file of ``colbert`` take
            it. The first ones of a row are written, and rows with fewer are left out and
            counted. Other formats write all negatives.

    Returns:
        The files and the counts of rows.

    Raises:
        FormatError: the format is unknown, a needed argument is missing, or a row cannot be
            written in this format.
        CorpusError: the documents have a repeated or an empty id.
        ParameterError: ``num_negatives`` is missing or less than 1.
        OutputError: a file cannot be written, or exists already.
    """
    writer = find_writer(format)
    _check_arguments(writer, documents, num_negatives)
    tally = Tally()
    request = WriteRequest(
        rows=checked_rows(rows, tally),
        folder=folder,
        documents=() if documents is None else documents,
        num_negatives=num_negatives,
        tally=tally,
    )
    files = writer.write(request)
    return Written(files=files, **asdict(tally))


def _check_arguments(
    writer: Writer, documents: Iterable[Document] | None, num_negatives: int | None
) -> None:
    if writer.needs_corpus and documents is None:
        raise FormatError(
            f"The format {writer.name!r} names documents by id and writes the corpus beside the "
            "rows, but no documents were given. Pass documents=, all documents of the corpus."
        )
    if writer.needs_num_negatives and num_negatives is None:
        raise ParameterError(
            f"The format {writer.name!r} has one column for each negative, but num_negatives was "
            "not given. Pass num_negatives=, the number of negatives of every line."
        )
    if num_negatives is not None and num_negatives < 1:
        raise ParameterError(
            f"num_negatives is {num_negatives}. Expected at least 1. Pass a larger number."
        )
