"""Code for a card's reader: loading each config and training on it, as it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from hf_hardneg.hub.facts import CardFacts, ConfigFact

__all__ = ["HERE", "Snippet", "loading", "training"]

HERE = "path/to/this/folder"
"""Stands for the folder of a set that is not on the Hub."""

BI_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L6-v2"
ID_NAMES = ("_id", "id", "document_id", "query_id", "doc_id", "docid", "qid")
TEXT_NAMES = ("text", "document", "query", "passage", "contents")
SPLIT_FILES = {"parquet": ("parquet", "train.parquet"), "jsonl": ("json", "train.jsonl")}

TUPLES = """\
{load}

model = SentenceTransformer("{model}")
trainer = SentenceTransformerTrainer(
    model=model, train_dataset=train, loss=MultipleNegativesRankingLoss(model)
)
trainer.train()"""
TUPLE_LOSSES = {
    "n-tuple": (
        "MultipleNegativesRankingLoss takes the other rows of a batch for negatives too; "
        "CachedMultipleNegativesRankingLoss does so with larger batches."
    ),
    "triplet": "The same loss; TripletLoss takes these columns too.",
}
IMPORT_TUPLES = """\
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss"""

RERANKER = """\
{load}

model = CrossEncoder("{model}", num_labels=1)
trainer = CrossEncoderTrainer(model=model, train_dataset=train, loss={loss}(model))
trainer.train()"""
IMPORT_RERANKER = """\
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer
from sentence_transformers.cross_encoder.losses import {loss}"""

IDS = """\
{load}


def one_row_for_each_positive(batch):
    rows = [
        (query, positive, negatives)
        for query, positives, negatives in zip(*batch.values())
        if len(negatives) == {negatives}
        for positive in positives
    ]
    names = ("query_id", "positive_id", "negative_ids")
    return dict(zip(names, map(list, zip(*rows)))) if rows else {{name: [] for name in names}}


names = ["query_id", "positive_ids", "negative_ids"]
train = train.select_columns(names).map(
    one_row_for_each_positive, batched=True, remove_columns=names
)
lookups = {{
    "query_id": {queries},
    "positive_id": {corpus},
    "negative_ids": {corpus},
}}
train.set_transform(resolve_ids(lookups))"""
IMPORT_IDS = "from sentence_transformers.util import resolve_ids"


@dataclass(frozen=True, slots=True)
class Snippet:
    """Some code, and what it is for.

    Attributes:
        title: in a few words.
        about: what to know of it.
        code: Python.
    """

    title: str
    about: str
    code: str


def loading(facts: CardFacts, config: ConfigFact, name: str = "train") -> str:
    """Return the lines that load a config, with the import they need."""
    imports, line = _load(facts, config, name)
    return f"{imports}\n\n{line}"


def _load(facts: CardFacts, config: ConfigFact, name: str = "train") -> tuple[str, str]:
    where = facts.repository or HERE
    if facts.files == "arrow":
        return "from datasets import load_from_disk", f"{name} = load_from_disk({_quoted(where)})"
    load = "from datasets import load_dataset"
    if facts.files in SPLIT_FILES:
        builder, file = SPLIT_FILES[facts.files]
        files = _quoted(f"{where}/{file}")
        return load, f'{name} = load_dataset("{builder}", data_files={files}, split="train")'
    config_name = _quoted(config.name)
    return load, f'{name} = load_dataset({_quoted(where)}, {config_name}, split="train")'


def _quoted(text: str) -> str:
    """Return a text as Python writes it between double quotes; JSON's escapes are Python's too."""
    return json.dumps(text)


def training(facts: CardFacts) -> Iterator[Snippet]:
    """Yield code that trains on each config that is there."""
    by_name = {one.name: one for one in facts.configs}
    for name, about in TUPLE_LOSSES.items():
        if config := by_name.get(name):
            yield Snippet(
                f"An embedding model, from {name}",
                about,
                _with(facts, config, IMPORT_TUPLES, TUPLES, model=BI_ENCODER),
            )
    if snippet := _ids(facts, by_name):
        yield snippet
    for name, loss, about in (
        ("labeled-list", "LambdaLoss", "ListNetLoss and RankNetLoss take the same columns."),
        ("labeled-pair", "BinaryCrossEntropyLoss", "Each passage is a row, with 1 or 0."),
    ):
        if config := by_name.get(name):
            imports = IMPORT_RERANKER.format(loss=loss)
            code = _with(facts, config, imports, RERANKER, model=CROSS_ENCODER, loss=loss)
            yield Snippet(f"A reranker, from {name}", about, code)


def _with(facts: CardFacts, config: ConfigFact, imports: str, code: str, **values: str) -> str:
    first, line = _load(facts, config)
    return f"{first}\n{imports}\n\n{code.format(load=line, **values)}"


def _ids(facts: CardFacts, by_name: dict[str, ConfigFact]) -> Snippet | None:
    if not {"ids", "corpus", "queries"} <= set(by_name):
        return None
    first, line = _load(facts, by_name["ids"])
    lines = [line, *(_load(facts, by_name[name], name)[1] for name in ("corpus", "queries"))]
    code = IDS.format(
        load="\n".join(lines),
        negatives=facts.report.num_negatives,
        queries=_lookup(by_name["queries"]),
        corpus=_lookup(by_name["corpus"]),
    )
    return Snippet(
        "An embedding model, from ids",
        "The texts are looked up as they are needed, so each document is kept once. It needs a "
        "sentence-transformers that has resolve_ids (6.2 has it). A row for each positive is "
        "made first, because the loss takes every column after the first positive for a negative; "
        "queries with fewer negatives than asked for are left out.",
        f"{first}\n{IMPORT_TUPLES}\n{IMPORT_IDS}\n\n" + code + "\n\n" + _trainer(),
    )


def _trainer() -> str:
    return TUPLES.format(load="", model=BI_ENCODER).lstrip("\n")


def _lookup(config: ConfigFact) -> str:
    """Return a lookup of ``resolve_ids``, with the names of its columns where they are known."""
    columns = [name for name, _ in config.features]
    key = next((name for name in ID_NAMES if name in columns), None)
    value = next((name for name in TEXT_NAMES if name in columns), None)
    if key is None or value is None or len(columns) == 2:
        return config.name
    return f"({config.name}, {_quoted(key)}, {_quoted(value)})"
