"""The command ``card``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_collection import Collection, fail, succeed, write_collection

from hf_hardneg.hub.metadata import check_card, split_card


@pytest.fixture
def beir(tmp_path: Path) -> Collection:
    return write_collection(tmp_path / "beir")


def mine(beir: Collection, folder: Path, *options: str) -> Path:
    succeed("mine", "--queries", beir.folder, "--strategy", "bm25", "--num-negatives", 2,
            "--output", folder, *options)  # fmt: skip
    return folder


def test_beside_the_set(beir: Collection, tmp_path: Path) -> None:
    folder = mine(beir, tmp_path / "mined", "--output-format", "n-tuple")
    assert "README.md" in succeed("card", folder, "--licence", "mit", "--language", "en").stdout
    text = (folder / "README.md").read_text()
    assert check_card(text) == []
    values, body = split_card(text)
    assert values is not None
    assert (values["license"], values["language"]) == ("mit", ["en"])
    assert "load_from_disk" in body
    assert "MultipleNegativesRankingLoss(model)" in body
    assert "Their rate was not estimated" in body
    assert (folder / "hardneg/plots/scores.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("kind", "word"), [("parquet", "train.parquet"), ("jsonl", "train.jsonl")])
def test_a_single_file(beir: Collection, tmp_path: Path, kind: str, word: str) -> None:
    folder = mine(beir, tmp_path / "mined", "--file-format", kind)
    succeed("card", folder)
    values, body = split_card((folder / "README.md").read_text())
    assert values is not None
    assert values["configs"][0]["data_files"] == [{"split": "train", "path": word}]
    assert "license" not in values
    assert word in body
    assert "None of its configs trains" in body


def test_files_of_another_trainer(beir: Collection, tmp_path: Path) -> None:
    folder = mine(beir, tmp_path / "mined", "--output-format", "flagembedding")
    succeed("card", folder)
    assert "`flagembedding`" in (folder / "README.md").read_text()


def test_elsewhere_and_as_json(beir: Collection, tmp_path: Path) -> None:
    folder = mine(beir, tmp_path / "mined")
    output = tmp_path / "out" / "CARD.md"
    output.parent.mkdir()
    output.write_text("# Mine\n")
    shown = json.loads(succeed("card", folder, "--output", output, "--format", "json").stdout)
    assert shown["output"] == str(output)
    assert shown["report"]["slots_chosen"] == 18
    assert not (folder / "README.md").exists()
    assert "# Mine\n\n<!-- hf-hardneg: columns -->" in output.read_text()


def test_what_is_no_mined_set(tmp_path: Path) -> None:
    assert "recipe.json" in fail("card", tmp_path)
    assert "mine --output" in fail("card", tmp_path / "nowhere")


def test_a_licence_or_a_language_that_is_none(beir: Collection, tmp_path: Path) -> None:
    folder = mine(beir, tmp_path / "mined")
    assert "language" in fail("card", folder, "--language", "english")
    assert not (folder / "README.md").exists()


def test_a_damaged_report(beir: Collection, tmp_path: Path) -> None:
    folder = mine(beir, tmp_path / "mined")
    (folder / "hardneg/report.json").write_text('{"strategy": "bm25"}')
    assert "no report of this version" in fail("card", folder)


def test_a_card_that_is_there_keeps_what_is_not_ours(beir: Collection, tmp_path: Path) -> None:
    folder = mine(beir, tmp_path / "mined", "--file-format", "parquet")
    path = folder / "README.md"
    path.write_text(
        "---\nannotations: mine\ntags: [own]\nlicense: mit\n---\n# My title\n\nWords.\n"
    )
    succeed("card", folder, "--licence", "cc-by-4.0")
    values, body = split_card(path.read_text())
    assert values is not None
    assert (values["annotations"], values["license"]) == ("mine", "cc-by-4.0")
    assert values["tags"][:2] == ["own", "hf-hardneg"]
    assert body.startswith("# My title\n\nWords.\n\n<!-- hf-hardneg: columns")
    after = path.read_text() + "\nMore of mine.\n"
    path.write_text(after)
    succeed("card", folder, "--licence", "cc-by-4.0")
    assert path.read_text() == after
    path.write_text("---\nlicense: mit\nlicense: mit\n---\n")
    assert "stands twice" in fail("card", folder)


def test_configs_of_an_earlier_set_go_from_the_card(beir: Collection, tmp_path: Path) -> None:
    folder, words = tmp_path / "mined", "# Mine\n"
    for form, kind in (("columns", "parquet"), ("n-tuple", "arrow")):
        mine(beir, folder, "--overwrite", "--output-format", form, "--file-format", kind)
        path = tmp_path / "CARD.md"
        if not path.exists():
            path.write_text(words)
        succeed("card", folder, "--output", path)
    values, body = split_card(path.read_text())
    assert values is not None
    assert "configs" not in values
    assert body.startswith(f"{words}\n<!-- hf-hardneg: n-tuple -->")
    assert body.count("<!-- hf-hardneg: ") == 1
