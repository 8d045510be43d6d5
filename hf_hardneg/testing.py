"""Checks of the contracts of stages, for the tests of whoever writes one.

A retriever, filter, sampler or veto of your own keeps every promise of the library if it passes
its check here::

    from hf_hardneg.testing import check_filter, make_queries

    def test_my_filter() -> None:
        queries = make_queries(corpus, ["a question"], [["its answer"]])
        check_filter(MyFilter(), queries, BM25Retriever(corpus).retrieve(queries))

Each check raises :class:`ContractError`, which says the rule that is broken and the values that
break it, and returns nothing.
"""

from __future__ import annotations

import ast
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
from datasets.fingerprint import Hasher
from numpy.typing import NDArray

from hf_hardneg.candidates import NO_ROW, Candidates, Queries
from hf_hardneg.columns import RawBatch
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import HardNegError
from hf_hardneg.filters.base import Diversity, Filter, RowFilter, Verdict, Veto
from hf_hardneg.positives import ragged_indices
from hf_hardneg.queries import to_queries
from hf_hardneg.retrievers.base import Retriever
from hf_hardneg.samplers.base import Sampler
from hf_hardneg.stage import Stage

__all__ = [
    "ContractError",
    "check_diversity",
    "check_filter",
    "check_retriever",
    "check_row_filter",
    "check_sampler",
    "check_veto",
    "make_queries",
    "take_candidates",
    "take_queries",
]

Score = Callable[[str, str], float]
Eligible = Callable[[str, str], bool]
AnyStage = TypeVar("AnyStage", bound=Stage)

SLOT_DTYPES = {
    "rows": np.int64,
    "scores": np.float32,
    "ranks": np.int32,
    "sources": np.int8,
    "document_keys": np.uint64,
}
LARGEST = 3e38


class ContractError(HardNegError, AssertionError):
    """A stage does not do what every stage of its kind must do."""


# -- data ------------------------------------------------------------------------------------


def make_queries(
    corpus: Corpus,
    texts: Sequence[str],
    positives: Sequence[Sequence[str]],
    *,
    ids: Sequence[str] = (),
) -> Queries:
    """Return a batch of queries with their positives, found in the corpus by their texts.

    Args:
        corpus: the documents.
        texts: the queries.
        positives: texts of the positives of each query, in the corpus or not.
        ids: ids of the queries.
    """
    lists = [list(own) for own in positives]
    return to_queries(RawBatch(list(texts), list(ids), lists, None), corpus, None)


def take_queries(queries: Queries, lines: Sequence[int]) -> Queries:
    """Return a batch of some of the queries, in the order of ``lines``."""
    offsets, own = _ragged_take(queries.offsets, lines)
    known_offsets, known = _ragged_take(queries.known_offsets, lines)
    return Queries(
        texts=[queries.texts[line] for line in lines],
        ids=[queries.ids[line] for line in lines] if queries.ids else [],
        keys=queries.keys[list(lines)],
        offsets=offsets,
        positive_rows=queries.positive_rows[own],
        positive_texts=[queries.positive_texts[place] for place in own]
        if queries.positive_texts
        else [],
        known_offsets=known_offsets,
        known_rows=queries.known_rows[known],
        known_keys=queries.known_keys[known],
        further={name: [texts[line] for line in lines] for name, texts in queries.further.items()},
    )


def take_candidates(queries: Queries, candidates: Candidates, lines: Sequence[int]) -> Candidates:
    """Return the candidates of ``take_queries(queries, lines)``."""
    _, own = _ragged_take(queries.offsets, lines)
    slots = {name: getattr(candidates, name)[list(lines)] for name in SLOT_DTYPES}
    ranks = candidates.source_ranks
    return replace(
        candidates,
        **slots,
        positive_scores=candidates.positive_scores[own],
        source_ranks=None if ranks is None else ranks[list(lines)],
    )


