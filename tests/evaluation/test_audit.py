"""The audit against a plain count of the same things, row by row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation import audit_truncated
from hf_hardneg.evaluation.audit import audit
from hf_hardneg.evaluation.audit_report import Audit
from hf_hardneg.evaluation.audit_use import HUB_LEAST, HUB_TIMES, spans
from hf_hardneg.evaluation.spool import Spool, counted
from hf_hardneg.evaluation.text_facts import TextFacts
from hf_hardneg.hashing import exact_key, normalize_text, text_key
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.near_texts import shingles

TEXTS = List(Value("string"))
FEATURES = Features({"query": Value("string"), "positive": TEXTS, "positive_ids": TEXTS,
                     "hard_negatives": TEXTS, "hard_negative_ids": TEXTS,
                     "hard_negative_scores": List(Value("float32")),
                     "hard_negative_positive_scores": List(Value("float32"))})  # fmt: skip

Row = dict[str, Any]


def row(query: str, positives: list[str], negatives: list[Any], **given: Any) -> Row:
    """A row whose ids and scores are beyond reproach, but for what is given."""
    mark = f"{query}/{positives}/{negatives}"
    return {
        "query": query,
        "positive": positives,
        "positive_ids": [f"p{place}{mark}" for place in range(len(positives))],
        "hard_negatives": negatives,
        "hard_negative_ids": [f"n{place}{mark}" for place in range(len(negatives))],
        "hard_negative_scores": [0.9 - place / 100 for place in range(len(negatives))],
        "hard_negative_positive_scores": [1.0] * len(positives),
        **given,
    }


def mined_set(rows: list[Row]) -> MinedSet:
    columns = {name: [one[name] for one in rows] for name in FEATURES}
    return MinedSet.of(Dataset.from_dict(columns, features=FEATURES))


def found(rows: list[Row], **settings: Any) -> Audit:
    return audit(mined_set(rows), **settings)


WORDS = ["a", "A", " a ", "b", "B", "c", "\uff43", "", "  ", "d e", "D  E", None]
SCORES = [0.5, 0.25, 1.0, None]


@st.composite
def made_rows(draw: st.DrawFn) -> list[Row]:
    rows = []
    for _ in range(draw(st.integers(1, 9))):
        positives = draw(st.lists(st.sampled_from(WORDS), max_size=2))
        negatives = draw(st.lists(st.sampled_from(WORDS), max_size=4))
        ids = st.sampled_from(["1", "2", "3", "4", "", None])
        rows.append(
            {
                "query": draw(st.sampled_from(["q", "Q", "other", "", None])),
                "positive": positives,
                "positive_ids": [draw(ids) for _ in positives],
                "hard_negatives": negatives,
                "hard_negative_ids": [draw(ids) for _ in negatives],
                "hard_negative_scores": [draw(st.sampled_from(SCORES)) for _ in negatives],
                "hard_negative_positive_scores": [draw(st.sampled_from(SCORES)) for _ in positives],
            }
        )
    return rows


def key(text: str | None) -> str:
    return normalize_text(text or "")


def plain(rows: list[Row]) -> dict[str, list[tuple[int, int]]]:
    """Every case of every check, as (row, place), the plain way."""
    cases: dict[str, list[tuple[int, int]]] = {}

    def add(name: str, number: int, place: int = -1) -> None:
        cases.setdefault(name, []).append((number, place))

    usual = Counter(len(one["hard_negatives"]) for one in rows)
    expected = max(usual, key=lambda size: (usual[size], size))
    before = []
    for number, one in enumerate(rows):
        positives, negatives = one["positive"], one["hard_negatives"]
        keys = {key(text) for text in positives if key(text)}
        ids = {name for name in one["positive_ids"] if name}
        known = [x for x in one["hard_negative_positive_scores"] if x is not None]
        scores = [x for x in one["hard_negative_scores"] if x is not None]
        for place, text in enumerate(negatives):
            name = one["hard_negative_ids"][place]
            own = key(text) in keys or name in ids
            if own:
                add("own_positive", number, place)
            again = key(text) and key(text) in map(key, negatives[:place])
            if again or (name and name in one["hard_negative_ids"][:place]):
                add("repeated_in_row", number, place)
            siblings = {
                key(other) for at, two in enumerate(rows) if at != number
                and key(one["query"]) and key(two["query"]) == key(one["query"])
                for other in two["positive"] if key(other)
            }  # fmt: skip
            if key(text) in siblings and not own:
                add("sibling_positive", number, place)
            score = one["hard_negative_scores"][place]
            if score is None:
                add("missing_score", number, place)
            elif known and score > max(known):
                add("outscores_positive", number, place)
        texts = [one["query"] or ""] + [x for x in (*positives, *negatives) if x is not None]
        if any(not key(text) for text in texts):
            add("empty_text", number)
        if None in (*positives, *negatives):
            add("missing_document", number)
        if len(scores) > 1 and len(set(scores)) == 1:
            add("constant_scores", number)
        if len(negatives) < expected:
            add("short_row", number)
        whole = [key(one["query"]), list(map(key, positives)), list(map(key, negatives))]
        if whole in before:
            add("repeated_row", number)
        before.append(whole)
    return cases


CHECKED = ("own_positive", "repeated_in_row", "sibling_positive", "missing_score",
           "outscores_positive", "empty_text", "missing_document", "constant_scores", "short_row",
           "repeated_row")  # fmt: skip


@given(rows=made_rows(), size=st.sampled_from([1, 2, 5, 100]))
def test_against_a_plain_count(rows: list[Row], size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MinedSet.batches

    def batches(mined: MinedSet) -> Iterator[MinedBatch]:
        return whole(mined, size)

    with monkeypatch.context() as patch:
        patch.setattr(MinedSet, "batches", batches)
        result = found(rows, examples=100)
    expected = plain(rows)
    for name in CHECKED:
        finding, cases = result.of(name), expected.get(name, [])
        shown = [(x.row, -1 if x.place is None else x.place) for x in finding.examples]
        assert (name, shown) == (name, cases)
        assert finding.count == len(cases)
        assert finding.rows == len({number for number, _ in cases})
    assert result.of("uneven_lists").count == 0
    json.loads(result.to_json())


def test_a_clean_set_has_no_findings() -> None:
    rows = [row(f"query {n}", [f"positive {n}"], [f"x {n}", f"y {n}"]) for n in range(50)]
    result = found(rows)
    assert [one.name for one in result.findings if one.found] == []
    assert result.errors == 0
    assert {one.name for one in result.unchecked} == {
        "evaluation_query", "evaluation_document_as_negative", "evaluation_document_as_positive"
    }  # fmt: skip
    assert result.verdict == "0 errors and 0 warnings in 14 checks; 3 not checked."


def test_how_an_own_positive_was_recognised() -> None:
    rows = [row("q", ["The text"], ["The text", "the  TEXT", "else"], positive_ids=["1"],
                hard_negative_ids=["8", "9", "1"])]  # fmt: skip
    notes = [one.note for one in found(rows).of("own_positive").examples]
    assert notes == ["the same text", "the same text after normalisation only", "the same id"]
    assert found(rows).of("own_positive").parts == {
        "the same id": 1, "the same text": 1, "the same text after normalisation only": 1
    }  # fmt: skip


def test_hubs() -> None:
    """The most used document, and nothing that is used as often as most are."""
    rows = [row(f"q{n}", ["p"], [f"x{n}", f"y{n}", "The Hub" if n % 2 else "the hub"])
            for n in range(HUB_LEAST + 1)]  # fmt: skip
    finding = found(rows, examples=3).of("hub_document")
    uses = [1] * (2 * len(rows)) + [len(rows)]
    assert len(rows) > HUB_TIMES * np.mean(uses)
    assert (finding.count, finding.rows) == (len(rows), len(rows))
    assert [(one.row, one.place, one.note) for one in finding.examples] == [
        (0, 2, f"a negative {len(rows)} times")
    ]
    spread = np.asarray(uses, np.float64) - np.mean(uses)
    skewness = (spread**3).mean() / (spread**2).mean() ** 1.5
    assert finding.figures["skewness"] == pytest.approx(skewness, abs=1e-3)
    assert finding.figures["documents_used"] == len(uses)
    assert found(rows[1:]).of("hub_document").count == 0  # 20 times and no more


def test_the_order_of_rows_does_not_decide_whether_texts_were_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of very many documents of one length some are looked at: always the same ones."""
    monkeypatch.setattr(audit_truncated, "ENOUGH", 40)
    batches = MinedSet.batches
    monkeypatch.setattr(MinedSet, "batches", lambda mined: batches(mined, 10))
    whole = [f"{number:03} " + "a" * 115 + "." for number in range(50)]
    cut = [f"{number:03} " + "a" * 116 for number in range(50, 150)]
    rows = [row(f"q{n}", ["p"], [text]) for n, text in enumerate([*whole, *cut])]
    counts = [found(own).of("truncated_text").count for own in (rows, rows[::-1])]
    assert counts == [100, 100]


