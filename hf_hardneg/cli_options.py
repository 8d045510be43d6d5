"""The options of the command line, which several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


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


QueriesOption = Annotated[
    str,
    typer.Option(
        metavar="SOURCE",
        help="BEIR folder, file (JSONL, Parquet, Arrow, CSV, TSV), folder saved by "
        "save_to_disk, or name on the Hub (org/name or org/name:config).",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where to write; needed unless --dry-run.")
]
CorpusOption = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="The documents, likewise. Default: those of the BEIR folder, else the positives.",
    ),
]
QrelsOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Judgements: BEIR with its header line, or TREC."),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Split of the queries. Default: train; of a BEIR folder else dev, else test.",
    ),
]
StrategyOption = Annotated[
    str, typer.Option(metavar="STRATEGY", help="Such as bm25+denoised, see docs/strategies.md.")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Parameter of the strategy's stages, such as threshold=0.2; may be repeated.",
    ),
]
NumNegativesOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Negatives for each query.  [default: the preset's, or 5]"),
]
OutputFormatOption = Annotated[
    str,
    typer.Option(
        metavar="FORMAT",
        help="columns, triplet, n-tuple, labeled-pair, labeled-list, ids, or that of a "
        "trainer: flagembedding, tevatron, tevatron-ids, colbert, pylate, "
        "pylate-contrastive, beir, trec.",
    ),
]
FileFormatOption = Annotated[
    FileFormat,
    typer.Option(
        metavar="arrow|parquet|jsonl",
        help="How the data set is saved; load_from_disk opens arrow.",
    ),
]
UnderfilledOption = Annotated[
    Underfilled | None,
    typer.Option(
        metavar="keep|drop|error|fill",
        help="Rows with fewer negatives than asked: keep them short, drop them, stop, or fill "
        "them with random documents. Default: keep; drop for n-tuple.",
    ),
]
SeedOption = Annotated[int, typer.Option(metavar="N", help="Seed of all sampling.")]
NumProcOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Worker processes; no influence on the result. Default: 1."
    ),
]
QueryColumnOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column of the queries. Default: its usual names."),
]
PositiveColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the positives' texts, likewise.")
]
PositiveIdsColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the positives' ids, likewise.")
]
QueryIdColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the queries' ids, likewise.")
]
NegativesColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the negatives' texts, likewise.")
]
NegativeIdsColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the negatives' ids, likewise.")
]
ScoresColumnOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the negatives' scores, likewise.")
]
RunQrelsOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Judgements that name the positives of a TREC run."),
]
CacheDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where corpora, indexes, finished parts and pair scores are kept. Default: "
        "$HF_HARDNEG_CACHE, else in the Hugging Face cache.",
    ),
]
JudgementsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Judgements deeper than the known positives, BEIR or TREC: for the rate of false "
        "negatives.",
    ),
]
PoolOption = Annotated[
    bool,
    typer.Option(
        "--pool",
        help="Write all candidates beside the rows too, and what became of each: hf-hardneg "
        "inspect shows them.",
    ),
]
LabelsOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Tell the rate of false negatives by labels, as hf-hardneg sample writes the file and "
        "hf-hardneg inspect exports it; may be repeated, one for each annotator.",
    ),
]
HiddenPositivesOption = Annotated[
    bool,
    typer.Option(
        "--hidden-positives",
        help="Estimate the rate of false negatives: hide all but one known positive of each query "
        "that has several, mine these queries again, count those that come back.",
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on from the finished parts of an interrupted run.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output folder and all that is in it.")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Show scores and shares rejected on a sample; write no output."),
]
DisplayOption = Annotated[
    Display, typer.Option("--format", metavar="human|json", help="How the report is shown.")
]
MaxHoursOption = Annotated[
    float,
    typer.Option(
        metavar="H", min=0, help="Refuse work that is expected to take longer on this machine."
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Begin without asking what it will take, however long.")
]
