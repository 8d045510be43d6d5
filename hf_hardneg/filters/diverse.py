"""Pass over candidates that are nearly the text of a negative chosen before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.corpus import Corpus
from hf_hardneg.filters.base import Diversity
from hf_hardneg.near_texts import NearTextStage

__all__ = ["DiverseNegatives"]


class DiverseNegatives(NearTextStage, Diversity):
    """Keeps the negatives of a row apart: none is nearly the text of one chosen before it.

    Candidates are gone through in the sampler's order, after the vetoes, and one that is alike a
    negative of the row is passed over, so the earlier of two near copies stays. Two documents are
    alike as for ``near-duplicate``:

    - ``by="minhash"``: the Jaccard resemblance ``|A and B| / |A or B|`` of their sets of shingles
      (runs of ``shingle`` words, case folded) is at least ``threshold``, estimated by MinHash
      signatures of length ``permutations`` (A. Broder, "On the resemblance and containment of
      documents", SEQUENCES 1997) with the standard error ``sqrt(J (1 - J) / permutations)``. A
      text of fewer words than a shingle has one shingle, all of it. By the package
      ``datasketch``, extra ``dedup``.
    - ``by="embedding"``: the cosine of the retriever's vectors is at least ``threshold``.

    Equal texts after normalisation are never chosen twice in any case.

    Args:
        by: ``minhash`` or ``embedding``.
        threshold: from here texts are alike; above 0, at most 1. Default: 0.8 for ``minhash``,
            0.95 for ``embedding``.
        shingle: words in a shingle, at least 1.
        permutations: length of a signature, at least 1.

    Raises:
        ParameterError: a parameter out of range, or of the other way.
        MissingExtraError: ``datasketch`` is not installed, with ``by="minhash"``.
        StrategyError: the retriever has no vectors, or none with a cosine, with
            ``by="embedding"``.
    """

    name = "diverse"
    source = "Broder, SEQUENCES 1997"
    costs = "a signature, or a vector, of each document that passes the vetoes"

    def alike(
        self, rows: NDArray[np.int64], others: NDArray[np.int64], corpus: Corpus
    ) -> NDArray[np.bool_]:
        """Return which pairs are alike; see :class:`Diversity`."""
        return self.documents_alike(rows, others, corpus)
