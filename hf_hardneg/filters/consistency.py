"""Flag rows whose positive is not among the best documents of its own query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries, known_positive
from hf_hardneg.checks import one_of, whole_number
from hf_hardneg.errors import StrategyError
from hf_hardneg.filters.base import ROW_ACTIONS, RowFilter
from hf_hardneg.stage_inputs import VectorSource

__all__ = ["ConsistencyFilter"]


class ConsistencyFilter(RowFilter):
    """Flags a row unless one of its positives is among the best ``top_m`` of its own query.

    Consistency filtering as in contrastors, the code of Z. Nussbaum et al., "Nomic Embed:
    Training a reproducible long context text embedder", 2024: a pair is kept only if the positive
    is in the top 2 of its query by an embedding model. Here the scorer is the retriever. The rank
    of a positive with the score ``s+`` is::

        rank = 1 + |{d retrieved : d no known positive of the query, s(q, d) > s+}|

    so that it works for positives outside the corpus as well, and a query with many positives is
    not held against itself. Ties are in the positive's favour. A copy of a known positive under
    another id counts as known. A positive without a score (a run that does not list it) is not
    among the best.

    Differences: contrastors searches among the positives of its data set and drops the row; here
    it is the corpus, and flagging is the default. A list that is retrieved can hold known
    positives, which are not counted, so where a query has many of them retrieve deeper than
    ``top_m`` by as many.

    Args:
        top_m: the positive has to be among so many, at least 1 and no more than the retriever
            retrieves. The default, 2, is the source's.
        action: ``flag`` writes the name of this stage to the column ``hard_negative_flags``;
            ``drop`` leaves the row out. Both are counted in the report.

    Raises:
        ParameterError: a parameter out of range.
        StrategyError: ``top_m`` is more than the retriever retrieves.
    """

    name = "consistency"
    source = "Nussbaum et al., 2024 (contrastors)"
    needs = ("scores",)

    def __init__(self, *, top_m: int = 2, action: str = "flag") -> None:
        """Check the parameters."""
        self.top_m = whole_number("consistency", "top_m", top_m, 1)
        self.action = one_of("consistency", "action", action, ROW_ACTIONS)

    def bound(self, source: VectorSource) -> ConsistencyFilter:
        """Refuse a retriever whose lists are too short to say who is among the best."""
        if self.top_m > source.top_k:
            raise StrategyError(
                f"consistency: top_m={self.top_m}, and {source.name!r} retrieves {source.top_k} "
                f"candidates; expected top_m from 1 to {source.top_k} (contrastors: 2). Retrieve "
                f"deeper, '{source.name}@{self.top_m}', or lower top_m."
            )
        return self

    def flags(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which rows have no positive among the best; see :class:`RowFilter`."""
        rivals = candidates.filled & ~known_positive(queries, candidates)
        owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
        higher = candidates.scores[owner] > candidates.positive_scores[:, None]
        ranks = 1 + np.count_nonzero(higher & rivals[owner], axis=1)
        best = (ranks <= self.top_m) & ~np.isnan(candidates.positive_scores)
        flagged: NDArray[np.bool_] = np.bincount(owner[best], minlength=len(queries)) == 0
        return flagged
