"""Reading a strategy string: where it is cut, and the call of one stage."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_hardneg.errors import StrategyError

__all__ = ["StageCall", "split", "stage_call"]

STAGE = re.compile(r"^\s*([A-Za-z][\w-]*)\s*(?:@\s*(\d+))?\s*(\(.*\))?\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class StageCall:
    """One stage of a strategy string: its name and the parameters that were set."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def split(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside parentheses and quotes."""
    parts, depth, quote, start, escaped = [], 0, "", 0, False
    for place, sign in enumerate(text):
        if quote:
            ends = sign == quote and not escaped
            escaped = sign == "\\" and not escaped
            quote = "" if ends else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == separator and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _arguments(text: str, stage: str) -> dict[str, Any]:
    """Read ``(name=literal, ...)`` with Python's own parser; nothing is evaluated."""
    try:
        call = ast.parse(f"stage{text}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise SyntaxError("only name=value pairs are known")
        pairs = [(keyword.arg, ast.literal_eval(keyword.value)) for keyword in call.keywords]
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError) as error:
        raise StrategyError(
            f"the parameters {text!r} of stage {stage!r} cannot be read; expected "
            "(name=value, ...) with numbers, quoted texts, True, False, None or lists."
        ) from error
    if any(name is None for name, _ in pairs):
        raise StrategyError(f"stage {stage!r}: '**' is not known in a strategy string.")
    arguments: dict[str, Any] = {}
    for name, value in pairs:
        if name in arguments:
            raise StrategyError(f"stage {stage!r}: the parameter {name!r} is given twice.")
        arguments[str(name)] = value
    return arguments


def stage_call(text: str) -> StageCall:
    """Return the call of one stage.

    Raises:
        StrategyError: it is malformed.
    """
    match = STAGE.match(text)
    if match is None:
        raise StrategyError(
            f"{text.strip()!r} is not a stage; expected name, name@depth or name(parameter=value), "
            "joined by '+'. Example: 'bm25@200+margin(relative=0.05)'."
        )
    name, depth, inside = match.groups()
    arguments = _arguments(inside, name) if inside else {}
    if depth is not None:
        if "top_k" in arguments:
            raise StrategyError(f"stage {name!r}: the depth is given twice, by @ and by top_k.")
        arguments = {"top_k": int(depth), **arguments}
    return StageCall(name, arguments)
