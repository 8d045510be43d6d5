"""The command ``audit``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_collection import fail, invoke, succeed

from hf_hardneg.mined_set import MinedSet

GOOD = {"query": "a", "positive": "p", "hard_negatives": ["m", "n"]}
BAD = {"query": "b", "positive": "p", "hard_negatives": ["P", "n"]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "mined.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps(BAD)}\n")
    return path


def test_the_tables(data: Path) -> None:
    shown = succeed("audit", str(data)).stdout
    assert "Own positive as negative" in shown
    assert "Not checked: negative that outscores the positive" in shown
    assert "1 error and 0 warnings in" in shown


def test_json(data: Path) -> None:
    values = json.loads(succeed("audit", str(data), "--format", "json", "--examples", "1").stdout)
    assert (values["errors"], values["rows"], values["negatives"]) == (1, 2, 4)
    finding = values["findings"][0]
    assert (finding["name"], finding["count"], finding["share"]) == ("own_positive", 1, 0.25)
    example = finding["examples"][0]
    assert (example["row"], example["place"], example["negative"]) == (1, 0, "P")


def test_strict(data: Path, tmp_path: Path) -> None:
    result = invoke("audit", str(data), "--strict", "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 1
    assert "1 error" in result.stdout  # all is shown, and written
    assert "Own positive" in (tmp_path / "page.html").read_text()
    data.write_text(json.dumps({**GOOD, "hard_negatives": ["m"]}) + "\n" + json.dumps(GOOD) + "\n")
    assert "0 errors and 1 warning " in succeed("audit", str(data), "--strict").stdout


def test_the_page_is_never_overwritten_unasked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "out" / "page.html"
    succeed("audit", str(data), "--html", str(page))
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert [entry.name for entry in page.parent.iterdir()] == ["page.html"]
    page.write_text("mine")
    with monkeypatch.context() as patch:
        patch.delattr(MinedSet, "batches")  # refused before any row is read
        assert "exists" in fail("audit", str(data), "--html", str(page))
    assert page.read_text() == "mine"
    succeed("audit", str(data), "--html", str(page), "--overwrite")
    assert page.read_text() != "mine"
    assert "is a folder" in fail("audit", str(data), "--html", str(tmp_path))


def test_columns_and_evaluation(tmp_path: Path) -> None:
    path, held_out = tmp_path / "odd.jsonl", tmp_path / "held-out.jsonl"
    path.write_text(json.dumps({"u": "Test Query", "v": "p", "w": ["m", "n"]}) + "\n")
    held_out.write_text(json.dumps({"query": "test query", "positive": "x"}) + "\n")
    columns = ["--query-column", "u", "--positive-column", "v", "--negatives-column", "w"]
    result = invoke("audit", str(path), *columns, "--evaluation", str(held_out), "--strict")
    assert result.exit_code == 1
    assert "Evaluation query in training" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["/nowhere"], "no file or folder"), (["--split", "x"], "has no split"),
     (["--corpus", "/nowhere"], "does not exist"), (["--scores-column", "s"], "no column 's'")],
)  # fmt: skip
def test_clear_errors(arguments: list[str], said: str, data: Path) -> None:
    given = arguments if arguments[0] == "/nowhere" else [data, *arguments]
    assert said in fail("audit", *given)
