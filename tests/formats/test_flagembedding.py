"""FlagEmbedding JSONL, read back with the json module and with datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg.formats.mined_row import MinedRow

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def test_values(write: Any, json_lines: Any, scored_rows: list[MinedRow]) -> None:
    written, folder = write("flagembedding", scored_rows)
    assert written.files == [folder / "train.jsonl"]
    assert json_lines(folder / "train.jsonl") == [
        {
            "query": row.query,
            "pos": row.positives,
            "neg": row.negatives,
            "pos_scores": row.positive_scores,
            "neg_scores": row.negative_scores,
        }
        for row in scored_rows
    ]
    assert (written.rows_in, written.rows_written, written.rows_without_scores) == (2, 2, 0)


def test_pos_and_neg_are_lists(write: Any, json_lines: Any, rows: list[MinedRow]) -> None:
    _, folder = write("flagembedding", rows)
    lines = json_lines(folder / "train.jsonl")
    assert all(type(line["pos"]) is list and type(line["neg"]) is list for line in lines)
    assert lines[0]["pos"] == [rows[0].positives[0]]


def test_one_missing_score_leaves_all_out(
    write: Any, json_lines: Any, rows: list[MinedRow]
) -> None:
    written, folder = write("flagembedding", rows)
    assert json_lines(folder / "train.jsonl") == [
        {"query": row.query, "pos": row.positives, "neg": row.negatives} for row in rows
    ]
    assert (written.rows_in, written.rows_written) == (4, 4)
    assert (written.rows_without_negatives, written.rows_without_scores) == (1, 1)


def test_no_scores_at_all(write: Any, json_lines: Any, make_row: Callable[..., MinedRow]) -> None:
    written, folder = write("flagembedding", [make_row("q", {"d1": None}, {"d2": None})])
    assert set(json_lines(folder / "train.jsonl")[0]) == {"query", "pos", "neg"}
    assert written.rows_without_scores == 1


def test_row_without_negatives_has_an_empty_list(
    write: Any, json_lines: Any, rows: list[MinedRow]
) -> None:
    written, folder = write("flagembedding", rows[3:])
    assert json_lines(folder / "train.jsonl")[0]["neg"] == []
    assert written.rows_without_negatives == 1


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXT, min_size=4, max_size=4))
def test_any_text_survives(write: Any, json_lines: Any, text_row: Any, texts: list[str]) -> None:
    row, _ = text_row(texts)
    _, folder = write("flagembedding", [row])
    (line,) = json_lines(folder / "train.jsonl")
    assert [line["query"], *line["pos"], *line["neg"]] == texts


def test_datasets_reads_it(
    write: Any, scored_rows: list[MinedRow], rows: list[MinedRow], tmp_path: Path
) -> None:
    for case in (scored_rows, rows):
        _, folder = write("flagembedding", case)
        table = datasets.load_dataset(
            "json",
            data_files=str(folder / "train.jsonl"),
            split="train",
            cache_dir=str(tmp_path),
        )
        assert table["query"][:] == [row.query for row in case]
        assert table["pos"][:] == [row.positives for row in case]
        assert table["neg"][:] == [row.negatives for row in case]


def test_datasets_reads_a_long_file_whose_scores_begin_late(
    write: Any, tmp_path: Path, make_row: Callable[..., MinedRow]
) -> None:
    # datasets fixes the columns after its first 10 MB
    long_query = "word " * 4_000
    early = make_row("q", {"d1": None}, {"d2": None}, query=long_query)
    late = make_row("q", {"d1": 1.0}, {"d2": 0.5}, query=long_query)
    _, folder = write("flagembedding", [early] * 600 + [late])
    table = datasets.load_dataset(
        "json", data_files=str(folder / "train.jsonl"), split="train", cache_dir=str(tmp_path)
    )
    assert len(table) == 601
    assert table.column_names == ["query", "pos", "neg"]
