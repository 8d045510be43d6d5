"""Bad input: one clear error of ours each, and nothing half-written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from mining import word_documents, word_rows

from hf_hardneg import BM25Retriever, Corpus, OfflineMiner, RankFilter, TopSampler
from hf_hardneg.errors import (
    CorpusError,
    ParameterError,
    PoolError,
    QueryError,
    StrategyError,
)

DOCUMENTS = word_documents(30)
ROWS = word_rows(DOCUMENTS, 8)


def mining(strategy: Any = "bm25", **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 3, **options})


def data(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict(columns)


def maps(cache: Path) -> list[Path]:
    """Return the files of maps that a cache holds."""
    return [path for path in (cache / "maps").rglob("*") if path.is_file()]


BAD_MINERS = {
    "empty corpus": ({"corpus": []}, CorpusError, r"no documents; expected at least one"),
    "small corpus": (
        {"corpus": ["a", "b", "c"], "num_negatives": 3},
        CorpusError,
        r"3 documents, too few to choose 3 negatives",
    ),
    "duplicate ids": (
        {"corpus": Dataset.from_dict({"id": ["x", "x"], "text": ["a", "b"]})},
        CorpusError,
        r"'x' \(documents 0 and 1\)",
    ),
    "no such file": ({"corpus": "no/such.jsonl"}, CorpusError, r"'no/such.jsonl' does not exist"),
    "n 0": ({"num_negatives": 0}, ParameterError, r"num_negatives=0; .* at least 1"),
    "n True": ({"num_negatives": True}, ParameterError, r"num_negatives=True"),
    "n 2.0": ({"num_negatives": 2.0}, ParameterError, r"num_negatives=2.0"),
    "seed -1": ({"seed": -1}, ParameterError, r"seed=-1; .* at least 0"),
    "seed large": ({"seed": 2**70}, ParameterError, r"seed=\d+; .* below 2\*\*63"),
    "underfilled": (
        {"underfilled": "dropp"},
        ParameterError,
        r"underfilled='dropp'; .*Did you mean 'drop'",
    ),
    "own parameter misspelt": (
        {"num_negative": 3},
        ParameterError,
        r"'num_negative'.*Did you mean 'num_negatives'",
    ),
    "stage's parameter misspelt": (
        {"top_kk": 3},
        ParameterError,
        r"'top_kk'.*Did you mean 'top_k'",
    ),
    "parameter of a stage that is not there": (
        {"threshold": 0.3},
        ParameterError,
        r"'threshold'.*belongs to denoised",
    ),
    "filters": (
        {"filters": [RankFilter()]},
        StrategyError,
        r"filters= and sampler= go with a retriever object",
    ),
    "sampler": (
        {"sampler": TopSampler()},
        StrategyError,
        r"filters= and sampler= go with a retriever object",
    ),
    "positives a list of texts": ({"positives": ["a"]}, QueryError, r"data of type str"),
}


@pytest.mark.parametrize("case", BAD_MINERS)
def test_miners_that_cannot_be_made(case: str) -> None:
    options, kind, message = BAD_MINERS[case]
    with pytest.raises(kind, match=f"(?s){message}"):
        mining(**options)


@pytest.mark.parametrize(
    ("strategy", "kind", "message"),
    [
        ("bm52", StrategyError, r"'bm52'.*Did you mean 'bm25'"),
        ("bm25+denoise", StrategyError, r"'denoise'.*Did you mean 'denoised'"),
        ("bm25(k2=1)", ParameterError, r"bm25 has no parameter 'k2'.*'k1'"),
        ("bm25+rank(range_min=5, range_max=5)", ParameterError, r"range_min=5 is not below"),
        ("bm25+rank(range_min=9, range_max=5)", ParameterError, r"range_min=9 is not below"),
        ("bm25+rank(range_min=0)", ParameterError, r"range_min=0; .* at least 1"),
        ("random+margin(relative=0.1)", StrategyError, r"'margin' needs scores.*'random'"),
        ("bm25+top+random", StrategyError, r"2 samplers: top, random"),
        ("", StrategyError, r"the strategy is ''"),
        (None, StrategyError, r"the strategy is None"),
        (7, StrategyError, r"the strategy is 7"),
    ],
)
def test_strategies_that_make_no_sense(strategy: Any, kind: type, message: str) -> None:
    for corpus in (DOCUMENTS, None):
        if corpus is None and kind is StrategyError and "compares" in message:
            continue
        with pytest.raises(kind, match=message):
            mining(strategy, corpus=corpus)


def test_a_parameter_that_two_stages_share() -> None:
    with pytest.raises(ParameterError, match=r"'margin' is a parameter of two stages.*margin\("):
        mining("bm25+margin(relative=0.1)+margin", margin=0.1)
    with pytest.raises(ParameterError, match=r"'top_k' of 'bm25' is given twice: 30 .* and 40"):
        mining("bm25@30", top_k=40)


def test_objects_with_parameters_of_stages() -> None:
    retriever = BM25Retriever(Corpus(DOCUMENTS))
    with pytest.raises(ParameterError, match=r"no parameter 'top_k'.*their own constructors"):
        OfflineMiner(retriever, top_k=30)
    with pytest.raises(ParameterError, match=r"'num_negative'.*Did you mean 'num_negatives'"):
        OfflineMiner(retriever, num_negative=30)
    with pytest.raises(CorpusError, match="different corpora"):
        OfflineMiner(retriever, corpus=["another", "corpus"])
    with pytest.raises(StrategyError, match="neither a filter nor a veto nor a sampler"):
        OfflineMiner(retriever, filters=["rank"])


CALLS = {
    "format": ({"output_format": "ntuple"}, ParameterError, r"'ntuple'.*Did you mean 'n-tuple'"),
    "keep": (
        {"keep_columns": ["numbr"]},
        ParameterError,
        r"names numbr.*query, positive, number.*Did you mean 'number'",
    ),
    "keep a text": ({"keep_columns": "numbr"}, ParameterError, r"names numbr.*'number'"),
    "processes": ({"num_proc": -1}, ParameterError, r"num_proc=-1"),
    "processes as text": ({"num_proc": "2"}, ParameterError, r"num_proc='2'"),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls_that_cannot_end_well(case: str, cache: Path) -> None:
    options, kind, message = CALLS[case]
    pool = mining().retrieve(ROWS)
    before = maps(cache)
    for method, rows in ((mining().mine, ROWS), (mining().select, pool)):
        with pytest.raises(kind, match=message):
            method(rows, **options)
    if "num_proc" not in options:
        with pytest.raises(kind, match=message):
            mining().mine(ROWS.to_iterable_dataset(), **options)
    assert maps(cache) == before


def test_data_of_another_kind() -> None:
    known = mining()
    for rows in (ROWS.to_list(), [ROWS], {"query": ["a"]}, "rows.jsonl", None):
        name = re.escape(type(rows).__name__)
        with pytest.raises(QueryError, match=f"data of type {name}; expected a Dataset"):
            known.mine(rows)
        with pytest.raises(QueryError, match=f"data of type {name}; expected a Dataset"):
            known.retrieve(rows)
        with pytest.raises(PoolError, match=f"one Dataset.*of type {name}"):
            known.select(rows)
    for rows in (DatasetDict(train=ROWS), ROWS.to_iterable_dataset()):
        with pytest.raises(QueryError, match=f"type {type(rows).__name__}; expected a Dataset"):
            known.retrieve(rows)
    with pytest.raises(PoolError, match=r"the pool lacks candidate_rows.*it has query, positive"):
        known.select(ROWS)


def test_a_batch_without_a_corpus() -> None:
    with pytest.raises(CorpusError, match=r"no corpus.*single batch.*miner.mine"):
        ROWS.map(OfflineMiner("bm25"), batched=True)


def test_ids_without_a_corpus() -> None:
    rows = data(query=["a"], positive_ids=["d1"])
    with pytest.raises(CorpusError, match=r"'positive_ids'.*no corpus.*Give corpus="):
        OfflineMiner("bm25").mine(rows)


def test_too_few_positives_to_be_the_corpus() -> None:
    with pytest.raises(CorpusError, match="8 documents, too few to choose 8 negatives"):
        OfflineMiner("bm25", num_negatives=8).mine(ROWS)


def test_ids_need_positives_in_the_corpus() -> None:
    rows = data(query=["red"], positive=["a text that is no document"])
    with pytest.raises(QueryError, match=r"'ids' needs every positive.*document of the corpus"):
        mining().mine(rows, "ids")
