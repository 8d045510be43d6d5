"""Two mined sets beside each other, against counting with Python's own sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from inspection.decision_cases import Mined, docstring_corpus, docstring_rows, mine

from hf_hardneg.errors import FormatError, ParameterError
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.set_comparison import SetComparison, compare_row, compare_sets
from hf_hardneg.inspection.set_pair import SetPair
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.rates import Rate

Rows = Sequence[tuple[str, Sequence[str]]]


def inspected(rows: Rows, name: str = "one", *, texts: bool = False) -> InspectedSet:
    """Return a set of queries with the names of their negatives, as ids or as texts."""
    kind = "negatives" if texts else "negative_ids"
    data = Dataset.from_dict(
        {"query": [query for query, _ in rows], kind: [list(names) for _, names in rows],
         "hard_negative_ranks": [list(range(1, len(names) + 1)) for _, names in rows]}
    )  # fmt: skip
    return InspectedSet(name, MinedSet.of(data))


def grouped(rows: Rows) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for query, names in rows:
        found.setdefault(query.casefold(), set()).update(name.casefold() for name in names)
    return found


def figures(found: SetComparison) -> tuple[object, ...]:
    return (
        found.queries_both, found.a.only, found.b.only, found.both, found.only_a, found.only_b,
        found.compared, found.same, found.disjoint,
    )  # fmt: skip


rows_of = st.lists(
    st.tuples(
        st.sampled_from(["red car", "cold night", "Red Car", "far city", "old road", "sea"]),
        st.lists(st.sampled_from("abcdefgh"), max_size=5),
    ),
    min_size=1,
    max_size=9,
)


@given(rows_of, rows_of, st.booleans())
def test_by_hand(one: Rows, two: Rows, texts: bool) -> None:
    left, right = grouped(one), grouped(two)
    common = left.keys() & right.keys()
    a, b = inspected(one, "one", texts=texts), inspected(two, "two", texts=texts)
    if not common:
        with pytest.raises(FormatError, match="no query in common"):
            compare_sets(a, b)
        return
    found = compare_sets(a, b)
    there = [query for query in common if left[query] | right[query]]
    shares = [len(left[q] & right[q]) / len(left[q] | right[q]) for q in there]
    assert figures(found) == (
        len(common), len(left.keys() - common), len(right.keys() - common),
        sum(len(left[q] & right[q]) for q in common),
        sum(len(left[q] - right[q]) for q in common),
        sum(len(right[q] - left[q]) for q in common),
        len(there), shares.count(1.0), shares.count(0.0),
    )  # fmt: skip
    assert found.jaccard == (pytest.approx(sum(shares) / len(shares)) if shares else None)
    for side, rows, own in ((found.a, one, left), (found.b, two, right)):
        assert (side.rows, side.queries) == (len(rows), len(own))
        assert side.negatives == sum(len(own[q]) for q in common)
        assert side.elsewhere == sum(len(own[q]) for q in own.keys() - common)
        every = sum(len(names) for _, names in rows)
        assert side.repeated == every - sum(map(len, own.values()))
    pages = [found.different(page, 2) for page in range(4)]
    shown = [one for page in pages for one in page]
    assert len(shown) == len(common)
    order = [2.0 if row.jaccard is None else row.jaccard for row in shown]
    assert order == sorted(order)
    for row in shown:
        key = row.query.casefold()
        assert one[row.number][0].casefold() == two[row.other][0].casefold() == key
        assert (row.both, row.only_a, row.only_b) == (
            len(left[key] & right[key]), len(left[key] - right[key]), len(right[key] - left[key])
        )  # fmt: skip
        both = compare_row(a, b, row.number)
        assert (len(both.both), len(both.only_a), len(both.only_b)) == (
            row.both, row.only_a, row.only_b
        )  # fmt: skip
        assert both.jaccard == row.jaccard
    json.dumps(found.to_dict(), allow_nan=False)


def test_order_is_counted_and_changes_nothing_else() -> None:
    rows = [(f"query {place}", [f"{place}-{n}" for n in range(3)]) for place in range(9)]
    a, b = inspected(rows), inspected(rows[::-1], "two")
    found = compare_sets(a, b)
    assert (found.moved, found.same, found.jaccard) == (8, 9, 1.0)
    assert compare_sets(a, a).moved == 0


def test_a_row_has_what_either_has() -> None:
    a = inspected([("sea", ["x", "y", "z"]), ("far", ["x"])])
    b = inspected([("other", ["q"]), ("SEA", ["z", "w"]), ("sea", ["v"])], "two")
    found = compare_row(a, b, 0)
    assert [(one.document_id, two.document_id) for one, two in found.both] == [("z", "z")]
    assert (found.both[0][0].rank, found.both[0][1].rank) == (3, 1)
    assert [one.document_id for one in found.only_a] == ["x", "y"]
    assert [one.document_id for one in found.only_b] == ["w", "v"]
    assert (found.rows_a, found.rows_b) == ((0,), (1, 2))
    assert any("2 rows of this query" in note for note in found.notes)
    alone = SetPair(a, b).row(1)
    assert (alone.rows_b, len(alone.only_a)) == ((), 1)
    assert any("does not have this query" in note for note in alone.notes)
    with pytest.raises(FormatError, match="no row 5"):
        compare_row(a, b, 5)


def test_what_cannot_be_matched_is_refused() -> None:
    a, b = inspected([("sea", ["x"])]), inspected([("sea", ["x"])], texts=True)
    with pytest.raises(FormatError, match="do not both have"):
        compare_sets(a, b)
    with pytest.raises(FormatError, match="do not both have texts"):
        SetPair(a, a, documents_by="text")
    with pytest.raises(ParameterError, match="one set"):
        compare_sets(a)


@lru_cache(maxsize=1)
def mined() -> tuple[Mined, Mined]:
    rows, corpus = docstring_rows(80), docstring_corpus()
    return mine("bm25@40+margin", rows, corpus), mine("bm25@30+rank(range_min=5)", rows, corpus)


def test_mined_sets_with_all_that_stands_beside() -> None:
    one, two = mined()
    rate = Rate("labels", 0.1, 0.05, 0.2, 40)
    assert one.inspected.report is not None
    reported = replace(one.inspected, report=replace(one.inspected.report, false_negatives=[rate]))
    found = compare_sets(reported, two.inspected)
    assert found.a.rates == (rate,)
    assert found.b.rates == ()
    assert found.a.hardness == one.inspected.report.hardness
    assert found.same_scale is True
    own = compare_sets(replace(one.inspected, report=None, recipe={}), two.inspected)
    assert own.same_scale is None
    assert own.a.hardness is not None
    assert found.a.hardness is not None
    assert own.a.hardness.harder == found.a.hardness.harder
    for side, case in ((found.a, one), (found.b, two)):
        ranks = [rank for row in case.mined["hard_negative_ranks"] for rank in row]
        assert side.ranked <= len(ranks)
        if not side.repeated:
            assert side.mean_rank == pytest.approx(sum(ranks) / len(ranks))
    other = replace(two.inspected, report=None, recipe={"strategy": "random", "num_negatives": 5})
    scales = compare_sets(one.inspected, other)
    assert scales.same_scale is False
    assert any("different scales" in note for note in scales.notes)


Pairs = set[tuple[str, str, str]]


def labelled(case: Mined) -> Pairs:
    return {
        (row["query_id"], row["query"], name)
        for row in case.mined
        for name in row["hard_negative_ids"]
    }


def test_labels_of_one_set_say_nothing_of_the_other() -> None:
    one, two = mined()
    ours, theirs = labelled(one), labelled(two)

    def labels(pairs: Pairs) -> Labels:
        return Labels(
            [Label(query_id=a, query=b, document_id=c,
                   label="false_negative" if len(c) % 3 else "true_negative")
             for a, b, c in sorted(pairs)]
        )  # fmt: skip

    every = compare_sets(one.inspected, two.inspected, labels=labels(ours | theirs))
    for side, pairs in ((every.a, ours), (every.b, theirs)):
        [rate] = side.rates
        assert rate.n == len(pairs)
        assert rate.rate == pytest.approx(sum(len(c) % 3 > 0 for _, _, c in pairs) / len(pairs))
    half = compare_sets(one.inspected, two.inspected, labels=labels(ours))
    assert half.a.rates[0].rate is not None
    assert half.b.rates[0].rate is None
    assert "not in the other" in half.b.rates[0].why
    strangers = labels({("q", "nobody asked", "d")})
    nothing = compare_sets(one.inspected, two.inspected, labels=strangers)
    assert [side.rates[0].rate for side in (nothing.a, nothing.b)] == [None, None]


def test_labels_of_one_set_say_nothing_of_queries_of_the_other_alone() -> None:
    def opened(name: str, queries: int) -> InspectedSet:
        rows = [{"query": f"q {n}", "negatives": [f"d {n}", f"e {n}"]} for n in range(queries)]
        return InspectedSet(name, MinedSet.of(Dataset.from_list(rows)))

    labels = Labels(
        [Label(query=f"q {n}", document=f"d {n}", label="true_negative", weight=2.0)
         for n in range(30)]
    )  # fmt: skip
    found = compare_sets(opened("small", 30), opened("large", 60), labels=labels)
    assert found.a.rates[0].rate == 0
    assert found.b.rates[0].rate is None
    assert "60 negatives are in this set and not in the other" in found.b.rates[0].why
