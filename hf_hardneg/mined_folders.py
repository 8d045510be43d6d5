"""Mined sets that name documents by id, with the texts in files beside: records of their rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from hf_hardneg.beir import default_split, queries_file, read_qrels
from hf_hardneg.errors import FormatError, listing
from hf_hardneg.mined_records import Records
from hf_hardneg.readers import Record, open_text, read_json_lists
from hf_hardneg.retrievers.run import read_trec_run
from hf_hardneg.sources import beir_corpus_file

__all__ = ["Parts", "colbert", "colbert_folder", "first_value", "nemo", "open_folder", "trec"]

HARD_NEGATIVES = "hard_negatives.tsv"
BEIR_FIELDS = 4
RUNS = ("*.run", "*.trec", "*.run.gz")


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a mined set: what gives its rows, and where the texts are.

    Attributes:
        records: gives the rows.
        files: that the rows come from; their changes are what a cache must see.
        corpus: where the documents' texts are.
        queries: where the queries' texts are.
        notes: what a reader of figures should know.
    """

    records: Records
    files: list[Path]
    corpus: Path | None = None
    queries: Path | None = None
    notes: list[str] = field(default_factory=list)


def open_folder(folder: Path, split: str | None, qrels: Path | None) -> Parts | None:
    """Return the parts of a folder whose rows have ids in place of texts, if it is one.

    Args:
        folder: one that a writer of ours, or a trainer's own tools, may have written.
        split: of a BEIR folder.
        qrels: judgements in place of those in the folder.

    Raises:
        FormatError: the folder has no splits, or names its positives itself.
    """
    if (folder / HARD_NEGATIVES).is_file():
        return _beir_folder(folder, split, qrels)
    found = colbert_folder(folder) or _trec_folder(folder, qrels)
    if found and split is not None:
        raise FormatError(f"{folder} has no split {split!r} to choose. Leave --split out.")
    if found and qrels is not None and qrels not in found.files:
        raise FormatError(f"{folder} names its positives itself. Leave --qrels out.")
    return found


def first_value(path: Path) -> Any:  # noqa: ANN401
    """Return the JSON value on the first line that has any, or ``None``."""
    with open_text(path) as lines:
        for line in lines:
            if line.strip():
                try:
                    return json.loads(line)
                except ValueError:
                    return None
    return None


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None


# -- ColBERT ---------------------------------------------------------------------------------------


def colbert_folder(folder: Path) -> Parts | None:
    """Return the parts of a folder of ColBERT's, whose ids are numbers of lines, if it is one."""
    rows = _there(folder / "triples.jsonl") or _there(folder / "nway.jsonl")
    return colbert(rows) if rows and (folder / "collection.tsv").is_file() else None


def colbert(path: Path) -> Parts:
    """Return the parts of a file of triples or of n-way lines, the texts in files beside it."""
    notes = []
    if len(first_value(path)) > 1 and isinstance(first_value(path)[1], list):
        records = lambda: _nway(path)  # noqa: E731
    else:
        records = lambda: _triples(path)  # noqa: E731
        notes.append("Triples that follow each other with the same query and positive are one row.")
        if (path.parent / "nway.jsonl").is_file():
            notes.append("nway.jsonl beside it has scores, of the rows it holds; it was not read.")
    return Parts(
        records,
        [path],
        _there(path.parent / "collection.tsv"),
        _there(path.parent / "queries.tsv"),
        notes,
    )


def _triples(path: Path) -> Iterator[Record]:
    triples = read_json_lists(path)
    for (query, positive), group in groupby(triples, key=lambda one: _pair_of(one, path)):
        yield {
            "query_id": str(query),
            "positive_ids": [str(positive)],
            "negative_ids": [str(one[2]) for one in group],
        }


def _pair_of(triple: list[Any], path: Path) -> tuple[Any, Any]:
    if len(triple) != 3 or any(isinstance(part, list | dict) for part in triple):
        raise FormatError(
            f"{path}: the line {json.dumps(triple)[:200]} is no triple; expected "
            "[query, positive, negative], the numbers of lines."
        )
    return triple[0], triple[1]


def _nway(path: Path) -> Iterator[Record]:
    for line in read_json_lists(path):
        passages = line[1:]
        if not passages or not all(isinstance(one, list) and len(one) == 2 for one in passages):
            raise FormatError(
                f"{path}: the line {json.dumps(line)[:200]} is no n-way line; expected "
                "[query, [positive, score], [negative, score], ...]."
            )
        (positive, score), *negatives = passages
        yield {
            "query_id": str(line[0]),
            "positive_ids": [str(positive)],
            "negative_ids": [str(one) for one, _ in negatives],
            "negative_scores": [float(own) for _, own in negatives],
            "positive_scores": [float(score)],
        }


