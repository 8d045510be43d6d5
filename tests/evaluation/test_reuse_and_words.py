"""Reuse of documents and words in common, against closed forms and sets in Python."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.evaluation import reuse
from hf_hardneg.evaluation.lexical import overlaps, word_counts
from hf_hardneg.evaluation.reuse import ReuseCounts, gini

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=20)


@given(COUNTS, st.integers(0, 5))
def test_gini_is_half_the_relative_mean_difference(counts: list[int], unused: int) -> None:
    every = np.array([*counts, *[0] * unused])
    found = gini(np.array(counts), unused)
    if not every.sum():
        assert found is None
        return
    difference = np.abs(every[:, None] - every[None]).mean()
    assert found == pytest.approx(difference / (2 * every.mean()))


def test_gini_in_closed_form() -> None:
    assert gini(np.full(7, 3)) == pytest.approx(0)
    assert gini(np.array([5]), unused=9) == pytest.approx(9 / 10)
    # 1, 2, ..., n: (n - 1) / (3 n).
    assert gini(np.arange(1, 11)) == pytest.approx((10 - 1) / (3 * 10))
    assert gini(np.zeros(3, np.int64)) is None


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=8), st.integers(1, 20))
def test_counts_do_not_depend_on_how_they_are_merged(parts: list[list[int]], merge: int) -> None:
    tally = ReuseCounts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reuse, "MERGE", merge)
        for part in parts:
            tally.add(np.array(part, dtype=np.uint64))
    keys, counts = tally.counts()
    wanted = Counter(value for part in parts for value in part)
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == wanted
    most = sorted(wanted.items(), key=lambda item: (-item[1], item[0]))[:3]
    assert list(tally.most_used(3).items()) == most


WORDS = st.lists(st.sampled_from(["Red", "red", "apple,", "pear", "é", "42", "--", ""]), max_size=6)
TEXTS = WORDS.map(" ".join)


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=3)), min_size=1, max_size=5))
def test_words_in_common_are_those_of_sets(rows: list[tuple[str, list[str]]]) -> None:
    passages = [text for _, own in rows for text in own]
    owner = np.repeat(np.arange(len(rows)), [len(own) for _, own in rows])
    found = overlaps(
        pa.array([query for query, _ in rows], pa.string()), pa.array(passages, pa.string()), owner
    )
    assert word_counts(pa.array(passages, pa.string())).tolist() == [
        len(words_of(text)) for text in passages
    ]
    for value, place, text in zip(found, owner, passages, strict=True):
        query = set(words_of(rows[place][0]))
        if not query:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(len(query & set(words_of(text))) / len(query))


def test_words_of_other_scripts() -> None:
    texts = pa.array(["Straßen, ÄPFEL und e\u0301", "ﬁne", None, "नमस्ते दुनिया"])
    assert word_counts(texts).tolist() == [4, 1, 0, 2]
    found = overlaps(pa.array(["äpfel É"]), pa.array(["Äpfel, e\u0301!"]), np.array([0]))
    assert found.tolist() == [1.0]
