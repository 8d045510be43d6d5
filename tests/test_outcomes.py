"""What became of each candidate, as a data set: told apart by stage, and a run of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from mining import word_documents, word_rows
from tiny_models import save_cross_encoder

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import PoolError
from hf_hardneg.outcomes import OUTCOME_FEATURES

DOCUMENTS = word_documents(60)
ROWS = word_rows(DOCUMENTS, 25)


def mining(strategy: str, **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 4, **options})


def counts_of(outcomes: Dataset) -> Counter[str]:
    return Counter(name for names in outcomes["candidate_outcomes"] for name in names)


@pytest.mark.parametrize(
    "strategy",
    ["bm25@30", "bm25@30+rank(range_max=25)+score(min_score=0.7)", "bm25@30+margin+random",
     "bm25@20,random@20+rank(range_min=3)"],
)  # fmt: skip
def test_outcomes_are_those_of_the_report(strategy: str) -> None:
    miner = mining(strategy)
    pool = miner.retrieve(ROWS)
    outcomes = miner.knowing(ROWS).outcomes(pool)
    mined = miner.knowing(ROWS).select(pool)
    assert outcomes.features == OUTCOME_FEATURES
    report, counts = miner.report(mined), counts_of(outcomes)
    for stage in report.stages:
        assert counts[stage.stage] == stage.dropped
    assert counts["chosen"] == report.slots_chosen
    assert counts["not needed"] == report.slots_unused
    for row, own in zip(outcomes, mined, strict=True):
        told = zip(row["candidate_ids"], row["candidate_outcomes"], strict=True)
        assert {name for name, said in told if said == "chosen"} == set(own["hard_negative_ids"])
        assert row["query"] == own["query"]


def test_a_veto_says_what_it_dropped_and_promoted(tmp_path: Path) -> None:
    model = save_cross_encoder(tmp_path / "model")
    miner = mining("bm25@30+denoised", model=str(model), threshold=0.5, promote_above=0.5,
                   cache_dir=tmp_path / "cache")  # fmt: skip
    pool = miner.retrieve(ROWS)
    knowing = miner.knowing(ROWS)
    report = miner.report(knowing.select(pool))
    counts = counts_of(knowing.outcomes(pool))
    stage = next(one for one in report.stages if one.stage == "denoised")
    assert counts["denoised"] == stage.dropped
    assert counts["promoted by denoised"] == stage.promoted > 0


def test_outcomes_are_a_run_that_can_be_decided_anew() -> None:
    miner = mining("bm25@30").knowing(ROWS)
    outcomes = miner.outcomes(miner.retrieve(ROWS))
    again = mining("run@30+rank(range_min=2)", run=outcomes).mine(ROWS)
    direct = mining("bm25@30+rank(range_min=2)").mine(ROWS)
    assert again["hard_negative_ids"][:] == direct["hard_negative_ids"][:]


def test_sources_are_named() -> None:
    miner = mining("bm25@10,random@10").knowing(ROWS)
    found = {
        name
        for names in miner.outcomes(miner.retrieve(ROWS))["candidate_sources"]
        for name in names
    }
    assert found == {"bm25", "random"}


def test_a_pool_of_another_corpus_is_refused() -> None:
    pool = mining("bm25@30").retrieve(ROWS)
    with pytest.raises(PoolError, match="fingerprint"):
        mining("bm25@30", corpus=word_documents(61)).outcomes(pool)
