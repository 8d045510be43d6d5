"""What people say of the documents of a mined set, kept as they say it."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hf_hardneg.errors import FormatError, ParameterError
from hf_hardneg.evaluation.labels import HAND_PICKED, WITHDRAWN, Label, Labels
from hf_hardneg.evaluation.pair_frames import document_name, query_name
from hf_hardneg.inspection.label_files import LabelFile, file_name
from hf_hardneg.inspection.label_folder import AT, SET, LabelKey, key_of, label_folder

__all__ = ["LabelBook", "LabelKey", "by_hand", "key_of"]

SET_NAME, UNDOES = "set_name", "undoes"
"""Further fields of a line: what its set was called, and the moment of the line that it takes
back."""
LONGEST = 200


def by_hand(
    label: str | None,
    *,
    query: str,
    document: str,
    query_id: str = "",
    document_id: str = "",
    note: str = "",
    control: bool = False,
    rank: int | None = None,
    score: float | None = None,
    source: str = "",
) -> Label:
    """Return a label of a pair that somebody picked while browsing; see ``HAND_PICKED``.

    A query or document without an id gets one made of its text, the same that a drawn sample
    makes, so that what is said in both is said of the same.

    Args:
        label: one of :data:`~hf_hardneg.evaluation.labels.LABELS`.
        query: its text.
        document: its text.
        query_id: empty where the data has none.
        document_id: likewise.
        note: what the annotator adds.
        control: it is a known positive of the query, not a negative.
        rank: among the candidates, from 1.
        score: the retriever's.
        source: what found it.
    """
    return Label(
        query_id=query_name(query_id, query),
        query=query,
        document_id=document_name(document_id, document),
        document=document,
        label=label,
        note=note,
        rank=rank,
        score=score,
        source=source,
        stratum=HAND_PICKED,
        control=control,
    )


class LabelBook:
    """The labels of a mined set, in a folder that several people and processes share.

    Each annotator has files of their own, one for each process that kept labels for them, and each
    is only appended to: two people, or one person in two windows, cannot overwrite each other.
    When :meth:`add` returns, the label is on the disk, so neither a reload nor a crash loses it.
    All methods may be called by several threads at once.

    A label carries in its further fields the moment (``at``, UTC) and the set (``set``,
    ``set_name``). Labels of another set in the same folder are never among those that this book
    gives; :meth:`others` counts them. Where one annotator labelled a pair several times, the last
    label counts, by its moment.

    Args:
        folder: where the files lie; it is made when the first label is added.
        annotator: who labels, at most 200 characters. As a file name it is escaped.
        identity: of the mined set, see
            :func:`~hf_hardneg.inspection.set_identity.set_identity`; empty: of all sets.
        set_name: what the set is called.
        lock: held while a line is written, for whoever reads the files meanwhile, such as
            :class:`~hf_hardneg.hub.label_commits.LabelCommits`. Default: none.

    Raises:
        ParameterError: no annotator, or a name that is too long.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        annotator: str,
        *,
        identity: str = "",
        set_name: str = "",
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        """Write nothing yet."""
        if not isinstance(annotator, str) or not 0 < len(annotator.strip()) <= LONGEST:
            raise ParameterError(
                f"annotator={str(annotator)[:50]!r}; expected the name of whoever labels, from 1 "
                f"to {LONGEST} characters."
            )
        self.folder = Path(folder).expanduser().absolute()
        self.annotator, self.identity, self.set_name = annotator.strip(), identity, set_name
        self._shared = lock or nullcontext()
        self._turn = threading.RLock()
        self._read = label_folder(self.folder)

    @property
    def path(self) -> Path:
        """The file that this process appends to."""
        return self.folder / file_name(self.annotator)

    def add(self, label: Label) -> Label:
        """Keep a label; return it as it was kept, with its annotator, moment and set.

        Raises:
            ParameterError: a negative that is not ``hand-picked`` and has no weight: what was
                drawn has one.
            FormatError: one that was picked by hand has a weight, or a field that JSON cannot hold.
            OutputError: the disk is full, or the folder cannot be written.
        """
        if label.weight is None and not label.control and not label.hand_picked:
            raise ParameterError(
                "a label of a pair that was drawn needs the weight of the draw. Expected the line "
                "of a sample with its label, or, for a pair that somebody picked, "
                f"stratum={HAND_PICKED!r}."
            )
        plain = {
            name: own for name, own in label.further.items() if name not in (UNDOES, WITHDRAWN)
        }
        return self._keep(replace(label, further=plain))

    def _keep(self, label: Label) -> Label:
        with self._turn:
            further = {**label.further, AT: self._now()}
            if self.identity:
                further |= {SET: self.identity, SET_NAME: self.set_name}
            kept = replace(label, annotator=self.annotator, further=further)
            Labels([kept], "the label")
            with self._shared:
                LabelFile(self.path).append(kept.to_dict())
        return kept

    def undo(self) -> Label | None:
        """Take back the last label of this annotator; return the line that was taken back.

        Nothing is removed: a line is appended that says again what the annotator had said of the
        pair before, or, if that was nothing, that the label is withdrawn. Called again it takes
        back the one before. ``None`` where nothing is left to take back.

        Raises:
            OutputError: as :meth:`add`.
        """
        with self._turn:
            own = [line.label for line in self._read.lines(self.identity, self.annotator)]
            back = {str(row.further.get(UNDOES)) for row in own}
            said = [
                row
                for row in own
                if UNDOES not in row.further and str(row.further.get(AT)) not in back
            ]
            if not said:
                return None
            last = said[-1]
            same = last.further.get(SET), key_of(last)
            before = [row for row in said[:-1] if (row.further.get(SET), key_of(row)) == same]
            further: dict[str, object] = {UNDOES: last.further[AT]}
            if before:
                self._keep(replace(before[-1], further={**before[-1].further, **further}))
            else:
                further[WITHDRAWN] = True
                self._keep(replace(last, label=None, note="", further={**last.further, **further}))
            return last

    def labels(self) -> list[Label]:
        """Return what counts of all annotators, in the order in which it was said.

        Of each annotator and pair the last label; nothing where that was taken back.

        Raises:
            FormatError: a file of the folder is damaged; names the file and the line.
        """
        return self._read.latest(self.identity)

    def mine(self) -> list[Label]:
        """Return the labels of this annotator that count; see :meth:`labels`."""
        return [row for row in self.labels() if row.annotator == self.annotator]

    def others(self) -> Mapping[str, int]:
        """Return how many lines of the folder are of other sets, by what these were called."""
        counts = Counter(
            str(row.further.get(SET_NAME) or row.further.get(SET) or "(no name)")
            for row in (line.label for line in self._read.lines())
            if self.identity and row.further.get(SET) != self.identity
        )
        return dict(sorted(counts.items()))

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        unlabelled: Iterable[Label] = (),
        overwrite: bool = False,
    ) -> Path:
        """Write the labels as one file that ``hf-hardneg audit --labels`` reads; return its path.

        Args:
            path: of the file.
            unlabelled: lines of a sample, written first, so that those which nobody labelled are
                counted.
            overwrite: replace a file that is there.

        Raises:
            FormatError: there is no label to write.
            OutputError: the file is there already, or cannot be written.
        """
        rows = [*unlabelled, *self.labels()]
        if not rows:
            raise FormatError("nobody has labelled anything of this set yet; nothing to export.")
        return Labels(rows, "the labels").write(path, overwrite=overwrite)

    def _now(self) -> str:
        """Return the moment, later than any that this annotator has said something at."""
        now, last = datetime.now(timezone.utc), self._read.last_moment(self.annotator)
        if last is not None and last >= now:
            now = last + timedelta(microseconds=1)  # the clock was set back
        return now.isoformat(timespec="microseconds")
