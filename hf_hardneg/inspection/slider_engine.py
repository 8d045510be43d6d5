"""The engine of selection over rows of a pool, with what other stages decided kept as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.filters.base import Filter, Verdict, Veto
from hf_hardneg.filters.cross_encoder import verdicts
from hf_hardneg.inspection.pool_batch import PoolBatch
from hf_hardneg.inspection.set_rules import DUPLICATE, MODEL, DecidedStage, SetRules
from hf_hardneg.inspection.sliders import Sliders, against_of
from hf_hardneg.inspection.views import CHOSEN
from hf_hardneg.samplers import Sampler
from hf_hardneg.selection import Rules, select

__all__ = ["ALWAYS", "PROMOTED", "UNUSED", "SliderEngine"]

UNUSED, PROMOTED = "not needed", "promoted by "
ALWAYS = ("known-positive", "positive-text", "query-text")


class _Given(Filter):
    """A filter whose decision is made already."""

    name = "given"

    def __init__(self, kept: NDArray[np.bool_]) -> None:
        self.kept = kept

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Return what was decided."""
        return self.kept


class _GivenVeto(Veto):
    """A veto whose verdicts are there already."""

    name = "given"

    def __init__(self, verdict: NDArray[np.int8], keep_top_k: int | None) -> None:
        self.verdict, self.keep_top_k = verdict, keep_top_k

    def judge(
        self,
        queries: Queries,
        candidates: Candidates,
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        corpus: Corpus,
    ) -> NDArray[np.int8]:
        """Return what was decided."""
        return self.verdict[lines, slots]


class _Fill(_GivenVeto):
    """Takes nothing out; says beyond which rank short rows are filled."""

    name = "fill"

    def __init__(self, shape: tuple[int, int], fill_beyond: int) -> None:
        super().__init__(np.full(shape, Verdict.KEEP, np.int8), None)
        self.fill_beyond = fill_beyond


@dataclass(frozen=True)
class SliderEngine:
    """Decides over rows of a pool.

    Attributes:
        rules: how the set was decided.
        sliders: how it is to be decided.
        sampler: the order in which candidates are taken.
    """

    rules: SetRules
    sliders: Sliders
    sampler: Sampler

    def chosen(
        self, batch: PoolBatch, spared: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Return the slots that are chosen, in the order of choice, -1 where too few, (batch, n).

        Args:
            batch: rows of the pool.
            spared: candidates that may be chosen although they were left out, shape (batch, k).
        """
        early, late = self._taken_out(batch)
        if spared is not None:
            early, late = early & ~spared, late & ~spared
        filters = [stage.again for stage in self.rules.stages if stage.again and not stage.slider]
        verdict = np.where(late, Verdict.DROP, Verdict.KEEP).astype(np.int8)
        verdict = np.minimum(verdict, self._by_model(batch))
        limits = [self._limit(stage.arguments, "keep_top_k") for stage in self._vetoes]
        beyond = [self._limit(stage.arguments, "fill_beyond") for stage in self._vetoes]
        vetoes: list[Veto] = []
        if self._vetoes or late.any():
            known = [limit for limit in limits if limit is not None]
            vetoes.append(_GivenVeto(verdict, min(known, default=None)))
        if any(limit is not None for limit in beyond):
            most = max(limit for limit in beyond if limit is not None)
            vetoes.append(_Fill(batch.candidates.shape, most))
        sliding = self.sliders.filters(against_of(self.rules)).values()
        rules = Rules(
            (_Given(~early), *filters, *sliding), tuple(vetoes), self.sampler,
            self.sliders.num_negatives, self.rules.seed,
        )  # fmt: skip
        # None of these stages looks at a text: no documents are needed.
        return select(batch.queries, batch.candidates, rules, cast(Corpus, None)).slots

    @property
    def _vetoes(self) -> list[DecidedStage]:
        return [stage for stage in self.rules.stages if stage.kind == "veto"]

    @staticmethod
    def _limit(arguments: Mapping[str, Any], name: str) -> int | None:
        value = arguments.get(name)
        return value if isinstance(value, int) else None

    def _taken_out(self, batch: PoolBatch) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return what stays out: what a cheap stage took out, and what a veto or diversity did."""
        early: list[str] = [*ALWAYS]
        late: list[str] = []
        known = {CHOSEN, UNUSED, DUPLICATE, *ALWAYS}
        for stage in self.rules.stages:
            names = (stage.name, PROMOTED + stage.name)
            known |= set(names)
            if stage.recorded:
                (late if stage.kind in ("veto", "diversity") else early).extend(names)
        if not batch.texts:  # of what it is a copy cannot be told
            early.append(DUPLICATE)
        early += [name for name in batch.names if name not in known]
        return batch.of(early), batch.of(late)

    def _by_model(self, batch: PoolBatch) -> NDArray[np.int8]:
        """Return the verdicts by the scores of the cross-encoder; what has none passes."""
        stage, limit = self.rules.slider(MODEL), self.sliders.model_threshold
        passed = np.full(batch.candidates.shape, Verdict.KEEP, np.int8)
        if stage is None:
            return passed
        limit = float(stage.arguments["threshold"]) if limit is None else limit
        scores = batch.model_scores
        given = verdicts(scores, np.full(scores.shape, limit), stage.arguments["promote_above"])
        # A pseudo-positive is no negative: here both are what is not kept.
        given = np.where(given == Verdict.KEEP, Verdict.KEEP, Verdict.DROP)
        return np.where(np.isnan(scores), passed, given).astype(np.int8)

    def undecided(self, batch: PoolBatch) -> NDArray[np.bool_]:
        """Return which candidates some stage of the set was never asked about, shape (batch, k).

        They are those that were not needed, where there are vetoes, and those that a stage took
        out which is decided anew, where stages of other kinds come after it.
        """
        found = np.zeros(batch.candidates.shape, dtype=np.bool_)
        if self.rules.parsed is None:
            return batch.of([UNUSED])
        names = [stage.name for stage in self.rules.stages]
        reached = {name: place for place, name in enumerate(names)}
        reached |= {PROMOTED + name: place for name, place in reached.items()}
        reached |= {UNUSED: names.index(DUPLICATE), CHOSEN: len(names)}
        for place, stage in enumerate(self.rules.stages):
            asked = [name for name in batch.names if reached.get(name, 0) >= place]
            if stage.recorded:
                found |= ~batch.of(asked)
            elif stage.slider == MODEL:
                found |= ~batch.of([*asked, CHOSEN]) & np.isnan(batch.model_scores)
        return found & batch.candidates.filled
