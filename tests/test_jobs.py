"""Whole jobs: every input and every output format, compared with the miner's own result."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, load_from_disk
from small_collection import (
    Collection,
    fail,
    read_lines,
    succeed,
    write_collection,
    write_lines,
    write_qrels,
)

from hf_hardneg import OfflineMiner
from hf_hardneg.formats.output import OUTPUT_FORMATS
from hf_hardneg.formats.writers import WRITERS
from hf_hardneg.outputs import FILE_FORMATS

N = 3
TRAINER_FORMATS = [name for name in WRITERS if name not in FILE_FORMATS]


@pytest.fixture
def beir(tmp_path: Path) -> Collection:
    return write_collection(tmp_path / "beir")


def mined(beir: Collection, form: str = "columns", strategy: str = "bm25") -> list[dict[str, Any]]:
    """The miner's own rows, without the command line."""
    miner = OfflineMiner(strategy, corpus=beir.documents, num_negatives=N)
    rows: list[dict[str, Any]] = miner.mine(beir.rows(), form).to_list()
    return rows


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "arrow": lambda folder: load_from_disk(str(folder)).to_list(),
    "parquet": lambda folder: pq.read_table(folder / "train.parquet").to_pylist(),
    "jsonl": lambda folder: read_lines(folder / "train.jsonl"),
}


