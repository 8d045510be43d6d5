"""Every stage that a strategy string can name: a table, and the entry points of other packages.

A package of your own adds a stage by an entry point of the group ``hf_hardneg.stages``, whose name
is the stage's::

    [project.entry-points."hf_hardneg.stages"]
    my-sampler = "my_package.samplers:MySampler"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, cast

from hf_hardneg import filters, retrievers, samplers
from hf_hardneg.errors import StrategyError
from hf_hardneg.filters import Diversity, Filter, RowFilter, Veto
from hf_hardneg.retrievers import HybridRetriever, JoinedRetriever, Retriever
from hf_hardneg.samplers import Sampler
from hf_hardneg.stage import Stage

__all__ = [
    "ALIASES",
    "FUSION",
    "GROUP",
    "KINDS",
    "Stages",
    "kind_of",
    "registered",
    "selecting_name",
]

GROUP = "hf_hardneg.stages"
FUSION = HybridRetriever.name
KINDS: dict[str, type[Stage]] = {
    "joiner": JoinedRetriever,
    "retriever": Retriever,
    "row filter": RowFilter,
    "filter": Filter,
    "veto": Veto,
    "diversity": Diversity,
    "sampler": Sampler,
}
"""The kinds of stages; the first that fits counts."""

ALIASES: Mapping[str, str] = MappingProxyType({"simans": "ambiguous", "rocketqa": "denoised"})
"""Further names of stages."""


def kind_of(stage: type[Stage]) -> str:
    """Return the kind of a stage, one of :data:`KINDS`."""
    return next(kind for kind, base in KINDS.items() if issubclass(stage, base))


@dataclass(frozen=True, slots=True)
class Stages:
    """Stages by name. A retriever and a stage after it may share one (``random``).

    Attributes:
        retrievers: what stands at the head of a strategy.
        joiners: what stands right after them.
        selecting: what stands after those: filters, vetoes, samplers and the like.
    """

    retrievers: dict[str, type[Retriever]]
    joiners: dict[str, type[JoinedRetriever]]
    selecting: dict[str, type[Stage]]

    @property
    def rerankers(self) -> dict[str, type[JoinedRetriever]]:
        """The joiners that score one list anew."""
        return {name: stage for name, stage in self.joiners.items() if name != FUSION}

    @property
    def all(self) -> tuple[type[Stage], ...]:
        """All stages, by kind."""
        return (*self.retrievers.values(), *self.joiners.values(), *self.selecting.values())

    def add(self, stage: type[Stage]) -> bool:
        """Add a stage under its own name; return whether the name was free."""
        table: dict[str, Any] = self.selecting
        if issubclass(stage, JoinedRetriever):
            table = self.joiners
        elif issubclass(stage, Retriever):
            table = self.retrievers
        free = stage.name not in table and stage.name not in ALIASES
        table.setdefault(stage.name, stage)
        return free


def selecting_name(name: str) -> str:
    """Return the name of a stage after the retrievers, of which this may be an alias."""
    return ALIASES.get(name, name)


def _own() -> Stages:
    """Return the stages of this package, in the order of their folders."""
    stages = Stages({}, {}, {})
    for folder in (retrievers, filters, samplers):
        for name in folder.__all__:
            stage = getattr(folder, name)
            if isinstance(stage, type) and issubclass(stage, Stage) and hasattr(stage, "name"):
                stages.add(stage)
    return stages


@lru_cache(maxsize=1)
def registered() -> Stages:
    """Return all stages.

    Raises:
        StrategyError: an entry point that is no stage, or takes a name that is taken.
    """
    stages = _own()
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        origin = f"the entry point {entry.name} = {entry.value}"
        try:
            stage = entry.load()
        except Exception as error:
            raise StrategyError(
                f"{origin} cannot be loaded: {type(error).__name__}: {error}. Mend or uninstall "
                "the package that has it."
            ) from error
        if not isinstance(stage, type) or not issubclass(stage, tuple(KINDS.values())):
            raise StrategyError(
                f"{origin} is no stage; expected a class that derives from Retriever, Filter, "
                "RowFilter, Veto, Diversity or Sampler."
            )
        if getattr(stage, "name", None) != entry.name:
            raise StrategyError(
                f"{origin} names a stage whose own name is {getattr(stage, 'name', None)!r}; "
                "expected the same name."
            )
        if not stages.add(cast("type[Stage]", stage)):
            raise StrategyError(f"{origin} takes a name that is taken. Give the stage another.")
    return stages
