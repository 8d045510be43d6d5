"""TREC run and qrels, read back by splitting at white space as trec_eval does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_hardneg.errors import FormatError
from hf_hardneg.formats.mined_row import MinedRow


def columns(path: Path) -> list[list[str]]:
    """Split each line at white space."""
    return [line.split() for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_run(write: Any, scored_rows: list[MinedRow]) -> None:
    written, folder = write("trec", scored_rows)
    assert columns(folder / "hard_negatives.run") == [
        ["q1", "Q0", "d2", "1", "2.0", "hf-hardneg"],
        ["q1", "Q0", "d3", "2", "-1.5", "hf-hardneg"],
        ["q2", "Q0", "d1", "1", "0.25", "hf-hardneg"],
        ["q2", "Q0", "d6", "2", "0.1", "hf-hardneg"],
        ["q2", "Q0", "d4", "3", "1e-07", "hf-hardneg"],
    ]
    assert (written.rows_in, written.rows_written) == (2, 2)


def test_qrels(write: Any, rows: list[MinedRow]) -> None:
    written, folder = write("trec", rows)
    assert columns(folder / "qrels.txt") == [
        [row.query_id, "0", name, "1"] for row in rows for name in row.positive_ids
    ]
    assert (written.rows_written, written.rows_without_negatives) == (4, 1)


def test_unknown_score_is_replaced_by_the_rank_for_the_whole_query(
    write: Any, make_row: Callable[..., MinedRow]
) -> None:
    row = make_row("q", {"d1": 1.0}, {"d2": 0.1, "d3": None, "d4": 0.9})
    _, folder = write("trec", [row])
    assert columns(folder / "hard_negatives.run") == [
        ["q", "Q0", "d2", "1", "3.0", "hf-hardneg-by-rank"],
        ["q", "Q0", "d3", "2", "2.0", "hf-hardneg-by-rank"],
        ["q", "Q0", "d4", "3", "1.0", "hf-hardneg-by-rank"],
    ]


@pytest.mark.parametrize("name", ["two words", "tab\t", "\u2003", "line\n"])
def test_ids_with_white_space_are_refused(write: Any, name: str) -> None:
    rows = [
        MinedRow(name, "query", ["p"], ["p"], [1.0], ["n"], ["n"], [0.5]),
        MinedRow("q", "query", [name], ["p"], [1.0], ["n"], ["n"], [0.5]),
        MinedRow("q", "query", ["p"], ["p"], [1.0], [name], ["n"], [0.5]),
    ]
    for row in rows:
        with pytest.raises(FormatError, match="white space"):
            write("trec", [row])


def test_a_document_comes_once_for_a_query(write: Any, make_row: Callable[..., MinedRow]) -> None:
    rows = [make_row("a", {name: 1.0}, {"d2": 0.5, "d3": 0.25}) for name in ("d1", "d4")]
    _, folder = write("trec", rows)
    assert [line[2] for line in columns(folder / "hard_negatives.run")] == ["d2", "d3"]
    assert [line[2] for line in columns(folder / "qrels.txt")] == ["d1", "d4"]


@settings(max_examples=25, deadline=None)
@given(scores=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=6))
def test_scores_survive_and_never_rise(write: Any, scores: list[float]) -> None:
    names = [f"n{place}" for place in range(len(scores))]
    row = MinedRow("q", "query", ["p"], ["p"], [1.0], names, names, list(scores))
    _, folder = write("trec", [row])
    lines = columns(folder / "hard_negatives.run")
    found = [float(line[4]) for line in lines]
    assert found == sorted(scores, reverse=True)
    assert {line[2]: float(line[4]) for line in lines} == dict(zip(names, scores, strict=True))
    assert [int(line[3]) for line in lines] == list(range(1, len(scores) + 1))
