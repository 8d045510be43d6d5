"""Mined sets of every layout: what our writers wrote, and small files as others write them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict

from hf_hardneg import query_sources
from hf_hardneg.errors import ColumnError, FormatError, HardNegError, QueryError
from hf_hardneg.formats.mined_row import Document, MinedRow
from hf_hardneg.formats.writers import WRITERS, write_rows
from hf_hardneg.mined_layouts import LAYOUTS
from hf_hardneg.mined_records import AT_ONCE
from hf_hardneg.mined_set import MinedSet
from hf_hardneg.mined_sources import MinedColumns, load_mined

TEXTS = {
    "d1": "emoji 🦜 and é as e\u0301",
    "d2": 'quotes " and \\ backslash',
    "d3": "שלום עולם \u202eright to left\u202c",
    "d4": "four four",
    "d5": "separator\u2028paragraph\x85line",
}
DOCUMENTS = [Document(name, text) for name, text in TEXTS.items()]
ROWS = (
    ("q1", "first query", {"d1": 9.25}, {"d2": 2.0, "d3": -1.5}),
    ("q2", "second query", {"d2": 1.0, "d5": 0.5}, {"d4": 0.75, "d1": 0.25}),
    ("q3", "third query", {"d3": 0.75}, {"d1": 0.5, "d4": 0.125}),
)

Row = tuple[str, list[str], list[str]]


def mined_rows() -> list[MinedRow]:
    return [
        MinedRow(name, text, list(p), [TEXTS[d] for d in p], list(p.values()),
                 list(n), [TEXTS[d] for d in n], list(n.values()))
        for name, text, p, n in ROWS
    ]  # fmt: skip


def texts_of(mined: MinedSet) -> list[Row]:
    """Every row as (query, positives, negatives)."""
    out: list[Row] = []
    for batch in mined.batches(2):
        sides = [list(batch.texts(side)) for side in ("positives", "negatives")]
        out += list(zip(batch.queries(), *sides, strict=True))
    return out


def scores_of(mined: MinedSet) -> list[float]:
    return [float(x) for batch in mined.batches(2) for x in batch.numbers("negative_scores")[1]]


WHOLE: list[Row] = [(text, [TEXTS[d] for d in p], [TEXTS[d] for d in n]) for _, text, p, n in ROWS]
BY_POSITIVE: list[Row] = [(q, [own], negatives) for q, positives, negatives in WHOLE
                          for own in positives]  # fmt: skip
SCORES = [2.0, -1.5, 0.75, 0.25, 0.5, 0.125]

WRITTEN = {
    "flagembedding": (WHOLE, SCORES),
    "tevatron": (WHOLE, None),
    "tevatron-ids": (WHOLE, None),
    "colbert": (BY_POSITIVE, None),
    "pylate": (BY_POSITIVE, [2.0, -1.5, 0.75, 0.25, 0.75, 0.25, 0.5, 0.125]),
    "pylate-contrastive": (BY_POSITIVE, None),
    "beir": (WHOLE, SCORES),
    "trec": (WHOLE, SCORES),
    "jsonl": (WHOLE, SCORES),
}


def test_every_writer_is_read() -> None:
    assert set(WRITTEN) == set(WRITERS)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_our_writers_wrote(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    write_rows(mined_rows(), folder, name, DOCUMENTS, num_negatives=2)
    (folder / "hardneg").mkdir()
    (folder / "hardneg" / "recipe.json").write_text("{}\n")
    given: dict[str, Any] = {}
    if name == "trec":
        given["corpus"] = TEXTS
        given["queries"] = Dataset.from_dict(
            {"query_id": [row[0] for row in ROWS], "query": [row[1] for row in ROWS]}
        )
    mined = load_mined(folder, **given)
    rows, scores = WRITTEN[name]
    # ColBERT's text lines hold no tab, newline or carriage return; these texts have none.
    assert texts_of(mined) == rows
    assert mined.query_texts
    if scores is None:
        assert not mined.has("negative_scores")
    else:
        assert scores_of(mined) == scores


def test_what_is_given_and_cannot_be_used_is_refused(tmp_path: Path) -> None:
    for name in ("trec", "colbert", "jsonl", "beir"):
        (tmp_path / name).mkdir()
        write_rows(mined_rows(), tmp_path / name, name, DOCUMENTS)
    qrels = tmp_path / "own.txt"
    qrels.write_text("q1 0 d1 1\n")
    for name in ("trec", "beir"):
        mined = load_mined(tmp_path / name, qrels=qrels, corpus=TEXTS)
        assert [row[1] for row in texts_of(mined)] == [[TEXTS["d1"]], [], []]
    given: list[tuple[Any, dict[str, Any]]] = [
        ("colbert", {"qrels": qrels}), ("jsonl", {"qrels": qrels}), ("trec", {"split": "train"}),
        ("beir", {"split": "train", "qrels": qrels}), ("trec", {"qrels": tmp_path / "none"}),
        ("beir", {"columns": MinedColumns(query="q")}), ("jsonl", {"split": "test"}),
    ]  # fmt: skip
    for name, arguments in given:
        with pytest.raises(FormatError):
            load_mined(tmp_path / name, **arguments)
    with pytest.raises(FormatError, match="--qrels"):
        load_mined(Dataset.from_dict(LAID_OUT["triplet"][0]), qrels=qrels)


def test_n_way_lines_with_scores(tmp_path: Path) -> None:
    write_rows(mined_rows(), tmp_path, "colbert", DOCUMENTS, num_negatives=2)
    mined = load_mined(tmp_path / "nway.jsonl")
    assert texts_of(mined) == BY_POSITIVE
    assert scores_of(mined) == [2.0, -1.5, 0.75, 0.25, 0.75, 0.25, 0.5, 0.125]
    first = next(mined.batches())
    assert first.numbers("positive_scores")[1].tolist() == [9.25, 1.0, 0.5, 0.75]


LAID_OUT: dict[str, tuple[dict[str, list[Any]], list[Row]]] = {
    "triplet": (
        {"anchor": ["a", "a"], "positive": ["p", "p"], "negative": ["m", "n"]},
        [("a", ["p"], ["m"]), ("a", ["p"], ["n"])],
    ),
    "n-tuple": (
        {"anchor": ["a"], "positive": ["p"], "negative_1": ["m"], "negative_2": ["n"]},
        [("a", ["p"], ["m", "n"])],
    ),
    "labeled-pair": (
        {"anchor": ["a", "a", "a", "b", "a"], "passage": ["p", "m", "n", "o", "r"],
         "label": [1, 0, 0, 0, 1]},
        [("a", ["p"], ["m", "n"]), ("b", [], ["o"]), ("a", ["r"], [])],
    ),
    "labeled-list": (
        {"anchor": ["a", "b"], "passages": [["p", "m", "r"], ["n"]], "labels": [[1, 0, 1], [0]]},
        [("a", ["p", "r"], ["m"]), ("b", [], ["n"])],
    ),
    "Tevatron inline": (
        {"query": ["a"], "positive_passages": [[{"docid": "1", "title": "T", "text": "p"}]],
         "negative_passages": [[{"docid": "2", "title": "", "text": "m"},
                                {"docid": "3", "title": None, "text": "n"}]]},
        [("a", ["T p"], ["m", "n"])],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["Dataset", "DatasetDict", "saved", "jsonl", "jsonl.gz",
                                  "parquet", "arrow", "folder"])  # fmt: skip
@pytest.mark.parametrize("name", LAID_OUT)
def test_layouts_from_every_kind_of_source(name: str, kind: str, tmp_path: Path) -> None:
    columns, rows = LAID_OUT[name]
    data = Dataset.from_dict(columns)
    source: Any = data
    if kind == "DatasetDict":
        source = DatasetDict({"train": data})
    elif kind == "saved":
        data.save_to_disk(str(source := tmp_path / "saved"))
    elif kind == "parquet":
        data.to_parquet(str(source := tmp_path / "rows.parquet"))
    elif kind == "arrow":
        source = tmp_path / "rows.arrow"
        table = data.data.table
        with pa.OSFile(str(source), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    elif kind != "Dataset":
        text = "".join(json.dumps(row) + "\n" for row in data)
        source = tmp_path / ("train.jsonl" if kind == "folder" else f"rows.{kind}")
        content = text.encode()
        source.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
        source = tmp_path if kind == "folder" else source
    assert texts_of(load_mined(source)) == rows


def test_ids_of_passages_are_known_where_there_are_any(tmp_path: Path) -> None:
    columns, _ = LAID_OUT["Tevatron inline"]
    mined = load_mined(Dataset.from_dict(columns))
    assert list(next(mined.batches()).texts("negative_ids")) == [["2", "3"]]
    path = tmp_path / "no-ids.jsonl"
    path.write_text(json.dumps({"query": "q", "positive_passages": [{"text": "p"}],
                                "negative_passages": [{"text": "n"}]}))  # fmt: skip
    mined = load_mined(path)
    assert not mined.has("negative_ids")
    assert texts_of(mined) == [("q", ["p"], ["n"])]


def test_ids_with_and_without_texts() -> None:
    data = Dataset.from_dict({"query_id": ["q1"], "positive_ids": [["d1"]],
                              "negative_ids": [["d2", "unknown"]]})  # fmt: skip
    bare = load_mined(data)
    assert not bare.query_texts
    assert not bare.has("negatives")
    assert any("--queries" in note for note in bare.notes)
    whole = load_mined(data, corpus=TEXTS, queries={"q1": "first query"})
    assert texts_of(whole) == [("first query", [TEXTS["d1"]], [TEXTS["d2"], ""])]
    assert next(whole.batches()).table["negatives"].to_pylist() == [[TEXTS["d2"], None]]
    with pytest.raises(FormatError, match="'q1' of the mined set is not among the 1 queries"):
        texts_of(load_mined(data, queries={"q9": "x"}))


def test_texts_are_matched_to_the_corpus_and_that_is_said() -> None:
    columns, _ = LAID_OUT["n-tuple"]
    mined = load_mined(Dataset.from_dict(columns), corpus={"1": "P", "2": "m"})
    assert next(mined.batches()).table["negative_ids"].to_pylist() == [["2", None]]
    assert sum("matched to the corpus by their texts" in note for note in mined.notes) == 2


def test_triples_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "triples.tsv"
    path.write_text('what is "x"\tp 1\tn 1\nwhat is y\tp 2\tn 2\n')
    assert texts_of(load_mined(path)) == [
        ('what is "x"', ["p 1"], ["n 1"]),
        ("what is y", ["p 2"], ["n 2"]),
    ]
    path.write_text("q\tp\tn\nq\tp\n")
    with pytest.raises(FormatError, match="line 2: 2 fields where the first line has 3"):
        load_mined(path)


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_fields_of_delimited_files(suffix: str, delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{suffix}"
    lines = [["query", "positive", "negative_1", "negative_2"], ["a", "p", "m", ""]]
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines))
    assert texts_of(load_mined(path)) == [("a", ["p"], ["m"])]
    listed = ["query", "positive", "hard_negatives"]
    field = '["m", "n"]' if delimiter == "\t" else '"[""m"", ""n""]"'
    path.write_text(delimiter.join(listed) + "\n" + delimiter.join(["a", "[p]", field]) + "\n")
    assert texts_of(load_mined(path)) == [("a", ["[p]"], ["m", "n"])]


def test_nemo(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    entry = {"question_id": 7, "question": "why", "corpus_id": "c", "pos_doc": [{"id": "d1"}],
             "neg_doc": [{"id": "d2", "score": 0.5}, {"id": "d4", "score": 0.25}]}  # fmt: skip
    path.write_text(json.dumps({"corpus": [{"path": "there"}], "data": [entry]}, indent=1))
    mined = load_mined(path, corpus=TEXTS)
    assert texts_of(mined) == [("why", [TEXTS["d1"]], [TEXTS["d2"], TEXTS["d4"]])]
    assert scores_of(mined) == [0.5, 0.25]
    assert not mined.has("positive_scores")


@pytest.mark.parametrize("indent", [None, 1])
def test_a_file_that_is_one_json_list(indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps([{"query": "a", "pos": ["p"], "neg": ["n"]}] * 2, indent=indent))
    assert texts_of(load_mined(path)) == [("a", ["p"], ["n"])] * 2
    path.write_text('[{"query": "a"}, 3]')
    with pytest.raises(FormatError, match="list of objects"):
        load_mined(path)


def test_contrastors_names_its_columns_itself(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.jsonl.gz"
    line = {"question": "q", "good": "p", "bad": ["m", "n"],
            "metadata": {"objective": {"self": [], "paired": [],
                                       "triplet": [["question", "good", "bad"]]}}}  # fmt: skip
    path.write_bytes(gzip.compress(json.dumps(line).encode()))
    assert texts_of(load_mined(path)) == [("q", ["p"], ["m", "n"])]


def test_ms_swift(tmp_path: Path) -> None:
    def said(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}]

    path = tmp_path / "train.jsonl"
    line = {"messages": said("q"), "positive_messages": [said("p")],
            "negative_messages": [said("m"), said("n")]}  # fmt: skip
    path.write_text(json.dumps(line) + "\n")
    assert texts_of(load_mined(path)) == [("q", ["p"], ["m", "n"])]


def test_a_name_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, rows = LAID_OUT["n-tuple"]
    asked = []

    def load(*names: str | None, revision: str | None, token: bool | None) -> DatasetDict:
        asked.append((*names, revision, token))
        return DatasetDict({"train": Dataset.from_dict(columns)})

    monkeypatch.setattr(query_sources, "load_dataset", load)
    assert texts_of(load_mined("org/name-v1.5:config")) == rows
    assert asked == [("org/name-v1.5", "config", None, None)]


def test_a_text_where_a_list_belongs_is_one_text(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    lines = [{"query": "a", "pos": "one positive", "neg": ["m"]}, {"query": "b", "pos": ["p"],
             "neg": "one negative"}]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert texts_of(load_mined(path)) == [
        ("a", ["one positive"], ["m"]), ("b", ["p"], ["one negative"])
    ]  # fmt: skip


def test_types_that_show_late(tmp_path: Path) -> None:
    """A column that comes late, ids that turn out to be texts, scores that are missing at first."""
    path = tmp_path / "train.jsonl"
    lines: list[dict[str, Any]] = [
        {"query": f"q{n}", "query_id": n, "pos": ["p"], "neg": ["n"], "neg_scores": [None]}
        for n in range(AT_ONCE)
    ]
    lines.append({"query": "late", "query_id": "x", "pos": ["p"], "neg": ["n", "m"],
                  "neg_scores": [0.5, 1], "pos_scores": [2]})  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    mined = load_mined(path)
    assert len(mined) == AT_ONCE + 1
    assert mined.has("positive_scores")
    last = mined.at(AT_ONCE)
    assert last.queries() == ["late"]
    assert mined.at(3).query_ids() == ["3"]
    assert last.query_ids() == ["x"]
    assert last.numbers("negative_scores")[1].tolist() == [0.5, 1.0]


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"query": "a", "pos": ["p"], "neg": ["n"]}\n')
    assert texts_of(load_mined(path)) == [("a", ["p"], ["n"])]
    path.write_text('{"query": "b", "pos": ["p"], "neg": ["other"]}\n')
    assert texts_of(load_mined(path)) == [("b", ["p"], ["other"])]


def test_columns_by_name() -> None:
    data = Dataset.from_dict({"u": ["q"], "good": ["p"], "bad": [["n"]], "negative": ["not this"],
                              "s": [[0.5]]})  # fmt: skip
    columns = MinedColumns(query="u", positive="good", negatives="bad", scores="s")
    mined = load_mined(data, columns=columns)
    assert texts_of(mined) == [("q", ["p"], ["n"])]
    assert scores_of(mined) == [0.5]
    with pytest.raises(ColumnError, match=r"no column 'goo'\. Did you mean 'good'"):
        load_mined(data, columns=MinedColumns(positive="goo"))


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ('{"left": "a", "right": ["b"]}\n', "rows.jsonl", "those of no layout .* left, right"),
        ("", "rows.jsonl", "holds no rows"),
        ('{"query": "a"\n', "rows.jsonl", "line 1: not valid JSON"),
        ('{"query": "a", "pos": ["p"], "neg": ["\\ud800"]}\n', "rows.jsonl", "UTF-8"),
        ("[1, 2]\n", "triples.jsonl", "is no triple"),
        ("text", "rows.docx", "files of kind '.docx' are not read"),
        ("q Q0 d 1 0.5 tag\n", "x.run", "no judgements beside it"),
    ],
)
def test_what_cannot_be_read(content: str, name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(HardNegError, match=said):
        load_mined(path)


def test_an_unknown_layout_lists_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(ColumnError) as failure:
        load_mined(Dataset.from_dict({"left": ["a"]}))
    assert all(layout in str(failure.value) for layout in LAYOUTS)


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no file or folder '/nowhere'"):
        load_mined("/nowhere")
    with pytest.raises(FormatError, match="type int"):
        load_mined(3)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FormatError, match=r"holds no mined set that is known\. It holds: notes"):
        load_mined(tmp_path)
    data = Dataset.from_dict(LAID_OUT["triplet"][0])
    with pytest.raises(QueryError, match="--split"):
        load_mined(DatasetDict({"a": data, "b": data}))
    assert len(load_mined(DatasetDict({"a": data, "b": data}), split="b")) == 2


def test_shards_are_one_set(tmp_path: Path) -> None:
    for number in range(2):
        shard = Dataset.from_dict({"query": [f"q{number}"], "pos": [["p"]], "neg": [["n"]]})
        shard.to_parquet(str(tmp_path / f"train-0000{number}-of-00002.parquet"))
    assert [row[0] for row in texts_of(load_mined(tmp_path))] == ["q0", "q1"]
