"""Flag or drop rows whose query is held out for evaluation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import one_of
from hf_hardneg.errors import ParameterError
from hf_hardneg.filters.base import RowFilter
from hf_hardneg.hashing import among
from hf_hardneg.held_out_data import held_out_query_keys, source_name, source_of

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["HeldOutQueries"]

ACTIONS = ("flag", "drop")


class HeldOutQueries(RowFilter):
    """Flags or drops the rows whose query is among the held-out queries.

    Texts are compared after normalisation (Unicode NFKC, case folded, white space collapsed): a
    query that differs in these alone is the same. A paraphrase is not found. Not from a paper.

    Args:
        queries: the path of a file of queries with ids and texts (``queries.jsonl`` of BEIR, or
            another file of records with ``_id`` and ``text``), or a Dataset with a column of
            queries. Read at construction, once. In a strategy string a path stands as it was
            given; a Dataset stands by its fingerprint.
        judgements: the path of a file of judgements, BEIR or TREC: of the file of queries, those
            that it judges are held out. BEIR keeps the queries of all splits in one file, so that
            ``queries.jsonl`` alone would hold out the training queries too. ``None``: all.
        action: ``flag``, the default: such a row is mined, and its flag and the report name this
            filter; ``drop``: it is left out.

    Raises:
        QueryError: there are no queries, or the judgements name some that are not there.
        FormatError: a file cannot be read.
        ParameterError: a parameter is out of range, or judgements go with a Dataset.
    """

    name = "held-out-queries"
    source = "practice: a firewall against contamination"

    def __init__(
        self,
        queries: str | Dataset,
        *,
        judgements: str | os.PathLike[str] | None = None,
        action: str = "flag",
    ) -> None:
        """Read the queries."""
        self.action = one_of(self.name, "action", action, ACTIONS)
        source = source_of(self.name, "queries", queries)
        self.judgements = None if judgements is None else os.fspath(judgements)
        if self.judgements is not None and not isinstance(source, str):
            raise ParameterError(
                "held-out-queries: judgements go with a file of queries, which has their ids. Give "
                "a Dataset of the held-out queries alone."
            )
        self.queries = source_name(source)
        self._keys = held_out_query_keys(self.name, source, self.judgements)

    def flags(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Flag the queries that are held out."""
        return among(self._keys, queries.keys)

    def notes(self) -> tuple[str, ...]:
        """Say how many queries are held out, and what happens to their rows."""
        fate = "left out" if self.action == "drop" else "flagged and kept"
        return (
            f"{self.name}: rows of {len(self._keys):,} held-out queries ({self.queries}) are "
            f"{fate}.",
        )

    def __eq__(self, other: object) -> bool:
        """Two are equal when their parameters are, and the queries that these mean."""
        return (
            isinstance(other, HeldOutQueries)
            and super().__eq__(other)
            and np.array_equal(self._keys, other._keys)
        )

    __hash__ = RowFilter.__hash__

    def __getstate__(self) -> dict[str, Any]:
        """Return the parameters and what was read: a worker does not read the file again."""
        return {**super().__getstate__(), "keys": self._keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what was read."""
        self.queries, self.judgements = state["queries"], state["judgements"]
        self.action, self._keys = state["action"], state["keys"]
