"""A stage with a bi-encoder: its recipe, and the vectors of texts that come as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import cache_root
from hf_hardneg.encoders import (
    AbsentEncoder,
    Encoder,
    EncoderSettings,
    SentenceEncoder,
    encode_checked,
)
from hf_hardneg.errors import ParameterError, listing
from hf_hardneg.stage import Stage
from hf_hardneg.vectors import TextVectors

__all__ = ["ModelStage"]

WEIGHTS = "weights"


class ModelStage(Stage):
    """A stage whose parameter ``model`` is a name, a path, a loaded model or an encoder.

    A class that derives from this one keeps its parameters, among them ``model``, ``batch_size``,
    ``device`` and ``cache_dir``, and then calls :meth:`_forget`. Where ``model`` may be ``None``,
    there is nothing to encode then, and the recipe names no model.

    Attributes:
        settings: which parameters decide the vectors beside the model; an encoder brings its own.
        encodes_queries: as in :class:`~hf_hardneg.retrievers.base.Retriever`.
    """

    settings: ClassVar[tuple[str, ...]]
    encodes_queries: ClassVar[bool] = True
    model: Any
    batch_size: int
    device: str | None
    cache_dir: str | os.PathLike[str] | None

    def _forget(self) -> None:
        """Begin as if nothing had been used yet."""
        self._encoder = self._made()
        self._texts: dict[str, TextVectors] = {}

    def _made(self) -> Encoder:
        """Return the encoder that ``model`` names or is.

        Raises:
            ParameterError: a setting is given with an encoder, which brings its own.
        """
        if self.model is None:
            return AbsentEncoder("none", "none")
        settings = {name: getattr(self, name) for name in self.settings}
        if not isinstance(self.model, Encoder):
            return SentenceEncoder(
                self.model,
                EncoderSettings(**settings),
                device=self.device,
                batch_size=self.batch_size,
            )
        known = self.defaults()
        given = [name for name, value in settings.items() if value != known[name]]
        if given:
            raise ParameterError(
                f"{self.name}: {listing(given)} is given with {self.model!r}, which brings its "
                "own. Set it there, or give a model's name or path."
            )
        return self.model

    def _refresh_model(self) -> bool:
        """Take the model anew if its weights have changed since the last time; say whether."""
        if isinstance(self._encoder, SentenceEncoder) and not self._encoder.unchanged():
            self._forget()
            return True
        return False

    # -- the recipe --------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Return the hash of all that decides the vectors of the model."""
        return self._encoder.fingerprint()

    def models(self) -> dict[str, dict[str, str]]:
        """Return the model's name and the hash of what decides its vectors."""
        if self.model is None:
            return {}
        return {self.name: {"model": self._encoder.name, "weights": self.fingerprint()}}

    def parameters(self) -> dict[str, Any]:
        """Return the parameters; a model that is no text stands there by its name."""
        values = super().parameters()
        if "model" in values:
            values["model"] = self._encoder.name
        return values

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and the weights' hash; a loaded model goes as its hash alone."""
        state = super().__getstate__()
        if self.model is None:
            return state
        if not isinstance(self.model, str):
            known = self.defaults()
            state["model"] = AbsentEncoder(self._encoder.name, self.fingerprint())
            state.update({name: known[name] for name in self.settings})
        return {**state, WEIGHTS: self.fingerprint()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the stage anew; the weights' hash is not worked out again."""
        super().__setstate__({name: value for name, value in state.items() if name != WEIGHTS})
        if isinstance(self._encoder, SentenceEncoder):
            self._encoder.known(state[WEIGHTS])

    # -- vectors -----------------------------------------------------------------------------

    def _encoding(self) -> Encoder:
        """Return what encodes."""
        return self._encoder

    def _encode(self, role: str) -> Callable[[Sequence[str]], NDArray[np.float32]]:
        return partial(encode_checked, self._encoding(), role=role)

    def _encoded(self, texts: Sequence[str], role: str) -> NDArray[np.float32]:
        """Return the vectors of texts, shape (texts, dimension); what is missing is encoded."""
        return self._kept(role).of(texts, self._encode(role))

    def _kept(self, role: str) -> TextVectors:
        if role not in self._texts:
            home = cache_root(self.cache_dir) / "vectors" / "texts"
            self._texts[role] = TextVectors(home / self._encoding().fingerprint() / role)
        return self._texts[role]
