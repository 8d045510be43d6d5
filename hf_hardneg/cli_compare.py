"""The command ``compare``: several strategies on the same data, in one table."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_hardneg.cli_options import (
    CacheDirOption,
    CorpusOption,
    Display,
    DisplayOption,
    JudgementsOption,
    MaxHoursOption,
    NumProcOption,
    OverwriteOption,
    PositiveColumnOption,
    PositiveIdsColumnOption,
    QrelsOption,
    QueriesOption,
    QueryColumnOption,
    QueryIdColumnOption,
    ResumeOption,
    SeedOption,
    SplitOption,
    YesOption,
)
from hf_hardneg.cli_output import RESUMABLE, clear_errors, console, print_json, settings_of
from hf_hardneg.errors import ParameterError

if TYPE_CHECKING:
    from hf_hardneg.evaluation.comparison import ComparisonTable

__all__ = ["compare"]


class ShortRows(str, Enum):
    """What becomes of rows with too few negatives in training."""

    fill = "fill"
    drop = "drop"


class Precision(str, Enum):
    """The numbers that a model computes with."""

    float32 = "float32"
    bfloat16 = "bfloat16"


StrategiesOption = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        help="Separated by ';': \"random; bm25; bm25+denoised\". The others are tested against "
        "the first.",
    ),
]
StageSettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[STAGE.]NAME=VALUE",
        help="Parameter of a stage, in all strategies that have it, such as dense.model=PATH; "
        "may be repeated.",
    ),
]
FewNegativesOption = Annotated[int, typer.Option(metavar="N", help="Negatives for each query.")]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where table.md, compare.json, compare.html and figure.svg are written.",
    ),
]
EstimatorOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="How the rate of false negatives is found; may be repeated, the first is shown in "
        "the table.  [default: judged with --judgements, else hidden]",
    ),
]
TrainOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Train a copy of this model on each strategy's negatives, and score it on held-out "
        "queries.",
    ),
]
EpochsOption = Annotated[float, typer.Option(metavar="N", help="Passes over all rows.")]
StepsOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Steps of each run, instead of epochs.")
]
BatchSizeOption = Annotated[int, typer.Option(metavar="N", min=2, help="Rows in a step.")]
LearningRateOption = Annotated[float, typer.Option(metavar="X", help="The highest one.")]
WarmupOption = Annotated[
    float, typer.Option(metavar="X", help="Share of the steps in which the learning rate rises.")
]
SeedsOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Runs of each strategy, with seeds 0, 1, ...")
]
ShortRowsOption = Annotated[
    ShortRows,
    typer.Option(
        metavar="fill|drop",
        help="Rows with too few negatives in training: fill them with random documents, so that "
        "all strategies see the same queries in the same batches, or drop them.",
    ),
]
MaxLengthOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Tokens of a text that the model reads.")
]
PrecisionOption = Annotated[
    Precision, typer.Option(metavar="float32|bfloat16", help="Of training; the weights stay.")
]
ScorePrecisionOption = Annotated[
    Precision, typer.Option(metavar="float32|bfloat16", help="Of scoring.")
]
DeviceOption = Annotated[
    str | None, typer.Option(metavar="DEVICE", help="Where models are trained, such as cuda.")
]
EvalQueriesOption = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Held-out queries: a BEIR folder, or a file that --eval-qrels judges. Default: the "
        "folder of --queries.",
    ),
]
EvalQrelsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Judgements of the held-out queries.")
]
EvalSplitOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Split of the held-out queries. Default: dev, else test."),
]
AllowSeenOption = Annotated[
    bool,
    typer.Option("--allow-seen-queries", help="Score on queries that were trained on, too."),
]

EXAMPLES = """\b
Examples:
  hf-hardneg compare --queries beir-folder/ \\
    --strategies "random; bm25; bm25+margin(relative=0.05)"
  hf-hardneg compare --queries beir-folder/ \\
    --strategies "random; bm25; dense; bm25,dense+denoised" \\
    --set dense.model=models/small --train models/small \\
    --epochs 3 --batch-size 256 --learning-rate 0.02 --output compared/
