"""The card of a mined set: what it is, how it was made, and what is known of how good it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hf_hardneg.errors import FormatError
from hf_hardneg.hub import card_tables as tables
from hf_hardneg.hub.card_code import HERE, loading, training
from hf_hardneg.hub.card_models import models, models_took_part, stated
from hf_hardneg.hub.card_parts import metadata_text
from hf_hardneg.hub.facts import TRAINING, CardFacts
from hf_hardneg.hub.licences import Family, family_of, inherited
from hf_hardneg.hub.markdown import Markdown, inline, render
from hf_hardneg.hub.metadata import check_card, metadata_of
from hf_hardneg.hub.places import names_only
from hf_hardneg.hub.plots import SCORES, no_plot
from hf_hardneg.report import short_strategy

__all__ = ["BEGIN", "END", "card_text", "check_card"]

BEGIN, END = "<!-- hf-hardneg: {names} -->", "<!-- /hf-hardneg -->"
"""Between them stands what is ours."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")

SHOWN = 3
"""Samples that are seen without a click."""
NEGATIVES = 5
"""Negatives that are shown of a sample."""
NO_RANKING = "no held-out queries with judgements were given to measure it on"
FILES = {
    "arrow": "a folder of `save_to_disk`", "parquet": "a Parquet file",
    "jsonl": "a file of JSON lines",
}  # fmt: skip


def card_text(facts: CardFacts, *, plot: bool | None = None) -> str:
    """Return the card of a mined set.

    Everything that comes from data is escaped and, where it is long, cut; what was not measured is
    not there, and the card says why; of files and models of a machine it tells the names, not where
    they lie. The same facts give the same text. Beside what others wrote it
    is put by :func:`hf_hardneg.hub.card_merging.merge_cards`.

    Args:
        facts: what it says.
        plot: whether the drawing of the scores lies beside it; default: where it can be made.

    Raises:
        FormatError: a config has a name that is none.
    """
    wrong = [one.name for one in facts.configs if not NAME.fullmatch(one.name)]
    if wrong:
        raise FormatError(
            f"{wrong[0]!r} is no name of a config; expected letters, digits, '-', '_' and '.'."
        )
    facts = names_only(facts)
    return f"{metadata_text(metadata_of(facts))}\n{_marked(facts, plot)}"


def _marked(facts: CardFacts, plot: bool | None) -> str:
    """Return our part of the body, between its marks."""
    missing = no_plot(facts.report)
    if plot is False and not missing:
        missing = "it was not asked for"
    names = ",".join(one.name for one in facts.configs)
    body = render(
        "card.md.j2",
        {
            "facts": facts,
            "report": facts.report,
            "strategy": short_strategy(facts.report.strategy),
            "made_from": _made_from(facts),
            "here": HERE,
            "kept_as": Markdown(FILES.get(facts.files, "")),
            "loads": _loads(facts),
            "snippets": list(training(facts)),
            "tables": tables,
            "stages": tables.stages(facts),
            "models": models(facts.recipe),
            "of_models": stated(facts),
            "hardness": tables.hardness(facts.report),
            "spread": tables.spread(facts),
            "trained": tables.trained(facts.comparison),
            "no_ranking": facts.ranking_missing or NO_RANKING,
            "ranking_notes": [(one.what, note) for one in facts.ranking for note in one.notes],
            "no_plot": missing,
            "scores": Markdown(SCORES),
            "samples": [_sample(one) for one in facts.samples],
            "shown": SHOWN,
            "limits": list(_limits(facts)),
            "licence": _licence(facts),
        },
        {},
    )
    return f"{BEGIN.format(names=names)}\n{body.strip()}\n{END}\n"


def _made_from(facts: CardFacts) -> Markdown:
    """Return what the set is made from, in the middle of a sentence."""
    texts = [one for one in facts.sources if one.role != "model"]
    by_name: dict[str, list[str]] = {}
    for one in texts:
        by_name.setdefault(one.name, []).append(one.role)
    parts = [f"{inline(name, 120)} ({inline(', '.join(of))})" for name, of in by_name.items()]
    return Markdown("; ".join(parts))


