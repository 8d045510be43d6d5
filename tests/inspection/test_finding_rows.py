"""Finding rows, beside a plain look at each of them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st
from inspected_cases import HOSTILE, mined_row, mined_rows, opened, texts, without

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ParameterError
from hf_hardneg.hashing import normalize_text
from hf_hardneg.inspection import row_search
from hf_hardneg.inspection.finding_rows import RowFinder, find_rows
from hf_hardneg.inspection.opened import InspectedSet, open_inspected
from hf_hardneg.inspection.suspicion import Suspicion
from hf_hardneg.inspection.wanted import Wanted


def looked(inspected: InspectedSet) -> Suspicion:
    suspicion = Suspicion(inspected)
    suspicion.start()
    assert suspicion.wait(30)
    return suspicion


def found(inspected: InspectedSet, **wanted: Any) -> list[int]:
    result = find_rows(inspected, Wanted(**wanted), looked(inspected), patience=30)
    assert result.complete
    assert (result.looked_at, result.of) == (len(inspected), len(inspected))
    return result.rows.tolist()


def fits(row: dict[str, Any], search: str, search_in: str, document: str) -> bool:
    """The rules, said plainly."""
    documents = [*row["positive"], *row["hard_negatives"]]
    ids = [*row["positive_ids"], *row["hard_negative_ids"]]
    places = [row["query"], *(documents if search_in == "all texts" else [])]
    words = normalize_text(search).split()
    worded = any(all(word in normalize_text(text) for word in words) for text in places)
    return worded and (not document or document in documents or document in ids)


BY_ID = Features({"query_id": Value("string"), "positive_ids": List(Value("string")),
                  "negative_ids": List(Value("string"))})  # fmt: skip
searches = st.one_of(
    st.sampled_from(
        ["", "fox", "QUICK fox", "x", "fine", "STRASSE", "σίσυφος", "テキスト", ".*", "a b"]
    ),
    texts,
)
documents = st.one_of(st.just(""), texts, st.sampled_from(["p0-0", "n1-0", "nothing"]))
places = st.sampled_from(["queries", "all texts"])


@given(mined_rows(), searches, places, documents)
def test_rows_of_texts_are_those_that_a_plain_look_finds(
    rows: list[dict[str, Any]], search: str, search_in: str, document: str
) -> None:
    expected = [number for number, row in enumerate(rows) if fits(row, search, search_in, document)]
    asked = {"search": search, "search_in": search_in, "document": document}
    assert found(opened(rows), **asked) == expected


@given(mined_rows(), searches, places, documents)
def test_rows_of_ids_are_searched_through_their_corpus(
    rows: list[dict[str, Any]], search: str, search_in: str, document: str
) -> None:
    expected = [number for number, row in enumerate(rows) if fits(row, search, search_in, document)]
    pairs = [pair for row in rows for side in (("positive_ids", "positive"),
             ("hard_negative_ids", "hard_negatives"))
             for pair in zip(row[side[0]], row[side[1]], strict=True)]  # fmt: skip
    corpus = Corpus(dict([*pairs, ("further", "the quick fox x fine")]))
    asked = {"search": search, "search_in": search_in, "document": document}
    ids = without(rows, "positive", "hard_negatives")
    assert found(opened(ids, corpus=corpus), **asked) == expected
    # Of queries by id the texts are searched once each, too.
    queries = Dataset.from_list([{"query_id": row["query_id"], "query": row["query"]}
                                 for row in rows])  # fmt: skip
    by_id = Dataset.from_list([{"query_id": row["query_id"], "positive_ids": row["positive_ids"],
                                "negative_ids": row["hard_negative_ids"]} for row in rows],
                              features=BY_ID)  # fmt: skip
    inspected = open_inspected(by_id, corpus=corpus, queries=queries)
    assert inspected.mined.queries is not None
    assert found(inspected, **asked) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_search, "FIRST_TEXTS", 1)
        patch.setattr(row_search, "FIRST_ROWS", 2)
        assert found(inspected, **asked) == expected


def test_reasons_short_rows_words_and_document_are_all_asked_for() -> None:
    rows = [
        mined_row(0, hard_negative_scores=[2.0, 0.0]),
        mined_row(1, hard_negatives=["one"], hard_negative_scores=[2.0]),
        mined_row(2, hard_negatives=["query", "one"]),
        mined_row(3, hard_negatives=["one"]),
    ]
    inspected = opened(rows)
    assert found(inspected, reasons={"outscores"}) == [0, 1]
    assert found(inspected, reasons={"outscores", "near_duplicate"}) == [0, 1]
    assert found(inspected, short=True) == [1, 3]
    assert found(inspected, short=True, reasons={"outscores"}) == [1]
    assert found(inspected, document="one") == [1, 2, 3]
    assert found(inspected, document="one", short=True, search="QUERY 3") == [3]
    assert found(inspected, order="suspicious") == [0, 1, 2, 3]
    assert found(inspected, order="suspicious", document="one") == [1, 2, 3]


def test_a_search_is_plain_text_and_never_a_pattern() -> None:
    rows = [mined_row(number, query=text) for number, text in enumerate(HOSTILE)]
    inspected = opened(rows)
    for number, text in enumerate(HOSTILE):
        if text.strip():
            assert number in found(inspected, search=text)
    assert found(inspected, search=".*") == [HOSTILE.index(".*[a-z]+(")]
    assert found(inspected, search="(((((") == []
    assert found(inspected, search="fine strasse") == [HOSTILE.index("ﬁne Straße ΣΊΣΥΦΟΣ")]
    assert found(inspected, search="ΣΊΣΥΦΟς") == [HOSTILE.index("ﬁne Straße ΣΊΣΥΦΟΣ")]


def test_a_missing_query_and_missing_texts_hold_nothing() -> None:
    rows = [mined_row(0, query=None), mined_row(1, positive=None, hard_negatives=None)]
    inspected = opened(rows)
    assert found(inspected, search="query") == [1]
    assert found(inspected, search="positive", search_in="all texts") == [0]
    assert found(inspected, document="another") == [0]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"reasons": {"colour"}}, "reasons"),
        ({"order": "best"}, "order"),
        ({"search_in": "titles"}, "search_in"),
        ({"search": "x" * 1_001}, "1,001 characters"),
        ({"search": "\ud800"}, "surrogate"),
        ({"document": "\udfff"}, "surrogate"),
    ],
)
def test_what_cannot_be_wanted_is_refused(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Wanted(**wanted)


def test_pages_and_neighbours() -> None:
    inspected = opened([mined_row(number) for number in range(45)])
    result = find_rows(inspected, Wanted(), looked(inspected))
    assert [len(result.page(number)) for number in range(4)] == [20, 20, 5, 0]
    assert result.page(1, size=10).tolist() == list(range(10, 20))
    assert (result.beside(3), result.beside(3, -1), result.beside(44)) == (4, 2, None)
    some = find_rows(inspected, Wanted(search="query 1"), looked(inspected), patience=30)
    assert some.rows.tolist() == [1, *range(10, 20), 21, 31, 41]
    assert (some.beside(1), some.beside(5), some.beside(5, -1)) == (10, 10, 1)
    assert some.place_of(10) == 1
    assert some.place_of(5) is None


def test_what_is_not_known_yet_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_hardneg.inspection.near_step.AT_ONCE", 2)
    rows = [mined_row(number, positive=["same"], hard_negatives=["same"]) for number in range(6)]
    inspected = opened(rows)
    suspicion = Suspicion(inspected)
    turns = iter([False, False, True])
    suspicion._near.run(lambda: next(turns))
    result = find_rows(inspected, Wanted(reasons=frozenset({"near_duplicate"})), suspicion)
    assert result.rows.tolist() == [0, 1, 2, 3]
    assert (result.complete, result.looked_at, result.of) == (False, 4, 6)
    assert "looked at 4 of 6 rows" in result.note
    scored = find_rows(inspected, Wanted(short=True), suspicion)
    assert (scored.complete, scored.looked_at, scored.total) == (False, 0, 0)


def test_what_cannot_be_known_is_said() -> None:
    rows = without([mined_row(0)], "hard_negative_scores", "hard_negative_positive_scores")
    inspected = opened(rows)
    result = find_rows(inspected, Wanted(reasons=frozenset({"outscores"})), looked(inspected))
    assert result.total == 0
    assert "not known, because the set has no scores" in result.note


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Searches look at one row whenever the gate lets them."""
    gate = threading.Semaphore(0)
    monkeypatch.setattr(row_search, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(row_search, "FIRST_ROWS", 1)
    look = row_search.RowSearch._marks

    def slowly(self: Any, *args: Any) -> Any:
        gate.acquire()
        return look(self, *args)

    monkeypatch.setattr(row_search.RowSearch, "_marks", slowly)
    return gate


def test_a_search_says_how_far_it_is_and_goes_on(gate: threading.Semaphore) -> None:
    inspected = opened([mined_row(number) for number in range(10)])
    finder = RowFinder(inspected, looked(inspected))
    gate.release(4)
    first = finder.find(Wanted(search="query"), patience=0.3)
    assert (first.looked_at, first.total, first.complete) == (4, 4, False)
    assert "Looked at 4 of 10 rows so far" in first.note
    gate.release(6)
    last = finder.find(Wanted(search="query"), patience=10)
    assert (last.looked_at, last.total, last.complete, last.note) == (10, 10, True, "")
    finder.close()


def test_a_full_page_is_not_waited_for_longer(gate: threading.Semaphore) -> None:
    inspected = opened([mined_row(number) for number in range(10)])
    finder = RowFinder(inspected, looked(inspected))
    gate.release(3)
    assert finder.find(Wanted(search="query"), patience=30, enough=3).total == 3
    gate.release(10)
    finder.close()


def test_a_later_search_of_a_session_cancels_its_earlier_one(gate: threading.Semaphore) -> None:
    inspected = opened([mined_row(number) for number in range(10)])
    finder = RowFinder(inspected, looked(inspected))
    for session in ("a", "b"):
        finder.find(Wanted(search="query"), session=session, patience=0.01)
    [shared] = finder._searches.values()
    finder.find(Wanted(search="other"), session="a", patience=0.01)
    assert not shared.cancelled  # b still waits for it
    finder.find(Wanted(), session="b")
    assert shared.cancelled
    gate.release(30)
    assert finder.find(Wanted(search="query"), session="b", patience=10).total == 10
    finder.close()


def test_a_search_that_fails_raises_for_whoever_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    inspected = opened([mined_row(0)])
    suspicion = looked(inspected)

    def fails(*_: Any) -> None:
        raise ParameterError("it cannot be read")

    monkeypatch.setattr(row_search, "holding", fails)
    with pytest.raises(ParameterError, match="cannot be read"):
        find_rows(inspected, Wanted(search="query"), suspicion)


def test_a_mark_is_seen_at_once_though_results_are_kept() -> None:
    inspected = opened([mined_row(number) for number in range(3)])
    suspicion = looked(inspected)
    finder = RowFinder(inspected, suspicion)
    wanted = Wanted(reasons=frozenset({"marked"}))
    assert finder.find(wanted).total == 0
    assert finder.find(wanted) is finder.find(wanted)
    suspicion.mark(2, 0, "false_negative")
    assert finder.find(wanted).rows.tolist() == [2]
    searched = Wanted(reasons=frozenset({"marked"}), search="query")
    assert finder.find(searched, patience=10).rows.tolist() == [2]
    suspicion.mark(1, 0, "false_negative")
    assert finder.find(searched, patience=10).rows.tolist() == [1, 2]
    finder.close()


def test_a_big_result_is_kept_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_hardneg.inspection.finding_rows.KEPT_ROWS", 12)
    inspected = open_inspected(
        Dataset.from_dict({"query": ["a"] * 10, "positive": ["b"] * 10, "negative": ["c"] * 10})
    )
    finder = RowFinder(inspected, looked(inspected))
    assert np.array_equal(finder.find(Wanted()).rows, np.arange(10))
    finder.find(Wanted(order="suspicious"))
    assert len(finder._results) == 1
    finder.close()
