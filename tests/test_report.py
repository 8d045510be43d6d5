"""The report: what happened to each row, as an object, as JSON, and as tables."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import (
    ALL_FORMATS,
    MINING,
    Collection,
    collections,
    negative_ids,
    word_documents,
    word_rows,
)
from rich.console import Console
from tiny_models import save_cross_encoder

from hf_hardneg import OfflineMiner, Report
from hf_hardneg.distributions import Distribution, distribution, edges
from hf_hardneg.errors import ColumnError
from hf_hardneg.evaluation.hardness import hardness_of
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.rates import Rate
from hf_hardneg.report import StageCount

DOCUMENTS = word_documents(60)
ROWS = word_rows(DOCUMENTS, 25)


def mining(strategy: str = "bm25@30", **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 4, **options})


def assert_balanced(report: Report) -> None:
    """Assert that no candidate vanished: what was retrieved is all accounted for."""
    gone = sum(stage.dropped + stage.promoted for stage in report.stages)
    hard = report.slots_chosen - report.slots_filled
    assert report.slots_retrieved == gone + report.slots_unused + hard
    for stage in report.stages:
        assert stage.dropped >= 0
        assert stage.asked is None or stage.asked >= stage.dropped + stage.promoted


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@settings(MINING, max_examples=15)
@given(
    collections,
    st.sampled_from([
        "bm25@9", "random@9", "bm25@9+rank(range_min=2)+margin(relative=0.2)+random",
        "bm25@9+score(min_score=0.5)", "bm25@9+rank+rank(range_min=3)",
    ]),
    st.sampled_from(["keep", "fill", "drop"]),
    st.sampled_from(ALL_FORMATS[:-1]),
)  # fmt: skip
def test_every_candidate_is_accounted_for(
    collection: Collection, strategy: str, underfilled: str, form: str
) -> None:
    rows = collection.dataset()
    underfilled = "drop" if form == "n-tuple" and underfilled == "keep" else underfilled
    known = OfflineMiner(
        strategy, corpus=collection.documents, num_negatives=4, underfilled=underfilled
    )
    mined = known.mine(rows, form)
    report = known.report(mined)
    assert_balanced(report)
    pool = known.retrieve(rows)
    assert report.slots_retrieved == sum(map(len, pool["candidate_rows"]))
    assert (report.rows_in, report.rows_out) == (len(rows), len(mined))
    assert report.rows_dropped <= sum(report.underfilled.values())
    assert set(report.underfilled) <= {0, 1, 2, 3}
    assert Report.from_dict(strict(report.to_json())) == report
    assert str(report)


def test_counts_are_those_of_the_rows() -> None:
    known = mining("bm25@30+rank(range_max=25)+score(min_score=0.7)")
    mined = known.mine(ROWS)
    report = known.report(mined)
    counts = [len(names) for names in negative_ids(mined)]
    assert report.slots_chosen == sum(counts)
    short = [count for count in counts if count < 4]
    assert short
    assert report.underfilled == {count: short.count(count) for count in set(short)}
    names = ["known-positive", "positive-text", "query-text", "rank", "score", "duplicate-text"]
    assert [stage.stage for stage in report.stages] == names
    by_name = {stage.stage: stage for stage in report.stages}
    assert by_name["known-positive"].dropped == 25
    pool = mining("bm25@30").retrieve(ROWS)
    own = [row["candidate_rows"].index(row["number"]) for row in pool]
    lists = [row["candidate_scores"] for row in pool]
    beyond = [sum(1 for place in range(24, len(scores)) if place != mine)
              for scores, mine in zip(lists, own, strict=True)]  # fmt: skip
    assert by_name["rank"].dropped == sum(beyond)
    assert by_name["rank"].asked is None
    scores = [score for row in mined["hard_negative_scores"] for score in row]
    assert report.negative_scores.count == len(scores)
    assert report.negative_scores.mean == pytest.approx(np.mean(scores))
    expected = np.quantile(scores, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
    assert report.negative_scores.quantiles == pytest.approx(expected.tolist())
    positives = [score for row in mined["hard_negative_positive_scores"] for score in row]
    assert report.positive_scores.mean == pytest.approx(np.mean(positives))
    assert sum(report.positive_scores.bin_counts) == 25
    assert report.positive_scores.bin_edges == report.negative_scores.bin_edges


def test_what_it_says_of_the_job() -> None:
    known = mining("bm25@30+random", corpus={**DOCUMENTS, "empty": ""}, seed=7)
    report = known.report(known.mine(ROWS))
    assert (report.strategy, report.num_negatives, report.seed) == ("bm25@30+random", 4, 7)
    assert known.corpus is not None
    assert report.corpus == {
        "documents": 61, "empty_texts": 1, "fingerprint": known.corpus.fingerprint
    }  # fmt: skip
    assert {"read positives", "bm25 index", "bm25", "random", "query-text"} <= set(report.seconds)
    assert all(value >= 0 for value in report.seconds.values())


def test_a_veto_is_asked_and_promotes(tmp_path: Path) -> None:
    rows = ROWS.select(range(8))
    model = str(save_cross_encoder(tmp_path / "model"))
    known = mining("bm25@12+denoised(promote=True)", model=model)
    mined = known.mine(rows)
    report = known.report(mined)
    assert_balanced(report)
    last = report.stages[-1]
    assert last.stage == "denoised"
    assert last.asked is not None
    assert last.asked - last.dropped - last.promoted == report.slots_chosen
    assert last.promoted == sum(map(len, mined["promoted_ids"])) > 0
    assert f"{last.asked}" in str(report)


@pytest.mark.parametrize("form", ALL_FORMATS)
def test_it_travels_with_the_rows(form: str, tmp_path: Path) -> None:
    known = mining("bm25@30+score(min_score=0.9)")
    mined = known.mine(ROWS, form)
    mined.save_to_disk(tmp_path / "mined")
    report = known.report(mined)
    assert mining("random").report(load_from_disk(str(tmp_path / "mined"))) == report


def test_after_a_map_it_says_the_same() -> None:
    known = mining("bm25@30+score(min_score=0.9)+random", underfilled="fill", positives=ROWS)
    expected = known.report(known.mine(ROWS)).to_dict()
    for mined in (
        ROWS.map(known, batched=True, batch_size=4),
        ROWS.with_format("arrow").map(known, batched=True),
    ):
        assert known.report(mined).to_dict() == {**expected, "seconds": {}}


def test_after_a_map_that_drops_it_says_what_it_cannot_know() -> None:
    known = mining("bm25@30+score(min_score=0.9)", underfilled="drop", positives=ROWS)
    report = known.report(ROWS.map(known, batched=True))
    assert report.rows_in == report.rows_out < 25
    assert any("cannot be counted" in note for note in report.notes)
    assert "Note: " in str(report)


def test_it_is_never_that_of_an_earlier_mining() -> None:
    earlier = mining("random").mine(ROWS)
    known = mining("bm25@30", num_negatives=2, positives=ROWS)
    again = earlier.map(known, batched=True)
    fresh = ROWS.map(known, batched=True)
    assert known.report(again) == known.report(fresh)
    assert known.report(known.mine(earlier)).stages == known.report(known.mine(ROWS)).stages
    part = earlier.select(range(5))
    assert mining("random").report(part).rows_in == 5


def test_after_parquet_it_is_worked_out_again(tmp_path: Path) -> None:
    known = mining("bm25@30+score(min_score=0.9)", underfilled="fill")
    mined = known.mine(ROWS)
    mined.to_parquet(tmp_path / "mined.parquet")
    loaded = load_dataset("parquet", data_files=str(tmp_path / "mined.parquet"), split="train",
                          cache_dir=str(tmp_path / "cache"))  # fmt: skip
    assert known.report(loaded).to_dict() == {**known.report(mined).to_dict(), "seconds": {}}


def test_what_was_not_mined_has_no_report() -> None:
    known = mining()
    message = r"needs the columns hard_negative_trace, .*has query, positive, number"
    with pytest.raises(ColumnError, match=message):
        known.report(ROWS)
    with pytest.raises(ColumnError, match="hard_negative_trace"):
        known.report(known.retrieve(ROWS))
    for data in (DatasetDict(train=known.mine(ROWS)), ROWS.to_iterable_dataset(), [1]):
        with pytest.raises(ColumnError, match=f"one Dataset, .* of type {type(data).__name__}"):
            known.report(data)


def test_many_batches_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = mining("bm25@30+score(min_score=0.9)", underfilled="fill", positives=ROWS)
    mined = ROWS.map(known, batched=True)
    whole = known.report(mined)
    for size in (1, 4):
        monkeypatch.setattr("hf_hardneg.tally.BATCH", size)
        assert known.report(mined) == whole


@given(st.lists(st.floats(width=32), max_size=30))
def test_distributions_hold_finite_numbers_alone(values: list[float]) -> None:
    scores = np.array(values, dtype=np.float32)
    finite = [value for value in values if np.isfinite(value)]
    found = distribution(scores, edges(scores))
    assert (found.count, found.missing) == (len(finite), len(values) - len(finite))
    if not finite:
        assert (found.mean, found.quantiles) == (None, None)
        return
    assert sum(found.bin_counts) == len(finite)
    assert found.quantiles is not None
    assert found.quantiles[0] == min(finite)
    assert found.quantiles[-1] == max(finite)
    assert all(np.isfinite([*found.quantiles, *found.bin_edges, found.mean]))


texts = st.text(max_size=30)
names = st.sampled_from(["rank", "score", "denoised", "bm25 index"])
distributions = st.builds(
    Distribution, st.integers(0, 9), st.integers(0, 9), st.none(), st.none(),
    st.just([0.0, 0.5, 1.0]), st.lists(st.integers(0, 9), min_size=2, max_size=2),
)  # fmt: skip
counts = st.integers(0, 10**7)
stages = st.builds(StageCount, names, counts, counts, st.one_of(st.none(), counts))
reports = st.builds(
    Report, texts, counts, counts, counts, counts, counts, counts, st.lists(stages, max_size=4),
    counts, counts, counts, st.dictionaries(st.integers(0, 9), counts, max_size=3),
    distributions, distributions, st.dictionaries(names, st.floats(0, 1e6), max_size=3),
    st.dictionaries(texts, st.one_of(counts, texts), max_size=3), st.lists(texts, max_size=3),
)  # fmt: skip


@settings(max_examples=20)
@given(reports)
def test_it_survives_json_and_can_be_printed(report: Report) -> None:
    assert Report.from_dict(report.to_dict()) == report
    assert Report.from_dict(strict(report.to_json())) == report
    for stage in report.stages:
        assert stage.stage in str(report)
    console = Console(file=StringIO(), width=60)
    console.print(report.histogram())
    console.print(report)


def test_brackets_are_no_markup() -> None:
    known = mining()
    values = known.report(known.mine(ROWS)).to_dict()
    strategy = "run(run='[/runs]/[bold].txt')"
    report = Report.from_dict({**values, "strategy": strategy, "notes": ["[red] and [/red]"]})
    assert strategy in str(report)
    assert "[red] and [/red]" in str(report)


def test_it_can_be_read() -> None:
    known = mining("bm25@30+score(min_score=0.9)+random", underfilled="drop")
    text = str(known.report(known.mine(ROWS)))
    words = [
        "Mined with bm25@30+score(min_score=0.9)+random", "rows in", "rows out", "underfilled",
        "known-positive", "score", "chosen", "positives", "negatives",
    ]  # fmt: skip
    assert all(word in text for word in words)
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_mined_set_without_rows() -> None:
    known = mining("bm25@30+score(min_score=1000)", underfilled="drop")
    mined = known.mine(ROWS)
    assert known.report(mined).underfilled == {0: 25}
    empty = Dataset.from_dict({name: [] for name in mined.features}, features=mined.features)
    report = known.report(empty)
    assert (report.rows_in, report.slots_retrieved, report.stages) == (0, 0, [])
    assert str(report)


def test_a_long_value_is_cut_in_the_table_and_whole_in_json() -> None:
    model = '{"signals": [' + ", ".join(f"{number}.5" for number in range(60)) + "]}"
    miner = mining()
    report = replace(
        miner.report(miner.mine(ROWS)),
        strategy=f"dense(model='short')+risk(max=0.1, model='{model}')+random",
    )
    shown = "".join(str(report).split())
    assert "dense(model='short')+risk(max=0.1,model='{\"signals\":[0.5" in shown
    assert "…')+random" in shown
    assert "59.5" not in shown
    assert "59.5" in report.to_json()


def test_hardness_is_that_of_the_mined_set() -> None:
    known = mining("bm25@30+rank(range_max=25)")
    mined = known.mine(ROWS)
    report = known.report(mined)
    assert report.hardness == hardness_of(MinedSet.of(mined)).scores
    ranks = [rank for row in mined["hard_negative_ranks"] for rank in row]
    assert report.mean_rank == pytest.approx(np.mean(ranks))
    assert "harder than the positive" in str(report)
    # BM25 scores are no cosines: the softmax of them at that temperature is not shown.
    assert "softmax weight" not in str(report)
    assert "softmax weight" in str(replace(report, hardness=as_cosines(report)))


def as_cosines(report: Report) -> Any:
    hardness = report.hardness
    assert hardness is not None
    part = Distribution(2, 0, 0.5, [0.5] * 7)
    return replace(hardness, positive_scores=part, negative_scores=part)


def test_documents_drawn_at_random_have_no_hardness() -> None:
    known = mining("random@30")
    report = known.report(known.mine(ROWS))
    assert (report.hardness, report.mean_rank) == (None, None)


def test_false_negatives_are_shown_and_kept() -> None:
    known = mining()
    mined = known.mine(ROWS)
    assert "not estimated" in str(known.report(mined))
    told = Rate("judged", 0.125, 0.05, 0.2, 80, assumed=("One.", "Two."), details={"a": [1, 2]})
    unknown = Rate("labels", None, None, None, 0, why="there are [none]")
    report = known.report(mined, false_negatives=[told, unknown])
    shown = str(report)
    assert "12.5%" in shown
    assert "there are [none]" in shown
    assert "not estimated" not in shown
    assert Report.from_dict(strict(report.to_json())) == report
    assert known.report(mined, false_negatives=told).false_negatives == [told]


def test_a_report_of_an_earlier_version_is_read() -> None:
    known = mining()
    report = known.report(known.mine(ROWS))
    values = strict(report.to_json())
    for name in ("hardness", "mean_rank", "false_negatives"):
        del values[name]
    assert Report.from_dict(values) == replace(
        report, hardness=None, mean_rank=None, false_negatives=[]
    )
