"""Candidates read from a TREC run or a pool: nothing lost, nothing invented."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import BM25Retriever, Corpus, OfflineMiner, RandomRetriever, RunRetriever
from hf_hardneg.candidates import Queries
from hf_hardneg.errors import ColumnError, FormatError, HardNegError, PoolError, QueryError
from hf_hardneg.testing import check_retriever, make_queries

DOCUMENTS = {f"d{number}": f"text of document {number}" for number in range(8)}
RUN = """\
q1 Q0 d3 1 2.5 tag
q1 Q0 d1 2 2.5 tag
q2 Q0 d7 1 -3 tag

q1\tQ0\td0\t3\t9.5\ttag
q2 Q0 d0 9 -1e-3 tag
q1 Q0 d5 4 2.5 tag
"""


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(DOCUMENTS)


def queries(corpus: Corpus, positives: tuple[str, ...] = ("text of document 1",) * 3) -> Queries:
    return make_queries(
        corpus, ["first", "second", "third"], [[text] for text in positives], ids=["q1", "q2", "q3"]
    )


def write(folder: Path, content: str, name: str = "run.trec") -> Path:
    path = folder / name
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["run.trec", "run.gz"])
def test_a_run_by_score_with_ties_by_row_and_no_line_lost(
    corpus: Corpus, tmp_path: Path, name: str
) -> None:
    """Lines of a query that stand apart belong together; the rank field says nothing."""
    retriever = RunRetriever(corpus, run=write(tmp_path, RUN, name), top_k=5)
    found = retriever.retrieve(queries(corpus))
    assert found.rows.tolist() == [[0, 1, 3, 5, -1], [0, 7, -1, -1, -1], [-1] * 5]
    assert found.scores[0, :4].tolist() == [9.5, 2.5, 2.5, 2.5]
    np.testing.assert_array_equal(found.positive_scores, np.float32([2.5, np.nan, np.nan]))
    check_retriever(retriever, queries(corpus))


def test_the_best_of_a_longer_list(corpus: Corpus, tmp_path: Path) -> None:
    retriever = RunRetriever(corpus, run=str(write(tmp_path, RUN)), top_k=2)
    assert retriever.retrieve(queries(corpus)).rows.tolist() == [[0, 1], [0, 7], [-1, -1]]


def test_a_document_listed_twice_counts_once(corpus: Corpus, tmp_path: Path) -> None:
    run = write(tmp_path, RUN + "q1 Q0 d5 7 11 tag\nq1 Q0 d0 8 1 tag\n")
    found = RunRetriever(corpus, run=run, top_k=5).retrieve(queries(corpus))
    assert found.rows[0].tolist() == [5, 0, 1, 3, -1]
    assert found.scores[0, :2].tolist() == [11, 9.5]


@given(
    st.lists(
        st.tuples(st.sampled_from(["q1", "q2"]), st.integers(0, 7), st.integers(-3, 3)),
        min_size=1,
        max_size=25,
    ),
    st.integers(1, 9),
)
def test_any_order_of_lines_equals_a_brute_force(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, int, int]], top_k: int
) -> None:
    corpus = Corpus(DOCUMENTS)
    content = "".join(f"{query} Q0 d{row} 0 {score} t\n" for query, row, score in lines)
    run = write(tmp_path_factory.mktemp("run"), content)
    found = RunRetriever(corpus, run=run, top_k=top_k).retrieve(queries(corpus))
    for line, query in enumerate(["q1", "q2", "q3"]):
        best: dict[int, int] = {}
        for _, row, score in (entry for entry in lines if entry[0] == query):
            best[row] = max(best.get(row, -9), score)
        wanted = sorted(best, key=lambda row: (-best[row], row))[:top_k]
        filled = found.filled[line]
        assert found.rows[line][filled].tolist() == wanted
        assert found.scores[line][filled].tolist() == [best[row] for row in wanted]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q1 Q0 d1 1 2.5", "line 8: 5 fields"),
        ("q1 Q0 d1 1 2.5 tag more", "line 8: 7 fields"),
        ("q1 Q0 d1 1 high tag", "line 8: the score is 'high'"),
        ("q1 Q0 d1 1 nan tag", "line 8: the score is 'nan'"),
        ("q1 Q0 d1 1 -inf tag", "line 8: the score is '-inf'"),
        ("q1 Q0 d1 1 1e300 tag", "line 8: the score is '1e300'"),
    ],
)
def test_a_malformed_line_is_named(corpus: Corpus, tmp_path: Path, line: str, said: str) -> None:
    retriever = RunRetriever(corpus, run=write(tmp_path, RUN + line + "\n"))
    with pytest.raises(FormatError, match=said):
        retriever.prepare()


def test_runs_that_cannot_be_used(corpus: Corpus, tmp_path: Path, cache: Path) -> None:
    unknown = write(tmp_path, RUN + "q1 Q0 d99 1 2 t\nq3 Q0 d98 1 2 t\n", "unknown")
    with pytest.raises(PoolError, match="2 documents are not in the corpus, for example 'd99'"):
        RunRetriever(corpus, run=unknown).prepare()
    with pytest.raises(PoolError, match="holds no queries"):
        RunRetriever(corpus, run=write(tmp_path, "\n", "empty")).prepare()
    with pytest.raises(PoolError, match="does not exist"):
        RunRetriever(corpus, run=tmp_path / "nowhere")
    with pytest.raises(PoolError, match="cannot be opened as a pool"):
        RunRetriever(corpus, run=tmp_path).prepare()
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(gzip.compress(RUN.encode() * 50)[:-20])
    with pytest.raises(FormatError, match=r"damaged\.gz, after line"):
        RunRetriever(corpus, run=damaged).prepare()
    (tmp_path / "latin").write_bytes("q1 Q0 d1 1 2 t\nq\xe9 Q0 d1 1 2 t\n".encode("latin-1"))
    with pytest.raises(FormatError, match="latin, after line"):
        RunRetriever(corpus, run=tmp_path / "latin").prepare()
    assert not list((cache / "runs").glob("*/keys.npy"))


def test_a_run_needs_ids_of_queries(corpus: Corpus, tmp_path: Path) -> None:
    nameless = make_queries(corpus, ["first"], [["x"]])
    with pytest.raises(QueryError, match="names queries by id"):
        RunRetriever(corpus, run=write(tmp_path, RUN)).retrieve(nameless)


def test_a_changed_run_is_read_anew(corpus: Corpus, tmp_path: Path) -> None:
    run = write(tmp_path, "q1 Q0 d1 1 2 t\n")
    assert RunRetriever(corpus, run=run, top_k=1).retrieve(queries(corpus)).rows[0, 0] == 1
    write(tmp_path, "q1 Q0 d2 1 22 t\n")
    assert RunRetriever(corpus, run=run, top_k=1).retrieve(queries(corpus)).rows[0, 0] == 2


@pytest.mark.parametrize("column", ["query", "question", "anchor"])
def test_the_pool_of_an_earlier_mining(column: str, tmp_path: Path) -> None:
    texts = [f"word{number % 5} word{number}" for number in range(30)]
    corpus = Corpus(texts)
    rows = Dataset.from_dict(
        {column: ["word1 word7", "word2", "nothing"], "positive": [texts[7], texts[2], texts[3]]}
    )
    pool = OfflineMiner(BM25Retriever(corpus, top_k=4), num_negatives=1).retrieve(rows)
    pool.save_to_disk(tmp_path / "pool")
    asked = make_queries(corpus, rows[column], [[text] for text in rows["positive"]])
    wanted = BM25Retriever(corpus, top_k=4).retrieve(asked)
    for run in (pool, tmp_path / "pool"):
        retriever = RunRetriever(corpus, run=run, top_k=4)
        found = retriever.retrieve(asked)
        assert np.array_equal(found.rows, wanted.rows)
        assert np.array_equal(found.scores, wanted.scores)
        check_retriever(retriever, asked)


def test_a_pool_by_ids_with_repeated_queries_and_documents(corpus: Corpus) -> None:
    pool = Dataset.from_dict(
        {
            "query": ["First", "second", "first"],
            "candidate_ids": [["d2", "d1", "d2"], None, ["d5"]],
            "candidate_scores": [[1.0, 2.0, 1.0], None, [3.0]],
        }
    )
    found = RunRetriever(corpus, run=pool, top_k=3).retrieve(queries(corpus))
    assert found.rows.tolist() == [[1, 2, -1], [-1] * 3, [-1] * 3]


def test_a_pool_of_random_documents_keeps_their_order(corpus: Corpus) -> None:
    rows = Dataset.from_dict({"query": ["first", "second", "third"], "positive": ["a", "b", "c"]})
    pool = OfflineMiner(RandomRetriever(corpus, top_k=6), num_negatives=1).retrieve(rows)
    found = RunRetriever(corpus, run=pool, top_k=3).retrieve(queries(corpus))
    assert (
        found.rows.tolist() == RandomRetriever(corpus, top_k=3).search(queries(corpus))[0].tolist()
    )
    assert np.isnan(found.scores).all()


BROKEN: list[tuple[dict[str, list[object]], type[HardNegError], str]] = [
    ({"query": ["q"], "candidate_rows": [[1]]}, ColumnError, "candidate_scores; found query"),
    ({"q": ["q"], "candidate_rows": [[1]], "candidate_scores": [[1.0]]}, ColumnError, "query col"),
    ({"query": ["q"], "candidate_rows": [[8]], "candidate_scores": [[1.0]]}, PoolError, "8 doc"),
    ({"query": ["q"], "candidate_ids": [["?"]], "candidate_scores": [[1.0]]}, PoolError, "8 doc"),
    ({"query": ["q"], "candidate_rows": [[1, 2]], "candidate_scores": [[1.0]]}, PoolError, "mixed"),
]


@pytest.mark.parametrize(("columns", "kind", "said"), BROKEN)
def test_pools_that_cannot_be_used(
    corpus: Corpus, columns: dict[str, list[object]], kind: type[HardNegError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        RunRetriever(corpus, run=Dataset.from_dict(columns)).prepare()


def test_splits_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    pool = Dataset.from_dict({"query": ["q"]})
    DatasetDict({"train": pool}).save_to_disk(tmp_path / "splits")
    with pytest.raises(PoolError, match="several splits"):
        RunRetriever(corpus, run=tmp_path / "splits").prepare()


def test_a_run_file_that_changes_changes_the_recipe(tmp_path: Path) -> None:
    """A pool kept for the old content of a run must not be taken for that of the new one."""
    from datasets.fingerprint import Hasher

    corpus = Corpus(["one", "two", "three"])
    run = tmp_path / "run.trec"
    run.write_text("q1 Q0 0 1 2.0 x\n")
    before = Hasher.hash(RunRetriever(corpus, run=str(run)))
    assert before == Hasher.hash(RunRetriever(corpus, run=str(run)))
    run.write_text("q1 Q0 0 1 2.0 x\nq1 Q0 1 2 1.0 x\n")
    assert before != Hasher.hash(RunRetriever(corpus, run=str(run)))
