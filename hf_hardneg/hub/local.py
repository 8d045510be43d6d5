"""The card of a set on this machine, from what ``hf-hardneg mine`` wrote beside it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import FormatError, HubError
from hf_hardneg.evaluation.audit_rates import rate_by_labels
from hf_hardneg.evaluation.hardness import hardness_of
from hf_hardneg.evaluation.labels import Labels
from hf_hardneg.formats.output import OUTPUT_FORMATS
from hf_hardneg.hub.card import card_text, check_card
from hf_hardneg.hub.card_merging import merge_cards
from hf_hardneg.hub.facts import (
    ABOUT,
    CardFacts,
    ConfigFact,
    citations_of,
    config_facts,
    samples_of,
)
from hf_hardneg.hub.licences import licence_of
from hf_hardneg.hub.metadata import SINGLE_FILES
from hf_hardneg.hub.places import has_places
from hf_hardneg.hub.plots import SCORES, draw_scores, no_plot
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.mined_sources import load_mined
from hf_hardneg.outputs import RECIPE, write_file
from hf_hardneg.report import Report

__all__ = ["local_facts", "write_card"]

REPORT = "hardneg/report.json"
PUBLISHED = "hardneg/recipe.yaml"
README = "README.md"
RANKING_MISSING = "hf-hardneg mine does not measure it; hf-hardneg run does, with held-out queries"


def local_facts(
    folder: str | os.PathLike[str],
    *,
    corpus: object = None,
    repository: str | None = None,
    pretty_name: str | None = None,
    licence: str | None = None,
    language: Sequence[str] = (),
    labels: Labels | None = None,
) -> CardFacts:
    """Return what is known of a set that ``hf-hardneg mine --output`` wrote.

    Args:
        folder: where it is.
        corpus: the documents, for the texts of a set of ids.
        repository: where it is going to be, ``owner/name``.
        pretty_name: for people; default: the name of the folder.
        licence: of the set; not known where it is not given.
        language: codes of ISO 639.
        labels: of its negatives: the rate by them takes the place of one that the mining noted.

    Raises:
        FormatError: nothing beside the set says how it was made, or the set cannot be read.
    """
    place = Path(folder).expanduser()
    recipe = _beside(place, RECIPE)
    try:
        report = Report.from_dict(_beside(place, REPORT))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{place / REPORT} is no report of this version of hf-hardneg: {error!r}. Mine again."
        ) from error
    given = None if corpus is None else Corpus.of(corpus)
    mined = load_mined(place, corpus=given)
    form = str(recipe.get("output_format", "columns"))
    if labels is not None:
        others = [rate for rate in report.false_negatives if rate.method != "labels"]
        rate = rate_by_labels(mined, labels, report.strategy)
        report = replace(report, false_negatives=[*others, rate])
    return CardFacts(
        name=place.resolve().name,
        pretty_name=pretty_name or place.resolve().name,
        repository=repository,
        licence=licence_of((), licence),
        language=tuple(language),
        tags=(),
        report=report,
        recipe=recipe,
        recipe_yaml="",
        sources=(),
        configs=(_config(mined, form),),
        ranking=(),
        ranking_missing=RANKING_MISSING,
        comparison=None,
        diversity=hardness_of(mined, given).reuse,
        samples=samples_of(mined, seed=report.seed),
        audit=None,
        forced=False,
        citations=citations_of(report.strategy),
        command=_command(recipe, report),
        version=version("hf-hardneg"),
        files=_kept_as(place, form),
    )


def _beside(folder: Path, name: str) -> dict[str, Any]:
    """Return one of the files that stand beside a set."""
    path = folder / name
    if (folder / PUBLISHED).is_file():
        raise FormatError(f"{folder} is a folder that is published as it is, and has its card.")
    if not path.is_file():
        raise FormatError(
            f"there is no {path}, which says how the set was made. Expected a folder that "
            "hf-hardneg mine --output wrote."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is no JSON: {error}.") from error
    if not isinstance(values, dict):
        raise FormatError(f"{path} holds a {type(values).__name__}; expected names with values.")
    return values


def _config(mined: MinedSet, form: str) -> ConfigFact:
    [found] = config_facts({form: mined.rows})
    return replace(found, about=ABOUT.get(form, ""))


def _kept_as(folder: Path, form: str) -> str:
    """Return how the rows are kept; see :attr:`CardFacts.files`."""
    if form not in OUTPUT_FORMATS:
        return form
    single = next((kind for kind, name in SINGLE_FILES.items() if (folder / name).is_file()), None)
    return single or "arrow"


def _command(recipe: Mapping[str, Any], report: Report) -> str:
    """Return the command that makes the set again, as far as the folder tells."""
    places = "# Of models and files on that machine the names are left.\n" if has_places(
        report.strategy
    ) else ""  # fmt: skip
    words = ["hf-hardneg", "mine", "--strategy", report.strategy]
    words += ["--num-negatives", str(report.num_negatives), "--seed", str(report.seed)]
    words += ["--output-format", str(recipe.get("output_format", "columns"))]
    if recipe.get("underfilled"):
        words += ["--underfilled", str(recipe["underfilled"])]
    return (
        "# QUERIES and CORPUS stand for the data that was mined: where it was is not recorded.\n"
        f"{places}"
        f"{shlex.join(words)} \\\n  --queries QUERIES --corpus CORPUS --output mined/"
    )


def _merged(existing: str, ours: str, path: Path) -> str:
    """Return our card beside what others wrote into the one that is there."""
    if not existing.strip():
        return ours
    try:
        return merge_cards(existing, ours, name=str(path), instead=True)
    except HubError as error:
        raise FormatError(str(error)) from error


def write_card(facts: CardFacts, output: str | os.PathLike[str]) -> Path:
    """Write a card and the drawing that it shows; what others wrote into the card is kept.

    Args:
        facts: what it says.
        output: the file; the drawing goes into ``hardneg/plots`` beside it.

    Raises:
        FormatError: the card that is there cannot be read, or the Hub would refuse the new one.
        OutputError: it cannot be written.
    """
    path = Path(output).expanduser()
    existing = path.read_text(encoding="utf-8") if path.is_file() else None
    text = _merged(existing or "", card_text(facts), path)
    if problems := check_card(text):
        raise FormatError(f"the Hub would refuse the card: {' '.join(problems)}")
    if not no_plot(facts.report):
        drawing = path.parent / SCORES
        drawing.parent.mkdir(parents=True, exist_ok=True)
        drawing.write_bytes(draw_scores(facts.report))
    write_file(path, text, overwrite=True)
    return path
