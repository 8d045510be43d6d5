"""What every stage of a strategy has in common: its recipe is its constructor call."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hf_hardneg.stage_inputs import Rows, VectorSource

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RETRIEVAL_CONTEXT", "Stage"]

VERSION = "stage_version"
RETRIEVAL_CONTEXT = frozenset({"corpus", "cache_dir"})
"""Parameters that say where a stage works, not what it does; no part of a strategy string."""


class Stage:
    """A retriever, filter, veto or sampler.

    A stage keeps every constructor parameter as an attribute of the same name. These make its
    recipe: what is printed, compared, hashed for the cache and pickled to workers. Whatever else
    it holds (an open index, a model) has a name that begins with an underscore, is made when it
    is first used, and never leaves the process.

    Attributes:
        name: the name in strategy strings.
        version: raised when the stage's results change, so that kept results are made anew.
        needs: what the retriever must give, of
            :data:`~hf_hardneg.stage_inputs.NEEDS`. Refused at construction if not.
        source: the paper that it is from, as the table of stages shows it.
        costs: what it costs, in a few words, if that is more than a look at some arrays.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    needs: tuple[str, ...] = ()
    source: ClassVar[str] = ""
    costs: ClassVar[str] = ""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the parameters that a strategy string may set, with their defaults."""
        signature = inspect.signature(cls.__init__).parameters.values()
        return {
            parameter.name: parameter.default
            for parameter in signature
            if parameter.name != "self"
            and parameter.name not in RETRIEVAL_CONTEXT
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }

    @classmethod
    def takes(cls, name: str, given: Collection[str]) -> bool:
        """Return whether a parameter that is given to the strategy as a whole is for this stage.

        Args:
            name: of the parameter.
            given: names of all parameters that the stage may be given.
        """
        return name in cls.defaults()

    @classmethod
    def context(cls) -> frozenset[str]:
        """Return which of ``corpus`` and ``cache_dir`` the constructor takes."""
        return RETRIEVAL_CONTEXT & set(inspect.signature(cls.__init__).parameters)

    @classmethod
    def learns(cls, arguments: Mapping[str, Any]) -> str:
        """Return the model that the stage fits to data, or takes fitted, in a few words.

        As in "it decides by ...", for whoever reads of a set which models took part in it. Empty,
        the default, for a stage without such a model; pretrained ones are in :meth:`models`.

        Args:
            arguments: the parameters that a strategy string gives it.
        """
        return ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of further columns of the query data that the stage reads.

        They are in :attr:`~hf_hardneg.candidates.Queries.further`, as lists of texts.
        """
        return ()

    @property
    def needs_fit(self) -> bool:
        """Whether the stage has to see the candidates of all rows before it can decide on one."""
        return False

    def fitted(self, rows: Rows) -> Self:
        """Return the stage fitted to all rows; what it learnt is in its parameters.

        Args:
            rows: the candidates of all rows, to go through as often as needed.
        """
        return self

    def bound(self, source: VectorSource) -> Self:
        """Return the stage with the retriever whose candidates it will see.

        Args:
            source: the retriever; it gives what :attr:`needs` names.
        """
        return self

    def prepare(self) -> None:
        """Check before the work starts what could not be checked at construction."""

    def notes(self) -> tuple[str, ...]:
        """Say what a reader of the results should know; stands in the report."""
        return ()

    def models(self) -> dict[str, dict[str, str]]:
        """Return what identifies the models, by the name of the stage; empty without any."""
        return {}

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults."""
        return {
            name: getattr(self, name)
            for name, default in self.defaults().items()
            if getattr(self, name) != default
        }

    def expression(self) -> str:
        """Return the stage as it stands in a strategy string, ``name(parameter=value)``."""
        inside = ", ".join(f"{name}={value!r}" for name, value in self.parameters().items())
        return f"{self.name}({inside})" if inside else self.name

    def __repr__(self) -> str:
        """Return the constructor call."""
        inside = ", ".join(f"{name}={value!r}" for name, value in self.parameters().items())
        return f"{type(self).__name__}({inside})"

    def __eq__(self, other: object) -> bool:
        """Two stages are equal when their class and parameters are."""
        return (
            type(self) is type(other)
            and isinstance(other, Stage)
            and (self.parameters() == other.parameters())
        )

    def __hash__(self) -> int:
        """Hash of the constructor call."""
        return hash(repr(self))

    def __getstate__(self) -> dict[str, Any]:
        """Return the constructor parameters, the version, and nothing else."""
        names = list(self.defaults()) + sorted(self.context())
        return {VERSION: self.version, **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the stage anew from its parameters."""
        self.__init__(**{k: v for k, v in state.items() if k != VERSION})  # type: ignore[misc]
