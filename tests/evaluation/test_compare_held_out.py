"""Held-out queries: where they come from, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from small_collection import HEADER, Collection, write_collection, write_qrels

from hf_hardneg import Corpus
from hf_hardneg.errors import FormatError, QueryError
from hf_hardneg.evaluation.held_out import held_out_split, load_held_out, seen_queries


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return write_collection(tmp_path / "beir")


def test_a_split_of_a_folder_with_its_grades(collection: Collection) -> None:
    path = collection.folder / "qrels" / "test.tsv"
    path.write_text(HEADER + "q9\td9\t2\nq9\td3\t0\nq10\td10\t1\nq11\td5\t0\n")
    found = load_held_out(collection.folder, split="test")
    assert found.ids == ["q9", "q10"]
    assert found.texts == [collection.queries["q9"], collection.queries["q10"]]
    assert found.judgements == {"q9": {"d9": 2, "d3": 0}, "q10": {"d10": 1}}
    assert found.notes


def test_rows_of_a_data_set_have_the_grade_one(collection: Collection) -> None:
    rows = collection.rows(collection.test)
    found = load_held_out(rows)
    assert found.judgements == {name: {document: 1} for name, [document] in collection.test.items()}
    by_text = Dataset.from_dict(
        {"query": rows["query"][:],
         "positive": [collection.documents[own[0]] for own in rows["positive_ids"][:]]}
    )  # fmt: skip
    read = load_held_out(by_text, corpus=Corpus(collection.folder))
    assert list(read.judgements.values()) == list(found.judgements.values())
    assert read.ids == ["0", "1", "2"]


def test_dev_comes_before_test_and_never_the_split_that_is_trained_on(
    collection: Collection,
) -> None:
    assert held_out_split(collection.folder, None) == "test"
    (collection.folder / "qrels" / "train.tsv").unlink()
    with pytest.raises(QueryError, match=r"no held-out split.*'test' is trained on"):
        held_out_split(collection.folder, None)
    write_qrels(collection.folder / "qrels" / "dev.tsv", {"q1": ["d1"]})
    assert held_out_split(collection.folder, "test") == "dev"


def test_seen_queries_are_found_by_normalised_text(collection: Collection) -> None:
    found = load_held_out(collection.folder, split="test")
    other = collection.queries["q0"]
    assert seen_queries(found, Dataset.from_dict({"q": [other]}), "q") == []
    shouted = "  " + collection.queries["q10"].replace(" ", "   ") + "\n"
    rows = Dataset.from_dict({"q": [other, shouted]})
    assert seen_queries(found, rows, "q") == ["q10"]


def test_a_broken_grade_and_lost_documents_are_refused(
    collection: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "own.tsv"
    path.write_text(HEADER + "q9\td9\t0.5\n")
    with pytest.raises(FormatError, match=r"'q9'.*0\.5.*whole number"):
        load_held_out(collection.folder, qrels=path)
    path.write_text(HEADER + "q9\tnowhere\t1\nq10\td10\t1\n")
    with pytest.raises(QueryError, match="1 of 2 held-out queries have no relevant document"):
        load_held_out(collection.folder, qrels=path).check(Corpus(collection.folder))


def test_what_is_not_there_is_said(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="neither a folder in BEIR layout nor a file"):
        load_held_out(tmp_path / "none")
    with pytest.raises(QueryError, match="have no judgements"):
        load_held_out(collection.folder / "queries.jsonl")
    with pytest.raises(FormatError, match="does not exist"):
        load_held_out(collection.folder, qrels=tmp_path / "none.tsv")
