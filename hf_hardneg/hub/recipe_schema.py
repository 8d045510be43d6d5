"""What a recipe holds, as types. Made by :func:`hf_hardneg.hub.recipe.load_recipe`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hf_hardneg.columns import QueryColumns
from hf_hardneg.errors import RecipeError
from hf_hardneg.hub.mining_call import mining_call
from hf_hardneg.hub.source_names import Source, inside
from hf_hardneg.hub.yaml_nodes import dump_yaml
from hf_hardneg.sources import DocumentColumns

__all__ = [
    "BUILTIN", "VERSION", "DataPart", "EvaluationPart", "HeldOutPart", "MiningPart", "PublishPart",
    "Recipe",
]  # fmt: skip

VERSION = 1
BUILTIN = ("stdlib-docstrings",)
"""Collections that are made on the spot: the docstrings of Python's standard library."""


@dataclass(frozen=True, slots=True)
class DataPart:
    """Where the data comes from.

    Attributes:
        queries: queries, with their positives unless there are judgements.
        corpus: the documents; ``None`` where the queries' source has them (a BEIR folder), where
            the strategy's retriever brings them, or else where the positives are the documents.
        judgements: which documents are relevant to which query.
        split: the split of the judgements, or of the queries where there are none.
        columns: the columns of the queries.
        documents: the columns of the documents.
        builtin: one of :data:`BUILTIN`, in place of all of these.
    """

    queries: Source | None = None
    corpus: Source | None = None
    judgements: Source | None = None
    split: str | None = None
    columns: QueryColumns = field(default_factory=QueryColumns)
    documents: DocumentColumns = field(default_factory=DocumentColumns)
    builtin: str | None = None


@dataclass(frozen=True, slots=True)
class MiningPart:
    """How negatives are mined.

    Attributes:
        strategy: the strategy string or the name of a preset.
        settings: parameters of its stages, ``parameter`` or ``stage.parameter``; a model may be
            written ``org/model@revision``, a path starts with ``./``.
        num_negatives: for each row, at least 1; the default is the preset's, else 5.
        seed: of everything that is drawn.
        underfilled: what happens to a row with too few: ``keep``, ``drop``, ``error`` or
            ``fill``; ``None`` leaves it to the output format.
    """

    strategy: str
    settings: Mapping[str, Any]
    num_negatives: int
    seed: int = 0
    underfilled: str | None = None


@dataclass(frozen=True, slots=True)
class HeldOutPart:
    """The queries that rankings are measured on; ``split`` is that of the judgements."""

    queries: Source
    judgements: Source | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class EvaluationPart:
    """What is measured.

    Attributes:
        false_negatives: names of estimators, ``hidden`` and ``judged``.
        judgements: deeper ones than the known positives, for ``judged``.
        labels: a file of labels, relative to the recipe's folder: the rate by them.
        held_out: for the measures of ranking.
        compare: what ``hf-hardneg compare --train`` wrote, relative to the recipe's folder.
    """

    false_negatives: tuple[str, ...] = ()
    judgements: Source | None = None
    labels: Path | None = None
    held_out: HeldOutPart | None = None
    compare: Path | None = None


