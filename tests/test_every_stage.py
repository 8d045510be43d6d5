"""Every stage after the retriever, on the rows that are odd: what must hold for all, holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from mining import assert_same_rows
from store_cases import hash_model

from hf_hardneg import OfflineMiner
from hf_hardneg.hashing import normalize_text
from hf_hardneg.registry import registered
from hf_hardneg.risk_model import RiskModel

WORDS = ["door", "lamp", "river", "stone", "cloud", "paper", "wheel"]
DOCUMENTS = [
    f"{WORDS[number % 7]} {WORDS[number % 5]} {WORDS[number % 3]} note {number}"
    for number in range(120)
]
RISK = RiskModel(
    signals=("score/positive", "score", "positive-score", "log-rank"),
    centre=(0.8, 1.0, 1.5, 2.0),
    scale=(0.3, 0.5, 0.5, 1.0),
    coefficients=(1.0, 0.5, -0.5, -1.0),
    intercept=-1.0,
    penalty=1.0,
    penalty_from="given",
    labels=20,
    relevant=0.2,
    queries=10,
    origin="judgements",
).recipe()
STAGES = {
    "ambiguous": "ambiguous(scale='std')",
    "answer": "answer",
    "cl-drd": "cl-drd",
    "consistency": "consistency(action='drop')",
    "curriculum": "curriculum(difficulty=0.4)",
    "distance-weighted": "distance-weighted",
    "diverse": "diverse(threshold=0.5)",
    "importance": "importance",
    "margin": "margin(against='own')",
    "margin-bin": "margin-bin",
    "near-duplicate": "near-duplicate(threshold=0.5)",
    "noisy-pairs": "noisy-pairs(negatives=20)",
    "passage-sieve": "passage-sieve",
    "rance": "rance(smooth=False)",
    "random": "random",
    "rank": "rank(range_min=2)",
    "reuse-cap": "reuse-cap(max_queries=8)",
    "risk": f"risk(max=0.1, least=3, model={RISK!r})",
    "score": "score(min_score=0.01)",
    "semi-hard": "semi-hard(relative=0.9)",
    "stratified": "stratified(hard_until=2, medium_until=4)",
    "top": "top",
    "triangular": "triangular",
}
ELSEWHERE = {"denoised", "held-out", "held-out-queries", "labelled"}
"""They need a model or a file; tests/filters has them."""
DENSE = {"distance-weighted", "triangular"}


def rows() -> Dataset:
    """One positive, ten, one that stands nowhere, one that the retriever misses; queries repeat."""
    queries = [f"{WORDS[number % 7]} {WORDS[number % 4]}" for number in range(40)]
    positives = [[DOCUMENTS[number]] for number in range(40)]
    positives[3] = DOCUMENTS[50:60]
    positives[5] = ["a text that is no document"]
    positives[8] = [DOCUMENTS[100], "another that is none"]
    queries[11] = "nothing in common"
    answers = [[f"note {number}"] for number in range(40)]
    return Dataset.from_dict({"query": queries, "positives": positives, "answers": answers})


def miner(stage: str, depth: int, cache: Path, **options: Any) -> OfflineMiner:
    dense = stage in DENSE
    strategy = f"{'dense' if dense else 'bm25'}@{depth}+{STAGES[stage]}"
    own = {"model": hash_model()} if dense else {}
    return OfflineMiner(strategy, corpus=DOCUMENTS, cache_dir=cache, **own, **options)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_no_stage_is_left_out() -> None:
    assert set(STAGES) | ELSEWHERE == set(registered().selecting)


@pytest.mark.parametrize("stage", sorted(STAGES))
@pytest.mark.parametrize("depth", [3, 500])
def test_what_a_result_must_satisfy(stage: str, depth: int, cache: Path) -> None:
    data = rows()
    one = miner(stage, depth, cache, num_negatives=3)
    mined = one.mine(data)
    report = one.report(mined)
    known: dict[str, set[str]] = {}
    for row in data:
        texts = {normalize_text(text) for text in row["positives"]}
        known.setdefault(normalize_text(row["query"]), set()).update(texts)
    for row in mined:
        chosen = [normalize_text(text) for text in row["hard_negatives"]]
        assert len(set(chosen)) == len(chosen) <= 3
        assert not set(chosen) & known[normalize_text(row["query"])]
        assert normalize_text(row["query"]) not in chosen
        counts = {entry["stage"]: entry["slots"] for entry in row["hard_negative_trace"]}
        gone = sum(n for name, n in counts.items() if name.startswith(("drop:", "promote:")))
        assert counts["retrieved"] == gone + counts["unused"] + counts["chosen"]
    assert len(mined) == report.rows_in - report.rows_dropped
    assert report.slots_chosen > 0
    if stage not in {"margin"}:  # each positive becomes a row of its own there
        assert report.rows_in == len(data)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_neither_the_order_of_rows_nor_processes_count(stage: str, cache: Path) -> None:
    data = rows()
    one = miner(stage, 60, cache, num_negatives=3, seed=4)
    mined = one.mine(data)
    order = list(range(len(data)))[::-1]
    if stage not in {"margin", "consistency"}:  # rows multiply there, or are left out
        assert_same_rows(one.mine(data.select(order)), mined.select(order))
    assert_same_rows(mined, one.mine(data, num_proc=2, resume=False))
    again = miner(stage, 60, cache, num_negatives=3, seed=4)
    assert_same_rows(mined, again.mine(data))


@pytest.mark.parametrize(
    "stage",
    ["ambiguous", "curriculum", "importance", "margin-bin", "rance", "random", "stratified",
     "triangular"],
)  # fmt: skip
def test_another_seed_draws_others(stage: str, cache: Path) -> None:
    data = rows()
    drawn = [
        miner(stage, 60, cache, num_negatives=3, seed=seed).mine(data)["hard_negative_ids"]
        for seed in (0, 1)
    ]
    assert list(drawn[0]) != list(drawn[1])
