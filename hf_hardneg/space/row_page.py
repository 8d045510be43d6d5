"""One row of a mined set as HTML: query, positives, negatives and what was rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from hf_hardneg.inspection import DocumentView, RowView
from hf_hardneg.inspection.words import Piece, content_words, pieces
from hf_hardneg.pages import visible
from hf_hardneg.space.render import html

__all__ = ["FOLDED", "REJECTED_AT_ONCE", "Card", "row_html"]

FOLDED = 700
"""Characters of a text that are shown before it is folded."""
LONGEST = 100_000
"""Characters of a text that are sent at all."""
REJECTED_AT_ONCE = 50
WORDS = {
    "false_negative": "False negative",
    "true_negative": "True negative",
    "unsure": "Unsure",
    "bad_query": "Bad query",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A document as it is drawn.

    Attributes:
        view: the document.
        start, rest: its text in pieces; ``rest`` is what is folded.
        cut: characters that are not sent.
        facts: names and values.
        reasons: why it is suspicious, in words.
        label: what the caller said of it, empty for nothing.
        note: the caller's note.
    """

    view: DocumentView
    start: Sequence[Piece]
    rest: Sequence[Piece]
    cut: int
    facts: Sequence[tuple[str, str]]
    reasons: Sequence[str] = ()
    label: str = ""
    note: str = ""


def row_html(
    row: RowView,
    *,
    link: Mapping[str, str],
    reasons: Mapping[int, Sequence[str]] | None = None,
    labels: Mapping[int, tuple[str, str]] | None = None,
    place: str = "",
) -> str:
    """Return a row as HTML.

    Args:
        row: the row.
        link: parts of the address that lead here.
        reasons: why negatives are suspicious, by their place.
        labels: (label, note) of negatives, by their place.
        place: of the row among those that were found, in words.
    """
    asked = content_words([row.query])
    known = content_words(one.text for one in row.positives) - asked
    marks, why = labels or {}, reasons or {}
    positive_score = min((p.score for p in row.positives if p.score is not None), default=None)
    return html(
        "row.html",
        row=row,
        place=place,
        link="?" + urlencode(link),
        query=pieces(row.query[:LONGEST], asked),
        positives=[_card(one, asked, frozenset(), None) for one in row.positives],
        negatives=[
            _card(one, asked, known, positive_score, why.get(one.place, ()), marks.get(one.place))
            for one in row.negatives
        ],
        rejected=[
            _card(one, asked, known, positive_score) for one in row.rejected[:REJECTED_AT_ONCE]
        ],
        more=max(len(row.rejected) - REJECTED_AT_ONCE, 0),
        by_stage=Counter(one.outcome or "unknown" for one in row.rejected).most_common(),
        words=WORDS,
    )


def _card(
    one: DocumentView,
    query: frozenset[str],
    positive: frozenset[str],
    positive_score: float | None,
    reasons: Sequence[str] = (),
    label: tuple[str, str] | None = None,
) -> Card:
    text = visible(one.text[:LONGEST])
    # A second cut here keeps a word whole: the fold stands where a word ends.
    fold = len(text) if len(text) <= FOLDED * 1.3 else text.rfind(" ", FOLDED // 2, FOLDED) + 1
    fold = fold or FOLDED
    said, note = label or ("", "")
    return Card(
        one,
        pieces(text[:fold], query, positive),
        pieces(text[fold:], query, positive),
        max(len(one.text) - LONGEST, 0),
        list(_facts(one, positive_score)),
        reasons,
        said,
        note,
    )


def _facts(one: DocumentView, positive_score: float | None) -> Iterator[tuple[str, str]]:
    if one.rank is not None:
        yield "rank", f"{one.rank:,}"
    if one.score is not None:
        yield "score", _score(one.score)
        if positive_score is not None and one.side != "positive":
            yield "beside the positive", f"{one.score - positive_score:+.4g}"
    if one.source:
        yield "found by", one.source
    if one.model_score is not None:
        yield "cross-encoder", _score(one.model_score)
    if one.filled:
        yield "filled up", "not asked about by every stage"


def _score(value: float) -> str:
    return f"{value:.4g}"
