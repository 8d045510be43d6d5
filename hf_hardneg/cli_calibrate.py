"""The command ``calibrate``."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_hardneg.cli_options import (
    CacheDirOption,
    CorpusOption,
    Display,
    DisplayOption,
    NumProcOption,
    PositiveColumnOption,
    PositiveIdsColumnOption,
    QrelsOption,
    QueriesOption,
    QueryColumnOption,
    QueryIdColumnOption,
    SeedOption,
    SettingsOption,
    SplitOption,
)
from hf_hardneg.cli_output import NOT_RESUMABLE, clear_errors, console, print_json, settings_of
from hf_hardneg.errors import OutputError, ParameterError, listing
from hf_hardneg.pair_scorer import BATCH_SIZE, PairScorer

if TYPE_CHECKING:
    from hf_hardneg.evaluation.calibration_report import Calibration

__all__ = ["calibrate"]

FIGURES = (".svg", ".png")

RetrieverOption = Annotated[
    str,
    typer.Option(
        "--strategy",
        metavar="RETRIEVER",
        help="The retriever part of the strategy, such as dense@100(model='...').",
    ),
]
TargetOption = Annotated[
    list[float] | None,
    typer.Option(
        "--target-fnr",
        metavar="RATE",
        help="Share of false negatives that may be left; may be repeated. Default: 0.05.",
    ),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Labelled pairs (JSONL), as hf-hardneg sample writes them."),
]
JudgementsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Judgements deeper than the positives: BEIR with its header line, or TREC. Without "
        "these and labels, all but one of each query's positives are hidden and looked for.",
    ),
]
NegativesOption = Annotated[
    int, typer.Option("--num-negatives", metavar="N", min=1, help="Negatives for each query.")
]
DeltaOption = Annotated[
    float, typer.Option(metavar="P", help="Chance that is taken of a promise that does not hold.")
]
ServedOption = Annotated[
    float,
    typer.Option("--min-served", metavar="SHARE", help="Rows that must get all their negatives."),
]
CrossEncoderOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A cross-encoder, name or path, whose score is a further signal; it is asked about "
        "every candidate of every query, so retrieve no more than needed.",
    ),
]
RevisionOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Revision of the cross-encoder on the Hub.")
]
MaxLengthOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Longest pair of the cross-encoder, tokens.")
]
BatchSizeOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Pairs in one pass of the cross-encoder.")
]
DeviceOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Where the cross-encoder runs, such as cpu.")
]
SaveOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Where to write the model of risk (JSON).")
]
FigureOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw the curves (SVG or PNG); needs matplotlib."),
]


def calibrate(
    queries: QueriesOption,
    corpus: CorpusOption = None,
    qrels: QrelsOption = None,
    split: SplitOption = None,
    strategy: RetrieverOption = "bm25@100",
    settings: SettingsOption = None,
    target_fnr: TargetOption = None,
    labels: LabelsOption = None,
    judgements: JudgementsOption = None,
    num_negatives: NegativesOption = 5,
    delta: DeltaOption = 0.1,
    min_served: ServedOption = 0.95,
    seed: SeedOption = 0,
    num_proc: NumProcOption = None,
    query_column: QueryColumnOption = None,
    positive_column: PositiveColumnOption = None,
    positive_ids_column: PositiveIdsColumnOption = None,
    query_id_column: QueryIdColumnOption = None,
    cross_encoder: CrossEncoderOption = None,
    revision: RevisionOption = None,
    max_length: MaxLengthOption = None,
    batch_size: BatchSizeOption = BATCH_SIZE,
    device: DeviceOption = None,
    cache_dir: CacheDirOption = None,
    save: SaveOption = None,
    figure: FigureOption = None,
    display: DisplayOption = Display.human,
) -> None:
    """Find the decision that meets a rate of false negatives with the hardest negatives."""
    with clear_errors(display, NOT_RESUMABLE):
        from hf_hardneg.evaluation.calibration import calibrate as run
        from hf_hardneg.evaluation.calibration_data import calibration_set
        from hf_hardneg.query_sources import load_queries
        from hf_hardneg.sources import beir_corpus_file

        _check(labels, judgements, figure, save)
        scorer = _scorer(
            cross_encoder,
            cache_dir,
            revision=revision,
            max_length=max_length,
            batch_size=batch_size,
            device=device,
        )
        loaded = load_queries(queries, qrels, split)
        folder = Path(queries).expanduser()
        if corpus is None and os.path.isdir(folder) and beir_corpus_file(folder):
            corpus = queries
        data = calibration_set(
            strategy,
            loaded.rows,
            corpus,
            labels=labels,
            judgements=judgements,
            seed=seed,
            num_proc=num_proc,
            query_column=query_column,
            positive_column=positive_column,
            positive_ids_column=positive_ids_column,
            query_id_column=query_id_column,
            cache_dir=cache_dir,
            **settings_of(settings or []),
        )
        found = run(
            data,
            target_fnr or [0.05],
            num_negatives=num_negatives,
            delta=delta,
            min_served=min_served,
            seed=seed,
            cross_encoder=scorer,
        )
        found = replace(found, notes=(*loaded.notes, *found.notes))
        if save is not None:
            _write(save, found.model.to_json(indent=1) + "\n")
            found = replace(found, saved=str(save))
        if figure is not None:
            found.draw(figure)
        _show(found, display, figure)


def _check(
    labels: Path | None, judgements: Path | None, figure: Path | None, save: Path | None
) -> None:
    """Refuse what cannot end well before any work is done."""
    if labels is not None and judgements is not None:
        raise ParameterError(
            "calibrate: --labels and --judgements are both given; expected one of them."
        )
    if figure is not None and figure.suffix not in FIGURES:
        raise ParameterError(f"calibrate: --figure {str(figure)!r}; expected a .svg or .png file.")
    if save is not None and (save.is_dir() or save.suffix != ".json"):
        raise OutputError(f"calibrate: --save {str(save)!r}; expected the name of a .json file.")


def _scorer(
    cross_encoder: str | None,
    cache_dir: Path | None,
    *,
    revision: str | None,
    max_length: int | None,
    batch_size: int,
    device: str | None,
) -> PairScorer | None:
    """Return what scores pairs, after a look whether there is such a model."""
    given = {"--revision": revision, "--max-length": max_length, "--device": device}
    given["--batch-size"] = None if batch_size == BATCH_SIZE else batch_size
    if cross_encoder is None:
        lost = [name for name, value in given.items() if value is not None]
        if lost:
            raise ParameterError(
                f"calibrate: {listing(lost)} is given without --cross-encoder, which it is about. "
                "A parameter of the retriever is set in --strategy or by --set."
            )
        return None
    scorer = PairScorer(
        cross_encoder,
        revision=revision,
        max_length=max_length,
        batch_size=batch_size,
        device=device,
        cache_dir=cache_dir,
        owner="calibrate",
    )
    scorer.refresh()
    return scorer


def _write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    from hf_hardneg.cache import explain_os_error

    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise explain_os_error(error, path) from error


def _show(found: Calibration, display: Display, figure: Path | None) -> None:
    if display is Display.json:
        print_json(found.to_dict())
        return
    screen = console()
    screen.print(found)
    if found.saved is not None:
        screen.print(f"Model written to {found.saved}", soft_wrap=True)
    else:
        screen.print("The model was not saved: --save risk.json writes what the strategy names.")
    if figure is not None:
        screen.print(f"Figure written to {figure}", soft_wrap=True)
