"""From the nodes of a recipe to its parts, each value checked where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hf_hardneg.errors import HardNegError, RecipeError, did_you_mean, listing
from hf_hardneg.evaluation.compare_figures import check_estimators
from hf_hardneg.formats.output import OUTPUT_FORMATS
from hf_hardneg.hub.mining_call import check_mining, refuse_paths, refuse_setting
from hf_hardneg.hub.recipe_schema import (
    BUILTIN,
    VERSION,
    DataPart,
    EvaluationPart,
    HeldOutPart,
    MiningPart,
    PublishPart,
    Recipe,
)
from hf_hardneg.hub.recipe_sources import columns_of, path_of, refuse_bare_path, source_of
from hf_hardneg.hub.section import Section, text_of
from hf_hardneg.hub.source_names import HUB_FORM, inside, is_hub_id
from hf_hardneg.hub.yaml_nodes import Node, places
from hf_hardneg.stages import UNDERFILLED
from hf_hardneg.strategy import brings_corpus, parse, preset_of

__all__ = ["CONFIGS", "NUM_NEGATIVES", "recipe_of"]

KEYS = ("version", "name", "include", "data", "mining", "outputs", "evaluation", "publish",
        "environment")  # fmt: skip
CONFIGS = (*(name for name in OUTPUT_FORMATS if name != "columns"), "corpus", "queries", "pool")
"""What may stand under ``outputs``."""
NUM_NEGATIVES = 5

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")
LANGUAGE = re.compile(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")


def recipe_of(
    node: Node,
    folder: Path,
    environment: tuple[str, ...],
    unexpanded: Mapping[str, tuple[str, str]],
) -> Recipe:
    """Return the recipe that a node says.

    Raises:
        RecipeError: anything in it that is not right, with its line.
    """
    whole = Section(node, KEYS)
    version = whole.required("version", f"version: {VERSION}")
    if version.value != VERSION or isinstance(version.value, bool):
        raise version.error(f"is {version.plain()!r}; this release reads version {VERSION} alone.")
    name = whole.required("name", "name: scifact-bm25-denoised")
    if not NAME.match(text_of(name)):
        raise name.error(f"is {name.value!r}; expected letters, digits, dots, '_' and '-'.")
    data = _data(whole, folder)
    mining = _mining(whole, folder)
    strategy = mining.strategy
    lacks = data.judgements is not None and data.corpus is None
    if lacks and not (data.queries and data.queries.is_local) and not brings_corpus(strategy):
        raise whole.part("data").error(
            "has judgements, which name documents by their ids, and no corpus. Add corpus: ..."
        )
    return Recipe(
        name=text_of(name),
        data=data,
        mining=mining,
        outputs=_outputs(whole),
        evaluation=_evaluation(whole, folder),
        publish=_publish(whole),
        folder=folder,
        environment=environment,
        unexpanded=unexpanded,
        places=dict(places(node)),
    )


def _said(node: Node, call: Callable[[], Any]) -> None:
    """Call a check of the library; what it raises becomes an error with the line."""
    try:
        call()
    except RecipeError:
        raise
    except HardNegError as error:
        raise RecipeError(f"{node.where}: {node.key}: {error}") from error


def _data(whole: Section, folder: Path) -> DataPart:
    names = [entry.name for entry in fields(DataPart) if entry.name != "documents"]
    data = Section(whole.required("data", "data: {queries: ./queries.jsonl}"), names)
    if "builtin" in data:
        return _builtin(data, names)
    if "queries" not in data:
        raise data.place("queries").error(
            f"is missing; expected a path, {HUB_FORM}, or builtin: {BUILTIN[0]} in its place."
        )
    columns, documents = columns_of(data.part("columns"))
    return DataPart(
        queries=source_of(data, "queries", folder),
        corpus=source_of(data, "corpus", folder),
        judgements=source_of(data, "judgements", folder),
        split=data.text("split"),
        columns=columns,
        documents=documents,
    )


def _builtin(data: Section, names: list[str]) -> DataPart:
    builtin = data.text("builtin")
    if builtin not in BUILTIN:
        raise data.place("builtin").error(
            f"is {builtin!r}.{did_you_mean(str(builtin), BUILTIN)} Known: {listing(BUILTIN)}."
        )
    for name in names:
        if name != "builtin" and name in data:
            raise data.place(name).error(
                f"stands beside builtin: {builtin}, which has data of its own. Keep one of them; a "
                "value from an included file is taken away by null."
            )
    return DataPart(builtin=builtin)


def _mining(whole: Section, folder: Path) -> MiningPart:
    names = [entry.name for entry in fields(MiningPart)]
    mining = Section(whole.required("mining", "mining: {strategy: bm25}"), names)
    where = mining.required("strategy", "strategy: bm25+denoised")
    strategy = text_of(where)
    _said(where, lambda: parse(strategy))
    _said(where, lambda: refuse_paths(strategy))
    preset = preset_of(strategy)
    underfilled = mining.text("underfilled")
    if underfilled is not None and underfilled not in UNDERFILLED:
        raise mining.place("underfilled").error(
            f"is {underfilled!r}.{did_you_mean(underfilled, UNDERFILLED)} Known: "
            f"{listing(UNDERFILLED)}."
        )
    usual = (preset and preset.num_negatives) or NUM_NEGATIVES
    return MiningPart(
        strategy=strategy,
        settings=_settings(mining.part("settings"), strategy, where, folder),
        num_negatives=mining.whole("num_negatives", usual, 1),
        seed=mining.whole("seed", 0, 0),
        underfilled=underfilled or (preset.underfilled if preset else None),
    )


def _settings(node: Node, strategy: str, where: Node, folder: Path) -> dict[str, Any]:
    """Return the settings, each of which a stage of the strategy takes.

    A file that a setting names may not be there yet: that is told when the recipe is run.
    """
    if node.value is not None and not isinstance(node.value, dict):
        raise node.error("is no mapping; expected PARAMETER: VALUE or STAGE.PARAMETER: VALUE.")
    children = node.value or {}
    settings = {name: child.plain() for name, child in children.items()}
    for name, child in children.items():
        _said(child, lambda name=name: refuse_setting(name, settings[name]))  # type: ignore[misc]
        refuse_bare_path(child, folder)
    placed = {name: _placed(value, folder) for name, value in settings.items()}
    try:
        check_mining(strategy, placed)
    except HardNegError as error:
        if any(_is_path(value) and repr(value) in str(error) for value in placed.values()):
            return settings
        mending = (child for name, child in children.items() if _mends(strategy, placed, name))
        blamed = next(mending, where)
        raise RecipeError(f"{blamed.where}: {blamed.key}: {error}") from error
    return settings


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("./")


def _placed(value: Any, folder: Path) -> Any:  # noqa: ANN401
    """Return the place of a path in the recipe's folder, if something is there."""
    place = inside(folder, value) if _is_path(value) else None
    return value if place is None or not place.exists() else str(place)