def _ragged_take(
    offsets: NDArray[np.int64], lines: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    chosen = np.asarray(lines, dtype=np.int64)
    return ragged_indices(offsets[chosen], np.diff(offsets)[chosen])


# -- checks ----------------------------------------------------------------------------------


def check_retriever(
    retriever: Retriever,
    queries: Queries,
    *,
    score: Score | None = None,
    eligible: Eligible = lambda query, document: True,
    tolerance: float = 1e-5,
) -> None:
    """Check a retriever on a batch of queries.

    The results have the right shapes and types; the documents of a line are distinct, best first,
    ties by the lower corpus row, empty slots at the end. They do not depend on the batch, its
    order, or what was asked before, and a pickled retriever gives the same. With ``score``, every
    value is compared with it, and nothing better may be missing.

    Args:
        retriever: with a corpus that is small enough to score every document of.
        queries: the batch.
        score: score of (query, document) by brute force.
        eligible: whether a document may be a candidate at all, for (query, document).
        tolerance: relative and absolute difference between a score and that of ``score`` that
            rounding may explain.

    Raises:
        ContractError: a rule is broken.
    """
    before = Hasher.hash(retriever)
    found = retriever.retrieve(queries)
    _check_slots(retriever, queries, found)
    _check_order(retriever, found)
    _check_positive_scores(retriever, queries, found)
    _require(Hasher.hash(retriever) == before, retriever, "its recipe changes when it is used")
    _same(retriever, "a second call gives something else", found, retriever.retrieve(queries))
    for lines in _batches(len(queries)):
        part = retriever.retrieve(take_queries(queries, lines))
        expected = take_candidates(queries, found, lines)
        _same(retriever, f"results depend on the batch; lines {lines}", expected, part)
    again = _check_recipe(retriever)
    _same(retriever, "pickled, it gives something else", found, again.retrieve(queries))
    if score is not None:
        _check_scores(retriever, queries, found, score, eligible, tolerance)


def check_filter(rule: Filter, queries: Queries, candidates: Candidates) -> None:
    """Check a filter on a batch of candidates, and on batches made of it that are odd.

    The filter empties slots and changes nothing else, neither in its result nor in what it was
    given; applied twice it does what it does once, unless it decides ``among_survivors``; the
    verdict on a line does not depend on the other lines; pickled, it decides the same, so that
    what a stage has learnt or looked up is part of its state. All of this also where rows are
    empty, all are, there is one slot, none, or no score.

    Args:
        rule: the filter, fitted if it needs that.
        queries: the batch.
        candidates: its candidates.

    Raises:
        ContractError: a rule is broken.
    """
    sent = _check_recipe(rule)
    for kind, given in _variants(queries, candidates):
        before = pickle.loads(pickle.dumps(given))
        with _no_warnings():
            mask = rule.mask(queries, given)
        wanted = (given.shape, np.dtype(np.bool_))
        _require(
            (mask.shape, mask.dtype) == wanted, rule,
            f"{kind}: the mask has shape and type {(mask.shape, mask.dtype)}, expected {wanted}",
        )  # fmt: skip
        kept = rule(queries, given)
        _same(rule, f"{kind}: it changes the candidates it was given", before, given)
        gone = kept.rows == NO_ROW
        expected = given.keep(~gone)
        _same(rule, f"{kind}: it does more than to empty slots", expected, kept)
        if not rule.among_survivors:
            _same(rule, f"{kind}: applied twice it gives something else", kept, rule(queries, kept))
        _same(rule, f"{kind}: pickled, it gives something else", kept, sent(queries, given))
        for lines in _batches(len(queries)):
            part = rule(take_queries(queries, lines), take_candidates(queries, given, lines))
            expected = take_candidates(queries, kept, lines)
            _same(rule, f"{kind}: it depends on the batch; lines {lines}", expected, part)


def check_row_filter(rule: RowFilter, queries: Queries, candidates: Candidates) -> None:
    """Check a row filter on a batch of candidates, and on batches made of it that are odd.

    It flags rows, changes nothing in what it was given, and what it says of a row does not depend
    on the other rows, or on whether it was pickled.

    Args:
        rule: the row filter, fitted if it needs that.
        queries: the batch.
        candidates: its candidates.

    Raises:
        ContractError: a rule is broken.
    """
    sent = _check_recipe(rule)
    for kind, given in _variants(queries, candidates):
        before = pickle.loads(pickle.dumps(given))
        with _no_warnings():
            flags = rule.flags(queries, given)
        wanted = ((len(queries),), np.dtype(np.bool_))
        _require(
            (flags.shape, flags.dtype) == wanted, rule,
            f"{kind}: flags have shape and type {(flags.shape, flags.dtype)}, expected {wanted}",
        )  # fmt: skip
        _same(rule, f"{kind}: it changes the candidates it was given", before, given)
        _require(
            np.array_equal(sent.flags(queries, given), flags), rule,
            f"{kind}: pickled, it gives something else",
        )  # fmt: skip
        for lines in _batches(len(queries)):
            part = rule.flags(take_queries(queries, lines), take_candidates(queries, given, lines))
            _require(
                np.array_equal(part, flags[lines]), rule,
                f"{kind}: it depends on the batch; lines {lines}: {part}, not {flags[lines]}",
            )  # fmt: skip


def check_diversity(rule: Diversity, corpus: Corpus, rows: Sequence[int]) -> None:
    """Check a rule of diversity on all pairs of some documents.

    A document is like itself, likeness goes both ways, and what is said of a pair does not depend
    on what else is asked.

    Args:
        rule: the rule.
        corpus: the documents.
        rows: some of their rows.

    Raises:
        ContractError: a rule is broken.
    """
    _check_recipe(rule)
    own = np.asarray(rows, dtype=np.int64)
    one, other = np.repeat(own, len(own)), np.tile(own, len(own))
    alike = rule.alike(one, other, corpus)
    _require(
        (alike.shape, alike.dtype) == (one.shape, np.dtype(np.bool_)), rule,
        f"the answer has shape and type {(alike.shape, alike.dtype)}, expected {one.shape} bool",
    )  # fmt: skip
    square = alike.reshape(len(own), len(own))
    _require(square.diagonal().all(), rule, "a document is not like itself")
    _require(np.array_equal(square, square.T), rule, "likeness does not go both ways")
    for place in range(len(one)):
        part = rule.alike(one[place : place + 1], other[place : place + 1], corpus)
        _require(
            part[0] == alike[place], rule,
            f"rows {one[place]} and {other[place]}: {part[0]} alone, {alike[place]} with others",
        )  # fmt: skip
    empty = np.empty(0, np.int64)
    _require(len(rule.alike(empty, empty, corpus)) == 0, rule, "of no pairs it says something")


def check_sampler(
    sampler: Sampler, queries: Queries, candidates: Candidates, *, largest: float = LARGEST
) -> None:
    """Check a sampler on a batch of candidates, and on batches made of it that are odd.

    Keys are of shape (batch, k) in float64, ``-inf`` in empty slots and never ``nan`` or
    ``+inf``, also at extreme, equal or missing scores. They do not depend on the batch or on what
    was asked before. Those of a noisy sampler change with the seed, those of another do not.

    Args:
        sampler: the sampler.
        queries: the batch; at least one line must have a candidate.
        candidates: its candidates.
        largest: the most extreme score that its retriever may give: 1 for one that needs cosines.

    Raises:
        ContractError: a rule is broken.
    """
    _check_recipe(sampler)
    for kind, given in _variants(queries, candidates, largest):
        before = pickle.loads(pickle.dumps(given))
        with _no_warnings():
            keys = sampler.keys(queries, given, 0)
        _same(sampler, f"{kind}: it changes the candidates it was given", before, given)
        wanted = (given.shape, np.dtype(np.float64))
        _require(
            (keys.shape, keys.dtype) == wanted, sampler,
            f"{kind}: keys have shape and type {(keys.shape, keys.dtype)}, expected {wanted}",
        )  # fmt: skip
        _require(not np.isnan(keys).any(), sampler, f"{kind}: a key is nan: {keys}")
        _require(not (keys == np.inf).any(), sampler, f"{kind}: a key is +inf: {keys}")
        empty = keys[~given.filled]
        _require((empty == -np.inf).all(), sampler, f"{kind}: an empty slot has the key {empty}")
        again = sampler.keys(queries, given, 0)
        _require(np.array_equal(keys, again), sampler, f"{kind}: a second call gives other keys")
        for lines in _batches(len(queries)):
            part = sampler.keys(
                take_queries(queries, lines), take_candidates(queries, given, lines), 0
            )
            _require(
                np.array_equal(part, keys[lines]), sampler,
                f"{kind}: keys depend on the batch; lines {lines}: {part}, not {keys[lines]}",
            )  # fmt: skip
    keys, other = (sampler.keys(queries, candidates, seed) for seed in (0, 1))
    taken = keys > -np.inf
    if sampler.noisy:
        same = taken & (keys == other)
        _require(not same.any(), sampler, "keys do not change with the seed, and it is noisy")
    else:
        _require(np.array_equal(keys, other), sampler, "keys change with the seed without noise")


def check_veto(veto: Veto, queries: Queries, candidates: Candidates, corpus: Corpus) -> None:
    """Check a veto on every candidate of a batch.

    There is one :class:`~hf_hardneg.filters.base.Verdict` for each asked candidate, in an int8
    array. It is the same whether candidates are asked about together, one by one, in another
    order or again; else asking lazily would not give what asking about all would.

    Args:
        veto: the veto.
        queries: the batch.
        candidates: its candidates; at least one.
        corpus: the documents.

    Raises:
        ContractError: a rule is broken.
    """
    before = pickle.loads(pickle.dumps(candidates))
    lines, slots = (part.astype(np.int64) for part in np.nonzero(candidates.filled))
    verdicts = veto.judge(queries, candidates, lines, slots, corpus)
    _require(
        (verdicts.shape, verdicts.dtype) == (lines.shape, np.dtype(np.int8)), veto,
        f"verdicts have shape and type {(verdicts.shape, verdicts.dtype)}, expected "
        f"{(lines.shape, np.dtype(np.int8))}",
    )  # fmt: skip
    known = [verdict.value for verdict in Verdict]
    odd = verdicts[~np.isin(verdicts, known)]
    _require(not len(odd), veto, f"verdicts {odd} are none of {list(Verdict)}")
    _same(veto, "it changes the candidates it was given", before, candidates)
    orders = [np.arange(len(lines))[::-1], *np.arange(len(lines))[:, None]]
    for order in orders:
        part = veto.judge(queries, candidates, lines[order], slots[order], corpus)
        _require(
            np.array_equal(part, verdicts[order]), veto,
            f"verdicts depend on what else is asked: {part}, not {verdicts[order]}",
        )  # fmt: skip
    for batch in _batches(len(queries)):
        here = np.concatenate([np.flatnonzero(lines == line) for line in batch])
        places = np.repeat(np.arange(len(batch)), [np.sum(lines == line) for line in batch])
        given = take_candidates(queries, candidates, batch)
        part = veto.judge(take_queries(queries, batch), given, places, slots[here], corpus)
        _require(
            np.array_equal(part, verdicts[here]), veto,
            f"verdicts depend on the batch; lines {batch}: {part}, not {verdicts[here]}",
        )  # fmt: skip
    _check_recipe(veto)


# -- rules -----------------------------------------------------------------------------------


def _require(holds: object, stage: Stage, broken: str) -> None:
    if not holds:
        raise ContractError(f"{stage!r}: {broken}.")


def _same(stage: Stage, broken: str, expected: Candidates, given: Candidates) -> None:
    """Compare all arrays by value; ``nan`` equals ``nan``."""
    for field in fields(Candidates):
        one, two = getattr(expected, field.name), getattr(given, field.name)
        if isinstance(one, np.ndarray):
            same = one.shape == two.shape and one.dtype == two.dtype
            same = same and np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
        else:
            same = one == two
        _require(same, stage, f"{broken}: {field.name} is {two}, not {one}")


def _batches(number: int) -> Iterator[list[int]]:
    """Yield ways to cut the batch: each line alone, backwards, and a line twice."""
    yield from ([line] for line in range(number))
    yield list(range(number))[::-1]
    yield [*range(number), 0]


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _check_recipe(stage: AnyStage) -> AnyStage:
    """Check that the constructor call is the whole stage, and return it pickled and back."""
    again: AnyStage = pickle.loads(pickle.dumps(stage))
    _require(again == stage, stage, f"pickled and back it is {again!r}")
    _require(repr(again) == repr(stage), stage, f"pickled and back its repr is {again!r}")
    _require(hash(again) == hash(stage), stage, "pickled and back it has another hash")
    _require(
        Hasher.hash(again) == Hasher.hash(stage), stage, "pickled and back its fingerprint differs"
    )
    for name, value in stage.parameters().items():
        try:
            literal = ast.literal_eval(repr(value))
        except (SyntaxError, ValueError):
            literal = NotImplemented
        _require(
            literal == value, stage,
            f"its parameter {name}={value!r} cannot stand in a strategy string",
        )  # fmt: skip
    return again


def _check_slots(retriever: Retriever, queries: Queries, found: Candidates) -> None:
    shape = (len(queries), retriever.top_k)
    for name, dtype in SLOT_DTYPES.items():
        array = getattr(found, name)
        _require(
            (array.shape, array.dtype) == (shape, np.dtype(dtype)), retriever,
            f"{name} has shape and type {(array.shape, array.dtype)}, expected "
            f"{(shape, np.dtype(dtype))}",
        )  # fmt: skip
    documents = len(retriever.corpus)
    outside = found.rows[(found.rows < NO_ROW) | (found.rows >= documents)]
    _require(not len(outside), retriever, f"rows {outside} are not among {documents} documents")
    for line, rows in enumerate(found.rows):
        own = rows[rows != NO_ROW]
        _require(len(set(own.tolist())) == len(own), retriever, f"line {line}: {own} repeat")
        ends = (rows[: len(own)] != NO_ROW).all()
        _require(ends, retriever, f"line {line}: an empty slot stands before a full one: {rows}")
    full, scores = found.filled, found.scores
    _require((scores[~full] == -np.inf).all(), retriever, "an empty slot has another score: -inf")
    ranks = np.where(full, np.arange(1, shape[1] + 1), 0)
    _require(np.array_equal(found.ranks, ranks), retriever, f"ranks are {found.ranks}")
    known = (found.sources >= 0) & (found.sources < len(found.source_names))
    _require(np.array_equal(known, full), retriever, f"sources are {found.sources}")
    keys = retriever.corpus.document_keys[found.rows[full]]
    _require(np.array_equal(found.document_keys[full], keys), retriever, "keys are of other texts")


def _check_order(retriever: Retriever, found: Candidates) -> None:
    scores = found.scores[found.filled]
    if not retriever.scored:
        _require(np.isnan(scores).all(), retriever, f"it has no scores and gives {scores}")
        return
    _require(np.isfinite(scores).all(), retriever, f"scores are not finite: {scores}")
    for line, (rows, values) in enumerate(zip(found.rows, found.scores, strict=True)):
        own = rows != NO_ROW
        order = np.lexsort((rows[own], -values[own]))
        _require(
            np.array_equal(order, np.arange(len(order))), retriever,
            f"line {line}: not best first with ties by row: {rows[own]} {values[own]}",
        )  # fmt: skip


def _check_positive_scores(retriever: Retriever, queries: Queries, found: Candidates) -> None:
    scores = found.positive_scores
    wanted = (queries.positive_rows.shape, np.dtype(np.float32))
    _require(
        (scores.shape, scores.dtype) == wanted, retriever,
        f"positive scores have shape and type {(scores.shape, scores.dtype)}, expected {wanted}",
    )  # fmt: skip
    owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
    for line, row, value in zip(owner, queries.positive_rows, scores, strict=True):
        own = found.scores[line][(found.rows[line] == row) & (row != NO_ROW)]
        _require(
            np.array_equal(own, np.repeat(value, len(own)), equal_nan=True), retriever,
            f"line {line}: row {row} has the score {own} as a candidate, {value} as a positive",
        )  # fmt: skip


def _check_scores(
    retriever: Retriever,
    queries: Queries,
    found: Candidates,
    score: Score,
    eligible: Eligible,
    tolerance: float,
) -> None:
    """Compare with brute force."""

    def near(one: object, two: object) -> bool:
        return np.allclose(one, two, rtol=tolerance, atol=tolerance)  # type: ignore[arg-type]

    documents = list(retriever.corpus.iter_texts())
    for line, query in enumerate(queries.texts):
        values = np.array([score(query, document) for document in documents])
        allowed = np.array([eligible(query, document) for document in documents])
        rows = found.rows[line][found.filled[line]]
        given = found.scores[line][found.filled[line]]
        _require(allowed[rows].all(), retriever, f"{query!r}: {rows[~allowed[rows]]} not eligible")
        _require(
            near(given, values[rows]), retriever,
            f"{query!r}: rows {rows} have the scores {values[rows]}, given as {given}",
        )  # fmt: skip
        best = np.sort(values[allowed])[::-1][: retriever.top_k]
        _require(
            len(best) == len(given) and near(given, best), retriever,
            f"{query!r}: the best scores are {best}, given {given}",
        )  # fmt: skip
        listed = set(rows.tolist())
        for row in rows.tolist():
            for lower in range(row):
                twin = documents[lower] == documents[row] and lower not in listed
                _require(not twin, retriever, f"{query!r}: row {row}, and not its equal {lower}")
    owner = np.repeat(np.arange(len(queries)), queries.positives_per_query)
    for place, line in enumerate(owner.tolist()):
        row = int(queries.positive_rows[place])
        text = documents[row] if row != NO_ROW else queries.positive_texts[place]
        wanted, value = score(queries.texts[line], text), found.positive_scores[place]
        _require(
            near(value, wanted), retriever,
            f"{queries.texts[line]!r}: the positive {text!r} has the score {wanted}, given {value}",
        )  # fmt: skip


def _variants(
    queries: Queries, candidates: Candidates, largest: float = LARGEST
) -> Iterator[tuple[str, Candidates]]:
    """Yield the candidates and batches made of them at the edges of what there can be."""
    full, shape = candidates.filled, candidates.shape

    def scored(value: float) -> Candidates:
        return replace(candidates, scores=np.where(full, np.float32(value), np.float32(-np.inf)))

    yield "as given", candidates
    yield "all empty", candidates.keep(np.zeros(shape, dtype=np.bool_))
    yield "every other slot empty", candidates.keep(np.arange(shape[1])[None] % 2 == 1)
    yield "first line empty", candidates.keep(np.arange(shape[0])[:, None] > 0)
    for width in (1, 0):
        narrow = {name: getattr(candidates, name)[:, :width] for name in SLOT_DTYPES}
        ranks = candidates.source_ranks
        listed = None if ranks is None else ranks[:, :width]
        yield f"k={width}", replace(candidates, **narrow, source_ranks=listed)
    yield "scores equal", scored(1)
    yield "scores largest", scored(largest)
    yield "scores lowest", scored(-largest)
    unscored = np.full_like(candidates.positive_scores, np.nan)
    yield "no scores", replace(scored(np.nan), positive_scores=unscored)
    yield "positives without scores", replace(candidates, positive_scores=unscored)
