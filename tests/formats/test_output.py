"""Output formats: the columns that trainers take, from what was chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from datasets import Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ParameterError, QueryError
from hf_hardneg.formats.output import OUTPUT_FORMATS, Chosen, output_format
from hf_hardneg.testing import make_queries

TEXTS = [f"document {number}" for number in range(9)]
Make = Callable[..., Chosen]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    documents = {f"id{number}": text for number, text in enumerate(TEXTS)}
    return Corpus(documents, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def make(corpus: Corpus) -> Make:
    """Return a function that makes chosen rows of lists of positives and negatives."""

    def call(
        positives: list[list[str]],
        negatives: list[list[int]],
        n: int = 3,
        ids: tuple[str, ...] = (),
    ) -> Chosen:
        queries = make_queries(
            corpus, [f"query {place}" for place in range(len(positives))], positives, ids=ids
        )
        rows = np.full((len(positives), n), -1, dtype=np.int64)
        for line, chosen in enumerate(negatives):
            rows[line, : len(chosen)] = chosen
        scores = np.where(rows >= 0, rows / 2, np.nan).astype(np.float32)
        return Chosen(queries, rows, scores, corpus)

    return call


@pytest.fixture(scope="module")
def chosen(make: Make) -> Chosen:
    """Three queries: two positives and all negatives; one of each; no negative."""
    return make([[TEXTS[0], "not a document"], [TEXTS[1]], [TEXTS[2]]], [[3, 4, 5], [6], []])


def columns_of(name: str, chosen: Chosen) -> tuple[dict[str, list[object]], list[int] | None]:
    """Return the columns as Python lists, and the lines; the types must be those announced."""
    form = output_format(name)
    columns, lines = form.columns(chosen)
    announced = form.features(chosen.rows.shape[1]).arrow_schema
    assert list(columns) == announced.names
    for field in announced:
        assert columns[field.name].type == field.type, field.name
    values = {key: array.to_pylist() for key, array in columns.items()}
    assert len({len(column) for column in values.values()}) == 1
    return values, None if lines is None else lines.tolist()


def test_list_columns(chosen: Chosen) -> None:
    values, lines = columns_of("columns", chosen)
    assert lines is None
    assert values["hard_negatives"] == [TEXTS[3:6], [TEXTS[6]], []]
    assert values["hard_negative_ids"] == [["id3", "id4", "id5"], ["id6"], []]
    assert values["hard_negative_scores"] == [[1.5, 2.0, 2.5], [3.0], []]


def test_a_missing_score_is_null(make: Make) -> None:
    chosen = make([[TEXTS[0]]], [[3, 4]])
    scores = np.array([[np.nan, 0.5, np.nan]], dtype=np.float32)
    values, _ = columns_of("columns", Chosen(chosen.queries, chosen.rows, scores, chosen.corpus))
    assert values["hard_negative_scores"] == [[None, 0.5]]


def test_triplets(chosen: Chosen) -> None:
    values, lines = columns_of("triplet", chosen)
    assert lines == [0] * 6 + [1]
    assert values["anchor"] == ["query 0"] * 6 + ["query 1"]
    assert values["positive"] == [TEXTS[0]] * 3 + ["not a document"] * 3 + [TEXTS[1]]
    assert values["negative"] == TEXTS[3:6] * 2 + [TEXTS[6]]


def test_n_tuples(chosen: Chosen) -> None:
    values, lines = columns_of("n-tuple", chosen)
    assert lines == [0, 0]
    assert values == {
        "anchor": ["query 0"] * 2,
        "positive": [TEXTS[0], "not a document"],
        "negative_1": [TEXTS[3]] * 2,
        "negative_2": [TEXTS[4]] * 2,
        "negative_3": [TEXTS[5]] * 2,
    }


def test_labeled_pairs(chosen: Chosen) -> None:
    values, lines = columns_of("labeled-pair", chosen)
    assert lines == [0] * 5 + [1] * 2 + [2]
    assert values["passage"] == [
        TEXTS[0], "not a document", *TEXTS[3:6], TEXTS[1], TEXTS[6], TEXTS[2]
    ]  # fmt: skip
    assert values["label"] == [1, 1, 0, 0, 0, 1, 0, 1]
    assert values["anchor"] == [f"query {line}" for line in lines]


def test_labeled_lists(chosen: Chosen) -> None:
    values, lines = columns_of("labeled-list", chosen)
    assert lines == [0, 1, 2]
    assert values["anchor"] == ["query 0", "query 1", "query 2"]
    assert values["passages"] == [
        [TEXTS[0], "not a document", *TEXTS[3:6]], [TEXTS[1], TEXTS[6]], [TEXTS[2]]
    ]  # fmt: skip
    assert values["labels"] == [[1, 1, 0, 0, 0], [1, 0], [1]]


def test_ids(make: Make) -> None:
    chosen = make([[TEXTS[0], TEXTS[8]], [TEXTS[1]]], [[3, 4], []], ids=("a", "b"))
    values, lines = columns_of("ids", chosen)
    assert lines == [0, 1]
    assert values == {
        "query_id": ["a", "b"],
        "positive_ids": [["id0", "id8"], ["id1"]],
        "negative_ids": [["id3", "id4"], []],
    }


def test_ids_of_queries_that_have_none(make: Make) -> None:
    once, again = (make([[TEXTS[0]]] * 3, [[3]] * 3) for _ in range(2))
    names = once.query_ids()
    assert names == again.query_ids()
    assert len(set(names)) == 3


def test_ids_need_documents(chosen: Chosen) -> None:
    with pytest.raises(QueryError, match=r"every positive .*document of the corpus; 1 of this"):
        output_format("ids").columns(chosen)


def test_positives_by_id_have_the_texts_of_the_corpus(chosen: Chosen, corpus: Corpus) -> None:
    rows = np.where(chosen.queries.positive_rows < 0, 7, chosen.queries.positive_rows)
    queries = replace(chosen.queries, positive_texts=[], positive_rows=rows)
    by_id = replace(chosen, queries=queries)
    assert by_id.positive_texts().to_pylist() == [TEXTS[0], TEXTS[7], TEXTS[1], TEXTS[2]]


@pytest.mark.parametrize("name", OUTPUT_FORMATS)
def test_nothing_chosen_and_no_rows_have_the_same_types(name: str, make: Make) -> None:
    nothing, _ = columns_of(name, make([[TEXTS[0]], [TEXTS[1]]], [[], []]))
    assert len(nothing[next(iter(nothing))]) == {"triplet": 0, "n-tuple": 0}.get(name, 2)
    no_rows, _ = columns_of(name, make([], []))
    assert set(map(len, no_rows.values())) == {0}


def flat(chosen: Chosen) -> set[tuple[str, str, str]]:
    """Return every (query, positive, negative), by loops."""
    found = set()
    offsets, texts = chosen.queries.offsets, chosen.positive_texts().to_pylist()
    for line, query in enumerate(chosen.queries.texts):
        for positive in texts[offsets[line] : offsets[line + 1]]:
            for row in chosen.rows[line][chosen.rows[line] >= 0]:
                found.add((query, positive, TEXTS[row]))
    return found


def random_chosen(make: Make, seed: int) -> Chosen:
    rng = np.random.default_rng(seed)

    def some(low: int, high: int) -> NDArray[np.int64]:
        return rng.permutation(len(TEXTS))[: rng.integers(low, high)]

    number = int(rng.integers(1, 5))
    positives = [[TEXTS[row] for row in some(1, 4)] for _ in range(number)]
    return make(positives, [some(0, 4).tolist() for _ in range(number)])


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_all_formats_say_the_same(make: Make, seed: int) -> None:
    chosen = random_chosen(make, seed)
    every = flat(chosen)
    triplets, _ = columns_of("triplet", chosen)
    assert set(zip(*triplets.values(), strict=True)) == every
    assert len(triplets["anchor"]) == len(every)

    tuples, _ = columns_of("n-tuple", chosen)
    full = {query for line, query in enumerate(chosen.queries.texts) if chosen.rows[line, 2] >= 0}
    parts = zip(*tuples.values(), strict=True)
    found = {(anchor, positive, text) for anchor, positive, *texts in parts for text in texts}
    assert found == {entry for entry in every if entry[0] in full}

    lists, _ = columns_of("labeled-list", chosen)
    pairs, _ = columns_of("labeled-pair", chosen)
    listed = [
        (anchor, text, label)
        for anchor, texts, labels in zip(*lists.values(), strict=True)
        for text, label in zip(texts, labels, strict=True)
    ]
    assert listed == list(zip(*pairs.values(), strict=True))
    anchors = chosen.queries.texts
    for query in anchors:
        ones = [text for anchor, text, label in listed if anchor == query and label == 1]
        zeros = [text for anchor, text, label in listed if anchor == query and label == 0]
        assert {(query, one, zero) for one in ones for zero in zeros} == {
            entry for entry in every if entry[0] == query
        }


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ParameterError, match=r"'tripplet'.*labeled-pair.*Did you mean 'triplet'"):
        output_format("tripplet")
    with pytest.raises(ParameterError, match="output_format=None"):
        output_format(None)


def test_features_are_those_of_the_trainers() -> None:
    text = Value("string")
    assert output_format("n-tuple").features(2) == Features(
        {"anchor": text, "positive": text, "negative_1": text, "negative_2": text}
    )
    assert output_format("labeled-list").features(2) == Features(
        {"anchor": text, "passages": List(text), "labels": List(Value("int64"))}
    )
    for form in OUTPUT_FORMATS.values():
        assert form.about
        assert not any(pa.types.is_null(field.type) for field in form.features(3).arrow_schema)
