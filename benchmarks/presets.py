"""Every preset over the same pools: what it yields, how hard, how false, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.context import Context
from benchmarks.data import Collection, find_collection
from benchmarks.errors import BenchmarkError
from benchmarks.processes import fresh_folder, run_side
from benchmarks.results import Figure
from hf_hardneg.grammar import split
from hf_hardneg.presets import PRESETS
from hf_hardneg.registry import registered, selecting_name
from hf_hardneg.strategy import parse

__all__ = ["Case", "cases", "run"]

N, SEED = 5, 0
QUERIES = {"medquad": 1_000, "vaswani": 0}
HIDING = "vaswani"
"""Judgements are deep there: all positives of a query but one are hidden, and counted after."""
MAX_LENGTH = 160
LEFT_OUT = ("sparse",)
"""Encoding these collections by a SPLADE model takes half an hour on two cores."""


@dataclass(frozen=True)
class Case:
    """A preset over a pool.

    Attributes:
        preset: its name.
        pool: ``bm25``, ``dense``, ``hybrid`` or ``random``.
        depth: candidates for each query.
        stages: what follows the retriever in the strategy string, perhaps nothing.
    """

    preset: str
    pool: str
    depth: int
    stages: str

    @property
    def side(self) -> str:
        """Name of the side, without the collection."""
        return f"{self.preset}, {self.pool}"


def cases() -> Iterator[Case]:
    """Yield every preset over the BM25 and the dense pool; one that is a retriever, over its own.

    A preset that needs cosines or vectors goes without the BM25 pool.
    """
    for name, preset in PRESETS.items():
        if name in LEFT_OUT:
            continue
        parsed = parse(preset.strategy)
        head, *rest = split(preset.strategy, "+")
        depth = int(parsed.retrievers[0].arguments.get("top_k", 100))
        stages = "+".join(part.strip() for part in rest)
        if not rest and split(head, ",")[0] != head:
            yield Case(name, "hybrid", depth, "")
        elif not rest:
            yield Case(name, parsed.retrievers[0].name, depth, "")
        else:
            classes = [registered().selecting[selecting_name(call.name)] for call in parsed.stages]
            vectors = any(set(stage.needs) - {"scores"} for stage in classes)
            for pool in ("dense",) if vectors else ("bm25", "dense"):
                yield Case(name, pool, depth, stages)


def run(context: Context) -> Figure:
    """Take the figure."""
    static = context.model.parent / "potion-4m-static"
    for folder in (static, context.model):
        if not folder.is_dir():
            raise BenchmarkError(f"there is no model in {folder}. Name one with --model.")
    figure = Figure(
        "presets",
        f"every preset over the same pools, {N} negatives a query: what it yields, how hard its "
        "negatives are, how many are relevant, and what it costs",
    )
    figure.settings = {
        "num_negatives": N, "seed": SEED, "dense": static.name, "cross_encoder": context.model.name,
        "max_length": MAX_LENGTH, "queries": QUERIES, "repeat": context.repeat,
    }  # fmt: skip
    for name, number in QUERIES.items():
        collection = find_collection(context.data, name)
        figure.data[name] = collection.describe()
        with fresh_folder(context.work, "presets") as folder:
            _collection(context, figure, collection, number, folder, static)
    figure.check("every case has rows", all(run["rows"] for run in figure.runs))
    figure.notes = [
        "yield: negatives found, of those asked for. hardness: score of a negative over the lowest "
        "score of its row's positives, where that is above 0. relevant: share of the negatives "
        "that the collection's judgements call relevant, all positives of a query but one hidden.",
        "seconds: choosing from the pool, retrieval not among them.",
    ]
    return figure


def _collection(
    context: Context,
    figure: Figure,
    collection: Collection,
    number: int,
    folder: Path,
    static: Path,
) -> None:
    name = collection.folder.name
    made: set[tuple[str, int]] = set()
    for case in cases():
        head = _head(case, static)
        pool = folder / f"{case.pool}-{case.depth}"
        common = {"corpus": collection.folder, "cache_dir": folder / "cache", "n": N}
        if (case.pool, case.depth) not in made:
            context.say(f"{name}: making the {case.pool} pool of depth {case.depth}")
            arguments = {
                **common, "queries": collection.queries,
                "judgements": collection.judgements[0], "strategy": head, "pool": pool,
                "number": number, "hide": name == HIDING, "seed": SEED,
            }  # fmt: skip
            with fresh_folder(context.work, "pool") as scratch:
                run_side("presets:make_pool", arguments, scratch)
            made.add((case.pool, case.depth))
        context.say(f"{name}: {case.side}")
        arguments = {
            **common, "pool": pool, "strategy": _strategy(case, head, context.model),
        }  # fmt: skip
        with fresh_folder(context.work, "side") as scratch:
            values = run_side("presets:choose", arguments, scratch)
        kept = {key: value for key, value in values.items() if value is not None}
        figure.add(f"{name}: {case.side}", 0, {**kept, **_place(name, case)})


def _place(collection: str, case: Case) -> dict[str, Any]:
    return {
        "collection": collection, "preset": case.preset, "pool": case.pool,
        "strategy": "+".join(filter(None, [f"{case.pool}@{case.depth}", case.stages])),
    }  # fmt: skip


def _head(case: Case, static: Path) -> str:
    dense = f"dense@{case.depth}(model={str(static)!r})"
    heads = {"dense": dense, "hybrid": f"bm25@{case.depth},{dense}"}
    return heads.get(case.pool, f"{case.pool}@{case.depth}")


def _strategy(case: Case, head: str, model: Path) -> str:
    """Return the strategy string with the cross-encoder that is at hand."""
    own = f"model={str(model)!r}, max_length={MAX_LENGTH}, device='cpu'"
    stages = []
    for part in split(case.stages, "+") if case.stages else []:
        name, bracket, rest = part.partition("(")
        if selecting_name(name) == "denoised":
            part = f"{name}({own}, {rest}" if bracket else f"{name}({own})"
        stages.append(part)
    return "+".join([head, *stages])
