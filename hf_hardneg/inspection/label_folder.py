"""The labels in a folder as they are read, each line once, however many people look at them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from hf_hardneg.label_lines import PATTERN, Label, label_of

__all__ = ["AT", "SET", "LabelFolder", "LabelKey", "Said", "key_of", "label_folder"]

AT, SET = "at", "set"
"""Further fields of a line: when it was said, and of which set, a name made of what it holds."""
MOST = 4
"""Folders, and sets of a folder, whose labels are held in memory."""

LabelKey = tuple[str, str, bool, bool]
"""Query, document, whether it is a control, and whether it was picked by hand."""


def key_of(label: Label) -> LabelKey:
    """Return what a label is of; the later of two of one annotator counts."""
    return (*label.pair, label.control, label.hand_picked)


@dataclass(frozen=True, slots=True, order=True)
class Said:
    """A line of a file, in the order in which it was said.

    Attributes:
        at: its moment, as it is written.
        name: of the file.
        number: of the line among those with a label, from 0.
        label: what it says.
    """

    at: str
    name: str
    number: int
    label: Label = field(compare=False)


@dataclass(slots=True)
class _Read:
    """What has been read of a file."""

    node: tuple[int, int]
    size: int = 0
    lines: int = 0
    labels: int = 0


@dataclass(slots=True)
class _Latest:
    """The last label of each annotator and pair of a set.

    Attributes:
        upto: how many lines of the folder are taken in.
        newest: the last of these.
    """

    upto: int = 0
    newest: Said | None = None
    rows: dict[tuple[str, str, LabelKey], Label] = field(default_factory=dict)


class LabelFolder:
    """All labels in a folder, whoever appends to its files meanwhile.

    A line is read once. One without its end is being written, or was when its writer was killed:
    it is passed over. Asking again costs a look at the sizes of the files. May be asked by several
    threads at once.

    Args:
        folder: need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self.folder = folder
        self._lock = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        self._files: dict[Path, _Read] = {}
        self._lines: list[Said] = []
        self._moments: dict[str, datetime] = {}
        self._latest: OrderedDict[str, _Latest] = OrderedDict()

    def lines(self, identity: str = "", annotator: str | None = None) -> list[Said]:
        """Return the lines in the order in which they were said.

        Args:
            identity: of a set; empty for all.
            annotator: whose; default: of all.

        Raises:
            FormatError: a line that is whole is no label; names the file and the line.
        """
        with self._lock:
            self._refresh()
            own = [
                line for line in self._lines
                if annotator in (None, line.label.annotator) and _is_of(line.label, identity)
            ]  # fmt: skip
        return sorted(own)

    def latest(self, identity: str = "") -> list[Label]:
        """Return the last line of each annotator and pair, in the order in which it was said.

        Lines that take a label back, or have none, are not among them.

        Args:
            identity: of a set; empty for all.

        Raises:
            FormatError: as :meth:`lines`.
        """
        with self._lock:
            self._refresh()
            known = self._latest.get(identity, _Latest())
            new = sorted(line for line in self._lines[known.upto :] if _is_of(line.label, identity))
            if new and known.newest is not None and new[0] < known.newest:
                # Another process was slower to write down what was said before.
                known, new = _Latest(), self.lines(identity)
            for line in new:
                key = str(line.label.further.get(SET)), line.label.annotator, key_of(line.label)
                known.rows.pop(key, None)  # a later label has a later place
                known.rows[key] = line.label
            known.newest = new[-1] if new else known.newest
            known.upto = len(self._lines)
            self._latest[identity] = known
            self._latest.move_to_end(identity)
            while len(self._latest) > MOST:
                self._latest.popitem(last=False)
            return [label for label in known.rows.values() if label.label is not None]

    def last_moment(self, annotator: str) -> datetime | None:
        """Return when an annotator last said something of any set; ``None`` if never.

        Raises:
            FormatError: as :meth:`lines`.
        """
        with self._lock:
            self._refresh()
            return self._moments.get(annotator)

    def _refresh(self) -> None:
        """Read what is new."""
        paths = sorted(self.folder.glob(PATTERN))
        if any(self._is_another(path) for path in self._files):
            self._forget()  # a file was moved away or replaced
        for path in paths:
            self._read(path)

    def _is_another(self, path: Path) -> bool:
        own = self._files[path]
        try:
            about = path.stat()
        except FileNotFoundError:
            return True
        return about.st_size < own.size or (about.st_dev, about.st_ino) != own.node

    def _read(self, path: Path) -> None:
        about = path.stat()
        own = self._files.setdefault(path, _Read((about.st_dev, about.st_ino)))
        if about.st_size <= own.size:
            return
        with path.open("rb") as file:
            file.seek(own.size)
            whole = file.read(about.st_size - own.size)
        whole = whole[: whole.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[:-1]
        labels = [
            label_of(line, f"{path.name}, line {number}")
            for number, line in enumerate(lines, own.lines + 1)
            if line.strip()
        ]
        # Nothing is kept of a file with a damaged line: it is read again when it was mended.
        for number, label in enumerate(labels, own.labels):
            self._lines.append(Said(str(label.further.get(AT, "")), path.name, number, label))
            last, at = self._moments.get(label.annotator), _moment(label)
            if at is not None and (last is None or at > last):
                self._moments[label.annotator] = at
        own.lines, own.labels = own.lines + len(lines), own.labels + len(labels)
        own.size += len(whole)


def _is_of(label: Label, identity: str) -> bool:
    return not identity or label.further.get(SET) == identity


def _moment(label: Label) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(label.further.get(AT)))
    except ValueError:
        return None
    return found if found.tzinfo else None


_folders: OrderedDict[Path, LabelFolder] = OrderedDict()
_lock = threading.Lock()


def label_folder(folder: Path) -> LabelFolder:
    """Return the labels of a folder: of all who ask, the same, so that they are held once.

    Args:
        folder: an absolute path.
    """
    with _lock:
        found = _folders.setdefault(folder, LabelFolder(folder))
        _folders.move_to_end(folder)
        while len(_folders) > MOST:
            _folders.popitem(last=False)
        return found
