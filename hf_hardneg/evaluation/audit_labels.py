"""Which labels of a file are of negatives of a mined set."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import QueryError, listing
from hf_hardneg.evaluation.label_cases import LabelCases, bad_queries, side_of
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.hashing import exact_keys, mix, text_keys
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.pool import description_of

__all__ = ["labels_of_set", "took_part"]

BY_ID, BY_TEXT = 0, 1

Keys = NDArray[np.uint64]


def labels_of_set(mined: MinedSet, labels: Labels) -> tuple[Labels, str]:
    """Return the labels of negatives of the set, controls among them, and what to say of it.

    What is said is of the pairs that were drawn; those picked by hand are kept where they are of
    negatives of the set, for :func:`~hf_hardneg.evaluation.label_rate.label_rate` to count.

    A query is the same by its normalised text, or by its id where one side has no text; a document
    by its id or its normalised text. Where the labels say how deep they were drawn and the set has
    ranks, negatives beyond that depth are counted: none of these could be drawn.

    Raises:
        QueryError: no label is of a negative of the set.
    """
    rows = [row for row in labels if not row.control]
    found = _found(mined, rows)
    if not found.any():
        examples = listing((f"({query!r}, {document!r})" for query, document in
                            (row.pair for row in rows)), limit=2)  # fmt: skip
        raise QueryError(
            f"none of the {len(rows):,} lines of {labels.name} is of a negative of {mined.name}; "
            f"they are of pairs such as {examples}. Give labels of this set: hf-hardneg sample "
            "draws what to label."
        )
    there = {row.pair for row, own in zip(rows, found, strict=True) if own}
    drawn = [row for row in rows if not row.hand_picked]
    own, every = {row.pair for row in drawn} & there, len({row.pair for row in drawn})
    kept = Labels(
        [row for row in labels if row.control or row.pair in there],
        labels.name,
        bad_queries(labels),  # a query may be called bad at a pair that the set does not have
    )
    if not drawn:
        return kept, "Every label is of a pair that somebody picked; none was drawn."
    said = "All" if len(own) == every else f"{len(own):,} of"
    left = "" if len(own) == every else "; the others are left out"
    return kept, (
        f"{said} {every:,} labelled pairs are negatives of this set{left}. They were drawn at "
        "random, or with their weights, from this set or from a pool that holds it."
    ) + _beyond(mined, drawn)


STAGE = re.compile(r"(?:^|\+)\s*labelled\s*(?:\(|\+|$)")


def took_part(mined: MinedSet, labels: Labels, strategy: str = "") -> str:
    """Return why labels say nothing of the rate of a set that was chosen by them; empty if they do.

    A set that was mined with the stage ``labelled`` lacks just those pairs that its labels call
    false: of what is left of a sample none is false, whatever the rate is. So where drawn pairs
    that are called false are not in such a set, there is no rate.

    Args:
        mined: the set.
        labels: all of the file.
        strategy: that the set was mined with; default: what the set itself says.
    """
    told = description_of(mined.rows).get("report", {})
    strategy = strategy or str(told.get("strategy", "") if isinstance(told, dict) else "")
    if not STAGE.search(strategy):
        return ""
    false = [case.label for case in LabelCases.of(labels).decided if side_of(case.value)]
    gone = int(np.count_nonzero(~_found(mined, false))) if false else 0
    if not gone:
        return ""
    return (
        f"the set was mined with labels (the stage labelled), and {gone:,} drawn pairs that are "
        "called false are not in it: the labels took part in choosing it, and what is left of "
        "their sample looks better than the set is. Draw a new sample from this set: hf-hardneg "
        "sample"
    )


def _beyond(mined: MinedSet, rows: Sequence[Label]) -> str:
    """Say how many negatives of the set stand deeper than anything that could be drawn."""
    depths = [row.depth for row in rows]
    known = [depth for depth in depths if depth is not None]
    if not known or len(known) < len(depths) or not mined.has("negative_ranks"):
        return ""
    deepest, beyond, every = max(known), 0, 0
    for batch in mined.batches():
        _, ranks = batch.numbers("negative_ranks")
        beyond += int(np.count_nonzero(ranks > deepest))
        every += len(ranks)
    if not beyond:
        return ""
    return (
        f" But they were drawn from ranks up to {deepest:,}, and {beyond:,} of the set's {every:,} "
        "negatives have deeper ones: if these are ranks of the same retriever, none of them could "
        "be drawn, and the rate says nothing of them. Draw labels from this set, or from a pool as "
        "deep."
    )


def _found(mined: MinedSet, rows: Sequence[Label]) -> NDArray[np.bool_]:
    """Return which labels are of a negative of the set."""
    queries = {
        BY_ID: exact_keys(row.query_id for row in rows),
        BY_TEXT: text_keys(row.query for row in rows),
    }
    documents = {
        BY_ID: (
            exact_keys(row.document_id for row in rows),
            [bool(row.document_id) for row in rows],
        ),
        BY_TEXT: (text_keys(row.document for row in rows), [bool(row.document) for row in rows]),
    }
    by_text = np.array([bool(row.query) and mined.query_texts for row in rows], dtype=np.bool_)
    found = np.zeros(len(rows), dtype=np.bool_)
    for batch in mined.batches():
        own_queries = _queries_of(batch, mined.query_texts)
        for kind, (offsets, keys) in _documents_of(batch).items():
            labelled, given = documents[kind]
            for how, own in own_queries.items():
                asked = np.flatnonzero((by_text == (how == BY_TEXT)) & given)
                pairs = mix(np.repeat(own, np.diff(offsets)), keys)
                found[asked] |= np.isin(mix(queries[how][asked], labelled[asked]), pairs)
    return found


def _queries_of(batch: MinedBatch, texts: bool) -> dict[int, Keys]:
    """Return the keys of the queries by what they are told apart by."""
    found = {BY_TEXT: text_keys(batch.queries())} if texts else {}
    if batch.has("query_id"):
        found[BY_ID] = exact_keys(batch.query_ids())
    elif not texts:
        found[BY_ID] = exact_keys(batch.queries())
    return found


def _documents_of(batch: MinedBatch) -> dict[int, tuple[NDArray[np.int64], Keys]]:
    """Return (offsets, keys) of the negatives, likewise."""
    found = {}
    if batch.has("negatives"):
        found[BY_TEXT] = batch.keys("negatives")
    if batch.has("negative_ids"):
        lists = batch.texts("negative_ids")
        found[BY_ID] = (lists.offsets, exact_keys(lists.flat))
    return found
