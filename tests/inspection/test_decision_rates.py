"""Rates of another decision: against counting by hand, and against mining with hidden positives."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from inspection.decision_cases import Mined, docstring_corpus, docstring_rows, docstrings, mine

from hf_hardneg import OfflineMiner
from hf_hardneg.beir import read_qrels
from hf_hardneg.evaluation.false_negatives import hidden_positive_rate
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.hashing import normalize_text
from hf_hardneg.inspection.decision import decide
from hf_hardneg.inspection.set_comparison import compare_sets
from hf_hardneg.inspection.sliders import Sliders, own_sliders, strategy_string
from hf_hardneg.rates import Rate

ROWS = 60


@lru_cache(maxsize=1)
def plain() -> Mined:
    return mine("bm25@30+margin", docstring_rows(ROWS), docstring_corpus())


def relevant(query: str, name: str) -> bool:
    """A rule that some negatives meet: the first letters of both are the same."""
    return (len(query) + len(name)) % 3 == 0


def labels(which: Any, **values: Any) -> Labels:
    """Return a label of every candidate of the pool that ``which(row, place)`` takes."""
    pool = plain().inspected.pool
    assert pool is not None
    rows = []
    for row in (pool.at(number) for number in range(len(pool))):
        for place, name in enumerate(row["candidate_ids"]):
            if which(row, place):
                said = "false_negative" if relevant(row["query"], name) else "true_negative"
                rows.append(Label(query_id=row["query_id"], query=row["query"], document_id=name,
                                  label=said, **values))  # fmt: skip
    return Labels(rows)


def everything(row: dict[str, Any], place: int) -> bool:
    return row["candidate_outcomes"][place] not in ("known-positive", "positive-text", "query-text")


def rate_of(found: Labels, sliders: Sliders, **options: Any) -> Rate:
    return decide(plain().inspected, 10, sliders, labels=found, **options).rates[0]


def exact(sliders: Sliders) -> tuple[int, int]:
    """Return how many of all that is chosen are relevant, and how many are chosen."""
    rows = decide(plain().inspected, 10_000, sliders).rows
    pairs = {(row.query_id, row.query, name) for row in rows for name in row.chosen}
    return sum(relevant(query, name) for _, query, name in pairs), len(pairs)


SLIDERS = (
    Sliders(margin=0.05, relative=True),
    Sliders(margin=0.4, relative=True, num_negatives=7),
    Sliders(first_rank=5, num_negatives=3),
)


@pytest.mark.parametrize("sliders", SLIDERS)
def test_labels_of_all_candidates_count_exactly(sliders: Sliders) -> None:
    false, n = exact(sliders)
    for found in (labels(everything, weight=1.0, depth=30), labels(everything)):
        rate = rate_of(found, sliders)
        assert rate.n == n
        assert rate.rate == pytest.approx(false / n)
        assert rate.low is not None
        assert rate.low < false / n
        assert any("drawn pairs are chosen" in said for said in rate.assumed)
        json.dumps(rate.to_dict(), allow_nan=False)


def test_weights_are_those_of_the_draw() -> None:
    """Every second candidate, of double weight below rank ten, is weighed as it was drawn."""
    sliders = SLIDERS[1]

    def drawn(row: dict[str, Any], place: int) -> bool:
        deep = row["candidate_ranks"][place] > 10
        return everything(row, place) and (not deep or place % 2 == 0)

    rows = [
        replace(row, weight=2.0 if rank > 10 else 1.0)
        for row, rank in zip(labels(drawn), ranks(drawn), strict=True)
    ]
    rate = rate_of(Labels(rows), sliders)
    own = {
        (row.query_id, name)
        for row in decide(plain().inspected, 10_000, sliders).rows
        for name in row.chosen
    }
    kept = {row.pair: row for row in rows if row.pair in own}.values()
    weights = sum(row.weight or 0 for row in kept)
    hits = sum(row.weight or 0 for row in kept if row.label == "false_negative")
    assert rate.rate == pytest.approx(hits / weights)
    assert rate.rate != pytest.approx(
        sum(row.label == "false_negative" for row in kept) / len(kept), abs=1e-6
    )


def ranks(which: Any) -> list[int]:
    pool = plain().inspected.pool
    assert pool is not None
    return [
        row["candidate_ranks"][place]
        for row in (pool.at(number) for number in range(len(pool)))
        for place in range(len(row["candidate_ids"]))
        if which(row, place)
    ]


def test_labels_of_the_set_say_nothing_of_what_it_has_not() -> None:
    def own(row: dict[str, Any], place: int) -> bool:
        return bool(row["candidate_outcomes"][place] == "chosen")

    found = labels(own, weight=1.0)
    same = rate_of(found, own_sliders(plain().inspected))
    assert same.rate is not None
    stricter = rate_of(found, Sliders(margin=0.05, relative=True, num_negatives=2))
    assert stricter.rate is not None
    assert stricter.n < same.n
    other = rate_of(found, Sliders(margin=0.5, relative=True))
    assert other.rate is None
    assert "none of these was drawn" in other.why
    assert other.details["of_these_added"] > 0


def test_labels_that_took_part_in_choosing_the_set_give_no_rate(tmp_path: Path) -> None:
    first = mine("bm25@30", docstring_rows(40), docstring_corpus())
    drawn = [
        Label(query_id=row["query_id"], query=row["query"], document_id=name, weight=1.0,
              label="true_negative" if place else "false_negative")
        for row in first.mined for place, name in enumerate(row["hard_negative_ids"])
    ]  # fmt: skip
    found = Labels(drawn)
    path = found.write(tmp_path / "labels.jsonl")
    second = mine(f"bm25@30+labelled(labels='{path}')", docstring_rows(40), docstring_corpus())
    rate = decide(second.inspected, 10_000, own_sliders(second.inspected), labels=found).rates[0]
    assert rate.rate is None
    assert "took part in choosing" in rate.why
    fewer = Sliders(num_negatives=2)  # nothing is added that was not labelled
    rate = decide(second.inspected, 10_000, fewer, labels=found).rates[0]
    assert rate.rate is None, rate.rate
    compared = compare_sets(first.inspected, second.inspected, labels=found)
    assert compared.a.rates[-1].rate == pytest.approx(0.2)
    assert compared.b.rates[-1].rate is None
    assert "took part in choosing" in compared.b.rates[-1].why


def test_what_is_deeper_than_the_draw_has_no_rate() -> None:
    def near(row: dict[str, Any], place: int) -> bool:
        return everything(row, place) and row["candidate_ranks"][place] <= 6

    found = labels(near, weight=1.0, depth=6)
    assert rate_of(found, Sliders(last_rank=6)).rate is not None
    deeper = rate_of(found, Sliders(first_rank=3))
    assert deeper.rate is None
    assert "deeper than rank 6" in deeper.why


def test_labels_picked_by_hand_or_of_other_queries_give_no_rate() -> None:
    own = own_sliders(plain().inspected)
    by_hand = Labels([replace(row, stratum="hand-picked") for row in labels(everything)])
    assert rate_of(by_hand, own).rate is None
    others = Labels([replace(row, query_id="", query="another") for row in labels(everything)])
    assert "none of the queries" in rate_of(others, own).why
    nothing = rate_of(labels(everything), Sliders(lowest_score=1e6))
    assert "none of the pairs" in nothing.why


def test_documents_are_found_by_their_texts() -> None:
    texts = dict(docstrings().documents)
    own = own_sliders(plain().inspected)
    worded = {
        (row.query_id, normalize_text(texts[row.document_id])): replace(
            row, document_id="", document=texts[row.document_id].upper()
        )
        for row in labels(everything)
    }
    found = rate_of(Labels(worded.values()), own)
    assert found.rate is not None
    wanted = {
        (row.query_id, normalize_text(texts[name]))
        for row in decide(plain().inspected, 10_000, own).rows
        for name in row.chosen
    }
    assert found.n == len(wanted)


# -- hidden positives ----------------------------------------------------------------------------


def topics(number: int = 40, each: int = 4) -> tuple[dict[str, str], Dataset]:
    """Return documents of topics, some of them copies, and queries with several positives."""
    texts, queries, ids = {}, [], []
    for topic in range(number):
        words = [f"t{topic}", f"u{topic % 7}", f"v{topic % 5}"]
        for place in range(each + 3):
            texts[f"{topic}-{place}"] = " ".join([*words, *(["more"] * place), f"w{place}"])
        queries.append(f"t{topic} u{topic % 7} v{topic % 5}")
        ids.append([f"{topic}-{place}" for place in range(each if topic % 4 else 1)])
    texts |= {f"copy-{topic}": texts[f"{topic}-1"].upper() for topic in range(0, number, 3)}
    return texts, Dataset.from_dict({"query": queries, "positive_ids": ids})


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize(
    "strategy", ["bm25@20", "bm25@20+margin(margin=0.01)", "bm25@20+rank(range_min=3)+random"]
)
def test_hidden_positives_as_mining_finds_them(strategy: str, seed: int) -> None:
    texts, rows = topics()
    case = mine(strategy, rows, texts)
    for sliders in (own_sliders(case.inspected), Sliders(first_rank=2, last_rank=9)):
        found = decide(case.inspected, 1000, sliders, seed=seed).rates[-1]
        miner = OfflineMiner(
            strategy_string(case.inspected, sliders), corpus=texts, num_negatives=5
        )
        wanted = hidden_positive_rate(miner, rows, seed=seed)
        assert wanted.rate
        assert (found.rate, found.n, found.low, found.high) == (
            wanted.rate, wanted.n, wanted.low, wanted.high
        )  # fmt: skip
        assert found.details["positives_hidden"] == wanted.details["positives_hidden"]
        assert found.details["queries_used"] == wanted.details["queries_used"]


def test_hidden_positives_of_real_judgements(cacm_path: Path) -> None:
    corpus = {
        row["_id"]: f"{row.get('title', '')} {row['text']}".strip()
        for row in Dataset.from_json(str(cacm_path / "corpus.jsonl"))
    }
    queries = {
        row["_id"]: row["text"] for row in Dataset.from_json(str(cacm_path / "queries.jsonl"))
    }
    ids: dict[str, list[str]] = {}
    for query, name, grade in read_qrels(next((cacm_path / "qrels").glob("*.tsv"))):
        if grade > 0:
            ids.setdefault(query, []).append(name)
    rows = Dataset.from_dict(
        {"query_id": list(ids), "query": [queries[name] for name in ids],
         "positive_ids": list(ids.values())}
    )  # fmt: skip
    case = mine("bm25@50+margin", rows, corpus)
    found = decide(case.inspected, 1000, own_sliders(case.inspected)).rates[-1]
    wanted = hidden_positive_rate(OfflineMiner("bm25@50+margin", corpus=corpus), rows)
    assert wanted.rate
    assert (found.rate, found.n, found.low) == (wanted.rate, wanted.n, wanted.low)


def test_where_hidden_positives_cannot_be_told_it_is_said() -> None:
    texts, rows = topics()
    other = mine("bm25@20+near-duplicate(threshold=0.9)", rows, texts)
    found = decide(other.inspected, 1000, own_sliders(other.inspected)).rates[-1]
    assert found.rate is None
    assert "never asked about known positives" in found.why
    single = decide(plain().inspected, 1000, own_sliders(plain().inspected)).rates[-1]
    assert single.rate is None
    assert "several positives of their own" in single.why


def test_positives_in_other_rows_make_a_row_unclear() -> None:
    texts, rows = topics()
    more = Dataset.from_dict(
        {"query": [*rows["query"], rows["query"][1].upper()],
         "positive_ids": [*rows["positive_ids"], ["1-5"]]}
    )  # fmt: skip
    case = mine("bm25@20", more, texts)
    found = decide(case.inspected, 1000, own_sliders(case.inspected)).rates[-1]
    assert found.details["rows_unclear"] == 1
    assert found.details["queries_used"] == 29
