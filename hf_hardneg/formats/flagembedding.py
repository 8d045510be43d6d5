r"""FlagEmbedding's training file: ``train.jsonl``.

One object a line, as ``AbsEmbedderTrainDataset`` of FlagEmbedding reads it::

    {"query":"q","pos":["p"],"neg":["n1","n2"],"pos_scores":[9.1],"neg_scores":[2.0,-1.3]}

``pos`` and ``neg`` are always lists: the trainer asserts it, and other readers would take a
string for a list of characters. A row without negatives gets ``"neg":[]``; the trainer cannot
draw from an empty list, so drop such rows before training (they are counted).

The scores are in every line or in none. The trainer reads them only for knowledge distillation,
where one row without scores stops it in the middle of an epoch; and ``datasets`` takes a file's
columns from its first 10 MB and fails on a column that comes later. So if one score in the file
is unknown, all are left out, and the trainer says at the start that it has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_hardneg.formats.mined_row import MinedRow
from hf_hardneg.formats.output_file import write_json_lines
from hf_hardneg.formats.request import WriteRequest
from hf_hardneg.formats.row_checks import all_known

__all__ = ["write_flagembedding"]


def write_flagembedding(request: WriteRequest) -> list[Path]:
    """Write ``train.jsonl``."""
    tally = request.tally
    path = write_json_lines(request.folder / "train.jsonl", _lines(request))
    if 0 < tally.rows_without_scores < tally.rows_written:
        _remove_scores(path)
    return [path]


def _lines(request: WriteRequest) -> Iterator[dict[str, Any]]:
    for row in request.rows:
        line: dict[str, Any] = {"query": row.query, "pos": row.positives, "neg": row.negatives}
        if _has_scores(row):
            line["pos_scores"] = row.positive_scores
            line["neg_scores"] = row.negative_scores
        else:
            request.tally.rows_without_scores += 1
        request.tally.rows_written += 1
        yield line


def _has_scores(row: MinedRow) -> bool:
    return all_known(row.positive_scores) and all_known(row.negative_scores)


def _remove_scores(path: Path) -> None:
    """Write the file anew without scores: only at its end is it known that one is missing."""
    scored = path.rename(path.with_suffix(".scored"))
    with scored.open(encoding="utf-8", newline="\n") as lines:
        write_json_lines(path, (_unscored(json.loads(line)) for line in lines))
    scored.unlink()


def _unscored(line: dict[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in ("query", "pos", "neg")}
