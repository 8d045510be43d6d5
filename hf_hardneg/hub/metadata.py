"""The metadata of a card: what the Hub finds a data set by, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from hf_hardneg.errors import FormatError, did_you_mean, listing
from hf_hardneg.hub.card_parts import UniqueLoader
from hf_hardneg.hub.facts import TRAINING, CardFacts, ConfigFact
from hf_hardneg.hub.licences import LICENCES, UNKNOWN
from hf_hardneg.hub.markdown import plain

__all__ = ["SIZES", "TAGS", "check_card", "metadata_of", "size_of", "split_card"]

TAGS = ("hf-hardneg", "hard-negatives", "sentence-transformers")
SIZES = {
    1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M",
    10**7: "1M<n<10M", 10**8: "10M<n<100M", 10**9: "100M<n<1B", 10**10: "1B<n<10B",
    10**11: "10B<n<100B", 10**12: "100B<n<1T",
}  # fmt: skip
"""The size categories of the Hub, by the number of rows that they end before."""
LARGEST = "n>1T"

SINGLE_FILES = {"parquet": "train.parquet", "jsonl": "train.jsonl"}
RANKING = ("labeled-list", "labeled-pair")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FRONT = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]+)*|code|multilingual")
"""As ``DatasetCardData`` says: codes of ISO 639-1, 639-2 and 639-3, or one of two words."""
CONFIG = re.compile(r"[^<>:/\\|?*\s]+")
"""``datasets`` makes folders of the names of configs and refuses these signs in them."""
LISTS = ("tags", "task_categories", "source_datasets", "annotations_creators", "size_categories",
         "task_ids", "multilinguality", "language_creators", "config_names")  # fmt: skip


def size_of(rows: int) -> str:
    """Return the size category of a number of rows."""
    return next((name for end, name in SIZES.items() if rows < end), LARGEST)


def metadata_of(facts: CardFacts) -> dict[str, Any]:
    """Return the metadata of a card, made by ``huggingface_hub.DatasetCardData``.

    What is not known has no key; a licence that the Hub has no name for is ``other`` with its own
    name beside it.
    """
    from huggingface_hub import DatasetCardData

    training = [one for one in facts.configs if one.name in TRAINING]
    # The Hub knows data sets, not configs of them.
    names = [one.name.partition(":")[0] for one in facts.sources if one.role != "model"]
    named = [name for name in names if HUB_NAME.fullmatch(name)]
    licence, extra = _licence(facts.licence)
    data: Any = DatasetCardData(  # says of its own to_dict no types
        language=list(facts.language) or None,
        license=licence,
        pretty_name=plain(facts.pretty_name) or None,
        size_categories=[size_of(_default(facts).rows)] if facts.configs else None,
        task_categories=_tasks([one.name for one in training]),
        source_datasets=list(dict.fromkeys(named)) or None,
        annotations_creators=["machine-generated"],
        tags=list(dict.fromkeys([*TAGS, *facts.tags])),
        configs=_configs(facts) or None,
        **extra,
    )
    values: dict[str, Any] = data.to_dict()
    return values


def _licence(licence: str | None) -> tuple[str | None, dict[str, Any]]:
    if licence is None or licence in LICENCES:
        return licence, {}
    return "other", {"license_name": plain(licence)}


def _tasks(names: list[str]) -> list[str]:
    similar = any(name not in RANKING for name in names)
    ranking = any(name in RANKING for name in names)
    further = ["sentence-similarity"] * similar + ["text-ranking"] * ranking
    return ["text-retrieval", *further]


def _default(facts: CardFacts) -> ConfigFact:
    """Return the config that is loaded where none is named: the first that trains."""
    by_name = {one.name: one for one in facts.configs}
    return next((by_name[name] for name in TRAINING if name in by_name), facts.configs[0])


def _configs(facts: CardFacts) -> list[dict[str, Any]]:
    """Return the configs with their files: without them the Hub would take plots for data."""
    if facts.files and facts.files not in SINGLE_FILES:
        return []  # a folder of save_to_disk, or another trainer's files: the Hub reads neither
    default = _default(facts).name if facts.configs else ""
    return [
        {
            "config_name": one.name,
            "data_files": [{"split": "train", "path": _path(facts, one.name)}],
            **({"default": True} if one.name == default else {}),
        }
        for one in facts.configs
    ]


def _path(facts: CardFacts, name: str) -> str:
    return SINGLE_FILES.get(facts.files) or f"data/{name}/train-*.parquet"


def split_card(text: str) -> tuple[dict[str, Any] | None, str]:
    """Return the metadata of a card and its body; ``None`` where it has no metadata.

    Raises:
        FormatError: the metadata is no YAML, has a key twice, or is no mapping.
    """
    found = FRONT.match(text.removeprefix("\ufeff"))
    if found is None:
        return None, text
    try:
        values = yaml.load(found[1], Loader=UniqueLoader)
    except (yaml.YAMLError, ValueError) as error:
        where = " ".join(str(error).split())
        raise FormatError(
            f"the metadata of the card is no YAML that the Hub reads: {where}."
        ) from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise FormatError(
            f"the metadata of the card is a {type(values).__name__}; expected names with values."
        )
    return values, text.removeprefix("\ufeff")[found.end() :]


def check_card(text: str) -> list[str]:
    """Return what the Hub would refuse of a card, before a byte is sent; empty where it takes it.

    The rules are those that are known of the Hub: metadata that it can read, licences and size
    categories of its lists, codes of languages, configs with names and with files inside of the
    repository, texts where it expects texts.
    """
    try:
        values, _ = split_card(text)
    except FormatError as error:
        return [str(error)]
    if values is None:
        return ["there is no metadata: expected YAML between two lines of '---' at the beginning."]
    return [*_licences(values), *_languages(values), *_texts(values), *_sizes(values),
            *_config_faults(values)]  # fmt: skip


def _several(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _licences(values: Mapping[str, Any]) -> Iterator[str]:
    for one in _several(values.get("license")):
        if one not in LICENCES:
            hint = did_you_mean(str(one).lower(), LICENCES)
            yield (
                f"license: {one!r} is none that the Hub has a name for.{hint} Expected one of "
                "https://huggingface.co/docs/hub/repositories-licenses, or 'other' with the name "
                f"under license_name, or {UNKNOWN!r}."
            )


def _languages(values: Mapping[str, Any]) -> Iterator[str]:
    for one in _several(values.get("language")):
        if not isinstance(one, str) or not LANGUAGE.fullmatch(one):
            quoted = (
                " YAML reads no, on and off as truths: quote them." if one in (True, False) else ""
            )
            yield (
                f"language: {one!r} is no code; expected two or three small letters of ISO 639 "
                f"such as 'en', or 'code' or 'multilingual'.{quoted}"
            )


def _texts(values: Mapping[str, Any]) -> Iterator[str]:
    for name in LISTS:
        wrong = [one for one in _several(values.get(name)) if not isinstance(one, str)]
        if wrong:
            yield f"{name}: {listing(map(repr, wrong))}; expected texts."
    for name in ("pretty_name", "license_name", "license_link"):
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            yield f"{name}: {value!r}; expected a text."


def _sizes(values: Mapping[str, Any]) -> Iterator[str]:
    known = [*SIZES.values(), LARGEST, UNKNOWN, "other"]
    for one in _several(values.get("size_categories")):
        if isinstance(one, str) and one not in known:
            yield f"size_categories: {one!r}; expected one of {listing(known, 20)}."


def _config_faults(values: Mapping[str, Any]) -> Iterator[str]:
    configs = values.get("configs")
    if configs is None:
        return
    if not isinstance(configs, list) or not all(isinstance(one, dict) for one in configs):
        yield "configs: expected a list, each with config_name and data_files."
        return
    names = [one.get("config_name") for one in configs]
    for name in names:
        if not isinstance(name, str) or not CONFIG.fullmatch(name):
            yield f"configs: config_name is {name!r}; expected a name such as 'n-tuple'."
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        yield f"configs: {name!r} stands twice; each name may stand once."
    if sum(one.get("default") is True for one in configs) > 1:
        yield "configs: several are the default; one may be."
    for one in configs:
        yield from _file_faults(str(one.get("config_name")), one.get("data_files"))


def _file_faults(name: str, files: object) -> Iterator[str]:
    """Check the files of a config: a pattern, a list of them, or splits with theirs."""
    for one in _several(files):
        paths = one.get("path") if isinstance(one, dict) else one
        if isinstance(one, dict) and not isinstance(one.get("split"), str):
            yield f"configs: {name!r} has files without a split; expected split and path."
        if not _several(paths):
            yield f"configs: {name!r} has a split without a path."
        for path in _several(paths):
            if not isinstance(path, str) or not path:
                yield f"configs: {name!r} has the path {path!r}; expected a text."
            elif "://" not in path and (path.startswith("/") or ".." in PurePosixPath(path).parts):
                yield f"configs: {name!r} has the path {path!r}, outside of the repository."
