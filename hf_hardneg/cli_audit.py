"""The command ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_hardneg.cli_options import (
    Display,
    DisplayOption,
    LabelsOption,
    NegativeIdsColumnOption,
    NegativesColumnOption,
    PositiveColumnOption,
    PositiveIdsColumnOption,
    QueryColumnOption,
    QueryIdColumnOption,
    RunQrelsOption,
    ScoresColumnOption,
    SeedOption,
)
from hf_hardneg.cli_output import NOT_RESUMABLE, clear_errors, console, print_json
from hf_hardneg.errors import ParameterError

__all__ = ["audit"]

JudgementsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Tell the rate of false negatives by judgements deeper than the positives: BEIR with "
        "its header line, or TREC.",
    ),
]
CompleteOption = Annotated[
    bool,
    typer.Option(
        "--complete-judgements",
        help="They name every relevant document of their queries; what they do not name is not "
        "relevant.",
    ),
]
JudgeOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Let a cross-encoder, by name or path, judge a sample: with --labels a rate, else an "
        "upper limit or nothing.",
    ),
]
SampleOption = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Negatives that the judge looks at.  [default: 1000]"),
]


def audit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A mined set: the output of mine, a file or folder of any trainer's format, a "
            "folder saved by save_to_disk, or a name on the Hub (org/name or org/name:config).",
            show_default=False,
        ),
    ],
    corpus: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="The documents: give texts to ids, and ids to texts. Default: those beside DATA.",
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="The queries' texts, for rows with their ids alone."),
    ] = None,
    qrels: RunQrelsOption = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Split of DATA. Default: train.")
    ] = None,
    evaluation: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Evaluation queries that must not be trained on: file, BEIR folder, or name on "
            "the Hub.",
        ),
    ] = None,
    evaluation_split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Its split. Default, of a BEIR folder: test, else dev."),
    ] = None,
    num_negatives: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Negatives that a row should have.  [default: as most rows]"
        ),
    ] = None,
    near_duplicates: Annotated[
        int,
        typer.Option(
            metavar="ROWS",
            min=0,
            help="Rows, drawn at random, in which near-duplicates of the positive are looked for; "
            "0 for none, as many as there are for all.",
        ),
    ] = 10_000,
    examples: Annotated[
        int, typer.Option(metavar="N", min=0, help="Cases shown of each finding.")
    ] = 5,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the result as one HTML page.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the HTML page if it is there.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit status 1 if a check of severity error finds anything."),
    ] = False,
    judgements: JudgementsOption = None,
    complete_judgements: CompleteOption = False,
    labels: LabelsOption = None,
    judge: JudgeOption = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    query_column: QueryColumnOption = None,
    query_id_column: QueryIdColumnOption = None,
    positive_column: PositiveColumnOption = None,
    positive_ids_column: PositiveIdsColumnOption = None,
    negatives_column: NegativesColumnOption = None,
    negative_ids_column: NegativeIdsColumnOption = None,
    scores_column: ScoresColumnOption = None,
    display: DisplayOption = Display.human,
) -> None:
    """Look for everything that is known to go wrong in a mined set."""
    with clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.evaluation.audit import audit as run
        from hf_hardneg.evaluation.audit_rates import SAMPLE, rates_of
        from hf_hardneg.evaluation.judgements import Judgements
        from hf_hardneg.evaluation.labels import Labels
        from hf_hardneg.mined_sources import MinedColumns, load_mined
        from hf_hardneg.outputs import check_file, strategy_beside, write_file

        if html is not None:
            check_file(html, overwrite=overwrite)
        _check(judgements, complete_judgements, judge, sample)
        graded = None
        if judgements is not None:
            graded = Judgements.read(judgements, complete=complete_judgements)
        labelled = Labels.read_all(labels) if labels else None
        columns = MinedColumns(
            query_column,
            query_id_column,
            positive_column,
            positive_ids_column,
            negatives_column,
            negative_ids_column,
            scores_column,
        )
        mined = load_mined(
            data, corpus=corpus, queries=queries, qrels=qrels, split=split, columns=columns
        )
        rates = rates_of(
            mined,
            judgements=graded,
            labels=labelled,
            judge=judge,
            sample=sample or SAMPLE,
            seed=seed,
            strategy=strategy_beside(data),
        )
        found = run(
            mined,
            evaluation=evaluation,
            evaluation_split=evaluation_split,
            num_negatives=num_negatives,
            near_duplicates=near_duplicates,
            examples=examples,
            rates=rates,
        )
        if html is not None:
            write_file(html, found.to_html(), overwrite=overwrite)
        if display is Display.json:
            print_json(found.to_dict())
        else:
            console().print(found)
            if html is not None:
                console().print(f"Written to {html}", soft_wrap=True)
    if strict and found.errors:
        raise typer.Exit(1)


def _check(judgements: Path | None, complete: bool, judge: str | None, sample: int | None) -> None:
    """Refuse options that mean nothing without another."""
    if complete and judgements is None:
        raise ParameterError("--complete-judgements is said of --judgements FILE; give the file.")
    if sample is not None and judge is None:
        raise ParameterError("--sample is the number that --judge MODEL looks at; give the model.")
