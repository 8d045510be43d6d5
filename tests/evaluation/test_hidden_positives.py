"""Hidden positives, against doing it by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_hardneg import OfflineMiner
from hf_hardneg.errors import ParameterError
from hf_hardneg.evaluation.false_negatives import hidden_positive_rate
from hf_hardneg.hashing import mix, text_key
from hf_hardneg.mined_set import MinedSet

TOPICS, EACH, FOREIGN = 14, 4, 60
SALT = 0x48494445


def documents() -> dict[str, str]:
    """Return four documents a topic, each with the topic's word, and some without any."""
    found = {
        f"t{topic}-{n}": f"topic{topic} "
        + " ".join(f"filler{topic * EACH + n}w{k}" for k in range(n))
        for topic in range(TOPICS)
        for n in range(EACH)
    }
    found |= {
        f"f{n}": f"topic{n % TOPICS} foreign{n} other{n} words{n} here{n}" for n in range(FOREIGN)
    }
    return found


def rows(several: int = TOPICS, known: int = EACH) -> Dataset:
    return Dataset.from_dict(
        {
            "query_id": [str(topic) for topic in range(TOPICS)],
            "query": [f"topic{topic}" for topic in range(TOPICS)],
            "positive_ids": [
                [f"t{topic}-{n}" for n in range(known if topic < several else 1)]
                for topic in range(TOPICS)
            ],
        }
    )


def miner(**options: Any) -> OfflineMiner:
    return OfflineMiner("bm25@20", corpus=documents(), num_negatives=3, **options)


def by_hand(data: Dataset, keep: int, seed: int) -> tuple[int, int, int]:
    """Return hidden positives chosen, negatives, and queries that were struck."""
    texts = documents()
    kept, hidden = [], []
    for query, ids in zip(data["query"], data["positive_ids"], strict=True):
        order = sorted(
            ids,
            key=lambda name: int(mix(seed, SALT, text_key(query), text_key(texts[name]))[0]),
        )
        kept.append(order[:keep])
        hidden.append(set(order[keep:]))
    plain = data.remove_columns("positive_ids").add_column("positive_ids", kept)
    mined = miner().mine(plain)
    chosen = [set(ids) & own for ids, own in zip(mined["hard_negative_ids"], hidden, strict=True)]
    negatives = sum(len(ids) for ids in mined["hard_negative_ids"])
    return sum(map(len, chosen)), negatives, sum(map(bool, chosen))


@pytest.mark.parametrize(("keep", "seed"), [(1, 0), (1, 7), (2, 0)])
def test_like_hiding_by_hand(keep: int, seed: int) -> None:
    hits, negatives, struck = by_hand(rows(), keep, seed)
    assert hits
    rate = hidden_positive_rate(miner(), rows(), keep=keep, seed=seed)
    assert (rate.rate, rate.n) == (hits / negatives, negatives)
    assert rate.details["query_chance"]["rate"] == struck / TOPICS
    assert rate.details["positives_hidden"] == TOPICS * (EACH - keep)
    assert rate.details["hidden_in_pool"] >= hits
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < rate.rate < rate.high
    json.dumps(rate.to_dict(), allow_nan=False)


def test_the_same_whatever_the_rows() -> None:
    """One row a query, one a positive, in any order, given as texts: the same positives."""
    first = hidden_positive_rate(miner(), rows())
    texts = documents()
    pairs = [
        (query, texts[name])
        for query, ids in zip(rows()["query"], rows()["positive_ids"], strict=True)
        for name in ids
    ]
    for place in (1, -1):
        single = Dataset.from_dict(
            {
                "query": [q.upper() for q, _ in pairs[::place]],
                "positive": [p for _, p in pairs[::place]],
            }
        )
        found = hidden_positive_rate(miner(), single)
        assert (found.rate, found.low, found.high) == (first.rate, first.low, first.high)


