"""The command line: thin, all work is in the library."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hf_hardneg.errors import HardNegError, ParameterError

__all__ = ["app", "main"]

app = typer.Typer(
    name="hf-hardneg",
    help="Hard negative mining for dense retrieval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

INTERRUPTED = 130
DRY_RUN_ROWS = 1_000


class Display(str, Enum):
    """How results are shown."""

    human = "human"
    json = "json"


class FileFormat(str, Enum):
    """How a data set is saved."""

    arrow = "arrow"
    parquet = "parquet"
    jsonl = "jsonl"


class Underfilled(str, Enum):
    """What happens to a row with too few survivors."""

    keep = "keep"
    drop = "drop"
    error = "error"
    fill = "fill"


@contextmanager
def _clear_errors(display: Display) -> Iterator[None]:
    """Turn our errors into one message and exit status 1, an interruption into 130."""
    try:
        yield
    except HardNegError as error:
        if display is Display.json:
            sys.stdout.write(json.dumps({"error": type(error).__name__, "message": str(error)}))
            sys.stdout.write("\n")
        else:
            console = Console(stderr=True, highlight=False)
            console.print(f"error: {error}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        message = "interrupted; the same command with --resume goes on from the finished parts."
        Console(stderr=True).print(f"\n{message}", markup=False)
        raise typer.Exit(INTERRUPTED) from error


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Read ``name=value`` settings; a value that is no Python literal is a text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name.isidentifier():
            raise ParameterError(f"--set {pair!r}: expected name=value, for example threshold=0.2.")
        try:
            settings[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            settings[name] = text
    return settings


def _version(value: bool) -> None:
    if value:
        from hf_hardneg import __version__

        sys.stdout.write(f"hf-hardneg {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hard negative mining for dense retrieval."""


@app.command()
def mine(
    queries: Annotated[
        str, typer.Option(help="BEIR folder, file (JSONL, Parquet, Arrow, CSV, TSV) or Hub name.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; needed unless --dry-run.")
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="The documents, likewise. Default: the BEIR folder, else the positives."),
    ] = None,
    qrels: Annotated[
        str | None, typer.Option(help="File of judgements: BEIR with a header, or TREC.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the queries. Default: train, else dev, else test.")
    ] = None,
    strategy: Annotated[str, typer.Option(help="Strategy string, such as bm25+denoised.")] = "bm25",
    num_negatives: Annotated[int, typer.Option(help="Negatives for each query.")] = 5,
    output_format: Annotated[
        str,
        typer.Option(
            help="columns, triplet, n-tuple, labeled-pair, labeled-list, ids, or that of a "
            "trainer: flagembedding, tevatron, tevatron-ids, colbert, pylate, "
            "pylate-contrastive, beir, trec."
        ),
    ] = "columns",
    file_format: Annotated[
        FileFormat, typer.Option(help="How a data set is saved; arrow opens by load_from_disk.")
    ] = FileFormat.arrow,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Parameter of a stage, name=value; may stand several times."),
    ] = None,
    underfilled: Annotated[
        Underfilled | None, typer.Option(help="Rows with too few survivors.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all sampling.")] = 0,
    num_proc: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    query_column: Annotated[str | None, typer.Option(help="Column of the queries.")] = None,
    positive_column: Annotated[str | None, typer.Option(help="Column of the positives.")] = None,
    positive_ids_column: Annotated[
        str | None, typer.Option(help="Column of the positives' ids.")
    ] = None,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Folder of indexes, pools and pair scores.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from an interrupted run.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output folder.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show scores and shares rejected on a sample; no output."),
    ] = False,
    display: Annotated[
        Display, typer.Option("--format", help="Report for people or as JSON.")
    ] = Display.human,
) -> None:
    """Mine hard negatives for every query."""
    with _clear_errors(display):
        from hf_hardneg.jobs import MineJob, dry_run_report, run_mine

        job = MineJob(
            queries=queries,
            output=output,
            corpus=corpus,
            qrels=qrels,
            split=split,
            strategy=strategy,
            num_negatives=num_negatives,
            output_format=output_format,
            file_format=file_format.value,
            settings=_settings(settings or []),
            underfilled=underfilled.value if underfilled else None,
            seed=seed,
            num_proc=num_proc,
            query_column=query_column,
            positive_column=positive_column,
            positive_ids_column=positive_ids_column,
            cache_dir=cache_dir,
            resume=resume,
            overwrite=overwrite,
        )
        report = dry_run_report(job, DRY_RUN_ROWS) if dry_run else run_mine(job)
        if display is Display.json:
            sys.stdout.write(report.to_json() + "\n")
            return
        console = Console()
        console.print(report)
        if dry_run:
            console.print(report.histogram())
            console.print("Dry run: nothing was written.", markup=False)
        else:
            console.print(f"Written to {output}", markup=False, highlight=False)


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option(help="Folder of the mined set; replaced if it is there.")
    ] = Path("demo-output"),
    display: Annotated[
        Display, typer.Option("--format", help="Result for people or as JSON.")
    ] = Display.human,
) -> None:
    """Mine the docstrings of Python's standard library. No network, under a minute."""
    with _clear_errors(display):
        from hf_hardneg.demo import run_demo, show_demo

        result = run_demo(output)
        if display is Display.json:
            values = result.report.to_dict()
            values["false_negative_rate_before"] = result.before.rate
            values["false_negative_rate_after"] = result.after.rate
            sys.stdout.write(json.dumps(values, indent=1, allow_nan=False) + "\n")
        else:
            show_demo(result, Console())


def main() -> None:
    """Run the command line."""
    app()
