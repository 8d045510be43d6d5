"""Judgements and queries in BEIR layout: read whole, or refused with the line."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from small_collection import HEADER, write_lines, write_qrels

from hf_hardneg.beir import default_split, judged_queries, queries_file, read_qrels, split_names
from hf_hardneg.errors import FormatError, QueryError

BOTH = [("q1", "d1", 1.0), ("q2", "d2", 0.0)]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r\0"), min_size=1).filter(
    str.strip
)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "q1\td1\t1\nq2\td2\t0\n",
        HEADER + "q1\td1\t1\nq2\td2\t0",  # no line end at the end
        "\ufeff" + HEADER + "q1\td1\t1\nq2\td2\t0\n",
        (HEADER + "q1\td1\t1\nq2\td2\t0\n").replace("\n", "\r\n"),
        HEADER + "\nq1\td1\t1\n\t\t\nq2\td2\t0\n\n",
        "query-id corpus-id score\nq1 d1 1\nq2 d2 0\n",
        HEADER + "q1\td1\t1.0\nq2\td2\t0.0\n",
        "q1 0 d1 1\nq2 0 d2 0\n",
        "q1\t0\td1\t1\nq2\t0\td2\t0\n",
        "q1 0  d1\t 1\r\nq2 Q0 d2 0",
    ],
)
def test_every_form_gives_every_judgement(text: str, tmp_path: Path) -> None:
    assert list(read_qrels(write(tmp_path / "qrels.tsv", text))) == BOTH


def test_a_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv.gz"
    path.write_bytes(gzip.compress((HEADER + "q1\td1\t1\nq2\td2\t0\n").encode()))
    assert list(read_qrels(path)) == BOTH
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match=r"qrels\.tsv\.gz, after line \d+: cannot be read"):
        list(read_qrels(path))


@given(pairs=st.lists(st.tuples(NAMES, NAMES, st.integers(-2, 9)), min_size=1, max_size=5))
def test_what_the_csv_module_writes_is_read(
    pairs: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # BEIR reads with this module, so an id with a quotation mark is quoted.
    path = tmp_path_factory.mktemp("qrels") / "train.tsv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerows([("query-id", "corpus-id", "score"), *pairs])
    assert list(read_qrels(path)) == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1\td1\t1\nq2\td2\t0\n", r"no header: its first line is a judgement, 'q1 d1 1'"),
        ("q1 d1 1\n", r"no header"),
        (HEADER + "q1\td1\n", r"line 2: 2 fields; expected 3"),
        (HEADER + "q1\td1\t1\nq1\td1\t1\t2\n", r"line 3: 4 fields; expected 3"),
        ("q1 0 d1 1\n\nq2 d2 1\n", r"line 3: 3 fields; expected 4"),
        (HEADER + "q1\t\t1\n", r"line 2: an id is empty"),
        (HEADER + "\td1\t1\n", r"line 2: an id is empty"),
        (HEADER + "q1\td1\thigh\n", r"line 2: the score is 'high'"),
        (HEADER + "q1\td1\tnan\n", r"line 2: the score is 'nan'"),
        (HEADER + "q1\td1\tinf\n", r"line 2: the score is 'inf'"),
        ("just words\n", r"line 1: 2 fields; expected three with a header"),
        ("", r"holds no judgements"),
        ("\n \n", r"holds no judgements"),
    ],
)
def test_malformed_judgements(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "qrels.tsv", text)
    with pytest.raises(FormatError, match=message) as caught:
        list(read_qrels(path))
    assert str(path) in str(caught.value)


def test_a_header_alone_is_no_error_of_the_file(tmp_path: Path) -> None:
    assert list(read_qrels(write(tmp_path / "qrels.tsv", HEADER))) == []


@pytest.mark.parametrize("line", [b"q1\td\xff1\t1\n", b'"q1"\td\r1\t1\n'])
def test_a_file_that_is_no_text(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_bytes(HEADER.encode() + line)
    with pytest.raises(FormatError, match=r"qrels\.tsv, after line \d: cannot be read"):
        list(read_qrels(path))


@pytest.mark.parametrize(
    ("splits", "asked", "expected"),
    [
        (["train", "dev", "test"], None, "train"),
        (["dev", "test"], None, "dev"),
        (["test"], None, "test"),
        (["other", "zoo"], None, "other"),
        (["train", "dev"], "dev", "dev"),
    ],
)
def test_the_split_that_is_taken(
    splits: list[str], asked: str | None, expected: str, tmp_path: Path
) -> None:
    for name in splits:
        write_qrels(tmp_path / "qrels" / f"{name}.tsv", {"q1": ["d1"]})
    assert default_split(tmp_path, asked) == tmp_path / "qrels" / f"{expected}.tsv"
    assert split_names(tmp_path) == sorted(splits)


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no judgements: expected qrels/train\.tsv.*--qrels"):
        default_split(tmp_path)
    for name in ("test", "dev"):
        write_qrels(tmp_path / "qrels" / f"{name}.tsv", {"q1": ["d1"]})
    with pytest.raises(FormatError, match=r"'tst'. Did you mean 'test'\? It has: dev, test"):
        default_split(tmp_path, "tst")


def test_queries_are_joined_with_their_positives(tmp_path: Path) -> None:
    records = [{"_id": name, "text": f"text of {name}"} for name in ("b", "a", "c", "d")]
    queries = write_lines(tmp_path / "queries.jsonl", records)
    more = ["b\td5\t0.5\n", "b\td2\t1\n", "c\td1\t0\n", "a\td9\t-1\n"]
    qrels = write_qrels(tmp_path / "train.tsv", {"a": ["d1"], "b": ["d3", "d2"]}, *more)
    columns, notes = judged_queries(queries, qrels)
    assert columns == {
        "query_id": ["b", "a"],  # in the order of the queries
        "query": ["text of b", "text of a"],
        "positive_ids": [["d3", "d2", "d5"], ["d1"]],  # each once; 0.5 is above 0
    }
    assert notes == [
        "2 of 4 queries have no positive in train.tsv and were left out.",
        "2 judgements of score 0 or below are no positives.",
    ]


def test_nothing_left_out_is_nothing_said(tmp_path: Path) -> None:
    queries = write_lines(tmp_path / "queries.jsonl", [{"_id": 7, "text": "seven"}])
    columns, notes = judged_queries(queries, write_qrels(tmp_path / "train.tsv", {"7": ["d1"]}))
    assert (columns["query_id"], notes) == (["7"], [])


@pytest.mark.parametrize("kind", ["tsv", "csv", "parquet"])
def test_queries_of_other_kinds(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"queries.{kind}"
    data = Dataset.from_dict({"_id": ["q1", "q2"], "text": ["one", "two"]})
    if kind == "parquet":
        data.to_parquet(str(path))
    else:
        data.to_csv(str(path), sep="\t" if kind == "tsv" else ",", index=False)
    columns, _ = judged_queries(path, write_qrels(tmp_path / "qrels.tsv", {"q2": ["d1"]}))
    assert (columns["query_id"], columns["query"]) == (["q2"], ["two"])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"_id": "q1", "text": "again"}, r"queries\.jsonl, query 2: the id 'q1' stands twice"),
        ({"text": "no id"}, r"query 2: expected the fields _id and text, found text"),
        ({"_id": "q2", "texts": "misspelt"}, r"query 2: .*found _id, texts"),
        ({"_id": "q2", "text": None}, r"query 2: expected the fields _id and text"),
    ],
)
def test_malformed_queries(record: dict[str, object], message: str, tmp_path: Path) -> None:
    queries = write_lines(tmp_path / "queries.jsonl", [{"_id": "q1", "text": "one"}, record])
    with pytest.raises(FormatError, match=message):
        judged_queries(queries, write_qrels(tmp_path / "train.tsv", {"q1": ["d1"]}))


def test_judged_queries_that_are_not_there(tmp_path: Path) -> None:
    queries = write_lines(tmp_path / "queries.jsonl", [{"_id": "q1", "text": "one"}])
    unknown = {f"x{number}": ["d1"] for number in range(5)}
    with pytest.raises(QueryError, match=r"judges 5 queries .*'x0', 'x1', 'x2', and 2 more"):
        judged_queries(queries, write_qrels(tmp_path / "train.tsv", unknown))
    with pytest.raises(QueryError, match="no judgement above 0"):
        judged_queries(queries, write_qrels(tmp_path / "train.tsv", {}, "q1\td1\t0\n"))


def test_the_queries_file_of_a_folder(tmp_path: Path) -> None:
    assert queries_file(tmp_path) is None
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress(b'{"_id": "q1", "text": "one"}\n'))
    assert queries_file(tmp_path) == tmp_path / "queries.jsonl.gz"
    write_lines(tmp_path / "queries.jsonl", [])
    assert queries_file(tmp_path) == tmp_path / "queries.jsonl"