def test_texts_that_were_cut() -> None:
    sentence = "a sentence of some length that somebody has written down "

    def rows(number: int, cut: int | None, end: str = "") -> list[Row]:
        made = [f"{n} {sentence * (4 + n % 3)}" for n in range(number)]
        return [row(f"q{n}", ["p"], [text[:cut] + end, f"short {n}"])
                for n, text in enumerate(made)]  # fmt: skip

    finding = found(rows(30, 200)).of("truncated_text")
    assert (finding.count, finding.rows) == (30, 30)
    assert finding.figures == {"cut_at_characters": 200}
    assert finding.examples[0].negative == f"0 {sentence * 4}"[:200]
    for innocent in (rows(19, 200), rows(30, None), rows(30, 200, "."), rows(30, 90)):
        assert found(innocent).of("truncated_text").count == 0
    # One document in thirty rows is one document.
    same = [row(f"q{n}", ["p"], [(sentence * 4)[:200]]) for n in range(30)]
    assert found(same).of("truncated_text").count == 0
    words = [row(f"q{n}", ["p"], [" ".join(f"{'w' * (n % 7 + 1)}{n}" for _ in range(40))])
             for n in range(30)]  # fmt: skip
    assert found(words).of("truncated_text").figures == {"cut_at_words": 40}


