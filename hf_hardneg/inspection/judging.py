"""Judging a drawn sample without seeing where its documents come from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from hf_hardneg.cache import content_hash, explain_os_error, staging_folder
from hf_hardneg.errors import FormatError, ParameterError
from hf_hardneg.evaluation.label_rate import label_rate
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.evaluation.sampling import draw_pairs, frame_of
from hf_hardneg.formats.output_file import json_line, utf8
from hf_hardneg.hashing import exact_keys, mix
from hf_hardneg.inspection.label_book import LabelBook, key_of
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.rates import Rate

__all__ = ["Agreement", "BlindItem", "Judged", "JudgingTask", "Progress"]

VERSION = 1
ORDER = 0x4A554447
SIZE, CONTROLS = 200, 0.1


@dataclass(frozen=True, slots=True)
class BlindItem:
    """What somebody judges: nothing that says whether it is a negative or a control.

    Attributes:
        number: its place in the task, from 0.
        query, document: the texts.
    """

    number: int
    query: str
    document: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one annotator is.

    Attributes:
        done: items with a label.
        total: items.
        by_label: how many have which.
    """

    done: int
    total: int
    by_label: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two annotators agree on the items that both labelled.

    Attributes:
        annotators: the two.
        n: items that both labelled.
        same: share of these with the same label.
        kappa: Cohen's; ``None`` where it is not defined.
    """

    annotators: tuple[str, str]
    n: int
    same: float
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the labels of a task say so far.

    Attributes:
        rate: of false negatives, see :func:`~hf_hardneg.evaluation.label_rate.label_rate`.
        sensitivity, sensitivity_low, sensitivity_high: share of the labels of known positives that
            call them relevant, with its interval; ``None``, 0 and 1 where there is none.
        controls: how many labels of known positives that is of.
        by_annotator: of each annotator the share of known positives called relevant.
        agreement: of each two annotators with an item in common.
        progress: of each annotator.
    """

    rate: Rate
    sensitivity: float | None
    sensitivity_low: float
    sensitivity_high: float
    controls: int
    by_annotator: Mapping[str, float]
    agreement: tuple[Agreement, ...]
    progress: Mapping[str, Progress]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "rate": self.rate.to_dict()}


