"""Estimates of false negatives over seeded repetitions, beside the truth that judgements give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from benchmarks.child import Measured
from hf_hardneg import Corpus, OfflineMiner
from hf_hardneg.cache import cache_root
from hf_hardneg.evaluation.false_negatives import (
    hidden_positive_rate,
    judge_rate,
    judged_rate,
    label_rate,
)
from hf_hardneg.evaluation.judgements import Judgements
from hf_hardneg.evaluation.labels import Label, Labels
from hf_hardneg.hashing import mix, text_keys
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.query_sources import load_queries
from hf_hardneg.rates import Rate

__all__ = ["repetitions"]

Judge = Callable[[Sequence[str], Sequence[str]], NDArray[np.float32]]
Case = dict[str, Any]


@dataclass(frozen=True)
class World:
    """A collection, what is relevant in it, and a miner."""

    rows: Dataset
    positives: list[list[str]]
    judgements: Judgements
    miner: OfflineMiner
    corpus: Corpus

    def knowing(self, known: list[list[str]]) -> Dataset:
        """Return the queries with these positives."""
        bare = self.rows.select_columns(["query_id", "query"])
        return bare.add_column("positive_ids", known)

    def mined(self, rows: Dataset) -> MinedSet:
        """Return the mined set of a data set."""
        return MinedSet.of(self.miner.mine(rows))

    def truth(self, mined: MinedSet) -> float:
        """Return the share of its negatives that are relevant."""
        found = judged_rate(mined, self.judgements)
        # Counted, also where all relevant documents are known and no rate is given for that.
        return float(found.details["relevant"] / found.n)


def repetitions(
    corpus: str,
    queries: str,
    judgements: str,
    strategies: dict[str, str],
    cross_encoder: str,
    bi_encoder: str,
    n: int,
    repeats: int,
    labelled: int,
    cache_dir: str,
) -> Measured:
    """Estimate and compare, ``repeats`` times for each strategy.

    Args:
        corpus: a folder in BEIR layout.
        queries: JSONL, perhaps .gz.
        judgements: a TSV file that names all relevant documents.
        strategies: strategy strings by a short name.
        cross_encoder: folder of a cross-encoder, a judge.
        bi_encoder: folder of a sentence-transformers model, whose cosine is a judge.
        n: negatives for each query.
        repeats: seeds 0, 1, ...
        labelled: negatives that a label is taken for.
        cache_dir: of indexes, vectors and pair scores.
    """
    rows = load_queries(queries, judgements).rows
    everything = Judgements.read(judgements, complete=True)
    documents = Corpus(corpus, cache_dir=cache_dir)
    judges = _judges(documents, rows, cross_encoder, bi_encoder, cache_dir)
    found: dict[str, list[Case]] = {}
    for name, strategy in strategies.items():
        miner = OfflineMiner(strategy, corpus=documents, num_negatives=n, cache_dir=cache_dir)
        positives = [list(ids) for ids in rows["positive_ids"]]
        world = World(rows, positives, everything, miner, documents)
        for seed in range(repeats):
            for case in _once(world, judges, seed, labelled):
                found.setdefault(f"{name}: {case.pop('case')}", []).append(case)
    return Measured({"cases": found})


def _judges(
    corpus: Corpus, rows: Dataset, cross_encoder: str, bi_encoder: str, cache_dir: str
) -> dict[str, Judge]:
    from sentence_transformers import CrossEncoder, SentenceTransformer

    from hf_hardneg.filters.cross_encoder import CrossEncoderDenoiser

    loaded = CrossEncoder(cross_encoder, device="cpu", max_length=160)
    denoiser = CrossEncoderDenoiser(loaded, cache_dir=cache_dir)
    model = SentenceTransformer(bi_encoder, device="cpu")
    queries = list(rows["query"])
    file = cache_root(cache_dir) / f"judge-{corpus.fingerprint}.npy"
    if not file.exists():
        vectors = model.encode([*corpus.iter_texts()], normalize_embeddings=True)
        np.save(file, vectors)
    vectors = np.load(file)
    own = model.encode(queries, normalize_embeddings=True)
    lines = dict(zip(text_keys(queries).tolist(), range(len(queries)), strict=True))

    def cosine(asked: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
        left = own[[lines[key] for key in text_keys(asked).tolist()]]
        right = vectors[corpus.rows_of_keys(text_keys(documents))]
        found: NDArray[np.float32] = np.einsum("ij,ij->i", left, right)
        return found

    def cross(asked: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
        return denoiser.score(list(asked), list(documents))

    return {"cosine": cosine, "cross-encoder": cross}


# -- one repetition ------------------------------------------------------------------------------


def _once(world: World, judges: dict[str, Judge], seed: int, labelled: int) -> Iterator[Case]:
    draw = np.random.default_rng(seed)
    order = [list(draw.permutation(ids)) for ids in world.positives]
    queries = len(order)
    one = world.knowing([ids[:1] for ids in order])
    pool = world.miner.retrieve(one)
    mined = MinedSet.of(world.miner.select(pool))
    truth = world.truth(mined)
    half = draw.permutation(queries) < queries // 2
    yield from _judged(world, mined, truth, draw)
    yield from _hidden(world, order, half, mined, truth, seed)
    labels = _labels(world, mined, labelled, seed)
    yield _case("labels", label_rate(labels), truth)
    for name, judge in judges.items():
        yield from _judge(name, judge, world, mined, pool, labels, truth, seed)


def _case(name: str, rate: Rate, truth: float, **more: Any) -> Case:
    return {
        "case": name, "truth": truth, "rate": rate.rate, "low": rate.low, "high": rate.high, **more,
    }  # fmt: skip


def _judged(
    world: World, mined: MinedSet, truth: float, draw: np.random.Generator
) -> Iterator[Case]:
    """Judgements of a quarter of the queries, for all of them."""
    names = sorted(world.judgements.queries())
    some = draw.permutation(len(names))[: max(len(names) // 4, 2)]
    part = Judgements(
        {names[place]: world.judgements.judged(names[place]) for place in some}, complete=True
    )
    rate = judged_rate(mined, part)
    yield _case("judged, a quarter of the queries, Wilson", rate, truth)
    low, high = rate.details["bootstrap"]
    about = {"rate": rate.rate, "low": low, "high": high, "truth": truth}
    yield {"case": "judged, a quarter of the queries, bootstrap", **about}


def _hidden(
    world: World,
    order: list[list[str]],
    half: NDArray[np.bool_],
    mined: MinedSet,
    truth: float,
    seed: int,
) -> Iterator[Case]:
    some = world.knowing([ids if own else ids[:1] for ids, own in zip(order, half, strict=True)])
    rate = hidden_positive_rate(world.miner, some, seed=seed)
    yield _case("hidden, half of the queries with all positives, for all queries", rate, truth)
    others = MinedSet.of(mined.rows.select(np.flatnonzero(~half)))
    name = "hidden, half of the queries with all positives, for the other half"
    yield _case(name, rate, world.truth(others))
    for name, known in (
        ("half of each query's positives known", [ids[: (len(ids) + 1) // 2] for ids in order]),
        ("three positives of each query known", [ids[:3] for ids in order]),
    ):
        rows = world.knowing(known)
        rate = hidden_positive_rate(world.miner, rows, seed=seed)
        yield _case(f"hidden, {name}", rate, world.truth(world.mined(rows)))


def _labels(world: World, mined: MinedSet, number: int, seed: int) -> Labels:
    """Return labels of negatives drawn by hash, taken from the judgements."""
    rows = []
    for batch in mined.joined(world.corpus).batches():
        ids, texts = batch.texts("negative_ids"), batch.texts("negatives")
        names = batch.query_ids()
        for row, query in enumerate(batch.queries()):
            relevant = world.judgements.relevant(names[row])
            rows += [
                Label(
                    query_id=names[row],
                    query=query,
                    document_id=name,
                    document=text,
                    label="false_negative" if name in relevant else "true_negative",
                )
                for name, text in zip(ids[row], texts[row], strict=True)
            ]
    noise = mix(seed, text_keys(row.query for row in rows), text_keys(r.document for r in rows))
    return Labels([rows[place] for place in np.argsort(noise)[:number]])


def _judge(
    name: str,
    judge: Judge,
    world: World,
    mined: MinedSet,
    pool: Dataset,
    labels: Labels,
    truth: float,
    seed: int,
) -> Iterator[Case]:
    corpus = world.corpus
    for on in ("random", "pool"):
        rate = judge_rate(mined, judge, corpus=corpus, seed=seed, calibrate_on=on, pool=pool)
        value = rate.details.get("corrected", {"rate": None, "low": None, "high": None})
        told = "corrected" if on == "random" else "corrected on the pool"
        yield {"case": f"{name}, {told}", "truth": truth, **value}
        if on == "random":
            yield _case(f"{name}, upper limit", rate, truth)
    rate = judge_rate(mined, judge, corpus=corpus, seed=seed, labels=labels)
    yield _case(f"{name}, with labels", rate, truth)
