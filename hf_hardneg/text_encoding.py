"""Texts to vectors for a search in an index that somebody else made.

The documents' vectors are there already; queries, and positives that are no documents, are
encoded here, each once, and kept by their content.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_hardneg.cache import cache_root, content_hash, explain_os_error
from hf_hardneg.checks import whole_number
from hf_hardneg.encoder_cost import encoding, in_places, loading
from hf_hardneg.encoders import (
    Encoder,
    encode_checked,
)
from hf_hardneg.errors import ModelError, ParameterError, PoolError
from hf_hardneg.model_stage import ModelStage
from hf_hardneg.trials import try_search
from hf_hardneg.workload import Phase, Trial, Workload

__all__ = ["EncodingStage", "ModelNote"]

NOTE = "model.json"
FAR_FROM_ONE = 0.1
PROBE = "What is the dimension of a vector?"


@dataclass(frozen=True, slots=True)
class ModelNote:
    """What has to be known of a model before anything is encoded with it.

    Attributes:
        similarity: how its vectors are compared, as it declares: ``cosine``, ``dot``, ...
        dimension: of its vectors.
    """

    similarity: str
    dimension: int


@dataclass(frozen=True, slots=True)
class _Compared:
    """An encoder whose vectors are compared in another way than it says."""

    encoder: Encoder
    similarity: str

    @property
    def name(self) -> str:
        return self.encoder.name

    def fingerprint(self) -> str:
        return content_hash(self.encoder.fingerprint(), self.similarity)

    def encode(self, texts: Sequence[str], role: str) -> ArrayLike:
        return self.encoder.encode(texts, role)


class EncodingStage(ModelStage):
    """A stage with a model for queries, for a search in an index that is there already.

    A class that derives from this one has the parameters ``model``, ``revision``,
    ``query_prompt``, ``document_prompt``, ``normalize``, ``batch_size``, ``device`` and
    ``cache_dir``, and hands them to :meth:`_take_model`.
    """

    settings: ClassVar[tuple[str, ...]] = ("revision", "query_prompt", "document_prompt")
    revision: str | None
    query_prompt: str | None
    document_prompt: str | None
    normalize: bool | None

    def _take_model(
        self,
        model: Any,  # noqa: ANN401
        *,
        revision: str | None,
        query_prompt: str | None,
        document_prompt: str | None,
        normalize: bool | None,
        batch_size: int,
        device: str | None,
        cache_dir: str | os.PathLike[str] | None,
    ) -> None:
        """Keep the parameters; the model is loaded when something has to be encoded.

        Raises:
            ParameterError: a parameter out of range, or a setting of a model that brings its own.
        """
        self.model = os.fspath(model) if isinstance(model, os.PathLike) else model
        self.revision, self.query_prompt = revision, query_prompt
        self.document_prompt, self.device = document_prompt, device
        if not (normalize is None or isinstance(normalize, bool)):
            raise ParameterError(
                f"{self.name}: normalize={normalize!r}; expected True, False or None."
            )
        self.normalize = normalize
        self.batch_size = whole_number(self.name, "batch_size", batch_size, 1)
        self.cache_dir = cache_dir
        self._forget()

    # -- vectors -----------------------------------------------------------------------------

    def _folder(self, key: str) -> Path:
        return cache_root(self.cache_dir) / "vectors" / "texts" / key

    def _model_note(self) -> ModelNote:
        """Return what the model is like; it is asked once and then known in every process."""
        path = self._folder(self._encoder.fingerprint()) / NOTE
        if path.exists():
            return ModelNote(**json.loads(path.read_text()))
        similarity = self._encoder.similarity
        probe = encode_checked(_Compared(self._encoder, "dot"), [PROBE], "query")
        note = ModelNote(similarity, probe.shape[1])
        beside = path.with_name(f".{NOTE}.{os.getpid()}-{os.urandom(4).hex()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(asdict(note)) + "\n")
            beside.replace(path)
        except OSError as error:
            raise explain_os_error(error, path) from error
        finally:
            beside.unlink(missing_ok=True)
        return note

    def _check_dimension(self, dimension: int, where: str) -> None:
        """Refuse a model whose vectors have another dimension than those of ``where``.

        Raises:
            ModelError: it has.
        """
        own = self._model_note().dimension
        if own != dimension:
            raise ModelError(
                f"the model {self._encoder.name!r} gives vectors of {own} dimensions, and {where} "
                f"holds vectors of {dimension}. Give the model that it was made with."
            )

    def _check_unit(self, vectors: NDArray[np.float32], where: str) -> None:
        """Refuse documents' vectors that are not of length one where the queries' are.

        Raises:
            PoolError: their mean length is another.
        """
        mean = float(np.linalg.norm(vectors, axis=1).mean()) if self.normalizes else 1.0
        if abs(mean - 1) > FAR_FROM_ONE:
            raise PoolError(
                f"the vectors of {where} have a mean length of {mean:.3g}, and queries by "
                f"{self._encoder.name!r} are brought to length 1. Give normalize=False if the "
                "vectors are there as the model gives them; else store them normalised."
            )

    @property
    def normalizes(self) -> bool:
        """Whether vectors are brought to length one: as asked, else as the model's kind is."""
        if self.normalize is not None:
            return self.normalize
        return self._model_note().similarity == "cosine"

    def _encoding(self) -> Encoder:
        """Return the encoder, comparing as ``normalize`` says."""
        if self.normalize is None:
            return self._encoder
        return _Compared(self._encoder, "cosine" if self.normalize else "dot")

    def prepare_queries(self, texts: Sequence[str]) -> None:
        """Encode the queries that are not in the cache, in an order that the rows do not decide."""
        if self.model is None:
            return
        self._kept("query").add(texts, self._encode("query"))

    def trial(self, work: Workload) -> Trial:
        """Time the encoding of queries and some searches, and keep nothing of it."""
        phases = [] if self.model is None else self._encoding_phases(work)
        with TemporaryDirectory() as scratch:
            # The same open index, with another place for what is encoded.
            same: Any = object.__new__(type(self))
            vars(same).update(vars(self))
            same.cache_dir, same._texts = scratch, {}
            same.prepare()
            same.prepare_queries(work.tried)
            tried = try_search(same, work)
        seconds = tried.query * len(work.queries)
        search = Phase(f"{self.name}: search", seconds, basis=f"{len(work.tried)} queries")
        return Trial((*phases, search), work.negatives(tried.nearest))

    def _encoding_phases(self, work: Workload) -> list[Phase]:
        load = loading(self.name, self._encoding())
        fresh = [text for shard in self._kept("query").missing(work.queries) for text in shard]
        stored = 4 * self._model_note().dimension
        texts = in_places(fresh, "query")
        return [load, encoding(self.name, self._encoding(), texts, stored, work)]
