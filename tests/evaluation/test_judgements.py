"""Reading judgements."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset

from hf_hardneg.errors import ColumnError, FormatError
from hf_hardneg.evaluation.judgements import Judgements


def test_both_forms_of_files(tmp_path: Path) -> None:
    beir, trec = tmp_path / "a.tsv", tmp_path / "b.qrels"
    beir.write_text("query-id\tcorpus-id\tscore\n1\tx\t2\n1\ty\t0\n2\tx\t1\n1\tx\t1\n")
    trec.write_text("1 0 x 2\n1 0 y 0\n2 0 x 1\n")
    for path in (beir, trec):
        found = Judgements.read(path)
        assert found.judged("1") == {"x": 2, "y": 0}
        assert found.relevant("1") == {"x"}
        assert found.relevant("3") == set()
        assert dict(found.judged("3")) == {}
        assert "2" in found
        assert "3" not in found
        assert len(found) == 2
        assert not found.relevant_only
        assert not found.complete
    assert Judgements.read(trec, complete=True).complete


def test_a_grade_between_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.qrels"
    path.write_text("1 0 x 0.5\n")
    with pytest.raises(FormatError, match=r"'x'.*0.5.*whole number"):
        Judgements.read(path)


def test_a_column_of_ids_and_one_of_structs() -> None:
    plain = Dataset.from_dict({"query": ["A  b", "c"], "relevant": [["1", "2"], []]})
    found = Judgements.of_column(plain, "relevant")
    assert found.by_text
    assert found.relevant("a b") == {"1", "2"}
    assert found.relevant_only
    graded = Dataset.from_dict(
        {
            "query_id": [7, 7],
            "query": ["a", "a"],
            "judged": [[{"id": "x", "score": 0}], [{"id": "y", "score": 3}]],
        }
    )
    found = Judgements.of_column(graded, "judged", complete=True)
    assert not found.by_text
    assert found.judged("7") == {"x": 0, "y": 3}
    assert found.complete


def test_what_cannot_be_used_is_refused() -> None:
    rows = Dataset.from_dict({"query": ["a"], "relevant": [["1"]], "wrong": [[0.5]]})
    with pytest.raises(ColumnError, match="Did you mean 'relevant'"):
        Judgements.of_column(rows, "relevants")
    with pytest.raises(ColumnError, match="no column of queries"):
        Judgements.of_column(rows.remove_columns("query"), "relevant")
    with pytest.raises(ColumnError, match="ids of documents"):
        Judgements.of_column(rows, "wrong")
    with pytest.raises(ColumnError, match="expected one of document_id"):
        Judgements.of_column(
            Dataset.from_dict({"query": ["a"], "judged": [[{"name": "x", "score": 1}]]}), "judged"
        )
    with pytest.raises(FormatError, match="no judgement"):
        Judgements.of_column(Dataset.from_dict({"query": ["a"], "judged": [[]]}), "judged")
