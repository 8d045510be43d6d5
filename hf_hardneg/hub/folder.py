"""The folder that is published: on disk exactly what the repository will hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset

from hf_hardneg.errors import FormatError, listing
from hf_hardneg.hub.card import NAME, card_text, check_card
from hf_hardneg.hub.facts import CardFacts, config_facts
from hf_hardneg.hub.places import names_only
from hf_hardneg.hub.plots import SCORES, draw_scores, no_plot
from hf_hardneg.outputs import output_folder

__all__ = ["FILES", "RECIPE", "REPORT", "SHARD_BYTES", "sha256_of", "write_publication"]

RECIPE, REPORT, FILES = "hardneg/recipe.yaml", "hardneg/report.json", "hardneg/files.json"
SHARD_BYTES = 500_000_000
"""As ``datasets`` has it."""

READ_ROWS = 256
GROUP_BYTES = 32_000_000
GROUP_ROWS = 50_000
READ_BYTES = 1 << 20
VERSIONED = ("datasets", "hf-hardneg", "pyarrow")
"""What decides the bytes of the files, beside the rows."""


def write_publication(
    folder: str | os.PathLike[str],
    configs: Mapping[str, Dataset],
    facts: CardFacts,
    recipe_yaml: str,
    *,
    overwrite: bool = False,
    max_shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Write data, card, recipe, report and drawing into a folder, wholly or not at all.

    ``datasets.load_dataset(str(folder), config)`` gives the same rows and features again. The same
    rows give the same bytes, wherever they were kept and however they were sliced before; another
    version of pyarrow may write others, and ``hardneg/files.json`` says which it was. Card, report,
    recipe and drawing too have the same bytes for the same facts, however long the stages took, so
    that publishing an unchanged set again changes nothing. What is held in memory is a group of
    rows, 32 MB of values or a little more.

    Args:
        folder: must not exist, or be empty.
        configs: rows by the name of their config, in the order of the card.
        facts: what the card says; where it names no configs, they are those given.
        recipe_yaml: the recipe as run; no file is written where it is empty.
        overwrite: replace the folder if it is there.
        max_shard_bytes: of values, before compression, after which another file begins.

    Returns:
        The folder.

    Raises:
        OutputError: the folder is there and not empty, or the disk is full.
        FormatError: a config is no data set, has no rows, has a name that is none, or is not what
            the facts say; or the Hub would refuse the card.
    """
    facts = _with_configs(facts, configs)
    plot = not no_plot(facts.report)
    text = card_text(facts, plot=plot)
    if problems := check_card(text):
        raise FormatError(f"the Hub would refuse the card: {' '.join(problems)}")
    if max_shard_bytes < 1:
        raise FormatError(f"max_shard_bytes={max_shard_bytes}; expected at least 1.")
    with output_folder(folder, overwrite=overwrite) as staging:
        files: dict[str, Any] = {}
        for name, rows in configs.items():
            files |= _write_config(staging, name, rows, max_shard_bytes)
        (staging / "hardneg").mkdir()
        files["versions"] = {name: version(name) for name in VERSIONED}
        _write_text(staging / FILES, _json(files))
        _write_text(staging / REPORT, _json(_told(facts)))
        if recipe_yaml:
            _write_text(staging / RECIPE, recipe_yaml)
        if plot:
            (staging / SCORES).parent.mkdir()
            (staging / SCORES).write_bytes(draw_scores(facts.report))
        _write_text(staging / "README.md", text)
    return Path(folder)


