"""A cross-encoder that scores pairs of a query and a document, each distinct pair once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root, content_hash
from hf_hardneg.candidates import NO_ROW, Queries
from hf_hardneg.checks import one_of, whole_number
from hf_hardneg.errors import ModelError, ParameterError
from hf_hardneg.hashing import exact_keys, mix
from hf_hardneg.models import LoadedModel, load_cross_encoder, model_fingerprint, model_name
from hf_hardneg.pair_scores import PairScores
from hf_hardneg.stage_inputs import Documents

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

__all__ = ["ACTIVATIONS", "BATCH_SIZE", "PAIRS_AT_ONCE", "PairScorer", "ScorerNote",
           "positive_texts"]  # fmt: skip

ACTIVATIONS = ("sigmoid", "identity", "model")
BATCH_SIZE = 64
STORE_VERSION = 1
PAIRS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class ScorerNote:
    """Which cross-encoder scores came from; what else is made of them holds for this one alone.

    Attributes:
        model: its name, for a reader; of a folder the folder's name alone.
        weights: the hash that it is known by.
        max_length: longest pair in tokens, ``None`` for the model's own.
    """

    model: str
    weights: str
    max_length: int | None

    def same(self, other: ScorerNote) -> bool:
        """Return whether both give the same scores; the name has no say."""
        return (self.weights, self.max_length) == (other.weights, other.max_length)

    def __str__(self) -> str:
        """Return it for an error message."""
        length = "" if self.max_length is None else f", max_length={self.max_length}"
        return f"{self.model!r} (weights {self.weights[:12]}{length})"


class PairScorer:
    """A cross-encoder by name, path or loaded, with the scores that it has given.

    The model is loaded when a pair is first scored that no earlier run has scored. Scores are kept
    on disk by the model's weights, ``max_length`` and ``activation``. How the pairs of a call are
    put together into forward passes can change the last digits of a float32; a kept score stays.

    Args:
        model: name on the Hub, path, or a loaded ``sentence_transformers.CrossEncoder`` with one
            output. A loaded one keeps its own revision, length and device.
        activation: the scale of the scores. ``sigmoid``: 0 to 1, also for a model that gives
            logits. ``identity``: logits. ``model``: whatever the model is configured to give.
        revision: branch, tag or commit of a model on the Hub.
        max_length: longest pair in tokens; longer ones are cut. Default: the model's own.
        batch_size: pairs in one forward pass.
        device: where the model runs; default: sentence-transformers' choice.
        cache_dir: where scores are kept; see :func:`hf_hardneg.cache.cache_root`.
        owner: who has these parameters, for error messages.

    Attributes:
        pairs_scored: pairs that the model itself was asked about.

    Raises:
        ParameterError: a parameter out of range, or one that a loaded model has already.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        *,
        activation: str = "identity",
        revision: str | None = None,
        max_length: int | None = None,
        batch_size: int = BATCH_SIZE,
        device: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        owner: str = "cross-encoder",
    ) -> None:
        """Check the parameters."""
        self.model = os.fspath(model) if isinstance(model, os.PathLike) else model
        self.activation = one_of(owner, "activation", activation, ACTIVATIONS)
        for name, value in (
            ("revision", revision), ("max_length", max_length), ("device", device)
        ):  # fmt: skip
            if value is not None and not isinstance(self.model, str):
                raise ParameterError(
                    f"{owner}: {name}={value!r} is given with a loaded model, which has its own. "
                    "Set it where the model is loaded, or give the model's name or path."
                )
        self.revision = revision
        self.max_length = (
            None if max_length is None else whole_number(owner, "max_length", max_length, 1)
        )
        self.batch_size = whole_number(owner, "batch_size", batch_size, 1)
        self.device = device
        self.cache_dir = cache_dir
        self.pairs_scored = 0
        self._encoder: CrossEncoder | None = None
        self._scores: PairScores | None = None
        self._fingerprint: str | None = None

    # -- which model -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name or path of the model, as it was given."""
        return model_name(self.model)

    def fingerprint(self) -> str:
        """Return the hash of the model's weights, worked out once."""
        if self._fingerprint is None:
            self._fingerprint = model_fingerprint(self.model, self.revision)
        return self._fingerprint

    def known(self, fingerprint: str) -> None:
        """Take over the hash that was worked out in another process."""
        self._fingerprint = fingerprint

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that a stage needs to score as this does, without defaults."""
        values = {
            "revision": (self.revision, None),
            "max_length": (self.max_length, None),
            "batch_size": (self.batch_size, BATCH_SIZE),
            "device": (self.device, None),
        }
        return {name: value for name, (value, default) in values.items() if value != default}

    def note(self) -> ScorerNote:
        """Return what makes the scores, with no path of this machine in it."""
        place = Path(self.name).expanduser()
        local = place.is_absolute() or place.is_dir()
        name = place.resolve().name if local else self.name
        return ScorerNote(name, self.fingerprint(), self.max_length)

    def refresh(self) -> None:
        """Make sure that there is such a model before any work is done.

        A model that was trained on, or a folder that was written anew, since the last time is
        another model.
        """
        known, self._fingerprint = self._fingerprint, None
        if self.fingerprint() != known:
            self._encoder = self._scores = None
        if not isinstance(self.model, str | LoadedModel):
            self._open()

    # -- scores ------------------------------------------------------------------------------

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
        """Return the score of each (query, document) pair, shape (pairs,).

        Pairs that were scored before, by this or an earlier run, are looked up; the others go to
        the model in one call, which sorts them by length.

        Raises:
            ModelError: the model cannot be had, has more than one output, or gives nan.
        """
        if not len(queries):
            return np.empty(0, dtype=np.float32)
        store = self._store()
        keys = mix(exact_keys(queries), exact_keys(documents))
        scores = store.get(keys)
        fresh, first = np.unique(keys[np.isnan(scores)], return_index=True)
        places = np.flatnonzero(np.isnan(scores))[first]
        for start in range(0, len(fresh), PAIRS_AT_ONCE):
            # In bounded portions, each on disk when it is done: that much a kill can lose.
            portion = slice(start, start + PAIRS_AT_ONCE)
            pairs = [(queries[place], documents[place]) for place in places[portion]]
            store.add(fresh[portion], self.predict(pairs))
            self.pairs_scored += len(pairs)
        return store.get(keys) if len(fresh) else scores

    def predict(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        """Ask the model, and keep nothing; shape (pairs,)."""
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
                f"the cross-encoder {self.name!r} gave nan for "
                f"{int(np.isnan(scores).sum())} of {len(pairs)} pairs. Try it on the CPU or in "
                "float32."
            )
        return scores

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


def positive_texts(queries: Queries, places: Sequence[int], corpus: Documents) -> list[str]:
    """Return the texts of positives, from the data or, where it gives ids only, the corpus.

    Args:
        queries: the batch.
        places: which of its positives.
        corpus: where the texts of ids are.

    Raises:
        ModelError: a positive that has no text anywhere.
    """
    if len(queries.positive_texts):
        return [queries.positive_texts[place] for place in places]
    rows = queries.positive_rows[places]
    if (rows == NO_ROW).any():
        raise ModelError("a positive has neither a text nor a document in the corpus.")
    return corpus.texts(rows)
