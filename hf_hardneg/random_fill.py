"""Random documents in the empty places of short rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.corpus import Corpus
from hf_hardneg.draws import random_rows
from hf_hardneg.hashing import EMPTY_TEXT_KEY
from hf_hardneg.selection import Rules

__all__ = ["fill"]

FILL_SALT = 0x46494C4C


def fill(
    queries: Queries,
    candidates: Candidates,
    rows: NDArray[np.int64],
    rules: Rules,
    corpus: Corpus,
    wanted: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Fill empty slots of the rows that are wanted with random documents.

    A fill is no known positive, not the query, not empty, no text that the row has already, and
    no candidate: those that are left were looked at and refused.
    """
    rows = rows.copy()
    for line in np.flatnonzero((rows == NO_ROW).any(axis=1) & wanted):
        start, end = queries.known_offsets[line], queries.known_offsets[line + 1]
        seen = candidates.document_keys[line][candidates.filled[line]]
        taken = {int(EMPTY_TEXT_KEY), int(queries.keys[line]), *map(int, seen)}
        taken |= set(queries.known_keys[start:end].tolist())
        known = queries.known_rows[start:end]
        taken |= set(corpus.document_keys[known[known != NO_ROW]].tolist())
        empty = np.flatnonzero(rows[line] == NO_ROW)
        fill = _drawn(queries.keys[line : line + 1], taken, len(empty), rules.seed, corpus)
        rows[line, empty[: len(fill)]] = fill
    return rows


def _drawn(
    query: NDArray[np.uint64], taken: set[int], number: int, seed: int, corpus: Corpus
) -> list[int]:
    """Return up to ``number`` random rows of a query whose texts are not taken, nor equal.

    Draws more until there are enough or no document is left. How many depends on the query alone,
    never on the others of its batch.
    """
    width = 2 * number + len(taken) + 16
    while True:
        [drawn] = random_rows(query, width, len(corpus), seed + FILL_SALT)
        fresh: dict[int, int] = {}
        for row, key in zip(drawn.tolist(), corpus.document_keys[drawn].tolist(), strict=True):
            if key not in taken:
                fresh.setdefault(key, row)
        if len(fresh) >= number or width >= len(corpus):
            return list(fresh.values())[:number]
        width *= 4