@dataclass(frozen=True, slots=True)
class PublishPart:
    """Where the mined set goes. The token is never part of a recipe.

    ``private`` is ``None`` where it is not said: a repository that exists stays as it is, and one
    that is created is as the Hub has it for the namespace.
    """

    repository: str | None = None
    private: bool | None = None
    licence: str | None = None
    language: tuple[str, ...] = ()
    pretty_name: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe, checked.

    Two recipes are equal if they say the same, wherever they lie.

    Attributes:
        name: letters, digits, ``.``, ``_`` and ``-``.
        outputs: the configs to make, in order.
        folder: where paths of the recipe start.
        environment: names of the variables that its values may use as ``${NAME}``.
        unexpanded: by key, a value as written with ``${NAME}``, and what it came to.
        places: by key, the file and line that say it.
    """

    name: str
    data: DataPart
    mining: MiningPart
    outputs: tuple[str, ...]
    evaluation: EvaluationPart = field(default_factory=EvaluationPart)
    publish: PublishPart = field(default_factory=PublishPart)
    folder: Path = field(default=Path(), compare=False)
    environment: tuple[str, ...] = ()
    unexpanded: Mapping[str, tuple[str, str]] = field(
        default_factory=dict, compare=False, repr=False
    )
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def error(self, key: str, message: str) -> RecipeError:
        """Return an error about a key, with the line that says it."""
        where = self.places.get(key)
        return RecipeError(f"{where}: {key} {message}" if where else f"{key} {message}")

    def path(self, source: Source | Path | str, key: str = "") -> Path:
        """Return the place of a local source.

        Args:
            source: of this recipe.
            key: where the recipe names it, for the error.

        Raises:
            RecipeError: it is not there, or links lead out of the recipe's folder.
        """
        name = source.name if isinstance(source, Source) else str(source)
        place = inside(self.folder, name)
        if place is None:
            raise self.error(key, f"is {name!r}, which leads out of the recipe's folder.")
        if not place.exists():
            raise self.error(
                key, f"is {name!r}, and there is no such file or folder in the recipe's folder."
            )
        return place

    def mining_call(self) -> tuple[str, dict[str, Any]]:
        """Return the strategy and the keyword arguments for ``OfflineMiner`` that it takes.

        Settings go to their stages, revisions stand beside their models, paths are absolute.

        Raises:
            RecipeError: a path is not there.
        """
        settings = {
            name: str(self.path(value, f"mining.settings.{name}"))
            if isinstance(value, str) and value.startswith("./")
            else value
            for name, value in self.mining.settings.items()
        }
        return mining_call(self.mining.strategy, settings)

    def to_yaml(self) -> str:
        """Return the whole recipe as YAML: includes resolved, variables by their names again.

        Loaded from the same folder, with the same variables, it gives an equal recipe.
        """
        return dump_yaml(_put_back(self.to_dict(), self.unexpanded, ""))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, in the order of a recipe; what is not set is left out.

        Values of environment variables stand in it. :meth:`to_yaml` has their names.
        """
        evaluation, held_out = self.evaluation, self.evaluation.held_out
        columns = _set(self.data.columns) | {
            f"document_{name}": value for name, value in _set(self.data.documents).items()
        }
        data = {
            "queries": _source(self.data.queries),
            "corpus": _source(self.data.corpus),
            "judgements": _source(self.data.judgements),
            "split": self.data.split,
            "builtin": self.data.builtin,
            "columns": columns,
        }
        measured = {
            "false_negatives": list(evaluation.false_negatives),
            "judgements": _source(evaluation.judgements),
            "labels": evaluation.labels and evaluation.labels.as_posix(),
            "held_out": held_out
            and {
                "queries": _source(held_out.queries),
                "judgements": _source(held_out.judgements),
                "split": held_out.split,
            },
            "compare": evaluation.compare and evaluation.compare.as_posix(),
        }
        whole = {
            "version": VERSION,
            "name": self.name,
            "data": data,
            "mining": {**_set(self.mining), "settings": dict(self.mining.settings)},
            "outputs": list(self.outputs),
            "evaluation": measured,
            "publish": _set(self.publish),
            "environment": list(self.environment),
        }
        return _without_empty(whole)


def _set(part: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the fields of a part that are set; tuples as lists."""
    values = {entry.name: getattr(part, entry.name) for entry in fields(part)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value is not None
    }


def _source(source: Source | None) -> Any:  # noqa: ANN401
    """Return a source in the shortest form that says it all."""
    if source is None:
        return None
    if source.split is None and source.licence is None:
        return str(source)
    named = _set(source)
    return {"source": named.pop("name"), **named}


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Return values without the keys that say nothing, at every level."""
    found = {}
    for name, value in values.items():
        kept = _without_empty(value) if isinstance(value, dict) and name != "settings" else value
        if kept is not None and kept not in ({}, []):
            found[name] = kept
    return found


def _put_back(value: Any, unexpanded: Mapping[str, tuple[str, str]], key: str) -> Any:  # noqa: ANN401
    """Return a value with ``${NAME}`` where it still is what that came to."""
    if isinstance(value, dict):
        return {
            name: _put_back(child, unexpanded, f"{key}.{name}" if key else name)
            for name, child in value.items()
        }
    if isinstance(value, list):
        return [
            _put_back(child, unexpanded, f"{key}[{place}]") for place, child in enumerate(value)
        ]
    written, came_to = unexpanded.get(key, (None, None))
    return written if written is not None and value == came_to else value
