"""The pool that is written beside a mined set."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from typer.testing import CliRunner

from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.cli import app
from hf_hardneg.outcomes import OUTCOME_FEATURES
from hf_hardneg.pool_files import pool_files

DOCUMENTS = {f"d{place}": f"word{place} shared text number {place % 7}" for place in range(40)}
PAIRS = {
    "query": [f"word{place} shared" for place in range(12)],
    "positive_ids": [[f"d{place}"] for place in range(12)],
}


@pytest.fixture
def miner() -> OfflineMiner:
    return OfflineMiner("bm25@5", corpus=Corpus(DOCUMENTS), num_negatives=2)


def test_the_documents_are_those_that_the_pool_names(miner: OfflineMiner) -> None:
    pool = miner.retrieve(Dataset.from_dict(PAIRS))
    found = pool_files(miner, pool)
    outcomes, documents = found["pool.parquet"], found["documents.parquet"]
    named = {name for names in outcomes["candidate_ids"] for name in names}
    named |= {name for names in outcomes["positive_ids"] for name in names}
    assert set(documents["id"]) == named
    assert len(named) < len(DOCUMENTS)
    assert all(DOCUMENTS[row["id"]] == row["text"] for row in documents)
    assert list(documents["id"]) == [name for name in DOCUMENTS if name in named]
    assert outcomes.features == OUTCOME_FEATURES


def test_all_documents_where_the_pool_names_all() -> None:
    miner = OfflineMiner("bm25@40", corpus=Corpus(DOCUMENTS), num_negatives=2)
    pool = miner.retrieve(Dataset.from_dict(PAIRS))
    assert list(pool_files(miner, pool)["documents.parquet"]["id"]) == list(DOCUMENTS)


def test_mine_writes_them(tmp_path: Path) -> None:
    Dataset.from_dict(PAIRS).to_json(tmp_path / "pairs.jsonl")
    corpus = Dataset.from_dict({"id": list(DOCUMENTS), "text": list(DOCUMENTS.values())})
    corpus.to_json(tmp_path / "corpus.jsonl")
    call = ["mine", "--queries", str(tmp_path / "pairs.jsonl"), "--corpus",
            str(tmp_path / "corpus.jsonl"), "--strategy", "bm25@5"]  # fmt: skip
    without = CliRunner().invoke(app, [*call, "--output", str(tmp_path / "without")])
    result = CliRunner().invoke(app, [*call, "--pool", "--output", str(tmp_path / "mined")])
    assert (without.exit_code, result.exit_code) == (0, 0), result.output
    assert not (tmp_path / "without" / "hardneg" / "pool.parquet").exists()
    pool = pq.read_table(tmp_path / "mined" / "hardneg" / "pool.parquet")
    assert pool.num_rows == 12
    assert pool.column_names == list(OUTCOME_FEATURES)
