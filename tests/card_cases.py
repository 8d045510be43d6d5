"""A real mined set of the tiny collection, with all that its card says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets
from mining import make_queries
from small_collection import HEADER, Collection, succeed, write_collection

from hf_hardneg import BM25Retriever, Corpus, OfflineMiner
from hf_hardneg.evaluation.hardness import hardness_of
from hf_hardneg.evaluation.ranking import rank_run
from hf_hardneg.hub.facts import CardFacts, Ranked, SourceFact, citations_of, samples_of
from hf_hardneg.hub.folder import write_publication
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.report import Report

STRATEGY = "bm25@20+margin(relative=0.05)"
FORMATS = ("n-tuple", "triplet", "labeled-list", "labeled-pair", "ids")
NEGATIVES = 2
RECIPE = """\
version: 1
name: tiny
mining:
  strategy: bm25@20+margin(relative=0.05)
  num_negatives: 2
"""
HUB = "https://huggingface.co/datasets/alice/tiny"


@dataclass(frozen=True)
class Case:
    """A collection, what was mined from it, and the facts of its card."""

    collection: Collection
    configs: dict[str, Dataset]
    facts: CardFacts

    def write(self, folder: Path, **options: Any) -> Path:
        return write_publication(folder, self.configs, self.facts, RECIPE, **options)


def judgements(collection: Collection, path: Path) -> Path:
    """Judge every document: one is relevant if two words of a query follow each other in it."""
    lines = [HEADER]
    for name in collection.train:
        words = collection.queries[name].split()
        for document, text in collection.documents.items():
            beside = any(f"{one} {two}" in text for one, two in pairwise(words))
            known = document in collection.train[name]
            lines.append(f"{name}\t{document}\t{int(beside or known)}\n")
    path.write_text("".join(lines))
    return path


def bm25_ranking(collection: Collection, corpus: Corpus) -> Ranked:
    """Rank the documents for the held-out queries, and measure that."""
    names = list(collection.test)
    queries = make_queries(corpus, [collection.queries[name] for name in names], [["x"]] * 3)
    rows, scores = BM25Retriever(corpus, top_k=20).search(queries)
    run = {
        name: {
            corpus.ids([row])[0]: float(score)
            for row, score in zip(own, values, strict=True)
            if row >= 0
        }
        for name, own, values in zip(names, rows.tolist(), scores.tolist(), strict=True)
    }
    grades = {name: dict.fromkeys(own, 1) for name, own in collection.test.items()}
    found = rank_run(run, grades, measures=["RR@10"])
    low, high = found.intervals["RR@10"]
    return Ranked("BM25", {"MRR@10": (found.means["RR@10"], low, high)}, len(found))


def make_case(folder: Path) -> Case:
    """Mine the tiny collection and gather what its card says."""
    collection = write_collection(folder / "beir")
    deeper = judgements(collection, folder / "deeper.tsv")
    output = folder / "mined"
    options = ("--judgements", deeper, "--hidden-positives", "--output", output)
    succeed("mine", "--queries", collection.folder, "--strategy", STRATEGY, "--num-negatives",
            NEGATIVES, *options)  # fmt: skip
    corpus = Corpus(collection.folder)
    rows = collection.rows()
    miner = OfflineMiner(STRATEGY, corpus=corpus, num_negatives=NEGATIVES)
    configs = {name: miner.mine(rows, name) for name in FORMATS}
    every = range(len(corpus))
    documents = {"_id": corpus.ids(every), "text": corpus.texts(every)}
    configs["corpus"] = Dataset.from_dict(documents)
    queries = collection.queries
    configs["queries"] = Dataset.from_dict({"_id": list(queries), "text": list(queries.values())})
    report = Report.from_dict(json.loads((output / "hardneg/report.json").read_text()))
    recipe = json.loads((output / "hardneg/recipe.json").read_text())
    mined = MinedSet.of(miner.mine(rows), corpus=corpus)
    facts = CardFacts(
        name="tiny",
        pretty_name="Tiny *hard* negatives",
        repository="alice/tiny-hard-negatives",
        licence="cc-by-sa-4.0",
        language=("en",),
        tags=("tiny",),
        report=report,
        recipe=recipe,
        recipe_yaml=RECIPE,
        sources=(
            SourceFact("queries", "alice/tiny", "1f2e3d", "cc-by-4.0", HUB),
            SourceFact("corpus", "alice/tiny", "1f2e3d", "cc-by-sa-4.0", HUB),
        ),
        configs=(),
        ranking=(bm25_ranking(collection, corpus),),
        ranking_missing="",
        comparison=None,
        diversity=hardness_of(mined, corpus).reuse,
        samples=samples_of(mined, 5),
        audit=None,
        forced=False,
        citations=citations_of(report.strategy),
        command="hf-hardneg run tiny.yaml",
        version="0.1.0",
    )
    return Case(collection, configs, facts)


def pinned(facts: CardFacts) -> CardFacts:
    """Return facts without what another environment has otherwise."""
    versions = dict.fromkeys(facts.recipe["versions"], "1.2.3")
    return replace(facts, recipe={**facts.recipe, "versions": versions})


def repeated(rows: Dataset, times: int) -> Dataset:
    return concatenate_datasets([rows] * times)