def test_what_the_miner_was_given_as_positives_is_hidden_too() -> None:
    one = rows(known=1)
    assert hidden_positive_rate(miner(), one).rate is None
    found = hidden_positive_rate(miner(positives=rows()), one)
    assert found.rate == hidden_positive_rate(miner(), rows()).rate


def test_the_miner_is_left_as_it_is() -> None:
    own = miner(positives=rows())
    before = own.mine(rows())["hard_negative_ids"]
    hidden_positive_rate(own, rows())
    assert own.mine(rows())["hard_negative_ids"] == before
    relevant = dict(zip(rows()["query_id"], rows()["positive_ids"], strict=True))
    mined = own.mine(rows())
    for name, ids in zip(mined["query_id"], mined["hard_negative_ids"], strict=True):
        assert not set(ids) & set(relevant[name])


def test_copies_of_a_positive_are_one_positive() -> None:
    texts = documents()
    texts |= {f"copy{topic}": texts[f"t{topic}-0"].upper() for topic in range(TOPICS)}
    data = Dataset.from_dict(
        {
            "query": [f"topic{topic}" for topic in range(TOPICS)],
            "positive_ids": [[f"t{topic}-0", f"copy{topic}"] for topic in range(TOPICS)],
        }
    )
    own = OfflineMiner("bm25@20", corpus=texts, num_negatives=3)
    found = hidden_positive_rate(own, data)
    assert found.rate is None
    assert found.details["queries_used"] == 0


def test_too_few_queries_are_said() -> None:
    found = hidden_positive_rate(miner(), rows(several=9))
    assert (found.rate, found.low, found.high) == (None, None, None)
    assert "9 of 14 queries have more than 1 known positives" in found.why
    assert "unknown (hidden positives" in str(found)
    with pytest.raises(ParameterError, match="keep=0"):
        hidden_positive_rate(miner(), rows(), keep=0)


def test_positives_that_are_the_corpus() -> None:
    texts = documents()
    data = Dataset.from_dict(
        {
            "query": [f"topic{topic}" for topic in range(TOPICS)],
            "positive": [[texts[f"t{topic}-{n}"] for n in range(EACH)] for topic in range(TOPICS)],
        }
    )
    own = OfflineMiner("bm25@20", num_negatives=3)
    found = hidden_positive_rate(own, data)
    assert found.rate == 1.0  # nothing else in the corpus has the word
    assert found.low is not None
    assert found.low < 0.9
    assert own.corpus is None


def test_a_strategy_that_sees_all_rows_sees_the_others_too() -> None:
    own = OfflineMiner("bm25@20+reuse-cap", corpus=documents(), num_negatives=3)
    found = hidden_positive_rate(own, rows(several=11))
    assert found.details["queries_used"] == 11
    assert found.details["queries_with_negatives"] == 11
    assert found.n <= 33


def test_a_stage_that_cannot_be_fitted_to_what_is_left_is_said() -> None:
    own = OfflineMiner("bm25@20+risk(max=0.9)", corpus=documents(), num_negatives=3)
    assert own.mine(rows()).num_rows == TOPICS  # it can be fitted to all of them
    found = hidden_positive_rate(own, rows())
    assert found.rate is None
    assert "cannot be fitted where 1 positives of each query are known" in found.why
    assert hidden_positive_rate(own, rows(), keep=2).rate is not None


def test_forgetting_needs_no_positives_and_keeps_the_corpus() -> None:
    knowing = miner().knowing(rows())
    blind = knowing.forgetting()
    assert knowing.known_positives is not None
    assert blind.known_positives is None
    assert blind.corpus is knowing.corpus
    ids = MinedSet.of(blind.mine(rows(known=1))).rows["hard_negative_ids"]
    flat = np.concatenate([np.array(own) for own in ids])
    assert np.isin(flat, [f"t{topic}-{n}" for topic in range(TOPICS) for n in range(EACH)]).any()
