"""What the metrics for ``evaluate`` take, all three the same, so that they can be combined.

``predictions`` are the ranked documents, or the negatives, of each query; ``references`` what is
known to be relevant for it. Each is an object with the lists of :data:`PREDICTION` or
:data:`REFERENCE`; a plain list of texts stands for ``ids``, one of decimal numbers for ``scores``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from datasets import Features, List, Value
from numpy.typing import NDArray

from hf_hardneg.errors import ParameterError, did_you_mean, listing

__all__ = ["FEATURES", "OPTIONS", "check_further", "examples_of", "flat_scores"]

PREDICTION = ("ids", "scores")
REFERENCE = ("ids", "scores", "judged")
FEATURES = Features(
    {
        "predictions": {"ids": List(Value("string")), "scores": List(Value("float64"))},
        "references": {
            "ids": List(Value("string")),
            "scores": List(Value("float64")),
            "judged": List(Value("string")),
        },
    }
)
OPTIONS = ("k", "temperature", "against")
"""Of all three metrics: ``evaluate.combine`` hands all of them to each."""


def examples_of(role: str, given: Iterable[Any] | None) -> list[dict[str, list[Any]]] | None:
    """Return one object with all lists for each query; what is not given is empty.

    Args:
        role: ``predictions`` or ``references``.
        given: objects with some of the lists, or plain lists.

    Raises:
        ParameterError: an unknown list, or something else than a list.
    """
    return None if given is None else [_example(role, own) for own in given]


def _example(role: str, given: Any) -> dict[str, list[Any]]:  # noqa: ANN401
    names = PREDICTION if role == "predictions" else REFERENCE
    if not isinstance(given, Mapping):
        given = _named(role, _plain_list(role, given))
    unknown = [str(name) for name in given if name not in names]
    if unknown:
        raise ParameterError(
            f"{role}: unknown list {unknown[0]!r}.{did_you_mean(unknown[0], names)} Expected "
            f"{listing(names)}."
        )
    example: dict[str, list[Any]] = {name: _plain_list(role, given.get(name)) for name in names}
    for name in set(names) - {"scores"}:
        example[name] = [_id(role, name, value) for value in example[name]]
    if not all(_is_score(value) for value in example["scores"]):
        raise ParameterError(f"{role}: scores={example['scores']!r}; expected numbers or None.")
    if example["ids"] and example["scores"] and len(example["ids"]) != len(example["scores"]):
        raise ParameterError(
            f"{role}: {len(example['ids'])} ids and {len(example['scores'])} scores for one query; "
            "expected as many, or none of one kind."
        )
    return example


def _named(role: str, values: list[Any]) -> dict[str, list[Any]]:
    """Return what a plain list stands for."""
    numbers = bool(values) and all(_is_score(value) for value in values)
    if numbers and all(isinstance(value, int) for value in values):
        raise ParameterError(
            f"{role}: the whole numbers {values!r} may be ids or scores. Say which: "
            f'{{"ids": {values!r}}} or {{"scores": {values!r}}}.'
        )
    return {"scores" if numbers else "ids": values}


def _plain_list(role: str, given: Any) -> list[Any]:  # noqa: ANN401
    if given is None:
        return []
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ParameterError(
            f"{role}: {given!r} stands for the documents of one query; expected a list."
        )
    return list(given)


def _is_score(value: object) -> bool:
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def _id(role: str, name: str, value: object) -> str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise ParameterError(
        f"{role}: {name} holds {value!r} ({type(value).__name__}); expected text or a whole number."
    )


def check_further(metric: str, further: Mapping[str, object]) -> None:
    """Refuse options that neither this metric nor one it may be combined with has.

    Raises:
        ParameterError: names the nearest one.
    """
    unknown = [name for name in further if name not in OPTIONS]
    if unknown:
        raise ParameterError(
            f"{metric}: unknown option {unknown[0]!r}.{did_you_mean(unknown[0], OPTIONS)} Known: "
            f"{listing(OPTIONS)}."
        )


def flat_scores(
    examples: Sequence[Mapping[str, Sequence[float | None]]],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (offsets, scores) of all examples; a score that is missing is ``nan``."""
    lengths = [len(own["scores"]) for own in examples]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    flat = [np.nan if value is None else value for own in examples for value in own["scores"]]
    return offsets, np.array(flat, dtype=np.float64)
