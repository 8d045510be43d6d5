"""One line of a file of labels: what somebody says of a query and a document."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hf_hardneg.errors import FormatError, listing
from hf_hardneg.hashing import exact_key
from hf_hardneg.readers import open_text

__all__ = [
    "HAND_PICKED", "LABELS", "PATTERN", "WITHDRAWN", "Label", "file_stem", "label_lines",
    "label_of", "latest_of", "pattern_of", "value_of",
]  # fmt: skip

LABELS = ("false_negative", "true_negative", "unsure", "bad_query")
"""The labels in words; a number between 0 and 1 is a probability of being relevant."""

HAND_PICKED = "hand-picked"
"""The stratum of a pair that somebody chose to label, because of what it looked like: it was not
drawn, has no weight, and never enters a rate."""
WITHDRAWN = "withdrawn"
"""The further field that says, where it is true and the label is null, that an annotator takes back
what was said of the pair before."""

PATTERN = "labels-*.jsonl"
"""The names of the files that labels are kept in."""
SAFE = re.compile(r"[^A-Za-z0-9]+")
SHOWN = 40
TEXTS = ("query_id", "query", "document_id", "document", "annotator", "note", "source", "stratum")
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Label:
    """One line: a negative that was drawn, and what somebody says of it.

    Attributes:
        query_id, query: the query; one of the two is there.
        document_id, document: the negative; one of the two is there.
        label: one of :data:`LABELS`, a number in [0, 1], or ``None`` for not labelled yet.
        annotator: who says so, or empty.
        weight: 1 / probability of having been drawn; ``None`` where that is not known.
        depth: the deepest rank of what it was drawn from: nothing beyond could be drawn; ``None``
            where that is not known.
        control: a known positive that was mixed in to see whether annotators find it.
        note, rank, score, source, stratum: as the draw wrote them. The stratum
            :data:`HAND_PICKED` says that there was no draw.
        further: fields with other names, kept as they are.
    """

    query_id: str = ""
    query: str = ""
    document_id: str = ""
    document: str = ""
    label: str | float | None = None
    annotator: str = ""
    note: str = ""
    rank: int | None = None
    score: float | None = None
    source: str = ""
    stratum: str = ""
    weight: float | None = None
    depth: int | None = None
    control: bool = False
    further: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    @property
    def pair(self) -> tuple[str, str]:
        """What is labelled: query and document, by their ids or, without ids, by their texts."""
        return self.query_id or self.query, self.document_id or self.document

    @property
    def hand_picked(self) -> bool:
        """Whether somebody chose the pair; else it was drawn."""
        return self.stratum == HAND_PICKED

    @property
    def withdrawn(self) -> bool:
        """Whether the line takes back what its annotator said of the pair before."""
        return self.label is None and self.further.get(WITHDRAWN) is True

    def to_dict(self) -> dict[str, Any]:
        """Return the line as plain values, in the order that files have them."""
        return {**{name: getattr(self, name) for name in KNOWN}, **self.further}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], where: str = "a label") -> Label:
        """Return the label of a line.

        Args:
            record: its fields; those that are missing have their defaults.
            where: which line, for messages.

        Raises:
            FormatError: there is no field ``label``, or a value out of range or of another kind.
        """
        if "label" not in record:
            raise FormatError(
                f"{where}: no field 'label', which is null as long as nobody has labelled the "
                f"pair. It has the fields {listing(record)}."
            )
        texts = {name: _text(record.get(name), name, where) for name in TEXTS}
        found = cls(
            **texts,
            label=_label(record.get("label"), where),
            rank=_rank(record.get("rank"), "rank", where),
            depth=_rank(record.get("depth"), "depth", where),
            score=_number(record.get("score"), "score", where),
            weight=_weight(record.get("weight"), where),
            control=_control(record.get("control"), where),
            further={name: value for name, value in record.items() if name not in KNOWN},
        )
        if not all(found.pair):
            raise FormatError(
                f"{where}: no query or no document; expected query_id or query, and document_id "
                f"or document. It has the fields {listing(record)}."
            )
        return found


KNOWN = tuple(own.name for own in fields(Label) if own.name != "further")


def _text(value: object, name: str, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise FormatError(f"{where}: {name} is {value!r}; expected text.")
    return value


def _number(value: object, name: str, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FormatError(f"{where}: {name} is {value!r}; expected a finite number or null.")
    return float(value)


def _label(value: object, where: str) -> str | float | None:
    if value is None or (isinstance(value, str) and value in LABELS):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise FormatError(
        f"{where}: label is {value!r}; expected one of {listing(LABELS)}, a number from 0 to 1, or "
        "null for not labelled yet."
    )


def _rank(value: object, name: str, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FormatError(f"{where}: {name} is {value!r}; expected a whole number or null.")
    return value


def _weight(value: object, where: str) -> float | None:
    weight = _number(value, "weight", where)
    if weight is not None and weight <= 0:
        raise FormatError(
            f"{where}: weight is {value!r}; expected 1 / probability of having been drawn, above 0."
        )
    return weight


def _control(value: object, where: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise FormatError(f"{where}: control is {value!r}; expected true, false or null.")


def latest_of(labels: Iterable[Label]) -> tuple[list[Label], int]:
    """Return the last label of each annotator for each pair, and how many lines gave way.

    A pair that is a control, or was picked by hand, is another one than the same pair that is not.
    A line that is not labelled takes nothing back, unless it says so (:attr:`Label.withdrawn`).

    Returns:
        The labels in the order of their lines.
    """
    rows: dict[tuple[tuple[str, str], str, bool, bool], Label] = {}
    again = 0
    for row in labels:
        key = (row.pair, row.annotator, row.control, row.hand_picked)
        before = rows.get(key)
        if before is not None and row.label is None and not row.withdrawn:
            continue
        again += before is not None and before.label is not None
        rows.pop(key, None)
        rows[key] = row
    return list(rows.values()), again


def value_of(row: Label) -> float | None:
    """Return the probability of being relevant; ``None`` where the annotator did not decide."""
    if isinstance(row.label, float):
        return row.label
    return {"false_negative": 1.0, "true_negative": 0.0}.get(row.label or "")


def file_stem(annotator: str) -> str:
    """Return how the names of an annotator's files begin; no two annotators have the same.

    It has letters, digits and hyphens alone, whatever the annotator is called.
    """
    shown = SAFE.sub("-", annotator)[:SHOWN].strip("-").lower()
    own = f"{exact_key(annotator):016x}"
    return f"labels-{shown}-{own}" if shown else f"labels-{own}"


def pattern_of(annotator: str) -> str:
    """Return what the names of all files of an annotator match, of whatever process."""
    return f"{file_stem(annotator)}-*.jsonl"


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


DECODER = json.JSONDecoder(parse_constant=_constant)


def label_of(line: str | bytes, where: str) -> Label:
    """Return the label of a line of JSON.

    Raises:
        FormatError: it is no JSON object, or has a value out of range.
    """
    try:
        record = DECODER.decode(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{where}: no JSON ({error}). Mend the line, or move the file away."
        ) from error
    if not isinstance(record, dict):
        raise FormatError(
            f"{where}: {type(record).__name__}; expected a JSON object with query, document and "
            "label."
        )
    return Label.from_dict(record, where)


def label_lines(path: Path) -> Iterator[Label]:
    """Yield the labels of a file of JSON lines.

    Raises:
        FormatError: it cannot be read, a line is no JSON object, or has a value out of range;
            names the line.
    """
    number = 0
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{path}, line {number}"
                yield label_of(line, where)
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise FormatError(f"{path}, after line {number}: cannot be read ({error}).") from error
