"""Why rows are suspicious, beside a plain look at each row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, List, Value
from hypothesis import given
from inspected_cases import (
    HOSTILE,
    SENTENCE,
    mined_row,
    mined_rows,
    opened,
    pool_of,
    without,
)

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.hashing import normalize_text
from hf_hardneg.inspection.near_step import NearStep
from hf_hardneg.inspection.opened import open_inspected
from hf_hardneg.inspection.pool_rows import PoolRows
from hf_hardneg.inspection.suspicion import REASONS, Suspicion

SCORES = ("hard_negative_scores", "hard_negative_positive_scores")


def looked(inspected: Any, **options: Any) -> Suspicion:
    suspicion = Suspicion(inspected, **options)
    suspicion.start()
    assert suspicion.wait(30)
    return suspicion


def outscoring(row: dict[str, Any]) -> list[bool]:
    known = [score for score in row[SCORES[1]] if score is not None]
    return [score is not None and bool(known) and score >= min(known) for score in row[SCORES[0]]]


def shingled(text: str) -> set[str]:
    words = normalize_text(text).split(" ")
    return {" ".join(words[place : place + 3]) for place in range(max(1, len(words) - 2))}


def near(row: dict[str, Any]) -> list[bool]:
    def alike(one: str, other: str) -> bool:
        if not one.strip() or not other.strip():
            return False
        a, b = shingled(one), shingled(other)
        return len(a & b) / len(a | b) >= 0.8

    return [any(alike(own, text) for own in row["positive"]) for text in row["hard_negatives"]]


def check(suspicion: Suspicion, rows: list[dict[str, Any]]) -> None:
    """Compare with brute force, all rows and each by itself."""
    expected = {"outscores": list(map(outscoring, rows)), "near_duplicate": list(map(near, rows))}
    for reason, marks in expected.items():
        assert suspicion.looked_at(reason) == len(rows)
        assert suspicion.negatives(reason).tolist() == [sum(own) for own in marks]
        for number, own in enumerate(marks):
            named = [[why.name for why in one] for one in suspicion.reasons(number)]
            assert [reason in names for names in named] == own
    counted, looked_at = suspicion.negatives_a_row()
    assert looked_at == len(rows)
    assert counted.tolist() == [len(row["hard_negatives"]) for row in rows]


@given(mined_rows())
def test_every_row_has_the_reasons_that_a_plain_look_finds(rows: list[dict[str, Any]]) -> None:
    check(looked(opened(rows)), rows)


@given(mined_rows())
def test_without_scores_of_its_own_those_of_the_pool_count(rows: list[dict[str, Any]]) -> None:
    pool = pool_of(rows)
    check(looked(opened(without(rows, *SCORES), pool=pool)), rows)
    if len(rows) > 1:  # rows of the pool in another order, one of them missing
        backwards = pool.select(range(len(rows) - 1, 0, -1))
        suspicion = looked(opened(without(rows, *SCORES), pool=backwards))
        known = [sum(outscoring(row)) for row in rows[1:]]
        assert suspicion.negatives("outscores").tolist() == [0, *known]


def test_a_negative_is_held_against_the_least_positive_with_a_score() -> None:
    row = mined_row(
        0,
        positive=["a", "b", "c"],
        hard_negatives=["d", "e", "f"],
        hard_negative_scores=[1.0, 0.99, None],
        hard_negative_positive_scores=[3.0, None, 1.0],
    )
    suspicion = looked(opened([row]))
    assert suspicion.negatives("outscores").tolist() == [1]
    assert [len(one) for one in suspicion.reasons(0)] == [1, 0, 0]
    assert suspicion.reasons(0)[0][0].text == "scores as the positive"


def test_the_positive_itself_by_its_id_is_a_near_duplicate() -> None:
    row = mined_row(0, hard_negative_ids=["x", "p0-0"])
    suspicion = looked(opened([row]))
    assert suspicion.negatives("near_duplicate").tolist() == [1]
    assert suspicion.reasons(0)[1][0].text == "is a positive of the row"


def test_what_is_not_known_is_said_and_not_counted() -> None:
    rows = without([mined_row(0)], *SCORES, "positive")
    suspicion = looked(opened(rows))
    assert "scores" in suspicion.lacks("outscores")
    assert "pool" in suspicion.lacks("outscores")
    assert "positives" in suspicion.lacks("near_duplicate")
    assert "cross-encoder" in suspicion.lacks("judged")
    assert not suspicion.lacks("marked")
    for reason in ("outscores", "near_duplicate", "judged"):
        assert suspicion.looked_at(reason) == 0
        assert not suspicion.negatives(reason).any()
    with pytest.raises(ParameterError, match="reason"):
        suspicion.lacks("colour")


def test_a_cross_encoder_judges_where_its_threshold_is_known() -> None:
    rows = [mined_row(number) for number in range(3)]
    judged = [[0.1, 0.9, None], [0.2, 0.3, 0.9], [None, 0.8, 0.1]]
    inspected = opened(rows, pool=pool_of(rows, candidate_model_scores=judged))
    assert "which score" in looked(inspected).lacks("judged")
    suspicion = looked(inspected, judge_threshold=0.8)
    assert suspicion.negatives("judged").tolist() == [1, 0, 1]  # 0.9 of row 1 is no negative
    # The pool has the candidates backwards.
    assert [[why.name for why in one] for one in suspicion.reasons(0)] == [["judged"], []]
    with pytest.raises(ParameterError, match="finite"):
        Suspicion(inspected, judge_threshold=float("nan"))


def test_labels_of_a_judge_are_found_by_id_or_by_text() -> None:
    rows = [mined_row(number) for number in range(4)]
    labels = Labels(
        [
            Label(query_id="q1", document_id="n1-1", label=0.75, annotator="a model"),
            Label(query="query 2", document="another", label="false_negative"),
            Label(query_id="q3", document_id="n3-0", label="true_negative"),
            Label(query_id="q9", document_id="n9-0", label="false_negative"),
            Label(query_id="q0", document_id="n0-0", label=None),
        ]
    )
    suspicion = looked(opened(rows))
    assert suspicion.take_labels(labels) == 2
    assert not suspicion.lacks("judged")
    assert suspicion.negatives("judged").tolist() == [0, 1, 1, 0]
    assert "a model" in suspicion.reasons(1)[1][0].text


def test_marks_of_people_come_and_go() -> None:
    suspicion = looked(opened([mined_row(number) for number in range(3)]))
    before = suspicion.version
    suspicion.mark(1, 0, "true_negative")
    suspicion.mark(2, 1, "false_negative")
    assert suspicion.version != before
    assert suspicion.negatives("marked").tolist() == [0, 0, 1]
    assert [[why.name for why in one] for one in suspicion.reasons(2)] == [[], ["marked"]]
    suspicion.mark(2, 1, None)
    suspicion.mark(0, 0, "bad_query")
    assert suspicion.negatives("marked").tolist() == [1, 0, 0]
    assert [len(one) for one in suspicion.reasons(0)] == [1, 1]
    with pytest.raises(ParameterError, match="row=3"):
        suspicion.mark(3, 0, "unsure")
    with pytest.raises(ParameterError, match="label"):
        suspicion.mark(0, 0, "maybe")


def test_the_most_suspicious_come_first_and_equals_by_their_number() -> None:
    twin = [SENTENCE, f"{SENTENCE} now"]
    rows = [
        mined_row(0),
        mined_row(1, hard_negative_scores=[1.5, 0.1]),
        mined_row(2, positive=[SENTENCE], hard_negatives=twin, hard_negative_scores=[3.0, 0.0]),
        mined_row(3, hard_negative_scores=[1.2, 1.1]),
        mined_row(4, hard_negative_scores=[2.5, 0.1]),
        mined_row(5),
    ]
    suspicion = looked(opened(rows))
    assert suspicion.order(np.arange(6)).tolist() == [2, 3, 4, 1, 0, 5]
    assert suspicion.order(np.array([5, 1, 0])).tolist() == [1, 0, 5]
    assert np.flatnonzero(suspicion.rows_with(["outscores", "marked"])).tolist() == [1, 2, 3, 4]


def test_a_second_opening_has_it_at_once_and_another_set_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        mined_row(number, positive=[SENTENCE], hard_negatives=[SENTENCE]) for number in range(5)
    ]
    first = looked(opened(rows))
    monkeypatch.setattr(NearStep, "run", lambda *_: pytest.fail("texts are looked at again"))
    again = Suspicion(opened(rows))
    assert [one.complete for one in again.progress()] == [True] * 3
    assert again.negatives("near_duplicate").tolist() == first.negatives("near_duplicate").tolist()
    other = Suspicion(opened([*rows[:-1], mined_row(9)]))
    assert not any(one.complete for one in other.progress())


def test_an_interruption_is_taken_up_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_hardneg.inspection.near_step.AT_ONCE", 4)
    rows = [mined_row(number, positive=["same"], hard_negatives=["same"]) for number in range(10)]
    interrupted = Suspicion(opened(rows))
    calls = iter([False, False, True])
    interrupted._near.run(lambda: next(calls))
    assert interrupted.progress()[-1].looked_at == 8
    assert str(interrupted.progress()[-1]) == "looked at 8 of 10 rows"
    assert interrupted.negatives("near_duplicate").tolist() == [1] * 8 + [0] * 2
    resumed = Suspicion(opened(rows))
    assert resumed.looked_at("near_duplicate") == 8
    resumed.start()
    assert resumed.wait(10)
    assert resumed.negatives("near_duplicate").tolist() == [1] * 10


def test_half_a_row_on_disk_is_looked_at_again(cache: Path) -> None:
    rows = [mined_row(number, positive=["same"], hard_negatives=["same"]) for number in range(6)]
    looked(opened(rows))
    [path] = cache.glob("inspected/*/near.bin")
    whole = path.read_bytes()
    path.write_bytes(whole[:5])
    assert Suspicion(opened(rows)).looked_at("near_duplicate") == 2
    path.write_bytes(whole[:6] + b"\0" * 4)  # as after a power failure
    assert Suspicion(opened(rows)).looked_at("near_duplicate") == 3


def test_a_cache_that_cannot_be_written_is_told_of(cache: Path) -> None:
    suspicion = Suspicion(opened([mined_row(0)]))
    (cache / "inspected").write_text("a file")
    suspicion.start()
    assert suspicion.wait(10)
    assert all("cannot write" in one.failed for one in suspicion.progress())


def test_hostile_texts_are_looked_at_as_they_are() -> None:
    rows = [
        mined_row(number, query=text, positive=[text], hard_negatives=[text, "x"])
        for number, text in enumerate(HOSTILE)
    ]
    rows.append(mined_row(len(rows), hard_negatives=None, positive=None))
    suspicion = looked(opened(rows))
    expected = [int(bool(text.strip())) for text in HOSTILE]
    assert suspicion.negatives("near_duplicate").tolist() == [*expected, 0]
    assert suspicion.reasons(len(rows) - 1) == ()
    assert set(REASONS) == {"outscores", "near_duplicate", "judged", "marked"}


def test_a_pool_with_other_ids_of_queries_is_found_by_their_texts() -> None:
    rows = [mined_row(number, hard_negative_scores=[2.0, 0.0]) for number in range(3)]
    pool = pool_of([{**row, "query_id": f"other {row['query_id']}"} for row in rows])
    features = Features({name: List(Value("string")) for name in ("positive_ids", "negative_ids")})
    by_id = Dataset.from_list(
        [
            {
                "query_id": row["query_id"],
                "positive_ids": row["positive_ids"],
                "negative_ids": row["hard_negative_ids"],
            }
            for row in rows
        ],
        features=Features({"query_id": Value("string"), **features}),
    )
    queries = Dataset.from_list(
        [{"query_id": row["query_id"], "query": row["query"]} for row in rows]
    )
    corpus = Corpus({name: name for row in rows for name in
                     (*row["positive_ids"], *row["hard_negative_ids"])})  # fmt: skip
    suspicion = looked(open_inspected(by_id, corpus=corpus, queries=queries, pool=pool))
    assert suspicion.negatives("outscores").tolist() == [1, 1, 1]


def test_a_row_of_the_pool_beside_is_taken_only_if_it_is_of_the_query() -> None:
    rows = [mined_row(number) for number in range(3)]
    pool = PoolRows(pool_of([rows[1], rows[0], rows[2]]))
    for number, place in ((0, 1), (1, 0), (2, 2)):
        assert pool.of(f"q{number}", "", [f"p{number}-0"], beside=number) == place
    assert pool.of("q2", "", ["p2-0"], beside=7) == 2
    assert pool.of("q9", "", ["p2-0"], beside=2) is None