@pytest.mark.parametrize(
    ("text", "ended"),
    [("It ends.", True), ("It ends?  ", True), ('He said "no."', True), ("(It ends.)", True),
     ("終わり。", True), ("As told [1].", True), ("As told.[12]", True),
     ("It ends" + " " * 40, False), ("It ends." + " " * 40, True),
     ("and then", False), ("and so on…", False), ("a list,", False)],
)  # fmt: skip
def test_how_a_text_ends(text: str, ended: bool) -> None:
    facts = TextFacts().of(pa.array([text]))
    assert facts.ended.tolist() == [ended]


@given(
    texts=st.lists(st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["a", "A  b", " "]))),
    limit=st.integers(1, 5),
)
def test_facts_of_texts_whatever_is_remembered(texts: list[str | None], limit: int) -> None:
    texts = [text for text in texts if text is None or text.isprintable()]
    facts = TextFacts(limit)
    for start in range(0, len(texts), 4):
        part = texts[start : start + 4]
        known = facts.of(pa.array(part, pa.string()))
        assert known.keys.tolist() == [text_key(text or "") for text in part]
        assert known.exact.tolist() == [exact_key(text or "") for text in part]
        assert known.characters.tolist() == [len(text or "") for text in part]
        assert known.words.tolist() == [len(key(text).split()) for text in part]
        assert known.there.tolist() == [text is not None for text in part]


def test_near_duplicates_against_a_plain_jaccard() -> None:
    base = " ".join(f"w{place}" for place in range(40))
    others = [base + " more", base.replace("w20", "x"), base.upper(), base[:60], base + base]
    rows = [row("q", [base, ""], others)]
    finding = found(rows, examples=10).of("near_duplicate")
    expected = []
    for place, text in enumerate(others):
        one, two = shingles(base, 3), shingles(text, 3)
        near = len(one & two) / len(one | two)
        if near >= 0.8 and key(text) != key(base):
            expected.append((place, f"resemblance {near:.2f}"))
    assert expected
    assert [(one.place, one.note) for one in finding.examples] == expected


def test_near_duplicates_are_looked_for_in_rows_drawn_by_their_query() -> None:
    rows = [row(f"query {n}", ["one two three four"], ["one two three four five six"] * 2)
            for n in range(400)]  # fmt: skip
    result = found(rows, near_duplicates=100, examples=0)
    drawn = result.of("near_duplicate").figures["rows_looked_at"]
    assert 60 < drawn < 140
    assert result.of("near_duplicate").checked == 2 * drawn
    assert f"{drawn} rows, drawn" in result.of("near_duplicate").about
    turned = found(rows[::-1], near_duplicates=100, examples=0)
    assert turned.of("near_duplicate").figures["rows_looked_at"] == drawn
    assert "--near-duplicates 0" in found(rows, near_duplicates=0).of("near_duplicate").skipped


def test_lists_of_unequal_length_are_not_taken_for_others() -> None:
    rows = [
        row("a", ["p"], ["x", "y"], hard_negative_scores=[2.0]),
        row("b", ["p"], ["x", "y"], hard_negative_ids=["pa", "i", "j"], positive_ids=["pa"]),
        row("c", ["p"], ["x", "y"], hard_negative_scores=[]),
        row("d", ["p"], ["x", "y"], hard_negative_scores=[2.0, 0.5]),
    ]
    result = found(rows)
    assert [one.row for one in result.of("uneven_lists").examples] == [0, 1]
    assert result.of("own_positive").count == 0
    assert [(one.row, one.place) for one in result.of("outscores_positive").examples] == [(3, 0)]
    assert result.of("missing_score").count == 4


