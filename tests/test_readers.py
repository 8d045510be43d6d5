"""Files of records: what is written by the usual writers is read back, and damage is named."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.errors import FormatError
from hf_hardneg.readers import open_text, read_json_lines, read_records

WORDS = st.text(st.characters(exclude_categories=["Cs"]))
FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\t\0"))
ODD = ["plain", "", 'say "so"', "a, b", "two\nlines", "\u2028 \x85 \x1c", "ελ 漢 \U0001f600", "\\n"]
RANDOM = np.random.default_rng(0)


def put(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [dict(record) for record in read_records(path)]


def refused(path: Path, *parts: str) -> None:
    """The file is refused, and the message names it and says every one of ``parts``."""
    with pytest.raises(FormatError) as caught:
        rows(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


# -- JSON lines ------------------------------------------------------------------------------


@given(st.lists(st.dictionaries(WORDS, st.one_of(WORDS, st.none(), st.integers(), st.booleans()))))
def test_json_lines_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("json")
    for ascii_only in (True, False):
        text = "".join(json.dumps(record, ensure_ascii=ascii_only) + "\n" for record in records)
        assert rows(put(folder, "a.jsonl", text)) == records
        assert rows(put(folder, "a.jsonl.gz", text)) == records


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz"])
@pytest.mark.parametrize(
    "content",
    [
        '{"n": 1}\n{"n": 2}',
        '{"n": 1}\r\n{"n": 2}\r\n',
        '\n{"n": 1}\n  \n\n{"n": 2}\n\n',
        '\ufeff{"n": 1}\n{"n": 2}\n',
    ],
    ids=["no last line end", "windows", "blank lines", "byte order mark"],
)
def test_json_lines_as_programs_write_them(tmp_path: Path, name: str, content: str) -> None:
    assert rows(put(tmp_path, name, content)) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "cut', "not valid JSON"),
        ("{'text': 'python'}", "not valid JSON"),
        ('{"a": 1} {"b": 2}', "not valid JSON"),
        ('["text"]', "expected a JSON object, got list"),
        ("null", "expected a JSON object, got NoneType"),
        (f'{{"n": {"1" * 5000}}}', "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
    ids=["cut", "python", "two in a line", "list", "null", "long number", "deep"],
)
def test_the_damaged_line_is_named(tmp_path: Path, name: str, line: str, said: str) -> None:
    good = '{"text": "fine"}\n'
    path = put(tmp_path, name, f"{good}\n{good}{line}\n{good}")
    refused(path, "line 4", said)
    reader = read_records(path)
    assert [next(reader), next(reader)] == [{"text": "fine"}] * 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.tsv", "a.csv.gz"])
def test_the_line_that_is_not_utf8_is_named(tmp_path: Path, name: str) -> None:
    good = b'{"text": "fine"}\n'
    refused(put(tmp_path, name, good * 500 + b'{"text": "\xe9"}\n' + good), "line 501", "UTF-8")


# -- gzip ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.tsv.gz"])
def test_damaged_gzip(tmp_path: Path, name: str) -> None:
    # Noise, so that the packed file is long enough to be cut or spoilt in its middle.
    noise = [RANDOM.bytes(40).hex() for _ in range(3000)]
    lines = [json.dumps({"text": line}) for line in noise] if "json" in name else ["text", *noise]
    path = put(tmp_path, name, "\n".join(lines) + "\n")
    packed = path.read_bytes()
    assert len(rows(path)) == 3000
    path.write_bytes(packed[: len(packed) // 2])
    refused(path, "after line", "end-of-stream")
    path.write_bytes(packed[:5000] + b"\xff" * 200 + packed[5200:])
    refused(path, "cannot be read")
    path.write_bytes(b"not packed at all\n")
    refused(path, "Not a gzipped file")


# -- CSV and TSV -----------------------------------------------------------------------------


@given(st.lists(st.tuples(WORDS, WORDS)))
def test_csv_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    for quoting in (csv.QUOTE_ALL, csv.QUOTE_MINIMAL):
        text = io.StringIO(newline="")
        csv.writer(text, quoting=quoting).writerows([("id", "text"), *pairs])
        path = put(tmp_path_factory.mktemp("csv"), "a.csv", text.getvalue())
        assert rows(path) == [{"id": left, "text": right} for left, right in pairs]


@given(st.lists(st.tuples(FIELDS, FIELDS)))
def test_tsv_is_read_as_it_stands(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    text = "".join(f"{left}\t{right}\n" for left, right in [("id", "text"), *pairs])
    path = put(tmp_path_factory.mktemp("tsv"), "a.tsv", text)
    assert rows(path) == [{"id": left, "text": right} for left, right in pairs]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv_as_programs_write_it(tmp_path: Path, name: str) -> None:
    want = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
    for content in (
        "id,text\n1,a\n2,b",
        "id,text\r\n1,a\r\n\r\n2,b\r\n",
        '\ufeffid,text\n1,"a"\n2,b',
    ):
        assert rows(put(tmp_path, name, content)) == want


def test_very_long_field(tmp_path: Path) -> None:
    text = "word " * 200_000
    assert rows(put(tmp_path, "a.csv", f'text\n"{text}"\n')) == [{"text": text}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "id,text\n1,a\n2,b,c\n", ["line 3", "3 fields", "(id, text) has 2"]),
        ("a.csv", "id,text\n1\n", ["line 2", "1 fields"]),
        ("a.csv", 'id,text\n1,"a\nb"\n2\n', ["line 4", "1 fields"]),
        ("a.tsv", "id\ttext\n1\ta\tb\n", ["line 2", "3 fields"]),
        ("a.csv", 'id,text\n1,"never closed\n2,b\n3,c\n', ["line 4", "not closed"]),
        ("a.csv", 'id,text\n1,"a"b\n', ["line 2"]),
        ("a.csv", "id,text\n1,a\rb\n", ["line 2", "carriage return"]),
        ("a.tsv", "id\ttext\n1\ta\rb\n", ["line 2", "carriage return"]),
        ("a.csv", "", ["is empty", "header"]),
    ],
)
def test_damaged_csv(tmp_path: Path, name: str, content: str, said: list[str]) -> None:
    refused(put(tmp_path, name, content), *said)


# -- Arrow and Parquet -----------------------------------------------------------------------

TABLE = pa.table({"id": range(len(ODD)), "text": ODD, "title": [None] * len(ODD)})


def arrow_file(path: Path, table: pa.Table = TABLE, *, stream: bool = False) -> Path:
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return path


def test_arrow_in_both_forms_and_parquet(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet", row_group_size=3)
    for path in (
        arrow_file(tmp_path / "file.arrow"),
        arrow_file(tmp_path / "stream.arrow", stream=True),
        tmp_path / "a.parquet",
    ):
        assert rows(path) == TABLE.to_pylist()


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet"])
def test_damaged_arrow_and_parquet(tmp_path: Path, name: str) -> None:
    path, noise = tmp_path / name, [RANDOM.bytes(30).hex() for _ in range(4000)]
    if name == "a.arrow":
        arrow_file(path, pa.table({"text": noise}))
    else:
        pq.write_table(pa.table({"text": noise}), path)
    whole = path.read_bytes()
    for content in (b"", b"no such thing " * 50, whole[: len(whole) // 2], whole[:-20]):
        path.write_bytes(content)
        refused(path)


def test_spoilt_page_of_parquet(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet", compression="snappy", use_dictionary=False)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[4:60] = b"\xff" * 56
    (tmp_path / "a.parquet").write_bytes(content)
    refused(tmp_path / "a.parquet")


# -- any file --------------------------------------------------------------------------------


def test_files_that_are_not_read(tmp_path: Path) -> None:
    refused(put(tmp_path, "a.txt", "text"), "'.txt' are not read", ".jsonl.gz, .parquet")
    refused(put(tmp_path, "a", "text"), "without a suffix")
    refused(put(tmp_path, "a.txt.gz", "text"), "'.txt'")
    for name in ("gone.jsonl", "gone.csv", "gone.parquet", "gone.arrow"):
        refused(tmp_path / name, os.strerror(2))


def test_text_is_opened_with_its_line_ends(tmp_path: Path) -> None:
    for name in ("a.txt", "a.txt.gz"):
        with open_text(put(tmp_path, name, "\ufeffa\r\nb\rc\n")) as lines:
            assert list(lines) == ["a\r\n", "b\rc\n"]


def test_json_lines_are_read_one_by_one(tmp_path: Path) -> None:
    reader = read_json_lines(put(tmp_path, "a.jsonl", '{"n": 1}\n' * 3))
    assert next(reader) == {"n": 1}
    reader.close()
