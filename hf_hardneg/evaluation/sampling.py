"""Which pairs of a query and a candidate are worth labelling: a stratified sample with weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from hf_hardneg.checks import fraction, one_of, whole_number
from hf_hardneg.columns import QueryColumns
from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import PoolError, QueryError, listing
from hf_hardneg.evaluation.label_sample import CONTROL, LabelSample
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.evaluation.mined_frame import MinedFrame
from hf_hardneg.evaluation.pair_draws import QUERY_DRAW, Gathered
from hf_hardneg.evaluation.pair_frames import FoundPair, Frame
from hf_hardneg.evaluation.pool_frame import PoolFrame
from hf_hardneg.evaluation.strata import BY, Drawn, in_equal_parts, stratum_names
from hf_hardneg.hashing import mix
from hf_hardneg.mined_sources import MinedColumns, load_mined
from hf_hardneg.pool import POOL_FEATURES
from hf_hardneg.query_sources import one_split, saved_rows

__all__ = ["LabelSample", "draw_pairs", "frame_of"]

Keys = NDArray[np.uint64]


def frame_of(
    data: object,
    corpus: Corpus | None = None,
    columns: MinedColumns | None = None,
    *,
    queries: object = None,
    qrels: str | os.PathLike[str] | None = None,
    split: str | None = None,
) -> Frame:
    """Return the pairs of a pool or of a mined set.

    Args:
        data: a pool, as ``miner.retrieve(dataset)`` returns it or saved; or whatever
            :func:`~hf_hardneg.mined_sources.load_mined` takes.
        corpus: the documents; a pool needs them, and so does a set of ids.
        columns: names of columns, where they are unusual.
        queries: texts of a mined set's queries, for rows with their ids alone.
        qrels: judgements that name the positives of a TREC run.
        split: of the data, where it has several.

    Raises:
        PoolError: a pool without its corpus, or with another one.
        FormatError: a mined set without texts and without a corpus.
    """
    columns = columns or MinedColumns()
    pool = _pool_of(data, split)
    if pool is None:
        mined = load_mined(
            data, corpus=corpus, queries=queries, qrels=qrels, split=split, columns=columns
        )
        return MinedFrame(mined)
    if queries is not None or qrels is not None:
        raise PoolError(
            "a pool has its queries and positives, and texts of queries or judgements were given "
            "too. Leave them out."
        )
    if corpus is None:
        raise PoolError(
            "a pool names its documents by their rows in the corpus: give the corpus that it was "
            "made on (--corpus)."
        )
    names = (columns.query, columns.positive, columns.positive_ids, columns.query_id)
    return PoolFrame(pool, corpus, QueryColumns(*names))


def _pool_of(data: object, split: str | None) -> Dataset | None:
    """Return the rows of a pool, ``None`` for a mined set."""
    if isinstance(data, str | os.PathLike):
        folder = Path(data).expanduser()
        if not (folder / "state.json").is_file():
            return None
        data = one_split(saved_rows(folder), split, str(folder))
    if isinstance(data, Dataset) and set(POOL_FEATURES) & set(data.column_names):
        return data
    return None


def draw_pairs(
    frame: Frame,
    *,
    size: int = 500,
    controls: float = 0.1,
    by: str = "rank",
    queries: int | None = None,
    seed: int = 0,
) -> LabelSample:
    """Draw pairs to be labelled.

    Pairs are told apart by the normalised texts of query and document: one that stands in several
    rows is one pair, with its best rank. Known positives of a query, those of its other rows too,
    are left out. What is left is split into strata by rank (1-5, 6-10, 11-20, 21-50, 51-100, 101
    and more), and as many pairs are drawn of each, all of a stratum with fewer. Without this
    nearly all labels would be of deep ranks, where hardly anything is relevant.

    A pair is drawn by a hash of (seed, query, document): the order of the rows decides nothing,
    and a larger sample of the same data holds the smaller one, stratum by stratum. Its weight is
    1 / the probability that it is drawn: with ``y`` the labels, ``sum of weight * y`` over the
    sample is an unbiased estimate of the sum over all pairs. Where ``size`` is below the number of
    strata some are not drawn from, and a note says which. Each line has the deepest rank of the
    data (``depth``), so that whoever uses the labels for a deeper set can be told.

    Source of the estimate: D. Horvitz, D. Thompson, "A generalization of sampling without
    replacement from a finite universe", Journal of the American Statistical Association 47 (1952),
    663-685.

    Args:
        frame: the pairs; see :func:`frame_of`.
        size: pairs in the sample, controls among them, at least 1.
        controls: share of the sample that is known positives, marked ``control``, from 0 to 1:
            whoever labels these as irrelevant does not read, or the data's positives are wrong.
        by: ``rank``, or ``none`` for one stratum.
        queries: draw the pairs from so many queries only, themselves drawn at random, so that
            fewer queries have to be understood; default: all.
        seed: of the draw.

    Raises:
        ParameterError: a parameter out of range.
        QueryError: there is no pair to draw.
    """
    whole_number("sample", "size", size, 1)
    fraction("sample", "controls", controls)
    one_of("sample", "by", by, BY)
    whole_number("sample", "seed", seed, 0)
    if queries is not None:
        whole_number("sample", "queries", queries, 1)
    keys = frame.query_keys()
    chosen, different, repeated = _chosen(keys, queries, seed)
    gathered, deepest = Gathered(size, by, seed, chosen, repeated), 0
    for batch in frame.batches():
        gathered.add(batch)
        deepest = max(deepest, int(batch.ranks.max(initial=0)))
    gathered.finish()
    sizes = [stratum.size for stratum in gathered.strata]
    if not sum(sizes):
        raise QueryError(
            "there is no pair to label: no query has a candidate that is not a known positive. "
            "Expected a pool or a mined set with candidates."
        )
    asked = (size - round(size * controls), round(size * controls))
    drawn, mixed_in = in_equal_parts(sizes, asked[0]), min(asked[1], gathered.controls.size)
    strata = list(zip(stratum_names(by), gathered.strata, drawn, strict=True))
    scale = different / len(chosen)
    depth = deepest if frame.ranked and deepest else None
    picked = [
        (name, scale * stratum.size / number, stratum.lowest(number))
        for name, stratum, number in (*strata, (CONTROL, gathered.controls, mixed_in))
        if number
    ]
    return LabelSample(
        labels=Labels(_labels(frame, picked, seed, depth), "the sample"),
        queries=different,
        queries_drawn=len(chosen),
        strata={name: (stratum.size, number) for name, stratum, number in strata},
        controls=(gathered.controls.size, mixed_in),
        known_positives=gathered.left_out,
        depth=depth,
        notes=(
            *frame.notes,
            *_notes(asked, (sum(drawn), mixed_in), gathered.empty),
            *_not_drawn([name for name, own, number in strata if own.size and not number]),
        ),
    )


def _not_drawn(names: list[str]) -> Iterator[str]:
    if names:
        yield (
            f"nothing is drawn of the ranks {listing(names, 10)}: the sample is too small for all "
            "strata, and what is worked out from it says nothing of these. Ask for more pairs, or "
            "draw without strata (by none)."
        )


def _notes(asked: tuple[int, int], drawn: tuple[int, int], empty: int) -> Iterator[str]:
    for want, have, what in zip(asked, drawn, ("pairs", "known positives"), strict=True):
        if have < want:
            yield f"{want:,} {what} were asked for, and there are {have:,}: all are in the sample."
    if empty:
        yield f"{empty:,} candidates have no text and were left out."


def _chosen(keys: Keys, queries: int | None, seed: int) -> tuple[Keys, int, Keys]:
    """Return the queries that pairs are drawn from, how many there are, and those in many rows."""
    different, counts = np.unique(keys, return_counts=True)
    chosen = different
    if queries is not None and queries < len(different):
        noise = mix(seed, QUERY_DRAW, different)
        chosen = np.sort(different[np.argsort(noise, kind="stable")[:queries]])
    return chosen, len(different), different[counts > 1]


def _labels(
    frame: Frame, picked: list[tuple[str, float, Drawn]], seed: int, depth: int | None
) -> list[Label]:
    """Return the lines of the file: queries in random order, and the pairs of each as well."""
    pairs: list[tuple[int, int]] = []
    positives: list[tuple[int, int]] = []
    for name, _, drawn in picked:
        places = zip(drawn.rows.tolist(), drawn.places.tolist(), strict=True)
        (positives if name == CONTROL else pairs).extend(places)
    found, controls = frame.find(pairs, positives)
    texts = iter((*found, *controls))  # the controls stand last in both
    ordered: list[tuple[int, int, Label]] = []
    for name, weight, drawn in picked:
        order = mix(seed, QUERY_DRAW, drawn.query_keys).tolist()
        for query, noise in zip(order, drawn.noise.tolist(), strict=True):
            ordered.append((query, noise, _label(next(texts), name, weight, depth)))
    return [label for *_, label in sorted(ordered, key=lambda one: one[:2])]


def _label(pair: FoundPair, stratum: str, weight: float, depth: int | None) -> Label:
    return Label(
        query_id=pair.query_id,
        query=pair.query,
        document_id=pair.document_id,
        document=pair.document,
        rank=pair.rank,
        score=pair.score,
        source=pair.source or "",
        stratum=stratum,
        weight=weight,
        depth=depth,
        control=stratum == CONTROL,
    )
