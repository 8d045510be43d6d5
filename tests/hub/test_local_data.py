"""The data of a recipe from files, without a Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from small_collection import write_collection

from hf_hardneg.errors import ColumnError, FormatError, HardNegError, QueryError, RecipeError
from hf_hardneg.hub.recipe import check_files, load_recipe
from hf_hardneg.hub.recipe_schema import Recipe
from hf_hardneg.hub.revisions import resolved
from hf_hardneg.hub.sources_hub import load_data, load_grades, load_held_out_part
from hf_hardneg.query_sources import load_queries

HEAD = "version: 1\nname: x\nmining: {strategy: bm25}\noutputs: [ids]\n"


def lines(path: Path, *records: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines(tmp_path / "q.jsonl", {"_id": "a", "text": "one"}, {"_id": "b", "text": "two"})
    lines(tmp_path / "d.jsonl", {"_id": "1", "text": "x"}, {"_id": "2", "text": "y"})
    (tmp_path / "j.tsv").write_text("query-id\tcorpus-id\tscore\na\t1\t1\na\t2\t0\n")
    return tmp_path


def recipe(folder: Path, **data: Any) -> Recipe:
    (folder / "r.yaml").write_text(HEAD + f"data: {json.dumps(data)}\n")
    return load_recipe(folder / "r.yaml")


FILES = {"queries": "q.jsonl", "corpus": "d.jsonl", "judgements": "j.tsv"}


def test_files_are_joined_by_their_ids(folder: Path) -> None:
    loaded, corpus = load_data(recipe(folder, **FILES))
    assert loaded.rows.to_dict() == {"query_id": ["a"], "query": ["one"], "positive_ids": [["1"]]}
    assert corpus is not None
    assert list(corpus.ids(range(2))) == ["1", "2"]
    assert any("1 of 2 queries have no positive" in note for note in loaded.notes)
    assert any("1 judgements of score 0" in note for note in loaded.notes)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_judgements_of_any_form_are_the_same(folder: Path, kind: str) -> None:
    rows = Dataset.from_dict({"qid": ["a", "a"], "docid": ["1", "2"], "score": [1, 0]})
    path = str(folder / f"j.{kind}")
    if kind == "jsonl":
        rows.to_json(path)
    else:
        (rows.to_parquet if kind == "parquet" else rows.to_csv)(path)
    loaded, _ = load_data(recipe(folder, **{**FILES, "judgements": f"j.{kind}"}))
    assert loaded.rows["positive_ids"][:] == [["1"]]


def test_a_grade_that_is_no_number_is_refused(folder: Path) -> None:
    lines(folder / "j.jsonl", {"qid": "a", "docid": "1", "score": "good"})
    with pytest.raises(FormatError, match="two ids and a number"):
        load_data(recipe(folder, **{**FILES, "judgements": "j.jsonl"}))


def test_a_beir_folder_is_what_the_command_line_reads(tmp_path: Path) -> None:
    write_collection(tmp_path / "beir")
    one = recipe(tmp_path, queries="beir", split="train")
    loaded, corpus = load_data(one)
    theirs = load_queries(tmp_path / "beir", split="train")
    assert loaded.rows.to_dict() == theirs.rows.to_dict()
    assert loaded.notes == theirs.notes
    assert corpus is not None
    assert len(corpus) == 40
    named = recipe(tmp_path, queries="beir", split="train", columns={"query": "words"})
    assert load_data(named)[0].rows.column_names == ["query_id", "words", "positive_ids"]


def test_held_out_queries_are_not_those_that_are_mined(tmp_path: Path) -> None:
    write_collection(tmp_path / "beir")
    (tmp_path / "r.yaml").write_text(
        HEAD + "data: {queries: beir}\nevaluation: {held_out: {queries: beir}}\n"
    )
    one = load_recipe(tmp_path / "r.yaml")
    loaded, corpus = load_data(one)
    held_out = load_held_out_part(one, corpus)
    assert held_out is not None
    assert not set(held_out.ids) & set(loaded.rows["query_id"])
    assert load_grades(one) is None


def test_pairs_are_their_own_documents(folder: Path) -> None:
    lines(folder / "p.jsonl", {"query": "a", "answer": "x"}, {"query": "b", "answer": "x"})
    loaded, corpus = load_data(recipe(folder, queries="p.jsonl"))
    assert corpus is not None
    assert (len(loaded.rows), len(corpus)) == (2, 1)


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (
            {"queries": "none.jsonl"},
            RecipeError,
            "line 5: data.queries is 'none.jsonl', and there is",
        ),
        (
            {**FILES, "judgements": "no.tsv"},
            RecipeError,
            "data.judgements is 'no.tsv', and there is",
        ),
        ({**FILES, "queries": "d.jsonl"}, QueryError, "queries that are not in d.jsonl"),
        ({**FILES, "judgements": "d.jsonl"}, ColumnError, "no column for the queries' ids"),
        ({**FILES, "columns": {"query": "txt"}}, ColumnError, "Did you mean 'text'"),
        ({**FILES, "columns": {"document_text": "txt"}}, ColumnError, "Did you mean 'text'"),
    ],
)
def test_what_cannot_be_joined(
    folder: Path, data: dict[str, Any], error: type[HardNegError], said: str
) -> None:
    one = recipe(folder, **data)
    with pytest.raises(error, match=said):
        load_data(one)


def test_an_id_that_stands_twice_is_refused(folder: Path) -> None:
    lines(folder / "q.jsonl", {"_id": "a", "text": "one"}, {"_id": "a", "text": "two"})
    with pytest.raises(RecipeError, match="two queries with the id 'a'"):
        load_data(recipe(folder, **FILES))


def test_local_recipes_need_no_hub(folder: Path) -> None:
    one = recipe(folder, **FILES)
    check_files(one)
    assert resolved(one) == one


def test_without_a_connection_the_revision_is_not_guessed(tmp_path: Path) -> None:
    one = recipe(tmp_path, queries="alice/set")
    with pytest.raises(RecipeError, match=r"line 5: data.queries .*the Hub did not say its commit"):
        resolved(one)
