"""The command line: thin, all work is in the library."""

from __future__ import annotations

import ast
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hf_hardneg.errors import HardNegError, ParameterError

if TYPE_CHECKING:
    from hf_hardneg.report import Report

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


# The first line keeps the others as they are.
EXAMPLES = """\b
Examples:
  hf-hardneg mine --queries beir-folder/ --output mined/
  hf-hardneg mine --queries pairs.jsonl --corpus documents.jsonl \\
    --strategy "bm25+margin(relative=0.05)" --output-format n-tuple \\
    --output mined/
"""
RESUMABLE = "interrupted; the same command with --resume goes on from the finished parts."
NOT_RESUMABLE = "interrupted; nothing was written."


def _console(*, stderr: bool = False) -> Console:
    """Return a console that shows names and texts as they are, never as markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


@contextmanager
def _clear_errors(display: Display, interrupted: str) -> Iterator[None]:
    """Turn our errors into one message and exit status 1, an interruption into 130.

    The message is for people and goes to stderr. With ``--format json`` stdout has it too, so
    that there is one JSON document on stdout whatever happens.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if _is_interruption(error):
            _console(stderr=True).print(f"\n{interrupted}", soft_wrap=True)
            raise typer.Exit(INTERRUPTED) from error
        if not isinstance(error, HardNegError | OSError) or isinstance(error, BrokenPipeError):
            raise
        if display is Display.json:
            failure = {"error": type(error).__name__, "message": str(error)}
            sys.stdout.write(json.dumps(failure) + "\n")
        _console(stderr=True).print(f"error: {error}", style="red", soft_wrap=True)
        raise typer.Exit(1) from error


def _is_interruption(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: stopping workers may fail in its turn."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


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


def _shares(report: Report) -> Table:
    """Return what each stage rejected, as shares of the candidates that reached it."""
    table = Table(title="Rejected", title_justify="left")
    table.add_column("stage")
    for name in ("reached it", "rejected", "share"):
        table.add_column(name, justify="right")
    left = report.slots_retrieved
    for stage in report.stages:
        rejected = stage.dropped + stage.promoted
        reached = left if stage.asked is None else stage.asked
        share = f"{rejected / reached:.1%}" if reached else "-"
        table.add_row(stage.stage, f"{reached:,}", f"{rejected:,}", share)
        left -= rejected
    return table


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


@app.command(epilog=EXAMPLES)
def mine(
    queries: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="BEIR folder, file (JSONL, Parquet, Arrow, CSV, TSV), folder saved by "
            "save_to_disk, or name on the Hub (org/name or org/name:config).",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write; needed unless --dry-run.")
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="The documents, likewise. Default: those of the BEIR folder, else the positives.",
        ),
    ] = None,
    qrels: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Judgements: BEIR with its header line, or TREC."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Split of the queries. Default: train; of a BEIR folder else dev, else test.",
        ),
    ] = None,
    strategy: Annotated[
        str, typer.Option(metavar="STRATEGY", help="Such as bm25+denoised, see docs/strategies.md.")
    ] = "bm25",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Parameter of the strategy's stages, such as threshold=0.2; may be repeated.",
        ),
    ] = None,
    num_negatives: Annotated[int, typer.Option(metavar="N", help="Negatives for each query.")] = 5,
    output_format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="columns, triplet, n-tuple, labeled-pair, labeled-list, ids, or that of a "
            "trainer: flagembedding, tevatron, tevatron-ids, colbert, pylate, "
            "pylate-contrastive, beir, trec.",
        ),
    ] = "columns",
    file_format: Annotated[
        FileFormat,
        typer.Option(
            metavar="arrow|parquet|jsonl",
            help="How the data set is saved; load_from_disk opens arrow.",
        ),
    ] = FileFormat.arrow,
    underfilled: Annotated[
        Underfilled | None,
        typer.Option(
            metavar="keep|drop|error|fill",
            help="Rows with fewer negatives than asked: keep them short, drop them, stop, or fill "
            "them with random documents. Default: keep; drop for n-tuple.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of all sampling.")] = 0,
    num_proc: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Worker processes; no influence on the result. Default: 1."
        ),
    ] = None,
    query_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of the queries. Default: its usual names."),
    ] = None,
    positive_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the positives' texts, likewise.")
    ] = None,
    positive_ids_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the positives' ids, likewise.")
    ] = None,
    query_id_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the queries' ids, likewise.")
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where corpora, indexes, finished parts and pair scores are kept. Default: "
            "$HF_HARDNEG_CACHE, else in the Hugging Face cache.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the finished parts of an interrupted run.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output folder and all that is in it.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show scores and shares rejected on a sample; write no output."
        ),
    ] = False,
    display: Annotated[
        Display, typer.Option("--format", metavar="human|json", help="How the report is shown.")
    ] = Display.human,
) -> None:
    """Mine hard negatives for every query."""
    with _clear_errors(display, RESUMABLE):
        from hf_hardneg.distributed import world
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
            query_id_column=query_id_column,
            cache_dir=cache_dir,
            resume=resume,
            overwrite=overwrite,
        )
        report = dry_run_report(job, DRY_RUN_ROWS) if dry_run else run_mine(job)
        if not world().main:
            return
        if display is Display.json:
            sys.stdout.write(report.to_json() + "\n")
            return
        console = _console()
        console.print(report)
        if dry_run:
            console.print(_shares(report))
            console.print(report.histogram())
            console.print("Dry run: nothing was written.")
        else:
            console.print(f"Written to {output}", soft_wrap=True)


@app.command()
def demo(
    output: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Where to write; the output of an earlier demo is replaced."
        ),
    ] = Path("demo-output"),
    display: Annotated[
        Display, typer.Option("--format", metavar="human|json", help="How the result is shown.")
    ] = Display.human,
) -> None:
    """Mine the docstrings of Python's standard library. No network, under a minute."""
    with _clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.demo import run_demo, show_demo

        result = run_demo(output)
        if display is Display.json:
            values = result.report.to_dict()
            values["false_negative_rate_before"] = result.before.rate
            values["false_negative_rate_after"] = result.after.rate
            sys.stdout.write(json.dumps(values, indent=1, allow_nan=False) + "\n")
        else:
            show_demo(result, _console())


def _ignore_interruptions() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that lacks a character gets another one, not an error after the work.
            stream.reconfigure(errors="replace")
    if hasattr(os, "register_at_fork"):
        # Ctrl-C reaches all processes of a terminal. This one stops its workers, so that they do
        # not each print a traceback.
        os.register_at_fork(after_in_child=_ignore_interruptions)
    app()
