"""A cross-encoder that throws out candidates it finds relevant."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root, content_hash
from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.checks import at_least, one_of, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.filters.base import Verdict, Veto
from hf_hardneg.filters.cross_encoder_cost import Asking, cross_encoding
from hf_hardneg.hashing import exact_keys, mix
from hf_hardneg.models import LoadedModel, load_cross_encoder, model_fingerprint, model_name
from hf_hardneg.pair_scores import PairScores
from hf_hardneg.workload import Nearest, Phase, Workload

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

__all__ = ["DEFAULT_CROSS_ENCODER", "CrossEncoderDenoiser"]

DEFAULT_CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"
ACTIVATIONS = ("sigmoid", "identity", "model")
STORE_VERSION = 1
WEIGHTS = "weights"
PAIRS_AT_ONCE = 8192


class CrossEncoderDenoiser(Veto):
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
        batch_size: int = 64,
        device: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; the model is loaded when it is first asked."""
        self.model = os.fspath(model) if isinstance(model, os.PathLike) else model
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
        self.activation = one_of(self.name, "activation", activation, ACTIVATIONS)
        for name, value in (
            ("revision", revision), ("max_length", max_length), ("device", device)
        ):  # fmt: skip
            if value is not None and not isinstance(self.model, str):
                raise ParameterError(
                    f"denoised: {name}={value!r} is given with a loaded model, which has its own. "
                    "Set it where the model is loaded, or give the model's name or path."
                )
        self.revision = revision
        self.max_length = (
            None if max_length is None else whole_number(self.name, "max_length", max_length, 1)
        )
        self.batch_size = whole_number(self.name, "batch_size", batch_size, 1)
        self.device = device
        self.cache_dir = cache_dir
        self._encoder: CrossEncoder | None = None
        self._scores: PairScores | None = None
        self._fingerprint: str | None = None
        self.pairs_scored = 0

    def fingerprint(self) -> str:
        """Return the hash of the model's weights, worked out once."""
        if self._fingerprint is None:
            self._fingerprint = model_fingerprint(self.model, self.revision)
        return self._fingerprint

    def weights(self) -> dict[str, str]:
        """Return the model's name, the hash of its weights, and the scale of its scores."""
        return {
            "model": model_name(self.model),
            "weights": self.fingerprint(),
            "activation": self.activation,
        }

    def parameters(self) -> dict[str, Any]:
        """Return the parameters; a loaded model stands there by its name."""
        values = super().parameters()
        if "model" in values:
            values["model"] = model_name(self.model)
        return values

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and the weights' hash; a loaded model goes as its hash alone."""
        state = super().__getstate__()
        if not isinstance(self.model, str):
            state["model"] = LoadedModel(model_name(self.model), self.fingerprint())
        return {**state, WEIGHTS: self.fingerprint()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the stage anew; the weights' hash is not worked out again."""
        super().__setstate__({name: value for name, value in state.items() if name != WEIGHTS})
        self._fingerprint = state[WEIGHTS]

    def prepare(self) -> None:
        """Make sure that there is such a model before any work is done.

        A model that was trained on, or a folder that was written anew, since the last time is
        another model.
        """
        known, self._fingerprint = self._fingerprint, None
        if self.fingerprint() != known:
            self._encoder = self._scores = None
        if not isinstance(self.model, str | LoadedModel):
            self._open()

    def _open(self) -> CrossEncoder:
        if self._encoder is None:
            self._encoder = load_cross_encoder(
                self.model,
                revision=self.revision,
                max_length=self.max_length,
                device=self.device,
            )
        return self._encoder

    def _store(self) -> PairScores:
        if self._scores is None:
            key = content_hash(STORE_VERSION, self.fingerprint(), self.max_length, self.activation)
            self._scores = PairScores(cache_root(self.cache_dir) / "pair_scores" / key)
        return self._scores

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
        verdicts = np.where(scores < limit, Verdict.KEEP, Verdict.DROP)
        return np.where(scores > self.promote_above, Verdict.PROMOTE, verdicts).astype(np.int8)

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

    def score(self, queries: list[str], documents: list[str]) -> NDArray[np.float32]:
        """Return the score of each (query, document) pair, shape (pairs,).

        Pairs that were scored before, by this or an earlier run, are looked up; the others go to
        the model in one call, which sorts them by length.
        """
        store = self._store()
        keys = mix(exact_keys(queries), exact_keys(documents))
        scores = store.get(keys)
        fresh, first = np.unique(keys[np.isnan(scores)], return_index=True)
        places = np.flatnonzero(np.isnan(scores))[first]
        for start in range(0, len(fresh), PAIRS_AT_ONCE):
            # In bounded portions, each on disk when it is done: that much a kill can lose.
            portion = slice(start, start + PAIRS_AT_ONCE)
            pairs = [(queries[place], documents[place]) for place in places[portion]]
            store.add(fresh[portion], self._predict(pairs))
            self.pairs_scored += len(pairs)
        return store.get(keys) if len(fresh) else scores

    def trial(self, work: Workload, nearest: Nearest, corpus: Corpus) -> tuple[Phase, ...]:
        """Score some pairs; see :meth:`Veto.trial`."""
        if not nearest:
            return ()
        asking = Asking(
            work.num_negatives, self.threshold, self.keep_top_k, self.positive_margin is not None
        )
        return cross_encoding(self.name, self._predict, asking, work, nearest, corpus)

    def _predict(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        import torch

        activation = {"sigmoid": torch.nn.Sigmoid(), "identity": torch.nn.Identity()}
        scores = np.asarray(
            self._open().predict(
                pairs,
                batch_size=self.batch_size,
                activation_fn=activation.get(self.activation),
                show_progress_bar=False,
            ),
            dtype=np.float32,
        )
        if np.isnan(scores).any():
            raise ModelError(
                f"the cross-encoder {model_name(self.model)!r} gave nan for "
                f"{int(np.isnan(scores).sum())} of {len(pairs)} pairs. Try it on the CPU or in "
                "float32."
            )
        return scores


def positive_texts(queries: Queries, places: list[int], corpus: Corpus) -> list[str]:
    """Return the texts of positives, from the data or, where it gives ids only, the corpus."""
    if queries.positive_texts:
        return [queries.positive_texts[place] for place in places]
    rows = queries.positive_rows[places]
    if (rows == NO_ROW).any():
        raise ModelError("a positive has neither a text nor a document in the corpus.")
    return corpus.texts(rows)
