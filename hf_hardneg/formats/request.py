"""What a writer is given, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hf_hardneg.formats.mined_row import Document, MinedRow

__all__ = ["Tally", "WriteRequest", "Writer", "Written"]


@dataclass
class Tally:
    """Counts of rows while they stream by; :class:`Written` explains each."""

    rows_in: int = 0
    rows_written: int = 0
    rows_without_negatives: int = 0
    rows_too_few: int = 0
    rows_without_scores: int = 0


@dataclass(frozen=True)
class Written:
    """What was written. No row is left out without being counted here.

    Attributes:
        files: the files, in the order of the format's description.
        rows_in: rows read from the input.
        rows_written: rows that are in the training file. A row with several positives counts
            once, however many lines it makes.
        rows_without_negatives: rows that have no negative. Formats whose line is a list of
            negatives write them with an empty list; the others have nothing to write.
        rows_too_few: rows that have some negatives but fewer than ``num_negatives``, and are
            therefore missing from a file of fixed width.
        rows_without_scores: rows of which at least one score is unknown, where the format has a
            place for scores that cannot hold an unknown one. The writer's module says what
            happens to them.
    """

    files: list[Path]
    rows_in: int
    rows_written: int
    rows_without_negatives: int
    rows_too_few: int = 0
    rows_without_scores: int = 0


@dataclass(frozen=True)
class WriteRequest:
    """The input of a writer.

    Attributes:
        rows: the mined rows, read once.
        folder: an existing folder to write into.
        documents: the corpus, read once; empty for a format that does not need it.
        num_negatives: negatives of a line, for files of fixed width.
        tally: counts that the writer updates.
    """

    rows: Iterable[MinedRow]
    folder: Path
    documents: Iterable[Document] = ()
    num_negatives: int | None = None
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True)
class Writer:
    """A format that mined rows can be written in.

    Attributes:
        name: what the user types.
        description: one line for a list of formats.
        needs_corpus: whether the documents must be given.
        write: writes the files and returns their paths.
        needs_num_negatives: whether ``num_negatives`` must be given.
    """

    name: str
    description: str
    needs_corpus: bool
    write: Callable[[WriteRequest], list[Path]]
    needs_num_negatives: bool = False
