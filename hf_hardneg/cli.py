"""The command line: thin, all work is in the library."""

from __future__ import annotations

import json
import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hf_hardneg.cli_audit import audit
from hf_hardneg.cli_calibrate import calibrate
from hf_hardneg.cli_card import card
from hf_hardneg.cli_compare import EXAMPLES as COMPARE_EXAMPLES
from hf_hardneg.cli_compare import compare
from hf_hardneg.cli_inspect import inspect
from hf_hardneg.cli_options import (
    CacheDirOption,
    CorpusOption,
    Display,
    DisplayOption,
    DryRunOption,
    FileFormat,
    FileFormatOption,
    HiddenPositivesOption,
    JudgementsOption,
    LabelsOption,
    MaxHoursOption,
    NumNegativesOption,
    NumProcOption,
    OutputFormatOption,
    OutputOption,
    OverwriteOption,
    PoolOption,
    PositiveColumnOption,
    PositiveIdsColumnOption,
    QrelsOption,
    QueriesOption,
    QueryColumnOption,
    QueryIdColumnOption,
    ResumeOption,
    SeedOption,
    SettingsOption,
    SplitOption,
    StrategyOption,
    UnderfilledOption,
    YesOption,
)
from hf_hardneg.cli_output import (
    NOT_RESUMABLE,
    RESUMABLE,
    clear_errors,
    console,
    program,
    settings_of,
)
from hf_hardneg.cli_push import EXAMPLES as PUSH_EXAMPLES
from hf_hardneg.cli_push import push
from hf_hardneg.cli_recipe import recipe
from hf_hardneg.cli_reproduce import reproduce
from hf_hardneg.cli_run import run
from hf_hardneg.cli_sample import sample

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

DRY_RUN_ROWS = 1_000


# The first line keeps the others as they are.
EXAMPLES = """\b
Examples:
  hf-hardneg mine --queries beir-folder/ --output mined/
  hf-hardneg mine --queries pairs.jsonl --corpus documents.jsonl \\
    --strategy "bm25+margin(relative=0.05)" --output-format n-tuple \\
    --output mined/
"""


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


@app.command()
def strategies(
    name: Annotated[
        str | None, typer.Argument(help="A preset or stage, to be told all about it.")
    ] = None,
    display: DisplayOption = Display.human,
) -> None:
    """List presets and stages: what they do, their parameters, needs and sources."""
    from hf_hardneg.catalogue import catalogue, details, entries_of, tables

    with clear_errors(display, NOT_RESUMABLE):
        entries = catalogue() if name is None else entries_of(name)
        if display is Display.json:
            rows = [entry.to_dict() for entry in entries]
            sys.stdout.write(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        elif name is None:
            console().print(tables(entries))
        else:
            sys.stdout.write(details(name) + "\n")


@app.command(epilog=EXAMPLES)
def mine(
    queries: QueriesOption,
    output: OutputOption = None,
    corpus: CorpusOption = None,
    qrels: QrelsOption = None,
    split: SplitOption = None,
    strategy: StrategyOption = "bm25",
    settings: SettingsOption = None,
    num_negatives: NumNegativesOption = None,
    output_format: OutputFormatOption = "columns",
    file_format: FileFormatOption = FileFormat.arrow,
    underfilled: UnderfilledOption = None,
    seed: SeedOption = 0,
    num_proc: NumProcOption = None,
    query_column: QueryColumnOption = None,
    positive_column: PositiveColumnOption = None,
    positive_ids_column: PositiveIdsColumnOption = None,
    query_id_column: QueryIdColumnOption = None,
    judgements: JudgementsOption = None,
    hidden_positives: HiddenPositivesOption = False,
    pool: PoolOption = False,
    labels: LabelsOption = None,
    cache_dir: CacheDirOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    max_hours: MaxHoursOption = 1.0,
    yes: YesOption = False,
    display: DisplayOption = Display.human,
) -> None:
    """Mine hard negatives for every query."""
    with clear_errors(display, RESUMABLE):
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
            settings=settings_of(settings or []),
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
            max_hours=None if yes else max_hours,
            judgements=judgements,
            hidden_positives=hidden_positives,
            pool=pool,
            labels=tuple(labels or ()),
        )
        say = console(stderr=True).print
        report = dry_run_report(job, DRY_RUN_ROWS) if dry_run else run_mine(job, say)
        if not world().main:
            return
        if display is Display.json:
            sys.stdout.write(report.to_json() + "\n")
            return
        screen = console()
        screen.print(report)
        if dry_run:
            screen.print(_shares(report))
            screen.print(report.histogram())
            screen.print("Dry run: nothing was written.")
        else:
            screen.print(f"Written to {output}", soft_wrap=True)


@app.command()
def estimate(
    queries: QueriesOption,
    corpus: CorpusOption = None,
    qrels: QrelsOption = None,
    split: SplitOption = None,
    strategy: StrategyOption = "bm25",
    settings: SettingsOption = None,
    num_negatives: NumNegativesOption = None,
    query_column: QueryColumnOption = None,
    positive_column: PositiveColumnOption = None,
    positive_ids_column: PositiveIdsColumnOption = None,
    query_id_column: QueryIdColumnOption = None,
    cache_dir: CacheDirOption = None,
    display: DisplayOption = Display.human,
) -> None:
    """Say what mining is expected to take here: time, memory, disk. Mines nothing."""
    with clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.distributed import world
        from hf_hardneg.jobs import MineJob, estimate_job

        job = MineJob(
            queries=queries,
            corpus=corpus,
            qrels=qrels,
            split=split,
            strategy=strategy,
            settings=settings_of(settings or []),
            num_negatives=num_negatives,
            query_column=query_column,
            positive_column=positive_column,
            positive_ids_column=positive_ids_column,
            query_id_column=query_id_column,
            cache_dir=cache_dir,
        )
        found = estimate_job(job)
        if not world().main:
            return
        options = found.options()
        if display is Display.json:
            listed = [{"text": one.text, "seconds": one.seconds} for one in options]
            values = {**found.to_dict(), "options": listed}
            sys.stdout.write(json.dumps(values, indent=1, allow_nan=False) + "\n")
            return
        screen = console()
        screen.print(found)
        for one in options:
            screen.print(f"Instead: {one}", soft_wrap=True)


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
    with clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.demo import run_demo, show_demo

        result = run_demo(output)
        if display is Display.json:
            values = result.report.to_dict()
            values["false_negative_rate_before"] = result.before.rate
            values["false_negative_rate_after"] = result.after.rate
            sys.stdout.write(json.dumps(values, indent=1, allow_nan=False) + "\n")
        else:
            show_demo(result, console(), program())


app.command()(sample)
app.command()(audit)
app.command("calibrate")(calibrate)
app.command(epilog=COMPARE_EXAMPLES)(compare)
app.command(epilog=PUSH_EXAMPLES)(push)
app.add_typer(recipe)
app.command()(run)
app.command()(reproduce)
app.command()(inspect)
app.command()(card)


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
