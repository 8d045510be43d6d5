"""A model of the probability that a candidate is relevant: logistic regression, kept as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import FormatError, ParameterError, listing
from hf_hardneg.pair_scorer import ScorerNote

__all__ = ["Cut", "RiskModel"]

FORM = "hf-hardneg risk model"
VERSION = 1
DIGITS = 8

Floats = NDArray[np.float64]


def rounded(value: float) -> float:
    """Return the number to 8 digits: what is written is what is used."""
    return float(f"{float(value):.{DIGITS}g}")


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut on the probability, and what is known of the rate of false negatives below it.

    Attributes:
        target: the share of false negatives that was asked for.
        max: the highest probability that is kept.
        least: candidates of each query that are kept in any case, the least risky ones.
        promise: ``high probability`` (learn then test), ``asymptotic`` (the same with a normal
            approximation, from sampled labels) or ``none``: the best estimate, not certified.
        delta: chance of the promise to fail; ``None`` without one.
        queries: calibration queries behind it.
        num_negatives: negatives for each query that it holds for, taken from the top.
    """

    target: float
    max: float
    least: int
    promise: str
    delta: float | None
    queries: int
    num_negatives: int

    @property
    def certified(self) -> bool:
        """Whether there is a promise."""
        return self.promise != "none"


