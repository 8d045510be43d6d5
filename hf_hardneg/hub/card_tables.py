"""The tables of a card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from hf_hardneg.catalogue import catalogue
from hf_hardneg.hub.facts import CardFacts, Ranked, SourceFact, StageFact, stages_of
from hf_hardneg.hub.markdown import Markdown, code, inline, table
from hf_hardneg.pages import number, percent
from hf_hardneg.rates import Rate
from hf_hardneg.report import Report, StageCount, short_strategy

__all__ = [
    "audited",
    "candidates",
    "configs",
    "details",
    "hardness",
    "ranked",
    "rates",
    "rows",
    "sources",
    "spread",
    "stages",
    "summary",
    "trained",
    "versions",
]

MRR = "MRR@10"
NUMBERED = re.compile(r"_\d+$")
ALWAYS = {
    "known-positive": "a positive of the query in any of its rows, by its id",
    "positive-text": "the same text as a positive",
    "query-text": "the same text as the query",
    "duplicate-text": "the same text as another candidate",
}
"""What the filters drop that every strategy has."""


def summary(facts: CardFacts) -> Markdown:
    """Return what a reader wants to know first."""
    report = facts.report
    lines: list[tuple[object, object]] = [
        ("rows mined", f"{report.rows_in:,}"),
        ("negatives", f"{report.slots_chosen:,}, {report.num_negatives} asked for each row"),
        ("false negatives", _first_rate(report.false_negatives)),
    ]
    for one in facts.ranking:
        if MRR in one.measures:
            lines.append((inline(f"{MRR} of {one.what}", 120), _measure(one.measures[MRR])))
    lines.append(("licence", inline(facts.licence or "none can be stated")))
    return table(["in short", ""], lines)


def _first_rate(rates: Sequence[Rate]) -> str:
    known = [one for one in rates if one.rate is not None]
    if known:
        one = known[0]
        return f"{percent(one.rate)} ({percent(one.low)} to {percent(one.high)}; {one.method})"
    return "not known, see below"


def _measure(values: Sequence[float | None], sign: str = "") -> str:
    mean, low, high = values
    if mean is None:
        return "not measured"
    ends = "" if low is None or high is None else f" ({low:{sign}.3f} to {high:{sign}.3f})"
    return f"{mean:{sign}.3f}{ends}"


def configs(facts: CardFacts) -> Markdown:
    """Return what is in the set."""
    return table(
        ["config", ">rows", "a row", "columns"],
        [
            (
                code(one.name),
                f"{one.rows:,}",
                inline(one.about),
                _columns([name for name, _ in one.features]),
            )
            for one in facts.configs
        ],
    )


def _columns(names: Sequence[str]) -> Markdown:
    """Return names of columns; of numbered ones, ``negative_1`` and so on, the first and last."""
    shown: list[str] = []
    for stem, own in groupby(names, lambda name: NUMBERED.sub("", name)):
        run = list(own)
        if len(run) > 2 and run == [f"{stem}_{number}" for number in range(1, len(run) + 1)]:
            shown.append(f"{code(run[0])} to {code(run[-1])}")
        else:
            shown += map(code, run)
    return Markdown(", ".join(shown))


def stages(facts: CardFacts) -> Markdown | None:
    """Return every parameter of each stage, ``None`` where the strategy cannot be read again."""
    found = stages_of(facts.report.strategy)
    if not found:
        return None
    about = {entry.name: entry.about for entry in catalogue()}
    return table(
        ["stage", "what it does", "parameters"],
        [(code(one.name), inline(about.get(one.name, "")), _parameters(one)) for one in found],
    )


def _parameters(stage: StageFact) -> Markdown:
    if not stage.parameters:
        return Markdown("none")
    return Markdown(
        ", ".join(code(short_strategy(f"{name}={value}")) for name, value in stage.parameters)
    )


def sources(given: Sequence[SourceFact]) -> Markdown:
    """Return what the set is made from, each thing once with all that it was used for."""
    roles: dict[SourceFact, list[str]] = {}
    for one in given:
        roles.setdefault(replace(one, role=""), []).append(one.role)
    return table(
        ["what", "name", "revision", "licence"],
        [
            (
                inline(", ".join(of)),
                _linked(one),
                code(one.revision) if one.revision else "not known",
                inline(one.licence or "unknown"),
            )
            for one, of in roles.items()
        ],
    )


def _linked(source: SourceFact) -> Markdown:
    """Return a name with a link where it leads to a page, and nowhere else."""
    url = source.url or ""
    safe = url.startswith("https://") and not set(url) & set(" <>()[]\\|`\"'\n\t&*_~$")
    return Markdown(f"[{inline(source.name)}]({url})") if safe else inline(source.name)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"model": value}


def versions(recipe: Mapping[str, Any]) -> Markdown:
    """Return everything else that the result depends on."""
    corpus = _mapping(recipe.get("corpus") or {})
    lines: list[tuple[str, object]] = [
        ("negatives asked for each row", number(recipe.get("num_negatives"))),
        ("rows with fewer", inline(recipe.get("underfilled") or "as the output format has it")),
        ("seed", code(recipe.get("seed", "not known"))),
        ("documents of the corpus", number(corpus.get("documents"))),
        ("fingerprint of the corpus", code(corpus.get("fingerprint") or "not known")),
    ]
    packages = recipe.get("versions") or {}
    lines += [(name, inline(of or "not installed")) for name, of in sorted(packages.items())]
    known = {"strategy", "num_negatives", "underfilled", "seed", "corpus", "versions", "models"}
    for name in sorted(set(recipe) - known):
        lines.append((name, code(json.dumps(recipe[name], ensure_ascii=False, sort_keys=True))))
    return table(["setting", "value"], lines)


def rows(report: Report) -> Markdown:
    """Return what became of the rows."""
    lines = [("rows in", report.rows_in)]
    lines += [(f"flagged by {name}", of) for name, of in report.rows_flagged.items()]
    if report.rows_flagged:
        lines.append(("left out for a flag", report.rows_rejected))
    short = report.rows_dropped - report.rows_rejected
    lines.append(("left out for having too few negatives", short))
    lines.append(("rows out", report.rows_out))
    lines += [
        (f"rows with {of} of {report.num_negatives} negatives", count)
        for of, count in sorted(report.underfilled.items())
    ]
    lines.append(("negatives", report.slots_chosen))
    lines.append(("of these, to fill rows up", report.slots_filled))
    lines += [(f"of these {name}", of) for name, of in report.strata.items()]
    return table(["rows and negatives", ">number"], [(name, f"{of:,}") for name, of in lines])


def candidates(report: Report) -> Markdown:
    """Return what each stage took out of the candidates, and why."""
    about = {**{entry.name: entry.about for entry in catalogue()}, **ALWAYS}
    left = report.slots_retrieved
    lines: list[Sequence[object]] = [("retrieved", "", "", f"{left:,}")]
    for one in report.stages:
        left -= one.dropped + one.promoted
        reason = Markdown(f"{inline(about.get(one.stage, ''))}{_asked(one)}")
        lines.append((code(one.stage), reason, f"{one.dropped:,}", f"{left:,}"))
    chosen = report.slots_chosen - report.slots_filled
    lines.append(("chosen", "", "", f"{chosen:,}"))
    lines.append(("not needed", "enough were chosen before", "", f"{report.slots_unused:,}"))
    return table(["stage", "its rule", ">dropped", ">left"], lines)


def _asked(stage: StageCount) -> str:
    if stage.asked is None:
        return ""
    promoted = f", {stage.promoted:,} made positives" if stage.promoted else ""
    return f" ({stage.asked:,} asked about{promoted})"


def rates(found: Sequence[Rate]) -> Markdown:
    """Return the rates of false negatives that were estimated."""
    return table(
        ["estimated by", ">rate", ">95% interval", ">taken from"],
        [
            (
                one.method,
                "not known" if one.rate is None else percent(one.rate),
                "" if one.rate is None else f"{percent(one.low)} to {percent(one.high)}",
                f"{one.n:,} {one.of}",
            )
            for one in found
        ],
    )


def details(rate: Rate) -> Markdown:
    """Return the further shares and bounds of an estimator; its counts are in the report."""
    return Markdown(
        ", ".join(
            f"{code(name)} {inline(number(value))}"
            for name, value in rate.details.items()
            if isinstance(value, float)
        )
    )


def ranked(found: Sequence[Ranked]) -> Markdown:
    """Return how well the documents are ranked for the held-out queries."""
    names = list(dict.fromkeys(name for one in found for name in one.measures))
    names.sort(key=lambda name: name != MRR)
    return table(
        ["ranked by", *(f">{name} (95% interval)" for name in names), ">queries"],
        [
            (
                inline(one.what, 120),
                *(_measure(one.measures.get(name, (None, None, None))) for name in names),
                f"{one.queries:,}",
            )
            for one in found
        ],
    )


def audited(audit: Mapping[str, Any]) -> Markdown:
    """Return what the audit found, in a sentence and a table."""
    found = [one for one in audit.get("findings", ()) if one["count"]]
    looked = f"Its audit looked at {audit['rows']:,} rows"
    if not found:
        return Markdown(f"{looked} and found nothing.")
    lines = [
        (
            inline(one.get("severity", "")),
            inline(one["title"]),
            f"{one['count']:,}",
            f"{one['checked']:,} {inline(one.get('of', ''))}" if one.get("checked") else "",
        )
        for one in found
    ]
    counted = table(["how bad", "what", ">number", ">looked at"], lines)
    return Markdown(f"{looked} and found:\n\n{counted}")


def trained(comparison: Mapping[str, Any] | None) -> Markdown | None:
    """Return what training came to in a comparison, ``None`` where nothing was trained."""
    found = (comparison or {}).get("trained") or []
    lines = [_trained(one) for one in found if MRR in one.get("measures", {})]
    if not lines:
        return None
    return table(
        ["trained on the negatives of", ">seeds", f">{MRR} (95%)", ">gain (95%)", ">p"], lines
    )


def _trained(one: Mapping[str, Any]) -> Sequence[object]:
    own = one["measures"][MRR]
    gain = own.get("gain")
    return (
        code(one["name"]),
        f"{len(own['seeds'])}",
        _measure((own["mean"], own["low"], own["high"])),
        "" if gain is None else _measure((gain["mean"], gain["low"], gain["high"]), "+"),
        "" if gain is None else f"{gain['p']:.4f}",
    )


def hardness(report: Report) -> Markdown | None:
    """Return how hard the negatives are, ``None`` where no scores can be compared."""
    if report.hardness is None:
        return None
    lines = list(report.hardness.lines())
    if report.mean_rank is not None:
        lines.append(("mean rank among the candidates", f"{report.mean_rank:.1f}"))
    return table(["hardness", ">figure"], lines)


def spread(facts: CardFacts) -> Markdown | None:
    """Return how the negatives are spread over documents, ``None`` where nobody looked."""
    found = facts.diversity
    return None if found is None else table(["diversity", ">figure"], list(_spread(facts)))


def _spread(facts: CardFacts) -> Iterator[tuple[object, str]]:
    found = facts.diversity
    if found is None:
        return
    share = found.distinct / found.negatives if found.negatives else None
    yield "different documents", f"{found.distinct:,} ({percent(share)} of the negatives)"
    if found.gini is not None:
        yield "Gini coefficient of their uses (0: all used alike)", f"{found.gini:.3f}"
    if found.gini_of_corpus is not None:
        yield "the same over the whole corpus", f"{found.gini_of_corpus:.3f}"
    for name, count in found.most_reused[:3]:
        yield inline(f"used most: {name}", 120), f"{count:,}"
