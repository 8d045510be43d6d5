"""A tiny collection in BEIR layout, and the command line run on it in this process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset
from typer.testing import CliRunner

from hf_hardneg.cli import app

HEADER = "query-id\tcorpus-id\tscore\n"
WORDS = [
    *("apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor"),
    *("island", "jacket", "kettle", "ladder", "market", "needle", "orange", "pepper"),
]


@dataclass
class Collection:
    """What was written, as the test knows it."""

    folder: Path
    documents: dict[str, str] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    train: dict[str, list[str]] = field(default_factory=dict)
    test: dict[str, list[str]] = field(default_factory=dict)

    def rows(self, judged: dict[str, list[str]] | None = None) -> Dataset:
        """Return the judged queries as a caller of the library has them."""
        judged = self.train if judged is None else judged
        return Dataset.from_dict(
            {
                "query_id": list(judged),
                "query": [self.queries[name] for name in judged],
                "positive_ids": list(judged.values()),
            }
        )

    def texts(self) -> list[dict[str, Any]]:
        """Return the training queries with the texts of their positives and one more column."""
        return [
            {
                "qid": name,
                "question": self.queries[name],
                "pos": [self.documents[document] for document in documents],
                "topic": f"topic {name}",
            }
            for name, documents in self.train.items()
        ]


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[Any]:
    """Read one JSON object a line, and nothing that strict readers refuse."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    text = path.read_text(encoding="utf-8")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def write_qrels(path: Path, judged: dict[str, list[str]], *more: str) -> Path:
    """Write judgements of score 1 with a header, and further lines as they are."""
    lines = [f"{query}\t{name}\t1\n" for query, names in judged.items() for name in names]
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER + "".join([*lines, *more]), encoding="utf-8")
    return path


def write_collection(folder: Path) -> Collection:
    """Write 40 documents, half of them with a title, and 12 queries, 9 to train and 3 to test.

    The train judgements hold two positives for ``q0`` and a judgement of score 0 for ``q1``.
    """
    folder.mkdir(parents=True)
    draw = random.Random(7)
    written = Collection(folder)
    records = []
    for number in range(40):
        title = f"note {number}" if number % 2 else ""
        text = " ".join(draw.choices(WORDS, k=12))
        records.append({"_id": f"d{number}", "title": title, "text": text})
        written.documents[f"d{number}"] = f"{title} {text}".strip()
    for number in range(12):
        own = records[number]["text"].split()
        written.queries[f"q{number}"] = " ".join(draw.sample(own, k=4))
    written.train = {f"q{number}": [f"d{number}"] for number in range(9)}
    written.train["q0"].append("d39")
    written.test = {f"q{number}": [f"d{number}"] for number in range(9, 12)}
    write_lines(folder / "corpus.jsonl", records)
    queries = [{"_id": name, "text": text} for name, text in written.queries.items()]
    write_lines(folder / "queries.jsonl", queries)
    write_qrels(folder / "qrels" / "train.tsv", written.train, "q1\td20\t0\n")
    write_qrels(folder / "qrels" / "test.tsv", written.test)
    return written


def invoke(*arguments: object) -> Any:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> Any:
    """Run the command line in this process; it must end well."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result


def fail(*arguments: object) -> str:
    """Run the command line in this process; return the one error that it must end with."""
    result = invoke(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    return str(errors[0]).removeprefix("error: ")


def spawn(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start the command line as a process of its own."""
    environment = {**os.environ, "COLUMNS": "80", **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "hf_hardneg", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder with their content; a folder that is not there is empty."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
