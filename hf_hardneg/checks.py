"""Checks of parameters, with one wording for all stages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

from hf_hardneg.errors import ParameterError, did_you_mean, listing

__all__ = ["above", "at_least", "fraction", "one_of", "whole_number"]


def whole_number(owner: str, name: str, value: object, low: int, usual: str = "") -> int:
    """Return ``value`` if it is a whole number of at least ``low``.

    Args:
        owner: the stage that has the parameter.
        name: of the parameter.
        value: what was given.
        low: the least that is allowed.
        usual: a value for the message, and whose it is: ``the paper's is 100``.

    Raises:
        ParameterError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ParameterError(
            f"{owner}: {name}={value!r}; expected a whole number of at least {low}{_note(usual)}."
        )
    return value


def at_least(owner: str, name: str, value: object, low: float, usual: str = "") -> float:
    """Return ``value`` as a float if it is a finite number of at least ``low``.

    The arguments are those of :func:`whole_number`.

    Raises:
        ParameterError: it is not.
    """
    if not _finite(value) or float(value) < low:  # type: ignore[arg-type]
        bound = "a finite number" if low == -math.inf else f"a finite number of at least {low:g}"
        raise ParameterError(f"{owner}: {name}={value!r}; expected {bound}{_note(usual)}.")
    return float(value)  # type: ignore[arg-type]


def above(owner: str, name: str, value: object, low: float, usual: str = "") -> float:
    """Return ``value`` as a float if it is a finite number above ``low``.

    The arguments are those of :func:`whole_number`.

    Raises:
        ParameterError: it is not.
    """
    if not _finite(value) or float(value) <= low:  # type: ignore[arg-type]
        raise ParameterError(
            f"{owner}: {name}={value!r}; expected a finite number above {low:g}{_note(usual)}."
        )
    return float(value)  # type: ignore[arg-type]


def _finite(value: object) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and math.isfinite(float(value))  # type: ignore[arg-type]


def _note(usual: str) -> str:
    return f" ({usual})" if usual else ""


def fraction(owner: str, name: str, value: object) -> float:
    """Return ``value`` as a float if it lies in [0, 1].

    Raises:
        ParameterError: it does not.
    """
    if at_least(owner, name, value, -math.inf) < 0 or float(value) > 1:  # type: ignore[arg-type]
        raise ParameterError(f"{owner}: {name}={value!r}; expected a number from 0 to 1.")
    return float(value)  # type: ignore[arg-type]


def one_of(owner: str, name: str, value: object, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises:
        ParameterError: it is not; names the nearest match.
    """
    if value not in choices:
        hint = did_you_mean(str(value), choices)
        raise ParameterError(
            f"{owner}: {name}={value!r}; expected one of {listing(choices)}.{hint}"
        )
    return str(value)