# -- BEIR and TREC ---------------------------------------------------------------------------------


def _beir_folder(folder: Path, split: str | None, given: Path | None) -> Parts:
    if split is not None and given is not None:
        raise FormatError("--split and --qrels both say which judgements; give one of them.")
    negatives = folder / HARD_NEGATIVES
    qrels = given or default_split(folder, split)
    return Parts(
        lambda: _with_positives(_beir_lines(negatives), qrels),
        [negatives, qrels],
        beir_corpus_file(folder),
        queries_file(folder),
        [f"Positives are the documents with a grade above 0 in {qrels.name}."],
    )


def _beir_lines(path: Path) -> Iterator[tuple[str, str, float | None]]:
    with open_text(path) as lines:
        for number, fields in enumerate(csv.reader(lines, delimiter="\t"), start=1):
            if number == 1 or not fields:
                continue  # the header, as BEIR's own reader skips it
            if len(fields) != BEIR_FIELDS:
                raise FormatError(
                    f"{path}, line {number}: {len(fields)} fields; expected query-id, corpus-id, "
                    "score and rank."
                )
            yield fields[0], fields[1], _score(fields[2], f"{path}, line {number}")


def _score(text: str, where: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError as error:
        raise FormatError(f"{where}: the score is {text!r}; expected a number.") from error


def _trec_folder(folder: Path, qrels: Path | None) -> Parts | None:
    runs = sorted(path for kind in RUNS for path in folder.glob(kind))
    if not runs:
        return None
    if len(runs) > 1:
        raise FormatError(
            f"{folder} holds several runs: {listing(path.name for path in runs)}. Give one of them."
        )
    return trec(runs[0], qrels)


def trec(run: Path, qrels: Path | None) -> Parts:
    """Return the parts of a run, with the judgements beside it or those given."""
    beside = [run.parent / name for name in ("qrels.txt", "qrels.tsv", "qrels.trec")]
    judged = qrels or next((path for path in beside if path.is_file()), None)
    if judged is None:
        raise FormatError(
            f"{run} is a run, and there are no judgements beside it (qrels.txt) that name the "
            "positives. Give them with --qrels."
        )
    return Parts(
        lambda: _with_positives(read_trec_run(run), judged),
        [run, judged],
        beir_corpus_file(run.parent),
        queries_file(run.parent),
        [f"Positives are the documents with a grade above 0 in {judged.name}."],
    )


def _with_positives(
    lines: Iterable[tuple[str, str, float | None]], qrels: Path
) -> Iterator[Record]:
    """Yield a row for each run of lines of one query, then those that have no negatives."""
    positives: dict[str, list[str]] = {}
    for query, document, grade in read_qrels(qrels):
        if grade > 0:
            positives.setdefault(query, []).append(document)
    seen = set()
    for query, group in groupby(lines, key=lambda line: line[0]):
        seen.add(query)
        members = list(group)
        yield {
            "query_id": query,
            "positive_ids": positives.get(query, []),
            "negative_ids": [document for _, document, _ in members],
            "negative_scores": [score for _, _, score in members],
        }
    for query, documents in positives.items():
        if query not in seen:
            yield {
                "query_id": query, "positive_ids": documents, "negative_ids": [],
                "negative_scores": [],
            }  # fmt: skip


# -- NeMo ------------------------------------------------------------------------------------------


def nemo(path: Path) -> Parts | None:
    """Return the parts of a NeMo file, one JSON document, if the file is one.

    The document is read as a whole: the form has no lines.
    """
    with open_text(path) as stream:
        start = stream.read(1)
        if start != "{":
            return None
        try:
            whole = json.loads(start + stream.read())
        except ValueError:
            return None  # several documents, one a line
    if not isinstance(whole, dict) or not isinstance(whole.get("data"), list):
        return None
    return Parts(
        lambda: map(_nemo_row, whole["data"]),
        [path],
        notes=["A NeMo file names its documents by id; their texts come from --corpus."],
    )


def _nemo_row(entry: dict[str, Any]) -> Record:
    row: dict[str, Any] = {"query_id": str(entry.get("question_id", "")),
                           "query": entry.get("question")}  # fmt: skip
    for side, name in (("positive", "pos_doc"), ("negative", "neg_doc")):
        documents = [one if isinstance(one, dict) else {"id": one} for one in entry.get(name) or []]
        row[f"{side}_ids"] = [str(one.get("id", "")) for one in documents]
        row[f"{side}_scores"] = [one.get("score") for one in documents]
    return row
