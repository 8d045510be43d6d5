"""All that a card says: what was mined, from what, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from hf_hardneg.errors import HardNegError
from hf_hardneg.evaluation.reuse import Reuse
from hf_hardneg.mined_set import MinedBatch, MinedSet
from hf_hardneg.report import Report
from hf_hardneg.strategy import parse

__all__ = [
    "ABOUT",
    "TRAINING",
    "CardFacts",
    "ConfigFact",
    "Ranked",
    "SourceFact",
    "StageFact",
    "citations_of",
    "config_facts",
    "samples_of",
    "stages_of",
]

SAMPLES = 10
OWN = "this library; "
"""Before the papers of a stage that is a method of this library."""
TRAINING = ("n-tuple", "triplet", "labeled-list", "labeled-pair", "ids")
"""Configs that train a model, in the order of the card; the first that is there is the default."""

ABOUT = {
    "n-tuple": "one row for each positive: anchor, positive, and each negative in a column",
    "triplet": "one row for each positive and negative: anchor, positive, negative",
    "labeled-list": "one row for each query: anchor, passages, and a label for each (1 or 0)",
    "labeled-pair": "one row for each passage: anchor, passage, label (1 or 0)",
    "ids": "one row for each query, by ids: of the query, its positives and its negatives",
    "columns": "one row for each query: the negatives, their ids and scores in lists",
    "corpus": "the documents that the negatives are taken from, by id",
    "queries": "the queries, by id",
    "pool": "the candidates of each query before the choice, with scores, ranks and sources",
}
"""What is in a config, by its name."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """How well something ranks the documents for the held-out queries.

    Attributes:
        what: ``BM25``, the name of a model, or what a model was trained on.
        measures: by name, such as ``MRR@10``: the mean over the queries and the ends of its 95%
            interval, ``None`` where there is no interval.
        queries: how many.
        notes: why there is no interval, or that it is too narrow; queries that were left out or
            are counted with 0; ties.
    """

    what: str
    measures: Mapping[str, tuple[float, float | None, float | None]]
    queries: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceFact:
    """Something that the set is made from.

    Attributes:
        role: ``queries``, ``corpus``, ``judgements``, ``model``, ...
        name: on the Hub, or of a file.
        revision: which one of it, ``None`` where that is not known.
        licence: as the Hub names it, or its own name; ``None`` where it is not known.
        url: where it is.
    """

    role: str
    name: str
    revision: str | None = None
    licence: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigFact:
    """One config.

    Attributes:
        name: of the config.
        rows: how many it has.
        features: (column, type).
        about: what a row is.
    """

    name: str
    rows: int
    features: tuple[tuple[str, str], ...]
    about: str


@dataclass(frozen=True, slots=True)
class StageFact:
    """A stage of the strategy: its name and every parameter, those left at their defaults too."""

    name: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says.

    Attributes:
        name: of the recipe or the set.
        pretty_name: for people.
        repository: ``owner/name`` on the Hub, ``None`` where there is none yet.
        licence: see :func:`hf_hardneg.hub.licences.licence_of`; ``None`` where none can be stated.
        language: codes of ISO 639.
        tags: beside those that every card has.
        report: the miner's, with what was measured of false negatives.
        recipe: of :meth:`hf_hardneg.OfflineMiner.recipe`.
        recipe_yaml: the recipe as run; empty where there is none.
        sources: what it is made from.
        configs: what is in it.
        ranking: of the held-out queries.
        ranking_missing: why there is none.
        comparison: ``compare.json`` of ``hf-hardneg compare --train``.
        diversity: how the negatives are spread over the documents.
        samples: rows as :func:`samples_of` returns them.
        audit: :meth:`hf_hardneg.evaluation.audit_report.Audit.to_dict`.
        forced: published although the audit found errors.
        citations: papers of the strategy, see :func:`citations_of`.
        command: the command that makes the set again.
        version: of this library.
        files: how the rows are kept where this is no folder to be published: ``arrow``,
            ``parquet``, ``jsonl``, or the name of a trainer's format; empty for one that is.
    """

    name: str
    pretty_name: str
    repository: str | None
    licence: str | None
    language: tuple[str, ...]
    tags: tuple[str, ...]
    report: Report
    recipe: Mapping[str, Any]
    recipe_yaml: str
    sources: tuple[SourceFact, ...]
    configs: tuple[ConfigFact, ...]
    ranking: tuple[Ranked, ...]
    ranking_missing: str
    comparison: Mapping[str, Any] | None
    diversity: Reuse | None
    samples: tuple[Mapping[str, Any], ...]
    audit: Mapping[str, Any] | None
    forced: bool
    citations: tuple[str, ...]
    command: str
    version: str
    files: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the samples are left out, for they stand in the rows."""
        return {
            "name": self.name,
            "pretty_name": self.pretty_name,
            "repository": self.repository,
            "licence": self.licence,
            "language": list(self.language),
            "tags": list(self.tags),
            "report": self.report.to_dict(),
            "recipe": dict(self.recipe),
            "sources": [asdict(one) for one in self.sources],
            "configs": [
                {**asdict(one), "features": [list(pair) for pair in one.features]}
                for one in self.configs
            ],
            "ranking": [
                {**asdict(one), "measures": {k: list(v) for k, v in one.measures.items()}}
                for one in self.ranking
            ],
            "ranking_missing": self.ranking_missing,
            "comparison": None if self.comparison is None else dict(self.comparison),
            "diversity": None if self.diversity is None else self.diversity.to_dict(),
            "audit": None if self.audit is None else dict(self.audit),
            "forced": self.forced,
            "citations": list(self.citations),
            "command": self.command,
            "version": self.version,
        }


def config_facts(configs: Mapping[str, Dataset]) -> tuple[ConfigFact, ...]:
    """Return what a card says of data sets, by the names of their configs."""
    return tuple(
        ConfigFact(
            name,
            len(rows),
            tuple((column, _kind(feature)) for column, feature in rows.features.items()),
            ABOUT.get(name, ""),
        )
        for name, rows in configs.items()
    )


def _kind(feature: Any) -> str:  # noqa: ANN401
    """Return a feature in a word: ``string``, ``list of float32``."""
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return f"list of {_kind(inner)}"
    return str(getattr(feature, "dtype", None) or type(feature).__name__.lower())


def stages_of(strategy: str) -> tuple[StageFact, ...]:
    """Return the stages of a strategy string with every parameter; empty where it is no string.

    A strategy of stages that are not registered cannot be read again; the string alone says then
    what they are.
    """
    try:
        parsed = parse(strategy)
        return tuple(
            StageFact(
                call.name,
                tuple(
                    (name, repr(value))
                    for name, value in {**_given(stage.defaults()), **call.arguments}.items()
                ),
            )
            for call, stage in zip(parsed.calls, parsed.classes, strict=True)
        )
    except HardNegError:
        return ()


def _given(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that have a default."""
    from inspect import Parameter

    return {name: value for name, value in defaults.items() if value is not Parameter.empty}


