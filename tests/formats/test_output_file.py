"""The file that all writers write into."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_hardneg.errors import FormatError, OutputError
from hf_hardneg.formats.output_file import OutputFile, write_json_lines


def test_utf8_and_newlines(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "a.jsonl", [{"a": "é🦜"}, {"b": [1.5, None]}])
    assert path.read_bytes() == '{"a":"é🦜"}\n{"b":[1.5,null]}\n'.encode()


def test_line_ends_inside_a_text_are_escaped(tmp_path: Path) -> None:
    text = "a\x85b\u2028c\u2029d\x0be\x1cf\\u2028"
    path = write_json_lines(tmp_path / "a.jsonl", [{"a": text}])
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"a": text}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_what_is_not_json_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(FormatError, match=r"a\.jsonl, line 2"):
        write_json_lines(tmp_path / "a.jsonl", [{}, {"a": value}])


def test_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("mine")
    with pytest.raises(OutputError, match="does not have this file yet"):
        OutputFile(path)
    assert path.read_text() == "mine"


def test_lines_are_counted(tmp_path: Path) -> None:
    with OutputFile(tmp_path / "a.txt") as file:
        file.write("one\n")
        file.json(2)
    assert file.lines == 2
