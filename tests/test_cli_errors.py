"""Bad input to the command line: one clear message, exit status 1, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_from_disk
from small_collection import (
    HEADER,
    Collection,
    fail,
    invoke,
    snapshot,
    spawn,
    succeed,
    write_collection,
    write_lines,
)

from hf_hardneg.miner import OfflineMiner


@pytest.fixture
def beir(tmp_path: Path) -> Collection:
    return write_collection(tmp_path / "beir")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder with an old result."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.txt").write_text("the old result")
    return folder


Arguments = list[object]


def bad_line(beir: Collection) -> Arguments:
    path = beir.folder.parent / "pairs.jsonl"
    path.write_text('{"query": "a", "positive": "b"}\n\n{"query": "a", "positive": \n')
    return ["--queries", path]


def bad_corpus_line(beir: Collection) -> Arguments:
    with (beir.folder / "corpus.jsonl").open("a") as file:
        file.write("[1, 2]\n")
    return ["--queries", beir.folder]


def without_header(beir: Collection) -> Arguments:
    path = beir.folder / "qrels" / "train.tsv"
    path.write_text(path.read_text().removeprefix(HEADER))
    return ["--queries", beir.folder]


def document_twice(beir: Collection) -> Arguments:
    with (beir.folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d3", "text": "again"}\n')
    return ["--queries", beir.folder]


def query_twice(beir: Collection) -> Arguments:
    with (beir.folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q3", "text": "again"}\n')
    return ["--queries", beir.folder]


def unknown_document(beir: Collection) -> Arguments:
    with (beir.folder / "qrels" / "train.tsv").open("a") as file:
        file.write("q1\td99\t1\n")
    return ["--queries", beir.folder]


def unknown_query(beir: Collection) -> Arguments:
    with (beir.folder / "qrels" / "train.tsv").open("a") as file:
        file.write("q99\td1\t0\n")
    return ["--queries", beir.folder]


def empty(name: str) -> Callable[[Collection], Arguments]:
    def make(beir: Collection) -> Arguments:
        (beir.folder / name).write_text("")
        return ["--queries", beir.folder]

    return make


def only_score_zero(beir: Collection) -> Arguments:
    (beir.folder / "qrels" / "train.tsv").write_text(HEADER + "q1\td1\t0\nq2\td2\t-1\n")
    return ["--queries", beir.folder]


def empty_pairs(beir: Collection) -> Arguments:
    (beir.folder / "pairs.jsonl").write_text("\n")
    return ["--queries", beir.folder / "pairs.jsonl"]


def ids_without_corpus(beir: Collection) -> Arguments:
    return ["--queries", beir.folder / "queries.jsonl", "--qrels", beir.folder / "qrels/train.tsv"]


def missing_file(beir: Collection) -> Arguments:
    return ["--queries", "no/[/b]:smile:.jsonl"]


def row(**values: Any) -> Callable[[Collection], Arguments]:
    """A file of nine good rows and a bad one."""

    def make(beir: Collection) -> Arguments:
        rows: list[dict[str, Any]] = [
            {"query": text["question"], "positive": text["pos"]} for text in beir.texts()
        ]
        rows.append({"query": "apple", "positive": ["bridge"], **values})
        return ["--queries", write_lines(beir.folder / "rows.jsonl", rows)]

    return make


def folder(*more: object) -> Callable[[Collection], Arguments]:
    return lambda beir: ["--queries", beir.folder, *more]


def file(*more: object) -> Callable[[Collection], Arguments]:
    return lambda beir: ["--queries", write_lines(beir.folder / "pairs.jsonl", beir.texts()), *more]


CASES: dict[str, tuple[Callable[[Collection], Arguments], list[str]]] = {
    "missing file": (missing_file, ["'no/[/b]:smile:.jsonl' does not exist"]),
    "missing corpus": (folder("--corpus", "gone.jsonl"), ["'gone.jsonl' does not exist"]),
    "misspelt column": (
        file("--positive-column", "poss"), ["'poss'", "Did you mean 'pos'?", "qid, question, pos"]
    ),
    "misspelt query id column": (file("--query-id-column", "quid"), ["Did you mean 'qid'?"]),
    "malformed line": (bad_line, ["pairs.jsonl, line 3", "not valid JSON"]),
    "malformed corpus": (bad_corpus_line, ["corpus.jsonl, line 41", "JSON object", "list"]),
    "qrels without a header": (without_header, ["train.tsv", "no header", "'q0 d0 1'"]),
    "document twice": (document_twice, ["'d3'", "(documents 3 and 40)"]),
    "query twice": (query_twice, ["queries.jsonl, query 13", "'q3' stands twice"]),
    "positive not in the corpus": (unknown_document, ["'d99'", "not in the corpus"]),
    "judged query unknown": (unknown_query, ["train.tsv", "'q99'", "queries.jsonl"]),
    "empty corpus": (empty("corpus.jsonl"), ["no documents"]),
    "empty queries": (empty("queries.jsonl"), ["'q0'", "queries.jsonl"]),
    "empty judgements": (empty("qrels/train.tsv"), ["train.tsv", "no judgements"]),
    "empty pairs": (empty_pairs, ["pairs.jsonl", "no rows"]),
    "nothing above 0": (only_score_zero, ["train.tsv", "no judgement above 0"]),
    "ids without a corpus": (ids_without_corpus, ["no corpus", "'positive_ids'"]),
    "unknown stage": (folder("--strategy", "bm52"), ["'bm52'", "Did you mean 'bm25'?"]),
    "unknown parameter": (
        folder("--strategy", "bm25+margin", "--set", "relativ=0.1"),
        ["'relativ'", "Did you mean 'relative'?"],
    ),
    "value out of range": (folder("--set", "k1=-1"), ["k1=-1"]),
    "malformed setting": (folder("--set", "relative"), ["'relative'", "name=value"]),
    "setting that is an option": (folder("--set", "num_negatives=3"), ["--num-negatives"]),
    "setting that is a stage": (folder("--set", "sampler=random"), ["'sampler'", "--strategy"]),
    "setting named self": (folder("--set", "self=1"), ["'self' is no parameter of a stage"]),
    "unknown output format": (
        folder("--output-format", "ntuple"), ["'ntuple'", "Did you mean 'n-tuple'?", "tevatron-ids"]
    ),
    "file format as output format": (folder("--output-format", "parquet"), ["--file-format"]),
    "file format of a trainer": (
        folder("--output-format", "beir", "--file-format", "jsonl"), ["'jsonl'", "'beir'"]
    ),
    "short rows kept in a tuple": (
        folder("--output-format", "n-tuple", "--underfilled", "keep"), ["'keep'", "'n-tuple'"]
    ),
    "short rows, met by a worker": (
        folder("--strategy", "bm25@4", "--underfilled", "error", "--num-proc", 2),
        ["fewer than 5 negatives", "'keep'"],
    ),
    "too many negatives": (folder("--num-negatives", 40), ["40 documents", "40 negatives"]),
    "missing split": (folder("--split", "tran"), ["'tran'", "'train'?", "It has: test, train"]),
    "split beside judgements": (
        lambda beir: ["--queries", beir.folder, "--qrels", beir.folder / "qrels/test.tsv",
                      "--split", "test"],
        ["no split 'test'", "--qrels"],
    ),
    "empty query": (row(query=" "), ["column 'query', row 9", "empty"]),
    "no query": (row(query=None), ["column 'query', row 9", "None"]),
    "no positive": (row(positive=[]), ["column 'positive', row 9", "no positive"]),
    "empty positive": (row(positive=[""]), ["column 'positive', row 9", "a positive is ''"]),
    "number as a query": (row(query=3), ["rows.jsonl", "same type in all rows"]),
    "split of a file": (file("--split", "train"), ["no split 'train'", "single file"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case: str, beir: Collection, out: Path) -> None:
    make, expected = CASES[case]
    arguments = ["mine", *make(beir), "--output", out, "--overwrite"]
    before = snapshot(out.parent)
    message = fail(*arguments)
    for part in expected:
        assert part in message
    assert snapshot(out.parent) == before
    assert sorted(path.name for path in out.parent.iterdir() if path.name.startswith(".")) == []


def test_same_message_as_json(beir: Collection, out: Path) -> None:
    arguments = ["mine", "--queries", beir.folder, "--strategy", "bm52", "--output", out]
    message = fail(*arguments, "--overwrite")
    result = invoke(*arguments, "--overwrite", "--format", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"error": "StrategyError", "message": message}
    assert result.stderr == f"error: {message}\n"


def test_error_of_a_process(beir: Collection, tmp_path: Path) -> None:
    process = spawn("mine", "--queries", without_header(beir)[1], "--output", tmp_path / "out")
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (1, "")
    assert stderr.startswith("error: ")
    assert "Traceback" not in stderr
    assert len(stderr.splitlines()) == 1  # not cut at the width of the terminal


def test_output_is_looked_at_before_the_work(
    beir: Collection, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*values: object, **named: object) -> None:
        raise AssertionError("mined")

    monkeypatch.setattr(OfflineMiner, "__init__", refuse)
    queries = ["mine", "--queries", beir.folder]
    assert "is not empty" in fail(*queries, "--output", out)
    assert "is a file" in fail(*queries, "--output", out / "old.txt")
    assert "--output, or --dry-run" in fail(*queries)
    assert snapshot(out) == {"old.txt": b"the old result"}


@pytest.mark.parametrize("what", ["queries", "corpus", "judgements"])
def test_output_never_replaces_the_input(what: str, beir: Collection, tmp_path: Path) -> None:
    names = {"queries": "queries.jsonl", "corpus": "corpus.jsonl", "judgements": "qrels/train.tsv"}
    own = tmp_path / "own" / "data"
    own.mkdir(parents=True)
    places = {kind: beir.folder / name for kind, name in names.items()}
    places[what] = places[what].rename(own / "input.jsonl")
    before = snapshot(tmp_path)
    for output in (own, own.parent):
        message = fail(
            "mine", "--queries", places["queries"], "--corpus", places["corpus"],
            "--qrels", places["judgements"], "--output", output, "--overwrite",
        )  # fmt: skip
        assert f"holds the {what} of this run" in message
    assert snapshot(tmp_path) == before


def test_cache_is_not_inside_the_output(beir: Collection, tmp_path: Path) -> None:
    out = tmp_path / "new"
    arguments = ["--output", out, "--cache-dir", out / "cache"]
    assert "holds the cache" in fail("mine", "--queries", beir.folder, *arguments)
    assert not out.exists()


def test_current_folder_is_no_output(
    beir: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "work" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for output in (".", "..", inside):
        message = fail("mine", "--queries", beir.folder, "--output", output, "--overwrite")
        assert "is the current folder or one above it" in message
    assert inside.is_dir()


def test_positives_as_text_as_list_and_mixed(beir: Collection, tmp_path: Path) -> None:
    rows = [{**row, "pos": row["pos"][:1]} for row in beir.texts()]
    kinds = {
        "lists": rows,
        "texts": [{**row, "pos": row["pos"][0]} for row in rows],
        "mixed": [
            {**row, "pos": row["pos"][0]} if place % 2 else row for place, row in enumerate(rows)
        ],
    }
    found = {}
    for kind, records in kinds.items():
        path = write_lines(tmp_path / f"{kind}.jsonl", records)
        succeed("mine", "--queries", path, "--corpus", beir.folder, "--output", tmp_path / kind)
        mined = load_from_disk(str(tmp_path / kind))
        found[kind] = [(row["hard_negative_ids"], row["question"]) for row in mined]
    assert found["lists"] == found["texts"] == found["mixed"]


def test_score_zero_is_no_positive(beir: Collection, tmp_path: Path) -> None:
    best = OfflineMiner("bm25", corpus=beir.documents, num_negatives=1)
    first = best.mine(beir.rows())["hard_negative_ids"][0][0]
    with (beir.folder / "qrels" / "train.tsv").open("a") as lines:
        lines.write(f"q0\t{first}\t0\n")
    succeed("mine", "--queries", beir.folder, "--num-negatives", 1, "--output", tmp_path / "out")
    row = load_from_disk(str(tmp_path / "out"))[0]
    assert (row["query_id"], row["positive_ids"]) == ("q0", ["d0", "d39"])
    assert row["hard_negative_ids"] == [first]  # judged not relevant, so a negative it may be
