"""Models that turn texts into vectors: by name, by path, loaded, or any function.

An encoder gives finite float32 vectors of one dimension, and is known by a fingerprint that
changes with everything that changes its vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_hardneg.backends import check_backend, hardware_dtype, loading_options
from hf_hardneg.cache import content_hash
from hf_hardneg.checks import one_of
from hf_hardneg.errors import ModelError, ParameterError, listing
from hf_hardneg.models import LoadedModel, model_fingerprint, model_name
from hf_hardneg.workers import limit_torch_threads

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "ROLES",
    "SIMILARITIES",
    "AbsentEncoder",
    "CallableEncoder",
    "Encoder",
    "EncoderSettings",
    "SentenceEncoder",
    "encode_checked",
    "unit_vectors",
]

ROLES = ("query", "document")
SIMILARITIES = ("cosine", "dot", "euclidean")
ENCODER_VERSION = 3

logger = logging.getLogger(__name__)


@runtime_checkable
class Encoder(Protocol):
    """What a dense retriever needs of a model."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    @property
    def similarity(self) -> str:
        """How two vectors are compared: ``cosine``, ``dot`` or ``euclidean``."""
        ...

    def fingerprint(self) -> str:
        """Return a hash of all that decides the vectors."""
        ...

    def encode(self, texts: Sequence[str], role: str) -> ArrayLike:
        """Return vectors of shape (texts, dimension); ``role`` is ``query`` or ``document``."""
        ...


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """What decides the vectors of a sentence-transformers model beside its weights.

    Attributes:
        revision: branch, tag or commit on the Hub.
        dtype: of the computation: ``float32``, ``bfloat16``, ``float16``, or ``auto`` for bfloat16
            where the processor or the GPU multiplies it in hardware, else float32. With ``onnx``
            always float32, with ``openvino`` no float16.
        query_prompt: put before each query; ``None`` for the model's own, if it has one.
        document_prompt: put before each document; ``None`` for the model's own.
        max_length: tokens of a text that are used; ``None`` for the model's own limit.
        truncate_dim: how many of the first dimensions are used; ``None`` for all.
        similarity: ``cosine``, ``dot`` or ``euclidean``; ``None`` for what the model declares.
        backend: ``torch``, ``onnx`` or ``openvino``, as in sentence-transformers.
    """

    revision: str | None = None
    dtype: str = "float32"
    query_prompt: str | None = None
    document_prompt: str | None = None
    max_length: int | None = None
    truncate_dim: int | None = None
    similarity: str | None = None
    backend: str = "torch"

    def __post_init__(self) -> None:
        """Check what can be checked without the model."""
        check_backend(self.backend, self.dtype)
        if self.similarity is not None:
            one_of("dense", "similarity", self.similarity, SIMILARITIES)


