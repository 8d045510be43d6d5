"""A stage that asks the retriever whose candidates it sees."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hf_hardneg.errors import StrategyError
from hf_hardneg.stage import Stage
from hf_hardneg.stage_inputs import VectorSource

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BoundStage"]

SOURCE = "bound_source"


class BoundStage(Stage):
    """Keeps the retriever that it is bound to, in worker processes too.

    The retriever is no parameter: two stages are equal whatever they are bound to. It travels
    with the stage all the same, by its own recipe, so a kept result belongs to both.
    """

    _source: VectorSource | None = None

    def bound(self, source: VectorSource) -> Self:
        """Return a copy that may ask the retriever."""
        again = copy.copy(self)
        again._source = source
        return again

    @property
    def retriever(self) -> VectorSource:
        """The retriever.

        Raises:
            StrategyError: the stage stands alone; it belongs into a strategy.
        """
        if self._source is None:
            raise StrategyError(
                f"{self.name!r} asks the retriever, and is not bound to one. Put it into a "
                f"strategy such as 'dense+{self.name}', or call bound(retriever)."
            )
        return self._source

    def __getstate__(self) -> dict[str, Any]:
        """Return the recipe, with the retriever's."""
        return {**super().__getstate__(), SOURCE: self._source}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the stage anew, bound to the same retriever."""
        super().__setstate__({name: value for name, value in state.items() if name != SOURCE})
        self._source = state[SOURCE]
