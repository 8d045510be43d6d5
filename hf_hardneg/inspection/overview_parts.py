"""The parts of an overview: plain values, each with where it comes from or why it is not known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hf_hardneg.distributions import Distribution
from hf_hardneg.rates import Rate

__all__ = ["Fact", "Flow", "FlowStep", "Hardness", "Overview", "Rates", "Reused", "ReusedDocument",
           "Scores", "Short"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """One value.

    Attributes:
        name: for programs.
        title: for people.
        value: text or number; ``None`` where it is not known, and ``why`` says so.
        where: where it comes from: ``the report of the mining``, ``all 20 rows``, ``20,000 of
            1,000,000 rows, drawn``, ...
        why: why it is not known.
    """

    name: str
    title: str
    value: str | int | float | None
    where: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class FlowStep:
    """What became of candidates at one step.

    Attributes:
        name: of the step: ``retrieved``, a stage, ``chosen``, ``not needed``, ``fill``.
        kind: ``retrieved``, ``stage``, ``chosen``, ``not needed`` or ``fill``.
        number: candidates: found, taken out by the stage, chosen, not needed, or filled in.
        left: candidates after the step; ``None`` where the order of the stages is not known.
        promoted: candidates that a stage made negatives at once.
        asked: candidates that a veto was asked about; ``None`` of a filter, which sees all.
        about: what the stage does, in a sentence; empty where that is not known.
    """

    name: str
    kind: str
    number: int
    left: int | None = None
    promoted: int = 0
    asked: int | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """The candidates through the stages; no steps where that is not known, and ``why``."""

    steps: tuple[FlowStep, ...]
    where: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of positives and negatives on the retriever's scale, counted between shared edges.

    Attributes:
        edges: one more than there are counts; empty where the scores are not known, and ``why``.
        positive_counts, negative_counts: how many lie between two edges, the last one included.
        positives, negatives: number, missing, mean and quantiles; ``None`` likewise.
        where: where they come from.
        why: why they are not known.
    """

    edges: tuple[float, ...] = ()
    positive_counts: tuple[int, ...] = ()
    negative_counts: tuple[int, ...] = ()
    positives: Distribution | None = None
    negatives: Distribution | None = None
    where: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of false negatives; none where none was estimated, and ``why`` says what does it."""

    rates: tuple[Rate, ...]
    where: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Hardness:
    """How hard the negatives are.

    Attributes:
        lines: (what, value as it is shown).
        mean_rank: of the negatives among the candidates, from 1.
        where, why: of the lines.
    """

    lines: tuple[tuple[str, str], ...]
    mean_rank: Fact
    where: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class ReusedDocument:
    """A document that is a negative often.

    Attributes:
        document_id: empty where it has none.
        text: its beginning; empty where it is not known.
        times: negatives that it is, among those looked at.
        share: of these negatives, between 0 and 1.
    """

    document_id: str
    text: str
    times: int
    share: float


@dataclass(frozen=True, slots=True)
class Reused:
    """How the negatives are spread over documents.

    Attributes:
        documents: the most used first.
        negatives: that were looked at.
        distinct: different documents among them.
        gini: 0 where all are used as often, towards 1 where few are used for nearly all.
        told_apart_by: ``id`` or ``text``.
        where: which rows were looked at.
        why: why nothing is known.
    """

    documents: tuple[ReusedDocument, ...]
    negatives: int
    distinct: int
    gini: float | None
    told_apart_by: str
    where: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Short:
    """Rows with fewer negatives than were asked for.

    Attributes:
        asked: negatives of a full row; ``None`` where it is not known.
        asked_where: where that comes from.
        rows: rows with fewer; ``None`` likewise.
        of: rows that were looked at.
        by_number: (negatives, rows) of those with fewer.
        where, why: of the rows.
    """

    asked: int | None
    asked_where: str
    rows: int | None
    of: int
    by_number: tuple[tuple[int, int], ...] = ()
    where: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """What a person sees of a set as a whole.

    Attributes:
        name: of the set.
        made: how it was mined.
        counts: rows, negatives and so on.
        flow: the candidates through the stages.
        scores: of positives and negatives.
        rates: of false negatives.
        hardness: of the negatives.
        reused: documents that are negatives often.
        short: rows with too few negatives.
        exact: whether every number that was worked out here is of all rows; if not, a later call
            may know more.
        notes: what a reader should know.
    """

    name: str
    made: tuple[Fact, ...]
    counts: tuple[Fact, ...]
    flow: Flow
    scores: Scores
    rates: Rates
    hardness: Hardness
    reused: Reused
    short: Short
    exact: bool
    notes: tuple[str, ...] = ()

    def fact(self, name: str) -> Fact:
        """Return the fact of that name among ``made`` and ``counts``.

        Raises:
            KeyError: there is none.
        """
        for one in (*self.made, *self.counts):
            if one.name == name:
                return one
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can write; never NaN."""
        values = asdict(self)
        values["rates"]["rates"] = [rate.to_dict() for rate in self.rates.rates]
        return values
