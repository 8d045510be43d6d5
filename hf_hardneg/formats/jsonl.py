r"""A plain JSONL file with list columns: ``train.jsonl``.

One object a line, all that was mined::

    {"query_id":"q1","query":"q","positives":["p"],"positive_ids":["d1"],"hard_negatives":["n"],
     "hard_negative_ids":["d2"],"hard_negative_scores":[0.7]}

(on one line). The three lists of negatives have equal length. An unknown score is ``null``, and
the id of a positive that is not a document of the corpus is ``""``. Rows without negatives have
empty lists.

``datasets`` takes the type of a column from the first 10 MB of a file. If no score is known in
all of these and some are later, pass ``features=`` to ``load_dataset``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_hardneg.formats.output_file import write_json_lines
from hf_hardneg.formats.request import WriteRequest

__all__ = ["write_jsonl"]


def write_jsonl(request: WriteRequest) -> list[Path]:
    """Write ``train.jsonl``."""
    return [write_json_lines(request.folder / "train.jsonl", _lines(request))]


def _lines(request: WriteRequest) -> Iterator[dict[str, Any]]:
    for row in request.rows:
        request.tally.rows_written += 1
        yield {
            "query_id": row.query_id,
            "query": row.query,
            "positives": row.positives,
            "positive_ids": row.positive_ids,
            "hard_negatives": row.negatives,
            "hard_negative_ids": row.negative_ids,
            "hard_negative_scores": row.negative_scores,
        }
