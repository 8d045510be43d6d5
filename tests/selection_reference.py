"""Selection one candidate at a time, in plain Python; and stages to select with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.filters import Filter, Verdict, Veto
from hf_hardneg.filters.known_positives import ALWAYS_ON
from hf_hardneg.hashing import mix
from hf_hardneg.samplers import Sampler
from hf_hardneg.selection import Rules, trace_names


class HashVeto(Veto):
    """A verdict that is a hash of query and text: the same whenever and however it is asked."""

    name = "hash"

    def __init__(
        self,
        *,
        salt: int = 0,
        keep: float = 0.5,
        promote: float = 0.2,
        keep_top_k: int | None = None,
    ) -> None:
        self.salt, self.keep, self.promote, self.keep_top_k = salt, keep, promote, keep_top_k
        self._calls: list[list[tuple[int, int]]] = []

    def verdicts(self, query_keys: np.ndarray, document_keys: np.ndarray) -> np.ndarray:
        share = mix(self.salt, query_keys, document_keys) / 2.0**64
        other = np.where(share < self.keep + self.promote, Verdict.PROMOTE, Verdict.DROP)
        return np.where(share < self.keep, Verdict.KEEP, other).astype(np.int8)

    def judge(
        self, queries: Queries, candidates: Candidates, lines: Any, slots: Any, corpus: Any
    ) -> np.ndarray:
        self._calls.append(list(zip(lines.tolist(), slots.tolist(), strict=True)))
        return self.verdicts(queries.keys[lines], candidates.document_keys[lines, slots])

    def asked(self) -> Counter[tuple[int, int]]:
        """How often each (line, slot) was asked about."""
        return Counter(pair for call in self._calls for pair in call)


class RankWindow(Sampler):
    """Uniform inside a window of ranks, never outside it."""

    name = "window"

    def __init__(self, *, start: int = 1, end: int = 4) -> None:
        self.start, self.end = start, end

    def log_weights(self, queries: Queries, candidates: Candidates, seed: int) -> np.ndarray:
        inside = (candidates.ranks >= self.start) & (candidates.ranks < self.end)
        return np.where(inside, 0.0, -np.inf)


class OddRanks(Filter):
    """Keeps odd ranks."""

    name = "odd"

    def mask(self, queries: Queries, candidates: Candidates) -> np.ndarray:
        kept: np.ndarray = candidates.ranks % 2 == 1
        return kept


@dataclass
class Chosen:
    slots: list[int] = field(default_factory=list)
    promoted: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    asked: list[list[int]] = field(default_factory=list)


def _unique(stages: tuple[Any, ...]) -> list[str]:
    """Names of stages; the second and later of a name are numbered."""
    seen: Counter[str] = Counter()
    names = []
    for stage in stages:
        seen[stage.name] += 1
        names.append(stage.name if seen[stage.name] == 1 else f"{stage.name}-{seen[stage.name]}")
    return names


def one_by_one(
    queries: Queries, candidates: Candidates, rules: Rules, line: int, *, lazy: bool = True
) -> Chosen:
    """Choose for one query: by asking in order until n survive, or by judging all first."""
    rest = {slot for slot in range(candidates.shape[1]) if candidates.filled[line, slot]}
    out = Chosen(asked=[[] for _ in rules.vetoes])
    out.counts["retrieved"] = len(rest)
    filters = (*ALWAYS_ON, *rules.filters)
    for name, rule in zip(_unique(filters), filters, strict=True):
        kept = {slot for slot in rest if rule.mask(queries, candidates)[line, slot]}
        out.counts[f"drop:{name}"] += len(rest - kept)
        rest = kept
    keys = rules.sampler.keys(queries, candidates, rules.seed)[line]
    order = sorted((slot for slot in rest if keys[slot] > -np.inf), key=lambda s: (-keys[s], s))
    limits = [veto.keep_top_k for veto in rules.vetoes if veto.keep_top_k is not None]
    budget = min(limits, default=10**9)
    texts: set[int] = set()
    names = _unique(rules.vetoes)
    taken = 0
    for slot in order:
        if budget == 0 or (lazy and len(out.slots) == rules.n):
            break
        taken += 1
        text = int(candidates.document_keys[line, slot])
        if text in texts:
            out.counts["drop:duplicate-text"] += 1
            continue
        texts.add(text)
        budget -= 1
        for place, veto in enumerate(rules.vetoes):
            assert isinstance(veto, HashVeto)
            key = candidates.document_keys[line : line + 1, slot]
            verdict = veto.verdicts(queries.keys[line : line + 1], key)[0]
            out.asked[place].append(slot)
            out.counts[f"ask:{names[place]}"] += 1
            if verdict != Verdict.KEEP:
                kind = "promote" if verdict == Verdict.PROMOTE else "drop"
                out.counts[f"{kind}:{names[place]}"] += 1
                out.promoted += [slot] * int(verdict == Verdict.PROMOTE)
                break
        else:
            out.slots.append(slot)
    out.slots = out.slots[: rules.n]
    out.counts["unused"] = len(rest) - taken
    out.counts["chosen"] = len(out.slots)
    return out


def trace_of(chosen: Chosen, rules: Rules) -> list[int]:
    """The counts in the order of the columns of a trace."""
    return [chosen.counts[name] for name in trace_names(rules)]
