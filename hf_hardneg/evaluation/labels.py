"""Files of labels: what people or language models say of sampled negatives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hf_hardneg.cache import explain_os_error, staging_folder
from hf_hardneg.errors import FormatError, OutputError, listing
from hf_hardneg.formats.output_file import write_json_lines
from hf_hardneg.label_lines import HAND_PICKED, LABELS, WITHDRAWN, Label, label_lines

__all__ = ["HAND_PICKED", "LABELS", "WITHDRAWN", "Label", "Labels", "check_label_file"]


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
        return cls(label_lines(path), str(path))

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
