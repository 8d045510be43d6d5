"""Strategies compared by what training on them is worth: medquad, a static model and MiniLM."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.context import Context
from benchmarks.data import Collection, find_collection
from benchmarks.errors import BenchmarkError
from benchmarks.minilm import minilm
from benchmarks.results import Figure
from hf_hardneg.evaluation.compare import compare
from hf_hardneg.evaluation.compare_outputs import files_of
from hf_hardneg.evaluation.comparison import ComparisonTable, StrategyFigures, Trained
from hf_hardneg.evaluation.held_out import load_held_out
from hf_hardneg.evaluation.training import Training
from hf_hardneg.outputs import output_folder
from hf_hardneg.query_sources import load_queries

__all__ = ["LARGER", "SMALL", "Part", "run", "run_minilm", "take"]

COLLECTION = "medquad"
STATIC = "potion-4m-static"
MAX_LENGTH = 160
"""Tokens that the cross-encoder reads, as in the other figures."""
CACHE = "hf-hardneg-compare"


@dataclass(frozen=True)
class Part:
    """One model, trained on what it mines itself.

    Attributes:
        name: of the model.
        strategies: separated by ``;``.
        settings: parameters of stages.
        training: all but the model.
        split: held-out queries.
    """

    name: str
    strategies: str
    settings: Mapping[str, Any]
    training: Mapping[str, Any]
    split: str = "test"


DEPTH = 30
"""Of what the cross-encoder may be asked about."""

SMALL = Part(
    STATIC,
    "random; bm25; dense; nv-retriever; simans; dense+margin(relative=0.05); "
    f"dense+risk(max=0.05); bm25+denoised; dense@{DEPTH}+denoised; "
    f"dense@{DEPTH}+margin(relative=0.05)+denoised; bm25@{DEPTH},dense@{DEPTH}+denoised",
    {},
    {"epochs": 3, "batch_size": 256, "learning_rate": 0.02},
)
LARGER = Part(
    "all-MiniLM-L6-v2",
    f"random; bm25; dense; nv-retriever; simans; dense@{DEPTH}+denoised; "
    f"bm25@{DEPTH},dense@{DEPTH}+denoised",
    {"dense.max_length": 96, "dense.dtype": "auto"},
    {"steps": 32, "batch_size": 32, "learning_rate": 5e-5, "max_length": 96,
     "precision": "float32", "score_precision": "bfloat16"},
    split="dev",
)  # fmt: skip


def run(context: Context) -> Figure:
    """Take the figure with the static model."""
    return take(context, "compare", SMALL)


def run_minilm(context: Context) -> Figure:
    """Take the figure with all-MiniLM-L6-v2."""
    return take(context, "compare_minilm", LARGER)


def take(context: Context, name: str, part: Part) -> Figure:
    """Take a figure. What is finished is kept: an interrupted run goes on."""
    collection = find_collection(context.data, COLLECTION)
    cache = (context.work or Path(tempfile.gettempdir())) / CACHE
    figure = Figure(
        name,
        "strategies side by side on one collection: yield, false negatives, hardness, cost, and "
        f"MRR@10 and nDCG@10 of {part.name} trained on their negatives, three seeds",
    )
    figure.data = collection.describe()
    table = _compared(context, part, collection, cache)
    named = _Names(_model(context, part), context.model)
    figure.settings = json.loads(named(json.dumps(table.settings)))
    for values in _rows(part.name, table):
        own = json.loads(named(json.dumps(values)))
        figure.add(own["strategy"], 0, own)
    with output_folder(context.out / f"compare-{part.name}", overwrite=True) as staging:
        for file, text in files_of(table).items():
            (staging / file).write_text(named(text), encoding="utf-8")
    figure.check("every strategy was mined and trained", not table.failed)
    figure.notes = [
        "false_negatives: by hidden positives, for the queries with several known positives, of "
        "which one was shown to the miner: a lower bound for them.",
        *table.notes,
    ]
    return figure


class _Names:
    """Models by their names where a text has the folders of this machine."""

    def __init__(self, *folders: Path) -> None:
        # MiniLM's folder is called model, in a package that has its name.
        self._names = {
            str(folder): folder.parent.name if folder.name == "model" else folder.name
            for folder in folders
        }

    def __call__(self, text: str) -> str:
        for folder, name in self._names.items():
            text = text.replace(folder, name)
        return text


def _compared(
    context: Context,
    part: Part,
    collection: Collection,
    cache: Path,
) -> ComparisonTable:
    model = _model(context, part)
    settings = {
        "dense.model": str(model),
        "denoised.model": str(context.model),
        "denoised.max_length": MAX_LENGTH,
        "denoised.device": "cpu",
        **part.settings,
    }
    return compare(
        part.strategies,
        load_queries(collection.folder, split="train").rows,
        collection.folder,
        num_negatives=1,
        settings=settings,
        train=Training(model=str(model), device="cpu", **part.training),
        held_out=load_held_out(collection.folder, split=part.split),
        cache_dir=cache,
        say=lambda text: context.say(f"{part.name}: {text}"),
    )


def _model(context: Context, part: Part) -> Path:
    """Return the folder of a part's model.

    Raises:
        BenchmarkError: it is not there.
    """
    if part.name != STATIC:
        return minilm("compare")
    folder = context.model.parent / STATIC
    if not folder.is_dir():
        raise BenchmarkError(f"there is no model in {folder}. Name its neighbour with --model.")
    return folder


def _rows(part: str, table: ComparisonTable) -> Iterator[dict[str, Any]]:
    """Yield the values of each strategy and baseline."""
    mined = {one.strategy: one for one in table.strategies}
    for one in table.trained:
        values = {"model": part, "strategy": one.name, **_trained(one)}
        if one.name in mined:
            values.update(_mined(mined[one.name]))
        yield {name: value for name, value in values.items() if value is not None}


def _mined(one: StrategyFigures) -> dict[str, Any]:
    rate, hard, diverse = one.rate, one.hardness, one.diversity
    return {
        "canonical": one.canonical,
        "yield": one.share_found and round(one.share_found, 4),
        "false_negatives": rate and rate.rate,
        "false_negatives_low": rate and rate.low,
        "false_negatives_high": rate and rate.high,
        "hardness": hard and hard.relative,
        "harder_than_positive": hard and hard.harder,
        "mean_rank": hard and hard.mean_rank,
        "documents": diverse and diverse.documents,
        "most_reused": diverse and diverse.most_reused,
        "cross_encoder_calls": one.calls,
        "retrieve_seconds": one.seconds["retrieve"],
        "choose_seconds": one.seconds["choose"],
    }


def _trained(one: Trained) -> dict[str, Any]:
    values: dict[str, Any] = {
        "rows": one.rows, "filled": one.filled, "train_seconds": one.seconds["train"],
        "score_seconds": one.seconds["score"],
    }  # fmt: skip
    for name, measure in (("mrr", "MRR@10"), ("ndcg", "nDCG@10")):
        own = one.measures[measure]
        values |= {
            name: own.mean, f"{name}_low": own.low, f"{name}_high": own.high,
            f"{name}_seeds": list(own.seeds),
        }  # fmt: skip
        if own.gain is not None:
            values |= {
                f"{name}_gain": own.gain.mean, f"{name}_gain_low": own.gain.low,
                f"{name}_gain_high": own.gain.high, f"{name}_p": own.gain.p,
            }  # fmt: skip
    return values
