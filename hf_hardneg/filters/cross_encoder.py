"""A cross-encoder that throws out candidates it finds relevant."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import at_least, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.cross_encoder_stage import CrossEncoderStage
from hf_hardneg.errors import ParameterError
from hf_hardneg.filters.base import Verdict, Veto
from hf_hardneg.filters.cross_encoder_cost import Asking, cross_encoding
from hf_hardneg.pair_scorer import BATCH_SIZE, positive_texts
from hf_hardneg.workload import Nearest, Phase, Workload

__all__ = ["DEFAULT_CROSS_ENCODER", "CrossEncoderDenoiser", "verdicts"]

DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"


class CrossEncoderDenoiser(CrossEncoderStage, Veto):
    """Keeps a candidate only if a cross-encoder is confident that it is not relevant.

    RocketQA (Y. Qu et al., NAACL 2021, section 3.2 and its released code) scans the first 50
    candidates with a cross-encoder: a score below 0.1 makes a negative, above 0.9 a
    pseudo-positive, and what lies between is discarded. Difference from the paper: candidates are
    asked about in the sampler's order and only until enough have survived, which gives the same
    negatives for fewer calls; pseudo-positives are therefore found only among those asked.

    Args:
        model: name on the Hub, path, or a loaded ``sentence_transformers.CrossEncoder`` with one
            output. A loaded one keeps its own revision, length and device.
        threshold: a negative scores below this.
        promote_above: a score above this makes a pseudo-positive; it is dropped, or with
            ``promote=True`` also written to the column ``promoted_ids``.
        keep_top_k: how many candidates of a query may be asked about, in the sampler's order.
        positive_margin: instead of ``threshold``: a negative scores below the positive's own
            cross-encoder score (the lowest, if there are several) minus this.
        promote: write pseudo-positives out.
        fill_beyond: RocketQA's fallback for a row with too few survivors: what is missing is
            filled with candidates of a raw rank above this (50 in the paper's setting), in the
            sampler's order and without asking the cross-encoder. They are marked in the column
            ``hard_negative_filled`` and counted as fill in the report. At least 1; ``None``, the
            default: such a row stays short, or ``underfilled`` says what happens to it. The
            retriever has to list more than this, as in ``bm25@200+denoised(fill_beyond=50)``;
            else there is nothing to fill with.
        activation: the scale of all these numbers. ``sigmoid``: 0 to 1, the paper's scale, also
            for a model that gives logits. ``identity``: logits. ``model``: whatever the model is
            configured to give.
        revision: branch, tag or commit of a model on the Hub.
        max_length: longest pair in tokens; longer ones are cut. Default: the model's own.
        batch_size: pairs in one forward pass.
        device: where the model runs; default: sentence-transformers' choice.
        cache_dir: where scores are kept, so that no pair is scored twice.

    Raises:
        ParameterError: thresholds in the wrong order, or a parameter out of range.
        ModelError: the model cannot be had, or has more than one output.
    """

    name = "denoised"
    source = "Qu et al., RocketQA, NAACL 2021, section 3.2"
    costs = "a cross-encoder, lazily: about as many pairs as negatives"

    def __init__(
        self,
        model: Any = DEFAULT_CROSS_ENCODER,  # noqa: ANN401
        *,
        threshold: float = 0.1,
        promote_above: float = 0.9,
        keep_top_k: int = 50,
        positive_margin: float | None = None,
        promote: bool = False,
        fill_beyond: int | None = None,
        activation: str = "sigmoid",
        revision: str | None = None,
        max_length: int | None = None,
        batch_size: int = BATCH_SIZE,
        device: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; the model is loaded when it is first asked."""
        self.threshold = at_least(self.name, "threshold", threshold, -np.inf)
        self.promote_above = at_least(self.name, "promote_above", promote_above, -np.inf)
        if self.threshold > self.promote_above:
            raise ParameterError(
                f"denoised: threshold={threshold} is above promote_above={promote_above}; expected "
                "threshold <= promote_above."
            )
        self.keep_top_k: int = whole_number(self.name, "keep_top_k", keep_top_k, 1)
        self.positive_margin = (
            None
            if positive_margin is None
            else at_least(self.name, "positive_margin", positive_margin, 0)
        )
        self.promote = promote
        self.promotes = promote
        self.fill_beyond = (
            None if fill_beyond is None else whole_number(self.name, "fill_beyond", fill_beyond, 1)
        )
        self._take_cross_encoder(
            model,
            activation=activation,
            revision=revision,
            max_length=max_length,
            batch_size=batch_size,
            device=device,
            cache_dir=cache_dir,
        )
        self.model, self.activation = self.scorer.model, activation

    def judge(
        self,
        queries: Queries,
        candidates: Candidates,
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        corpus: Corpus,
    ) -> NDArray[np.int8]:
        """Score the asked candidates and compare with the thresholds; see :class:`Veto`."""
        texts = [queries.texts[int(line)] for line in lines]
        scores = self.score(texts, corpus.texts(candidates.rows[lines, slots]))
        if self.positive_margin is None:
            limit = np.full(len(lines), self.threshold)
        else:
            limit = self._positive_scores(queries, lines, corpus) - self.positive_margin
        return verdicts(scores, limit, self.promote_above)

    def _positive_scores(
        self, queries: Queries, lines: NDArray[np.int64], corpus: Corpus
    ) -> NDArray[np.float64]:
        """Return the lowest cross-encoder score among the positives of each asked query."""
        asked = np.unique(lines)
        places = [
            place
            for line in asked
            for place in range(queries.offsets[line], queries.offsets[line + 1])
        ]
        owner = np.repeat(asked, queries.positives_per_query[asked])
        texts = positive_texts(queries, places, corpus)
        scores = self.score([queries.texts[int(line)] for line in owner], texts)
        lowest = np.full(len(queries), np.inf)
        np.minimum.at(lowest, owner, scores.astype(np.float64))
        return lowest[lines]

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
        """Return the score of each pair, (pairs,); see :meth:`PairScorer.score`."""
        return self.scorer.score(queries, documents)

    def trial(self, work: Workload, nearest: Nearest, corpus: Corpus) -> tuple[Phase, ...]:
        """Score some pairs; see :meth:`Veto.trial`."""
        if not nearest:
            return ()
        asking = Asking(
            work.num_negatives, self.threshold, self.keep_top_k, self.positive_margin is not None
        )
        return cross_encoding(self.name, self.scorer.predict, asking, work, nearest, corpus)


def verdicts(
    scores: NDArray[np.float32], limit: NDArray[np.float64], promote_above: float
) -> NDArray[np.int8]:
    """Return the verdict on pairs by the scores of the cross-encoder, shape (pairs,).

    Args:
        scores: of the pairs.
        limit: a negative scores below this, shape (pairs,).
        promote_above: a score above this makes a pseudo-positive.
    """
    found = np.where(scores < limit, Verdict.KEEP, Verdict.DROP)
    return np.where(scores > promote_above, Verdict.PROMOTE, found).astype(np.int8)