@dataclass(frozen=True)
class RiskModel:
    """``P(relevant) = 1 / (1 + exp(-(b0 + sum_j b_j (x_j - centre_j) / scale_j)))``.

    With ``label_frequency`` below 1 the sum is divided by it, see below. A candidate with a
    signal missing has no probability.

    Positive-unlabelled data: where only known positives are labelled and everything else counts
    as not relevant, the model learns ``P(labelled)``, not ``P(relevant)``: too low. If every
    relevant document had the same chance ``c`` of being labelled whatever its signals are,
    ``P(relevant) = P(labelled) / c`` (C. Elkan, K. Noto, "Learning classifiers from only positive
    and unlabeled data", KDD 2008). In retrieval it has not: what a judge has seen was found by
    some retriever. So ``c`` is not estimated here. It is 1, not corrected, unless it is given.

    Attributes:
        signals: names, see :mod:`hf_hardneg.risk_signals`.
        centre, scale: weighted mean and standard deviation of each signal.
        coefficients: one a signal, 0 for a signal that was constant.
        intercept: ``b0``.
        penalty: ``C`` of the L2-regularised regression; smaller is stronger.
        penalty_from: how it was chosen.
        labels: pairs that it was fitted to.
        relevant: (weighted) share of them that are relevant.
        queries: of how many queries.
        origin: where the labels are from: ``judgements``, ``labels`` or ``hidden positives``.
        label_frequency: ``c``, the share of the relevant that are labelled, above 0, at most 1.
        cuts: what is known of cuts on the probability.
        figures: how well it is calibrated, on queries that it was not fitted to.
        retriever: what found the candidates that the cuts are about, as
            :func:`~hf_hardneg.risk_signals.source_name` names it; empty where it is not known.
        cross_encoder: which cross-encoder gave the signals of that name; ``None`` without them,
            and then it does not stand in the JSON.
    """

    signals: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    penalty: float
    penalty_from: str
    labels: int
    relevant: float
    queries: int
    origin: str
    label_frequency: float = 1.0
    cuts: tuple[Cut, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    retriever: str = ""
    cross_encoder: ScorerNote | None = None

    def probabilities(self, values: Floats, names: Sequence[str]) -> Floats:
        """Return the probability of each candidate, ``nan`` where a signal is missing.

        Args:
            values: shape (..., signals).
            names: of the signals.

        Raises:
            ParameterError: the signals are others than those of the model.
        """
        if tuple(names) != self.signals:
            lacking = [name for name in self.signals if name not in names]
            unknown = [name for name in names if name not in self.signals]
            raise ParameterError(
                f"risk: the model was fitted to the signals {listing(self.signals, 40)}; this "
                f"retriever lacks {listing(lacking)} and has {listing(unknown)} beside. Fit a "
                "model for the retriever that mines (hf-hardneg calibrate)."
            )
        if values.size == 0:
            return np.full(values.shape[:-1], np.nan)
        scaled = (values - np.array(self.centre)) / np.array(self.scale)
        # Signals that had no say have none when they are missing either.
        used = np.array(self.coefficients) != 0
        logits = self.intercept + scaled[..., used] @ np.array(self.coefficients)[used]
        # Beyond 700 the exponential overflows; there it is 0 or 1 in any case.
        probability = 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
        return np.asarray(np.minimum(probability / self.label_frequency, 1.0))

    def refuse_unmatched(self, given: str | None) -> None:
        """Raise if a cross-encoder is given that the model has no use for, or none that it needs.

        Args:
            given: its name; ``None`` where none is given.

        Raises:
            ParameterError: says what to give.
        """
        mine = self.cross_encoder
        if mine is None and given is not None:
            raise ParameterError(
                f"risk: cross_encoder={given!r} is given, and the model was fitted without one. "
                "Leave it out, or fit a model with it: hf-hardneg calibrate --cross-encoder "
                f"{given!r}."
            )
        if mine is not None and given is None:
            length = "" if mine.max_length is None else f", max_length={mine.max_length}"
            raise ParameterError(
                f"risk: the model was fitted with the cross-encoder {mine}, and none is given. "
                "Give its name, its path, or the loaded one: "
                f"cross_encoder={mine.model!r}{length}."
            )

    def refuse_other(self, cross_encoder: ScorerNote | None) -> None:
        """Raise unless signals come from the cross-encoder that the model was fitted with.

        Args:
            cross_encoder: that of the signals; ``None`` without one.

        Raises:
            ParameterError: names both, and what to give.
        """
        mine = self.cross_encoder
        self.refuse_unmatched(None if cross_encoder is None else cross_encoder.model)
        if mine and cross_encoder and not mine.same(cross_encoder):
            raise ParameterError(
                f"risk: the model was fitted with the cross-encoder {mine}, and this is "
                f"{cross_encoder}. Give that one, with the same max_length, or fit a model with "
                "this one (hf-hardneg calibrate --cross-encoder ...). A loaded model and its "
                "folder count as two, since a loaded one can have been changed."
            )

    def cut_for(self, target: float) -> Cut | None:
        """Return what is known of a target, ``None`` where nothing is."""
        return next((cut for cut in self.cuts if math.isclose(cut.target, target)), None)

    def with_(self, **changes: Any) -> RiskModel:  # noqa: ANN401
        """Return a copy with other attributes."""
        return replace(self, **changes)

    # -- as JSON -----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        own = asdict(self)
        if self.cross_encoder is None:  # as before there was any: the same recipe
            del own["cross_encoder"]
        return {"format": FORM, "version": VERSION, **own}

    def to_json(self, indent: int | None = None) -> str:
        """Return the model as JSON; it never holds NaN or Infinity."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def recipe(self) -> str:
        """Return what decides about candidates as one line of JSON: no figures."""
        return replace(self, figures={}).to_json()

    @classmethod
    def from_dict(cls, values: object, where: str = "the risk model") -> RiskModel:
        """Return the model that :meth:`to_dict` made.

        Raises:
            FormatError: it is none, or damaged.
        """
        if not isinstance(values, Mapping) or values.get("format") != FORM:
            raise FormatError(
                f"{where} is no risk model; expected JSON with 'format': {FORM!r}, as "
                "hf-hardneg calibrate --save writes it."
            )
        if values.get("version") != VERSION:
            raise FormatError(
                f"{where} has version {values.get('version')!r}; this release reads version "
                f"{VERSION}. Fit it again."
            )
        own = {name: value for name, value in values.items() if name not in ("format", "version")}
        try:
            lists = {
                name: tuple(map(kind, own.pop(name)))
                for name, kind in (
                    ("signals", str), ("centre", float), ("scale", float), ("coefficients", float)
                )
            }  # fmt: skip
            cuts = tuple(Cut(**cut) for cut in own.pop("cuts", ()))
            note = own.pop("cross_encoder", None)
            scorer = None if note is None else ScorerNote(**note)
            model = cls(**lists, cuts=cuts, cross_encoder=scorer, **own)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{where} is damaged: {error!r}. Fit it again.") from error
        model._check(where)
        return model

    def _check(self, where: str) -> None:
        """Refuse numbers that cannot be."""
        numbers = (*self.centre, *self.scale, *self.coefficients, self.intercept, *(
            value for cut in self.cuts for value in (cut.target, cut.max)
        ))  # fmt: skip
        lengths = {len(self.signals), len(self.centre), len(self.scale), len(self.coefficients)}
        good = (
            len(lengths) == 1
            and all(isinstance(one, float | int) and math.isfinite(one) for one in numbers)
            and all(one > 0 for one in self.scale)
            and isinstance(self.label_frequency, float | int)
            and 0 < self.label_frequency <= 1
        )
        if note := self.cross_encoder:
            good = good and isinstance(note.model, str) and isinstance(note.weights, str)
            good = good and (note.max_length is None or isinstance(note.max_length, int))
        if not good:
            raise FormatError(
                f"{where} is damaged: expected a finite centre, coefficient and scale above 0 for "
                "each signal, a label frequency above 0 and at most 1, and of a cross-encoder its "
                "model, weights and max_length. Fit it again."
            )

    @classmethod
    def from_json(cls, text: str, where: str = "the risk model") -> RiskModel:
        """Return the model of a JSON text.

        Raises:
            FormatError: it is none.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise FormatError(f"{where} is no JSON ({error}).") from error
        return cls.from_dict(values, where)

    @classmethod
    def read(cls, path: str | Path) -> RiskModel:
        """Return the model in a file.

        Raises:
            ParameterError: there is no such file.
            FormatError: it holds no model.
        """
        place = Path(path).expanduser()
        if not place.is_file():
            raise ParameterError(
                f"risk: model={str(path)!r}: there is no such file; expected one that hf-hardneg "
                "calibrate --save has written, a RiskModel, or its JSON text."
            )
        try:
            return cls.from_json(place.read_text(encoding="utf-8"), str(path))
        except UnicodeDecodeError as error:
            raise FormatError(f"{path} is no JSON ({error}).") from error