class SentenceEncoder:
    """A sentence-transformers model: a bi-encoder, or a static embedding model.

    Args:
        model: a name on the Hub, a path, or a loaded ``SentenceTransformer``.
        settings: what else decides the vectors.
        device: as in PyTorch; no influence on the recipe.
        batch_size: texts in a forward pass; no influence on the recipe.

    Raises:
        ParameterError: a setting that a loaded model has already.
        ModelError: no such model, or one whose length cannot be set.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        settings: EncoderSettings = EncoderSettings(),
        *,
        device: str | None = None,
        batch_size: int = 32,
    ) -> None:
        """Keep the parameters; the model is loaded when it is first used."""
        self._model, self._settings = model, settings
        self._device, self._batch_size = device, batch_size
        if not isinstance(model, str | Path):
            self._refuse_loading_options()
        self._loaded: SentenceTransformer | None = None
        self._fingerprint: str | None = None

    def _refuse_loading_options(self) -> None:
        """Refuse what a loaded model has already, or what would change the caller's model."""
        own, plain = self._settings, EncoderSettings()
        for name in ("revision", "dtype", "max_length", "backend"):
            if getattr(own, name) != getattr(plain, name):
                raise ParameterError(
                    f"dense: {name}={getattr(own, name)!r} is given with a loaded model, which has "
                    "its own. Set it where the model is loaded, or give the model's name or path."
                )

    @property
    def name(self) -> str:
        """Name or path of the model."""
        return model_name(self._model)

    @property
    def similarity(self) -> str:
        """What was asked for, else what the model declares, else cosine."""
        if self._settings.similarity is not None:
            return self._settings.similarity
        declared = str(self._open().similarity_fn_name)
        if declared not in SIMILARITIES:
            raise ModelError(
                f"the model {self.name!r} compares its vectors by {declared!r}; expected one of "
                f"{listing(SIMILARITIES)}. Choose one with similarity=..."
            )
        return declared

    @property
    def dtype(self) -> str:
        """The dtype of the computation, ``auto`` resolved for this machine."""
        asked = self._settings.dtype
        if asked != "auto":
            return asked
        return hardware_dtype(self._device, self._settings.backend)

    def fingerprint(self) -> str:
        """Return a hash of the weights and the settings."""
        if self._fingerprint is None:
            settings = {**asdict(self._settings), "dtype": self.dtype}
            weights = model_fingerprint(self._model, settings.pop("revision"))
            self._fingerprint = content_hash(ENCODER_VERSION, weights, settings)
        return self._fingerprint

    def known(self, fingerprint: str) -> None:
        """Take the fingerprint as worked out before, in another process."""
        self._fingerprint = fingerprint

    def unchanged(self) -> bool:
        """Return whether the weights are still those of the fingerprint that was given out."""
        before, self._fingerprint = self._fingerprint, None
        return before in (None, self.fingerprint())

    def encode(self, texts: Sequence[str], role: str) -> ArrayLike:
        """Return the vectors; texts of one length go together, so that little is padded.

        sentence-transformers sorts by characters, and the tokens of texts with as many differ: by
        6% more tokens of padding on medquad than sorting by tokens leaves. That is done here where
        a forward pass costs far more than a call, on the CPU.
        """
        model = self._open()
        own = {"query": self._settings.query_prompt, "document": self._settings.document_prompt}
        encode = model.encode_query if role == "query" else model.encode_document
        encoded = partial(
            encode,
            prompt=own[role],
            batch_size=self._batch_size,
            convert_to_tensor=True,  # NumPy has no bfloat16
            show_progress_bar=False,
            truncate_dim=self._settings.truncate_dim,
            device=str(model.device),
        )
        texts, size = list(texts), self._batch_size
        lengths = self._token_counts(texts) if len(texts) > size and not self.on_gpu() else None
        if lengths is None:
            return _plain(encoded(texts))
        order = np.argsort(-lengths, kind="stable")
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        first, *rest = (_plain(encoded([texts[place] for place in part])) for part in parts)
        vectors = np.empty((len(texts), first.shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate([first, *rest])
        return vectors

    def _token_counts(self, texts: Sequence[str]) -> NDArray[np.int64] | None:
        """Return how many tokens of each text are read; ``None`` if the model has no limit."""
        model = self._open()
        limit, tokenizer = model.max_seq_length, model.tokenizer
        if limit is None or not callable(tokenizer):
            return None
        found = tokenizer(
            texts, truncation=True, max_length=limit, return_attention_mask=False, verbose=False
        )
        return np.array([len(ids) for ids in found["input_ids"]], dtype=np.int64)

    def in_float32(self) -> SentenceEncoder:
        """Return the same model in float32."""
        return self.with_dtype("float32")

    def has_faster_dtype(self) -> bool:
        """Return whether ``dtype="auto"`` would be another dtype than the one in use."""
        by_name = isinstance(self._model, str | Path) and self._settings.backend == "torch"
        return by_name and self.dtype == "float32" != hardware_dtype(self._device)

    def with_dtype(self, dtype: str) -> SentenceEncoder:
        """Return the same model in another dtype."""
        return SentenceEncoder(
            self._model,
            replace(self._settings, dtype=dtype),
            device=self._device,
            batch_size=self._batch_size,
        )

    def layer_weights(self) -> int:
        """Return the number of weights that each token is multiplied with; no embeddings."""
        import torch

        looked_up = (torch.nn.Embedding, torch.nn.EmbeddingBag)
        modules = self._open().modules()
        return sum(
            weight.numel()
            for module in modules
            if not isinstance(module, looked_up)
            for weight in module.parameters(recurse=False)
        )

    def on_gpu(self) -> bool:
        """Return whether the model is on a GPU."""
        return self._open().device.type != "cpu"

    def longest(self) -> float:
        """Return how many tokens of a text are used."""
        limit = self._open().max_seq_length
        return float("inf") if limit is None else float(limit)

    def too_long(self, texts: Sequence[str]) -> int:
        """Return how many documents are cut because they are beyond the model's length."""
        model = self._open()
        limit, tokenizer = model.max_seq_length, model.tokenizer
        if limit is None or not callable(tokenizer):
            return 0
        own = self._settings.document_prompt
        prompt = (model.prompts.get("document") or "") if own is None else own
        asked = [prompt + text for text in texts]
        lengths = tokenizer(asked, truncation=False, verbose=False)["input_ids"]
        return sum(len(ids) > limit for ids in lengths)

    def _open(self) -> SentenceTransformer:
        if self._loaded is None:
            self._loaded = self._load()
            if self._settings.max_length is not None:
                self._limit(self._loaded, self._settings.max_length)
        return self._loaded

    def _limit(self, model: SentenceTransformer, tokens: int) -> None:
        try:
            model.max_seq_length = tokens
        except AttributeError as error:
            raise ModelError(
                f"the model {self.name!r} has no maximum length that could be set, as is usual for "
                "static embeddings. Leave max_length out."
            ) from error

    def _load(self) -> SentenceTransformer:
        if isinstance(self._model, LoadedModel):
            raise ModelError(
                f"the loaded model {self.name!r} cannot be sent to another process. Give its name "
                "or path instead, or use num_proc=None."
            )
        if not isinstance(self._model, str | Path):
            loaded: SentenceTransformer = self._model
            return loaded
        limit_torch_threads()
        own = self._settings
        options = loading_options(own.backend, self.dtype, self._device)
        from sentence_transformers import SentenceTransformer

        try:
            return SentenceTransformer(str(self._model), revision=own.revision, **options)
        except Exception as error:  # the loaders below have no common base for their failures
            raise ModelError(f"the model {self.name!r} cannot be loaded: {error}") from error


@dataclass(frozen=True, slots=True)
class AbsentEncoder:
    """Stands for an encoder where it cannot go itself: what it has encoded is on disk.

    Attributes:
        name: its name.
        known: its fingerprint.
        similarity: not known here; the vectors on disk say it.
    """

    name: str
    known: str
    similarity: str = "cosine"

    def fingerprint(self) -> str:
        """Return the fingerprint of the encoder it stands for."""
        return self.known

    def encode(self, texts: Sequence[str], role: str) -> ArrayLike:
        """Refuse.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"the loaded model {self.name!r} cannot be sent to another process, and {len(texts)} "
            f"{role} texts are still to be encoded. Give its name or path, use num_proc=None, or "
            "use miner.mine(dataset), which encodes before it starts workers."
        )


class CallableEncoder:
    """Any function from a list of texts to vectors: a remote service, a library of your own.

    For example, with a model served by the Hub::

        client = InferenceClient()
        encoder = CallableEncoder(
            lambda texts: [client.feature_extraction(text, model=NAME) for text in texts],
            name=NAME,
        )

    Args:
        function: list of texts to an array of shape (texts, dimension).
        name: identifies the model and all that decides its vectors; they are kept under this
            name, so change it when the vectors change.
        query: the same for queries, where they are encoded in another way.
        similarity: ``cosine``, ``dot`` or ``euclidean``.
    """

    def __init__(
        self,
        function: Callable[[list[str]], ArrayLike],
        *,
        name: str,
        query: Callable[[list[str]], ArrayLike] | None = None,
        similarity: str = "cosine",
    ) -> None:
        """Check the parameters."""
        if not callable(function) or not (query is None or callable(query)):
            raise ParameterError(
                f"CallableEncoder: {function!r}; expected a function of a list of texts."
            )
        if not isinstance(name, str) or not name.strip():
            raise ParameterError(
                f"CallableEncoder: name={name!r}; expected a text that identifies the model and "
                "its version. Vectors are kept under it."
            )
        self._functions = {"document": function, "query": query or function}
        self._name = name
        self._similarity = one_of("CallableEncoder", "similarity", similarity, SIMILARITIES)

    @property
    def name(self) -> str:
        """The name that was given."""
        return self._name

    @property
    def similarity(self) -> str:
        """The similarity that was given."""
        return self._similarity

    def fingerprint(self) -> str:
        """Return a hash of name and similarity."""
        return content_hash(ENCODER_VERSION, "callable", self._name, self._similarity)

    def encode(self, texts: Sequence[str], role: str) -> ArrayLike:
        """Call the function."""
        return self._functions[role](list(texts))

    def __repr__(self) -> str:
        """Return the call, without the functions."""
        return f"CallableEncoder(name={self._name!r}, similarity={self._similarity!r})"


def _plain(vectors: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Return a tensor as an array."""
    return np.asarray(vectors.float().cpu().numpy())


def encode_checked(encoder: Encoder, texts: Sequence[str], role: str) -> NDArray[np.float32]:
    """Return the vectors of texts, of length one where the similarity is cosine.

    A zero vector, which has no direction, stays zero: its similarity to everything is 0.

    Raises:
        ModelError: not one vector a text, or a value that is not finite.
    """
    raw = np.asarray(encoder.encode(texts, role), dtype=np.float32)
    if raw.ndim != 2 or len(raw) != len(texts) or raw.shape[1] == 0:
        raise ModelError(
            f"the encoder {encoder.name!r} gave an array of shape {raw.shape} for {len(texts)} "
            f"texts; expected ({len(texts)}, dimension)."
        )
    bad = np.flatnonzero(~np.isfinite(raw).all(axis=1))
    if len(bad):
        text = texts[int(bad[0])]
        raise ModelError(
            f"the encoder {encoder.name!r} gave nan or infinity for {len(bad)} of {len(texts)} "
            f"texts, for example {text[:80]!r}. Try dtype='float32', or leave these texts out."
        )
    if encoder.similarity != "cosine":
        return np.ascontiguousarray(raw)
    zero = ~raw.any(axis=1)
    if zero.any():
        logger.warning(
            "%d of %d texts have a zero vector by %r; under cosine they are like nothing.",
            int(zero.sum()), len(texts), encoder.name,
        )  # fmt: skip
    return unit_vectors(raw)


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring vectors to length one; a zero vector stays zero."""
    # In double precision, so that the result does not depend on how NumPy sums up.
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return (vectors / np.where(norms == 0, 1.0, norms)[:, None]).astype(np.float32)
