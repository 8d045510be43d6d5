"""Where the parts of a mined set lie: a published set, a folder that mining wrote, any other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hf_hardneg.errors import FormatError, did_you_mean, listing
from hf_hardneg.hub.folder import RECIPE as PUBLISHED_RECIPE
from hf_hardneg.hub.folder import REPORT as PUBLISHED_REPORT
from hf_hardneg.hub.snapshot import split_of
from hf_hardneg.mined_folders import colbert_folder
from hf_hardneg.outputs import DOCUMENTS, POOL, SIDECARS

__all__ = ["ROW_CONFIGS", "Parts", "config_files", "parts_of"]

ROW_CONFIGS = ("ids", "n-tuple", "labeled-list", "labeled-pair", "triplet")
"""Configs that hold rows, those that say most of them first."""
BESIDE = ("corpus", "queries", "pool")


@dataclass(frozen=True, slots=True)
class Parts:
    """Files of a mined set.

    Attributes:
        rows: the rows' files; empty where the source itself is what is to be read.
        corpus, queries, pool: files of these; empty where there are none.
        report: what the mining reported; ``None`` where it wrote nothing.
        recipe: how it was mined, as it was written down.
        config: name of the config that is shown.
        configs: names of those that could be.
        numbered: whether documents go by the number of their line, as ColBERT has it, and not by
            the ids that the pool has.
    """

    rows: tuple[Path, ...] = ()
    corpus: tuple[Path, ...] = ()
    queries: tuple[Path, ...] = ()
    pool: tuple[Path, ...] = ()
    report: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    configs: tuple[str, ...] = ()
    numbered: bool = False


def parts_of(folder: Path, config: str | None = None) -> Parts:
    """Return the parts of a mined set in a folder.

    Args:
        folder: what ``hf-hardneg run`` or ``mine`` wrote, or any other.
        config: of a published set, the config to show; default: the first of
            :data:`ROW_CONFIGS` that there is.

    Raises:
        FormatError: there is no such config, or a file of the mining is damaged.
    """
    if (folder / "data").is_dir() and (files := config_files(folder)):
        return _published(folder, files, config)
    if config:
        raise FormatError(
            f"{folder.name!r} is no published set, so it has no config {config!r}. Leave it out."
        )
    beside = folder / SIDECARS
    pool, documents = beside / POOL, beside / DOCUMENTS
    return Parts(
        corpus=(documents,) if documents.is_file() else (),
        pool=(pool,) if pool.is_file() else (),
        report=_read(beside / "report.json", json.loads),
        recipe=_read(beside / "recipe.json", json.loads) or {},
        numbered=colbert_folder(folder) is not None,
    )


def config_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the Parquet files of each config of a published set, by its name.

    Raises:
        FormatError: a config has several splits, so that somebody else laid the folder out.
    """
    found = {}
    for place in sorted((folder / "data").iterdir()):
        files = tuple(sorted(place.glob("*.parquet"))) if place.is_dir() else ()
        splits = sorted({split_of(path.name) for path in files})
        if len(splits) > 1:
            raise FormatError(
                f"data/{place.name} of {folder.name!r} has the splits {listing(splits)}, which "
                "hf-hardneg run does not write. Name the file to look at."
            )
        if files:
            found[place.name] = files
    return found


def _published(folder: Path, files: Mapping[str, tuple[Path, ...]], config: str | None) -> Parts:
    usable = row_configs(files, config, folder.name)
    recipe = _read(folder / PUBLISHED_RECIPE, yaml.safe_load) or {}
    report = _read(folder / PUBLISHED_REPORT, json.loads)
    return Parts(
        rows=files[usable[0]],
        corpus=files.get("corpus", ()),
        queries=files.get("queries", ()),
        pool=files.get("pool", ()),
        report=None if report is None else report.get("report"),
        recipe=recipe,
        config=usable[0],
        configs=tuple(name for name in files if name not in BESIDE),
    )


def row_configs(names: Iterable[str], config: str | None, where: str) -> list[str]:
    """Return the configs that can be shown, the one to show first.

    Raises:
        FormatError: there is no such config, or none with rows.
    """
    names = list(names)
    if config:
        if config not in names or config in BESIDE:
            known = [name for name in names if name not in BESIDE]
            raise FormatError(
                f"{where} has no config {config!r} with rows.{did_you_mean(config, known)} It has: "
                f"{listing(known)}."
            )
        return [config]
    # Ids alone say nothing to a person: they need the documents and the queries beside them.
    complete = "corpus" in names and "queries" in names
    usual = [name for name in ROW_CONFIGS if name in names and (name != "ids" or complete)]
    other = [name for name in names if name not in BESIDE and name not in ROW_CONFIGS]
    if not usual and not other:
        raise FormatError(
            f"{where} has no config with rows that can be shown. It has: {listing(names)}; rows of "
            "ids need 'corpus' and 'queries' beside them."
        )
    return [*usual, *other]


def _read(path: Path, parse: Callable[[str], Any]) -> Any:  # noqa: ANN401
    """Return what a file of the mining says, ``None`` where there is no such file."""
    if not os.path.isfile(path):
        return None
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise FormatError(
            f"{path.parent.name}/{path.name} of the set cannot be read: {reason}. Write it again, "
            "or move it away: without it the rows are shown alone."
        ) from error
    return found if isinstance(found, dict) else None
