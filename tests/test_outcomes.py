"""What became of each candidate, as a data set: told apart by stage, and a run of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from mining import pairs_on_disk, word_documents, word_rows
from tiny_models import logits, save_cross_encoder

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import PoolError
from hf_hardneg.outcomes import MODEL_SCORES, OUTCOME_FEATURES, OutcomeStage, outcome_features

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


def scored_pairs(outcomes: Dataset) -> list[tuple[str, str, float | None, str]]:
    """Return (query, document, score of the model, what became of it) of every candidate."""
    names = ("candidate_ids", MODEL_SCORES, "candidate_outcomes")
    return [
        (row["query"], *each)
        for row in outcomes
        for each in zip(*(row[name] for name in names), strict=True)
    ]


def test_the_scores_of_a_veto_are_those_that_decided(tmp_path: Path) -> None:
    model = save_cross_encoder(tmp_path / "model")
    miner = mining("bm25@30+rank(range_min=3)+denoised(threshold=0.5)+diverse", model=str(model),
                   promote_above=0.6, cache_dir=tmp_path / "cache").knowing(ROWS)  # fmt: skip
    pool = miner.retrieve(ROWS)
    outcomes, report = miner.outcomes(pool), miner.report(miner.select(pool))
    assert outcomes.features == outcome_features(miner._plan().rules) != OUTCOME_FEATURES
    found = scored_pairs(outcomes)
    asked = [each for each in found if each[2] is not None]
    stage = next(one for one in report.stages if one.stage == "denoised")
    assert len(asked) == stage.asked == pairs_on_disk(tmp_path / "cache") < len(found)
    pairs = [(query, DOCUMENTS[name]) for query, name, _, _ in asked]
    wanted = [1 / (1 + np.exp(-value)) for value in logits(model, pairs)]
    np.testing.assert_allclose([score for _, _, score, _ in asked], wanted, rtol=1e-4)
    for _, _, score, said in asked:
        assert (score > 0.6) == (said == "promoted by denoised")
        assert (0.5 <= score <= 0.6) == (said == "denoised")
    assert {said for _, _, score, said in asked if score < 0.5} <= {"chosen", "diverse"}
    assert {said for _, _, score, said in found if score is None} <= {
        "known-positive", "rank", "not needed"}  # fmt: skip


def test_what_fills_a_row_unasked_has_no_score(tmp_path: Path) -> None:
    model = save_cross_encoder(tmp_path / "model")
    miner = mining("bm25@30+denoised", model=str(model), threshold=0.0, keep_top_k=3,
                   fill_beyond=5, cache_dir=tmp_path / "cache").knowing(ROWS)  # fmt: skip
    found = scored_pairs(miner.outcomes(miner.retrieve(ROWS)))
    assert {score for _, _, score, said in found if said == "chosen"} == {None}
    assert any(score is not None for _, _, score, said in found if said == "denoised")


def test_scores_do_not_depend_on_the_size_of_batches(tmp_path: Path) -> None:
    model = save_cross_encoder(tmp_path / "model")
    miner = mining("bm25@30+denoised", model=str(model), threshold=0.5,
                   cache_dir=tmp_path / "cache").knowing(ROWS)  # fmt: skip
    pool, plan = miner.retrieve(ROWS), miner._plan()
    whole = miner.outcomes(pool).with_format("arrow")[:]
    stage = OutcomeStage(plan.reader, plan.rules, ("bm25",))
    for size in (1, 7):
        parts = [stage(part) for part in pool.with_format("arrow").iter(size)]
        assert pa.concat_tables(parts).combine_chunks().equals(whole.combine_chunks())


def test_a_filter_with_a_cross_encoder_gives_its_logits(tmp_path: Path) -> None:
    rows = Dataset.from_dict(
        {
            "query": ROWS["query"][:12],
            "positive": [[one, DOCUMENTS[f"d{40 + place}"]]
                         for place, one in enumerate(ROWS["positive"][:12])],
        }
    )  # fmt: skip
    model = save_cross_encoder(tmp_path / "model")
    miner = mining(f"bm25@60+rank(range_max=12)+risk(max=0.02, cross_encoder={str(model)!r})",
                   cache_dir=tmp_path / "cache").knowing(rows)  # fmt: skip
    found = scored_pairs(miner.outcomes(miner.retrieve(rows)))
    asked = [each for each in found if each[2] is not None]
    assert {said for _, _, score, said in found if score is None} == {"known-positive", "rank"}
    assert "risk" in {said for _, _, _, said in asked}
    pairs = [(query, DOCUMENTS[name]) for query, name, _, _ in asked]
    found_scores = [score for _, _, score, _ in asked]
    np.testing.assert_allclose(found_scores, logits(model, pairs), rtol=1e-3, atol=1e-5)


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