def _mends(strategy: str, settings: dict[str, Any], name: str) -> bool:
    """Return whether the mining is right without a setting."""
    try:
        check_mining(strategy, {other: settings[other] for other in settings if other != name})
    except HardNegError:
        return False
    return True


def _outputs(whole: Section) -> tuple[str, ...]:
    items = whole.items("outputs")
    for item in items:
        if item.value not in CONFIGS:
            raise item.error(
                f"is {item.value!r}.{did_you_mean(text_of(item), CONFIGS)} Known: "
                f"{listing(CONFIGS)}."
            )
    if not items:
        raise whole.place("outputs").error(
            f"is missing or empty; expected a list of {listing(CONFIGS)}."
        )
    return whole.texts("outputs")


def _evaluation(whole: Section, folder: Path) -> EvaluationPart:
    names = [entry.name for entry in fields(EvaluationPart)]
    given = Section(whole.part("evaluation"), names)
    for item in given.items("false_negatives"):
        _said(item, lambda item=item: check_estimators([text_of(item)]))  # type: ignore[misc]
    estimators, judgements = given.texts("false_negatives"), source_of(given, "judgements", folder)
    if ("judged" in estimators) != (judgements is not None):
        raise given.place("judgements").error(
            "and the estimator 'judged' under false_negatives belong together: both, or neither."
        )
    held_out = None
    if "held_out" in given:
        own = Section(given.part("held_out"), [entry.name for entry in fields(HeldOutPart)])
        own.required("queries", HUB_FORM)
        queries = source_of(own, "queries", folder)
        if queries is not None:
            held_out = HeldOutPart(queries, source_of(own, "judgements", folder), own.text("split"))
    labels, compared = path_of(given, "labels", folder), path_of(given, "compare", folder)
    return EvaluationPart(estimators, judgements, labels, held_out, compared)


def _publish(whole: Section) -> PublishPart:
    names = [entry.name for entry in fields(PublishPart)]
    given = Section(whole.part("publish"), names)
    repository = given.text("repository")
    if repository is not None and (not is_hub_id(repository) or "@" in repository):
        raise given.place("repository").error(
            f"is {repository!r}; expected owner/name, such as alice/scifact-hard-negatives."
        )
    for item in given.items("language"):
        if not LANGUAGE.match(text_of(item)):
            raise item.error(f"is {item.value!r}; expected a code such as en, de or pt-BR.")
    return PublishPart(
        repository=repository,
        private=given.flag("private", False) if "private" in given else None,
        licence=given.text("licence"),
        language=given.texts("language"),
        pretty_name=given.text("pretty_name"),
        tags=given.texts("tags"),
    )
