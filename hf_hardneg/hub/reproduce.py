"""Mine a published set again from its own recipe, and say which bytes differ."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.errors import HubError, RecipeError
from hf_hardneg.hub.build import build
from hf_hardneg.hub.card_parts import ROOT, Card
from hf_hardneg.hub.folder import FILES, RECIPE
from hf_hardneg.hub.published import Published, in_folder, on_hub
from hf_hardneg.hub.recipe import check_files, load_recipe
from hf_hardneg.hub.recipe_schema import EvaluationPart, Recipe

__all__ = ["Difference", "Reproduction", "reproduce"]

VERSIONS = "versions"
SHARDS = "*.parquet"
WORDS = {
    "differs": "differs",
    "missing": "published, not made again",
    "new": "made again, not published",
    "extra": "there, not made by the recipe",
}
"""What is said of a file to a reader."""
READ_ROWS = 1_000

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not the same.

    Attributes:
        path: in the repository.
        what: ``differs``, ``missing`` (not made again), ``new`` (not published), or ``extra``: a
            shard beside the set's own that the recipe has not made.
        rows, rows_again: how many; ``None`` where there is no such file.
        first_row: the first row that differs, from 0; ``None`` where no row does, or it was not
            looked for.
    """

    path: str
    what: str
    rows: int | None = None
    rows_again: int | None = None
    first_row: int | None = None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came out.

    Attributes:
        source: what was mined again.
        files: how many were compared.
        differences: empty if all are the same to the byte.
        versions: packages whose version is another one now: then, now.
    """

    source: str
    files: int
    differences: tuple[Difference, ...]
    versions: Mapping[str, tuple[str | None, str | None]]

    @property
    def identical(self) -> bool:
        """Whether all files are the same to the byte."""
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "source": self.source,
            "identical": self.identical,
            "files": self.files,
            "differences": [asdict(one) for one in self.differences],
            "versions": {name: list(pair) for name, pair in self.versions.items()},
        }

    def __rich__(self) -> Group:
        """Return it for a terminal."""
        lines = [
            Text(f"Another {name}: {then} then, {now} now.")
            for name, (then, now) in self.versions.items()
        ]
        if self.identical:
            return Group(Text(f"Identical: {self.files} files, to the byte.", "bold"), *lines)
        table = Table(title=f"{len(self.differences)} of {self.files} files are not the same")
        for name in ("file", "what", "rows", "rows again", "first row that differs"):
            table.add_column(name)
        for one in self.differences:
            cells = (one.rows, one.rows_again, one.first_row)
            shown = ["-" if cell is None else f"{cell:,}" for cell in cells]
            table.add_row(Text(one.path), WORDS[one.what], *shown)
        return Group(table, *lines)


def reproduce(
    source: str,
    *,
    config: str | None = None,
    revision: str | None = None,
    data: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    num_proc: int | None = None,
    max_hours: float | None = None,
    say: Say | None = None,
) -> Reproduction:
    """Run the recipe that a published set holds, and compare the files.

    Args:
        source: a data set on the Hub, ``owner/name``, or a folder that ``hf-hardneg run`` wrote.
        config: where several sets were published beside each other, one of those that is meant.
        revision: of the data set.
        data: folder in which paths of the recipe start; needed where it names files.
        cache_dir: see :func:`hf_hardneg.cache.cache_root`.
        num_proc: worker processes.
        max_hours: refuse to begin what takes longer.
        say: is told what is done.

    Raises:
        HubError: there is no such data set, or it has no recipe of this library.
        RecipeError: the recipe names files that are not there.
        HardNegError: whatever mining raises.
    """
    there = in_folder(Path(source)) if os.path.isdir(source) else on_hub(source, revision)
    home, others = _home(there.fetch("README.md"), source, config)
    listed = there.fetch(home + FILES.removeprefix(ROOT))
    published = _without(_listed(listed, source), others)
    recipe = _recipe(there.fetch(home + RECIPE.removeprefix(ROOT)), data)
    with tempfile.TemporaryDirectory(prefix="hf-hardneg-") as scratch:
        again = Path(scratch) / "again"
        built = build(
            recipe, again, cache_dir=cache_dir, num_proc=num_proc, max_hours=max_hours, say=say
        )
        if built.folder is None:  # another process of this job compares
            return Reproduction(source, 0, (), {})
        made = _without(_listed(again / FILES, source), others)
        differences = tuple(_compared(published, made, there, again))
    paths = {*published, *made, *(one.path for one in differences)} - {VERSIONS}
    return Reproduction(source, len(paths), differences, _versions(published, made))


def _listed(path: Path, source: str) -> dict[str, Any]:
    """Return the list of a set's files.

    Raises:
        HubError: it is not what ``hf-hardneg run`` wrote.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        dict(values.get(VERSIONS, {}))
        for name in values.keys() - {VERSIONS}:
            int(values[name]["rows"])
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise HubError(
            f"{FILES} of {source} is damaged ({error!r}); expected, as JSON, each data file with "
            "its rows. Name an earlier revision, or publish the set anew."
        ) from error
    return values


