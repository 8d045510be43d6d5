"""Strategies side by side on a small collection, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare_cases import STRATEGIES, N, Setting, known_words, without_seconds
from datasets import Dataset
from tiny_models import save_bi_encoder, save_cross_encoder

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.evaluation.compare import compare
from hf_hardneg.evaluation.compare_figures import ESTIMATORS
from hf_hardneg.evaluation.compare_plot import draw, points_of
from hf_hardneg.evaluation.comparison import ComparisonTable
from hf_hardneg.mapping import _map_part
from hf_hardneg.rates import Rate, wilson


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("compare")
    return Setting(
        known_words(folder / "beir"), save_bi_encoder(folder / "model"), folder / "cache"
    )


@pytest.fixture(scope="module")
def table(setting: Setting) -> ComparisonTable:
    return setting.compared()


def test_every_strategy_has_its_figures(setting: Setting, table: ComparisonTable) -> None:
    assert [one.strategy for one in table.strategies] == ["random", "bm25", "bm25,dense+random"]
    assert table.strategies[2].canonical.startswith("bm25@100,dense@100(model=")
    for one in table.strategies:
        assert (one.rows, one.asked, one.negatives) == (9, 9 * N, 9 * N)
        assert (one.share_found, one.rows_short, one.calls, one.error) == (1.0, 0, 0, "")
    assert not table.trained
    assert not table.failed


def test_figures_are_those_of_the_miner_and_brute_force(
    setting: Setting, table: ComparisonTable
) -> None:
    rows = setting.collection.rows()
    miner = OfflineMiner(
        "bm25", corpus=setting.collection.folder, num_negatives=N, cache_dir=setting.cache
    )
    mined = miner.mine(rows)
    found = table.strategies[1]
    flat = [name for names in mined["hard_negative_ids"] for name in names]
    assert found.diversity is not None
    assert found.diversity.documents == len(set(flat))
    assert found.diversity.most_reused == max(map(flat.count, flat))
    ratios = [
        score / min(row["hard_negative_positive_scores"])
        for row in mined
        for score in row["hard_negative_scores"]
    ]
    assert found.hardness is not None
    assert found.hardness.relative == pytest.approx(np.mean(ratios))
    assert found.hardness.harder == pytest.approx(np.mean(np.array(ratios) >= 1))
    assert found.hardness.mean_rank == np.mean(
        [rank for row in mined for rank in row["hard_negative_ranks"]]
    )


def test_the_judged_rate_counts_negatives_that_judgements_call_relevant(setting: Setting) -> None:
    mined = OfflineMiner(
        "bm25", corpus=setting.collection.folder, num_negatives=N, cache_dir=setting.cache
    ).mine(setting.collection.rows())
    first = mined[0]["hard_negative_ids"]
    judgements = {"q0": {first[0]: 2, first[1]: 0}, "q1": {"d39": 0}}
    rate = setting.compared("bm25", judgements=judgements).strategies[0].rate
    assert rate is not None
    assert (rate.rate, rate.n) == (1 / 2, 2)  # the two that were judged
    low, high = wilson(1, 2)
    # Wider than if the two negatives of one query were independent.
    assert rate.low is not None
    assert rate.high is not None
    assert 0 <= rate.low <= low
    assert high <= rate.high <= 1


def test_a_file_of_relevant_documents_alone_is_complete_for_its_queries(setting: Setting) -> None:
    mined = OfflineMiner(
        "bm25", corpus=setting.collection.folder, num_negatives=N, cache_dir=setting.cache
    ).mine(setting.collection.rows())
    judgements = {"q0": {mined[0]["hard_negative_ids"][0]: 2}, "q1": {"d39": 1}}
    rate = setting.compared("bm25", judgements=judgements).strategies[0].rate
    assert rate is not None
    assert (rate.rate, rate.n) == (1 / (2 * N), 2 * N)


def test_without_judgements_positives_are_hidden(setting: Setting) -> None:
    [found] = setting.compared("bm25", judgements=None).strategies
    assert list(found.false_negatives) == ["hidden"]
    assert found.rate is not None
    assert found.rate.method == "hidden positives"
    assert "more than 1 known positive" in found.rate.why


def test_an_estimator_that_fails_says_why_and_loses_nothing(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(case: object) -> Rate:
        raise ParameterError("no luck today.")

    monkeypatch.setitem(ESTIMATORS, "hidden", fails)
    [found] = setting.compared("bm25", judgements=None).strategies
    assert found.error == ""
    assert found.negatives == 9 * N
    assert found.rate is not None
    assert (found.rate.rate, found.rate.why) == (None, "no luck today.")


def test_a_random_retriever_has_no_hardness(table: ComparisonTable) -> None:
    hard = table.strategies[0].hardness
    assert hard is not None
    assert (hard.relative, hard.harder, hard.mean_rank, hard.n) == (None, None, None, 0)


def test_equal_retrievers_share_one_pool(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second strategy over a retriever maps no batch of retrieval; only choosing."""
    titles: list[str] = []

    def counted(part: Any, step: Any, kept: Any, number: int, *rest: Any) -> Dataset:
        if not list(kept.folder.glob("part-*")):
            titles.append(step.title)
        return _map_part(part, step, kept, number, *rest)

    monkeypatch.setattr("hf_hardneg.mapping._map_part", counted)
    found = setting.compared(
        "bm25; bm25+random; bm25+margin(relative=0.05); random", cache_dir=tmp_path
    )
    assert titles.count("Retrieving, bm25") == 1
    assert titles.count("Retrieving, random") == 1
    assert titles.count("Selecting") == 4
    pools = [one.pool for one in found.strategies]
    assert pools == ["bm25@100"] * 3 + [pools[3]]
    # The time of the pool is that of its making, whoever shows it.
    assert len({one.seconds["retrieve"] for one in found.strategies[:3]}) == 1


