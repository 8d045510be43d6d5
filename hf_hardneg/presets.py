"""Strategies that have a name of their own: a table, each row with its source."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A strategy that has a name of its own.

    Attributes:
        strategy: the strategy string.
        about: what it takes, in a sentence.
        source: the paper.
        num_negatives: negatives for each row in the source, ``None`` where it names none.
        underfilled: what the source does with short rows, ``None`` where it does not say.
    """

    strategy: str
    about: str
    source: str
    num_negatives: int | None = None
    underfilled: str | None = None


DPR = "Karpukhin et al., Dense passage retrieval, EMNLP 2020, section 3.2"
NV = "Moreira et al., NV-Retriever, 2024"
ROCKETQA = "Qu et al., RocketQA, NAACL 2021, section 3.2"
SIMANS = "Zhou et al., SimANS, EMNLP 2022 industry track"

PRESETS: dict[str, Preset] = {
    "bm25": Preset("bm25", "the best documents by BM25 that are not known positives", DPR),
    "dense": Preset("dense", "the best documents by an embedding model",
                    "Xiong et al., ANCE, ICLR 2021, section 4"),
    "sparse": Preset("sparse", "the best documents by a learned sparse model",
                     "Formal et al., From distillation to hard negative sampling, SIGIR 2022"),
    "hybrid": Preset("bm25,dense", "the union of both, ranked by reciprocal rank fusion",
                     "Cormack et al., Reciprocal rank fusion, SIGIR 2009"),
    "random": Preset("random", "random documents: the baseline", DPR),
    "margin": Preset("bm25+margin", "BM25, 5% below the positive's score", NV),
    "denoised": Preset("bm25+denoised", "BM25, then a cross-encoder drops what it finds "
                       "relevant", ROCKETQA),
    "margin+denoised": Preset("bm25+margin+denoised", "5% below the positive's score, then "
                              "the cross-encoder", f"{NV}; {ROCKETQA}"),
    "nv-retriever": Preset("dense+margin(relative=0.05)", "an embedding model, 5% below the "
                           "positive's score", f"{NV}, TopK-PercPos at 95%", 4),
}  # fmt: skip
"""By name. Those whose name is also a stage's mean the same with and without parameters."""