def _told(facts: CardFacts) -> dict[str, Any]:
    """Return what is published of the facts: without what is another in each run, or machine."""
    facts = names_only(facts)
    return replace(facts, report=replace(facts.report, seconds={})).to_dict()


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _with_configs(facts: CardFacts, configs: Mapping[str, Dataset]) -> CardFacts:
    """Return the facts with what is in the configs; refuse facts that say something else."""
    if not configs:
        raise FormatError("there are no configs; expected at least one data set to publish.")
    for name, rows in configs.items():
        if not NAME.fullmatch(name):
            raise FormatError(f"{name!r} is no name of a config; expected one such as 'n-tuple'.")
        if not isinstance(rows, Dataset):
            raise FormatError(
                f"the config {name!r} is of type {type(rows).__name__}; expected a Dataset. Of a "
                "DatasetDict give one split."
            )
        if not len(rows):
            raise FormatError(
                f"the config {name!r} has no rows, and datasets cannot load such a one. Leave it "
                "out, or mine what gives it rows."
            )
    found = config_facts(configs)
    if not facts.configs:
        return replace(facts, configs=found)
    told = {one.name: one.rows for one in facts.configs}
    there = {one.name: one.rows for one in found}
    if told != there:
        raise FormatError(
            f"the card would tell of {listing(f'{k} ({v:,} rows)' for k, v in told.items())}, and "
            f"there are {listing(f'{k} ({v:,} rows)' for k, v in there.items())}. Leave "
            "CardFacts.configs empty to have it from the data."
        )
    return facts


def _write_config(
    staging: Path, name: str, rows: Dataset, max_shard_bytes: int
) -> dict[str, dict[str, Any]]:
    """Write the shards of a config; their number stands in their names, so these come last."""
    place = staging / "data" / name
    place.mkdir(parents=True)
    counts: list[int] = []
    writer: pq.ParquetWriter | None = None
    size = 0
    schema = rows.features.arrow_schema
    try:
        for group, bytes_ in _groups(rows, schema):
            if writer is not None and size + bytes_ > max_shard_bytes:
                writer.close()
                writer = None
            if writer is None:
                writer = _writer(place / f"part-{len(counts):05d}", schema)
                counts.append(0)
                size = 0
            writer.write_table(group, row_group_size=group.num_rows)
            counts[-1] += group.num_rows
            size += bytes_
    finally:
        if writer is not None:
            writer.close()
    written = {}
    for number, count in enumerate(counts):
        path = place / f"train-{number:05d}-of-{len(counts):05d}.parquet"
        os.rename(place / f"part-{number:05d}", path)
        written[path.relative_to(staging).as_posix()] = {"sha256": sha256_of(path), "rows": count}
    return written


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # The page index lets the viewer of the Hub read a page alone.
    return pq.ParquetWriter(path, schema, compression="snappy", write_page_index=True)


def _groups(rows: Dataset, schema: pa.Schema) -> Iterator[tuple[pa.Table, int]]:
    """Yield groups of rows with the bytes of their values.

    Where a group ends is decided by the values, not by how Arrow happens to keep them.
    """
    waiting: list[pa.Table] = []
    size = number = 0
    for table in rows.with_format("arrow").iter(READ_ROWS):
        waiting.append(table.cast(schema))
        size += sum(_bytes(chunk) for column in table.columns for chunk in column.chunks)
        number += table.num_rows
        if size >= GROUP_BYTES or number >= GROUP_ROWS:
            yield _together(waiting), size
            waiting, size, number = [], 0, 0
    if waiting:
        yield _together(waiting), size


def _together(tables: list[pa.Table]) -> pa.Table:
    """Return tables as one, in one piece: the pieces would be seen in the pages of the file."""
    return pa.concat_tables(tables).combine_chunks()


def _bytes(values: pa.Array) -> int:
    """Return the bytes of the values of an array, counted by their type alone."""
    kind = values.type
    if pa.types.is_struct(kind):
        return sum(map(_bytes, values.flatten()))
    if any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list,
                                   pa.types.is_fixed_size_list)):  # fmt: skip
        return 4 * len(values) + _bytes(values.flatten())
    if any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string,
                                   pa.types.is_binary, pa.types.is_large_binary)):  # fmt: skip
        lengths = pc.sum(pc.binary_length(values)).as_py()
        return 4 * len(values) + int(lengths or 0)
    try:
        return max(int(kind.bit_width) // 8, 1) * len(values)
    except ValueError:  # a type without a width of its own
        return 8 * len(values)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
