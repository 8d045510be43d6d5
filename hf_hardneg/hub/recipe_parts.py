"""From the nodes of a recipe to its parts, each value checked where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hf_hardneg.columns import QueryColumns
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
from hf_hardneg.hub.section import Section, text_of
from hf_hardneg.hub.source_names import HUB_FORM, Source, inside, is_hub_id, path_fault, split_name
from hf_hardneg.hub.yaml_nodes import Node, places
from hf_hardneg.sources import DocumentColumns
from hf_hardneg.stages import UNDERFILLED
from hf_hardneg.strategy import brings_corpus, parse, preset_of

__all__ = ["CONFIGS", "recipe_of"]

KEYS = ("version", "name", "include", "data", "mining", "outputs", "evaluation", "publish",
        "environment")  # fmt: skip
SOURCE_KEYS = ("source", "config", "revision", "split", "licence")
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
    mining = _mining(whole)
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
    columns, documents = _columns(data.part("columns"))
    return DataPart(
        queries=_source(data, "queries", folder),
        corpus=_source(data, "corpus", folder),
        judgements=_source(data, "judgements", folder),
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


def _columns(node: Node) -> tuple[QueryColumns, DocumentColumns]:
    queries = [entry.name for entry in fields(QueryColumns)]
    documents = [f"document_{entry.name}" for entry in fields(DocumentColumns)]
    given = Section(node, [*queries, *documents])
    return (
        QueryColumns(*(given.text(name) for name in queries)),
        DocumentColumns(*(given.text(name) for name in documents)),
    )


def _source(section: Section, name: str, folder: Path) -> Source | None:
    node = section.node(name)
    if node is None:
        return None
    if not isinstance(node.value, dict):
        found = _named(node, folder)
        return Source(*found)
    given = Section(node, SOURCE_KEYS)
    where = given.required("source", HUB_FORM)
    text, revision, config = _named(where, folder)
    for key, short in (("revision", revision), ("config", config)):
        if short is not None and key in given:
            raise given.place(key).error(f"is given twice: {short!r} stands in the source too.")
    source = Source(
        text,
        revision or given.text("revision"),
        config or given.text("config"),
        given.text("split"),
        given.text("licence"),
    )
    for key in ("revision", "config"):
        if source.is_local and key in given:
            raise given.place(key).error(f"belongs to data on the Hub; {text!r} is a path.")
    return source


def _named(node: Node, folder: Path) -> tuple[str, str | None, str | None]:
    """Return name, revision and config of a source in its short form."""
    text = text_of(node)
    name, config, revision = split_name(text)
    if is_hub_id(name):
        if not text.startswith("./") and (folder / name).exists():
            raise node.error(
                f"is {name!r}, which is a path in the recipe's folder and a name on the Hub. "
                f"Write ./{name} for the path."
            )
        return name, revision, config
    return _local(node, text, folder), None, None


def _local(node: Node, text: str, folder: Path) -> str:
    """Return a path inside the folder in its one form."""
    if fault := path_fault(text):
        raise node.error(
            f"is {text!r}, which {fault}. Expected a path inside the recipe's folder, or "
            f"{HUB_FORM}."
        )
    if inside(folder, text) is None:
        raise node.error(f"is {text!r}, which leads out of the recipe's folder.")
    name = Path(text).as_posix()
    return f"./{name}" if is_hub_id(name) else name


def _path(section: Section, name: str, folder: Path) -> Path | None:
    node = section.node(name)
    if node is None:
        return None
    return Path(_local(node, text_of(node), folder))


def _mining(whole: Section) -> MiningPart:
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
        settings=_settings(mining.part("settings"), strategy, where),
        num_negatives=mining.whole("num_negatives", usual, 1),
        seed=mining.whole("seed", 0, 0),
        underfilled=underfilled or (preset.underfilled if preset else None),
    )


def _settings(node: Node, strategy: str, where: Node) -> dict[str, Any]:
    """Return the settings, each of which a stage of the strategy takes."""
    if node.value is not None and not isinstance(node.value, dict):
        raise node.error("is no mapping; expected PARAMETER: VALUE or STAGE.PARAMETER: VALUE.")
    children = node.value or {}
    settings = {name: child.plain() for name, child in children.items()}
    for name, child in children.items():
        _said(child, lambda name=name: refuse_setting(name, settings[name]))  # type: ignore[misc]
    try:
        check_mining(strategy, settings)
    except HardNegError as error:
        mending = (child for name, child in children.items() if _mends(strategy, settings, name))
        blamed = next(mending, where)
        raise RecipeError(f"{blamed.where}: {blamed.key}: {error}") from error
    return settings


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
    estimators, judgements = given.texts("false_negatives"), _source(given, "judgements", folder)
    if ("judged" in estimators) != (judgements is not None):
        raise given.place("judgements").error(
            "and the estimator 'judged' under false_negatives belong together: both, or neither."
        )
    held_out = None
    if "held_out" in given:
        own = Section(given.part("held_out"), [entry.name for entry in fields(HeldOutPart)])
        own.required("queries", HUB_FORM)
        queries = _source(own, "queries", folder)
        if queries is not None:
            held_out = HeldOutPart(queries, _source(own, "judgements", folder), own.text("split"))
    return EvaluationPart(estimators, judgements, held_out, _path(given, "compare", folder))


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
        private=given.flag("private", False),
        licence=given.text("licence"),
        language=given.texts("language"),
        pretty_name=given.text("pretty_name"),
        tags=given.texts("tags"),
    )
