"""What people call a false negative is never a negative again."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from datasets.fingerprint import Hasher
from mining import table_of
from small_collection import Collection, write_collection, write_lines
from stage_data import DOCUMENTS, random_batch

from hf_hardneg import Corpus, LabelledFilter, OfflineMiner
from hf_hardneg.errors import CorpusError, FormatError, ParameterError, QueryError
from hf_hardneg.hashing import text_keys
from hf_hardneg.strategy import check
from hf_hardneg.testing import check_filter

FALSE, TRUE = "false_negative", "true_negative"


@pytest.fixture
def written(tmp_path: Path) -> Collection:
    return write_collection(tmp_path / "beir")


def mark(
    query: str, document: str, label: Any = FALSE, who: str = "a", **own: Any
) -> dict[str, Any]:
    return {"query_id": query, "document_id": document, "label": label, "annotator": who,
            "stratum": "hand-picked", **own}  # fmt: skip


def mined_with(written: Collection, strategy: str, **options: Any) -> Dataset:
    miner = OfflineMiner(strategy, corpus=written.folder, num_negatives=20, **options)
    return miner.mine(written.rows())


def chosen(mined: Dataset) -> dict[str, list[str]]:
    return dict(zip(mined["query_id"], mined["hard_negative_ids"], strict=True))


def test_what_is_called_false_is_out_for_that_query_alone(
    written: Collection, tmp_path: Path
) -> None:
    plain = chosen(mined_with(written, "bm25@40"))
    query, other = list(plain)[:2]
    bad = plain[query][2]
    assert bad in {name for names in plain.values() for name in names}
    path = write_lines(tmp_path / "marks.jsonl", [mark(query, bad), mark(other, "d1", TRUE)])
    strategy = f"bm25@40+labelled(labels={str(path)!r})"
    miner = OfflineMiner(strategy, corpus=written.folder, num_negatives=20)
    mined = miner.mine(written.rows())
    found = chosen(mined)
    assert bad not in found[query]
    assert found[query][: len(plain[query]) - 1] == [one for one in plain[query] if one != bad]
    assert {name: own for name, own in found.items() if name != query} == {
        name: own for name, own in plain.items() if name != query
    }
    report = miner.report(mined)
    assert {stage.stage: stage.dropped for stage in report.stages}["labelled"] == 1
    [note] = report.notes
    assert note.startswith("labelled: 1 of 2 labelled pairs are called false negatives")
    assert miner.strategy == strategy


def pairs_of(*marks: dict[str, Any], tmp_path: Path, **options: Any) -> set[tuple[int, int]]:
    """Return which (query, document) of a small corpus the filter would drop, by brute force."""
    corpus = Corpus({f"d{n}": f"text {n}" for n in range(6)})
    rule = LabelledFilter(corpus, write_lines(tmp_path / "marks.jsonl", list(marks)), **options)
    queries = text_keys([f"query {n}" for n in range(3)])
    ids = [f"q{n}" for n in range(3)]
    from hf_hardneg.hashing import exact_keys

    found = rule._pairs.called_false(
        queries, exact_keys(ids), np.tile(corpus.document_keys, (3, 1))
    )
    return {(int(q), int(d)) for q, d in zip(*np.nonzero(found), strict=True)}


@pytest.mark.parametrize(
    ("marks", "dropped"),
    [
        ([("a", FALSE)], True),
        ([("a", TRUE)], False),
        ([("a", "unsure")], False),
        ([("a", "bad_query")], False),
        ([("a", None)], False),
        ([("a", 0.5)], True),
        ([("a", 0.49)], False),
        ([("a", FALSE), ("b", TRUE)], True),
        ([("a", FALSE), ("b", TRUE), ("c", TRUE)], False),
        ([("a", FALSE), ("a", TRUE)], False),
        ([("a", TRUE), ("a", FALSE), ("b", "unsure")], True),
        ([("a", FALSE), ("a", None)], True),
    ],
)
def test_the_mean_of_the_last_labels(
    marks: list[tuple[str, Any]], dropped: bool, tmp_path: Path
) -> None:
    lines = [mark("q1", "d2", label, who) for who, label in marks]
    lines.append(mark("q0", "d0"))
    found = pairs_of(*lines, tmp_path=tmp_path)
    assert found == {(0, 0), *([(1, 2)] if dropped else [])}


def test_threshold_withdrawn_drawn_and_controls(tmp_path: Path) -> None:
    split = [mark("q1", "d2", FALSE, "a"), mark("q1", "d2", TRUE, "b")]
    assert pairs_of(*split, tmp_path=tmp_path, threshold=0.6) == set()
    first = mark("q1", "d2")
    assert pairs_of(first, mark("q1", "d2", None, withdrawn=True), tmp_path=tmp_path) == set()
    drawn = mark("q1", "d2", TRUE, stratum="1-5", weight=2.0)
    assert pairs_of(first, drawn, tmp_path=tmp_path) == set()  # the later of one annotator
    assert pairs_of(drawn, first, tmp_path=tmp_path) == {(1, 2)}
    assert pairs_of(mark("q1", "d2", FALSE, control=True), tmp_path=tmp_path) == set()


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ({"query_id": "q1", "document_id": "d2"}, True),
        ({"query": " QUERY  1", "document": "Text 2"}, True),
        ({"query": "query 1", "document_id": "d2"}, True),
        ({"query_id": "q1", "document": "text 2"}, True),
        # A text is surer than an id, which another collection has too.
        ({"query_id": "q1", "query": "another query", "document_id": "d2"}, False),
        (
            {"query_id": "q-0123", "query": "query 1", "document_id": "d-9", "document": "text 2"},
            True,
        ),
    ],
)
def test_how_pairs_are_told_apart(own: dict[str, str], found: bool, tmp_path: Path) -> None:
    assert pairs_of({"label": FALSE, **own}, tmp_path=tmp_path) == ({(1, 2)} if found else set())


def test_a_copy_under_another_id_is_out_too(tmp_path: Path) -> None:
    documents = {"a": "Red  Car", "b": "red car", "c": "red boat", "d": "red river"}
    path = write_lines(tmp_path / "marks.jsonl", [{"query": "red", "document_id": "a", "label": 1}])
    rows = Dataset.from_dict({"query": ["red"], "positive": ["red boat"]})
    strategy = f"bm25+labelled(labels={str(path)!r})"
    mined = OfflineMiner(strategy, corpus=documents, num_negatives=3).mine(rows)
    assert mined["hard_negative_ids"] == [["d"]]


def test_queries_that_are_called_bad_are_told(tmp_path: Path) -> None:
    corpus = Corpus({"d0": "text"})
    lines = [
        mark("q1", "d0"),
        mark("q2", "d0", "bad_query"),
        mark("q3", "d0", "bad_query", control=True),
    ]
    rule = LabelledFilter(corpus, write_lines(tmp_path / "m.jsonl", [*lines, mark("q1", "gone")]))
    said = " ".join(rule.notes())
    assert "2 queries are called bad" in said
    assert "1 of these have a document that is not in the corpus" in said


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    corpus = Corpus({"d0": "text"})
    path = write_lines(tmp_path / "marks.jsonl", [mark("q", "x1"), mark("q", "x2")])
    with pytest.raises(QueryError, match=r"none of the 2 documents .*'x1'"):
        LabelledFilter(corpus, path)
    with pytest.raises(FormatError, match="holds no line"):
        LabelledFilter(corpus, write_lines(tmp_path / "none.jsonl", []))
    with pytest.raises(FormatError, match="line 1: no field 'label'"):
        LabelledFilter(corpus, write_lines(tmp_path / "odd.jsonl", [{"query": "a"}]))
    for odd in (tmp_path / "absent.jsonl", tmp_path, 3, ""):
        with pytest.raises(ParameterError, match="there is no such file"):
            LabelledFilter(corpus, odd)  # type: ignore[arg-type]
    for threshold in (0, -1, 2, "x"):
        with pytest.raises(ParameterError, match="threshold"):
            LabelledFilter(corpus, path, threshold=threshold)  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="expected a Corpus"):
        LabelledFilter(["text"], path)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="labelled needs the parameter 'labels'"):
        check("bm25+labelled", {})


def test_the_contract_of_the_filter(tmp_path: Path) -> None:
    corpus = Corpus([f"{text} " if place > 16 else text for place, text in enumerate(DOCUMENTS)])
    queries, candidates = random_batch(1)
    lines = [
        {"query": text, "document_id": str(document), "label": FALSE}
        for text in queries.texts
        for document in (0, 5, 11)
    ]
    rule = LabelledFilter(corpus, write_lines(tmp_path / "marks.jsonl", lines))
    found = 0
    for seed in range(8):
        queries, candidates = random_batch(seed)
        check_filter(rule, queries, candidates)
        kept = rule(queries, candidates)
        gone = set(candidates.rows[candidates.filled & ~kept.filled].tolist())
        assert gone <= {0, 5, 11, 17, 22}  # documents 17 and 22 are copies of 0 and 5
        found += len(gone)
    assert found


def test_another_content_is_another_recipe_and_the_form_of_the_file_is_not(tmp_path: Path) -> None:
    corpus = Corpus({f"d{n}": f"text {n}" for n in range(6)})
    lines = [mark("q1", "d2"), mark("q1", "d3", TRUE)]
    path = write_lines(tmp_path / "marks.jsonl", lines)
    first = LabelledFilter(corpus, path)
    sent, hashed = pickle.dumps(first), Hasher.hash(first)
    write_lines(path, [{**line, "note": "more"} for line in lines[::-1]])
    assert LabelledFilter(corpus, path) == first
    assert LabelledFilter(corpus, path).notes() == first.notes()
    write_lines(path, [*lines, mark("q1", "d4")])
    second = LabelledFilter(corpus, path)
    path.unlink()
    assert pickle.loads(sent) == first
    assert pickle.loads(sent).notes() == first.notes()
    assert first != second
    assert Hasher.hash(second) != hashed == Hasher.hash(first)


def test_processes_and_the_cache(written: Collection, tmp_path: Path) -> None:
    plain = chosen(mined_with(written, "bm25@40"))
    query = next(iter(plain))
    path = write_lines(tmp_path / "marks.jsonl", [mark(query, plain[query][0])])
    strategy = f"bm25@40+labelled(labels={str(path)!r})"
    alone = mined_with(written, strategy, cache_dir=tmp_path / "one")
    miner = OfflineMiner(
        strategy, corpus=written.folder, num_negatives=20, cache_dir=tmp_path / "two"
    )
    assert table_of(miner.mine(written.rows(), num_proc=2)) == table_of(alone)
    write_lines(path, [mark(query, plain[query][1])])
    other = chosen(mined_with(written, strategy, cache_dir=tmp_path / "one"))
    assert plain[query][0] in other[query]
    assert plain[query][1] not in other[query]
