"""Labelled pairs of a query and a document, from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.errors import FormatError, listing
from hf_hardneg.hashing import text_keys

__all__ = ["LabelledPairs", "read_labels"]

NAMED = {"false_negative": 1.0, "true_negative": 0.0}
NO_ANSWER = ("unsure", "bad_query")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs that somebody has labelled; all of the same length.

    Attributes:
        name: where they are from.
        query_ids, query_keys: of the queries; an id may be empty.
        document_ids, document_keys: of the documents; likewise.
        labels: how relevant, 0 to 1.
        weights: 1 over the chance of having been drawn.
        left_out: lines without an answer, by why.
    """

    name: str
    query_ids: list[str]
    query_keys: NDArray[np.uint64]
    document_ids: list[str]
    document_keys: NDArray[np.uint64]
    labels: Floats
    weights: Floats
    left_out: Mapping[str, int]


def read_labels(path: str | Path) -> LabelledPairs:
    """Read a file of labels: JSON lines as ``hf-hardneg sample`` writes them.

    ``label`` is ``false_negative``, ``true_negative`` or the probability of being relevant.
    Lines without a label yet, ``unsure``, ``bad_query`` and controls are left out and counted.

    Raises:
        FormatError: a line is malformed; names it.
    """
    place = Path(path).expanduser()
    found: list[tuple[str, str, str, str, float, float]] = []
    left_out: dict[str, int] = {}
    try:
        lines = place.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read ({error}).") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        record = _record(line, where)
        why = _unanswered(record)
        if why:
            left_out[why] = left_out.get(why, 0) + 1
            continue
        text = [str(record.get(name) or "") for name in
                ("query_id", "query", "document_id", "document")]  # fmt: skip
        if not (text[0] or text[1]) or not (text[2] or text[3]):
            raise FormatError(f"{where}: expected a query and a document, by id or by text.")
        found.append((*text, _label(record["label"], where), _weight(record, where)))  # type: ignore[arg-type]
    columns: list[Any] = list(zip(*found, strict=True)) if found else [[] for _ in range(6)]
    return LabelledPairs(
        str(path),
        list(columns[0]),
        text_keys(list(columns[1])),
        list(columns[2]),
        text_keys(list(columns[3])),
        np.array(columns[4], dtype=np.float64),
        np.array(columns[5], dtype=np.float64),
        left_out,
    )


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise FormatError(f"{where}: no JSON ({error}).") from error
    if not isinstance(record, dict) or "label" not in record:
        raise FormatError(f"{where}: expected an object with the field 'label'.")
    return record


def _unanswered(record: Mapping[str, Any]) -> str:
    if record.get("control"):
        return "controls"
    if record["label"] is None:
        return "not labelled yet"
    return str(record["label"]) if record["label"] in NO_ANSWER else ""


def _label(value: object, where: str) -> float:
    if isinstance(value, str) and value in NAMED:
        return NAMED[value]
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise FormatError(
        f"{where}: the label is {value!r}; expected {listing([*NAMED, *NO_ANSWER])}, null, or a "
        "number from 0 to 1."
    )


def _weight(record: Mapping[str, Any], where: str) -> float:
    value = record.get("weight")
    if value is None:
        return 1.0
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 < value < float("inf"):
        raise FormatError(f"{where}: the weight is {value!r}; expected a number above 0.")
    return float(value)
