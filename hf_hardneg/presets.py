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
    "rocketqa": Preset("dense@200+denoised(fill_beyond=50)", "an embedding model, the "
                       "cross-encoder on its first 50, what is missing from beyond them", ROCKETQA),
    "semi-hard": Preset("dense+semi-hard(margin=0.1)", "harder than a margin below the positive, "
                        "not harder than the positive", "Schroff et al., FaceNet, CVPR 2015"),
    "simans": Preset("dense@100+ambiguous(scale='std')", "drawn near the positive's score, "
                     "measured in standard deviations of the positives' scores", SIMANS),
    "ambiguous": Preset("dense@200+ambiguous(strategy='uniform', start_rank=50, end_rank=200)",
                        "drawn uniformly from ranks 50 to 199",
                        "practice: a simplification of SimANS, not the paper"),
    "importance": Preset("dense+importance", "drawn by a softmax of the scores",
                         "softmax importance sampling; temperature 0.1 on cosines is practice"),
    "distance-weighted": Preset("dense+distance-weighted", "drawn so that distances come out "
                                "uniform", "Wu et al., Sampling matters, ICCV 2017"),
    "triangular": Preset("dense+triangular", "near the positive's score, then nearer to the "
                         "positive than to the query; experimental",
                         "Yang et al., TriSampler, AAAI 2024; known from a summary alone"),
    "rance": Preset("dense@100+rance", "drawn by weights of ranks that are learnt from where the "
                    "known positives stand", "Prakash et al., RANCE, SIGIR 2021"),
    "curriculum": Preset("dense@200+curriculum", "as hard as a difficulty says, which a schedule "
                         "moves", "Platanios et al., Competence-based curriculum learning, NAACL "
                         "2019, for the schedule"),
    "nv-retriever": Preset("dense+margin(relative=0.05)", "an embedding model, 5% below the "
                           "positive's score", f"{NV}, TopK-PercPos at 95%", 4),
    "lighton": Preset("dense@2048+margin(relative=0.05)", "the 10 hardest of 2,048 that are 5% "
                      "below the positive's score; rows with fewer are left out",
                      "practice of LightOn's embedding models", 10, "drop"),
    "f2llm": Preset("dense@100+rank(range_min=6)+score(max_score=0.8)+margin(relative=0.05)",
                    "the first five skipped, scores below 0.8 and 5% below the positive's",
                    "practice of F2LLM", 24),
    "bge": Preset("dense@210+rank(range_min=11, range_max=211)+random", "drawn uniformly from "
                  "ranks 11 to 210", "practice of BGE: hn_mine of FlagEmbedding", 15),
    "nomic": Preset("dense+margin(relative=0.05)", "5% below the positive's score",
                    "practice of Nomic Embed", 7),
}  # fmt: skip
"""By name. At the head of a strategy a preset's name stands for its strategy; with parameters, they
go to its stage of that name."""
