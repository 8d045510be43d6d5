"""The overview of a set, beside plain counts over its rows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from inspected_cases import HOSTILE, mined_row, mined_rows, opened, pool_of, without

from hf_hardneg import OfflineMiner
from hf_hardneg.inspection import overview as overview_module
from hf_hardneg.inspection.opened import InspectedSet, open_inspected
from hf_hardneg.inspection.overview import Overview, overview_of
from hf_hardneg.inspection.suspicion import Suspicion
from hf_hardneg.outputs import report_sidecars, write_mined
from hf_hardneg.rates import Rate

SCORES = ("hard_negative_scores", "hard_negative_positive_scores")


def plain(overview: Overview) -> dict[str, Any]:
    """Its values as JSON has them; NaN raises."""
    values: dict[str, Any] = json.loads(json.dumps(overview.to_dict(), allow_nan=False))
    return values


def counted(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(name for row in rows for name in row["hard_negative_ids"])


@given(mined_rows())
def test_numbers_of_a_set_without_a_report_are_those_of_its_rows(
    rows: list[dict[str, Any]],
) -> None:
    found = overview_of(opened(rows))
    plain(found)
    sizes = [len(row["hard_negatives"]) for row in rows]
    assert found.exact
    assert found.fact("rows").value == len(rows)
    assert found.fact("negatives").value == sum(sizes)
    assert found.fact("documents").value == len(counted(rows))
    assert found.short.asked == max(sizes, key=lambda size: (sizes.count(size), size))
    assert found.short.rows == sum(size < found.short.asked for size in sizes)
    known = [score for row in rows for score in row[SCORES[0]] if score is not None]
    if found.scores.negatives is None:
        assert "no negative has a score" in found.scores.why
    else:
        assert sum(found.scores.negative_counts) == len(known) == found.scores.negatives.count
        assert len(found.scores.edges) == len(found.scores.positive_counts) + 1
        [missing] = {sum(sizes) - len(known), found.scores.negatives.missing}
        assert missing == sum(sizes) - len(known)
    for name in ("strategy", "seed", "models", "version", "fill"):
        assert found.fact(name).value is None
        assert found.fact(name).why


def test_documents_that_are_used_again_are_counted() -> None:
    rows = [mined_row(number, hard_negative_ids=["hub", f"n{number}"]) for number in range(4)]
    rows[3] = mined_row(3, hard_negatives=["negative 3 text"], hard_negative_ids=["hub"])
    found = overview_of(opened(rows)).reused
    first = found.documents[0]
    assert (first.document_id, first.times, first.share) == ("hub", 4, 4 / 7)
    assert first.text == "negative 0 text"
    assert (found.negatives, found.distinct, found.told_apart_by) == (7, 4, "id")
    by_text = overview_of(opened(without(rows, "hard_negative_ids"))).reused
    assert by_text.told_apart_by == "text"
    assert (by_text.documents[0].text, by_text.documents[0].times) == ("another", 3)


def test_scores_and_flow_are_taken_from_the_pool() -> None:
    rows = [mined_row(number, hard_negative_scores=[0.2, 1.4]) for number in range(5)]
    found = overview_of(opened(without(rows, *SCORES), pool=pool_of(rows)))
    assert found.scores.positives is not None
    assert found.scores.negatives is not None
    assert (found.scores.positives.count, found.scores.negatives.count) == (5, 10)
    assert found.scores.where == "all 5 rows, scores of its pool"
    assert dict(found.hardness.lines)["harder than the positive"] == "50.0%"
    steps = {step.name: step.number for step in found.flow.steps}
    assert steps == {"retrieved": 15, "score": 5, "chosen": 10, "not needed": 0}
    assert found.flow.where == "5 rows of the pool"


def test_what_is_not_known_has_a_reason_and_no_number() -> None:
    found = overview_of(opened(without([mined_row(0)], *SCORES)))
    assert not found.flow.steps
    assert "neither a report" in found.flow.why
    assert found.scores.edges == ()
    assert "no scores" in found.scores.why
    assert found.hardness.lines == ()
    assert found.hardness.why
    assert found.hardness.mean_rank.value is None
    assert found.rates.rates == ()
    assert "judgements" in found.rates.why.lower()
    with pytest.raises(KeyError):
        found.fact("colour")


def test_rates_that_are_given_are_shown_first() -> None:
    rate = Rate("labels", 0.25, 0.1, 0.5, 40)
    found = overview_of(opened([mined_row(0)]), [rate])
    assert found.rates.rates == (rate,)
    assert plain(found)["rates"]["rates"][0]["low"] == 0.1


@pytest.fixture
def mined_folder(tmp_path: Path) -> Path:
    """What ``hf-hardneg mine`` writes: rows, report and recipe."""
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    rng = np.random.default_rng(0)
    corpus = {f"d{n}": " ".join(rng.choice(words, 6)) for n in range(60)}
    rows = {"query": [f"{words[n % 8]} {words[n % 5]}" for n in range(12)],
            "positive": [corpus[f"d{n}"] for n in range(12)]}  # fmt: skip
    miner = OfflineMiner("bm25@30+margin(relative=0.05)", corpus=corpus, num_negatives=3, seed=4)
    from datasets import Dataset

    mined = miner.mine(Dataset.from_dict(rows))
    report = miner.report(mined)
    write_mined(mined, tmp_path / "set", "parquet", corpus=corpus,
                sidecars=lambda _: report_sidecars(report.to_json(), miner.recipe()))  # fmt: skip
    return tmp_path / "set"


def test_a_report_is_told_as_it_was_written(mined_folder: Path) -> None:
    inspected = open_inspected(mined_folder)
    report = inspected.report
    assert report is not None
    found = overview_of(inspected)
    plain(found)
    assert found.fact("strategy").value == report.strategy
    assert (found.fact("seed").value, found.fact("num_negatives").value) == (4, 3)
    assert found.fact("corpus").value == f"60 documents ({report.corpus['fingerprint'][:12]})"
    assert found.fact("version").value
    assert found.fact("fill").value == report.slots_filled
    steps = found.flow.steps
    assert steps[0].number == report.slots_retrieved
    assert [step.number for step in steps if step.kind == "stage"] == [
        stage.dropped for stage in report.stages
    ]
    # Whoever is left after the last stage is chosen or not needed.
    last = [step.left for step in steps if step.kind == "stage"][-1]
    assert last == sum(step.number for step in steps if step.kind in ("chosen", "not needed"))
    assert any(step.about for step in steps if step.kind == "stage")
    assert list(found.scores.negative_counts) == report.negative_scores.bin_counts
    assert found.hardness.where == "the report of the mining"
    assert found.hardness.mean_rank.value == report.mean_rank
    assert found.short.rows == sum(report.underfilled.values())


def big(rows: int) -> InspectedSet:
    return opened([mined_row(number, hard_negative_ids=["hub", "n"]) for number in range(rows)])


def test_a_big_set_is_drawn_from_first_and_counted_whole_in_the_background(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overview_module, "AT_ONCE", 300)
    inspected = big(1_050)
    drawn = overview_of(inspected)
    assert not drawn.exact
    assert drawn.reused.where == "300 of 1,050 rows, drawn"
    assert drawn.reused.documents[0].share == 0.5
    assert drawn.fact("rows").value == 1_050
    for name in ("negatives", "documents"):
        assert drawn.fact(name).value is None
        assert "so far" in drawn.fact(name).why
    assert overview_of(inspected) == drawn
    suspicion = Suspicion(inspected)
    suspicion.start()
    assert suspicion.wait(30)
    exact = overview_of(inspected)
    assert exact.exact
    assert exact.fact("negatives").value == 2_100
    assert exact.reused.documents[0].times == 1_050
    monkeypatch.setattr(overview_module, "survey_of", lambda *_, **__: pytest.fail("looked anew"))
    assert overview_of(inspected) == exact


def test_a_drawn_part_may_hold_the_short_last_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_module, "AT_ONCE", 1_000)
    assert overview_of(big(1_010)).reused.negatives in (1_820, 2_000)


def test_hostile_texts_are_values_like_others() -> None:
    rows = [mined_row(number, hard_negatives=[text]) for number, text in enumerate(HOSTILE)]
    rows.append(mined_row(99, hard_negatives=None, positive=None, query=None))
    found = overview_of(opened(without(rows, "hard_negative_ids")))
    values = plain(found)
    assert found.fact("negatives").value == len(HOSTILE)
    assert found.reused.distinct == len(HOSTILE) - 2  # two are blank
    assert {one["text"] for one in values["reused"]["documents"]} <= set(HOSTILE)
