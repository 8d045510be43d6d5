"""How many of what another decision chooses is relevant, by labels that were drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.evaluation.label_cases import LabelCases, bad_queries, side_of
from hf_hardneg.evaluation.label_rate import METHOD as LABELS
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.filters import LabelledFilter
from hf_hardneg.hashing import text_keys
from hf_hardneg.inspection.opened import InspectedSet
from hf_hardneg.inspection.pool_batch import PoolBatch, pool_batch, pool_of
from hf_hardneg.inspection.slider_engine import SliderEngine
from hf_hardneg.inspection.views import CHOSEN
from hf_hardneg.rates import Rate

__all__ = ["labelled_rate", "unknown_rate"]

AT_ONCE = 2_000


def unknown_rate(method: str, why: str, details: dict[str, Any] | None = None) -> Rate:
    """Return that there is no rate, and why."""
    return Rate(method, None, None, None, 0, why=why, details=details or {})


@dataclass(slots=True)
class _Chosen:
    """What a decision chooses for the queries of labels.

    Attributes:
        labels: those of pairs that are chosen.
        pairs: of these, how many pairs.
        drawn_added: of these, pairs that the set has not.
        negatives: all that is chosen for these queries.
        added: of these, those that the set has not.
        beyond: of these, those deeper than anything that could be drawn.
        taken_out: drawn pairs that are called false and that the stage ``labelled`` took out.
    """

    labels: list[Label]
    pairs: int = 0
    drawn_added: int = 0
    negatives: int = 0
    added: int = 0
    beyond: int = 0
    taken_out: int = 0


def labelled_rate(inspected: InspectedSet, engine: SliderEngine, labels: Labels) -> Rate:
    """Return the rate that drawn labels give for what a decision chooses.

    The decision is made for all queries that have a label. Of the drawn pairs those count that it
    chooses, each with the weight of its draw: they are a sample of what it chooses as far as that
    could be drawn. So there is no rate where negatives are chosen that the set has not and none
    of them was drawn, as with labels drawn from the set itself, nor where some stand deeper than
    anything that could be drawn. Labels of pairs that were picked by hand are left out. Labels that
    took part in choosing the set, by the stage ``labelled``, give no rate either: what they call
    false is what that stage took out.

    Args:
        inspected: the set, with its pool.
        engine: decides.
        labels: of negatives of the set, or of a pool.
    """
    drawn = [row for row in labels if not row.control and not row.hand_picked]
    by_query: dict[tuple[str, str], list[Label]] = {}
    for row in drawn:
        by_query.setdefault((row.query_id, row.query), []).append(row)
    pool = pool_of(inspected)
    lines: dict[int, list[Label]] = {}
    for (query_id, query), own in by_query.items():
        for number in pool.all_of(query_id, query).tolist():
            lines.setdefault(number, []).extend(own)
    if not lines:
        return unknown_rate(LABELS, f"none of the queries of {labels.name} is in the pool")
    depths = [row.depth for row in drawn]
    known = [depth for depth in depths if depth is not None]
    deepest = max(known) if known and len(known) == len(depths) else None
    found = _chosen(inspected, engine, lines, deepest)
    details = {
        "labelled_pairs": len({row.pair for row in drawn}),
        "labelled_pairs_chosen": found.pairs,
        "negatives_of_these_queries": found.negatives,
        "of_these_added": found.added,
    }
    if why := _not_covered(found, deepest):
        return unknown_rate(LABELS, why, details)
    kept = {row.pair for row in found.labels}
    rate = label_rate(
        Labels(
            [row for row in labels if row.control or (row.pair in kept and not row.hand_picked)],
            labels.name,
            bad_queries(labels),
        )
    )
    said = (
        f"{found.pairs:,} of {details['labelled_pairs']:,} drawn pairs are chosen by this "
        "decision; with the weights of their draw they stand for all that it chooses."
    )
    return replace(rate, assumed=(said, *rate.assumed), details={**rate.details, **details})


def _not_covered(found: _Chosen, deepest: int | None) -> str:
    """Say why the labels cannot stand for what is chosen; empty if they can."""
    if found.taken_out:
        return (
            f"the set was mined with labels (the stage labelled), which took {found.taken_out:,} "
            "drawn pairs out that these labels call false: the labels took part in choosing it. "
            "Draw a new sample from this set"
        )
    if not found.pairs:
        return "none of the pairs that were drawn to be labelled is chosen"
    if found.added and not found.drawn_added:
        return (
            f"of the labelled queries {found.added:,} of {found.negatives:,} negatives are others "
            "than the set's own, and none of these was drawn to be labelled. Draw labels from the "
            "pool"
        )
    if found.beyond:
        return (
            f"{found.beyond:,} of {found.negatives:,} negatives stand deeper than rank "
            f"{deepest:,}, the last that could be drawn to be labelled. Draw labels from a pool as "
            "deep"
        )
    return ""


def _chosen(
    inspected: InspectedSet,
    engine: SliderEngine,
    lines: dict[int, list[Label]],
    deepest: int | None,
) -> _Chosen:
    """Decide for the rows of labels, and look up which labels are of what is chosen."""
    found, pool, corpus = _Chosen([]), pool_of(inspected), inspected.corpus
    numbers = sorted(lines)
    kept: dict[tuple[str, str], bool] = {}
    called = LabelCases.of(Labels([row for own in lines.values() for row in own])).decided
    false = {case.label.pair for case in called if side_of(case.value)}
    gone: set[tuple[str, str]] = set()
    for start in range(0, len(numbers), AT_ONCE):
        batch = pool_batch(pool, numbers[start : start + AT_ONCE], corpus)
        slots, own = engine.chosen(batch), batch.of([CHOSEN])
        for line, number in enumerate(batch.rows.tolist()):
            places = slots[line][slots[line] >= 0]
            found.negatives += len(places)
            found.added += int((~own[line, places]).sum())
            if deepest is not None:
                found.beyond += int((batch.candidates.ranks[line, places] > deepest).sum())
            texts = text_keys([row.document for row in lines[number]]).tolist()
            there = _Places(batch, line, places)
            by_labels = _Places(batch, line, np.flatnonzero(batch.of(_labelled(batch))[line]))
            for row, key in zip(lines[number], texts, strict=True):
                if row.pair in false and by_labels.of(row, key) is not None:
                    gone.add(row.pair)
                place = there.of(row, key)
                if place is None:
                    continue
                found.labels.append(row)
                kept[row.pair] = kept.get(row.pair, False) or not own[line, place]
    found.pairs, found.drawn_added = len(kept), sum(kept.values())
    found.taken_out = len(gone)
    return found


def _labelled(batch: PoolBatch) -> list[str]:
    """Return the names that the stage ``labelled`` has among the outcomes."""
    own = LabelledFilter.name
    return [name for name in batch.names if name == own or name.startswith(f"{own}-")]


class _Places:
    """Some candidates of a row, by what labels call them."""

    def __init__(self, batch: PoolBatch, line: int, places: NDArray[np.int64]) -> None:
        rows, keys = batch.candidates.rows[line], batch.candidates.document_keys[line]
        own = places.tolist()
        self._by_id = {batch.ids[rows[place]]: place for place in own}
        self._by_text = {int(keys[place]): place for place in own} if batch.texts else {}

    def of(self, label: Label, key: int) -> int | None:
        """Return the place of a label's document; ``key`` is that of its text."""
        place = self._by_id.get(label.document_id) if label.document_id else None
        return self._by_text.get(key) if place is None and label.document else place
