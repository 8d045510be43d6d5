"""Candidates that contain an answer, as DPR tells; and the column that the answers come from."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict, IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mining import assert_same_rows

from hf_hardneg import AnswerFilter, BM25Retriever, Corpus, OfflineMiner
from hf_hardneg.errors import ColumnError, ParameterError, QueryError
from hf_hardneg.filters.answer_string import tokens
from hf_hardneg.testing import check_veto, make_queries

DOCUMENTS = {
    "gold": "Who wrote Hamlet? William Shakespeare did.",
    "d1": "Hamlet was written by William Shakespeare, they say.",
    "d2": "Hamlet is a play about a prince.",
    "d3": "A hamlet is a small village.",
    "d4": "hamlet, WILLIAM   shakespeare's play",
    "d5": "Hamlet: William and Shakespeare are two names.",
}
QUESTION = "who wrote hamlet"


def rows(answers: Any = ("William Shakespeare",), **further: Any) -> Dataset:
    columns = {
        "query": [QUESTION],
        "positive": [DOCUMENTS["gold"]],
        "answers": [list(answers) if isinstance(answers, tuple) else answers],
        "number": [7],
    }
    return Dataset.from_dict({**columns, **further})


def mining(strategy: str = "bm25+answer", **options: Any) -> OfflineMiner:
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 5, **options})


def reference(text: str) -> list[str]:
    """The tokens, one sign at a time, by the categories of Unicode alone."""
    found: list[str] = []
    inside = False
    for sign in unicodedata.normalize("NFD", text):
        kind = unicodedata.category(sign)[0]
        if kind in "LNM":
            found = [*found[:-1], found[-1] + sign] if inside else [*found, sign]
        elif kind not in "ZC":
            found.append(sign)
        inside = kind in "LNM"
    return [word.lower() for word in found]


def contains(document: str, answer: str) -> bool:
    own, wanted = reference(document), reference(answer)
    return any(own[i : i + len(wanted)] == wanted for i in range(len(own) - len(wanted) + 1))


words = st.sampled_from(
    ["art", "Art", "party", "é", "e\u0301", "É", "U.S.", "us", "?", "-", "10%", "10", "%", "\n",
     "ß", "ΑΣ", "\u200b", "日本", "दी", "½", "_", "'s"]
)  # fmt: skip
phrases = st.lists(st.tuples(words, st.sampled_from(["", " "])), max_size=7).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


@settings(max_examples=300)
@given(phrases, phrases)
def test_tokens_are_those_of_the_categories_of_unicode(document: str, answer: str) -> None:
    assert tokens(document).split() == reference(document)
    if reference(answer):
        assert (tokens(answer) in tokens(document)) == contains(document, answer)


@settings(max_examples=200)
@given(st.text(max_size=12))
def test_any_text_has_tokens(text: str) -> None:
    newer = [sign for sign in text if unicodedata.category(sign) == "Cn"]
    if not newer:  # of which two tables of Unicode may differ
        assert tokens(text).split(" ")[1:-1] == reference(text)


@pytest.mark.parametrize(
    ("document", "answer", "found"),
    [
        ("the U.S. Army", "U.S.", True),
        ("the US Army", "U.S.", False),
        ("the U. S. Army", "u.s.", True),
        ("a party", "art", False),
        ("modern ART.", "art", True),
        ("Beyonce sang", "Beyoncé", False),
        ("Beyonce\u0301 sang", "Beyoncé", True),
        ("10% of it", "10 %", True),
        ("it rose by 110%", "10%", False),
        ("rock 'n' roll", "rock'n'roll", True),
        ("New York City", "york new", False),
        ("New\u00a0York\nCity", "new york city", True),
        ("what is this?", "?", True),
        ("東京 は", "東京", True),
    ],
)
def test_what_containing_means(document: str, answer: str, found: bool) -> None:
    assert (tokens(answer) in tokens(document)) is found
    assert contains(document, answer) is found


def test_passages_with_the_answer_are_no_negatives() -> None:
    [plain] = mining("bm25").mine(rows())["hard_negative_ids"]
    assert {"d1", "d2", "d3", "d4", "d5"} == set(plain)
    [left] = mining().mine(rows())["hard_negative_ids"]
    assert left == [name for name in plain if name not in ("d1", "d4")]
    promoted = mining("bm25+answer(promote=True)").mine(rows())
    assert promoted["hard_negative_ids"] == [left]
    assert [set(names) for names in promoted["promoted_ids"]] == [{"d1", "d4"}]


@pytest.mark.parametrize(
    ("answers", "gone"),
    [
        (("prince", "village"), {"d2", "d3"}),
        ("prince", {"d2"}),  # one text a row
        ((), set()),
        (None, set()),
        ((QUESTION,), set()),  # the question itself, which no passage holds
        (("hamlet",), {"d1", "d2", "d3", "d4", "d5"}),
    ],
)
def test_answers_of_any_number(answers: Any, gone: set[str]) -> None:
    data = rows(answers).cast_column("answers", rows(answers).features["answers"])
    if answers in ((), None):
        data = data.remove_columns("answers")
        kind = pa.list_(pa.string())
        data = Dataset(data.data.table.append_column("answers", pa.array([answers], kind)))
    [left] = mining().mine(data)["hard_negative_ids"]
    assert {"d1", "d2", "d3", "d4", "d5"} - set(left) == gone


def test_every_way_of_mining_gives_the_same() -> None:
    data = rows()
    expected = mining().mine(data)
    names = expected["hard_negative_ids"]
    assert names == mining().select(mining("bm25").retrieve(data))["hard_negative_ids"]
    mapped = data.map(mining(positives=data), batched=True)
    assert mapped["hard_negative_ids"] == names
    assert mapped["answers"] == data["answers"]
    arrow = data.with_format("arrow").map(mining(positives=data), batched=True)
    assert arrow.with_format(None)["hard_negative_ids"] == names
    stream = mining().mine(data.to_iterable_dataset())
    assert isinstance(stream, IterableDataset)
    assert [row["hard_negative_ids"] for row in stream] == list(names)
    both = mining().mine(DatasetDict(a=data, b=data))
    assert both["b"]["hard_negative_ids"] == names
    for form in ("n-tuple", "triplet", "labeled-list"):
        written = mining(num_negatives=2).mine(data, form)
        assert "answers" not in written.column_names
        assert not any("William Shakespeare, they" in str(row) for row in written)


def test_workers_do_the_same() -> None:
    data = Dataset.from_dict(
        {
            "query": [QUESTION, "a play", "a village", "a prince"],
            "positive": [DOCUMENTS[name] for name in ("gold", "d2", "d3", "d5")],
            "answers": [["William Shakespeare"], ["prince"], [], ["Hamlet", "two names"]],
        }
    )
    expected = mining().mine(data)
    assert_same_rows(mining().mine(data, num_proc=2, resume=False), expected)


def test_other_answers_are_another_result() -> None:
    """The column is part of what finished parts are known by."""
    assert (
        mining().mine(rows())["hard_negative_ids"]
        != mining().mine(rows(("prince",)))["hard_negative_ids"]
    )


def test_the_column_may_have_another_name() -> None:
    data = rows().rename_column("answers", "solutions")
    miner = mining("bm25+answer(answers_column='solutions')")
    assert miner.mine(data)["hard_negative_ids"] == mining().mine(rows())["hard_negative_ids"]


def missing(data: Any, miner: OfflineMiner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BM25Retriever, "search", lambda *_: pytest.fail("work was begun"))
    monkeypatch.setattr(BM25Retriever, "prepare", lambda *_: pytest.fail("work was begun"))
    said = r"'answer' reads the column 'answers'.*Did you mean 'answer'.*query, positive, answer"
    with pytest.raises(ColumnError, match=said):
        miner.mine(data)


def test_a_missing_column_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rows().rename_column("answers", "answer")
    missing(data, mining(), monkeypatch)
    missing(data.to_iterable_dataset(), mining(), monkeypatch)
    missing(DatasetDict(a=rows(), b=data), mining(), monkeypatch)
    with pytest.raises(ColumnError, match="'answer' reads the column 'answers'"):
        data.map(mining(positives=data), batched=True)


def test_a_pool_needs_the_column_too() -> None:
    pool = mining("bm25").retrieve(rows().remove_columns("answers"))
    with pytest.raises(ColumnError, match="'answer' reads the column 'answers'"):
        mining().select(pool)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (("fine", ""), r"column 'answers', row 1: a value is '' \(str\)"),
        ((" \n",), r"row 1: a value is ' \\n' "),
        ((3,), r"row 1: a value is 3 \(int\)"),
        ({"text": ["a"], "start": [1]}, r"row 1: a value is \{'text'.*dataset.flatten\(\)"),
    ],
)
def test_answers_that_cannot_be_used(
    answers: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ("x",) if not isinstance(answers, dict) else None
    first = (3,) if answers == (3,) else first
    columns = {
        "query": ["q", QUESTION],
        "positive": ["p", DOCUMENTS["gold"]],
        "answers": [first if first is None else list(first), answers],
    }
    columns["answers"] = [
        list(value) if isinstance(value, tuple) else value for value in columns["answers"]
    ]
    monkeypatch.setattr(BM25Retriever, "prepare", lambda *_: pytest.fail("work was begun"))
    if answers == (3,):
        said = said.replace("row 1", "row 0")
    with pytest.raises(QueryError, match=said):
        mining().mine(Dataset.from_dict(columns))


def test_an_answer_of_invisible_signs_is_refused() -> None:
    """It has no token, and the empty run of tokens stands in every document."""
    with pytest.raises(QueryError, match=r"'\\u200b', an answer of.*who wrote.*no letter"):
        mining().mine(rows(("\u200b",)))


def test_a_retriever_object_and_the_contract() -> None:
    corpus = Corpus(DOCUMENTS)
    retriever = BM25Retriever(corpus, top_k=6)
    queries = make_queries(
        corpus, [QUESTION, "a play", "village"], [[DOCUMENTS["gold"]], ["x", "y"], ["z"]]
    )
    queries = replace(queries, further={"answers": [["william shakespeare"], [], ["prince", "a"]]})
    for promote in (False, True):
        check_veto(AnswerFilter(promote=promote), queries, retriever.retrieve(queries), corpus)
    found = retriever.retrieve(queries)
    lines, slots = np.nonzero(found.filled)
    with pytest.raises(ColumnError, match="come without the column 'answers'; they have none"):
        AnswerFilter().judge(replace(queries, further={}), found, lines, slots, corpus)
    miner = OfflineMiner(retriever, filters=[AnswerFilter()], num_negatives=5)
    assert (
        miner.mine(rows())["hard_negative_ids"]
        == mining("bm25@6+answer").mine(rows())["hard_negative_ids"]
    )


def test_where_nobody_asks_nothing_is_read() -> None:
    """A column that no stage reads may hold anything, and leaves no trace in the recipe."""
    odd = rows(({"x": 1},))
    assert mining("bm25").mine(odd)["hard_negative_ids"]
    plan = mining("bm25")._plan()
    assert plan.reader.further == {}
    assert mining()._plan().reader.further == {"answers": "answer"}
    assert mining()._plan().reader.bare.further == {}


@pytest.mark.parametrize("name", ["", None, 3])
def test_parameters_that_cannot_be(name: Any) -> None:
    said = re.escape(f"answer: answers_column={name!r}; expected the name")
    with pytest.raises(ParameterError, match=said):
        AnswerFilter(answers_column=name)
