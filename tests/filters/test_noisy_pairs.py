"""Wrong positives by the mixture of the losses: the formula, the fit, and what is found."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from mining import assert_same_rows
from stage_data import AllRows

from hf_hardneg import (
    BM25Retriever,
    CallableEncoder,
    Corpus,
    NoisyPairDetector,
    OfflineMiner,
    RunRetriever,
)
from hf_hardneg.errors import ParameterError, StrategyError
from hf_hardneg.filters.noisy_pairs import _mixture, _split
from hf_hardneg.testing import check_row_filter, make_queries

VOCABULARY = [f"w{number}" for number in range(600)]
NUMBER, WRONG = 250, 50


def collection() -> tuple[dict[str, str], Dataset, np.ndarray]:
    """Documents of thirty words, most of a topic; queries of words of their positive.

    Returns:
        The documents, the rows, and which of them have a random document for a positive.
    """
    rng = np.random.default_rng(0)
    topics = rng.choice(VOCABULARY, (20, 60))
    documents, queries, positives = {}, [], []
    for number in range(NUMBER):
        own = rng.choice(topics[number % 20], 20), rng.choice(VOCABULARY, 10)
        documents[f"d{number}"] = " ".join(np.concatenate(own))
    for name, text in documents.items():
        queries.append(" ".join(rng.choice(text.split(), 6, replace=False)))
        positives.append(name)
    wrong = np.zeros(NUMBER, dtype=bool)
    wrong[rng.choice(NUMBER, WRONG, replace=False)] = True
    for line in np.flatnonzero(wrong):
        other = rng.integers(NUMBER - 1)
        positives[line] = f"d{other + (other >= line)}"
    rows = Dataset.from_dict({"query": queries, "positive_ids": positives, "number": range(NUMBER)})
    return documents, rows, wrong


DOCUMENTS, ROWS, IS_WRONG = collection()


def counts(texts: list[str]) -> np.ndarray:
    places = {word: place for place, word in enumerate(VOCABULARY)}
    vectors = np.zeros((len(texts), len(VOCABULARY)))
    for line, text in enumerate(texts):
        for word in text.split():
            vectors[line, places[word]] += 1
    return vectors


BY_BM25 = "bm25@20+noisy-pairs(temperature=5.0{})"
BY_VECTORS = "dense@20+noisy-pairs{}"


def mining(strategy: str, **options: Any) -> OfflineMiner:
    if strategy.startswith("dense"):
        options["model"] = CallableEncoder(counts, name="counts")
    return OfflineMiner(strategy, **{"corpus": DOCUMENTS, "num_negatives": 3, **options})


def flagged(mined: Dataset) -> np.ndarray:
    return np.array([names == ["noisy-pairs"] for names in mined["hard_negative_flags"]])


def asked(lines: list[int]) -> tuple[Any, Any, NoisyPairDetector]:
    """Queries with one, two and three positives, one of them outside the corpus."""
    corpus = Corpus(DOCUMENTS)
    retriever = BM25Retriever(corpus, top_k=20)
    lists = [[DOCUMENTS[ROWS[line]["positive_ids"]]] for line in lines]
    lists[0].append("w1 w2 outside")
    lists[1] += [DOCUMENTS["d7"], DOCUMENTS["d8"]]
    queries = make_queries(corpus, [ROWS[line]["query"] for line in lines], lists)
    rule = NoisyPairDetector(
        negatives=16, temperature=4.0, seed=3, means=(1, 2), variances=(0.5, 1), weights=(0.5, 0.5)
    ).bound(retriever)
    return queries, retriever.retrieve(queries), rule


@pytest.mark.parametrize("strategy", [BY_BM25, BY_VECTORS])
def test_a_fifth_of_wrong_positives_is_found(strategy: str) -> None:
    """At least 95% of them, and no more than 2% of the others."""
    mined = mining(strategy.format("")).mine(ROWS)
    flags = flagged(mined)
    assert flags[IS_WRONG].mean() >= 0.95
    assert flags[~IS_WRONG].mean() <= 0.02
    assert all(len(names) == 3 for names in mined["hard_negative_ids"])


def test_two_retrievers_score_random_documents_too() -> None:
    """By ranks: a document that neither lists has the least score there is."""
    options = {"model": CallableEncoder(counts, name="counts")}
    mined = mining("bm25@20,dense@20+noisy-pairs(temperature=0.01)", **options).mine(ROWS)
    assert flagged(mined)[IS_WRONG].mean() >= 0.85  # ranks tell less than scores
    assert flagged(mined)[~IS_WRONG].mean() <= 0.05


def test_the_loss_is_that_of_the_formula() -> None:
    queries, candidates, rule = asked(list(range(6)))
    corpus = Corpus(DOCUMENTS)
    everything = BM25Retriever(corpus, top_k=len(corpus))
    rows = rule._random_rows(queries, slice(0, 6))
    assert rows.shape == (6, 16)
    losses = rule.losses(queries, candidates)
    for line in range(6):
        known = queries.known_rows[queries.known_offsets[line] : queries.known_offsets[line + 1]]
        assert len(set(rows[line].tolist())) == 16
        assert not set(rows[line].tolist()) & set(known.tolist())
        own = make_queries(corpus, [queries.texts[line]], [["x"]])
        found, scores = everything.search(own)
        score = dict(zip(found[0].tolist(), scores[0].tolist(), strict=True))
        random = [math.exp(score.get(row, 0.0) / 4.0) for row in rows[line].tolist()]
        values = []
        for place in range(queries.offsets[line], queries.offsets[line + 1]):
            positive = math.exp(float(candidates.positive_scores[place]) / 4.0)
            values.append(-math.log(positive / (positive + sum(random))))
        assert losses[line] == pytest.approx(max(values), rel=1e-5)


def test_the_probability_is_that_of_the_formula() -> None:
    rule = NoisyPairDetector(means=(1.0, 4.0), variances=(0.5, 2.0), weights=(0.7, 0.3))
    losses = np.array([0.0, 1.0, 2.0, 2.3, 2.5, 4.0, 9.0, 1e300, np.inf])

    def density(x: float, c: int) -> float:
        m, v, w = ((1.0, 4.0)[c], (0.5, 2.0)[c], (0.7, 0.3)[c])
        return w * math.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)

    wanted = [density(x, 0) / (density(x, 0) + density(x, 1)) for x in losses[:7].tolist()]
    found = rule.low_probability(losses)
    assert np.allclose(found[:7], wanted)
    assert found[-1] == 0


def test_the_contract() -> None:
    queries, candidates, rule = asked(list(range(6)))
    check_row_filter(rule, queries, candidates)
    again = pickle.loads(pickle.dumps(rule))
    assert np.array_equal(again.flags(queries, candidates), rule.flags(queries, candidates))


def test_a_positive_without_a_score_is_flagged() -> None:
    from dataclasses import replace

    queries, candidates, rule = asked([0, 1, 2])
    scores = candidates.positive_scores.copy()
    scores[queries.offsets[2]] = np.nan
    found = rule.losses(queries, replace(candidates, positive_scores=scores))
    assert np.isinf(found).tolist() == [False, False, True]
    assert rule.flags(queries, replace(candidates, positive_scores=scores))[2]


def test_in_a_corpus_of_a_few_documents_there_are_fewer_random_ones() -> None:
    corpus = Corpus(["w1 w2", "w1 w3", "W1  W2", "", "w9 w1", "w4"])
    retriever = BM25Retriever(corpus, top_k=5)
    queries = make_queries(corpus, ["w4", "w1"], [["w1 w2"], ["w9 w1", "w1 w3"]])
    rows = NoisyPairDetector().bound(retriever)._random_rows(queries, slice(0, 2))
    # neither a known positive nor a copy of one, the query's own text, or an empty document
    assert [set(line[line >= 0].tolist()) for line in rows] == [{1, 4}, {0, 2, 5}]


@given(st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=12))
def test_the_best_split_of_sorted_values(values: list[float]) -> None:
    ordered = np.sort(np.array(values, dtype=np.float64))

    def spread(cut: int) -> float:
        return sum(float(((part - part.mean()) ** 2).sum()) for part in np.split(ordered, [cut]))

    best = min(spread(cut) for cut in range(1, len(ordered)))
    assert spread(_split(ordered)) == pytest.approx(best, abs=1e-9)


def test_the_mixture_finds_what_was_mixed() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(1, 0.3, 8_000), rng.normal(4, 0.8, 2_000)])
    means, variances, weights = _mixture(values)
    assert means == pytest.approx((1, 4), abs=0.05)
    assert np.sqrt(variances) == pytest.approx((0.3, 0.8), abs=0.05)
    assert weights == pytest.approx((0.8, 0.2), abs=0.01)
    assert _mixture(rng.permutation(values)) == (means, variances, weights)
    scaled = _mixture(1e-4 * values + 7)
    assert scaled[0] == pytest.approx([1e-4 * mean + 7 for mean in means], rel=1e-6)


def test_losses_that_cannot_be_told_apart() -> None:
    with pytest.raises(ParameterError, match=r"19 rows have a score.*at least 20"):
        _mixture(np.arange(19.0))
    with pytest.raises(ParameterError, match=r"losses of all 30 rows are 2: one cluster"):
        _mixture(np.full(30, 2.0))
    assert _mixture(np.array([0.0] * 20 + [1.0]))[0] == pytest.approx((0, 1))
    with pytest.raises(ParameterError, match=r"noisy-pairs: 10 rows"):
        mining(BY_BM25.format("")).mine(ROWS.select(range(10)))
    rule = NoisyPairDetector().bound(BM25Retriever(Corpus(DOCUMENTS)))
    with pytest.raises(ParameterError, match="0 rows"):
        rule.fitted(AllRows())


def test_what_was_learnt_stands_in_the_strategy_and_gives_the_same_again() -> None:
    miner = mining(BY_BM25.format(", negatives=16"), seed=5)
    mined = miner.mine(ROWS)
    strategy = miner.report(mined).strategy
    for part in ("means=(", "variances=(", "weights=(", "seed=5", "negatives=16"):
        assert part in strategy
    again = mining(strategy, seed=5)
    assert not again._need_strategy().needs_fit
    few = again.mine(ROWS.select(range(9)))  # too few to fit to
    assert flagged(few).tolist() == flagged(mined)[:9].tolist()
    mapped = ROWS.select(range(9)).map(mining(strategy, seed=5, positives=ROWS), batched=True)
    assert flagged(mapped).tolist() == flagged(mined)[:9].tolist()


def test_the_order_of_rows_and_their_batches_have_no_influence() -> None:
    order = np.random.default_rng(2).permutation(NUMBER)
    one, two = mining(BY_BM25.format("")), mining(BY_BM25.format(""))
    straight, mixed = one.mine(ROWS), two.mine(ROWS.select(order))
    assert one.report(straight).strategy == two.report(mixed).strategy
    assert flagged(straight)[order].tolist() == flagged(mixed).tolist()


@pytest.mark.parametrize("strategy", [BY_BM25, BY_VECTORS])
def test_workers_do_the_same(strategy: str) -> None:
    kind = "action='drop'"
    inside = f"({kind})" if strategy == BY_VECTORS else f", {kind}"
    expected = mining(strategy.format(inside)).mine(ROWS)
    again = mining(strategy.format(inside)).mine(ROWS, num_proc=2, resume=False)
    assert_same_rows(again, expected)


def test_flags_and_drops_are_counted() -> None:
    flag, drop = (mining(BY_BM25.format(f", action={kind!r}")) for kind in ("flag", "drop"))
    one, two = flag.mine(ROWS), drop.mine(ROWS)
    number = int(flagged(one).sum())
    assert two["number"] == np.flatnonzero(~flagged(one)).tolist()
    for miner, mined in ((flag, one), (drop, two)):
        assert miner.report(mined).rows_flagged == {"noisy-pairs": number}
    written = drop.mine(ROWS, "n-tuple")
    assert len(written) == NUMBER - number
    assert len(flag.mine(ROWS, "n-tuple")) == NUMBER
    pool = drop.retrieve(ROWS)
    assert_same_rows(drop.select(pool), two)


def test_a_single_batch_is_not_enough() -> None:
    with pytest.raises(StrategyError, match=r"noisy-pairs has to see the candidates of all rows"):
        ROWS.map(mining(BY_BM25.format(""), positives=ROWS), batched=True)
    queries, candidates, _ = asked([0, 1])
    with pytest.raises(ParameterError, match="noisy-pairs: the mixture has to be fitted"):
        NoisyPairDetector().flags(queries, candidates)


def test_a_run_scores_only_what_it_lists() -> None:
    pool = mining("bm25@20").retrieve(ROWS)
    retriever = RunRetriever(Corpus(DOCUMENTS), run=pool)
    miner = OfflineMiner(retriever, filters=[NoisyPairDetector()], num_negatives=3)
    with pytest.raises(ParameterError, match=r"'run' has no score for any of .*bm25 or dense"):
        miner.mine(ROWS)
    with pytest.raises(StrategyError, match="'noisy-pairs' needs scores"):
        mining("random+noisy-pairs")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"negatives": 0}, "negatives=0"),
        ({"temperature": 0}, "temperature=0; .*1 for dot products, as in the paper"),
        ({"temperature": -1}, "temperature=-1"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"action": "promote"}, "action='promote'"),
        ({"seed": -1}, "seed=-1"),
        ({"means": (1, 2)}, "means without the rest"),
        ({"means": (1, 2), "weights": (1, 1)}, "means and weights without the rest"),
        ({"means": (2, 1), "variances": (1, 1), "weights": (1, 1)}, "the lower one"),
        ({"means": (1, 2), "variances": (0, 1), "weights": (1, 1)}, "variances=.*above 0"),
        ({"means": (1, 2), "variances": (1, 1), "weights": (1, -1)}, "weights=.*above 0"),
        ({"means": (1,), "variances": (1, 1), "weights": (1, 1)}, "means=.*two numbers"),
        ({"means": "12", "variances": (1, 1), "weights": (1, 1)}, "means='12'.*two numbers"),
        ({"means": (1, float("nan")), "variances": (1, 1), "weights": (1, 1)}, "means=nan"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=f"noisy-pairs: .*{said}"):
        NoisyPairDetector(**options)
