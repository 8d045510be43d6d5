"""The firewall around the evaluation: its documents, and its queries."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from datasets.fingerprint import Hasher
from mining import table_of
from small_collection import HEADER, Collection, write_collection, write_lines, write_qrels
from stage_data import DOCUMENTS, random_batch

from hf_hardneg import BM25Retriever, Corpus, HeldOutFilter, HeldOutQueries, OfflineMiner
from hf_hardneg.errors import (
    ColumnError,
    CorpusError,
    FormatError,
    ParameterError,
    QueryError,
    StrategyError,
)
from hf_hardneg.registry import registered
from hf_hardneg.strategy import check
from hf_hardneg.testing import check_filter, check_row_filter


@pytest.fixture
def written(tmp_path: Path) -> Collection:
    return write_collection(tmp_path / "beir")


@pytest.fixture
def corpus(written: Collection) -> Corpus:
    return Corpus(written.folder)


def judged_file(written: Collection) -> str:
    return str(written.folder / "qrels" / "test.tsv")


def mined_with(written: Collection, strategy: str, n: int = 20, **options: Any) -> Dataset:
    miner = OfflineMiner(strategy, corpus=written.folder, num_negatives=n, **options)
    return miner.mine(written.rows())


def negatives(mined: Dataset) -> set[str]:
    return {name for names in mined["hard_negative_ids"] for name in names}


def held(written: Collection) -> set[str]:
    return {name for names in written.test.values() for name in names}


# -- documents -------------------------------------------------------------------------------


def test_no_held_out_document_becomes_a_negative(written: Collection) -> None:
    strategy = f"bm25@40+held-out(judgements={judged_file(written)!r})"
    miner = OfflineMiner(strategy, corpus=written.folder, num_negatives=20)
    mined = miner.mine(written.rows())
    plain = mined_with(written, "bm25@40")
    assert held(written) <= negatives(plain)
    assert not held(written) & negatives(mined)
    for one, full in zip(mined["hard_negative_ids"], plain["hard_negative_ids"], strict=True):
        wanted = [name for name in full if name not in held(written)]
        assert one[: len(wanted)] == wanted
    assert miner.strategy == strategy
    report = miner.report(mined)
    dropped = {stage.stage: stage.dropped for stage in report.stages}["held-out"]
    assert dropped >= 9
    assert report.notes == [
        f"held-out: documents='out': 3 documents that are positives of held-out queries "
        f"({judged_file(written)}) are kept out of the negatives."
    ]


def test_left_in_nothing_changes_and_the_report_says_so(written: Collection) -> None:
    strategy = f"bm25@40+held-out(judgements={judged_file(written)!r}, documents='in')"
    miner = OfflineMiner(strategy, corpus=written.folder, num_negatives=20)
    mined = miner.mine(written.rows())
    plain = mined_with(written, "bm25@40")
    assert mined["hard_negative_ids"] == plain["hard_negative_ids"]
    [note] = miner.report(mined).notes
    assert "documents='in': 3 documents" in note
    assert "are left in and may be negatives" in note
    # Also where batches are mapped, and a pool was made before.
    mapped = written.rows().map(miner.knowing(written.rows()), batched=True)
    assert miner.report(mapped).notes == [note]
    assert miner.report(miner.select(miner.retrieve(written.rows()))).notes == [note]


def test_a_copy_under_another_id_is_held_out_too(tmp_path: Path) -> None:
    documents = {"a": "Red  Car", "b": "red car", "c": "red boat", "d": "red river", "e": "red"}
    qrels = write_qrels(tmp_path / "qrels.tsv", {"q": ["a"]})
    rows = Dataset.from_dict({"query": ["red"], "positive": ["red boat"]})
    options: dict[str, Any] = {"corpus": documents, "num_negatives": 4}
    mined = OfflineMiner(f"bm25+held-out(judgements={str(qrels)!r})", **options).mine(rows)
    assert negatives(mined) == {"d"}
    assert negatives(OfflineMiner("bm25", **options).mine(rows)) >= {"d", "a"}


def test_positives_of_a_data_set_by_text_by_id_and_both(
    written: Collection, corpus: Corpus
) -> None:
    by_id = written.rows(written.test)
    texts = [[written.documents[name] for name in own] for own in written.test.values()]
    both = by_id.add_column("positive", texts)  # type: ignore[call-arg]
    by_text = both.remove_columns("positive_ids")
    from_file = HeldOutFilter(corpus, judged_file(written))
    for rows in (by_id, both, by_text):
        rule = HeldOutFilter(corpus, rows)
        assert np.array_equal(rule._rows, from_file._rows)
        assert np.array_equal(rule._keys, from_file._keys)
        assert rule.judgements == f"dataset {rows._fingerprint}"
    elsewhere = Dataset.from_dict({"query": ["q"], "positive": [["nowhere in the corpus"]]})
    assert HeldOutFilter(corpus, elsewhere).notes()[0].count("0 documents") == 1


def test_trec_and_grades(written: Collection, corpus: Corpus, tmp_path: Path) -> None:
    trec = tmp_path / "qrels.txt"
    trec.write_text("q1 0 d3 1\nq1 0 d4 0\nq2 0 d5 -1\nq2 0 d6 2\n")
    rule = HeldOutFilter(corpus, trec)
    assert corpus.ids(rule._rows) == ["d3", "d6"]
    assert rule.judgements == str(trec)


def test_ids_that_the_corpus_does_not_have_are_counted(corpus: Corpus, tmp_path: Path) -> None:
    qrels = write_qrels(tmp_path / "qrels.tsv", {"q": ["d1", "x1", "x2"]}, "q\tx3\t0\n")
    with pytest.raises(QueryError, match=r"held-out: 2 of 3 held-out document ids are not.*'x1'"):
        HeldOutFilter(corpus, qrels)
    rows = Dataset.from_dict({"query": ["q"], "positive_ids": [["d1", "d999"]]})
    with pytest.raises(QueryError, match="1 of 2 held-out document ids"):
        HeldOutFilter(corpus, rows)


def test_files_that_cannot_be_used(corpus: Corpus, tmp_path: Path) -> None:
    none = write_qrels(tmp_path / "none.tsv", {}, "q\td1\t0\n")
    with pytest.raises(QueryError, match="no judgement above 0, so nothing is held out"):
        HeldOutFilter(corpus, none)
    bare = tmp_path / "bare.tsv"
    bare.write_text("q\td1\t1\n")
    for path, said in ((bare, "has no header"), (tmp_path / "absent.tsv", "there is no such file")):
        with pytest.raises((FormatError, ParameterError), match=said):
            HeldOutFilter(corpus, path)
    for odd, said in ((3, "a int"), ("", "''"), ([], "a list")):
        with pytest.raises(ParameterError, match=f"held-out: judgements is {said}; expected"):
            HeldOutFilter(corpus, odd)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="documents='away'; expected one of out, in"):
        HeldOutFilter(corpus, bare, documents="away")
    with pytest.raises(CorpusError, match="expected a Corpus"):
        HeldOutFilter(["text"], bare)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="held-out needs the parameter 'judgements'"):
        check("bm25+held-out", {})
    with pytest.raises(ParameterError, match="no parameter 'judgments'"):
        check("bm25+held-out(judgments='a')", {})


@pytest.mark.parametrize("documents", ["out", "in"])
def test_the_contract_of_the_filter(documents: str, tmp_path: Path) -> None:
    corpus = Corpus([f"{text} " if place > 16 else text for place, text in enumerate(DOCUMENTS)])
    path = write_qrels(tmp_path / "qrels.tsv", {"q": ["0", "5", "11"]})
    rule = HeldOutFilter(corpus, path, documents=documents)
    found = 0
    for seed in range(8):
        queries, candidates = random_batch(seed)
        check_filter(rule, queries, candidates)
        kept = rule(queries, candidates)
        gone = set(candidates.rows[candidates.filled & ~kept.filled].tolist())
        # Documents 17 and 22 are copies of 0 and 5.
        wanted = {0, 5, 11, 17, 22} & set(candidates.rows.ravel().tolist())
        assert gone == (wanted if documents == "out" else set())
        found += len(gone)
    assert (found > 0) == (documents == "out")


def test_a_worker_reads_nothing_again_and_another_content_is_another_recipe(
    written: Collection, corpus: Corpus
) -> None:
    path = Path(judged_file(written))
    first = HeldOutFilter(corpus, path)
    sent = pickle.dumps(first)
    hashed = Hasher.hash(first)
    write_qrels(path, {"q9": ["d1"]})
    second = HeldOutFilter(corpus, path)
    path.unlink()
    assert pickle.loads(sent) == first
    assert np.array_equal(pickle.loads(sent)._rows, first._rows)
    assert first != second
    assert Hasher.hash(second) != hashed == Hasher.hash(first)


def test_processes_and_the_cache(written: Collection, tmp_path: Path) -> None:
    """Another content of the same file is another mined set, in the same cache."""
    strategy = f"bm25@40+held-out(judgements={judged_file(written)!r})"
    alone = mined_with(written, strategy, cache_dir=tmp_path / "one")
    miner = OfflineMiner(
        strategy, corpus=written.folder, num_negatives=20, cache_dir=tmp_path / "two"
    )
    assert table_of(miner.mine(written.rows(), num_proc=2)) == table_of(alone)
    write_qrels(Path(judged_file(written)), {"q9": ["d20"]})
    other = mined_with(written, strategy, cache_dir=tmp_path / "one")
    assert held(written) <= negatives(other)
    assert "d20" not in negatives(other)


def test_without_a_corpus_the_positives_are_it(written: Collection) -> None:
    """The stage is made when the corpus is known, also where it is known late."""
    rows = Dataset.from_list(written.texts()).rename_column("pos", "positive")
    other = Dataset.from_dict({"query": ["x"], "positive": [written.documents["d3"]]})
    miner = OfflineMiner("bm25+held-out", num_negatives=3, judgements=other)
    mined = miner.mine(rows)
    assert written.documents["d3"] not in {t for own in mined["hard_negatives"] for t in own}
    assert any(mined["hard_negatives"])


class OwnDocuments(BM25Retriever):
    """A retriever that brings the documents, as a database does."""

    name = "own-documents"
    brings_corpus = True

    def __init__(self, corpus: Corpus | None, *, folder: str, top_k: int = 40) -> None:
        super().__init__(corpus or Corpus(folder), top_k=top_k)
        self.folder = folder


def test_the_retriever_may_bring_the_corpus(written: Collection) -> None:
    known = registered()
    known.retrievers[OwnDocuments.name] = OwnDocuments
    try:
        strategy = (
            f"own-documents@40(folder={str(written.folder)!r})"
            f"+held-out(judgements={judged_file(written)!r})"
        )
        mined = OfflineMiner(strategy, num_negatives=20).mine(written.rows())
    finally:
        del known.retrievers[OwnDocuments.name]
    wanted = mined_with(written, f"bm25@40+held-out(judgements={judged_file(written)!r})")
    assert mined["hard_negative_ids"] == wanted["hard_negative_ids"]


# -- queries ---------------------------------------------------------------------------------


def test_rows_of_held_out_queries_are_flagged_or_dropped(written: Collection) -> None:
    path = str(written.folder / "queries.jsonl")
    leak = written.rows({**written.train, **written.test})
    inside = f"queries={path!r}, judgements={judged_file(written)!r}"
    flagging = OfflineMiner(
        f"bm25@40+held-out-queries({inside})", corpus=written.folder, num_negatives=3
    )
    flagged = flagging.mine(leak)
    names = [["held-out-queries"] if own in written.test else [] for own in leak["query_id"]]
    assert flagged["hard_negative_flags"] == names
    report = flagging.report(flagged)
    assert report.rows_flagged == {"held-out-queries": 3}
    assert report.notes == [
        f"held-out-queries: rows of 3 held-out queries ({path}) are flagged and kept."
    ]
    strategy = f"bm25@40+held-out-queries({inside}, action='drop')"
    dropping = OfflineMiner(strategy, corpus=written.folder, num_negatives=3)
    dropped = dropping.mine(leak)
    assert dropped["query_id"] == list(written.train)
    assert dropping.strategy == strategy
    report = dropping.report(dropped)
    assert (report.rows_rejected, report.rows_out) == (3, 9)
    assert "are left out" in report.notes[0]
    everything = OfflineMiner(
        f"bm25@40+held-out-queries(queries={path!r}, action='drop')",
        corpus=written.folder,
        num_negatives=3,
    )
    assert len(everything.mine(leak)) == 0  # one file holds the queries of all splits


def test_both_stages_in_one_strategy(written: Collection) -> None:
    queries = str(written.folder / "queries.jsonl")
    miner = OfflineMiner(
        f"bm25@40+held-out-queries(queries={queries!r}, judgements={judged_file(written)!r}, "
        f"action='drop')+held-out(judgements={judged_file(written)!r})+random",
        corpus=written.folder,
        num_negatives=20,
    )
    mined = miner.mine(written.rows({**written.train, **written.test}))
    assert mined["query_id"] == list(written.train)
    assert not held(written) & negatives(mined)
    assert len(miner.report(mined).notes) == 2


def test_queries_are_compared_after_normalisation() -> None:
    queries, candidates = random_batch(2)
    texts = [" QUERY  0\n", "another one", "query 2"]
    for name in ("query", "question", "text"):
        rule = HeldOutQueries(Dataset.from_dict({name: texts}))
        check_row_filter(rule, queries, candidates)
        assert rule.flags(queries, candidates).tolist() == [True, False, True, False]
        again = pickle.loads(pickle.dumps(rule))
        assert again == rule
        assert np.array_equal(again._keys, rule._keys)
    other = HeldOutQueries(Dataset.from_dict({"query": ["query 1"]}))
    assert other != rule
    assert Hasher.hash(other) != Hasher.hash(rule)


def test_queries_that_cannot_be_used(written: Collection, tmp_path: Path) -> None:
    path = written.folder / "queries.jsonl"
    strange = tmp_path / "qrels.tsv"
    strange.write_text(f"{HEADER}q1\td1\t1\nnobody\td1\t1\n")
    with pytest.raises(QueryError, match=r"judges 1 queries that are not in .*'nobody'"):
        HeldOutQueries(path, judgements=strange)
    with pytest.raises(QueryError, match="holds no queries"):
        HeldOutQueries(write_lines(tmp_path / "none.jsonl", []))
    with pytest.raises(FormatError, match="expected the fields _id and text"):
        HeldOutQueries(write_lines(tmp_path / "odd.jsonl", [{"name": "a"}]))
    with pytest.raises(ParameterError, match="there is no such file"):
        HeldOutQueries(tmp_path / "absent.jsonl")
    with pytest.raises(ParameterError, match="action='remove'; expected one of flag, drop"):
        HeldOutQueries(path, action="remove")
    with pytest.raises(ParameterError, match="queries is a NoneType"):
        HeldOutQueries(None)  # type: ignore[arg-type]
    rows = Dataset.from_dict({"name": ["a"]})
    with pytest.raises(ColumnError, match=r"held-out-queries: no column of queries.*found name"):
        HeldOutQueries(rows)
    with pytest.raises(ParameterError, match="judgements go with a file of queries"):
        HeldOutQueries(Dataset.from_dict({"query": ["a"]}), judgements=strange)
    with pytest.raises(QueryError, match="holds what is no text"):
        HeldOutQueries(Dataset.from_dict({"query": ["a", None]}))
    with pytest.raises(ParameterError, match="held-out-queries needs the parameter 'queries'"):
        check("bm25+held-out-queries", {})
    with pytest.raises(StrategyError, match="cannot be read"):
        check("bm25+held-out-queries(queries=path)", {})
