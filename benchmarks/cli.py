"""The command line: which figures, where from, where to."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import (
    audit,
    bookkeeping,
    calibrate,
    compare,
    dense_mining,
    estimates,
    false_negative_coverage,
    gpu,
    growth,
    inspection,
    large_corpus,
    lazy_veto,
    mine_bm25,
    miner_hash,
    preset_table,
    presets,
    publishing,
    risk_cross_encoder,
    risk_curves,
    select_from_pool,
    stage_speed,
    vector_search,
)
from benchmarks.context import Context
from benchmarks.errors import BenchmarkError
from benchmarks.machine import cores, describe_machine
from benchmarks.results import write
from benchmarks.table import tables
from hf_hardneg.devices import found_gpu

__all__ = ["main"]

BENCHMARKS = {
    "mine_bm25": mine_bm25.run,
    "select_from_pool": select_from_pool.run,
    "lazy_veto": lazy_veto.run,
    "miner_hash": miner_hash.run,
    "vector_search": vector_search.run,
    "bookkeeping": bookkeeping.run,
    "large_corpus": large_corpus.run,
    "dense_mining": dense_mining.run,
    "estimates": estimates.run,
    "growth": growth.run,
    "stage_speed": stage_speed.run,
    "presets": presets.run,
    "audit": audit.run,
    "risk_curves": risk_curves.run,
    "risk_cross_encoder": risk_cross_encoder.run,
    "calibrate": calibrate.run,
    "false_negative_coverage": false_negative_coverage.run,
    "compare": compare.run,
    "compare_minilm": compare.run_minilm,
    "publishing": publishing.run,
    "inspect": inspection.run,
    "gpu": gpu.run,
}
ONCE = (
    "lazy_veto", "large_corpus", "dense_mining", "estimates", "growth", "presets", "risk_curves",
    "risk_cross_encoder", "calibrate", "false_negative_coverage", "compare", "compare_minilm",
    "inspect",
)  # fmt: skip
"""Counts decide in the first, and they are the same every time; the others take long."""
WIDTH = 130
RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "preset-figures.md"
COVERAGE_PAGE = PAGE.with_name("false-negatives.md")
SHARED = Path(__file__).resolve().parents[2] / "shared"


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Take the figures of hf-hardneg."
    )
    parser.add_argument(
        "names",
        nargs="*",
        help=f"which: {', '.join(BENCHMARKS)}; default all, gpu only where there is one",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=SHARED / "data",
        help="folder of the collections; default ../shared/data",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=SHARED / "models" / "cross-encoder-tiny",
        help="cross-encoder of lazy_veto; default ../shared/models/cross-encoder-tiny",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS,
        help="folder of the result JSON; default benchmarks/results",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=None,
        help="folder for what is removed afterwards; default the system's",
    )
    parser.add_argument(
        "--repeat",
        type=int,
        default=None,
        help="runs of each side; default 3; 1 for those that take long",
    )
    parser.add_argument(
        "--no-trial", action="store_true", help="do not look for the fastest settings of bare bm25s"
    )
    parser.add_argument(
        "--queries", type=int, default=1_000, help="sample of lazy_veto; default 1000"
    )
    parser.add_argument(
        "--gigabytes", type=float, default=1.1, help="index of miner_hash; default 1.1"
    )
    parser.add_argument("--device", default=None, help="device of gpu; default: the GPU")
    parser.add_argument(
        "--documents", type=int, default=8_800_000, help="vectors of gpu; default 8,800,000"
    )
    parser.add_argument(
        "--texts", type=int, default=0, help="documents of dense_mining; default 0, which is all"
    )
    found = parser.parse_args(words)  # fmt: skip
    unknown = [name for name in found.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; expected {', '.join(BENCHMARKS)}")
    if found.repeat is not None and found.repeat < 1:
        parser.error("--repeat must be at least 1")
    if found.documents < 1:
        parser.error("--documents must be at least 1")
    return found


def _names(asked: argparse.Namespace) -> list[str]:
    """Return which figures to take: all, unless some are named."""
    if asked.names:
        return list(asked.names)
    there = asked.device is not None or found_gpu() is not None
    return [name for name in BENCHMARKS if name != "gpu" or there]


def _say(console: Console, name: str, text: str) -> None:
    console.print(f"{name}: {text}", markup=False)


def main(words: list[str] | None = None) -> int:
    """Take the figures; return 0 if all targets are met, 1 if not, 2 if one cannot be taken."""
    asked = _arguments(words)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    load = describe_machine()["load_before"]
    if load is not None and load > 0.5 * cores():
        console.print(f"[yellow]The machine is busy (load {load}): times will be noisy.[/yellow]")
    missed = False
    for name in _names(asked):
        context = Context(
            data=asked.data.expanduser().resolve(),
            model=asked.model.expanduser().resolve(),
            repeat=asked.repeat or (1 if name in ONCE else 3),
            work=asked.work,
            trial=not asked.no_trial,
            queries=asked.queries,
            gigabytes=asked.gigabytes,
            device=asked.device,
            documents=asked.documents,
            texts=asked.texts,
            out=asked.out,
            say=partial(_say, console, name),
        )
        try:
            path, result = write(BENCHMARKS[name](context), asked.out)
        except BenchmarkError as error:
            console.print(f"{name}: {error}", markup=False, style="red")
            return 2
        if name == "presets" and asked.out == RESULTS:
            preset_table.write_page(result, PAGE)
        if name == "false_negative_coverage" and asked.out == RESULTS:
            false_negative_coverage.write_table(result, COVERAGE_PAGE)
        shown = preset_table.terminal(result) if name == "presets" else [tables(result)]
        for part in shown:
            console.print(part)
        console.print(f"written: {path.name}")
        missed |= not all(target["met"] for target in result["targets"])
    return int(missed)
