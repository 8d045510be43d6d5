"""An audit of a mined set: everything that is known to go wrong, counted, with examples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from datasets import Dataset

from hf_hardneg.checks import whole_number
from hf_hardneg.evaluation.audit_check import Check
from hf_hardneg.evaluation.audit_documents import (
    EmptyTexts,
    OwnPositives,
    Repeated,
    ShortRows,
    Uneven,
    Unknown,
)
from hf_hardneg.evaluation.audit_leakage import (
    Evaluation,
    EvaluationDocuments,
    EvaluationQueries,
)
from hf_hardneg.evaluation.audit_near import NearDuplicates
from hf_hardneg.evaluation.audit_report import Audit
from hf_hardneg.evaluation.audit_scores import ConstantScores, MissingScores, Outscoring
from hf_hardneg.evaluation.audit_truncated import Truncated
from hf_hardneg.evaluation.audit_use import Hubs, RepeatedRows, Siblings
from hf_hardneg.evaluation.finding import NO_PLACE, Example, Finding, Place
from hf_hardneg.evaluation.keyed_batch import keyed
from hf_hardneg.evaluation.spool import NewSpool, spools
from hf_hardneg.evaluation.text_facts import TextFacts
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.rates import Rate

__all__ = ["EXAMPLES", "NEAR_DUPLICATES", "audit"]

EXAMPLES = 5
NEAR_DUPLICATES = 10_000
LONGEST = 2_000
"""Characters of a text in an example; pages fold them, terminals cut them further."""
OWNER = "audit"


def audit(
    mined: MinedSet,
    *,
    evaluation: str | os.PathLike[str] | Dataset | Evaluation | None = None,
    evaluation_split: str | None = None,
    num_negatives: int | None = None,
    near_duplicates: int = NEAR_DUPLICATES,
    examples: int = EXAMPLES,
    rates: Sequence[Rate] = (),
) -> Audit:
    """Look for everything that is known to go wrong in a mined set.

    The rows are read once, in batches. Memory does not grow with them but for the queries that
    stand in several rows and their positives, eight bytes each, and 30 MB or so of facts about
    texts that were seen lately; what is compared at the end lies in temporary files: 16 bytes a
    negative, 8 a positive and 32 a row.

    Two documents are the same if their ids are, or their normalised texts (Unicode NFKC, case
    folded, white space collapsed). What the set lacks the information for is said as not checked,
    never counted as 0.

    Args:
        mined: the set; :func:`hf_hardneg.mined_sources.load_mined` opens any.
        evaluation: queries that the model will be evaluated on, as :meth:`Evaluation.load` takes
            them.
        evaluation_split: of these; default for a BEIR folder: test, else dev.
        num_negatives: negatives that a row should have; default: what most rows have.
        near_duplicates: rows in which near-duplicates of the positive are looked for, about so
            many, drawn by a hash of the query; 0 for none, as many as there are for all.
        examples: cases shown of each finding, the first by row (of hubs the most used).
        rates: of false negatives, to be shown with the rest; see
            :func:`~hf_hardneg.evaluation.audit_rates.rates_of`.

    Raises:
        ParameterError: a number out of range.
        FormatError: rows or evaluation data that cannot be read.
    """
    examples = whole_number(OWNER, "examples", examples, 0)
    sample = whole_number(OWNER, "near_duplicates", near_duplicates, 0)
    if num_negatives is not None:
        num_negatives = whole_number(OWNER, "num_negatives", num_negatives, 1)
    held_out = evaluation
    if held_out is not None and not isinstance(held_out, Evaluation):
        held_out = Evaluation.load(held_out, evaluation_split)
    with spools() as new:
        checks = _checks(mined, new, examples, sample, num_negatives, held_out)
        return replace(_run(mined, checks), rates=list(rates))


def _checks(
    mined: MinedSet,
    new: NewSpool,
    examples: int,
    sample: int,
    num_negatives: int | None,
    evaluation: Evaluation | None,
) -> list[Check]:
    return [
        OwnPositives(examples),
        Siblings(examples, new),
        Repeated(examples),
        EmptyTexts(examples),
        Unknown(examples),
        Uneven(examples),
        EvaluationQueries(examples, evaluation),
        NearDuplicates(examples, sample, len(mined)),
        Outscoring(examples),
        Hubs(examples, new),
        Truncated(examples),
        MissingScores(examples),
        ConstantScores(examples),
        ShortRows(examples, new("row-counts", np.int32), num_negatives),
        RepeatedRows(examples, new),
        EvaluationDocuments(examples, evaluation, "negatives"),
        EvaluationDocuments(examples, evaluation, "positives"),
    ]


def _run(mined: MinedSet, checks: Sequence[Check]) -> Audit:
    skipped = {check.name: check.lacks(mined) for check in checks}
    active = [check for check in checks if not skipped[check.name]]
    facts = TextFacts()
    positives = negatives = 0
    for rows in mined.batches():
        batch = keyed(rows, facts)
        positives, negatives = positives + len(batch.positives), negatives + len(batch.negatives)
        for check in active:
            check.add(batch)
    findings: list[Finding] = []
    for check in checks:
        if skipped[check.name]:
            findings.append(check.unchecked(skipped[check.name]))
            continue
        check.finish()
        shown = [
            _example(mined, place, check.remarks.get(place, "")) for place in check.tally.places
        ]
        findings.append(replace(check.finding(), examples=shown))
    return Audit(mined.name, len(mined), positives, negatives, findings, list(_matched(mined)))


def _matched(mined: MinedSet) -> list[str]:
    """Return how the set was read, and by what its documents are told apart."""
    notes = list(mined.notes)
    if not mined.has("negative_ids") or not mined.has("positive_ids"):
        notes.append("Positives or negatives have no ids: documents are matched by their texts.")
    return notes


def _example(mined: MinedSet, place: Place, note: str) -> Example:
    """Return a case with its texts, read now."""
    row, number = place
    batch = mined.at(row)
    query_id = batch.query_ids()[0] if batch.has("query_id") else ""
    return Example(
        row,
        None if number == NO_PLACE else number,
        query_id,
        batch.queries()[0][:LONGEST],
        _document(batch, "positive", 0),
        None if number == NO_PLACE else _document(batch, "negative", number),
        None if number == NO_PLACE else _score(batch, "negative", number),
        _score(batch, "positive", 0),
        note,
    )


def _document(batch: MinedBatch, side: str, place: int) -> str:
    """Return a text, or the id where there is none."""
    for name in (f"{side}s", f"{side}_ids"):
        if batch.has(name):
            own = batch.texts(name)[0]
            if place < len(own):
                return own[place][:LONGEST]
    return ""


def _score(batch: MinedBatch, side: str, place: int) -> float | None:
    name = f"{side}_scores"
    if not batch.has(name):
        return None
    _, values = batch.numbers(name)
    known = place < len(values) and bool(np.isfinite(values[place]))
    return float(str(np.float32(values[place]))) if known else None
