"""Rows, documents, and a way to write them, for the tests of the formats.

All fixtures are session-scoped, so that hypothesis tests may use them; no test changes the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from hf_hardneg.formats.mined_row import Document, MinedRow
from hf_hardneg.formats.writers import Written, write_rows

TEXTS = {
    "d1": 'tab\there, "quotes" and \\ backslash',
    "d2": "two\nlines\r\nthree",
    "d3": "separator\u2028paragraph\u2029next\x85line\x0bvertical",
    "d4": "שלום עולم \u202eright to left\u202c",
    "d5": "emoji 🦜 and é as one and as e\u0301",
    "d6": "",
}


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """Return six documents with awkward texts."""
    return [Document(name, text) for name, text in TEXTS.items()]


@pytest.fixture(scope="session")
def make_row() -> Callable[..., MinedRow]:
    """Return a function that makes a row of document ids of ``documents``."""

    def make(
        query_id: str,
        positives: dict[str, float | None],
        negatives: dict[str, float | None],
        query: str | None = None,
    ) -> MinedRow:
        return MinedRow(
            query_id=query_id,
            query=f"query\t{query_id}" if query is None else query,
            positive_ids=list(positives),
            positives=[TEXTS[name] for name in positives],
            positive_scores=list(positives.values()),
            negative_ids=list(negatives),
            negatives=[TEXTS[name] for name in negatives],
            negative_scores=list(negatives.values()),
        )

    return make


@pytest.fixture(scope="session")
def rows(make_row: Callable[..., MinedRow]) -> list[MinedRow]:
    """Return four rows: all scores known, two positives, a score missing, no negatives."""
    return [
        make_row("q1", {"d1": 9.25}, {"d2": 2.0, "d3": -1.5}),
        make_row("q2", {"d2": 1.0, "d5": 0.5}, {"d4": 1e-07, "d1": 0.25, "d6": 0.1}),
        make_row("q3", {"d3": 0.75}, {"d1": 0.5, "d4": None}),
        make_row("q4", {"d4": 0.125}, {}),
    ]


@pytest.fixture(scope="session")
def scored_rows(rows: list[MinedRow]) -> list[MinedRow]:
    """Return the rows of which every score is known and which have negatives."""
    return rows[:2]


@pytest.fixture(scope="session")
def text_row() -> Callable[[list[str]], tuple[MinedRow, list[Document]]]:
    """Return a function that makes a row and its corpus from four texts."""

    def make(texts: list[str]) -> tuple[MinedRow, list[Document]]:
        query, positive, first, second = texts
        row = MinedRow(
            "q", query, ["p"], [positive], [2.5], ["n1", "n2"], [first, second], [1.5, -0.5]
        )
        return row, [Document("n2", second), Document("p", positive), Document("n1", first)]

    return make


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Written, Path]]:
    """Return a function that writes rows into a new folder and returns (written, folder)."""

    def call(
        format_name: str,
        rows: Iterable[MinedRow],
        documents: Iterable[Document] | None = None,
        num_negatives: int | None = None,
    ) -> tuple[Written, Path]:
        folder = tmp_path_factory.mktemp(format_name)
        written = write_rows(rows, folder, format_name, documents, num_negatives=num_negatives)
        found = {path for path in folder.rglob("*") if path.is_file()}
        assert set(written.files) == found
        return written, folder

    return call


@pytest.fixture(scope="session")
def json_lines() -> Callable[[Path], list[Any]]:
    """Return an independent reader: one object a line, whichever way the lines are split."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    def read(path: Path) -> list[Any]:
        content = path.read_bytes()
        assert content == b"" or content.endswith(b"\n")
        assert b"\r" not in content
        text = content.decode("utf-8")
        lines = text.split("\n")[:-1]
        assert lines == text.splitlines()
        return [json.loads(line, parse_constant=refuse) for line in lines]

    return read