class JudgingTask:
    """A sample of a mined set that several people judge, each for themselves.

    The sample is drawn once, by :func:`~hf_hardneg.evaluation.sampling.draw_pairs`, and kept in the
    folder of the labels: whoever opens the same set with the same parameters, now or later, gets
    the same items in the same order, also if the data have moved away meanwhile. Known positives
    are mixed in. The items of a query stand together; the order of queries, and of a query's
    items, is a hash of their texts' names, which has nothing to do with what an item is.

    Args:
        lines: of the sample, unlabelled, in the order in which they are judged.
        summary: what :meth:`LabelSample.to_dict` says of the draw.
    """

    def __init__(self, lines: Iterable[Label], summary: Mapping[str, Any]) -> None:
        """Number the items."""
        self.lines, self.summary = tuple(lines), dict(summary)
        self._by_key = {key_of(line): line for line in self.lines}

    @classmethod
    def open(
        cls,
        mined: MinedSet,
        folder: str | os.PathLike[str],
        identity: str,
        *,
        size: int = SIZE,
        controls: float = CONTROLS,
        by: str = "rank",
        queries: int | None = None,
        seed: int = 0,
    ) -> JudgingTask:
        """Return the task of a mined set: the one in the folder, or else a new one.

        Drawing reads all rows, two times; it holds some forty bytes a row in memory, and the texts
        of the sample.

        Args:
            mined: the set, with texts.
            folder: of the labels.
            identity: of the set, see :func:`~hf_hardneg.inspection.set_identity.set_identity`.
            size: items, controls among them.
            controls: share of the items that are known positives.
            by: what the strata are, see :func:`~hf_hardneg.evaluation.sampling.draw_pairs`.
            queries: draw from so many queries only.
            seed: of the draw.

        Raises:
            ParameterError: a parameter out of range.
            FormatError: the set has no texts, or the file of the sample is damaged.
            QueryError: there is no pair to draw.
            OutputError: the folder cannot be written.
        """
        if not identity:
            raise ParameterError("a judging task needs the identity of its set, see set_identity.")
        asked = {"size": size, "controls": controls, "by": by, "queries": queries, "seed": seed}
        home = Path(folder).expanduser().absolute()
        path = home / f"sample-{identity}-{content_hash(VERSION, asked)[:12]}.json"
        if path.exists():
            return cls._read(path)
        try:
            home.mkdir(parents=True, exist_ok=True)
            (home / ".locks").mkdir(exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, path) from error
        with FileLock(home / ".locks" / f"{path.name}.lock"):
            if not path.exists():
                drawn = draw_pairs(
                    frame_of(mined), size=size, controls=controls, by=by, queries=queries, seed=seed
                )
                lines = _in_order(drawn.labels, seed)
                _write(path, {"set": identity, "asked": asked, "drawn": drawn.to_dict(),
                              "lines": [line.to_dict() for line in lines]})  # fmt: skip
            return cls._read(path)

    @classmethod
    def kept(cls, folder: str | os.PathLike[str], identity: str) -> list[JudgingTask]:
        """Return the tasks of a mined set that are in a folder of labels.

        Raises:
            FormatError: the file of a sample is damaged.
        """
        home = Path(folder).expanduser().absolute()
        return [cls._read(path) for path in sorted(home.glob(f"sample-{identity}-*.json"))]

    @classmethod
    def _read(cls, path: Path) -> JudgingTask:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            lines = [Label.from_dict(line, path.name) for line in found["lines"]]
            return cls(lines, found["drawn"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{path.name}: no sample of this version of hf-hardneg ({error}). Move it away: it "
                "is drawn anew, the same items from the same data."
            ) from error

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.lines)

    def item(self, number: int) -> BlindItem:
        """Return an item.

        Raises:
            ParameterError: there is no such item.
        """
        line = self._line(number)
        return BlindItem(number, line.query, line.document)

    def _line(self, number: int) -> Label:
        if isinstance(number, bool) or not 0 <= number < len(self):
            raise ParameterError(f"item {number!r}; expected a number from 0 to {len(self) - 1:,}.")
        return self.lines[number]

    def next(self, book: LabelBook, after: int = -1) -> BlindItem | None:
        """Return the next item that the book's annotator has not labelled, ``None`` if all are.

        Args:
            book: the labels.
            after: look behind this item first; from the end on it starts anew.
        """
        done = {key_of(row) for row in book.mine()}
        places = [*range(after + 1, len(self)), *range(min(after + 1, len(self)))]
        for number in places:
            if key_of(self.lines[number]) not in done:
                return self.item(number)
        return None

    def label(self, book: LabelBook, number: int, label: str | None, note: str = "") -> Label:
        """Keep what the book's annotator says of an item; return it as it was kept.

        Raises:
            ParameterError: there is no such item, or no such label.
            OutputError: it cannot be written.
        """
        line = self._line(number)
        try:
            said = Label.from_dict({**line.to_dict(), "label": label, "note": note}, "the label")
        except FormatError as error:
            raise ParameterError(str(error)) from None
        return book.add(said)

    def said(self, book: LabelBook, number: int) -> Label | None:
        """Return what the book's annotator says of an item; ``None`` if nothing."""
        key = key_of(self._line(number))
        return next((row for row in book.mine() if key_of(row) == key), None)

    def progress(self, book: LabelBook) -> Progress:
        """Return how far the book's annotator is."""
        return self._progress(book.mine())

    def _progress(self, rows: Iterable[Label]) -> Progress:
        words = [str(row.label) for row in rows if key_of(row) in self._by_key]
        return Progress(
            len(words), len(self), {word: words.count(word) for word in sorted({*words})}
        )

    def labels(self, book: LabelBook) -> Labels:
        """Return the sample and all that was said of it, as ``hf-hardneg audit --labels`` reads it.

        Items that nobody labelled are among them. A pair that was drawn for another sample of the
        set as well has the weight of this one. What was picked by hand is there too: no rate
        counts it, but a query that is called bad is bad here as well.
        """
        said = []
        for row in book.labels():
            line = self._by_key.get(key_of(row))
            if row.hand_picked:
                said.append(row)
            elif line is not None:
                said.append(replace(row, weight=line.weight, stratum=line.stratum))
        return Labels([*self.lines, *said], "the labels of the sample")

    def result(self, book: LabelBook) -> Judged:
        """Return what all labels of the task say so far.

        Args:
            book: of any annotator: those of all in its folder count.
        """
        rate = label_rate(self.labels(book))
        controls, people = rate.details["controls"], {row.annotator for row in book.labels()}
        mine = {who: [row for row in book.labels() if row.annotator == who] for who in people}
        return Judged(
            rate=rate,
            sensitivity=controls["sensitivity"],
            sensitivity_low=controls["low"],
            sensitivity_high=controls["high"],
            controls=controls["decided"],
            by_annotator=controls["by_annotator"],
            agreement=tuple(
                Agreement(tuple(one["annotators"]), one["n"], one["same"], one["kappa"])
                for one in rate.details["agreement"]
            ),
            progress={who: self._progress(mine[who]) for who in sorted(mine)},
        )


def _in_order(labels: Labels, seed: int) -> list[Label]:
    """Return the lines by a hash of the query, then of the document.

    The draw itself takes what has the lowest hash, so its order would tell controls from the rest.
    """
    queries = mix(seed, ORDER, exact_keys(row.pair[0] for row in labels))
    documents = mix(seed, ORDER, queries, exact_keys(row.pair[1] for row in labels))
    order = sorted(zip(queries.tolist(), documents.tolist(), range(len(labels)), strict=True))
    return [labels[place] for *_, place in order]


def _write(path: Path, values: object) -> None:
    """Write the file of a sample, whole or not at all."""
    content = utf8(json_line(values, path.name), path.name)
    with staging_folder(path.parent, path.name) as staging:
        written = staging / path.name
        try:
            with written.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(written, path)
        except OSError as error:
            raise explain_os_error(error, path) from error
