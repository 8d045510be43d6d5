"""A stage with a cross-encoder: its parameters and its recipe."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from hf_hardneg.errors import ParameterError, listing
from hf_hardneg.models import LoadedModel, model_name
from hf_hardneg.pair_scorer import BATCH_SIZE, PairScorer
from hf_hardneg.stage import Stage

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CrossEncoderStage"]

WEIGHTS = "weights"
SETTINGS = ("revision", "max_length", "batch_size", "device")
"""Parameters that mean nothing without a model."""


class CrossEncoderStage(Stage):
    """A stage one parameter of which is a cross-encoder by name, by path or loaded.

    A class that derives from this one has the parameters ``revision``, ``max_length``,
    ``batch_size``, ``device`` and ``cache_dir``, hands them to :meth:`_take_cross_encoder`, and
    keeps the scorer's model under its own name. Where ``None`` is the default of the model there
    is nothing to score then, and the recipe names none.

    Attributes:
        model_parameter: name of the parameter that is the model.
    """

    model_parameter: ClassVar[str] = "model"
    revision: str | None
    max_length: int | None
    batch_size: int
    device: str | None
    cache_dir: str | os.PathLike[str] | None
    _scorer: PairScorer | None

    @classmethod
    def takes(cls, name: str, given: Collection[str]) -> bool:
        """Return whether a parameter is for this stage: of a model, only where there is one."""
        known = cls.defaults()
        without = known[cls.model_parameter] is None and cls.model_parameter not in given
        return name in known and not (without and name in SETTINGS)

    def _take_cross_encoder(
        self,
        model: Any,  # noqa: ANN401
        *,
        activation: str,
        revision: str | None,
        max_length: int | None,
        batch_size: int,
        device: str | None,
        cache_dir: str | os.PathLike[str] | None,
    ) -> None:
        """Keep the parameters; the model is loaded when it is first asked.

        Raises:
            ParameterError: a parameter out of range, or one of a model that is not given.
        """
        given = {"revision": revision, "max_length": max_length, "device": device}
        if model is None and self.defaults()[self.model_parameter] is None:
            lost = [name for name, value in given.items() if value is not None]
            lost += ["batch_size"] if batch_size != BATCH_SIZE else []
            if lost:
                raise ParameterError(
                    f"{self.name}: {listing(lost)} is given without {self.model_parameter}, whose "
                    f"parameter it is. Give {self.model_parameter}=..., or leave it out."
                )
            self._scorer = None
        else:
            self._scorer = PairScorer(
                model,
                activation=activation,
                revision=revision,
                max_length=max_length,
                batch_size=batch_size,
                device=device,
                cache_dir=cache_dir,
                owner=self.name,
            )
        self.revision, self.max_length, self.device = revision, max_length, device
        self.batch_size, self.cache_dir = batch_size, cache_dir

    @property
    def scores_pairs(self) -> bool:
        """Whether there is a model."""
        return self._scorer is not None

    @property
    def scorer(self) -> PairScorer:
        """What scores pairs.

        Raises:
            ParameterError: the stage has no model.
        """
        if self._scorer is None:
            raise ParameterError(
                f"{self.name}: there is no cross-encoder; expected {self.model_parameter}=..."
            )
        return self._scorer

    @property
    def pairs_scored(self) -> int:
        """Pairs that the model itself was asked about."""
        return 0 if self._scorer is None else self._scorer.pairs_scored

    def fingerprint(self) -> str:
        """Return the hash of the model's weights, worked out once."""
        return self.scorer.fingerprint()

    def weights(self) -> dict[str, str]:
        """Return the model's name, the hash of its weights, and the scale of its scores."""
        if self._scorer is None:
            return {}
        return {
            "model": self._scorer.name,
            "weights": self.fingerprint(),
            "activation": self._scorer.activation,
        }

    def models(self) -> dict[str, dict[str, str]]:
        """Return :meth:`weights` by the name of the stage; empty without a model."""
        found = self.weights()
        return {self.name: found} if found else {}

    def parameters(self) -> dict[str, Any]:
        """Return the parameters; a loaded model stands there by its name."""
        values = super().parameters()
        if self.model_parameter in values:
            values[self.model_parameter] = model_name(values[self.model_parameter])
        return values

    def __copy__(self) -> Self:
        """Return a copy that shares the scorer: in this process a loaded model stays loaded."""
        again = object.__new__(type(self))
        vars(again).update(vars(self))
        return again

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and the weights' hash; a loaded model goes as its hash alone."""
        state = super().__getstate__()
        if self._scorer is None:
            return state
        if not isinstance(self._scorer.model, str):
            known = LoadedModel(self._scorer.name, self.fingerprint())
            state[self.model_parameter] = known
        return {**state, WEIGHTS: self.fingerprint()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the stage anew; the weights' hash is not worked out again."""
        super().__setstate__({name: value for name, value in state.items() if name != WEIGHTS})
        if self._scorer is not None:
            self._scorer.known(state[WEIGHTS])

    def prepare(self) -> None:
        """Make sure that there is such a model; see :meth:`PairScorer.refresh`."""
        super().prepare()
        if self._scorer is not None:
            self._scorer.refresh()