def citations_of(strategy: str) -> tuple[str, ...]:
    """Return the papers of a strategy's stages, in its order; practice without a paper has none."""
    try:
        classes = parse(strategy).classes
    except HardNegError:
        return ()
    sources = [one.source.removeprefix(OWN) for one in classes if one.source]
    return tuple(dict.fromkeys(one for one in sources if not one.startswith("practice")))


def samples_of(mined: MinedSet, number: int = SAMPLES, seed: int = 0) -> tuple[dict[str, Any], ...]:
    """Return rows drawn at random, in the order of the set.

    Args:
        mined: the set.
        number: of rows, or all of them where there are fewer.
        seed: of the draw.

    Returns:
        For each ``row``, ``query``, ``positives``, ``negatives``, ``positive_scores`` and
        ``scores`` (of the negatives); texts, or ids where the set has no texts; a score that is
        missing is ``None``, and a list of scores is empty where the set has none.
    """
    if len(mined) <= number:
        rows = list(range(len(mined)))
    else:
        drawn = np.random.default_rng(seed).choice(len(mined), number, replace=False)
        rows = sorted(drawn.tolist())
    return tuple(_sample(mined, row) for row in rows)


def _sample(mined: MinedSet, row: int) -> dict[str, Any]:
    batch = mined.at(row)
    return {
        "row": row,
        "query": batch.queries()[0],
        "positives": _texts(batch, ("positives", "positive_ids")),
        "negatives": _texts(batch, ("negatives", "negative_ids")),
        "positive_scores": _numbers(batch, "positive_scores"),
        "scores": _numbers(batch, "negative_scores"),
    }


def _texts(batch: MinedBatch, names: Sequence[str]) -> list[str]:
    return next((list(batch.texts(name).flat) for name in names if batch.has(name)), [])


def _numbers(batch: MinedBatch, name: str) -> list[float | None]:
    if not batch.has(name):
        return []
    values = batch.numbers(name)[1].tolist()
    return [value if np.isfinite(value) else None for value in values]
