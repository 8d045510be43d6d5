"""``hf-hardneg sample``: pairs worth labelling, as a file."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hf_hardneg.cli_options import (
    CacheDirOption,
    Display,
    DisplayOption,
    NegativeIdsColumnOption,
    NegativesColumnOption,
    PositiveColumnOption,
    PositiveIdsColumnOption,
    QueryColumnOption,
    QueryIdColumnOption,
    RunQrelsOption,
    ScoresColumnOption,
    SeedOption,
    SplitOption,
)
from hf_hardneg.cli_output import NOT_RESUMABLE, clear_errors, console, print_json

__all__ = ["sample"]


class By(str, Enum):
    """What the pairs are stratified by."""

    rank = "rank"
    none = "none"


DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A pool (miner.retrieve(...).save_to_disk) or a mined set: the output of mine, a "
        "file or folder of any trainer's format, or a name on the Hub.",
    ),
]
LabelFileOption = Annotated[
    Path, typer.Option("--output", metavar="FILE", help="Where to write: JSONL, one pair a line.")
]
DocumentsOption = Annotated[
    str | None,
    typer.Option(
        "--corpus", metavar="SOURCE", help="The documents; needed by a pool and by a set of ids."
    ),
]
SizeOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Pairs to draw, known positives among them.")
]
ControlsOption = Annotated[
    float,
    typer.Option(metavar="SHARE", min=0, max=1, help="Share of known positives that are mixed in."),
]
ByOption = Annotated[
    By, typer.Option(metavar="rank|none", help="Draw as many pairs of each band of ranks, or not.")
]
FromQueriesOption = Annotated[
    int | None,
    typer.Option(
        "--queries", metavar="N", min=1, help="Draw from so many queries only. Default: all."
    ),
]
QueryTextsOption = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="The queries' texts, for rows with their ids alone."),
]
ReplaceOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file, and the labels in it.")
]


def sample(
    data: DataArgument,
    output: LabelFileOption,
    corpus: DocumentsOption = None,
    size: SizeOption = 500,
    controls: ControlsOption = 0.1,
    by: ByOption = By.rank,
    queries: FromQueriesOption = None,
    seed: SeedOption = 0,
    split: SplitOption = None,
    query_texts: QueryTextsOption = None,
    qrels: RunQrelsOption = None,
    query_column: QueryColumnOption = None,
    positive_column: PositiveColumnOption = None,
    positive_ids_column: PositiveIdsColumnOption = None,
    query_id_column: QueryIdColumnOption = None,
    negatives_column: NegativesColumnOption = None,
    negative_ids_column: NegativeIdsColumnOption = None,
    scores_column: ScoresColumnOption = None,
    cache_dir: CacheDirOption = None,
    overwrite: ReplaceOption = False,
    display: DisplayOption = Display.human,
) -> None:
    """Draw the query-candidate pairs worth labelling, with the weight of each."""
    with clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.corpus import Corpus
        from hf_hardneg.evaluation.labels import check_label_file
        from hf_hardneg.evaluation.sampling import draw_pairs, frame_of
        from hf_hardneg.mined_sources import MinedColumns

        check_label_file(output, overwrite=overwrite)
        columns = MinedColumns(
            query_column,
            query_id_column,
            positive_column,
            positive_ids_column,
            negatives_column,
            negative_ids_column,
            scores_column,
        )
        frame = frame_of(
            data,
            None if corpus is None else Corpus(corpus, cache_dir=cache_dir),
            columns,
            queries=query_texts,
            qrels=qrels,
            split=split,
        )
        drawn = draw_pairs(
            frame, size=size, controls=controls, by=by.value, queries=queries, seed=seed
        )
        written = drawn.labels.write(output, overwrite=overwrite)
        if display is Display.json:
            print_json({**drawn.to_dict(), "output": str(written)})
            return
        screen = console()
        screen.print(drawn)
        screen.print(f"Written to {written}", soft_wrap=True)