def _home(card: Path, source: str, config: str | None) -> tuple[str, set[str]]:
    """Return the folder of the recipe and what belongs to it, with a slash behind.

    Beside it the configs that belong to other sets of the repository: one that was published
    anew, by another recipe, is not that of this set any more.

    Raises:
        HubError: there is no block of ours in the card, or which of several is not clear.
    """
    blocks = Card.read(card.read_text(encoding="utf-8"), f"the card of {source}").blocks
    if not blocks:
        raise HubError(
            f"{source} has no card of hf-hardneg: it was not published by it, so there is nothing "
            "to make again."
        )
    found = [one for one in blocks if config is None or config in one.configs]
    if len(found) != 1:
        names = "; ".join(", ".join(one.configs) for one in blocks)
        raise HubError(
            f"{source} holds {len(blocks)} sets, with the configs {names}"
            + (f"; none has {config!r}." if config else ". Name a config of one of them.")
        )
    others = {name for one in blocks if one is not found[0] for name in one.configs}
    return found[0].home, others - set(found[0].configs)


def _recipe(path: Path, data: str | os.PathLike[str] | None) -> Recipe:
    """Load a published recipe without its evaluation, which has no influence on the rows.

    Raises:
        RecipeError: it names files, and where these are was not said, or they are not there.
    """
    recipe = replace(load_recipe(path), evaluation=EvaluationPart())
    if data is not None:
        recipe = replace(recipe, folder=Path(data).expanduser())
    try:
        check_files(recipe)
    except RecipeError as error:
        if data is not None:
            raise
        raise RecipeError(
            f"{error} The recipe names files that are not published with it: say in which folder "
            "they are, by --data FOLDER."
        ) from error
    return recipe


def _versions(
    published: Mapping[str, Any], made: Mapping[str, Any]
) -> dict[str, tuple[str | None, str | None]]:
    then, now = published.get(VERSIONS, {}), made.get(VERSIONS, {})
    return {
        name: (then.get(name), now.get(name))
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    }


def _without(files: Mapping[str, Any], others: set[str]) -> dict[str, Any]:
    """Return the files of a set without those under ``data/CONFIG/`` of configs of others."""
    folders = tuple(f"data/{name}/" for name in others)
    return {path: own for path, own in files.items() if not path.startswith(folders)}


def _compared(
    published: Mapping[str, Any], made: Mapping[str, Any], there: Published, again: Path
) -> list[Difference]:
    """Compare what was made with the files that are there, not with what a list says of them."""
    found = []
    for path in sorted((set(published) | set(made)) - {VERSIONS}):
        if path not in made:
            found.append(Difference(path, "missing", rows=published[path]["rows"]))
            continue
        digest = there.sha256(path)
        if digest is None:
            found.append(Difference(path, "new", rows_again=made[path]["rows"]))
            continue
        one, two = published.get(path, {"rows": None}), made[path]
        if digest != two["sha256"]:
            row = _first_difference(there.fetch(path), again / path)
            found.append(Difference(path, "differs", one["rows"], two["rows"], row))
    return found + [Difference(path, "extra") for path in _extra({*published, *made}, there)]


def _extra(own: set[str], there: Published) -> list[str]:
    """Return the shards that stand beside those of the set."""
    folders = {str(PurePosixPath(path).parent) for path in own if path.startswith("data/")}
    places = ((path, PurePosixPath(path)) for path in set(there.paths()) - own)
    return sorted(
        path for path, place in places if str(place.parent) in folders and place.match(SHARDS)
    )


def _first_difference(one: Path, two: Path) -> int | None:
    """Return the first row that differs; ``None`` where only the bytes do, or ``one`` is damaged.

    A file with a wrong byte may be no Parquet file any more. That it differs is known all the same.
    """
    try:
        with pq.ParquetFile(one) as there, pq.ParquetFile(two) as made:
            return _first_row(there.iter_batches(READ_ROWS), made.iter_batches(READ_ROWS))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None


def _first_row(left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]) -> int | None:
    row = 0
    while True:
        mine, other = next(left, None), next(right, None)
        if mine is None or other is None:
            return None if mine is other else row
        if mine.schema.names != other.schema.names:
            return 0
        if not mine.equals(other):
            values, others = mine.to_pylist(), other.to_pylist()
            both = min(len(values), len(others))
            other_row = next((n for n in range(both) if values[n] != others[n]), both)
            if other_row < max(len(values), len(others)):
                return row + other_row
        row += len(mine)
