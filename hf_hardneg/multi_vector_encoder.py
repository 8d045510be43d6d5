"""Models that turn a text into one vector for each token: late interaction, such as ColBERT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.backends import hardware_dtype, loading_options
from hf_hardneg.cache import content_hash
from hf_hardneg.errors import ModelError, listing
from hf_hardneg.models import LoadedModel, model_fingerprint, model_name, module_settings
from hf_hardneg.token_vectors import TokenVectors
from hf_hardneg.workers import limit_torch_threads

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

__all__ = ["MultiVectorModel"]

ENCODER_VERSION = 1
SIMILARITIES = ("maxsim", "meanmaxsim")
OWN_KINDS = ("MultiVectorEncoder", "ColBERT")
"""What ``config_sentence_transformers.json`` calls such a model: sentence-transformers, PyLate."""
OWN_ARCHITECTURES = ("HF_ColBERT", "ForRetrieval")
"""How the architecture of such a model ends in ``config.json``: ColBERT's own format, ColPali."""
OWN_MARKS = ("query_prefix", "document_prefix")
"""Further settings by which older files of PyLate are known."""
KIND_FILE = "config_sentence_transformers.json"


class MultiVectorModel:
    """A late-interaction model: by name, by path, or loaded.

    Code that comes with a model is never run.

    Args:
        model: a name on the Hub, a path, a loaded ``MultiVectorEncoder``, or what stands for one.
        revision: branch, tag or commit on the Hub.
        dtype: of the computation; ``auto`` for bfloat16 where it is multiplied in hardware.
        query_prompt: put before each query; ``None`` for the model's own, if it has one.
        document_prompt: put before each document; ``None`` for the model's own.
        max_length: tokens of a document that are used; ``None`` for the model's own limit.
        device: as in PyTorch; no influence on the fingerprint.
        batch_size: texts in a forward pass; no influence on the fingerprint.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        *,
        revision: str | None = None,
        dtype: str = "float32",
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_length: int | None = None,
        device: str | None = None,
        batch_size: int = 32,
    ) -> None:
        """Keep the parameters; the model is loaded when it is first used."""
        self._model, self._revision, self._device = model, revision, device
        self._prompts = {"query": query_prompt, "document": document_prompt}
        self._dtype, self._max_length, self.batch_size = dtype, max_length, batch_size
        self._loaded: MultiVectorEncoder | None = None
        self._weights: str | None = None
        self._fingerprint: str | None = None

    @property
    def name(self) -> str:
        """Name or path of the model."""
        return model_name(self._model)

    @property
    def dtype(self) -> str:
        """The dtype of the computation, ``auto`` resolved for this machine."""
        return hardware_dtype(self._device) if self._dtype == "auto" else self._dtype

    @property
    def similarity(self) -> str:
        """What the model declares: ``maxsim``, or ``meanmaxsim`` for the mean over the query."""
        return str(self._open().similarity_fn_name)

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
            asked = [self.dtype, self._prompts, self._max_length]
            self._fingerprint = content_hash(ENCODER_VERSION, self.weights(), asked)
        return self._fingerprint

    def known(self, fingerprint: str) -> None:
        """Take the fingerprint as worked out before, in another process."""
        self._fingerprint = fingerprint

    def unchanged(self) -> bool:
        """Return whether the weights are still those of the fingerprint that was given out."""
        before, self._fingerprint, self._weights = self._fingerprint, None, None
        return before in (None, self.fingerprint())

    def encode(self, texts: Sequence[str], role: str) -> TokenVectors:
        """Return the vectors of texts, of those tokens that the model counts.

        Args:
            texts: at least one.
            role: ``query`` or ``document``: prompt, length, expansion and mask are the role's.

        Raises:
            ModelError: the model cannot be had, or gives something else than finite vectors of
                one dimension for each text.
        """
        model = self._open()
        encode = model.encode_query if role == "query" else model.encode_document
        found = encode(
            list(texts),
            prompt=self._prompts[role],
            batch_size=self.batch_size,
            convert_to_numpy=True,
            show_progress_bar=False,
            device=str(model.device),
            **self._asked_length(role),
        )
        return TokenVectors.of(self._checked(found, texts))

    def _asked_length(self, role: str) -> dict[str, Any]:
        """Return the arguments that cut a document; a query's length is part of its expansion."""
        if role != "document" or self._max_length is None:
            return {}
        return {"processing_kwargs": {"text": {"max_length": self._max_length}}}

    def too_long(self, texts: Sequence[str], role: str) -> int:
        """Return how many texts are cut because they are beyond what the model reads."""
        model = self._open()
        own = [self._max_length if role == "document" else None,
               getattr(model[0], f"{role}_length", None), model.max_seq_length]  # fmt: skip
        limit = next((length for length in own if length is not None), None)
        if limit is None or not callable(model.tokenizer):
            return 0
        asked, kept = self._prompts[role], model.prompts.get(role)
        prompt = asked if asked is not None else kept or ""
        prompted = [prompt + text for text in texts]
        lengths = model.tokenizer(prompted, truncation=False, verbose=False)["input_ids"]
        return sum(len(ids) > limit for ids in lengths)

    def _checked(self, found: Any, texts: Sequence[str]) -> list[NDArray[np.float32]]:  # noqa: ANN401
        """Return what the model gave, refused unless it is finite and of one dimension."""
        arrays = [np.asarray(vectors, dtype=np.float32) for vectors in found]
        dimensions = {array.shape[1] if array.ndim == 2 else 0 for array in arrays}
        if len(arrays) != len(texts) or len(dimensions) != 1 or 0 in dimensions:
            shapes = listing([array.shape for array in arrays], 3)
            raise ModelError(
                f"the model {self.name!r} gave arrays of the shapes {shapes} for {len(texts)} "
                "texts; expected one of (tokens, dimension) for each."
            )
        bad = [place for place, array in enumerate(arrays) if not np.isfinite(array).all()]
        if bad:
            raise ModelError(
                f"the model {self.name!r} gave nan or infinity for {len(bad)} of {len(texts)} "
                f"texts, for example {texts[bad[0]][:80]!r}. Try dtype='float32', or leave these "
                "texts out."
            )
        return arrays

    def _open(self) -> MultiVectorEncoder:
        if self._loaded is None:
            model = self._load()
            declared = str(getattr(model, "similarity_fn_name", None))
            if declared not in SIMILARITIES:
                raise ModelError(
                    f"the model {self.name!r} compares its vectors by {declared!r}; expected one "
                    f"of {listing(SIMILARITIES)}: a sentence_transformers.MultiVectorEncoder."
                )
            asked, longest = self._max_length, getattr(model, "max_seq_length", None)
            if asked is not None and longest is not None and asked > longest:
                raise ModelError(
                    f"multi-vector: max_length={self._max_length}, and the model {self.name!r} "
                    f"reads at most {longest} tokens. Give a smaller max_length, or leave it out."
                )
            self._loaded = model
        return self._loaded

    def _load(self) -> MultiVectorEncoder:
        if isinstance(self._model, LoadedModel):
            raise ModelError(
                f"the loaded model {self.name!r} cannot be sent to another process, and there are "
                "texts still to be encoded. Give its name or path, use num_proc=None, or use "
                "miner.mine(dataset), which encodes before it starts workers."
            )
        if not isinstance(self._model, str):
            given: MultiVectorEncoder = self._model
            return given
        limit_torch_threads()
        try:
            from sentence_transformers import MultiVectorEncoder
        except ImportError as error:
            raise ModelError(
                "late interaction needs sentence-transformers 6.2 or newer, which has the class "
                "MultiVectorEncoder. Update it: pip install -U sentence-transformers"
            ) from error
        options = loading_options("torch", self.dtype, self._device)
        self._refuse_another_kind(self._model)
        try:
            return MultiVectorEncoder(self._model, revision=self._revision, **options)
        except Exception as error:  # the loaders below have no common base for their failures
            raise ModelError(f"the model {self.name!r} cannot be loaded: {error}") from error

    def _refuse_another_kind(self, name: str) -> None:
        """Refuse a model that was not made for late interaction.

        sentence-transformers would put a random projection on top of it.
        """
        kind = self._config(name, KIND_FILE)
        ends = [str(end) for end in self._config(name, "config.json").get("architectures") or ()]
        known = kind.get("model_type") in OWN_KINDS or any(mark in kind for mark in OWN_MARKS)
        if not known and not any(end.endswith(OWN_ARCHITECTURES) for end in ends):
            said = kind.get("model_type") or listing(ends)
            raise ModelError(
                f"the model {self.name!r} is no multi-vector model: its configuration says "
                f"{said!r}. Give a late-interaction model (a MultiVectorEncoder, ColBERT or "
                "PyLate), or use the retriever dense or sparse."
            )

    def _config(self, name: str, file: str) -> dict[str, Any]:
        """Return one of the model's configuration files, empty if there is none."""
        from sentence_transformers.util import load_file_path

        try:
            path = load_file_path(name, file, revision=self._revision)
            values = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
        except Exception as error:  # what cannot be had may fail in any of the layers below
            raise ModelError(f"the model {self.name!r} cannot be loaded: {error}") from error
        return values if isinstance(values, dict) else {}
