"""A pool with what became of each candidate: what a person looks at to see why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from datasets import Features, List, Value
from numpy.typing import NDArray

from hf_hardneg.arrow import list_array, nullable_floats, ragged
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.cross_encoder_stage import CrossEncoderStage
from hf_hardneg.formats.output import made_query_id
from hf_hardneg.pair_scorer import PAIRS_AT_ONCE
from hf_hardneg.pool import candidates_of
from hf_hardneg.selection import Rules, Selection, filter_column, select, trace_names
from hf_hardneg.single_positives import by_positive, one_positive_a_row
from hf_hardneg.stages import Reader, TimedStage

__all__ = ["MODEL_SCORES", "OUTCOME_FEATURES", "OutcomeStage", "outcome_features", "outcome_names",
           "scoring_stage"]  # fmt: skip

MODEL_SCORES = "candidate_model_scores"
"""A further column where a stage asks a cross-encoder; see :func:`outcome_features`."""

OUTCOME_FEATURES = Features(
    {
        "query_id": Value("string"),
        "query": Value("string"),
        "positive_ids": List(Value("string")),
        "positive_scores": List(Value("float32")),
        "candidate_ids": List(Value("string")),
        "candidate_scores": List(Value("float32")),
        "candidate_ranks": List(Value("int32")),
        "candidate_sources": List(Value("string")),
        "candidate_outcomes": List(Value("string")),
    }
)
"""One row a query. A positive that is no document of the corpus has no id; the retriever's score
stands beside each positive and each candidate; ``candidate_sources`` names the retriever that
found it, ``candidate_outcomes`` says what became of it: see :func:`outcome_names`."""


def outcome_features(rules: Rules) -> Features:
    """Return the columns of the outcomes of these rules.

    Where a stage asks a cross-encoder, ``candidate_model_scores`` stands beside the others: the
    score that it gave a candidate, on the stage's own scale (of ``denoised`` its ``activation``,
    of ``risk`` logits); null where it was not asked. Of several such stages the first veto counts,
    without a veto the first filter.
    """
    if scoring_stage(rules) is None:
        return OUTCOME_FEATURES
    return Features({**OUTCOME_FEATURES, MODEL_SCORES: List(Value("float32"))})


def scoring_stage(rules: Rules) -> CrossEncoderStage | None:
    """Return the stage whose scores stand among the outcomes, ``None`` where none asks a model."""
    for stage in (*rules.vetoes, *rules.filters):
        if isinstance(stage, CrossEncoderStage) and stage.scores_pairs:
            return stage
    return None


def outcome_names(rules: Rules) -> list[str]:
    """Return what may become of a candidate, in the order of :func:`selection.trace_names`.

    ``chosen``; ``not needed``, where enough were chosen before it; ``promoted by STAGE``; or the
    name of the stage that took it out.
    """
    names = []
    for name in trace_names(rules):
        kind, _, stage = name.partition(":")
        said = {"drop": stage, "promote": f"promoted by {stage}", "unused": "not needed"}
        names.append(said.get(kind, name))
    return names


class OutcomeStage(TimedStage):
    """Makes one row a query of a pool: its candidates, and what became of each.

    Args:
        reader: reads the batches.
        rules: how candidates become negatives, fitted.
        source_names: names of the retrievers of the pool.
    """

    def __init__(self, reader: Reader, rules: Rules, source_names: tuple[str, ...]) -> None:
        """Keep the recipe."""
        super().__init__()
        self._reader, self._rules, self._source_names = reader, rules, source_names

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the batch with the outcomes."""
        if by_positive(self._rules):
            table = one_positive_a_row(table, self._reader.columns)
        corpus = self._reader.corpus
        queries = self._reader.queries(table)
        candidates = candidates_of(table, queries, corpus, self._source_names)
        chosen = select(
            queries, candidates, self._rules, corpus, self.stopwatch, with_outcomes=True
        )
        columns = self._columns(queries, candidates, chosen)
        return pa.table({name: columns[name] for name in outcome_features(self._rules)})

    def _columns(
        self, queries: Queries, candidates: Candidates, chosen: Selection
    ) -> dict[str, pa.Array]:
        corpus, filled = self._reader.corpus, candidates.filled
        offsets, known = ragged(filled), queries.offsets.astype(np.int32)
        inside = queries.positive_rows != NO_ROW
        ids = np.full(len(inside), None, dtype=object)
        ids[inside] = corpus.ids(queries.positive_rows[inside])
        outcomes = chosen.outcomes
        if outcomes is None:
            raise TypeError(
                "a selection without outcomes; select(..., with_outcomes=True) has them"
            )
        flat: dict[str, pa.Array] = {
            "candidate_ids": corpus.id_array(candidates.rows[filled]),
            "candidate_scores": nullable_floats(candidates.scores[filled]),
            "candidate_ranks": pa.array(candidates.ranks[filled]),
            "candidate_sources": _named(candidates.sources[filled], candidates.source_names),
            "candidate_outcomes": _named(outcomes[filled], outcome_names(self._rules)),
        }
        stage = scoring_stage(self._rules)
        if stage is not None:
            given = self._model_scores(stage, queries, candidates, chosen)
            flat[MODEL_SCORES] = nullable_floats(given[filled])
        names = queries.ids or [made_query_id(text) for text in queries.texts]
        return {
            "query_id": pa.array(list(names), pa.string()),
            "query": pa.array(queries.texts, pa.string()),
            "positive_ids": list_array(known, pa.array(ids, pa.string())),
            "positive_scores": list_array(known, nullable_floats(candidates.positive_scores)),
            **{name: list_array(offsets, values) for name, values in flat.items()},
        }

    def _model_scores(
        self, stage: CrossEncoderStage, queries: Queries, candidates: Candidates, chosen: Selection
    ) -> NDArray[np.float32]:
        """Return the score of each candidate that the stage was asked about, ``nan`` elsewhere.

        The decision has just been made with them: the scorer looks them up, and asks no model.
        """
        lines, slots = np.nonzero(_asked(self._rules, stage, chosen))
        scores = np.full(candidates.shape, np.nan, dtype=np.float32)
        for start in range(0, len(lines), PAIRS_AT_ONCE):
            line, slot = (own[start : start + PAIRS_AT_ONCE] for own in (lines, slots))
            asked = [queries.texts[place] for place in line.tolist()]
            texts = self._reader.corpus.texts(candidates.rows[line, slot])
            scores[line, slot] = stage.scorer.score(asked, texts)
        return scores


def _asked(rules: Rules, stage: CrossEncoderStage, chosen: Selection) -> NDArray[np.bool_]:
    """Return which candidates came as far as a stage, shape (batch, k)."""
    if chosen.asked is None or chosen.outcomes is None:
        raise TypeError("a selection without outcomes; select(..., with_outcomes=True) has them")
    for place, veto in enumerate(rules.vetoes):
        if id(veto) == id(stage):
            return chosen.asked[..., place]
    [place] = [place for place, rule in enumerate(rules.filters) if id(rule) == id(stage)]
    # What a stage before it took out has the number of a column before its own; empty slots -1.
    return chosen.outcomes >= filter_column(rules, place)


def _named(places: NDArray[np.integer], names: Sequence[str]) -> pa.Array:
    """Return a name for each place in ``names``."""
    codes = pa.array(places.astype(np.int32), mask=places < 0)
    values = pa.array(list(names), pa.string())
    return pa.DictionaryArray.from_arrays(codes, values).cast(pa.string())
