"""The main job on real text that any machine has: Python's own documentation strings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hf_hardneg.corpus import Corpus
from hf_hardneg.errors import OutputError
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.outputs import RECIPE, check_output, report_sidecars, write_mined
from hf_hardneg.pool import candidate_lists
from hf_hardneg.pool_files import pool_files
from hf_hardneg.rates import Rate
from hf_hardneg.report import Report
from hf_hardneg.stdlib_docs import StdlibCollection, stdlib_collection

__all__ = ["DemoResult", "run_demo", "show_demo"]

NUM_NEGATIVES = 5
SHOWN_ROWS = 3
SHOWN_CHARS = 220
COLLECTION = "docstrings of Python's standard library"


@dataclass(frozen=True, slots=True)
class FalseNegatives:
    """How many of a set's negatives are relevant to their query."""

    false: int
    negatives: int

    @property
    def rate(self) -> float:
        """Share of false negatives, 0 where there are no negatives."""
        return self.false / self.negatives if self.negatives else 0.0

    def as_rate(self) -> Rate:
        """Return the rate for a report: all are counted, so the interval is the rate itself."""
        said = "Relevant is what has the same summary line, or the same text."
        exact = self.rate
        return Rate("counting all", exact, exact, exact, self.negatives, assumed=(said,))


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demonstration made.

    Attributes:
        mined: the mined set, list columns.
        report: what happened to each candidate.
        before: false negatives when only the row's own positive is left out.
        after: false negatives of the mined set.
        caught: (row, document id) of false negatives that the filters took out.
        folder: where the mined set was written.
    """

    mined: Dataset
    report: Report
    before: FalseNegatives
    after: FalseNegatives
    caught: list[tuple[int, str]]
    folder: Path


def _pairs(collection: StdlibCollection) -> Dataset:
    texts = dict(collection.documents)
    return Dataset.from_dict(
        {
            "query_id": [pair.query_id for pair in collection.pairs],
            "query": [pair.query for pair in collection.pairs],
            "positive": [texts[pair.positive_id] for pair in collection.pairs],
            "positive_id": [pair.positive_id for pair in collection.pairs],
        }
    )


def _naive(pool: Dataset, corpus: Corpus) -> Iterator[list[str]]:
    """Yield what a miner without filters takes: the best that are not the row's own positive."""
    for row, rows in zip(pool, candidate_lists(pool), strict=True):
        ids = corpus.ids(rows[: NUM_NEGATIVES + 1])
        yield [name for name in ids if name != row["positive_id"]][:NUM_NEGATIVES]


def run_demo(folder: str | Path, *, seed: int = 0, overwrite: bool = True) -> DemoResult:
    """Mine the docstrings of the standard library with BM25 and count the false negatives.

    A query is a docstring's summary line and its positive the rest. Documents with an identical
    body, and those of docstrings with the same summary, count as equally relevant, so the false
    negatives are known exactly.

    Args:
        folder: where the mined set is written; ``load_from_disk`` opens it.
        seed: of the miner.
        overwrite: replace the folder if it is there and holds the output of an earlier call.

    Raises:
        CorpusError: this Python has no sources of its standard library.
        OutputError: the folder cannot be written.
    """
    _check_output(Path(folder), overwrite=overwrite)
    collection = stdlib_collection()
    pairs = _pairs(collection)
    corpus = Corpus(dict(collection.documents))
    miner = OfflineMiner("bm25", corpus=corpus, num_negatives=NUM_NEGATIVES, seed=seed)
    pool = miner.retrieve(pairs)
    mined = miner.select(pool)
    relevant = [collection.relevant[pair.query] for pair in collection.pairs]
    naive = list(_naive(pool, corpus))
    chosen = mined["hard_negative_ids"]
    caught = [
        (row, name)
        for row, names in enumerate(naive)
        for name in names
        if name in relevant[row] and name not in chosen[row]
    ]
    before, after = _count(naive, relevant), _count(chosen, relevant)
    report = miner.report(mined, false_negatives=after.as_rate())
    recipe = {**miner.recipe(), "collection": COLLECTION}
    write_mined(
        mined,
        folder,
        overwrite=overwrite,
        sidecars=lambda written: report_sidecars(report.to_json(), recipe),
        beside=pool_files(miner, pool),
    )
    return DemoResult(
        mined,
        report,
        before,
        after,
        caught,
        Path(folder),
    )


