"""Models that turn texts into sparse vectors: SPLADE and whatever else is a ``SparseEncoder``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_hardneg.cache import content_hash
from hf_hardneg.devices import model_device
from hf_hardneg.errors import ModelError, listing
from hf_hardneg.models import LoadedModel, model_fingerprint, model_name, module_settings
from hf_hardneg.sparse_vectors import SparseVectors
from hf_hardneg.workers import limit_torch_threads

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

__all__ = ["SparseModel"]

ENCODER_VERSION = 1
SIMILARITIES = ("dot", "cosine")


class SparseModel:
    """A sparse encoder: by name, by path, or loaded. Code that comes with a model is never run.

    Args:
        model: a name on the Hub, a path, a loaded ``SparseEncoder``, or what stands for one.
        revision: branch, tag or commit on the Hub.
        max_length: tokens of a text that are used; ``None`` for the model's own limit.
        max_active_dims: how many of the largest weights are kept; ``None`` for the model's own.
        device: as in PyTorch; no influence on the fingerprint.
        batch_size: texts in a forward pass; no influence on the fingerprint.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        *,
        revision: str | None = None,
        max_length: int | None = None,
        max_active_dims: int | None = None,
        device: str | None = None,
        batch_size: int = 32,
    ) -> None:
        """Keep the parameters; the model is loaded when it is first used."""
        self._model, self._revision, self._device = model, revision, device
        self._max_length, self._max_active_dims = max_length, max_active_dims
        self._batch_size = batch_size
        self._loaded: SparseEncoder | None = None
        self._weights: str | None = None
        self._fingerprint: str | None = None

    @property
    def name(self) -> str:
        """Name or path of the model."""
        return model_name(self._model)

    def weights(self) -> str:
        """Return a hash of the model as it was given, worked out once.

        Raises:
            ModelError: there is no such model.
        """
        if self._weights is None:
            self._weights = model_fingerprint(self._model, self._revision)
            if not isinstance(self._model, str | LoadedModel):
                self._weights = content_hash(self._weights, module_settings(self._model))
        return self._weights

    def fingerprint(self) -> str:
        """Return a hash of all that decides the vectors: the model and what is asked of it."""
        if self._fingerprint is None:
            self._fingerprint = content_hash(
                ENCODER_VERSION, self.weights(), self._max_length, self._max_active_dims
            )
        return self._fingerprint

    def known(self, fingerprint: str) -> None:
        """Take the fingerprint as worked out before, in another process."""
        self._fingerprint = fingerprint

    def unchanged(self) -> bool:
        """Return whether the weights are still those of the fingerprint that was given out."""
        before, self._fingerprint, self._weights = self._fingerprint, None, None
        return before in (None, self.fingerprint())

    def encode(self, texts: Sequence[str], role: str) -> SparseVectors:
        """Return the vectors of texts, of length one where the model compares by cosine.

        Args:
            texts: at least one.
            role: ``query`` or ``document``; many models treat them differently.

        Raises:
            ModelError: the model cannot be had, compares in another way, or gives something else
                than one finite vector a text.
        """
        model = self._open()
        encode = model.encode_query if role == "query" else model.encode_document
        # Inside, one batch at a time is dense; what comes back is sparse.
        found = encode(
            list(texts),
            batch_size=self._batch_size,
            max_active_dims=self._max_active_dims,
            show_progress_bar=False,
            convert_to_tensor=True,
            convert_to_sparse_tensor=True,
            save_to_cpu=True,
        )
        vectors = self._checked(found, texts)
        return vectors.of_length_one() if model.similarity_fn_name == "cosine" else vectors

    def _checked(self, found: Any, texts: Sequence[str]) -> SparseVectors:  # noqa: ANN401
        """Return what the model gave as vectors, refused unless there is a finite one a text."""
        if found.ndim != 2 or len(found) != len(texts):
            raise ModelError(
                f"the model {self.name!r} gave an array of shape {tuple(found.shape)} for "
                f"{len(texts)} texts; expected ({len(texts)}, dimension)."
            )
        entries = (found if found.is_sparse else found.to_sparse()).coalesce()
        lines, dims = entries.indices().numpy()
        weights = entries.values().float().numpy()
        bad = np.unique(lines[~np.isfinite(weights)])
        if len(bad):
            raise ModelError(
                f"the model {self.name!r} gave nan or infinity for {len(bad)} of {len(texts)} "
                f"texts, for example {texts[int(bad[0])][:80]!r}. Leave these texts out, or try "
                "another device."
            )
        return SparseVectors.of(lines, dims, weights, (len(texts), int(found.shape[1])))

    def _open(self) -> SparseEncoder:
        if self._loaded is None:
            model = self._load()
            declared = str(getattr(model, "similarity_fn_name", None))
            if declared not in SIMILARITIES:
                raise ModelError(
                    f"the model {self.name!r} compares its vectors by {declared!r}; expected one "
                    f"of {listing(SIMILARITIES)}: a sentence_transformers.SparseEncoder."
                )
            if self._max_length is not None:
                model.max_seq_length = self._max_length
            self._loaded = model
        return self._loaded

    def _load(self) -> SparseEncoder:
        if isinstance(self._model, LoadedModel):
            raise ModelError(
                f"the loaded model {self.name!r} cannot be sent to another process, and there are "
                "texts still to be encoded. Give its name or path, use num_proc=None, or use "
                "miner.mine(dataset), which encodes before it starts workers."
            )
        if not isinstance(self._model, str):
            given: SparseEncoder = self._model
            return given
        limit_torch_threads()
        from sentence_transformers import SparseEncoder

        try:
            loaded = SparseEncoder(
                self._model, revision=self._revision, device=model_device(self._device)
            )
        except Exception as error:  # the loaders below have no common base for their failures
            raise ModelError(f"the model {self.name!r} cannot be loaded: {error}") from error
        self._refuse_untrained(loaded)
        return loaded

    def _refuse_untrained(self, model: Any) -> None:  # noqa: ANN401
        """Refuse what sentence-transformers makes of a model that is no sparse encoder.

        It puts a random autoencoder on top, whose biases are zero until it is trained.
        """
        for module in model.modules():
            biases = [getattr(module, name, None) for name in ("pre_bias", "latent_bias")]
            if all(bias is not None and not bias.any() for bias in biases):
                raise ModelError(
                    f"the model {self.name!r} is no sparse encoder: it has neither a masked "
                    "language model's head nor a trained sparse autoencoder. Give a SPLADE model, "
                    "or use the retriever dense."
                )
