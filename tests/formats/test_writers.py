"""What holds for every format: the table, the arguments, the bytes, and the refusals."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_hardneg.errors import CorpusError, FormatError, OutputError, ParameterError
from hf_hardneg.formats.mined_row import Document, MinedRow
from hf_hardneg.formats.row_ids import TEXT_FORMATS
from hf_hardneg.formats.writers import WRITERS, write_rows

NAMES = [
    "flagembedding",
    "tevatron",
    "tevatron-ids",
    "colbert",
    "pylate",
    "pylate-contrastive",
    "beir",
    "trec",
    "jsonl",
]
every_format = pytest.mark.parametrize("name", NAMES)


def good_row(**changes: Any) -> MinedRow:
    """Return a row that every format takes, with ``changes``."""
    return MinedRow("q", "query", ["d1"], ["one"], [1.0], ["d2"], ["two"], [0.5])._replace(
        **changes
    )


CORPUS = [Document("d1", "one"), Document("d2", "two")]


def test_the_table() -> None:
    assert list(WRITERS) == NAMES
    assert all(writer.name == name for name, writer in WRITERS.items())
    assert all(writer.description for writer in WRITERS.values())
    needing = {name for name, writer in WRITERS.items() if writer.needs_corpus}
    assert needing == {"tevatron-ids", "colbert", "pylate", "beir"}


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="Did you mean 'flagembedding'") as caught:
        write_rows([], tmp_path, "flagembeding")
    assert all(name in str(caught.value) for name in NAMES)


@every_format
def test_missing_documents(tmp_path: Path, name: str) -> None:
    if WRITERS[name].needs_corpus:
        with pytest.raises(FormatError, match="Pass documents="):
            write_rows([good_row()], tmp_path, name)
    else:
        assert write_rows([good_row()], tmp_path, name, num_negatives=1).rows_written == 1


@every_format
def test_num_negatives_below_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="at least 1"):
        write_rows([good_row()], tmp_path, name, CORPUS, num_negatives=0)


@every_format
def test_bytes_do_not_vary(
    write: Any, rows: list[MinedRow], documents: list[Document], name: str
) -> None:
    contents = []
    for _ in range(2):
        written, folder = write(name, iter(rows), iter(documents), num_negatives=2)
        contents.append([(path.relative_to(folder), path.read_bytes()) for path in written.files])
    assert contents[0] == contents[1]
    assert not any(b"\r" in content for _, content in contents[0])


@every_format
def test_counts_account_for_every_row(
    write: Any, rows: list[MinedRow], documents: list[Document], name: str
) -> None:
    written, _ = write(name, rows, documents, num_negatives=3)
    assert written.rows_in == 4
    assert written.rows_without_negatives == 1
    left_out = written.rows_without_negatives + written.rows_too_few + written.rows_without_scores
    assert written.rows_written >= written.rows_in - left_out


@every_format
def test_no_rows(write: Any, documents: list[Document], name: str) -> None:
    written, _ = write(name, [], documents, num_negatives=1)
    assert (written.rows_in, written.rows_written) == (0, 0)


@every_format
def test_positive_outside_the_corpus(tmp_path: Path, name: str) -> None:
    row = good_row(positive_ids=[""])
    if name in TEXT_FORMATS:
        assert write_rows([row], tmp_path, name, num_negatives=1).rows_written == 1
        return
    with pytest.raises(FormatError, match="'q', positive 1: has no document id") as caught:
        write_rows([row], tmp_path, name, CORPUS, num_negatives=1)
    assert all(text_format in str(caught.value) for text_format in TEXT_FORMATS)


@every_format
def test_empty_query_id(tmp_path: Path, name: str) -> None:
    row = good_row(query_id="")
    if name in TEXT_FORMATS:
        assert write_rows([row], tmp_path, name, num_negatives=1).rows_written == 1
    else:
        with pytest.raises(FormatError, match="empty id"):
            write_rows([row], tmp_path, name, CORPUS, num_negatives=1)


@pytest.mark.parametrize("name", ["tevatron-ids", "colbert", "pylate", "beir"])
@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document("d1", "again"), "has the id of document 1"),
        (Document("", "text"), "the id is empty"),
        (Document("d3", None), "Expected strings"),  # type: ignore[arg-type]
    ],
)
def test_bad_documents(tmp_path: Path, name: str, document: Document, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        write_rows([good_row()], tmp_path, name, [*CORPUS, document])


@every_format
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    write_rows([good_row()], tmp_path, name, CORPUS, num_negatives=1)
    with pytest.raises(OutputError, match="Cannot write"):
        write_rows([good_row()], tmp_path, name, CORPUS, num_negatives=1)


@every_format
def test_missing_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="Cannot write"):
        write_rows([good_row()], tmp_path / "missing", name, CORPUS, num_negatives=1)


def test_half_a_surrogate_pair(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="surrogate"):
        write_rows([good_row(query="\ud83e")], tmp_path, "jsonl")


@every_format
def test_rows_are_not_held(tmp_path: Path, name: str) -> None:
    size, count = 20_000, 300

    def many() -> Iterator[MinedRow]:
        for number in range(count):
            text = f"{number} " + "x" * size
            yield good_row(query_id=f"q{number}", query=text, positives=[text], negatives=[text])

    tracemalloc.start()
    try:
        written = write_rows(many(), tmp_path, name, CORPUS, num_negatives=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written.rows_written == count
    assert peak < size * count / 4