def _check_output(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot be written, or that holds anything but an earlier demo."""
    try:
        recipe = json.loads((folder.expanduser() / RECIPE).read_text(encoding="utf-8"))
        ours = recipe.get("collection") == COLLECTION
    except (OSError, ValueError, AttributeError):
        ours = False
    path = folder.expanduser()
    if overwrite and not ours and path.is_dir() and any(path.iterdir()):
        raise OutputError(
            f"the folder {str(folder)!r} holds something else than an earlier demonstration, "
            "which would be lost. Choose another with --output, or empty it."
        )
    check_output(folder, overwrite=overwrite)


def _count(chosen: list[list[str]], relevant: list[frozenset[str]]) -> FalseNegatives:
    false = sum(
        name in wanted for names, wanted in zip(chosen, relevant, strict=True) for name in names
    )
    return FalseNegatives(false, sum(map(len, chosen)))


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN_CHARS else flat[: SHOWN_CHARS - 1] + "…"


def _row_panel(result: DemoResult, row: int, caught: list[str]) -> Panel:
    """Return one mined row for a person to judge. Texts are shown as they are, never as markup."""
    data = result.mined[row]
    table = Table.grid(padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("query", "", Text(data["query"]))
    table.add_row("positive", "", Text(_short(data["positive"]), style="green"))
    negatives = zip(data["hard_negatives"], data["hard_negative_scores"], strict=True)
    for place, (text, score) in enumerate(negatives):
        table.add_row("negatives" if place == 0 else "", f"{score:5.1f}", Text(_short(text)))
    for name in caught:
        table.add_row("kept out", "", Text(f"{name}: as relevant as the positive", style="yellow"))
    return Panel(table, title=Text(data["positive_id"]), title_align="left")


def show_demo(result: DemoResult, console: Console, program: str = "hf-hardneg") -> None:
    """Print some rows, the report, and the exact false-negative rates.

    Args:
        result: of :func:`run_demo`.
        console: where to.
        program: how the command line is called, for the commands that are shown.
    """
    kept_out: dict[int, list[str]] = {}
    for row, name in result.caught:
        kept_out.setdefault(row, []).append(name)
    shown = list(kept_out)[:: max(len(kept_out) // SHOWN_ROWS, 1)][:SHOWN_ROWS]
    for row in shown or range(min(SHOWN_ROWS, len(result.mined))):
        console.print(_row_panel(result, row, kept_out.get(row, [])))
    console.print(result.report)
    table = Table(title="False negatives, counted exactly", title_justify="left")
    for name in ("", "false", "of negatives", "rate"):
        table.add_column(name, justify="right" if name else "left")
    rows = (
        ("BM25, only the row's own positive left out", result.before),
        ("hf-hardneg: positives of all rows, by id and by text", result.after),
    )
    for name, part in rows:
        table.add_row(name, f"{part.false:,}", f"{part.negatives:,}", f"{part.rate:.2%}")
    console.print(table)
    console.print(
        "Relevance is exact here because it is a rule: the same summary line, or the same text. "
        "Documents that are alike but not equal are not counted.",
        markup=False,
    )
    console.print(
        f"\nThe mined set is in {result.folder}. Open it with:\n"
        f"  from datasets import load_from_disk\n  load_from_disk({str(result.folder)!r})\n"
        "See in the browser why each negative was kept, and judge them:\n"
        f"  {program} inspect {shlex.quote(str(result.folder))}",
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
    )
