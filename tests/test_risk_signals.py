from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg import BM25Retriever, CallableEncoder, Corpus, DenseRetriever, HybridRetriever
from hf_hardneg.candidates import Candidates, Queries, known_positive
from hf_hardneg.hashing import exact_key
from hf_hardneg.risk_hidden import hidden_pairs, of_lines, one_shown
from hf_hardneg.risk_signals import over, signals_of
from hf_hardneg.testing import make_queries

WORDS = ["door", "lamp", "river", "stone", "cloud", "paper", "wheel"]
DOCUMENTS = [
    f"{WORDS[n % 7]} {WORDS[n % 5]} {WORDS[n % 3]} note {n}" for n in range(40)
]  # fmt: skip
QUERIES = ["door lamp", "river stone", "cloud", "paper wheel"]
POSITIVES = [[DOCUMENTS[0], DOCUMENTS[7]], [DOCUMENTS[2]], [DOCUMENTS[4], DOCUMENTS[11]],
             [DOCUMENTS[5], "a text that is no document"]]  # fmt: skip


def directions(texts: list[str]) -> np.ndarray:
    draws = [np.random.default_rng(exact_key(text)).normal(size=6) for text in texts]
    return np.array([draw / np.linalg.norm(draw) for draw in draws])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Queries]:
    home = tmp_path_factory.mktemp("risk")
    corpus = Corpus(DOCUMENTS, cache_dir=home)
    encoder = CallableEncoder(directions, name="directions", similarity="cosine")
    dense = DenseRetriever(corpus, model=encoder, top_k=12, cache_dir=home)
    bm25 = BM25Retriever(corpus, top_k=6, cache_dir=home)
    return dense, bm25, make_queries(corpus, QUERIES, POSITIVES)


def by_name(queries: Queries, found: Candidates, source: Any) -> dict[str, np.ndarray]:
    signals = signals_of(queries, found, source)
    return dict(zip(signals.names, np.moveaxis(signals.values, -1, 0), strict=True))


def test_signals_of_a_dense_retriever_one_by_one(parts: Any) -> None:
    dense, _, queries = parts
    found = dense.retrieve(queries)
    named = by_name(queries, found, dense)
    assert list(named) == [
        "score/positive", "score", "positive-score", "log-rank", "document-similarity",
        "document-similarity/query",
    ]  # fmt: skip
    for line in range(4):
        query = directions([QUERIES[line]])[0]
        positive = directions(POSITIVES[line]) @ query
        inside = directions([text for text in POSITIVES[line] if text in DOCUMENTS])
        for slot in range(12):
            document = directions([DOCUMENTS[found.rows[line, slot]]])[0]
            s, best = document @ query, positive.max()
            near = (inside @ document).max()
            expected = {
                "score/positive": np.clip(1 + (s - best) / abs(best), -10, 10),
                "score": s,
                "positive-score": best,
                "log-rank": np.log(slot + 1),
                "document-similarity": near,
                "document-similarity/query": np.clip(1 + (near - s) / abs(s), -10, 10),
            }
            for name, value in expected.items():
                assert named[name][line, slot] == pytest.approx(value, abs=1e-4), name


@given(st.floats(-5, 5), st.floats(0.01, 5))
def test_over_is_the_ratio_and_rises_for_negative_divisors(a: float, b: float) -> None:
    one = over(np.array([a]), np.array([b]))[0]
    assert one == pytest.approx(np.clip(a / b, -10, 10))
    below = over(np.array([a, a + 0.1]), np.array([-b, -b]))
    assert below[0] <= below[1]
    assert over(np.array([-b]), np.array([-b]))[0] == 1
    assert np.isfinite(over(np.array([a]), np.array([0.0])))[0]


