"""What all annotators together say of each pair of a file of labels."""

from __future__ import annotations

from dataclasses import dataclass

from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.label_lines import latest_of, value_of

__all__ = [
    "IRRELEVANT",
    "RELEVANT",
    "LabelCase",
    "LabelCases",
    "bad_queries",
    "side_of",
    "word_of",
]

RELEVANT, IRRELEVANT, UNSURE, BAD = "false_negative", "true_negative", "unsure", "bad_query"
MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class LabelCase:
    """A negative that was drawn, with what all annotators say of it together.

    Attributes:
        query: what names the query.
        label: its first line.
        values: of each annotator who decided, 1 or 0, or a probability.
        words: of each annotator, the label in words.
        weight: of the draw.
    """

    query: str
    label: Label
    values: tuple[float, ...]
    words: tuple[str, ...]
    weight: float

    @property
    def value(self) -> float:
        """The mean of those who decided."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True, slots=True)
class LabelCases:
    """The negatives of a file of labels, each in one of four groups.

    If one annotator labelled a pair several times, the last line counts; one that is not labelled
    yet takes nothing back, unless it says that it does (:attr:`Label.withdrawn`).

    ``bad_query`` is said of a pair and is about its query: one that asks nothing that a document
    could answer. No document is relevant to such a query or irrelevant to it, so all of its pairs
    are left out, whatever was said of the others; a known positive that was mixed in can show it
    as well as a negative.

    A pair that was picked by hand (:data:`~hf_hardneg.evaluation.labels.HAND_PICKED`) is in none of
    the four groups, and no known positive that was mixed in: nothing can be reckoned from what
    somebody chose to look at. If the same pair was drawn as well, what was said of it in the draw
    counts there, and only that. ``bad_query`` said by hand counts like any other: it is about the
    query, and bad it is wherever it was seen. So the usable queries are those that nobody calls
    bad, which is a set that the draw does not decide.

    Attributes:
        latest: of what was drawn the last line of each annotator for each pair, controls among
            them.
        controls: of these the known positives, of all queries.
        decided: negatives of usable queries that an annotator decided on.
        unsure: of usable queries, that all who looked were unsure of.
        bad_query: whose query any annotator calls bad, at any of its pairs.
        not_labelled: of usable queries, that nobody labelled.
        labelled_again: lines that gave way to a later one.
        bad_queries: what names these queries; see :meth:`Label.pair`.
        hand_picked: pairs of usable queries that were picked by hand, and decided on.
        bad_by_hand: what names the queries that are called bad by hand alone.
    """

    latest: list[Label]
    controls: list[Label]
    decided: list[LabelCase]
    unsure: list[LabelCase]
    bad_query: list[LabelCase]
    not_labelled: list[LabelCase]
    labelled_again: int
    bad_queries: frozenset[str] = frozenset()
    hand_picked: tuple[LabelCase, ...] = ()
    bad_by_hand: frozenset[str] = frozenset()

    @property
    def called_false_by_hand(self) -> int:
        """How many pairs picked by hand are called false negatives, by the mean of those asked."""
        return sum(side_of(case.value) for case in self.hand_picked)

    @property
    def negatives(self) -> int:
        """How many negatives there are in all groups."""
        groups = (self.decided, self.unsure, self.bad_query, self.not_labelled)
        return sum(map(len, groups))

    @classmethod
    def of(cls, labels: Labels) -> LabelCases:
        """Put the lines of a file together by what they are about."""
        every, again = _latest(labels)
        latest = [row for row in every if not row.hand_picked]
        cases = _cases([row for row in latest if not row.control])
        picked = _cases([row for row in every if row.hand_picked and not row.control])
        bad_drawn, bad = _bad_queries(latest), labels.bad_queries | _bad_queries(every)
        usable = [case for case in cases if case.query not in bad]
        open_ = [case for case in usable if not case.values]
        return cls(
            latest,
            [row for row in latest if row.control],
            [case for case in usable if case.values],
            [case for case in open_ if UNSURE in case.words],
            [case for case in cases if case.query in bad],
            [case for case in open_ if UNSURE not in case.words],
            again,
            bad & {row.pair[0] for row in every},
            tuple(case for case in picked if case.values and case.query not in bad),
            _bad_queries(every) - bad_drawn - labels.bad_queries,
        )


def bad_queries(labels: Labels) -> frozenset[str]:
    """Return what names the queries that any annotator calls bad, at any of their pairs."""
    return labels.bad_queries | _bad_queries(_latest(labels)[0])


def _bad_queries(latest: list[Label]) -> frozenset[str]:
    return frozenset(row.pair[0] for row in latest if row.label == BAD)


def _latest(labels: Labels) -> tuple[list[Label], int]:
    """Return what :func:`latest_of` does, in an order that the lines do not decide."""
    rows, again = latest_of(labels)
    return sorted(rows, key=lambda row: (row.pair, row.annotator, row.control, row.hand_picked)), (
        again
    )


def _cases(rows: list[Label]) -> list[LabelCase]:
    grouped: dict[tuple[str, str], list[Label]] = {}
    for row in rows:
        grouped.setdefault(row.pair, []).append(row)
    return [
        LabelCase(
            pair[0],
            own[0],
            tuple(value for row in own if (value := value_of(row)) is not None),
            tuple(word_of(row) for row in own if row.label is not None),
            max(row.weight if row.weight is not None else 1.0 for row in own),
        )
        for pair, own in grouped.items()
    ]


def side_of(value: float) -> bool:
    """Return whether a probability is on the side of relevant."""
    return value >= MIDDLE


def word_of(row: Label) -> str:
    """Return the label in words; a probability of a half and more is a false negative."""
    if isinstance(row.label, float):
        return RELEVANT if side_of(row.label) else IRRELEVANT
    return row.label or ""