def _loads(facts: CardFacts) -> str:
    """Return the code that loads the first config that trains, or the first that there is."""
    if not facts.configs or facts.files not in ("", *FILES):
        return ""
    by_name = {one.name: one for one in facts.configs}
    first = next((by_name[name] for name in TRAINING if name in by_name), facts.configs[0])
    return f"{loading(facts, first)}\nprint(train[0])"


def _sample(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as the template shows it: (score, text) of positives and negatives."""
    return {
        "query": values["query"],
        "positives": _scored(values["positives"], values.get("positive_scores") or []),
        "negatives": _scored(values["negatives"], values.get("scores") or [])[:NEGATIVES],
        "more": max(len(values["negatives"]) - NEGATIVES, 0),
    }


def _scored(texts: Sequence[str], scores: Sequence[float | None]) -> list[tuple[str, str]]:
    beside = list(scores) if len(scores) == len(texts) else [None] * len(texts)
    return [
        ("" if score is None else f"({score:.4g})", text)
        for score, text in zip(beside, texts, strict=True)
    ]


def _licence(facts: CardFacts) -> str:
    """Return what is to be said of the licence."""
    by_sources = inherited(facts.sources, facts.licence)
    if by_sources.licence == facts.licence:
        return by_sources.why
    stated = facts.licence or "none"
    return (
        f"Its publisher states {stated}. By its sources it would be "
        f"{by_sources.licence or 'none'}: {by_sources.why}"
    )


def _short(facts: CardFacts, rows: int) -> str:
    """Say how many rows have fewer negatives, and where one looks for them in vain."""
    said = f"{_counted(rows, 'row')} had fewer negatives than asked for"
    wide = any(one.name == "n-tuple" for one in facts.configs)
    if wide and facts.recipe.get("underfilled") in (None, "drop"):
        return f"{said}; n-tuple, which has a column for each negative, lacks such rows."
    return f"{said}."


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _limits(facts: CardFacts) -> Iterator[str]:
    """Yield what a reader should beware of, the worst first."""
    report = facts.report
    if facts.forced:
        yield "It was published although its audit found errors; see below."
    elif (facts.audit or {}).get("errors"):
        yield (
            "Its audit found errors, see below: it should not have been published, and where it "
            "was, that was forced."
        )
    known = [one for one in report.false_negatives if one.rate is not None]
    labelled = any(one.method == "labels" for one in known)
    read = "; only those that were labelled have been read" if labelled else " and read by nobody"
    rate = (
        ": the rate above says how many, as far as what it assumes is true"
        if known
        else ", and how many is not known"
    )
    yield f"Negatives were chosen by a rule{read}. A part of them is relevant all the same{rate}."
    yield (
        "Known positives, of all rows of the same query, are never negatives. A relevant document "
        "that the judgements do not name may be one."
    )
    if report.slots_filled:
        yield (
            f"Of the negatives {report.slots_filled:,} fill rows up: random documents, which are "
            "easy, or ones that no veto was asked about."
        )
    short = sum(report.underfilled.values())
    if short:
        yield _short(facts, short)
    if models_took_part(facts):
        yield (
            "Models took part in the choice: what they are blind to is missing among the "
            "negatives, and whatever is trained on these takes over their mistakes."
        )
    yield (
        "Scores are those of the strategy's retriever. They can be compared within this set, not "
        "with scores of another one."
    )
    yield (
        "The texts are those of the sources, as they are: nobody looked for personal data, for "
        "offence, or for errors."
    )
    if facts.audit is None:
        yield (
            "The set was not audited: whether queries of a benchmark are in it was not looked for."
        )
    if family_of(facts.licence) == Family.no_derivatives:
        yield "Its licence forbids to pass on what is made from the work. A mined set may be that."
