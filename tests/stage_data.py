"""Random batches of queries and candidates, for the tests of filters, samplers and selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.hashing import text_keys
from hf_hardneg.samplers import Sampler, TopSampler
from hf_hardneg.selection import Rules, surviving

DOCUMENTS = [f"document {number % 17}" for number in range(24)]
"""Some texts stand under two rows."""
DOCUMENT_KEYS = text_keys(DOCUMENTS)

Batch = tuple[Queries, Candidates]


def query_keys(number: int) -> np.ndarray:
    return text_keys(f"query {place}" for place in range(number))


def make_batch(
    rows: list[list[int]],
    scores: list[list[float]],
    positive_scores: list[list[float]],
    *,
    positive_rows: list[list[int]] | None = None,
) -> Batch:
    """Lists of any length become a batch; short lines get empty slots."""
    k = max((len(line) for line in rows), default=0)
    batch = len(rows)
    numbers = np.full((batch, k), -1, dtype=np.int64)
    values = np.full((batch, k), -np.inf, dtype=np.float32)
    for line, (own_rows, own_scores) in enumerate(zip(rows, scores, strict=True)):
        numbers[line, : len(own_rows)] = own_rows
        values[line, : len(own_rows)] = own_scores
    filled = numbers >= 0
    lists = positive_rows or [[-1] * len(own) for own in positive_scores]
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in positive_scores])])
    flat = np.array([row for own in lists for row in own], dtype=np.int64)
    queries = Queries(
        texts=[f"query {line}" for line in range(batch)],
        ids=[],
        keys=query_keys(batch),
        offsets=offsets.astype(np.int64),
        positive_rows=flat,
        positive_texts=[f"positive {place}" for place in range(len(flat))],
        known_offsets=offsets.astype(np.int64),
        known_rows=flat,
        known_keys=np.where(flat >= 0, DOCUMENT_KEYS[flat], np.uint64(7)),
    )
    candidates = Candidates(
        rows=numbers,
        scores=values,
        ranks=np.where(filled, np.arange(1, k + 1), 0).astype(np.int32),
        sources=np.where(filled, 0, -1).astype(np.int8),
        document_keys=DOCUMENT_KEYS[np.maximum(numbers, 0)],
        positive_scores=np.array(
            [score for own in positive_scores for score in own], dtype=np.float32
        ),
    )
    return queries, candidates


def random_batch(seed: int, batch: int = 4, k: int = 8) -> Batch:
    """Candidates best first, with ties, negative scores, gaps, and positives without a score."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(len(DOCUMENTS))[:k].tolist() for _ in range(batch)]
    scores = [np.sort(rng.integers(-4, 5, k) / 2)[::-1].tolist() for _ in range(batch)]
    counts = rng.integers(1, 4, batch)
    positives = [
        np.where(rng.random(count) < 0.2, np.nan, rng.integers(-4, 5, count) / 2).tolist()
        for count in counts
    ]
    own = [
        np.where(rng.random(count) < 0.3, -1, rng.integers(0, len(DOCUMENTS), count)).tolist()
        for count in counts
    ]
    queries, candidates = make_batch(rows, scores, positives, positive_rows=own)
    return queries, candidates.keep(rng.random((batch, k)) < 0.8)


def without_positives(queries: Queries) -> Queries:
    """The same queries, none of whose positives is known."""
    return replace(
        queries,
        known_offsets=np.zeros(len(queries) + 1, dtype=np.int64),
        known_rows=np.empty(0, dtype=np.int64),
        known_keys=np.empty(0, dtype=np.uint64),
    )


def _twins(batch: Batch) -> Batch:
    """The same batch with five different texts in all."""
    queries, candidates = batch
    return queries, replace(candidates, document_keys=DOCUMENT_KEYS[candidates.rows % 5])


batches = st.builds(random_batch, st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 10))
batches_with_twins = st.one_of(batches, batches.map(_twins))


class AllRows:
    """What a stage is fitted to, of batches that are at hand or of positives' scores alone."""

    def __init__(
        self,
        positive_scores: Sequence[float] | np.ndarray = (),
        batches: Sequence[Batch] = (),
        *,
        sampler: Sampler | None = None,
        seed: int = 0,
    ) -> None:
        self.seed = seed
        self._scores = np.asarray(positive_scores, dtype=np.float32)
        self._batches, self._sampler = list(batches), sampler or TopSampler()

    def positive_scores(self) -> np.ndarray:
        if self._batches:
            return np.concatenate([candidates.positive_scores for _, candidates in self._batches])
        return self._scores

    def retrieved(self) -> Iterator[Batch]:
        yield from self._batches

    def left(self) -> Iterator[Batch]:
        rules = Rules((), (), self._sampler, 1, self.seed)
        for queries, candidates in self._batches:
            yield queries, candidates.keep(surviving(queries, candidates, rules))

    def orders(self) -> Iterator[tuple[Queries, Candidates, np.ndarray]]:
        for queries, candidates in self.left():
            yield queries, candidates, self._sampler.keys(queries, candidates, self.seed)
