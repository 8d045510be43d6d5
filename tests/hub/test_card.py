"""The card of a mined set."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from card_cases import Case, pinned
from markdown_it import MarkdownIt

from hf_hardneg.evaluation.comparison import ComparisonTable, Gain, Measured, Trained
from hf_hardneg.hub import plots
from hf_hardneg.hub.card import card_text, check_card
from hf_hardneg.hub.facts import CardFacts, config_facts
from hf_hardneg.hub.metadata import split_card

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "card.md"
PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
OURS = {"h1", "h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code",
        "pre", "strong", "em", "a", "img", "details", "summary"}  # fmt: skip
EVIL = (
    "<img src=x onerror=alert(1)> | `</details>` <!-- /hf-hardneg -->\n# [a](http://b.c) "
    "\u202e$$x$$"
)


@pytest.fixture
def facts(case: Case) -> CardFacts:
    return replace(case.facts, configs=config_facts(case.configs))


def test_the_whole_card_is_as_kept(facts: CardFacts) -> None:
    assert card_text(pinned(facts)) == SNAPSHOT.read_text(encoding="utf-8")


def test_the_hub_takes_it(facts: CardFacts) -> None:
    text = card_text(facts)
    assert check_card(text) == []
    values, body = split_card(text)
    assert values is not None
    assert values["license"] == "cc-by-sa-4.0"
    assert [one["config_name"] for one in values["configs"]] == [one.name for one in facts.configs]
    assert [one["config_name"] for one in values["configs"] if one.get("default")] == ["n-tuple"]
    assert body.strip().startswith(
        "<!-- hf-hardneg: n-tuple,triplet,labeled-list,labeled-pair,ids,"
    )
    assert body.endswith("<!-- /hf-hardneg -->\n")


def test_texts_of_data_are_texts_everywhere(facts: CardFacts) -> None:
    sample = {"query": EVIL, "positives": [EVIL], "negatives": [EVIL] * 7, "scores": []}
    report = replace(facts.report, notes=[EVIL], strategy="bm25")
    source = replace(facts.sources[0], name=EVIL, role=EVIL, revision=EVIL, url="javascript:a(1)")
    evil = replace(
        facts, pretty_name=EVIL, samples=(sample,) * 5, report=report, sources=(source,),
        command=EVIL, recipe_yaml=EVIL, citations=(EVIL,), ranking_missing=EVIL, ranking=(),
        name=EVIL, recipe={**facts.recipe, "models": {"x": {"model": EVIL, "weights": EVIL}}},
    )  # fmt: skip
    text = card_text(evil)
    page = PARSER.render(split_card(text)[1])
    outside = re.sub(r"<!-- /?hf-hardneg[^>]*-->", "", page)
    assert set(re.findall(r"</?([a-zA-Z0-9]+)", outside)) <= OURS
    assert "onerror" not in "".join(re.findall(r"<[^>]*>", outside))
    assert "javascript" not in outside
    assert "b.c" not in "".join(re.findall(r'href="([^"]*)"', outside))
    assert page.count("<!-- /hf-hardneg -->") == 1
    assert page.count("<details>") == page.count("</details>") == 3
    assert page.count("<h1>") == 1
    assert "\u202e" not in text


def test_what_was_not_measured_is_absent_with_the_reason(facts: CardFacts) -> None:
    bare = replace(
        facts, ranking=(), ranking_missing="", diversity=None, samples=(), sources=(), command="",
        report=replace(facts.report, false_negatives=[], hardness=None, mean_rank=None),
        citations=(), recipe_yaml="", licence=None,
    )  # fmt: skip
    text = card_text(bare)
    for said in (
        "Their rate was not estimated", "MRR@10 was not measured", "was not counted",
        "How hard the negatives are was not measured", "is not recorded", "None can be stated",
    ):  # fmt: skip
        assert said in text, said
    assert "0.0%" not in text
    assert "license" not in split_card(text)[0]


def test_a_rate_stands_with_interval_method_number_and_what_it_assumes(facts: CardFacts) -> None:
    text = card_text(facts)
    [rate] = [one for one in facts.report.false_negatives if one.method == "judged"]
    assert rate.rate is not None
    assert rate.low is not None
    line = next(one for one in text.splitlines() if one.startswith("| judged"))
    assert f"{rate.rate:.2%}" in line
    assert f"{rate.low:.2%}" in line
    assert f"{rate.n:,} {rate.of}" in line


def test_no_drawing_says_why(facts: CardFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    text = card_text(facts)
    assert "matplotlib, which draws it, was not installed" in text
    assert "scores.png" not in text


def test_a_trained_model_stands_with_its_interval(facts: CardFacts) -> None:
    measured = Measured(0.41, 0.39, 0.43, [0.4, 0.42], Gain(0.02, 0.01, 0.03, 0.004))
    trained = Trained("bm25|x", {"MRR@10": measured}, 9, 0, 0, 3)
    comparison = ComparisonTable([], [trained], {}).to_dict()
    text = card_text(replace(facts, comparison=comparison))
    line = next(one for one in text.splitlines() if "0.410 (0.390 to 0.430)" in one)
    assert "+0.020 (+0.010 to +0.030)" in line
    assert "No model was trained" not in text


def test_forced_and_the_audit_are_said(facts: CardFacts) -> None:
    finding = {"title": "Own positive as negative", "count": 3, "severity": "error",
               "of": "negatives", "checked": 1200}  # fmt: skip
    audit = {"rows": 9, "errors": 1, "warnings": 0, "findings": [finding]}
    text = card_text(replace(facts, forced=True, audit=audit))
    assert "published although its audit found errors" in text
    assert "| error | Own positive as negative | 3 | 1,200 negatives |" in text
    assert "was not audited" not in text


def test_a_licence_that_the_hub_has_no_name_for(facts: CardFacts) -> None:
    values, _ = split_card(card_text(replace(facts, licence="psf-2.0")))
    assert values is not None
    assert (values["license"], values["license_name"]) == ("other", "psf-2.0")


def test_the_drawing_is_the_same_each_time(facts: CardFacts) -> None:
    drawn = plots.draw_scores(facts.report)
    assert drawn.startswith(b"\x89PNG")
    assert drawn == plots.draw_scores(facts.report)


def test_a_config_of_a_data_set_is_found_by_the_data_set(facts: CardFacts) -> None:
    sources = tuple(replace(one, name=f"{one.name}:{one.role}") for one in facts.sources)
    values, _ = split_card(card_text(replace(facts, sources=sources)))
    assert values is not None
    assert values["source_datasets"] == ["alice/tiny"]


def test_an_audit_that_found_nothing_says_so(facts: CardFacts) -> None:
    audit = {"rows": 1200, "errors": 0, "warnings": 0, "findings": []}
    assert "looked at 1,200 rows and found nothing." in card_text(replace(facts, audit=audit))


def test_numbered_columns_stand_by_the_first_and_the_last(facts: CardFacts) -> None:
    names = ["anchor", "negative_1", "negative_2", "negative_3", "x_2", "x_3", "x_4"]
    wide = replace(facts.configs[0], features=tuple((name, "string") for name in names))
    text = card_text(replace(facts, configs=(wide,)))
    assert "| `anchor`, `negative_1` to `negative_3`, `x_2`, `x_3`, `x_4` |" in text


def test_rows_that_the_wide_format_lacks_are_told(facts: CardFacts) -> None:
    short = replace(facts.report, underfilled={1: 1})
    said = "1 row had fewer negatives than asked for"
    wide = card_text(replace(facts, report=short))
    assert f"{said}; n-tuple, which has a column for each negative, lacks such rows." in wide
    filled = replace(facts, report=short, recipe={**facts.recipe, "underfilled": "fill"})
    assert f"{said}.\n" in card_text(filled)
