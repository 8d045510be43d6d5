"""Files of labels: what people or language models say of sampled negatives."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hf_hardneg.cache import explain_os_error, staging_folder
from hf_hardneg.errors import FormatError, OutputError, listing
from hf_hardneg.formats.output_file import write_json_lines
from hf_hardneg.readers import open_text

__all__ = ["HAND_PICKED", "LABELS", "Label", "Labels", "check_label_file"]

LABELS = ("false_negative", "true_negative", "unsure", "bad_query")
"""The labels in words; a number between 0 and 1 is a probability of being relevant."""

HAND_PICKED = "hand-picked"
"""The stratum of a pair that somebody chose to label, because of what it looked like: it was not
drawn, has no weight, and never enters a rate."""
WITHDRAWN = "withdrawn"
"""The further field that says, where it is true and the label is null, that an annotator takes back
what was said of the pair before."""

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


class Labels(Sequence[Label]):
    """Labels of negatives that were sampled, and of some that were picked by hand.

    Args:
        rows: the labels.
        name: what they are called in messages.
        bad_queries: queries that lines which are not among these call bad; see
            :attr:`Label.pair` for what names a query.

    Raises:
        FormatError: there are none; of those that were drawn some have a weight and others have
            not; or one that was picked by hand has a weight.
    """

    def __init__(
        self,
        rows: Iterable[Label],
        name: str = "the labels",
        bad_queries: frozenset[str] = frozenset(),
    ) -> None:
        """Keep the labels."""
        self._rows, self.name, self.bad_queries = tuple(rows), name, bad_queries
        if not self._rows:
            raise FormatError(f"{name} hold no line; expected one JSON object a line.")
        by_hand = sum(row.hand_picked and row.weight is not None for row in self._rows)
        if by_hand:
            raise FormatError(
                f"{name}: {by_hand:,} lines of the stratum {HAND_PICKED!r} have a weight. A weight "
                "is 1 / probability of having been drawn, and what is picked by hand was not "
                "drawn: leave the weight out, or name the stratum that it was drawn from."
            )
        drawn = [row for row in self._rows if not row.control and not row.hand_picked]
        known = [row.weight is not None for row in drawn]
        if any(known) and not all(known):
            raise FormatError(
                f"{name}: {len(known) - sum(known):,} of {len(known):,} lines have no weight; "
                "expected one for all or for none. A weight is 1 / probability of having been "
                "drawn."
            )

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401
        """Return one label, or several as a tuple."""
        return self._rows[place]

    def __eq__(self, other: object) -> bool:
        """Return whether the lines are the same."""
        return isinstance(other, Labels) and self._rows == other._rows

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Label]:
        """Yield the labels in the order of the file."""
        return iter(self._rows)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Labels:
        """Read a file of labels, JSON lines.

        Raises:
            FormatError: a line is no JSON object, or has a value out of range; names the line.
        """
        path = Path(path).expanduser()
        return cls(_lines(path), str(path))

    @classmethod
    def read_all(cls, paths: Sequence[str | os.PathLike[str]]) -> Labels:
        """Read several files of labels as one, such as those of two people.

        Where there is more than one, a line without an annotator has the name of its file.

        Raises:
            FormatError: as :meth:`read`.
        """
        found = [cls.read(path) for path in paths]
        if len(found) == 1:
            return found[0]
        rows = (
            row if row.annotator else replace(row, annotator=own.name)
            for own in found
            for row in own
        )
        return cls(rows, listing((own.name for own in found), limit=len(found)))

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a file of labels, whole or not at all; return its path.

        Args:
            path: where to; a folder that is not there is made.
            overwrite: replace a file that is there, and the labels in it.

        Raises:
            OutputError: the file is there already, or cannot be written.
            FormatError: a further field that JSON cannot hold.
        """
        final = Path(path).expanduser().absolute()
        check_label_file(final, overwrite=overwrite)
        with staging_folder(final.parent, final.name) as staging:
            written = write_json_lines(staging / final.name, (row.to_dict() for row in self))
            try:
                with written.open("rb") as file:  # labels cost days: they outlive a power cut
                    os.fsync(file.fileno())
                if final.exists():
                    written.chmod(final.stat().st_mode & 0o777)
                os.replace(written, final)
            except OSError as error:
                raise explain_os_error(error, final) from error
        return final


def check_label_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse a file that is there already, before any work is done for it.

    Raises:
        OutputError: it exists, and says how many labels it holds; or it is a folder.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise OutputError(f"{str(path)!r} is a folder; the labels are one file. Name a file.")
    if overwrite or not path.exists():
        return
    labels = _labelled(path)
    held = f"holds {labels:,} labels" if labels else "exists"
    raise OutputError(
        f"the file {str(path)!r} {held} and would be lost. Choose another, or replace it with "
        "--overwrite (overwrite=True)."
    )


def _labelled(path: Path) -> int:
    """Return how many lines of a file have a label; a line that cannot be read has none."""
    number = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            number += isinstance(value, dict) and value.get("label") is not None
    return number


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _lines(path: Path) -> Iterator[Label]:
    number = 0
    try:
        with open_text(path) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                where = f"{path}, line {number}"
                try:
                    record = json.loads(line, parse_constant=_constant)
                except ValueError as error:
                    raise FormatError(f"{where}: no JSON ({error}).") from error
                if not isinstance(record, dict):
                    raise FormatError(
                        f"{where}: {type(record).__name__}; expected a JSON object with query, "
                        "document and label."
                    )
                yield Label.from_dict(record, where)
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise FormatError(f"{path}, after line {number}: cannot be read ({error}).") from error
