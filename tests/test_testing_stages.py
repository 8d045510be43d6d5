"""The checks of filters, samplers and vetoes catch what is deliberately broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stage_data import random_batch

from hf_hardneg import Corpus
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.filters import Filter, RowFilter, Verdict, Veto
from hf_hardneg.samplers import Sampler
from hf_hardneg.testing import (
    ContractError,
    check_filter,
    check_row_filter,
    check_sampler,
    check_veto,
)


class Odd(Filter):
    """A right filter."""

    name = "odd"

    def __init__(self, *, rest: int = 1) -> None:
        self.rest = rest

    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        kept: np.ndarray = candidates.ranks % 2 == self.rest
        return kept


class Floats(Odd):
    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        return super().mask(queries, candidates).astype(float)


class Narrow(Odd):
    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        return super().mask(queries, candidates)[:, :1]


class DropsTheBest(Odd):
    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        best = candidates.scores.max(axis=1, initial=-np.inf)
        kept: np.ndarray = candidates.scores < best[:, None]
        return kept


class Mean(Odd):
    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        middle = np.median(candidates.ranks) if candidates.ranks.size else 0
        kept: np.ndarray = candidates.ranks >= middle
        return kept


class Writes(Odd):
    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        candidates.scores[:] = 0
        return super().mask(queries, candidates)


class Rescales(Odd):
    def __call__(self, queries: Queries, candidates: Candidates) -> Candidates:
        kept = super().__call__(queries, candidates)
        kept.scores[kept.filled] *= 2
        return kept


class Warns(Odd):
    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        return candidates.scores - candidates.scores.max(axis=1, initial=-np.inf)[:, None] > -1


class Secret(Odd):
    def __init__(self, *, rest: object = 1) -> None:
        self.rest = object() if rest == 1 else rest  # type: ignore[assignment]


class Forgets(Odd):
    """Learns something that its state does not carry."""

    def __init__(self, *, rest: int = 1) -> None:
        super().__init__(rest=rest)
        self._learnt = False

    def learn(self) -> Forgets:
        self._learnt = True
        return self

    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        return super().mask(queries, candidates) & self._learnt


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Floats, "the mask has shape and type"),
        (Narrow, "the mask has shape and type"),
        (DropsTheBest, "applied twice it gives something else"),
        (Mean, "it depends on the batch"),
        (Writes, "it changes the candidates it was given"),
        (Rescales, "it does more than to empty slots"),
        (Secret, "pickled and back"),
    ],
)
def test_broken_filters(kind: type[Odd], said: str) -> None:
    check_filter(Odd(), *random_batch(1))
    with pytest.raises(ContractError, match=said):
        check_filter(kind(), *random_batch(1))


def test_a_filter_whose_state_lacks_what_it_learnt() -> None:
    check_filter(Forgets(), *random_batch(1))  # it keeps nothing, here and there
    with pytest.raises(ContractError, match="pickled, it gives something else"):
        check_filter(Forgets().learn(), *random_batch(1))


class OddRows(RowFilter):
    """A row filter whose pickled copy may say something else."""

    name = "odd-rows"

    def __init__(self, *, action: str = "flag") -> None:
        self.action = action
        self._learnt = False

    def flags(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        return np.full(len(queries), self._learnt)


def test_a_row_filter_whose_state_lacks_what_it_learnt() -> None:
    rule = OddRows()
    check_row_filter(rule, *random_batch(1))
    rule._learnt = True
    with pytest.raises(ContractError, match="pickled, it gives something else"):
        check_row_filter(rule, *random_batch(1))


def test_a_filter_that_warns() -> None:
    with pytest.raises(RuntimeWarning):
        check_filter(Warns(), *random_batch(1))


class Scaled(Sampler):
    """A right sampler."""

    name = "scaled"

    def __init__(self, *, scale: float = 2.0) -> None:
        self.scale = scale

    def log_weights(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        scores = candidates.scores.astype(np.float64)
        return np.where(np.isnan(scores), 0.0, scores * self.scale)


class Softmax(Scaled):
    """Forgets that the score may be missing."""

    def log_weights(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        return candidates.scores.astype(np.float64) * self.scale


class Infinite(Scaled):
    def log_weights(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        weights = super().log_weights(queries, candidates, seed)
        return np.where(weights > 1, np.inf, weights)


class Centred(Scaled):
    def log_weights(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        return super().log_weights(queries, candidates, seed) + len(queries)


class FillsEmpty(Scaled):
    def keys(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        return np.maximum(super().keys(queries, candidates, seed), -1e9)


class Single(Scaled):
    def keys(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        return super().keys(queries, candidates, seed).astype(np.float32)


class Settles(Scaled):
    def log_weights(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        candidates.scores[np.isnan(candidates.scores)] = 0
        return super().log_weights(queries, candidates, seed)


class Fixed(Scaled):
    def keys(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        return super().keys(queries, candidates, 0)


class Restless(Scaled):
    noisy = False

    def keys(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        return super().keys(queries, candidates, seed) + seed


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Softmax, "no scores: a key is nan"),
        (Infinite, r"a key is \+inf"),
        (Centred, "keys depend on the batch"),
        (FillsEmpty, "an empty slot has the key"),
        (Single, "keys have shape and type"),
        (Settles, "it changes the candidates it was given"),
        (Fixed, "keys do not change with the seed, and it is noisy"),
        (Restless, "keys change with the seed without noise"),
    ],
)
def test_broken_samplers(kind: type[Scaled], said: str) -> None:
    check_sampler(Scaled(), *random_batch(1))
    with pytest.raises(ContractError, match=said):
        check_sampler(kind(), *random_batch(1))


class KeepsEven(Veto):
    """A right veto."""

    name = "even"

    def __init__(self) -> None:
        pass

    def judge(
        self, queries: Queries, candidates: Candidates, lines: Any, slots: Any, corpus: Any
    ) -> np.ndarray:
        return np.where(candidates.rows[lines, slots] % 2, Verdict.DROP, Verdict.KEEP).astype(
            np.int8
        )


class Long(KeepsEven):
    def judge(self, *given: Any) -> np.ndarray:
        return super().judge(*given).astype(np.int64)


class Unsure(KeepsEven):
    def judge(self, *given: Any) -> np.ndarray:
        return super().judge(*given) + np.int8(7)


class KeepsFirst(KeepsEven):
    def judge(self, *given: Any) -> np.ndarray:
        verdicts = super().judge(*given)
        verdicts[:1] = Verdict.KEEP
        return verdicts


class ByLine(KeepsEven):
    def judge(self, queries: Any, candidates: Any, lines: Any, slots: Any, corpus: Any) -> Any:
        return np.where(lines % 2, Verdict.DROP, Verdict.KEEP).astype(np.int8)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Long, "verdicts have shape and type"),
        (Unsure, "are none of"),
        (KeepsFirst, "verdicts depend on what else is asked"),
        (ByLine, "verdicts depend on the batch"),
    ],
)
def test_broken_vetoes(kind: type[KeepsEven], said: str) -> None:
    queries, candidates = random_batch(1)
    corpus = Corpus(["red car"])
    check_veto(KeepsEven(), queries, candidates, corpus)
    with pytest.raises(ContractError, match=said):
        check_veto(kind(), queries, candidates, corpus)