"""


def compare(
    queries: QueriesOption,
    strategies: StrategiesOption,
    corpus: CorpusOption = None,
    qrels: QrelsOption = None,
    split: SplitOption = None,
    settings: StageSettingsOption = None,
    num_negatives: FewNegativesOption = 1,
    judgements: JudgementsOption = None,
    estimator: EstimatorOption = None,
    train: TrainOption = None,
    epochs: EpochsOption = 1.0,
    steps: StepsOption = None,
    batch_size: BatchSizeOption = 64,
    learning_rate: LearningRateOption = 5e-5,
    warmup: WarmupOption = 0.1,
    seeds: SeedsOption = 3,
    short_rows: ShortRowsOption = ShortRows.fill,
    max_length: MaxLengthOption = None,
    precision: PrecisionOption = Precision.float32,
    score_precision: ScorePrecisionOption = Precision.float32,
    device: DeviceOption = None,
    eval_queries: EvalQueriesOption = None,
    eval_qrels: EvalQrelsOption = None,
    eval_split: EvalSplitOption = None,
    allow_seen_queries: AllowSeenOption = False,
    output: FolderOption = None,
    seed: SeedOption = 0,
    num_proc: NumProcOption = None,
    query_column: QueryColumnOption = None,
    positive_column: PositiveColumnOption = None,
    positive_ids_column: PositiveIdsColumnOption = None,
    query_id_column: QueryIdColumnOption = None,
    cache_dir: CacheDirOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    max_hours: MaxHoursOption = 1.0,
    yes: YesOption = False,
    display: DisplayOption = Display.human,
) -> None:
    """Compare strategies: yield, false negatives, hardness, cost, and what training gains."""
    with clear_errors(display, RESUMABLE):
        from hf_hardneg.columns import QueryColumns
        from hf_hardneg.evaluation.compare_job import CompareJob, run_compare
        from hf_hardneg.evaluation.training import Training

        training = None
        if train is not None:
            training = Training(
                model=train,
                steps=steps,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                warmup=warmup,
                seeds=tuple(range(seeds)),
                short_rows=short_rows.value,
                max_length=max_length,
                precision=precision.value,
                score_precision=score_precision.value,
                device=device,
                allow_seen=allow_seen_queries,
            )
        job = CompareJob(
            queries=queries,
            strategies=strategies,
            corpus=corpus,
            qrels=qrels,
            split=split,
            settings=_stage_settings(settings or []),
            num_negatives=num_negatives,
            judgements=judgements,
            estimators=tuple(estimator or ()),
            training=training,
            eval_queries=eval_queries,
            eval_qrels=eval_qrels,
            eval_split=eval_split,
            output=output,
            seed=seed,
            num_proc=num_proc,
            columns=QueryColumns(
                query_column, positive_column, positive_ids_column, query_id_column
            ),
            cache_dir=cache_dir,
            resume=resume,
            overwrite=overwrite,
            max_hours=None if yes else max_hours,
        )
        table = run_compare(job, console(stderr=True).print)
        _show(table, output, display)


def _stage_settings(pairs: list[str]) -> dict[str, Any]:
    """Read ``name=value`` and ``stage.name=value``."""
    found: dict[str, Any] = {}
    for pair in pairs:
        stage, dot, rest = pair.partition(".")
        qualified = bool(dot) and "=" not in stage
        if qualified and not stage.replace("-", "_").isidentifier():
            raise ParameterError(f"--set {pair!r}: expected stage.name=value or name=value.")
        values = settings_of([rest if qualified else pair])
        found.update({f"{stage}.{name}" if qualified else name: v for name, v in values.items()})
    return found


def _show(table: ComparisonTable, output: Path | None, display: Display) -> None:
    """Show the table; strategies that failed make the exit status 1, all others being there."""
    if display is Display.json:
        print_json(table.to_dict())
    else:
        screen = console()
        screen.print(table)
        if output is not None:
            screen.print(f"Written to {output}", soft_wrap=True)
    for one in table.failed:
        message = f"error: {one.strategy}: {one.error or one.training_error}"
        console(stderr=True).print(message, style="red", soft_wrap=True)
    if table.failed:
        raise typer.Exit(1)