def test_signals_of_two_retrievers(parts: Any) -> None:
    dense, bm25, queries = parts
    both = HybridRetriever([bm25, dense])
    found = both.retrieve(queries)
    named = by_name(queries, found, both)
    for name in ("bm25", "dense"):
        assert {f"score/positive:{name}", f"score:{name}", f"positive-score:{name}",
                f"log-rank:{name}", f"listed:{name}"} <= set(named)  # fmt: skip
    alone = bm25.retrieve(queries)
    filled = found.filled
    listed = named["listed:bm25"] == 1
    for line in range(4):
        for slot in np.flatnonzero(filled[line]):
            place = np.flatnonzero(alone.rows[line] == found.rows[line, slot])
            assert listed[line, slot] == (len(place) == 1)
            rank = named["log-rank:bm25"][line, slot]
            if len(place):
                assert rank == pytest.approx(np.log(place[0] + 1))
                score = named["score:bm25"][line, slot]
                assert score == pytest.approx(alone.scores[line, place[0]], rel=1e-5)
            else:
                assert rank == pytest.approx(np.log(7))
    # Fused scores are no similarities: the part with vectors is asked about the query too.
    query, document = directions([QUERIES[0]])[0], directions([DOCUMENTS[found.rows[0, 0]]])[0]
    near = (directions(POSITIVES[0]) @ document).max()
    ratio = named["document-similarity/query"][0, 0]
    expected = over(np.array([near]), np.array([query @ document]))[0]
    assert ratio == pytest.approx(expected, abs=1e-4)
    assert np.isfinite(np.stack(list(named.values()))[:, filled]).all()


def test_what_is_missing_is_nan(parts: Any) -> None:
    dense, bm25, queries = parts
    found = dense.retrieve(queries)
    rows = queries.positive_rows.copy()
    rows[queries.offsets[1] : queries.offsets[2]] = -1
    named = by_name(replace(queries, positive_rows=rows), found, dense)
    assert np.isnan(named["document-similarity"][1]).all()
    assert not np.isnan(named["document-similarity"][0]).any()
    scores = found.positive_scores.copy()
    scores[queries.offsets[1] : queries.offsets[2]] = np.nan
    named = by_name(queries, replace(found, positive_scores=scores), dense)
    assert np.isnan(named["score/positive"][1]).all()
    kept = found.keep(found.ranks > 3)
    assert np.isnan(by_name(queries, kept, dense)["score"][:, :3]).all()
    assert "document-similarity" not in by_name(queries, bm25.retrieve(queries), bm25)


def test_one_positive_is_shown_and_the_others_are_hidden(parts: Any, tmp_path: Path) -> None:
    dense, _, queries = parts
    found = dense.retrieve(queries)
    keys = dense.corpus.document_keys
    shown = one_shown(queries, found, keys, seed=1)
    assert shown.lines.tolist() == [0, 2, 3]  # the second query has one positive
    assert shown.queries.positives_per_query.tolist() == [1, 1, 1]
    for place, line in enumerate(shown.lines):
        row = int(shown.queries.positive_rows[place])
        assert DOCUMENTS[row] in POSITIVES[line]
        others = [
            DOCUMENTS.index(t) for t in POSITIVES[line] if t in DOCUMENTS and t != DOCUMENTS[row]
        ]
        hidden = shown.candidates.rows[place][shown.hidden[place]]
        assert set(hidden) == set(others) & set(found.rows[line])
        own = known_positive(shown.queries, shown.candidates)[place]
        assert set(shown.candidates.rows[place][own]) <= {row}
    # Neither the batch nor its order has an influence.
    lines = np.array([3, 0])
    again = one_shown(*of_lines(queries, found, lines), keys, seed=1)
    assert again.queries.positive_rows.tolist() == shown.queries.positive_rows[[2, 0]].tolist()
    drawn = {
        tuple(one_shown(queries, found, keys, seed=seed).queries.positive_rows)
        for seed in range(20)
    }
    assert len(drawn) > 1


def test_hidden_pairs_are_a_sample_that_does_not_depend_on_batches(parts: Any) -> None:
    dense, _, queries = parts
    found = dense.retrieve(queries)
    whole = hidden_pairs(iter([(queries, found)]), dense, 0, 20)
    halves = [of_lines(queries, found, np.array(lines)) for lines in ([2, 3], [0, 1])]
    again = hidden_pairs(iter(halves), dense, 0, 20)
    assert whole is not None
    assert again is not None
    assert len(whole) == 20
    one, other = (np.sort(pairs.values.round(5), axis=0) for pairs in (whole, again))
    np.testing.assert_allclose(one, other, atol=1e-5)
    single = of_lines(queries, found, np.array([1]))
    assert hidden_pairs(iter([single]), dense, 0, 20) is None