@pytest.mark.parametrize("file_format", READERS)
@pytest.mark.parametrize("form", OUTPUT_FORMATS)
def test_every_format_of_a_data_set(
    form: str, file_format: str, beir: Collection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    succeed(
        "mine", "--queries", beir.folder, "--num-negatives", N, "--output", out,
        "--output-format", form, "--file-format", file_format,
    )  # fmt: skip
    expected, found = mined(beir, form), READERS[file_format](out)
    assert len(found) == len(expected) > 0
    if (form, file_format) == ("columns", "jsonl"):
        for row in found:  # JSON has the shortest number that stands for the score
            for name in ("hard_negative_scores", "hard_negative_positive_scores"):
                row[name] = np.float32(row[name]).astype(float).tolist()
    assert found == expected


def test_positives_and_negatives_are_what_the_collection_says(
    beir: Collection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    succeed("mine", "--queries", beir.folder, "--output", out)
    rows = load_from_disk(str(out)).to_list()
    assert {row["query_id"]: row["positive_ids"] for row in rows} == beir.train
    for row in rows:
        assert row["query"] == beir.queries[row["query_id"]]
        assert len(set(row["hard_negative_ids"])) == 5
        assert not set(row["hard_negative_ids"]) & set(row["positive_ids"])
        assert row["hard_negatives"] == [beir.documents[name] for name in row["hard_negative_ids"]]


def check_flagembedding(out: Path, rows: list[dict[str, Any]], beir: Collection) -> None:
    for line, row in zip(read_lines(out / "train.jsonl"), rows, strict=True):
        assert line["query"] == row["query"]
        assert line["pos"] == [beir.documents[name] for name in row["positive_ids"]]
        assert line["neg"] == row["hard_negatives"]
        assert np.float32(line["neg_scores"]).tolist() == row["hard_negative_scores"]


def check_tevatron(out: Path, rows: list[dict[str, Any]], beir: Collection) -> None:
    for line, row in zip(read_lines(out / "train.jsonl"), rows, strict=True):
        assert (line["query_id"], line["query"]) == (row["query_id"], row["query"])
        for kind, ids in (
            ("positive", row["positive_ids"]),
            ("negative", row["hard_negative_ids"]),
        ):
            passages = [{"docid": name, "title": "", "text": beir.documents[name]} for name in ids]
            assert line[f"{kind}_passages"] == passages


def check_tevatron_ids(out: Path, rows: list[dict[str, Any]], beir: Collection) -> None:
    corpus = read_lines(out / "corpus.jsonl")
    assert {line["docid"]: line["text"] for line in corpus} == beir.documents
    for line, row in zip(read_lines(out / "train.jsonl"), rows, strict=True):
        assert (line["query_id"], line["query_text"]) == (row["query_id"], row["query"])
        assert line["positive_document_ids"] == row["positive_ids"]
        assert line["negative_document_ids"] == row["hard_negative_ids"]


def check_colbert(out: Path, rows: list[dict[str, Any]], beir: Collection) -> None:
    def table(name: str) -> list[list[str]]:
        return [line.split("\t") for line in (out / name).read_text().splitlines()]

    assert [text for _, text in table("collection.tsv")] == list(beir.documents.values())
    assert [text for _, text in table("queries.tsv")] == [row["query"] for row in rows]
    pids = list(beir.documents)
    triples = [
        [qid, pids.index(positive), pids.index(negative)]
        for qid, row in enumerate(rows)
        for positive in row["positive_ids"]
        for negative in row["hard_negative_ids"]
    ]
    assert read_lines(out / "triples.jsonl") == triples
    assert {len(line) for line in read_lines(out / "nway.jsonl")} == {2 + N}


def check_pylate(out: Path, rows: list[dict[str, Any]], beir: Collection) -> None:
    documents = read_lines(out / "documents.jsonl")
    assert {line["document_id"]: line["text"] for line in documents} == beir.documents
    lines = iter(read_lines(out / "train.jsonl"))
    for row in rows:
        for place, name in enumerate(row["positive_ids"]):
            line = next(lines)
            assert line["query_id"] == row["query_id"]
            assert line["document_ids"] == [name, *row["hard_negative_ids"]]
            own = row["hard_negative_positive_scores"][place]
            assert np.float32(line["scores"]).tolist() == [own, *row["hard_negative_scores"]]
    assert next(lines, None) is None


def check_pylate_contrastive(out: Path, rows: list[dict[str, Any]], beir: Collection) -> None:
    expected = [
        {"query": row["query"], "positive": beir.documents[name]}
        | {f"negative_{place + 1}": text for place, text in enumerate(row["hard_negatives"])}
        for row in rows
        for name in row["positive_ids"]
    ]
    assert read_lines(out / "train.jsonl") == expected


def check_beir(out: Path, rows: list[dict[str, Any]], beir: Collection) -> None:
    with (out / "hard_negatives.tsv").open(newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        own = [line for line in lines if line["query-id"] == row["query_id"]]
        assert [line["corpus-id"] for line in own] == row["hard_negative_ids"]
        assert [np.float32(line["score"]) for line in own] == row["hard_negative_scores"]
    judged: dict[str, list[str]] = {}
    with (out / "qrels" / "train.tsv").open(newline="") as file:
        for line in csv.DictReader(file, delimiter="\t"):
            judged.setdefault(line["query-id"], []).append(line["corpus-id"])
    assert judged == beir.train


def check_trec(out: Path, rows: list[dict[str, Any]], beir: Collection) -> None:
    run = [line.split() for line in (out / "hard_negatives.run").read_text().splitlines()]
    expected = [
        [row["query_id"], "Q0", name, str(place + 1)]
        for row in rows
        for place, name in enumerate(row["hard_negative_ids"])
    ]
    assert [line[:4] for line in run] == expected
    qrels = [line.split() for line in (out / "qrels.txt").read_text().splitlines()]
    assert qrels == [[q, "0", name, "1"] for q, names in beir.train.items() for name in names]


CHECKS = {
    "flagembedding": check_flagembedding,
    "tevatron": check_tevatron,
    "tevatron-ids": check_tevatron_ids,
    "colbert": check_colbert,
    "pylate": check_pylate,
    "pylate-contrastive": check_pylate_contrastive,
    "beir": check_beir,
    "trec": check_trec,
}


@pytest.mark.parametrize("form", TRAINER_FORMATS)
def test_every_format_of_a_trainer(form: str, beir: Collection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    succeed(
        "mine", "--queries", beir.folder, "--num-negatives", N, "--output", out,
        "--output-format", form,
    )  # fmt: skip
    CHECKS[form](out, mined(beir), beir)
    report = json.loads((out / "hardneg" / "report.json").read_text())
    assert report["rows_out"] == len(beir.train)
    assert json.loads((out / "hardneg" / "recipe.json").read_text())["output_format"] == form


@pytest.mark.parametrize(("form", "least"), [("pylate", N), ("colbert", 1)])
def test_rows_without_a_place_are_counted(
    form: str, least: int, beir: Collection, tmp_path: Path
) -> None:
    strategy, out = "bm25@6+margin(relative=0.2)", tmp_path / "out"
    result = succeed(
        "mine", "--queries", beir.folder, "--output", out, "--num-negatives", N,
        "--strategy", strategy, "--output-format", form,
    )  # fmt: skip
    rows = mined(beir, strategy=strategy)
    written = [row["query_id"] for row in rows if len(row["hard_negatives"]) >= least]
    assert 0 < len(written) < len(rows)
    if form == "pylate":
        assert (
            list(dict.fromkeys(r["query_id"] for r in read_lines(out / "train.jsonl"))) == written
        )
    else:
        assert [line["id"] for line in read_lines(out / "qids.jsonl")] == written
    note = f"{len(rows) - len(written)} rows have no place in the format {form}: not written."
    assert note in result.stdout
    assert note in json.loads((out / "hardneg" / "report.json").read_text())["notes"]


def saved_dict(folder: Path, beir: Collection) -> Path:
    data = Dataset.from_list(beir.texts())
    DatasetDict({"train": data, "other": data.select([0])}).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def csv_file(folder: Path, beir: Collection) -> Path:
    path = folder / "pairs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["qid", "question", "pos", "topic"])
        table.writeheader()
        table.writerows({**row, "pos": row["pos"][0]} for row in beir.texts())
    return path


def parquet_file(folder: Path, beir: Collection) -> Path:
    Dataset.from_list(beir.texts()).to_parquet(str(folder / "pairs.parquet"))
    return folder / "pairs.parquet"


INPUTS: dict[str, Callable[[Path, Collection], Path]] = {
    "jsonl": lambda folder, beir: write_lines(folder / "pairs.jsonl", beir.texts()),
    "parquet": parquet_file,
    "csv": csv_file,
    "saved DatasetDict": saved_dict,
}


@pytest.mark.parametrize("with_corpus", [True, False])
@pytest.mark.parametrize("kind", INPUTS)
def test_every_input_with_texts(
    kind: str, with_corpus: bool, beir: Collection, tmp_path: Path
) -> None:
    out, source = tmp_path / "out", INPUTS[kind](tmp_path, beir)
    corpus = ["--corpus", beir.folder] if with_corpus else []
    succeed("mine", "--queries", source, *corpus, "--num-negatives", N, "--output", out)
    rows = Dataset.from_list(beir.texts())
    if kind == "csv":
        rows = rows.map(lambda row: {"first": row["pos"][0]}, remove_columns="pos")
        rows = rows.rename_column("first", "pos").select_columns(
            ["qid", "question", "pos", "topic"]
        )
    miner = OfflineMiner("bm25", corpus=beir.documents if with_corpus else None, num_negatives=N)
    found = load_from_disk(str(out)).to_list()
    assert found == miner.mine(rows).to_list()
    assert [row["topic"] for row in found] == [f"topic {name}" for name in beir.train]
    if not with_corpus:
        positives = {text for row in beir.texts() for text in row["pos"]}
        assert all(set(row["hard_negatives"]) <= positives for row in found)


@pytest.mark.parametrize("trec", [True, False])
def test_a_file_of_queries_with_judgements(trec: bool, beir: Collection, tmp_path: Path) -> None:
    out, qrels = tmp_path / "out", tmp_path / "qrels.txt"
    if trec:
        lines = [f"{query} 0 {name} 1" for query, names in beir.test.items() for name in names]
        qrels.write_text("\n".join(lines) + "\n")
    else:
        write_qrels(qrels, beir.test)
    succeed(
        "mine", "--queries", beir.folder / "queries.jsonl", "--qrels", qrels,
        "--corpus", beir.folder / "corpus.jsonl", "--num-negatives", N, "--output", out,
    )  # fmt: skip
    miner = OfflineMiner("bm25", corpus=beir.documents, num_negatives=N)
    assert load_from_disk(str(out)).to_list() == miner.mine(beir.rows(beir.test)).to_list()


@pytest.mark.parametrize("form", ["columns", "triplet", "pylate"])
def test_rates_of_false_negatives(form: str, beir: Collection, tmp_path: Path) -> None:
    out, deeper = tmp_path / "out", tmp_path / "deeper.tsv"
    first = mined(beir)[0]
    false, true = first["hard_negative_ids"][:2]
    deeper.write_text(
        "query-id\tcorpus-id\tscore\n"
        f"{first['query_id']}\t{false}\t1\n{first['query_id']}\t{true}\t0\n"
    )
    succeed(
        "mine", "--queries", beir.folder, "--num-negatives", N, "--output", out,
        "--output-format", form, "--judgements", deeper, "--hidden-positives",
    )  # fmt: skip
    judged, hidden = json.loads((out / "hardneg" / "report.json").read_text())["false_negatives"]
    assert (judged["rate"], judged["n"]) == (0.5, 2)
    # Too few queries of this small collection have several positives, and that is said.
    assert hidden["rate"] is None
    assert "more than 1 known positives" in hidden["why"]


def test_judgements_that_are_not_there(beir: Collection, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = fail("mine", "--queries", beir.folder, "--output", out, "--judgements", "gone.tsv")
    assert "gone.tsv" in said
    assert not out.exists()


def test_judgements_of_other_queries_lose_nothing(beir: Collection, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other.tsv"
    other.write_text("query-id\tcorpus-id\tscore\nnobody\tnothing\t1\n")
    succeed("mine", "--queries", beir.folder, "--output", out, "--judgements", other)
    [rate] = json.loads((out / "hardneg" / "report.json").read_text())["false_negatives"]
    assert rate["rate"] is None
    assert "nobody" in rate["why"] or "corpus" in rate["why"]
    assert load_from_disk(str(out)).num_rows == len(mined(beir))
