"""Mine a published set again from its own recipe, and say which bytes differ."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hf_hardneg.errors import HubError
from hf_hardneg.hub.build import build
from hf_hardneg.hub.card_parts import ROOT, Card
from hf_hardneg.hub.folder import FILES, RECIPE
from hf_hardneg.hub.recipe import load_recipe

__all__ = ["Difference", "Reproduction", "reproduce"]

VERSIONS = "versions"
READ_ROWS = 1_000

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not the same.

    Attributes:
        path: in the repository.
        what: ``differs``, ``missing`` (not made again), or ``new`` (not published).
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
            table.add_row(Text(one.path), one.what, *shown)
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
    fetch = _local(Path(source)) if os.path.isdir(source) else _remote(source, revision)
    home = _home(fetch("README.md"), source, config)
    published = json.loads(fetch(home + FILES.removeprefix(ROOT)).read_text(encoding="utf-8"))
    recipe = load_recipe(fetch(home + RECIPE.removeprefix(ROOT)))
    if data is not None:
        recipe = replace(recipe, folder=Path(data).expanduser())
    with tempfile.TemporaryDirectory(prefix="hf-hardneg-") as scratch:
        again = Path(scratch) / "again"
        built = build(
            recipe, again, cache_dir=cache_dir, num_proc=num_proc, max_hours=max_hours, say=say
        )
        if built.folder is None:  # another process of this job compares
            return Reproduction(source, 0, (), {})
        made = json.loads((again / FILES).read_text(encoding="utf-8"))
        differences = tuple(_compared(published, made, fetch, again))
    paths = (set(published) | set(made)) - {VERSIONS}
    return Reproduction(source, len(paths), differences, _versions(published, made))


def _home(card: Path, source: str, config: str | None) -> str:
    """Return the folder of the recipe and what belongs to it, with a slash behind.

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
    return found[0].home


def _local(folder: Path) -> Callable[[str], Path]:
    def fetch(path: str) -> Path:
        if not (folder / path).is_file():
            raise HubError(
                f"the folder {str(folder)!r} has no {path}: hf-hardneg run has not written it, so "
                "there is nothing to make again."
            )
        return folder / path

    return fetch


def _remote(repository: str, revision: str | None) -> Callable[[str], Path]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def fetch(path: str) -> Path:
        try:
            return Path(hf_hub_download(repository, path, repo_type="dataset", revision=revision))
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise HubError(
                f"{repository!r} is neither a folder here nor a data set on the Hub that you can "
                "read."
            ) from error
        except RevisionNotFoundError as error:
            raise HubError(f"{repository} has no revision {revision!r}.") from error
        except EntryNotFoundError as error:
            raise HubError(
                f"{repository} has no {path}: hf-hardneg has not published it, so there is nothing "
                "to make again."
            ) from error
        except (HfHubHTTPError, OSError) as error:
            raise HubError(f"{path} of {repository} cannot be read: {error}") from error

    return fetch


def _versions(
    published: Mapping[str, Any], made: Mapping[str, Any]
) -> dict[str, tuple[str | None, str | None]]:
    then, now = published.get(VERSIONS, {}), made.get(VERSIONS, {})
    return {
        name: (then.get(name), now.get(name))
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    }


def _compared(
    published: Mapping[str, Any],
    made: Mapping[str, Any],
    fetch: Callable[[str], Path],
    again: Path,
) -> list[Difference]:
    found = []
    for path in sorted((set(published) | set(made)) - {VERSIONS}):
        if path not in made:
            found.append(Difference(path, "missing", rows=published[path]["rows"]))
            continue
        if path not in published:
            found.append(Difference(path, "new", rows_again=made[path]["rows"]))
            continue
        one, two = published[path], made[path]
        if one["sha256"] != two["sha256"]:
            row = _first_difference(fetch(path), again / path)
            found.append(Difference(path, "differs", one["rows"], two["rows"], row))
    return found


def _first_difference(one: Path, two: Path) -> int | None:
    """Return the first row that differs; ``None`` where only the bytes do."""
    row = 0
    left, right = (pq.ParquetFile(path).iter_batches(READ_ROWS) for path in (one, two))
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
