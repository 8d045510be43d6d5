"""Late interaction's scores from vectors on disk: what is missing is encoded, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.cache import content_hash
from hf_hardneg.distributed import world
from hf_hardneg.errors import ModelError
from hf_hardneg.hashing import exact_keys
from hf_hardneg.multi_vector_encoder import MultiVectorModel
from hf_hardneg.text_parts import Keys
from hf_hardneg.token_store import TextSource, TokenTexts
from hf_hardneg.token_vectors import max_similarities

__all__ = ["LateInteraction"]

TOKENS_AT_ONCE = 1 << 16
"""Tokens of documents that are in memory at a time, 32 MB at 128 dimensions."""
BATCHES_AT_ONCE = 8
TITLES = {"query": "Encoding queries", "document": "Encoding documents"}


class LateInteraction:
    """Scores of pairs of texts by one model, whose vectors are kept.

    Args:
        encoder: the model.
        home: folder of all token vectors.
        storage: of the documents' vectors.
    """

    def __init__(self, encoder: MultiVectorModel, home: Path, storage: str) -> None:
        """Keep the parameters; nothing is opened yet."""
        self.encoder = encoder
        self._home, self._storage = home, storage
        self._texts: dict[str, TokenTexts] = {}

    def _kept(self, role: str) -> TokenTexts:
        if role not in self._texts:
            storage = self._storage if role == "document" else "float32"
            folder = content_hash(self.encoder.fingerprint(), storage)
            self._texts[role] = TokenTexts(self._home / folder / role, storage)
        return self._texts[role]

    @property
    def too_long(self) -> tuple[int, int]:
        """How many of the kept documents are longer than the model reads, and how many are."""
        return self._kept("document").too_long

    def encoded(self, role: str, source: TextSource, *, together: bool = False) -> TokenTexts:
        """Return what is kept, with all of ``source`` in it.

        Args:
            role: ``query`` or ``document``.
            source: the texts.
            together: whether all processes of a job ask for the same, to share the work.
        """
        kept, everyone = self._kept(role), world()
        parts = kept.missing(source.keys)
        if together:
            everyone.wait()  # all have looked at the same files before any of them writes
            parts = parts[everyone.rank :: everyone.size]
        kept.keep(
            parts,
            source,
            partial(self.encoder.encode, role=role),
            about=lambda texts: {
                "similarity": self.encoder.similarity,
                "too_long": self.encoder.too_long(texts, role),
            },
            at_once=BATCHES_AT_ONCE * self.encoder.batch_size,
            title=TITLES[role],
        )
        if together and everyone.size > 1:
            everyone.wait()
            kept.refresh()
        return kept

    def scores(
        self, texts: Sequence[str], lines: NDArray[np.int64], source: TextSource, keys: Keys
    ) -> NDArray[np.float32]:
        """Return the score of a query and a document for each pair, each pair's worked out once.

        Args:
            texts: the queries.
            lines: which query, shape (pairs,), at least one.
            source: the documents.
            keys: which document.

        Raises:
            ModelError: the vectors of queries and documents differ in dimension.
        """
        documents = self.encoded("document", source)
        queries = self.encoded("query", TextSource(texts=texts))
        if queries.dimension != documents.dimension:
            raise ModelError(
                f"the model {self.encoder.name!r} gives queries of {queries.dimension} dimensions "
                f"and documents of {documents.dimension}. Give a model with one size for both."
            )
        vectors = queries.take(queries.places(exact_keys(texts)))
        places = documents.places(keys)
        size = int(places.max()) + 1
        pairs, back = np.unique(lines * size + places, return_inverse=True)
        lines, places = np.divmod(pairs, size)
        values = np.empty(len(pairs), np.float32)
        for own in _blocks(lines, documents.lengths(places)):
            query = vectors[int(lines[own.start])]
            values[own] = max_similarities(
                query, documents.take(places[own]), mean=documents.similarity == "meanmaxsim"
            )
        return values[back]


def _blocks(lines: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[slice]:
    """Yield pairs that are scored together: of one query, of not too many tokens."""
    room = np.cumsum(lengths) // TOKENS_AT_ONCE
    cuts = np.flatnonzero((np.diff(lines) != 0) | (np.diff(room) != 0)) + 1
    yield from (slice(start, end) for start, end in pairwise([0, *cuts.tolist(), len(lines)]))
