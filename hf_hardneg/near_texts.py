"""How near two texts are: shingles of words, their MinHash signatures, and cosines of vectors.

MinHash: A. Broder, "On the resemblance and containment of documents", SEQUENCES 1997. With
``A`` and ``B`` the sets of shingles of two texts and ``h`` a random order of all shingles::

    resemblance (Jaccard)  J(A, B) = |A and B| / |A or B| = P(min h(A) = min h(B))

so the share of equal entries of two signatures, one entry for each of so many orders, estimates
``J`` without bias, with the standard error ``sqrt(J (1 - J) / permutations)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from numpy.typing import NDArray

from hf_hardneg.bound_stage import BoundStage
from hf_hardneg.checks import at_least, one_of, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import MissingExtraError, ParameterError, StrategyError
from hf_hardneg.hashing import normalize_text, text_keys
from hf_hardneg.stage_inputs import VectorSource

if TYPE_CHECKING:
    from datasketch import MinHash
    from typing_extensions import Self

__all__ = ["NearTextStage", "Signatures", "cosines", "resemblance", "shingles"]

PERMUTATION_SEED = 1
"""Of the random orders. Fixed: likeness is of two texts, and no draw of a miner."""
KEPT = 50_000
"""Signatures in memory at most; 128 numbers are 512 bytes."""
PAIRS_AT_ONCE = 20_000
SHINGLES_AT_ONCE = 10_000
BY = ("minhash", "embedding")
THRESHOLDS = {"minhash": 0.8, "embedding": 0.95}
SHINGLE, PERMUTATIONS = 3, 128


def shingles(text: str, words: int) -> set[str]:
    """Return the runs of so many words of the normalised text.

    A text with fewer words is one shingle, all of it: two such texts are alike if they have the
    same words in the same order, and not at all otherwise.

    Args:
        text: the text; compared after :func:`~hf_hardneg.hashing.normalize_text`, which folds
            case and white space.
        words: words in a shingle.
    """
    parts = normalize_text(text).split(" ")
    if len(parts) <= words:
        return {" ".join(parts)}
    return {" ".join(parts[place : place + words]) for place in range(len(parts) - words + 1)}


def _hash32(shingle: bytes) -> int:
    return xxhash.xxh3_64_intdigest(shingle) & 0xFFFFFFFF


class Signatures:
    """MinHash signatures of texts, worked out once for each text that is kept.

    Args:
        shingle: words in a shingle.
        permutations: length of a signature.
        owner: name of the stage, for messages.
        kept: how many are in memory at most; the oldest go first.

    Raises:
        MissingExtraError: ``datasketch`` is not installed.
    """

    def __init__(self, shingle: int, permutations: int, owner: str, kept: int = KEPT) -> None:
        """Draw the random orders."""
        try:
            from datasketch import MinHash
        except ImportError as error:
            raise MissingExtraError("datasketch", "dedup", f"{owner}(by='minhash')") from error
        self._shingle, self._limit = shingle, kept
        self._empty: MinHash = MinHash(
            permutations, seed=PERMUTATION_SEED, hashfunc=_hash32, scheme="affine32"
        )
        self._kept: dict[int, NDArray[np.uint32]] = {}

    def __len__(self) -> int:
        """Return how many are in memory."""
        return len(self._kept)

    def _of(self, text: str) -> NDArray[np.uint32]:
        sketch = self._empty.copy()
        parts = [part.encode("utf-8", "surrogatepass") for part in shingles(text, self._shingle)]
        for start in range(0, len(parts), SHINGLES_AT_ONCE):  # of a long text in bounded memory
            sketch.update_batch(parts[start : start + SHINGLES_AT_ONCE])
        return np.asarray(sketch.hashvalues, dtype=np.uint32)

    def of_keys(
        self, keys: NDArray[np.uint64], texts: Callable[[NDArray[np.int64]], Sequence[str]]
    ) -> NDArray[np.uint32]:
        """Return the signature of each text, shape (texts, permutations).

        Args:
            keys: of the normalised texts, shape (texts,); equal keys are equal texts.
            texts: returns the texts at some places, asked only for those that are not kept.
        """
        unique, first, place = np.unique(keys, return_index=True, return_inverse=True)
        names = unique.tolist()
        new = np.array([name not in self._kept for name in names], dtype=np.bool_)
        fresh = texts(first[new].astype(np.int64))
        made = dict(zip(unique[new].tolist(), map(self._of, fresh), strict=True))
        out = np.empty((len(names), len(self._empty)), dtype=np.uint32)
        for number, name in enumerate(names):
            out[number] = made[name] if name in made else self._kept[name]
        self._keep(made)
        return out[place]

    def _keep(self, made: dict[int, NDArray[np.uint32]]) -> None:
        self._kept.update(made)
        for name in list(self._kept)[: max(len(self._kept) - self._limit, 0)]:
            del self._kept[name]

    def of_rows(self, rows: NDArray[np.int64], corpus: Corpus) -> NDArray[np.uint32]:
        """Return the signature of each document, shape (rows, permutations)."""
        return self.of_keys(corpus.document_keys[rows], lambda places: corpus.texts(rows[places]))

    def of_texts(self, texts: Sequence[str]) -> NDArray[np.uint32]:
        """Return the signature of each text, shape (texts, permutations)."""
        return self.of_keys(text_keys(texts), lambda places: [texts[place] for place in places])


def resemblance(
    one: NDArray[np.uint32],
    first: NDArray[np.int64],
    other: NDArray[np.uint32],
    second: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the estimated Jaccard resemblance of ``one[first]`` and ``other[second]``, (pairs,).

    In bounded memory, however many pairs there are.
    """
    out = np.empty(len(first), dtype=np.float64)
    for start in range(0, len(first), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        out[part] = (one[first[part]] == other[second[part]]).mean(axis=1)
    return out


def cosines(
    source: VectorSource, one: NDArray[np.int64], other: NDArray[np.int64], owner: str
) -> NDArray[np.float64]:
    """Return the cosine of the vectors of pairs of documents, shape (pairs,).

    ``cos(x, y) = x.y / sqrt(x.x y.y)``, so dot products do as well as cosines.

    Args:
        source: the retriever that keeps the vectors.
        one: corpus rows, shape (pairs,).
        other: corpus rows, shape (pairs,).
        owner: name of the stage, for messages.

    Raises:
        StrategyError: the similarity of a document with itself is not above 0, so it is a
            negative distance, or the vector is zero.
    """
    out = np.empty(len(one), dtype=np.float64)
    for start in range(0, len(one), PAIRS_AT_ONCE):
        left, right = one[start : start + PAIRS_AT_ONCE], other[start : start + PAIRS_AT_ONCE]
        both, place = np.unique(np.concatenate([left, right]), return_inverse=True)
        own = source.document_similarity(both, both).astype(np.float64)
        if not (own > 0).all():
            row = int(both[~(own > 0)][0])
            raise StrategyError(
                f"{owner}: the similarity of document {row} with itself is {own.min():g}, so the "
                f"vectors of {source.name!r} give no cosine; expected cosines or dot products of "
                "vectors that are not zero. Use dense(similarity='cosine'), or by='minhash'."
            )
        products = source.document_similarity(left, right).astype(np.float64)
        # One root of the product: of a document and itself it is exact, and the cosine is 1.
        lengths = np.sqrt(own[place[: len(left)]] * own[place[len(left) :]])
        out[start : start + PAIRS_AT_ONCE] = products / lengths
    return out


class NearTextStage(BoundStage):
    """A stage that asks whether two texts are nearly the same, by MinHash or by their vectors.

    Args:
        by: ``minhash`` or ``embedding``.
        threshold: texts are alike from here; the Jaccard resemblance of shingles (default 0.8),
            or the cosine of vectors (default 0.95). Above 0, at most 1.
        shingle: words in a shingle.
        permutations: random orders of a signature.
    """

    def __init__(
        self,
        *,
        by: str = "minhash",
        threshold: float | None = None,
        shingle: int = SHINGLE,
        permutations: int = PERMUTATIONS,
    ) -> None:
        """Check the parameters."""
        self.by = one_of(self.name, "by", by, BY)
        self.shingle = whole_number(self.name, "shingle", shingle, 1)
        self.permutations = whole_number(self.name, "permutations", permutations, 1)
        if by == "embedding" and (shingle, permutations) != (SHINGLE, PERMUTATIONS):
            raise ParameterError(
                f"{self.name}: shingle={shingle}, permutations={permutations} are given with "
                "by='embedding', which has neither. Leave them out, or use by='minhash'."
            )
        self.threshold = threshold
        if threshold is not None:
            self.threshold = at_least(self.name, "threshold", threshold, 0)
            if not 0 < self.threshold <= 1:
                raise ParameterError(
                    f"{self.name}: threshold={threshold!r}; expected a number above 0, at most 1 "
                    f"({THRESHOLDS['minhash']} for minhash, {THRESHOLDS['embedding']} for "
                    "embedding by default)."
                )
        if by == "embedding":
            self.needs = ("vectors",)
        self._sketches: Signatures | None = None

    @property
    def limit(self) -> float:
        """The threshold in use."""
        return THRESHOLDS[self.by] if self.threshold is None else self.threshold

    def bound(self, source: VectorSource) -> Self:
        """Return a copy that may ask the retriever, where vectors are compared."""
        return super().bound(source) if self.by == "embedding" else self

    def prepare(self) -> None:
        """Make sure before any work that MinHash is installed, where it is asked for."""
        if self.by == "minhash":
            self.sketches()

    def sketches(self) -> Signatures:
        """Return the signatures, made when they are first asked for."""
        if self._sketches is None:
            self._sketches = Signatures(self.shingle, self.permutations, self.name)
        return self._sketches

    def documents_alike(
        self, one: NDArray[np.int64], other: NDArray[np.int64], corpus: Corpus
    ) -> NDArray[np.bool_]:
        """Return which pairs of documents are alike, shape (pairs,).

        Args:
            one: corpus rows, shape (pairs,).
            other: corpus rows, shape (pairs,).
            corpus: where the texts are.
        """
        if self.by == "embedding":
            return cosines(self.retriever, one, other, self.name) >= self.limit
        rows, place = np.unique(np.concatenate([one, other]), return_inverse=True)
        found = self.sketches().of_rows(rows, corpus)
        near = resemblance(found, place[: len(one)], found, place[len(one) :])
        return near >= self.limit