def test_cross_encoder_calls_are_counted(setting: Setting, tmp_path: Path) -> None:
    judge = save_cross_encoder(tmp_path / "judge")
    found = setting.compared(
        "bm25; bm25@20+denoised; bm25@20+near-duplicate(threshold=0.99)+denoised",
        settings={"denoised.model": str(judge)}, cache_dir=tmp_path / "cache",
    )  # fmt: skip
    miner = OfflineMiner(
        "bm25@20+denoised", corpus=setting.collection.folder, num_negatives=N, model=str(judge),
        cache_dir=tmp_path / "other",
    )  # fmt: skip
    report = miner.report(miner.mine(setting.collection.rows()))
    [denoised] = [stage for stage in report.stages if stage.asked is not None]
    assert denoised.asked
    # What another veto was asked about is no call of a cross-encoder.
    assert [one.calls for one in found.strategies] == [0, denoised.asked, denoised.asked]


def test_the_same_bytes_but_for_seconds(setting: Setting, tmp_path: Path) -> None:
    tables = [setting.compared(cache_dir=tmp_path / name).to_dict() for name in ("a", "b")]
    assert without_seconds(tables[0]) == without_seconds(tables[1])
    assert tables[0]["strategies"][0]["seconds"]
    # From the cache even the seconds are those of the first time.
    assert setting.compared(cache_dir=tmp_path / "a").to_json() == setting.compared(
        cache_dir=tmp_path / "a"
    ).to_json()  # fmt: skip


def test_order_of_strategies_and_batches_do_not_matter(setting: Setting, tmp_path: Path) -> None:
    turned = "; ".join(reversed(STRATEGIES.split(";")))
    one = setting.compared(cache_dir=tmp_path / "a").to_dict()["strategies"]
    two = setting.compared(turned, cache_dir=tmp_path / "b", num_proc=2).to_dict()["strategies"]
    assert without_seconds(one) == without_seconds(two)[::-1]


def test_one_that_fails_leaves_the_others(setting: Setting, tmp_path: Path) -> None:
    said: list[str] = []
    found = setting.compared(
        f"bm25; dense(model={str(tmp_path / 'nowhere')!r}); random", settings={}, say=said.append
    )
    good, bad, last = found.strategies
    assert good.negatives == last.negatives == 9 * N
    assert bad.error.startswith("ModelError: ")
    assert found.failed == [bad]
    assert any("failed" in line for line in said)
    assert "nowhere" in str(found)


def test_what_cannot_be_read_is_refused_before_any_work(setting: Setting) -> None:
    said: list[str] = []
    with pytest.raises(StrategyError, match="strategy 'bm52'"):
        setting.compared("random; bm52", say=said.append)
    with pytest.raises(ParameterError, match="estimators"):
        setting.compared(estimators=["luck"], say=said.append)
    with pytest.raises(ParameterError, match="num_negatives"):
        setting.compared(num_negatives=0, say=said.append)
    assert said == []


def test_positives_are_the_corpus_where_there_is_none(setting: Setting, tmp_path: Path) -> None:
    texts = setting.collection.texts()
    rows = Dataset.from_dict(
        {"query": [row["question"] for row in texts], "positive": [row["pos"] for row in texts]}
    )
    found = compare("random; bm25", rows, num_negatives=1, cache_dir=tmp_path)
    assert [one.error for one in found.strategies] == ["", ""]
    assert found.strategies[1].negatives == len(rows)


def test_without_training_there_is_nothing_to_draw(table: ComparisonTable) -> None:
    assert points_of(table) == []
    assert draw(table) is None