def test_what_the_set_does_not_tell_is_not_checked() -> None:
    bare = Dataset.from_dict({"anchor": ["a"], "positive": ["p"], "negative": ["n"]})
    result = audit(MinedSet.of(bare))
    skipped = {one.name: one.skipped for one in result.unchecked}
    for name in ("missing_score", "constant_scores", "outscores_positive"):
        assert "scores" in skipped[name]
        assert result.of(name).count is None
        assert result.of(name).to_dict()["share"] is None
    assert any("matched by their texts" in note for note in result.notes)
    apart = Dataset.from_dict({"query": ["a"], "positive": ["p"], "negative_ids": [["1"]]})
    result = audit(MinedSet.of(apart))
    for name in ("own_positive", "sibling_positive"):
        assert "--corpus" in result.of(name).skipped
    assert "Not checked: own positive as negative" in str(result)


def test_leakage(tmp_path: Path) -> None:
    rows = [row("Held  OUT", ["p"], ["x", "Gold"]), row("b", ["gold "], ["y", "z"])]
    evaluation = Dataset.from_dict({"query": ["held out", "c", ""], "positive": ["gold", "q", ""]})
    result = found([*rows, row("", ["p"], ["m", "n"])], evaluation=evaluation)
    assert [one.row for one in result.of("evaluation_query").examples] == [0]
    negatives = result.of("evaluation_document_as_negative")
    positives = result.of("evaluation_document_as_positive")
    assert [(one.row, one.place) for one in negatives.examples] == [(0, 1)]
    assert (positives.count, positives.rows) == (1, 1)
    assert negatives.severity == positives.severity == "info"
    assert result.of("evaluation_query").severity == "error"
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"_id": "1", "text": "held out"}\n')
    only = found(rows, evaluation=queries)
    assert only.of("evaluation_query").count == 1
    assert "names no relevant documents" in only.of("evaluation_document_as_negative").skipped


def test_leakage_from_a_folder_is_of_its_test_split(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "gold"}\n'
                                           '{"_id": "d2", "text": "x"}\n')  # fmt: skip
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "1", "text": "a"}\n{"_id": "2", "text": "b"}\n'
    )
    for split, line in (("train", "1\td2\t1"), ("test", "2\td1\t1")):
        (tmp_path / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{line}\n")
    rows = [row("a", ["p"], ["x", "gold"]), row("b", ["p2"], ["y", "z"])]
    result = found(rows, evaluation=tmp_path)
    assert [one.row for one in result.of("evaluation_query").examples] == [1]
    assert result.of("evaluation_document_as_negative").count == 1
    train = found(rows, evaluation=tmp_path, evaluation_split="train")
    assert [one.row for one in train.of("evaluation_query").examples] == [0]


def test_rows_by_their_number_of_negatives() -> None:
    rows = [row(f"q{n}", [f"p{n}"], [f"{n} {m}" for m in range(size)])
            for n, size in enumerate([5, 5, 3, 0, 6])]  # fmt: skip
    finding = found(rows).of("short_row")
    assert finding.figures["expected"] == 5
    assert finding.parts == {"without any": 1, "with 3": 1}
    asked = found(rows, num_negatives=6).of("short_row")
    assert asked.count == 4
    assert "6 negatives, as asked" in asked.about


@pytest.mark.parametrize("name", ["examples", "near_duplicates"])
def test_numbers_out_of_range(name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        found([row("q", ["p"], ["n"])], **{name: -1})


@given(values=st.lists(st.integers(1, 6), min_size=1), part=st.integers(1, 5))
def test_counting_in_parts(
    values: list[int], part: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "numbers", np.uint64)
    spool.add(np.asarray([*values, 0, 0], np.uint64))
    seen: dict[int, int] = {}
    for keys, counts in counted(spool, part):
        assert not set(keys.tolist()) & set(seen)
        seen |= dict(zip(keys.tolist(), counts.tolist(), strict=True))
    assert seen == Counter(values)
    assert [x for _, chunk in spool.chunks(2) for x in chunk.tolist()] == [*values, 0, 0]
    spool.close()


@given(sizes=st.lists(st.integers(0, 4), min_size=1), rows=st.integers(1, 3))
def test_spans_of_rows(
    sizes: list[int], rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    counts, numbers = Spool(folder / "counts", np.int32), Spool(folder / "numbers", np.uint64)
    counts.add(np.asarray(sizes))
    numbers.add(np.arange(sum(sizes)))
    seen, row_numbers = [], []
    for start, offsets, (own,) in spans(counts, numbers, rows=rows):
        row_numbers.append(start)
        assert len(own) == offsets[-1]
        seen += own.tolist()
    assert seen == list(range(sum(sizes)))
    assert row_numbers == list(range(0, len(sizes), rows))
    counts.close()
    numbers.close()
