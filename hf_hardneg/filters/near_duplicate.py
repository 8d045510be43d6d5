"""Drop candidates that are nearly the text of a positive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.filters.base import Verdict, Veto
from hf_hardneg.near_texts import PERMUTATIONS, SHINGLE, NearTextStage, resemblance
from hf_hardneg.positives import ragged_indices

__all__ = ["NearDuplicateVeto"]


class NearDuplicateVeto(NearTextStage, Veto):
    """Drops a candidate that is nearly the text of one of the row's positives.

    The positives are those of the row, by the text that the data gives, and all known positives
    of the query that are documents of the corpus. A text that is equal after normalisation is
    dropped in any case; this is about the copy with another date, title or ending.

    - ``by="minhash"``: with ``A`` and ``B`` the sets of shingles (runs of ``shingle`` words, case
      folded) of two texts, alike where the Jaccard resemblance ``|A and B| / |A or B|`` is at
      least ``threshold``. It is estimated as the share of equal entries of two MinHash signatures
      of length ``permutations`` (A. Broder, "On the resemblance and containment of documents",
      SEQUENCES 1997), with the standard error ``sqrt(J (1 - J) / permutations)``: 0.035 at 0.8.
      A text of fewer words than a shingle has one shingle, all of it, so two short texts are
      alike only if they are equal. The signatures are computed once a document by the package
      ``datasketch``, extra ``dedup``; the most recent 50,000 are kept in memory.
    - ``by="embedding"``: alike where the cosine of the retriever's vectors of the two documents is
      at least ``threshold``. Positives that are no documents of the corpus have no vector there,
      and are not compared.

    It is asked in the sampler's order about as many candidates as are needed, like every veto.

    Args:
        by: ``minhash`` or ``embedding``.
        threshold: from here texts are alike; above 0, at most 1. Default: 0.8 for ``minhash``,
            0.95 for ``embedding``.
        shingle: words in a shingle, at least 1.
        permutations: length of a signature, at least 1.
        promote: write what is dropped to the column ``promoted_ids``: near copies of a positive
            are most often relevant.

    Raises:
        ParameterError: a parameter out of range, or of the other way.
        MissingExtraError: ``datasketch`` is not installed, with ``by="minhash"``.
        StrategyError: the retriever has no vectors, or none with a cosine, with
            ``by="embedding"``.
    """

    name = "near-duplicate"
    source = "Broder, SEQUENCES 1997"
    costs = "a signature, or a vector, of each asked document"

    def __init__(
        self,
        *,
        by: str = "minhash",
        threshold: float | None = None,
        shingle: int = SHINGLE,
        permutations: int = PERMUTATIONS,
        promote: bool = False,
    ) -> None:
        """Check the parameters; signatures are made when they are first asked for."""
        super().__init__(by=by, threshold=threshold, shingle=shingle, permutations=permutations)
        self.promote = self.promotes = promote

    def judge(
        self,
        queries: Queries,
        candidates: Candidates,
        lines: NDArray[np.int64],
        slots: NDArray[np.int64],
        corpus: Corpus,
    ) -> NDArray[np.int8]:
        """Compare each asked candidate with the positives of its query; see :class:`Veto`."""
        rows = candidates.rows[lines, slots]
        near = self._near_known(queries, lines, rows, corpus)
        if self.by == "minhash":
            near |= self._near_own_text(queries, lines, rows, corpus)
        bad = Verdict.PROMOTE if self.promote else Verdict.DROP
        return np.where(near, bad, Verdict.KEEP).astype(np.int8)

    def _near_known(
        self,
        queries: Queries,
        lines: NDArray[np.int64],
        rows: NDArray[np.int64],
        corpus: Corpus,
    ) -> NDArray[np.bool_]:
        """Return which candidates are near a known positive that is in the corpus, (asked,)."""
        asked, known = _pairs(queries.known_offsets, lines)
        inside = queries.known_rows[known] != NO_ROW
        asked, known = asked[inside], known[inside]
        alike = self.documents_alike(rows[asked], queries.known_rows[known], corpus)
        return np.bincount(asked[alike], minlength=len(lines)) > 0

    def _near_own_text(
        self,
        queries: Queries,
        lines: NDArray[np.int64],
        rows: NDArray[np.int64],
        corpus: Corpus,
    ) -> NDArray[np.bool_]:
        """Return which candidates are near a text that the data gives as positive, (asked,)."""
        if not queries.positive_texts:  # given by id: they are known positives of the corpus
            return np.zeros(len(lines), dtype=np.bool_)
        asked, own = _pairs(queries.offsets, lines)
        places, number = np.unique(own, return_inverse=True)
        texts = [queries.positive_texts[place] for place in places]
        positives = self.sketches().of_texts(texts)
        near = resemblance(self.sketches().of_rows(rows, corpus), asked, positives, number)
        return np.bincount(asked[near >= self.limit], minlength=len(lines)) > 0


def _pairs(
    offsets: NDArray[np.int64], lines: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (asked, place): each asked candidate with each positive of its query."""
    counts = np.diff(offsets)[lines]
    _, places = ragged_indices(offsets[lines], counts)
    return np.repeat(np.arange(len(lines)), counts), places
