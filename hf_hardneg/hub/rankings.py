"""How well BM25 and the mining models rank the documents for the held-out queries."""

from __future__ import annotations

from collections.abc import Iterator

from hf_hardneg.evaluation.compare_figures import corpus_of
from hf_hardneg.evaluation.held_out import HeldOut
from hf_hardneg.evaluation.model_ranking import rank_retriever
from hf_hardneg.evaluation.ranking_scores import RankingScores
from hf_hardneg.hub.facts import Ranked
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.retrievers import BM25Retriever, RandomRetriever, Retriever, RunRetriever

__all__ = ["rankings_of", "unranked"]

MEASURES = ("MRR@10", "nDCG@10", "Recall@10")
DEPTH = 10


def rankings_of(miner: OfflineMiner, held_out: HeldOut) -> tuple[Ranked, ...]:
    """Return the measures of BM25, and of each retriever of the strategy that searches by itself.

    One that looks at fewer than ten documents is left out: see :func:`unranked`.

    Args:
        miner: whose retrievers search.
        held_out: queries that are not mined, with their judgements.

    Raises:
        QueryError: a held-out query has no relevant document in the corpus.
        HardNegError: whatever a retriever raises.
    """
    corpus = corpus_of(miner)
    held_out.check(corpus)
    own = [one for one in _searching(miner.retriever) if _deep(one)]
    before: list[Retriever] = []
    if not any(isinstance(one, BM25Retriever) for one in own):
        before.append(BM25Retriever(corpus, top_k=DEPTH, cache_dir=miner.cache_dir))
    texts = dict(zip(held_out.ids, held_out.texts, strict=True))
    return tuple(
        _ranked(rank_retriever(one, texts, held_out.judgements, measures=MEASURES), _name(one))
        for one in (*before, *own)
    )


def unranked(miner: OfflineMiner) -> list[str]:
    """Return a sentence for each retriever that :func:`rankings_of` leaves out."""
    return [
        f"The strategy takes {one.top_k} documents of {_name(one)}, too few for MRR@10: "
        + (
            "that of BM25 is of its usual parameters."
            if isinstance(one, BM25Retriever)
            else "it was not measured."
        )
        for one in _searching(miner.retriever)
        if not _deep(one)
    ]


def _deep(retriever: Retriever) -> bool:
    return retriever.top_k >= min(DEPTH, len(retriever.corpus))


def _searching(retriever: Retriever) -> Iterator[Retriever]:
    """Yield the retrievers that find documents for any query: no run, and nothing by chance."""
    if retriever.parts:
        for part in retriever.parts:
            yield from _searching(part)
    elif not isinstance(retriever, RandomRetriever | RunRetriever):
        yield retriever


def _name(retriever: Retriever) -> str:
    """Return the name of the model, where there is one."""
    if isinstance(retriever, BM25Retriever):
        return "BM25"
    found = [model["model"] for model in retriever.models().values() if "model" in model]
    return found[0] if found else retriever.name


def _ranked(scores: RankingScores, name: str) -> Ranked:
    measures = {
        measure: (mean, *(scores.intervals[measure] or (None, None)))
        for measure, mean in scores.means.items()
    }
    return Ranked(name, measures, len(scores), scores.notes)
